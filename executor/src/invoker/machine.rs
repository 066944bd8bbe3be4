//! The service protocol of one attempt, without I/O: bytes, notifications and time-outs go in;
//! bytes for the function and events for the shell come out.
//!
//! **Invariants:** every entry that leaves was valid at its place in the journal; the last event is
//! one of `Suspended`, `Ended` and `Failed`, and nothing the function says after it is looked at;
//! the events depend on the bytes alone, not on how they were cut into chunks.

mod completions;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use completions::Completions;
use everlog_log_schema::limits::JOURNAL_COMMANDS_MAX;
use everlog_log_schema::metadata::{PROTOCOL_VERSIONS, ProtocolMode};
use everlog_log_schema::{CompletionId, Entry, NotificationId, WaitSet};

use super::error::Failure;
use super::frame::{FLAG_REQUESTED_ACK, Frame, FrameDecoder, kind};
use super::messages::{Function, Outgoing, decode, output_command, pb, run_proposal};
use super::{AttemptEventKind, AttemptStart, Notice};

/// Entries for the function are encoded in runs of about this size, in bytes, so that a long
/// journal is never in memory twice.
const CHUNK_BYTES: usize = 64 << 10;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Machine {
    decoder: FrameDecoder,
    /// Messages for the function, encoded.
    outgoing: Outgoing,
    /// Entries for the function, behind those: first the journal, then notifications.
    untold: VecDeque<Entry>,
    events: Vec<AttemptEventKind>,
    phase: Phase,
    function: Function,
    /// How many commands the journal holds, with those of this attempt.
    commands: u32,
    completions: Completions,
    /// All entries of the journal below this index are told, or were written by this attempt.
    next_notice: u32,
    /// How many signals the journal held when the attempt began.
    signals_known: u32,
    /// How many signals the function is told, those among them.
    signals_told: u32,
    /// Whether the output is among the commands.
    has_output: bool,
    abort_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Both sides may speak.
    Open,
    /// The function is told nothing more and should suspend or end.
    Closing,
    /// The function has had its last word.
    Ended,
    /// The function was cut off, or has gone.
    Failed,
}

/// What one message amounts to.
enum Meaning {
    Step(Entry),
    Last(AttemptEventKind),
}

impl Machine {
    /// Begins an attempt: the start message and the journal are ready to be sent.
    pub(crate) fn new(start: AttemptStart) -> Self {
        let mut machine = Self {
            decoder: FrameDecoder::default(),
            outgoing: Outgoing::new(start.protocol_version),
            untold: VecDeque::new(),
            events: Vec::new(),
            phase: match start.deployment.mode {
                ProtocolMode::BidiStream => Phase::Open,
                // Such a function answers only once its input has ended.
                ProtocolMode::RequestResponse => Phase::Closing,
            },
            function: Function::of(&start),
            commands: 0,
            completions: Completions::default(),
            next_notice: u32::try_from(start.journal.len()).expect("journals are bounded"),
            signals_known: 0,
            signals_told: 0,
            has_output: false,
            abort_timeout: start.abort_timeout,
        };
        machine.outgoing.push_start(&start);
        match machine.recall(&start) {
            Ok(()) => machine.untold = start.journal.into(),
            Err(failure) => machine.fail(failure),
        }
        machine
    }

    /// Learns from the journal what earlier attempts did.
    fn recall(&mut self, start: &AttemptStart) -> Result<(), Failure> {
        if !PROTOCOL_VERSIONS.contains(&start.protocol_version) {
            return Err(Failure::UnsupportedVersion(start.protocol_version));
        }
        for (index, entry) in start.journal.iter().enumerate() {
            if (index == 0) != matches!(entry, Entry::Input { .. }) {
                return Err(Failure::Internal(format!("journal entry {index} is out of place")));
            }
            match entry {
                Entry::Input { .. } => self.commands += 1,
                Entry::Command { effect, .. } => {
                    self.commands += 1;
                    self.completions.declare(effect)?;
                }
                Entry::Output { .. } => {
                    self.commands += 1;
                    self.has_output = true;
                }
                Entry::Notification { id, .. } => self.tell(id)?,
            }
        }
        self.signals_known = self.signals_told;
        self.completions.begin();
        Ok(())
    }

