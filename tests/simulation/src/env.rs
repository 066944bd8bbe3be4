//! What all actors of one world share: time, chance, the log, the inbox, and who watches.

use std::collections::VecDeque;

use everlog_log_schema::{Life, Millis, Outcome, Row, SignalId, Status};
use everlog_partition::{Acceptance, Logged};

use crate::bug::{Bug, ShellBug};
use crate::coverage::{Case, Coverage};
use crate::fault::Faults;
use crate::history::{CallId, Event, Recorded, hash_of};
use crate::inbox::Inbox;
use crate::journal::Journal;
use crate::log::Log;
use crate::observer::{Observer, describe};
use crate::properties::{Properties, Violation};
use crate::rng::{Rng, mix};

/// The lines of a trace that a failure shows.
const TRACE_LINES: usize = 120;

/// A process died: its step ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashed;

/// What an owner tells a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The invocation ended so.
    Answer(Outcome),
    /// There is no such invocation.
    NotFound,
}

/// A readable account of a run, and a hash of all of it.
#[derive(Debug, Default)]
pub struct Trace {
    tail: VecDeque<String>,
    hash: u64,
}

/// What the actors of one world share.
#[derive(Debug)]
pub struct Env {
    /// The true time.
    pub now: Millis,
    /// The seed's only source of chance.
    pub rng: Rng,
    /// What goes wrong, how often.
    pub faults: Faults,
    /// The mistake that is made on purpose.
    pub bug: Bug,
    /// What was met.
    pub coverage: Coverage,
    /// The event log.
    pub log: Log,
    /// The inbox.
    pub inbox: Inbox,
    /// The journal topic.
    pub journal: Journal,
    /// What functions wait for that somebody outside must send them.
    pub awaited: Vec<(Life, SignalId)>,
    /// How many more restarts operators order: each makes an invocation, and a world must end.
    pub restarts_left: u32,
    /// Replies on their way to callers.
    pub replies: Vec<(CallId, Reply)>,
    /// The fold of the durable log.
    pub observer: Observer,
    /// The first violation.
    pub violation: Option<Violation>,
    properties: Properties,
    trace: Option<Trace>,
}

impl Env {
    /// Makes the surroundings of a seed's world.
    pub fn new(seed: u64, bug: Bug, traced: bool) -> Self {
        let mut rng = Rng::new(mix(seed));
        let faults = Faults::draw(&mut rng);
        Self {
            now: Millis(1_000_000),
            rng,
            faults,
            bug,
            coverage: Coverage::default(),
            log: Log::default(),
            inbox: Inbox::default(),
            journal: Journal::default(),
            awaited: Vec::new(),
            restarts_left: 5,
            replies: Vec::new(),
            observer: Observer::default(),
            violation: None,
            properties: Properties::default(),
            trace: traced.then(Trace::default),
        }
    }

    /// Tells the world outside what a function waits for.
    pub fn await_signal(&mut self, life: Life, signal: &SignalId) {
        let awaited = (life, signal.clone());
        if !self.awaited.contains(&awaited) {
            self.awaited.push(awaited);
        }
    }

    /// Whether this mistake is made.
    pub fn is(&self, bug: ShellBug) -> bool {
        self.bug == Bug::Shell(bug)
    }

    /// Writes a line of the trace, if there is one.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            let line = format!("{now} {}", line());
            trace.hash = mix(trace.hash ^ hash_of(line.as_bytes()));
            if trace.tail.len() == TRACE_LINES {
                trace.tail.pop_front();
            }
            trace.tail.push_back(line);
        }
    }

    /// The trace's tail and the hash of all of it.
    pub fn trace(&self) -> (String, u64) {
        let Some(trace) = &self.trace else { return (String::new(), 0) };
        let lines: Vec<&str> = trace.tail.iter().map(String::as_str).collect();
        (lines.join("\n"), trace.hash)
    }

    /// Shows an event to the properties.
    pub fn observe(&mut self, event: &Event<'_>) {
        if let Err(violation) = self.properties.observe(event, &mut self.coverage) {
            self.violate(violation);
        }
    }

    /// Asks the properties whether all is well in the end.
    pub fn finish(&mut self) {
        if let Err(violation) = self.properties.finish() {
            self.violate(violation);
        }
    }

    /// Keeps the first violation.
    pub fn violate(&mut self, violation: Violation) {
        self.note(|| format!("VIOLATION of {}: {}", violation.property, violation.what));
        self.violation.get_or_insert(violation);
    }

    /// How many invocations are under way, and how many are paused.
    pub fn under_way(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for (_, row) in self.observer.tables().rows() {
            let Row::Invocation(row) = row else { continue };
            match row.status {
                Status::Completed { .. } => {}
                Status::Paused => counts.1 += 1,
                Status::Scheduled { .. }
                | Status::Pending { .. }
                | Status::Running
                | Status::Suspended(_)
                | Status::BackingOff { .. } => counts.0 += 1,
            }
        }
        counts
    }

    /// Kills the process at one of the points of its loop, sometimes.
    pub fn crash_point(&mut self, point: Case) -> Result<(), Crashed> {
        if self.rng.chance(self.faults.crash_point) {
            self.coverage.hit(point);
            return Err(Crashed);
        }
        Ok(())
    }

    /// Makes the oldest landed record durable: it is acknowledged, can be read, and counts.
    pub fn make_durable(&mut self) {
        let Some(stored) = self.log.make_durable() else { return };
        self.note(|| format!("log {} <- {}", stored.offset, describe(&stored.record)));
        let (offset, hash, record) = (stored.offset, stored.hash, stored.record.as_ref());
        let accepted = match self.observer.fold(Logged { offset, hash, record }) {
            Ok(acceptance) => acceptance == Acceptance::Accepted,
            Err(error) => {
                self.violate(Violation::new("the partition goes on", error.to_string()));
                return;
            }
        };
        if !accepted {
            self.note(|| format!("log {offset} is ignored"));
        }
        let recorded = Recorded {
            offset,
            record,
            accepted,
            changes: self.observer.changes(),
            added: self.observer.added(),
            actions: self.observer.actions(),
            at: self.now,
        };
        let event = Event::Recorded(&recorded);
        if let Err(violation) = self.properties.observe(&event, &mut self.coverage) {
            self.violate(violation);
        }
    }
}
