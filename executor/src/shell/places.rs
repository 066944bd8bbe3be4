//! The places for open attempts, which all partitions of an executor share.
//!
//! There are so many in all, and of these so many for the attempts of one deployment, service or
//! handler. A large attempt needs memory as well, until its function has taken in what it began
//! with.
//!
//! Who holds a place and only waits is asked to give it back where others need it: else those who
//! wait for callees could hold all the places that the callees need.
//!
//! **Invariants:** no limit is exceeded, save by a single attempt that needs more memory than there
//! is. Nobody waits for a place that is free to take. Whoever waits holds nothing meanwhile, so that
//! what is full holds up only those who need it; of those who wait for the same, the first to ask is
//! the first to be served: a large attempt waits behind large ones, and no small one behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everlog_log_schema::DeploymentId;
use everlog_log_schema::owner_api::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::ExecutorLimits;
use crate::invoker::Lender;
use crate::metrics;

/// Who was asked to give back a place and has not done so for this long counts as one who will not:
/// another is asked.
const LEAVING_MAX: Duration = Duration::from_secs(5);

/// What decides which places an attempt needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClassKey {
    pub(crate) deployment: DeploymentId,
    pub(crate) service: String,
    pub(crate) handler: String,
    /// Whether it needs memory as well.
    pub(crate) is_large: bool,
}

/// Attempts that need the same places.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    gates: Vec<Arc<Gate>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum GateKey {
    All,
    Deployment(DeploymentId),
    Service(String),
    Handler(String, String),
}

/// One limit, and who is about it. Read and written under the lock of [`State`] alone.
#[derive(Debug)]
struct Gate {
    max: usize,
    /// How many places are taken,
    used: Count,
    /// of these by attempts that only wait,
    resting: Count,
    /// and by attempts that were asked to give them back.
    leaving: Count,
    /// How many wait for one.
    asked: Count,
}

#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn dec(&self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "what was not counted goes");
    }
}

impl Gate {
    fn new(max: usize) -> Self {
        let [used, resting, leaving, asked] = std::array::from_fn(|_| Count::default());
        Self { max, used, resting, leaving, asked }
    }

    fn is_full(&self) -> bool {
        self.used.get() >= self.max
    }

    /// Whether one more is to be asked for its place.
    fn wants_back(&self) -> bool {
        self.resting.get() > 0 && self.is_full() && self.asked.get() > self.leaving.get()
    }
}

impl Class {
    fn fits(&self) -> bool {
        !self.gates.iter().any(|gate| gate.is_full())
    }

    fn each(&self, change: impl Fn(&Gate)) {
        self.gates.iter().for_each(|gate| change(gate));
    }

    fn has(&self, wanted: &Arc<Gate>) -> bool {
        self.gates.iter().any(|gate| Arc::ptr_eq(gate, wanted))
    }
}

/// The places of an executor.
#[derive(Debug)]
pub(crate) struct Places {
    limits: ExecutorLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One for all, and for each deployment, and each limited service and handler, that has had an
    /// attempt.
    gates: HashMap<GateKey, Arc<Gate>>,
    asked: VecDeque<Asked>,
    /// The number of the next place.
    next: u64,
    /// The memory in use, in bytes, and what of it each place has.
    memory_used: u64,
    memory: HashMap<u64, u64>,
    /// Attempts that only wait, the longest first, by the numbers of their places.
    resting: BTreeMap<(Instant, u64), Resting>,
    /// Those that were asked to give back their places and have not yet.
    leaving: HashMap<u64, Arc<Class>>,
}

/// Somebody who waits for a place.
#[derive(Debug)]
struct Asked {
    class: Arc<Class>,
    /// Zero for small attempts.
    bytes: u64,
    /// Whether its turn has come once, but for the memory: then nobody behind it gets any before it
    /// does.
    lacks_memory: bool,
    grants: mpsc::UnboundedSender<Place>,
}

/// Somebody who has one, and only waits.
#[derive(Debug)]
struct Resting {
    class: Arc<Class>,
    wanted: oneshot::Sender<()>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    class: Arc<Class>,
    number: u64,
    bytes: u64,
}

