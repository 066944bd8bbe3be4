//! The attempts that run for one partition.
//!
//! An executor runs a limited number of attempts at once, of each deployment, and of services and
//! handlers for which that is wanted. Whoever finds no place waits in [`Lines`].
//!
//! **Invariant:** an attempt is started once per term. One that has ended stays known until its
//! last command is applied, so that the search for waiting invocations passes it over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::metadata::{Deployment, EagerState, Handler, Metadata};
use everlog_log_schema::{
    Append, AttemptError, AttemptFailed, AttemptId, Command, DeploymentId, End, Epoch,
    InvocationId, InvocationRow, MetadataOffset, Millis, Pin, Status, Suspend, Then,
};
use everlog_partition::{Tables, TablesError, after_failure, reads};
use tokio::sync::{mpsc, watch};

use super::code::{Code, attempt_error};
use super::eager::read_state;
use super::error::StopReason;
use super::lines::Lines;
use super::places::{Class, Place, Places};
use super::sizes::{
    error_bytes, refusal_of_entry, refusal_of_wait_set, split_entries, wait_set_bytes,
};
use super::warnings::warn_of_failure;
use crate::config::ExecutorLimits;
use crate::invoker::{
    AttemptEvent, AttemptEventKind, AttemptHandle, AttemptStart, EventReceiver, EventSender,
    Invoker, Notice, event_channel,
};
use crate::metrics;

/// How many running rows are looked at in one go in the search for those that wait.
const SEARCH_ROWS_MAX: usize = 256;
/// How many events wait between attempts and their partition.
const EVENTS_MAX: usize = 256;
/// How many bytes those events may take, unless a single one takes more.
const EVENTS_BYTES_MAX: u32 = 32 << 20;
/// The code of an attempt that took a step beyond the limits.
const TOO_LARGE: u32 = 413;

/// An invocation that runs in this term.
enum Live {
    /// It waits for a place.
    Waiting,
    Open(Box<Open>),
    /// Its last command is proposed, but not applied.
    Ended(AttemptId),
}

