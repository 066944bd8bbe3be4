//! The attempts that run for one partition.
//!
//! An executor runs a limited number of attempts at once, of each deployment, and of services and
//! handlers for which that is wanted. Whoever finds no place waits in [`Lines`].
//!
//! **Invariant:** an attempt is started once per term. One that has ended stays known until its
//! last command is applied, so that the search for waiting invocations passes it over.

mod events;
mod settled;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::metadata::{Deployment, Handler, Metadata};
use everlog_log_schema::{
    AttemptError, AttemptFailed, AttemptId, Awaited, Command, DeploymentId, EDIT_STATE, Entry,
    Epoch, InvocationId, InvocationRow, MetadataOffset, Millis, Pin, Status, Then,
};
use everlog_partition::{Tables, TablesError, reads};
use tokio::sync::{mpsc, watch};

use super::begin::{Beginning, Begun, Read, Reader, large_bytes};
use super::code::{Code, share};
use super::error::StopReason;
use super::lines::Lines;
use super::places::{Class, Place, Places};
use super::sizes::error_bytes;
use super::warnings::warn_of_failure;
use crate::awaiting::{Awaiting, Hint};
use crate::config::ExecutorLimits;
use crate::invoker::{
    AttemptHandle, AttemptStart, CallNames, EventReceiver, EventSender, Invoker, Notice,
    StateEdits, StateRead, event_channel,
};
use crate::metrics;

/// How many running rows are looked at in one go in the search for those that wait.
const SEARCH_ROWS_MAX: usize = 256;
/// How many events wait between attempts and their partition.
pub(crate) const EVENTS_MAX: usize = 256;
/// How many bytes those events may take, unless a single one takes more.
const EVENTS_BYTES_MAX: u32 = 32 << 20;

/// An invocation that runs in this term.
enum Live {
    /// It waits for a place, and so many bytes of memory.
    Waiting(u64),
    /// What its attempt begins with is being read.
    Reading(Box<Reading>),
    Open(Box<Open>),
    /// Its last command is proposed, but not applied.
    Ended(AttemptId),
}

/// An attempt that begins with much.
struct Reading {
    start: AttemptStart,
    pin: Option<Pin>,
    /// What it will be told behind that.
    notices: Vec<Notice>,
}

struct Open {
    attempt: AttemptId,
    handle: AttemptHandle,
    /// What its code waits for, as it says.
    hint: Hint,
    /// What it wants to know of its state.
    read: Option<StateRead>,
    /// Goes with the first entries, unless an attempt before has recorded some.
    pin: Option<Pin>,
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
}

/// Something that attempts waited for.
pub(crate) enum News {
    /// A place that was asked for.
    Place(Place),
    /// What an attempt begins with.
    Read(Read),
}

/// A command with the size of its variable parts, in bytes.
pub(crate) type Sized = (Command, usize);

/// The attempts of one partition.
pub(crate) struct Attempts {
    /// That of the term.
    epoch: Epoch,
    invoker: Arc<dyn Invoker>,
    metadata: watch::Receiver<Arc<Metadata>>,
    limits: ExecutorLimits,
    places: Arc<Places>,
    awaiting: Arc<Awaiting>,
    lines: Lines,
    /// Where places come that were asked for, and how.
    granted: (mpsc::UnboundedSender<Place>, mpsc::UnboundedReceiver<Place>),
    reader: Reader,
    events: EventSender,
    live: HashMap<InvocationId, Live>,
    /// Shared by the attempts of a deployment, as of the metadata's version.
    deployments: (MetadataOffset, HashMap<DeploymentId, Arc<Deployment>>),
    accepts: bool,
}

impl Attempts {
    /// No attempts yet. All running rows wait to be found.
    pub(crate) fn new(
        epoch: Epoch,
        invoker: Arc<dyn Invoker>,
        metadata: watch::Receiver<Arc<Metadata>>,
        limits: ExecutorLimits,
        places: Arc<Places>,
        awaiting: Arc<Awaiting>,
        reader: Reader,
    ) -> (Self, EventReceiver) {
        let (events, receiver) = event_channel(EVENTS_MAX, EVENTS_BYTES_MAX);
        let attempts = Self {
            epoch,
            invoker,
            metadata,
            limits,
            lines: Lines::new(Arc::clone(&places)),
            places,
            awaiting,
            granted: mpsc::unbounded_channel(),
            reader,
            events,
            live: HashMap::new(),
            deployments: (MetadataOffset::default(), HashMap::new()),
            accepts: true,
        };
        (attempts, receiver)
    }