impl Places {
    pub(crate) fn new(limits: &ExecutorLimits) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), state: Mutex::default() })
    }

    /// Finds out which limits apply.
    pub(crate) fn class(&self, key: ClassKey) -> Class {
        let ClassKey { deployment, service, handler, is_large: _ } = &key;
        let limit = self.limits.concurrency.get(service);
        let of_service = limit.and_then(|limit| limit.concurrency);
        let of_handler = limit.and_then(|limit| limit.handlers.get(handler).copied());
        let limits = [
            Some((GateKey::All, self.limits.open_attempts_max)),
            Some((GateKey::Deployment(deployment.clone()), self.limits.deployment_concurrency_max)),
            of_service.map(|max| (GateKey::Service(service.clone()), max.get())),
            of_handler.map(|max| (GateKey::Handler(service.clone(), handler.clone()), max.get())),
        ];
        let mut state = self.state();
        let gates = limits.into_iter().flatten().map(|(key, max)| {
            Arc::clone(state.gates.entry(key).or_insert_with(|| Arc::new(Gate::new(max))))
        });
        let gates = gates.collect();
        Class { key, gates }
    }

    /// Takes a place if one is free: then nobody waits who could take it. A large attempt needs so
    /// many bytes of memory, a small one none.
    pub(crate) fn try_take(self: &Arc<Self>, class: &Arc<Class>, bytes: u64) -> Option<Place> {
        let mut state = self.state();
        let comes_behind = bytes > 0 && state.asked.iter().any(|asked| asked.lacks_memory);
        let has_memory = state.has_memory(bytes, self.limits.attempt_memory_max);
        if comes_behind || !has_memory || !class.fits() {
            return None;
        }
        let number = state.take(class, bytes);
        self.recall(&mut state, class);
        drop(state);
        Some(Place::new(self, class, number, bytes))
    }

    /// Asks for a place, which goes to `grants`: at once, or when its turn has come.
    pub(crate) fn ask(
        self: &Arc<Self>,
        class: &Arc<Class>,
        bytes: u64,
        grants: &mpsc::UnboundedSender<Place>,
    ) {
        let (of, grants) = (Arc::clone(class), grants.clone());
        {
            let mut state = self.state();
            class.each(|gate| gate.asked.inc());
            state.asked.push_back(Asked { class: of, bytes, lacks_memory: false, grants });
        }
        self.grant(class);
    }

    /// Forgets those who wait for nothing any more.
    pub(crate) fn forget_gone(&self) {
        self.state().asked.retain(|asked| {
            let stays = !asked.grants.is_closed();
            if !stays {
                asked.class.each(|gate| gate.asked.dec());
            }
            stays
        });
    }

    /// Gives what is free to those who have asked, and asks for what they lack, after a change about
    /// the places of `changed`.
    fn grant(self: &Arc<Self>, changed: &Class) {
        let mut granted = Vec::new();
        {
            let mut state = self.state();
            while let Some(asked) = state.next_served(self.limits.attempt_memory_max) {
                let number = state.take(&asked.class, asked.bytes);
                self.recall(&mut state, &asked.class);
                granted.push((asked, number));
            }
            self.recall(&mut state, changed);
        }
        for (Asked { class, bytes, grants, .. }, number) in granted {
            // A place that nobody wants any more comes back, and goes to the next.
            drop(grants.send(Place::new(self, &class, number, bytes)));
        }
    }

    /// Asks those who have waited longest for the places of `class` that others lack.
    fn recall(self: &Arc<Self>, state: &mut State, class: &Class) {
        for gate in &class.gates {
            while gate.wants_back() {
                let Some((number, resting)) = state.take_resting(gate) else { break };
                resting.class.each(|gate| gate.leaving.inc());
                state.leaving.insert(number, resting.class);
                // One that is gone meanwhile gives its place back anyway.
                let _ = resting.wanted.send(());
                let places = Arc::clone(self);
                // Without a runtime all has ended.
                let Ok(runtime) = Handle::try_current() else { return };
                runtime.spawn(async move {
                    tokio::time::sleep(LEAVING_MAX).await;
                    places.give_up_on(number);
                });
            }
        }
    }

    /// Counts on no place any more from somebody who was asked for it.
    fn give_up_on(self: &Arc<Self>, number: u64) {
        let left = self.state().stop_leaving(number);
        if let Some(class) = left {
            self.grant(&class);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether so much memory is free; all of it is enough for anything.
    fn has_memory(&self, bytes: u64, max: u64) -> bool {
        bytes == 0 || self.memory_used == 0 || self.memory_used.saturating_add(bytes) <= max
    }

    /// Takes out the first who can be served.
    fn next_served(&mut self, memory_max: u64) -> Option<Asked> {
        let mut waiting = std::mem::take(&mut self.asked);
        let mut is_memory_wanted = false;
        let at = waiting.iter_mut().position(|asked| {
            let fits = asked.class.fits();
            let has_memory =
                asked.bytes == 0 || !is_memory_wanted && self.has_memory(asked.bytes, memory_max);
            asked.lacks_memory |= fits && !has_memory;
            is_memory_wanted |= asked.lacks_memory;
            fits && has_memory
        });
        let served = at.and_then(|at| waiting.remove(at));
        self.asked = waiting;
        served.inspect(|asked| asked.class.each(|gate| gate.asked.dec()))
    }

    /// Counts a place that is taken, and numbers it.
    fn take(&mut self, class: &Class, bytes: u64) -> u64 {
        class.each(|gate| gate.used.inc());
        self.next += 1;
        if bytes > 0 {
            self.memory_used += bytes;
            self.memory.insert(self.next, bytes);
        }
        self.next
    }

    /// Counts no memory for a place any more. Returns whether there was any.
    fn free_memory(&mut self, number: u64) -> bool {
        let freed = self.memory.remove(&number);
        self.memory_used -= freed.unwrap_or_default();
        freed.is_some()
    }

    /// Takes out who has waited longest of those who hold a place of `gate`.
    fn take_resting(&mut self, gate: &Arc<Gate>) -> Option<(u64, Resting)> {
        let longest = self.resting.iter().find(|(_, resting)| resting.class.has(gate));
        let key = *longest?.0;
        Some((key.1, self.stop_resting(key)?))
    }

    fn stop_resting(&mut self, key: (Instant, u64)) -> Option<Resting> {
        let resting = self.resting.remove(&key)?;
        resting.class.each(|gate| gate.resting.dec());
        Some(resting)
    }

    fn stop_leaving(&mut self, number: u64) -> Option<Arc<Class>> {
        let class = self.leaving.remove(&number)?;
        class.each(|gate| gate.leaving.dec());
        Some(class)
    }
}

impl Place {
    /// A place that has been counted already.
    fn new(places: &Arc<Places>, class: &Arc<Class>, number: u64, bytes: u64) -> Self {
        metrics::ATTEMPTS_OPEN.inc();
        Self { places: Arc::clone(places), class: Arc::clone(class), number, bytes }
    }

    /// Whom it is for.
    pub(crate) fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// How much memory it came with, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the attempt that has the place knows of whom it has it from.
    pub(crate) fn lender(&self) -> Arc<dyn Lender> {
        let (places, class) = (Arc::clone(&self.places), Arc::clone(&self.class));
        Arc::new(Lent { places, class, number: self.number })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::ATTEMPTS_OPEN.dec();
        {
            let mut state = self.places.state();
            self.class.each(|gate| gate.used.dec());
            state.free_memory(self.number);
            state.stop_leaving(self.number);
        }
        self.places.grant(&self.class);
    }
}

/// A place, as its attempt sees it. It may outlive the place for a moment.
#[derive(Debug)]
struct Lent {
    places: Arc<Places>,
    class: Arc<Class>,
    number: u64,
}

impl Lender for Lent {
    fn told(&self) {
        let freed = self.places.state().free_memory(self.number);
        if freed {
            self.places.grant(&self.class);
        }
    }

    fn wants_back(&self, idle_since: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (wanted, is_wanted) = oneshot::channel();
            let _rest = Rest::begin(self, idle_since, wanted);
            if is_wanted.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// An attempt counts as one that only waits until this is dropped.
struct Rest<'l> {
    places: &'l Arc<Places>,
    key: (Instant, u64),
}

impl<'l> Rest<'l> {
    fn begin(lent: &'l Lent, since: Instant, wanted: oneshot::Sender<()>) -> Self {
        let Lent { places, class, number } = lent;
        let key = (since, *number);
        let mut state = places.state();
        class.each(|gate| gate.resting.inc());
        let before = state.resting.insert(key, Resting { class: Arc::clone(class), wanted });
        assert!(before.is_none(), "an attempt waits twice");
        places.recall(&mut state, class);
        Self { places, key }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.places.state().stop_resting(self.key);
    }
}

#[cfg(test)]
mod tests;