    /// Notes that the function is told of a notification.
    fn tell(&mut self, id: &NotificationId) -> Result<(), Failure> {
        match id {
            NotificationId::Completion { id, kind } => self.completions.complete(*id, *kind),
            NotificationId::Signal(_) => {
                self.signals_told += 1;
                Ok(())
            }
        }
    }

    /// Takes the next bytes from the function.
    pub(crate) fn receive(&mut self, chunk: &[u8]) {
        if self.is_over() {
            return;
        }
        self.decoder.push(chunk);
        let first_command = self.commands;
        let mut entries = Vec::new();
        let last = loop {
            match self.next_meaning() {
                Ok(None) => break None,
                Ok(Some(Meaning::Step(entry))) => entries.push(entry),
                Ok(Some(Meaning::Last(event))) => break Some((event, Phase::Ended)),
                Err(failure) => break Some((failure.into_event(), Phase::Failed)),
            }
        };
        self.report(first_command, entries);
        if let Some((event, phase)) = last {
            self.finish(event, phase);
        }
    }

    /// Learns that the function has closed its side.
    pub(crate) fn receive_end(&mut self) {
        let place = if self.decoder.is_cut() { "in the middle of a message" } else { "too early" };
        self.fail(Failure::Violation(format!(
            "its response ended {place}, without a suspension, an error or an end"
        )));
    }

