//! The service protocol of one attempt, without I/O: bytes, notifications and time-outs go in;
//! bytes for the function and events for the shell come out.
//!
//! **Invariants:** every entry that leaves was valid at its place in the journal; the last event is
//! one of `Suspended`, `Ended` and `Failed`, and nothing the function says after it is looked at;
//! the events depend on the bytes alone, not on how they were cut into chunks. (When its questions
//! about the state go out depends on when it takes in the answers.)

mod completions;
mod reads;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use completions::Completions;
use everlog_log_schema::limits::JOURNAL_COMMANDS_MAX;
use everlog_log_schema::metadata::{PROTOCOL_VERSIONS, ProtocolMode};
use everlog_log_schema::{CompletionId, Entry, FutureTree, NotificationId, NotificationResult};
use reads::Reads;

use super::error::Failure;
use super::frame::{FLAG_REQUESTED_ACK, Frame, FrameDecoder, kind};
use super::messages::{
    self, Function, Outgoing, STATE_READS_VERSION, TREES_VERSION, decode, output_command, pb,
    run_proposal,
};
use super::{AttemptEventKind, AttemptStart, Notice, StateRead};

/// Entries for the function are encoded in runs of about this size, in bytes, so that a long
/// journal is never in memory twice.
const CHUNK_BYTES: usize = 64 << 10;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Machine {
    protocol_version: u32,
    decoder: FrameDecoder,
    /// Messages for the function, encoded.
    outgoing: Outgoing,
    /// What the function is told behind those: first the journal, then what comes.
    untold: VecDeque<Untold>,
    events: Vec<AttemptEventKind>,
    /// What the function has said last that its code waits for, until somebody takes it out.
    awaiting_on: Option<FutureTree>,
    /// What the function asks of its state beside the journal.
    reads: Reads,
    /// Whether the last that the function has said is what its code waits for.
    says_it_waits: bool,
    mode: ProtocolMode,
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
    /// Whether the function has taken no step in this attempt.
    is_idle: bool,
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

/// Something that the function is to be told.
#[derive(Debug)]
enum Untold {
    /// An entry of the journal.
    Entry(Entry),
    /// That the result of a run is durable, which it has proposed itself.
    Ack(CompletionId),
    /// What its state has under a key that it has asked for.
    State { read: u32, value: Option<Bytes> },
}

/// What one message amounts to.
enum Meaning {
    Step(Entry),
    /// Nothing that counts.
    Hint,
    Last(AttemptEventKind),
}

impl Machine {
    /// Begins an attempt: the start message and the journal are ready to be sent.
    pub(crate) fn new(start: AttemptStart) -> Self {
        let mut machine = Self {
            protocol_version: start.protocol_version,
            decoder: FrameDecoder::default(),
            outgoing: Outgoing::new(start.protocol_version),
            untold: VecDeque::new(),
            events: Vec::new(),
            awaiting_on: None,
            reads: Reads::default(),
            says_it_waits: false,
            mode: start.deployment.mode,
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
            is_idle: true,
            abort_timeout: start.abort_timeout,
        };
        machine.outgoing.push_start(&start);
        match machine.recall(&start) {
            Ok(()) => machine.untold = start.journal.into_iter().map(Untold::Entry).collect(),
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
                Entry::Notification { id, result } => drop(self.tell(id, result)?),
            }
        }
        self.signals_known = self.signals_told;
        self.completions.begin();
        Ok(())
    }

    /// Notes that the function is told of a notification. Returns whether it is told in short.
    fn tell(
        &mut self,
        id: &NotificationId,
        result: &NotificationResult,
    ) -> Result<Option<CompletionId>, Failure> {
        match id {
            NotificationId::Completion { id, kind } => {
                let in_short = self.completions.complete(*id, *kind, result)?;
                Ok(in_short.then_some(*id))
            }
            NotificationId::Signal(_) => {
                self.signals_told += 1;
                Ok(None)
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
                Ok(Some(Meaning::Hint)) => {}
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
        let Entry::Notification { id, result } = &entry else {
            return self.fail(Failure::Internal("an entry that is no notification".to_owned()));
        };
        match self.tell(id, result) {
            Ok(in_short) => {
                self.next_notice = index + 1;
                self.untold.push_back(in_short.map_or(Untold::Entry(entry), Untold::Ack));
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Tells the function what its state has under a key that it has asked for, unless its input was
    /// closed meanwhile.
    pub(crate) fn tell_state(&mut self, read: u32, value: Option<Bytes>) {
        if self.phase == Phase::Open {
            self.untold.push_back(Untold::State { read, value });
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

    /// Takes out what the function has said last that its code waits for, if it has said so since
    /// this was last asked.
    pub(crate) fn take_awaiting_on(&mut self) -> Option<FutureTree> {
        self.awaiting_on.take()
    }

    /// Takes out what the function wants to know of its state, unless it waits for such an answer.
    pub(crate) fn take_read(&mut self) -> Option<StateRead> {
        if self.phase == Phase::Open { self.reads.next() } else { None }
    }

    /// Takes out the next bytes to send to the function.
    pub(crate) fn take_bytes(&mut self) -> Option<Bytes> {
        while self.outgoing.len() < CHUNK_BYTES {
            match self.untold.pop_front() {
                Some(Untold::Entry(entry)) => self.outgoing.push_entry(&entry),
                Some(Untold::Ack(completion)) => self.outgoing.push_ack(completion),
                Some(Untold::State { read, value }) => {
                    self.outgoing.push_state(read, value);
                    self.reads.answered();
                }
                None => break,
            }
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
    /// no run of its own, and may still be asked to suspend. One that could yet ask for its state must
    /// have said that it waits: it cannot be answered once it was asked to suspend.
    pub(crate) fn may_only_wait(&self) -> bool {
        self.phase == Phase::Open
            && !self.has_bytes()
            && (self.protocol_version < STATE_READS_VERSION || self.says_it_waits)
            && self.reads.is_empty()
            && self.completions.come_from_others()
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
        let knows_trees = self.protocol_version >= TREES_VERSION;
        let known_flags = if kind == kind::PROPOSE_RUN_COMPLETION { FLAG_REQUESTED_ACK } else { 0 };
        if flags & !known_flags != 0 {
            return Err(Failure::Violation(format!(
                "it set the flags {flags:#06x} on a message of type {kind:#06x}"
            )));
        }
        self.says_it_waits = kind == kind::AWAITING_ON;
        let meaning = match kind {
            kind::SUSPENSION => Meaning::Last(self.suspension(payload)?),
            kind::AWAITING_ON if knows_trees => {
                self.awaiting_on = messages::awaiting_on(payload)?.or(self.awaiting_on.take());
                Meaning::Hint
            }
            kind::ERROR => {
                let mut error: pb::ErrorMessage = decode("Error", payload)?;
                if !knows_trees {
                    error.behavior = 0;
                }
                Meaning::Last(Failure::Function(error).into_event())
            }
            kind::END => Meaning::Last(self.end(payload)?),
            kind::GET_STATE_EPHEMERAL if self.protocol_version >= STATE_READS_VERSION => {
                self.read_state(payload)?;
                Meaning::Hint
            }
            _ => {
                let entry = self.step(kind, flags, payload)?;
                self.is_idle = false;
                Meaning::Step(entry)
            }
        };
        Ok(Some(meaning))
    }

    /// Takes in a message that becomes an entry of the journal.
    fn step(&mut self, kind: u16, flags: u16, payload: Bytes) -> Result<Entry, Failure> {
        if self.has_output {
            return Err(Failure::Violation(format!(
                "it sent a message of type {kind:#06x} after its output"
            )));
        }
        if kind == kind::PROPOSE_RUN_COMPLETION {
            let (id, entry) = run_proposal(payload)?;
            let acknowledge =
                self.protocol_version >= TREES_VERSION && flags & FLAG_REQUESTED_ACK != 0;
            self.completions.propose(id, acknowledge)?;
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

    /// Takes in a question about the state that the journal does not keep.
    fn read_state(&mut self, payload: Bytes) -> Result<(), Failure> {
        let read = self.function.state_read(self.commands, payload)?;
        if self.mode == ProtocolMode::RequestResponse {
            let reason = "it asked for state beside the journal, and can be told nothing";
            return Err(Failure::Violation(reason.to_owned()));
        }
        if self.has_output {
            return Err(Failure::Violation("it asked for state after its output".to_owned()));
        }
        self.reads.push(read)
    }

    fn suspension(&mut self, payload: Bytes) -> Result<AttemptEventKind, Failure> {
        let waiting = messages::suspension(self.protocol_version, payload)?;
        if self.has_output {
            return Err(Failure::Violation("it suspended after its output".to_owned()));
        }
        self.completions.check_wait(&waiting, self.is_idle)?;
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
pub(super) mod tests;