    /// Starts no attempt any more.
    pub(crate) fn close(&mut self) {
        self.accepts = false;
        self.lines.close();
        self.reader.close();
        self.granted = mpsc::unbounded_channel();
        self.places.forget_gone();
    }

    /// Ends all attempts that are open.
    pub(crate) fn abort(&mut self) {
        self.close();
        self.live.clear();
    }

    /// Whether an attempt is open.
    pub(crate) fn any_open(&self) -> bool {
        self.live.values().any(|live| matches!(live, Live::Open(_)))
    }

    /// Starts an attempt, or leaves it to wait for a place. A failure to start is the command that
    /// says so.
    pub(crate) fn start(
        &mut self,
        tables: &impl Tables,
        id: InvocationId,
        attempt: AttemptId,
        now: Millis,
    ) -> Result<Option<Sized>, StopReason> {
        match self.live.get(&id) {
            Some(Live::Waiting(_)) => return Ok(None),
            Some(live) if live.attempt() == Some(attempt) => return Ok(None),
            Some(Live::Reading(_) | Live::Open(_) | Live::Ended(_)) | None => {}
        }
        self.live.remove(&id);
        let Some(running) = Running::find(tables, id, self.epoch)? else { return Ok(None) };
        // What came behind it has made it an attempt of the past: the next one is asked for too.
        if running.attempt != attempt {
            return Ok(None);
        }
        self.offer(tables, running, now)
    }

    /// Waits for something that attempts wait for; for ever if none does. May be dropped at any
    /// time: nothing is lost.
    pub(crate) async fn news(&mut self) -> News {
        tokio::select! {
            place = self.granted.1.recv() => News::Place(place.expect("the other end is here too")),
            Some(read) = self.reader.next() => News::Read(read),
        }
    }

    /// Goes on with those who have waited for it.
    pub(crate) fn on_news(
        &mut self,
        tables: &impl Tables,
        news: News,
        now: Millis,
    ) -> Result<Vec<Sized>, StopReason> {
        match news {
            News::Place(place) => self.on_place(tables, place, now),
            News::Read(read) => {
                self.on_read(read)?;
                Ok(Vec::new())
            }
        }
    }

    /// Gives a place, and what else is free, to those who wait for such.
    fn on_place(
        &mut self,
        tables: &impl Tables,
        place: Place,
        now: Millis,
    ) -> Result<Vec<Sized>, StopReason> {
        let class = Arc::clone(place.class());
        self.lines.got(&class);
        let mut place = Some(place);
        let mut failed = Vec::new();
        while let Some(id) = self.lines.first(&class) {
            let Some(Live::Waiting(bytes)) = self.live.get(&id) else { continue };
            let enough = place.take().filter(|place| place.bytes() >= *bytes);
            let Some(taken) = enough.or_else(|| self.places.try_take(&class, *bytes)) else {
                self.lines.put_back(&class, id);
                break;
            };
            self.live.remove(&id);
            let Some(running) = Running::find(tables, id, self.epoch)? else {
                place = Some(taken);
                continue;
            };
            let metadata = self.metadata()?;
            match Code::find(&metadata, &running.row, self.limits.protocol_version_max) {
                Ok(code) => {
                    let bytes = self.large_bytes(tables, &code, &running.row)?;
                    let fits = code.class(&running.row, bytes > 0) == class.key;
                    if fits && bytes <= taken.bytes() {
                        self.launch(tables, &metadata, &code, running, taken, now)?;
                    } else {
                        // Its service has got another deployment meanwhile, or it has grown.
                        place = Some(taken);
                        failed.extend(self.offer(tables, running, now)?);
                    }
                }
                Err(error) => {
                    place = Some(taken);
                    failed.push(self.refuse(running, error, now));
                }
            }
        }
        self.ask(&class);
        Ok(failed)
    }

    /// Whether the search for invocations that wait on the disk must go on.
    pub(crate) fn searches(&self) -> bool {
        self.lines.searches()
    }

