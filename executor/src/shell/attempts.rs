//! The attempts that run for one partition.
//!
//! An executor runs a limited number of attempts at once. The invocations beyond it wait on disk,
//! as rows that say "running", and are found there when a place becomes free: there is no queue in
//! memory that could grow.
//!
//! **Invariant:** an attempt is started once per term. One that has ended stays known until its
//! last command is applied, so that the search for waiting invocations passes it over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::metadata::{Deployment, Handler, Metadata, PROTOCOL_VERSIONS};
use everlog_log_schema::{
    Append, AttemptError, AttemptFailed, AttemptId, Command, DeploymentId, End, Entry,
    InvocationId, InvocationRow, MetadataOffset, Millis, Pin, Status, Suspend, Target, Then,
};
use everlog_partition::{Tables, TablesError, after_failure, reads};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::StopReason;
use super::places::{Place, Places};
use super::sizes::{
    error_bytes, refusal_of_entry, refusal_of_wait_set, split_entries, wait_set_bytes,
};
use super::warnings::warn_of_failure;
use crate::config::ExecutorLimits;
use crate::invoker::{
    AttemptEvent, AttemptEventKind, AttemptHandle, AttemptStart, EventReceiver, EventSender,
    Invoker, event_channel,
};
use crate::metrics;

/// How many running rows one search for a waiting invocation looks at.
const SEARCH_ROWS_MAX: usize = 1_024;
/// How many events wait between attempts and their partition.
const EVENTS_MAX: usize = 256;
/// How many bytes those events may take, unless a single one takes more.
const EVENTS_BYTES_MAX: u32 = 32 << 20;
/// The code of an attempt that cannot start: its handler's code is not there.
const NOT_FOUND: u32 = 404;
/// The code of an attempt that took a step beyond the limits.
const TOO_LARGE: u32 = 413;
/// The code of an attempt that cannot start: no version of the protocol is common.
const UNSUPPORTED: u32 = 573;

/// An attempt of this term.
enum Live {
    Open(Box<Open>),
    /// Its last command is proposed, but not applied.
    Ended(AttemptId),
}

struct Open {
    attempt: AttemptId,
    handle: AttemptHandle,
    /// Goes with the first entries, unless an attempt before has recorded some.
    pin: Option<Pin>,
    _place: Place,
}

/// A command with the size of its variable parts, in bytes.
pub(crate) type Sized = (Command, usize);

/// The attempts of one partition.
pub(crate) struct Attempts {
    invoker: Arc<dyn Invoker>,
    metadata: watch::Receiver<Arc<Metadata>>,
    limits: ExecutorLimits,
    places: Places,
    events: EventSender,
    live: HashMap<InvocationId, Live>,
    /// Whether running rows may be there without an attempt.
    some_wait: bool,
    /// Where the search for them goes on; none for the first row.
    searched: Option<InvocationId>,
    /// Shared by the attempts of a deployment, as of the metadata's version.
    deployments: (MetadataOffset, HashMap<DeploymentId, Arc<Deployment>>),
    /// Whether all rows that the search has passed since the first one have an attempt.
    passed_all_live: bool,
    accepts: bool,
}

impl Attempts {
    /// No attempts yet. All running rows wait to be found.
    pub(crate) fn new(
        invoker: Arc<dyn Invoker>,
        metadata: watch::Receiver<Arc<Metadata>>,
        limits: ExecutorLimits,
        places: Arc<Semaphore>,
    ) -> (Self, EventReceiver) {
        let (events, receiver) = event_channel(EVENTS_MAX, EVENTS_BYTES_MAX);
        let attempts = Self {
            invoker,
            metadata,
            limits,
            places: Places::of(places),
            events,
            live: HashMap::new(),
            some_wait: true,
            searched: None,
            deployments: (MetadataOffset::default(), HashMap::new()),
            passed_all_live: true,
            accepts: true,
        };
        (attempts, receiver)
    }

    /// Starts no attempt any more.
    pub(crate) fn close(&mut self) {
        self.accepts = false;
        self.some_wait = false;
        self.places.give_up_turn();
    }

    /// Ends all attempts that are open.
    pub(crate) fn abort(&mut self) {
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
        if !self.accepts || self.live.get(&id).is_some_and(|live| live.attempt() == attempt) {
            return Ok(None);
        }
        self.live.remove(&id);
        // Where some wait, this one must not overtake them.
        let permit = if self.some_wait { None } else { self.places.try_take() };
        if let Some(permit) = permit {
            return self.launch(tables, id, permit, now);
        }
        self.some_wait = true;
        self.passed_all_live = false;
        Ok(None)
    }

    /// Waits for a place for an invocation that may wait for one; for ever if none does. May be
    /// dropped at any time: the partition's turn is kept.
    pub(crate) async fn place(&mut self) -> OwnedSemaphorePermit {
        if self.some_wait { self.places.take().await } else { std::future::pending().await }
    }

    /// Gives a place to the next invocation that waits for one.
    pub(crate) fn start_next_waiting(
        &mut self,
        tables: &impl Tables,
        permit: OwnedSemaphorePermit,
        now: Millis,
    ) -> Result<Option<Sized>, StopReason> {
        if self.searched.is_none() {
            self.passed_all_live = true;
        }
        for _ in 0..SEARCH_ROWS_MAX {
            self.searched = reads::next_running(tables, self.searched)?;
            match self.searched {
                Some(id) if self.live.contains_key(&id) => {}
                Some(id) => return self.launch(tables, id, permit, now),
                None => {
                    self.some_wait = !self.passed_all_live;
                    break;
                }
            }
        }
        Ok(None)
    }