struct Open {
    attempt: AttemptId,
    handle: AttemptHandle,
    /// Goes with the first entries, unless an attempt before has recorded some.
    pin: Option<Pin>,
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
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
    lines: Lines,
    /// Where places come that were asked for, and how.
    granted: (mpsc::UnboundedSender<Place>, mpsc::UnboundedReceiver<Place>),
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
    ) -> (Self, EventReceiver) {
        let (events, receiver) = event_channel(EVENTS_MAX, EVENTS_BYTES_MAX);
        let attempts = Self {
            epoch,
            invoker,
            metadata,
            limits,
            lines: Lines::new(Arc::clone(&places)),
            places,
            granted: mpsc::unbounded_channel(),
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
            Some(Live::Waiting) => return Ok(None),
            Some(Live::Open(open)) if open.attempt == attempt => return Ok(None),
            Some(Live::Ended(ended)) if *ended == attempt => return Ok(None),
            Some(Live::Open(_) | Live::Ended(_)) | None => {}
        }
        self.live.remove(&id);
        let Some(running) = Running::find(tables, id, self.epoch)? else { return Ok(None) };
        // What came behind it has made it an attempt of the past: the next one is asked for too.
        if running.attempt != attempt {
            return Ok(None);
        }
        self.offer(tables, running, now)
    }

    /// Waits for a place for somebody who waits for one; for ever if nobody does. May be dropped
    /// at any time: nothing is lost.
    pub(crate) async fn place(&mut self) -> Place {
        self.granted.1.recv().await.expect("the other end is here too")
    }

    /// Gives a place, and what else is free, to those who wait for such.
    pub(crate) fn on_place(
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
            if !matches!(self.live.get(&id), Some(Live::Waiting)) {
                continue;
            }
            let Some(taken) = place.take().or_else(|| self.places.try_take(&class)) else {
                self.lines.put_back(&class, id);
                break;
            };
            self.live.remove(&id);
            let Some(running) = Running::find(tables, id, self.epoch)? else {
                place = Some(taken);
                continue;
            };
            let metadata = self.metadata()?;
            match Code::find(&metadata, &running.row) {
                Ok(code) if code.class(&running.row) == class.key => {
                    self.launch(tables, &metadata, &code, running, taken, now)?;
                }
                // Its service has got another deployment meanwhile.
                Ok(_) => {
                    place = Some(taken);
                    failed.extend(self.offer(tables, running, now)?);
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
        let code = match Code::find(&metadata, &running.row) {
            Ok(code) => code,
            Err(error) => return Ok(Some(self.refuse(running, error, now))),
        };
        let class = self.lines.class(code.class(&running.row));
        let place = if self.lines.is_empty(&class) { self.places.try_take(&class) } else { None };
        if let Some(place) = place {
            self.launch(tables, &metadata, &code, running, place, now)?;
        } else if self.lines.join(&class, running.id) {
            self.live.insert(running.id, Live::Waiting);
            self.ask(&class);
        }
        Ok(None)
    }

    /// Asks for a place for the first in line, if there is one.
    fn ask(&mut self, class: &Arc<Class>) {
        if self.lines.ask(class) {
            self.places.ask(class, &self.granted.0);
        }
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
        warn_of_failure(id, &row, &error, &Then::Pause, now);
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
        let eager_state = code.handler.map_or(&EagerState::Nothing, |handler| &handler.eager_state);
        let start = AttemptStart {
            invocation: id,
            attempt,
            kind: row.kind,
            state: read_state(tables, &row.target, eager_state, limits.eager_state_bytes_max)?,
            metadata: self.metadata.clone(),
            unkeyed_retention: limits.unkeyed_retention.into(),
            deployment: share(&mut self.deployments, metadata.version, code.deployment),
            journal: reads::journal(tables, id, row.entries)?,
            protocol_version: code.protocol_version,
            failures_since_progress: row.failures_since_progress,
            since_progress: Millis(now.0.saturating_sub(row.progress_at.0)),
            inactivity_timeout: timeout(|of| of.inactivity_timeout, limits.inactivity_timeout),
            abort_timeout: timeout(|of| of.abort_timeout, limits.abort_timeout),
            target: row.target,
            traceparent: row.traceparent,
        };
        let pin = row.pin.is_none().then(|| Pin {
            deployment: code.deployment.id.clone(),
            protocol_version: code.protocol_version,
        });
        metrics::ATTEMPTS_STARTED.inc();
        let handle = self.invoker.start(start, self.events.clone());
        self.live.insert(id, Live::Open(Box::new(Open { attempt, handle, pin, place })));
        Ok(())
    }

    /// Tells an attempt that something has happened, if it is live.
    pub(crate) fn notify(&self, id: InvocationId, attempt: AttemptId, notice: Notice) {
        if let Some(Live::Open(open)) = self.live.get(&id)
            && open.attempt == attempt
        {
            open.handle.notify(notice);
        }
    }

    /// Ends whatever attempt of an invocation is open.
    pub(crate) fn stop(&mut self, id: InvocationId) {
        self.live.remove(&id);
    }

    /// Forgets an attempt whose last command is applied.
    pub(crate) fn settle(&mut self, command: &Command) {
        let (id, attempt) = match command {
            Command::Suspend(suspend) => (suspend.invocation, suspend.attempt),
            Command::AttemptFailed(failed) => (failed.invocation, failed.attempt),
            Command::End(end) => (end.invocation, end.attempt),
            Command::AnnounceOwner(_)
            | Command::Resign
            | Command::Ingest(_)
            | Command::Append(_)
            | Command::TimerFired(_)
            | Command::OutboxDelivered(_)
            | Command::CheckpointOpened
            | Command::Checkpointed(_) => return,
        };
        if self.live.get(&id).is_some_and(|live| live.attempt() == Some(attempt)) {
            self.live.remove(&id);
        }
    }

    /// Turns what an attempt did into commands. One that is not open any more is not heard.
    pub(crate) fn on_event(
        &mut self,
        tables: &impl Tables,
        event: AttemptEvent,
        now: Millis,
    ) -> Result<Vec<Sized>, TablesError> {
        let AttemptEvent { invocation, attempt, kind } = event;
        let Some(Live::Open(open)) = self.live.get_mut(&invocation) else { return Ok(Vec::new()) };
        if open.attempt != attempt {
            return Ok(Vec::new());
        }
        let last = match kind {
            AttemptEventKind::Entries { first_command, entries } => {
                let Some(refusal) = entries.iter().find_map(refusal_of_entry) else {
                    let pin = open.pin.take();
                    let append = Append { invocation, attempt, first_command, entries, pin };
                    return Ok(split_entries(append));
                };
                let error = attempt_error(TOO_LARGE, refusal);
                failed(tables, invocation, attempt, error, None, now)?
            }
            AttemptEventKind::Suspended { waiting, signals_told } => {
                match refusal_of_wait_set(&waiting) {
                    None => {
                        let bytes = wait_set_bytes(&waiting);
                        let suspend = Suspend { invocation, attempt, waiting, signals_told };
                        Some((Command::Suspend(suspend), bytes))
                    }
                    Some(refusal) => {
                        let error = attempt_error(TOO_LARGE, refusal);
                        failed(tables, invocation, attempt, error, None, now)?
                    }
                }
            }
            AttemptEventKind::Ended => Some((Command::End(End { invocation, attempt }), 0)),
            AttemptEventKind::Failed { error, retry_after } => {
                failed(tables, invocation, attempt, error, retry_after, now)?
            }
        };
        if last.is_some() {
            self.live.insert(invocation, Live::Ended(attempt));
        } else {
            self.live.remove(&invocation);
        }
        Ok(last.into_iter().collect())
    }
}

/// The command that ends a failed attempt, with what its retry policy says.
fn failed(
    tables: &impl Tables,
    invocation: InvocationId,
    attempt: AttemptId,
    mut error: AttemptError,
    retry_after: Option<Millis>,
    now: Millis,
) -> Result<Option<Sized>, TablesError> {
    metrics::ATTEMPTS_FAILED.inc();
    let Some(row) = reads::invocation(tables, invocation)? else { return Ok(None) };
    error.delay_by_function = retry_after.is_some();
    let then = after_failure(&row, now, retry_after);
    warn_of_failure(invocation, &row, &error, &then, now);
    let bytes = error_bytes(&error);
    let failed = AttemptFailed { invocation, attempt, error, then };
    Ok(Some((Command::AttemptFailed(failed), bytes)))
}

impl Live {
    fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Waiting => None,
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

/// A deployment as all attempts that use it share it.
fn share(
    shared: &mut (MetadataOffset, HashMap<DeploymentId, Arc<Deployment>>),
    version: MetadataOffset,
    deployment: &Deployment,
) -> Arc<Deployment> {
    if shared.0 != version {
        *shared = (version, HashMap::new());
    }
    let of_id = shared.1.entry(deployment.id.clone());
    Arc::clone(of_id.or_insert_with(|| Arc::new(deployment.clone())))
}