    /// Looks at some of the rows that say "running".
    pub(crate) fn search(
        &mut self,
        tables: &impl Tables,
        now: Millis,
    ) -> Result<Vec<Sized>, StopReason> {
        let mut failed = Vec::new();
        for _ in 0..SEARCH_ROWS_MAX {
            let Some(id) = self.lines.next(tables)? else { break };
            if !self.live.contains_key(&id)
                && let Some(running) = Running::find(tables, id, self.epoch)?
            {
                failed.extend(self.offer(tables, running, now)?);
            }
        }
        Ok(failed)
    }

    /// Starts an attempt if there is a place and nobody has waited longer for it; else lets it wait.
    fn offer(
        &mut self,
        tables: &impl Tables,
        running: Running,
        now: Millis,
    ) -> Result<Option<Sized>, StopReason> {
        if !self.accepts {
            return Ok(None);
        }
        let metadata = self.metadata()?;
        let code = match Code::find(&metadata, &running.row, self.limits.protocol_version_max) {
            Ok(code) => code,
            Err(error) => return Ok(Some(self.refuse(running, error, now))),
        };
        let bytes = self.large_bytes(tables, &code, &running.row)?;
        let class = self.lines.class(code.class(&running.row, bytes > 0));
        let is_first = self.lines.is_empty(&class);
        let place = if is_first { self.places.try_take(&class, bytes) } else { None };
        if let Some(place) = place {
            self.launch(tables, &metadata, &code, running, place, now)?;
        } else if self.lines.join(&class, running.id) {
            self.live.insert(running.id, Live::Waiting(bytes));
            self.ask(&class);
        }
        Ok(None)
    }

    /// Asks for a place for the first in line, if there is one.
    fn ask(&mut self, class: &Arc<Class>) {
        if let Some(first) = self.lines.ask(class) {
            let bytes = match self.live.get(&first) {
                Some(Live::Waiting(bytes)) => *bytes,
                // It waits for nothing any more: whoever is behind it asks for what it needs.
                Some(Live::Reading(_) | Live::Open(_) | Live::Ended(_)) | None => 0,
            };
            self.places.ask(class, bytes, &self.granted.0);
        }
    }

    fn large_bytes(
        &self,
        tables: &impl Tables,
        code: &Code<'_>,
        row: &InvocationRow,
    ) -> Result<u64, TablesError> {
        let (wanted, bytes_max) = code.eager_state(self.limits.eager_state_bytes_max);
        large_bytes(tables, row, wanted, bytes_max)
    }

    /// What is registered. Metadata that nobody keeps up to date may not know the code any more.
    fn metadata(&self) -> Result<Arc<Metadata>, StopReason> {
        if self.metadata.has_changed().is_err() {
            return Err(StopReason::MetadataLost);
        }
        Ok(Arc::clone(&self.metadata.borrow()))
    }

    /// The command that says that an attempt cannot start.
    fn refuse(&mut self, running: Running, error: AttemptError, now: Millis) -> Sized {
        let Running { id, row, attempt } = running;
        self.live.insert(id, Live::Ended(attempt));
        warn_of_failure(id, &row, &error, &Then::Pause, now, &self.metadata.borrow());
        let bytes = error_bytes(&error);
        let failed = AttemptFailed { invocation: id, attempt, error, then: Then::Pause };
        (Command::AttemptFailed(failed), bytes)
    }