    fn launch(
        &mut self,
        tables: &impl Tables,
        id: InvocationId,
        permit: OwnedSemaphorePermit,
        now: Millis,
    ) -> Result<Option<Sized>, StopReason> {
        // Metadata that nobody keeps up to date may not know the code any more.
        if self.metadata.has_changed().is_err() {
            return Err(StopReason::MetadataLost);
        }
        let epoch = reads::partition(tables)?.epoch;
        let row = reads::invocation(tables, id)?.filter(|row| row.status == Status::Running);
        let Some(row) = row else { return Ok(None) };
        let attempt = reads::current_attempt(&row, epoch);
        let metadata = Arc::clone(&self.metadata.borrow());
        let code = match Code::find(&metadata, &row) {
            Ok(code) => code,
            Err(error) => {
                self.live.insert(id, Live::Ended(attempt));
                warn_of_failure(id, &row, &error, &Then::Pause, now);
                let bytes = error_bytes(&error);
                let failed = AttemptFailed { invocation: id, attempt, error, then: Then::Pause };
                return Ok(Some((Command::AttemptFailed(failed), bytes)));
            }
        };
        let timeout = |of: fn(&Handler) -> Option<Millis>, default| {
            code.handler.and_then(of).map_or(default, |millis| Duration::from_millis(millis.0))
        };
        let deployment = share(&mut self.deployments, metadata.version, code.deployment);
        let start = AttemptStart {
            invocation: id,
            deployment,
            attempt,
            journal: reads::journal(tables, id, row.entries)?,
            protocol_version: code.protocol_version,
            failures_since_progress: row.failures_since_progress,
            since_progress: Millis(now.0.saturating_sub(row.progress_at.0)),
            inactivity_timeout: timeout(|of| of.inactivity_timeout, self.limits.inactivity_timeout),
            abort_timeout: timeout(|of| of.abort_timeout, self.limits.abort_timeout),
            target: row.target,
            traceparent: row.traceparent,
        };
        let pin = row.pin.is_none().then(|| Pin {
            deployment: code.deployment.id.clone(),
            protocol_version: code.protocol_version,
        });
        metrics::ATTEMPTS_STARTED.inc();
        let handle = self.invoker.start(start, self.events.clone());
        let open = Open { attempt, handle, pin, _place: Place::new(permit) };
        self.live.insert(id, Live::Open(Box::new(open)));
        Ok(None)
    }

    /// Tells an attempt that something has happened, if it is live.
    pub(crate) fn notify(&self, id: InvocationId, attempt: AttemptId, entry: Entry) {
        if let Some(Live::Open(open)) = self.live.get(&id)
            && open.attempt == attempt
        {
            open.handle.notify(entry);
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
            | Command::CheckpointOpened
            | Command::Checkpointed(_) => return,
        };
        if self.live.get(&id).is_some_and(|live| live.attempt() == attempt) {
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
            AttemptEventKind::Suspended(waiting) => match refusal_of_wait_set(&waiting) {
                None => {
                    let bytes = wait_set_bytes(&waiting);
                    Some((Command::Suspend(Suspend { invocation, attempt, waiting }), bytes))
                }
                Some(refusal) => {
                    let error = attempt_error(TOO_LARGE, refusal);
                    failed(tables, invocation, attempt, error, None, now)?
                }
            },
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
    fn attempt(&self) -> AttemptId {
        match self {
            Self::Open(open) => open.attempt,
            Self::Ended(attempt) => *attempt,
        }
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

/// The code to run an invocation with.
struct Code<'m> {
    deployment: &'m Deployment,
    handler: Option<&'m Handler>,
    protocol_version: u32,
}

impl<'m> Code<'m> {
    /// Finds the deployment that the invocation is pinned to, else the newest of its service.
    fn find(metadata: &'m Metadata, row: &InvocationRow) -> Result<Self, AttemptError> {
        let Target { service, handler, .. } = &row.target;
        let deployment = match &row.pin {
            Some(pin) => metadata.deployments.get(&pin.deployment).ok_or_else(|| {
                let id = &pin.deployment;
                attempt_error(
                    NOT_FOUND,
                    format!("[RT0011] deployment {id}, which the invocation began on, is removed"),
                )
            })?,
            None => {
                metadata.service(service).map(|(deployment, _)| deployment).ok_or_else(|| {
                    attempt_error(
                        NOT_FOUND,
                        format!("[RT0011] service {service} is not registered"),
                    )
                })?
            }
        };
        let found = deployment.services.iter().find(|offered| offered.name == *service);
        let found =
            found.and_then(|offered| offered.handlers.iter().find(|of| of.name == *handler));
        let protocol_version = match &row.pin {
            Some(pin) => pin.protocol_version,
            None => deployment.max_protocol_version.min(*PROTOCOL_VERSIONS.end()),
        };
        let spoken = deployment.min_protocol_version..=deployment.max_protocol_version;
        if !PROTOCOL_VERSIONS.contains(&protocol_version) || !spoken.contains(&protocol_version) {
            let (id, theirs, ours) = (&deployment.id, &spoken, &PROTOCOL_VERSIONS);
            let message = format!(
                "[RT0013] deployment {id} speaks versions {}–{} of the service protocol, this \
                 server {}–{}, and the invocation needs {protocol_version}",
                theirs.start(),
                theirs.end(),
                ours.start(),
                ours.end(),
            );
            return Err(attempt_error(UNSUPPORTED, message));
        }
        Ok(Self { deployment, handler: found, protocol_version })
    }
}

fn attempt_error(code: u32, message: String) -> AttemptError {
    AttemptError {
        code,
        message,
        command_index: None,
        command_name: None,
        delay_by_function: false,
    }
}
