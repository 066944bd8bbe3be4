//! What happened in a run, as one file of JSON lines: what callers asked and were told, what the
//! outside world saw, what the log says, and which faults struck.
//!
//! **Invariant:** an event is in memory and in the file before its cause goes on. A request is written
//! down before it is sent, an answer after it has come; so the time between the two contains the call.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::program::{Chain, Digest, Program};

/// How a program reaches its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// A call with an idempotency key, repeated until it is answered.
    Keyed,
    /// A call without one, made once.
    Plain,
    /// A one-way send with an idempotency key, repeated until it is accepted, then attached to.
    Sent,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A caller asks for the first time.
    Called {
        /// A number of its own.
        call: u64,
        /// The key.
        key: u32,
        /// In which way.
        how: How,
        /// What is to run.
        program: Program,
    },
    /// A send was accepted.
    Accepted {
        /// Which.
        call: u64,
        /// The invocation.
        invocation: String,
    },
    /// A caller has its answer, perhaps once more.
    Answered {
        /// Which.
        call: u64,
        /// The gateway that gave it.
        gateway: usize,
        /// The invocation.
        invocation: String,
        /// What it answered.
        digest: Digest,
    },
    /// A caller was told that its invocation has failed.
    Failed {
        /// Which.
        call: u64,
        /// The answer.
        what: String,
    },
    /// A caller does not know what became of its call, and does not ask again.
    Unknown {
        /// Which.
        call: u64,
        /// Why.
        why: String,
    },
    /// A shared handler has told how long the chain of a key is.
    Read {
        /// The key.
        key: u32,
        /// When it was asked.
        asked: u64,
        /// What it told.
        chain: Chain,
    },
    /// A function acted on the outside world.
    Effect {
        /// The invocation that it names.
        invocation: String,
        /// Its program.
        program: String,
        /// The step of the program.
        step: usize,
        /// What it was answered: names this act and no other.
        token: String,
    },
    /// The outside world resolves an awakeable for the first time.
    Resolved {
        /// Its program.
        program: String,
        /// The step of the program.
        step: usize,
        /// With what.
        value: String,
    },
    /// A fault begins.
    Fault {
        /// Its number.
        number: usize,
        /// What it is.
        what: String,
    },
    /// What a fault broke is back.
    Healed {
        /// Its number.
        number: usize,
    },
    /// The log holds the outcome of an invocation.
    Stored {
        /// The partition.
        partition: u32,
        /// The invocation.
        invocation: String,
        /// What it answered; else what its failure says.
        outcome: Result<Digest, String>,
    },
    /// The log holds the result of a step that acted on the outside world.
    RunStored {
        /// What the world had answered.
        token: String,
    },
    /// A partition has a new owner, by its log.
    Announced {
        /// The partition.
        partition: u32,
        /// The owner's number.
        epoch: u64,
    },
    /// At the end, what an object holds by what a handler reads.
    Ended {
        /// The key.
        key: u32,
        /// What it holds.
        chain: Chain,
        /// Its sum.
        sum: u64,
    },
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds of Unix time, by a clock that never goes back during a run. What comes from the
    /// log has the time at which the log took it, by the log's clock, which counts milliseconds.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A history that is being written.
#[derive(Debug)]
pub struct History {
    started: Instant,
    started_micros: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    lines: Vec<Line>,
}

impl History {
    /// Begins a history in a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("failed to make {}", path.display()));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            started: Instant::now(),
            started_micros: u64::try_from(since.as_micros())?,
            inner: Mutex::new(Inner { file: file?, lines: Vec::new() }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time now.
    pub fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.started_micros.saturating_add(elapsed)
    }

    /// Writes down what happens now.
    pub fn note(&self, event: Event) {
        self.note_at(self.now(), event);
    }

    /// Writes down what happened at a time. Panics where the file takes no more: a history with a
    /// hole proves nothing.
    pub fn note_at(&self, at: u64, event: Event) {
        let line = Line { at, event };
        let mut text = serde_json::to_vec(&line).expect("a line is JSON");
        text.push(b'\n');
        let mut inner = self.lock();
        inner.file.write_all(&text).expect("failed to write the history");
        inner.lines.push(line);
    }

    /// All that has happened so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lock().lines.clone()
    }

    /// How many calls have been answered for the first time, over all keys.
    pub fn answered(&self) -> usize {
        let inner = self.lock();
        inner.lines.iter().filter(|line| matches!(line.event, Event::Answered { .. })).count()
    }
}

/// Reads the history of an earlier run.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut lines = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{} line {}", path.display(), number + 1);
        lines.push(serde_json::from_str(&line?).with_context(place)?);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let history = History::create(&path).unwrap();
        history.note(Event::Fault { number: 3, what: "kill -9 everlog".into() });
        let outcome = Err("killed".to_owned());
        history.note(Event::Stored { partition: 1, invocation: "inv_1".into(), outcome });
        history.note(Event::Healed { number: 3 });
        let lines = history.lines();
        assert_eq!(read(&path).unwrap(), lines);
        assert!(lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