    fn launch(
        &mut self,
        tables: &impl Tables,
        metadata: &Metadata,
        code: &Code<'_>,
        running: Running,
        place: Place,
        now: Millis,
    ) -> Result<(), TablesError> {
        let Running { id, row, attempt } = running;
        let limits = &self.limits;
        let timeout = |of: fn(&Handler) -> Option<Millis>, default| {
            code.handler.and_then(of).map_or(default, |millis| Duration::from_millis(millis.0))
        };
        let is_large = place.bytes() > 0;
        let (eager_state, state_bytes_max) = code.eager_state(limits.eager_state_bytes_max);
        let beginning = Beginning {
            invocation: id,
            attempt,
            entries: row.entries,
            target: row.target,
            eager_state: eager_state.clone(),
            state_bytes_max,
        };
        let begun = if is_large { Begun::default() } else { beginning.read(tables)? };
        let start = AttemptStart {
            invocation: id,
            attempt,
            target: beginning.target.clone(),
            named: CallNames {
                idempotency_key: row.idempotency_key,
                scope: row.scope,
                limit_key: row.limit_key,
            },
            kind: row.kind,
            state: begun.state,
            metadata: self.metadata.clone(),
            unkeyed_retention: limits.unkeyed_retention.into(),
            deployment: share(&mut self.deployments, metadata.version, code.deployment),
            journal: begun.journal,
            protocol_version: code.protocol_version,
            failures_since_progress: row.failures_since_progress,
            since_progress: Millis(now.0.saturating_sub(row.progress_at.0)),
            inactivity_timeout: timeout(|of| of.inactivity_timeout, limits.inactivity_timeout),
            abort_timeout: timeout(|of| of.abort_timeout, limits.abort_timeout),
            traceparent: row.traceparent,
            lender: Some(place.lender()),
            is_large,
        };
        let pin = row.pin.is_none().then(|| Pin {
            deployment: code.deployment.id.clone(),
            protocol_version: code.protocol_version,
        });
        if is_large {
            let reading = Reading { start, pin, notices: Vec::new() };
            self.live.insert(id, Live::Reading(Box::new(reading)));
            self.reader.push(beginning, place);
        } else {
            self.open(start, pin, place);
        }
        Ok(())
    }

    /// Starts an attempt whose beginning was read, if it is still wanted.
    fn on_read(&mut self, read: Read) -> Result<(), TablesError> {
        let Read { invocation, attempt, place, begun } = read;
        let live = self.live.get(&invocation).filter(|live| live.attempt() == Some(attempt));
        if !self.accepts || !matches!(live, Some(Live::Reading(_))) {
            return Ok(());
        }
        let Some(Live::Reading(reading)) = self.live.remove(&invocation) else { return Ok(()) };
        let Begun { journal, state } = begun?;
        let Reading { start, pin, notices } = *reading;
        self.open(AttemptStart { state, journal, ..start }, pin, place);
        for notice in notices {
            self.notify(invocation, attempt, notice);
        }
        Ok(())
    }

    fn open(&mut self, start: AttemptStart, pin: Option<Pin>, place: Place) {
        let (id, attempt) = (start.invocation, start.attempt);
        metrics::ATTEMPTS_STARTED.inc();
        let is_edit = start.target.handler == EDIT_STATE;
        let invoker: &dyn Invoker = if is_edit { &StateEdits } else { &*self.invoker };
        let handle = invoker.start(start, self.events.clone());
        let hint = Hint::new(&self.awaiting, id);
        let open = Open { attempt, handle, hint, read: None, pin, place };
        self.live.insert(id, Live::Open(Box::new(open)));
    }

    /// Tells an attempt that something has happened, if it is live.
    pub(crate) fn notify(&mut self, id: InvocationId, attempt: AttemptId, notice: Notice) {
        match self.live.get_mut(&id).filter(|live| live.attempt() == Some(attempt)) {
            Some(Live::Open(open)) => {
                if let Entry::Notification { id, .. } = &notice.entry {
                    open.hint.told(&Awaited::from(id));
                }
                open.handle.notify(notice);
            }
            Some(Live::Reading(reading)) => reading.notices.push(notice),
            Some(Live::Waiting(_) | Live::Ended(_)) | None => {}
        }
    }

    /// Ends whatever attempt of an invocation is open.
    pub(crate) fn stop(&mut self, id: InvocationId) {
        self.live.remove(&id);
    }
}

impl Live {
    fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Waiting(_) => None,
            Self::Reading(reading) => Some(reading.start.attempt),
            Self::Open(open) => Some(open.attempt),
            Self::Ended(attempt) => Some(*attempt),
        }
    }
}

/// An invocation that should have an attempt, and which.
struct Running {
    id: InvocationId,
    row: InvocationRow,
    attempt: AttemptId,
}

impl Running {
    fn find(
        tables: &impl Tables,
        id: InvocationId,
        reigning: Epoch,
    ) -> Result<Option<Self>, TablesError> {
        let row = reads::invocation(tables, id)?.filter(|row| row.status == Status::Running);
        Ok(row.map(|row| Self { id, attempt: reads::current_attempt(&row, reigning), row }))
    }
}