    /// Passes a durable notification on to the function. Each is passed once, and none after the
    /// function's input was closed: the next attempt finds it in the journal.
    pub(crate) fn notify(&mut self, Notice { index, entry }: Notice) {
        if self.phase != Phase::Open || index < self.next_notice {
            return;
        }
        let Entry::Notification { id, .. } = &entry else {
            return self.fail(Failure::Internal("an entry that is no notification".to_owned()));
        };
        match self.tell(id) {
            Ok(()) => {
                self.next_notice = index + 1;
                self.untold.push_back(entry);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Asks the function to suspend: it is told nothing more, and its input ends.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    /// Learns that nobody has spoken for the inactivity time-out or, once the function was asked
    /// to suspend, for the abort time-out.
    pub(crate) fn on_silence(&mut self) {
        match self.phase {
            Phase::Open => self.close(),
            Phase::Closing => self.fail(Failure::AbortTimeout(self.abort_timeout)),
            Phase::Ended | Phase::Failed => {}
        }
    }

    /// Ends the attempt for a reason that lies outside the protocol.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if !self.is_over() {
            self.finish(failure.into_event(), Phase::Failed);
        }
    }

    /// Takes out the events so far.
    pub(crate) fn take_events(&mut self) -> Vec<AttemptEventKind> {
        std::mem::take(&mut self.events)
    }

    /// Takes out the next bytes to send to the function.
    pub(crate) fn take_bytes(&mut self) -> Option<Bytes> {
        while self.outgoing.len() < CHUNK_BYTES {
            let Some(entry) = self.untold.pop_front() else { break };
            self.outgoing.push_entry(&entry);
        }
        self.outgoing.take()
    }

    /// Whether there are bytes to send to the function.
    pub(crate) fn has_bytes(&self) -> bool {
        self.outgoing.len() > 0 || !self.untold.is_empty()
    }

    /// Whether the function's input ends behind the bytes taken out so far.
    pub(crate) fn is_input_closed(&self) -> bool {
        self.phase != Phase::Open && !self.has_bytes()
    }

    /// Whether the function, if it waits, waits for others: it knows all that it is to know, does
    /// no run of its own, and may still be asked to suspend.
    pub(crate) fn may_only_wait(&self) -> bool {
        self.phase == Phase::Open && !self.has_bytes() && self.completions.come_from_others()
    }

    /// Whether the function was asked to suspend, and how long it may take is what counts now.
    pub(crate) fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Whether the last event is out.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Failed)
    }

    /// Whether the last event was the function's own word.
    pub(crate) fn is_ended_by_function(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Adds to the entries that nobody has taken out yet, so that they become one record.
    fn report(&mut self, first_command: u32, mut more: Vec<Entry>) {
        if let Some(AttemptEventKind::Entries { entries, .. }) = self.events.last_mut() {
            entries.append(&mut more);
        } else if !more.is_empty() {
            self.events.push(AttemptEventKind::Entries { first_command, entries: more });
        }
    }

    fn finish(&mut self, event: AttemptEventKind, phase: Phase) {
        self.events.push(event);
        self.phase = phase;
        self.outgoing.clear();
        self.untold.clear();
        self.decoder = FrameDecoder::default();
    }

    fn next_meaning(&mut self) -> Result<Option<Meaning>, Failure> {
        let Some(Frame { kind, flags, payload }) = self.decoder.next()? else { return Ok(None) };
        let known_flags = if kind == kind::PROPOSE_RUN_COMPLETION { FLAG_REQUESTED_ACK } else { 0 };
        if flags & !known_flags != 0 {
            return Err(Failure::Violation(format!(
                "it set the flags {flags:#06x} on a message of type {kind:#06x}"
            )));
        }
        let meaning = match kind {
            kind::SUSPENSION => Meaning::Last(self.suspension(payload)?),
            kind::ERROR => {
                let error: pb::ErrorMessage = decode("Error", payload)?;
                Meaning::Last(Failure::Function(error).into_event())
            }
            kind::END => Meaning::Last(self.end(payload)?),
            _ => Meaning::Step(self.step(kind, payload)?),
        };
        Ok(Some(meaning))
    }

    /// Takes in a message that becomes an entry of the journal.
    fn step(&mut self, kind: u16, payload: Bytes) -> Result<Entry, Failure> {
        if self.has_output {
            return Err(Failure::Violation(format!(
                "it sent a message of type {kind:#06x} after its output"
            )));
        }
        if kind == kind::PROPOSE_RUN_COMPLETION {
            let (id, entry) = run_proposal(payload)?;
            self.completions.propose(id)?;
            return Ok(entry);
        }
        let entry = match kind {
            kind::OUTPUT => output_command(payload)?,
            _ => self.function.command(self.commands, kind, payload)?,
        };
        match &entry {
            Entry::Command { effect, .. } => self.completions.declare(effect)?,
            Entry::Output { .. } => self.has_output = true,
            Entry::Input { .. } | Entry::Notification { .. } => {
                unreachable!("no command is read as one of these")
            }
        }
        self.commands += 1;
        if self.commands > JOURNAL_COMMANDS_MAX {
            return Err(Failure::JournalTooLong);
        }
        Ok(entry)
    }

    fn suspension(&mut self, payload: Bytes) -> Result<AttemptEventKind, Failure> {
        let message: pb::SuspensionMessage = decode("Suspension", payload)?;
        let waiting = WaitSet {
            completions: message.waiting_completions.into_iter().map(CompletionId).collect(),
            signals: message.waiting_signals,
            named_signals: message.waiting_named_signals,
        };
        if self.has_output {
            return Err(Failure::Violation("it suspended after its output".to_owned()));
        }
        self.completions.check_wait_set(&waiting)?;
        // One that suspends unasked may not have heard what it was told last.
        let asked = self.is_input_closed();
        let signals_told = if asked { self.signals_told } else { self.signals_known };
        Ok(AttemptEventKind::Suspended { waiting, signals_told })
    }

    fn end(&mut self, payload: Bytes) -> Result<AttemptEventKind, Failure> {
        let pb::EndMessage {} = decode("End", payload)?;
        if !self.has_output {
            return Err(Failure::Violation("it ended without an output".to_owned()));
        }
        Ok(AttemptEventKind::Ended)
    }
}

#[cfg(test)]
mod tests;
