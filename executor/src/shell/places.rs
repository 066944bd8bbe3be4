//! The places for open attempts, which all partitions of an executor share.
//!
//! There are so many in all, and of these so many for the attempts of one deployment, service or
//! handler.
//!
//! **Invariants:** no limit is exceeded. Nobody waits for a place that is free to take. Whoever
//! waits holds nothing meanwhile, so that what is full holds up only those who need it; of those
//! who wait for the same, the first to ask is the first to be served.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everlog_log_schema::DeploymentId;
use tokio::sync::mpsc;

use crate::config::ExecutorLimits;
use crate::metrics;

/// What decides which places an attempt needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClassKey {
    pub(crate) deployment: DeploymentId,
    pub(crate) service: String,
    pub(crate) handler: String,
}

/// Attempts that need the same places.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    gates: Vec<Arc<Gate>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum GateKey {
    Deployment(DeploymentId),
    Service(String),
    Handler(String, String),
}

/// One limit, and how much of it is in use. Read and written under the lock of [`State`] alone.
#[derive(Debug)]
struct Gate {
    max: usize,
    used: AtomicUsize,
}

impl Class {
    fn fits(&self) -> bool {
        self.gates.iter().all(|gate| gate.used.load(Ordering::Relaxed) < gate.max)
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
    open: usize,
    /// One for each deployment, and each limited service and handler, that has had an attempt.
    gates: HashMap<GateKey, Arc<Gate>>,
    asked: VecDeque<Asked>,
}

/// Somebody who waits.
#[derive(Debug)]
struct Asked {
    class: Arc<Class>,
    grants: mpsc::UnboundedSender<Place>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    class: Arc<Class>,
}

impl Places {
    pub(crate) fn new(limits: &ExecutorLimits) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), state: Mutex::default() })
    }

    /// Finds out which limits apply.
    pub(crate) fn class(&self, key: ClassKey) -> Class {
        let ClassKey { deployment, service, handler } = &key;
        let limit = self.limits.concurrency.get(service);
        let of_service = limit.and_then(|limit| limit.concurrency);
        let of_handler = limit.and_then(|limit| limit.handlers.get(handler).copied());
        let limits = [
            Some((GateKey::Deployment(deployment.clone()), self.limits.deployment_concurrency_max)),
            of_service.map(|max| (GateKey::Service(service.clone()), max.get())),
            of_handler.map(|max| (GateKey::Handler(service.clone(), handler.clone()), max.get())),
        ];
        let mut state = self.state();
        let gates = limits.into_iter().flatten().map(|(key, max)| {
            let gate = state.gates.entry(key);
            Arc::clone(gate.or_insert_with(|| Arc::new(Gate { max, used: AtomicUsize::new(0) })))
        });
        let gates = gates.collect();
        Class { key, gates }
    }

    /// Takes a place if one is free: then nobody waits who could take it.
    pub(crate) fn try_take(self: &Arc<Self>, class: &Arc<Class>) -> Option<Place> {
        let taken = self.state().try_take(class, self.limits.open_attempts_max);
        taken.then(|| Place::new(self, class))
    }

    /// Asks for a place, which goes to `grants`: at once, or when its turn has come.
    pub(crate) fn ask(self: &Arc<Self>, class: &Arc<Class>, grants: &mpsc::UnboundedSender<Place>) {
        let asked = Asked { class: Arc::clone(class), grants: grants.clone() };
        self.state().asked.push_back(asked);
        self.grant();
    }

    /// Forgets those who wait for nothing any more.
    pub(crate) fn forget_gone(&self) {
        self.state().asked.retain(|asked| !asked.grants.is_closed());
    }

    /// Gives what is free to those who have asked.
    fn grant(self: &Arc<Self>) {
        let mut granted = Vec::new();
        {
            let mut state = self.state();
            while state.open < self.limits.open_attempts_max
                && let Some(next) = state.asked.iter().position(|asked| asked.class.fits())
                && let Some(asked) = state.asked.remove(next)
            {
                let taken = state.try_take(&asked.class, self.limits.open_attempts_max);
                assert!(taken, "a place is free");
                granted.push(asked);
            }
        }
        for Asked { class, grants } in granted {
            // A place that nobody wants any more comes back, and goes to the next.
            drop(grants.send(Place::new(self, &class)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn try_take(&mut self, class: &Class, open_max: usize) -> bool {
        let fits = self.open < open_max && class.fits();
        if fits {
            self.open += 1;
            for gate in &class.gates {
                gate.used.fetch_add(1, Ordering::Relaxed);
            }
        }
        fits
    }

    fn give_back(&mut self, class: &Class) {
        self.open -= 1;
        for gate in &class.gates {
            gate.used.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Place {
    /// A place that has been counted already.
    fn new(places: &Arc<Places>, class: &Arc<Class>) -> Self {
        metrics::ATTEMPTS_OPEN.inc();
        Self { places: Arc::clone(places), class: Arc::clone(class) }
    }

    /// Whom it is for.
    pub(crate) fn class(&self) -> &Arc<Class> {
        &self.class
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::ATTEMPTS_OPEN.dec();
        self.places.state().give_back(&self.class);
        self.places.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::ServiceConcurrency;

    type Grants = (mpsc::UnboundedSender<Place>, mpsc::UnboundedReceiver<Place>);

    fn places(open: usize, deployment: usize) -> Arc<Places> {
        let of_service = ServiceConcurrency {
            concurrency: NonZeroUsize::new(2),
            handlers: BTreeMap::from([("slow".into(), NonZeroUsize::MIN)]),
        };
        Places::new(&ExecutorLimits {
            open_attempts_max: open,
            deployment_concurrency_max: deployment,
            concurrency: BTreeMap::from([("Limited".into(), of_service)]),
            ..ExecutorLimits::default()
        })
    }

    fn class(places: &Places, deployment: &str, service: &str, handler: &str) -> Arc<Class> {
        Arc::new(places.class(ClassKey {
            deployment: DeploymentId(deployment.into()),
            service: service.into(),
            handler: handler.into(),
        }))
    }

    #[test]
    fn each_limit_holds_by_itself() {
        let places = places(10, 4);
        let slow = class(&places, "a", "Limited", "slow");
        let fast = class(&places, "a", "Limited", "fast");
        let free = class(&places, "a", "Free", "fast");
        let other = class(&places, "b", "Free", "fast");
        let slow_taken = places.try_take(&slow).unwrap();
        assert!(places.try_take(&slow).is_none(), "the handler's limit");
        let _fast = places.try_take(&fast).unwrap();
        assert!(places.try_take(&fast).is_none(), "the service's limit");
        let _free = [places.try_take(&free).unwrap(), places.try_take(&free).unwrap()];
        assert!(places.try_take(&free).is_none(), "the deployment's limit");
        let _others: Vec<Place> = (0..4).map(|_| places.try_take(&other).unwrap()).collect();
        drop(slow_taken);
        let _slow = places.try_take(&slow).unwrap();
    }

    #[test]
    fn the_limit_of_all_holds_and_the_first_to_ask_is_served_first() {
        let places = places(1, 1);
        let [first, second, third] = ["a", "b", "c"].map(|of| class(&places, of, "Free", "fast"));
        let (grants, mut granted): Grants = mpsc::unbounded_channel();
        let taken = places.try_take(&first).unwrap();
        places.ask(&second, &grants);
        places.ask(&third, &grants);
        assert!(granted.try_recv().is_err());
        drop(taken);
        let taken = granted.try_recv().unwrap();
        assert_eq!(taken.class().key, second.key);
        assert!(granted.try_recv().is_err());
        drop(taken);
        assert_eq!(granted.try_recv().unwrap().class().key, third.key);
    }

    #[test]
    fn who_waits_for_what_is_full_holds_up_nobody_else() {
        let places = places(10, 1);
        let (slow, other) = (class(&places, "a", "Free", "f"), class(&places, "b", "Free", "f"));
        let (grants, mut granted): Grants = mpsc::unbounded_channel();
        let taken = places.try_take(&slow).unwrap();
        for _ in 0..3 {
            places.ask(&slow, &grants);
        }
        places.ask(&other, &grants);
        assert_eq!(granted.try_recv().unwrap().class().key, other.key);
        assert!(granted.try_recv().is_err());
        drop(taken);
        assert_eq!(granted.try_recv().unwrap().class().key, slow.key);
    }

    #[test]
    fn a_place_that_nobody_wants_any_more_goes_to_the_next() {
        let places = places(1, 1);
        let class = class(&places, "a", "Free", "f");
        let taken = places.try_take(&class).unwrap();
        let (gone, _): Grants = mpsc::unbounded_channel();
        places.ask(&class, &gone);
        let (grants, mut granted): Grants = mpsc::unbounded_channel();
        places.ask(&class, &grants);
        drop(taken);
        drop(granted.try_recv().unwrap());
        assert_eq!(places.state().open, 0);
        let _taken = places.try_take(&class).unwrap();
        places.ask(&class, &gone);
        places.forget_gone();
        assert!(places.state().asked.is_empty());
    }
}
