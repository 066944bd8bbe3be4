//! The list of effects, in memory and as one JSON line each in a file.
//!
//! Invariant: sequence numbers are the positions in the list, from 0, without a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{EFFECTS_MAX, NAME_BYTES_MAX};

/// What a step asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectRequest {
    /// The invocation on whose behalf the step runs: the same on every attempt.
    pub invocation: String,
    /// The step's name.
    pub step: String,
    /// What the step is about, such as an order number. Rules may ask for it.
    #[serde(default)]
    pub subject: String,
}

/// One run of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The position in the list, from 0.
    pub sequence: u64,
    /// When it was recorded, in milliseconds of Unix time.
    pub time_ms: u64,
    /// What the effect was answered with; no other effect has the same.
    pub token: String,
    /// The invocation that asked.
    pub invocation: String,
    /// The step that ran.
    pub step: String,
    /// What the step was about.
    pub subject: String,
}

/// A step of an invocation that ran more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The invocation that asked.
    pub invocation: String,
    /// The step that ran again.
    pub step: String,
    /// What the step was about.
    pub subject: String,
    /// How often it ran, at least 2.
    pub runs: u64,
}

/// The list of effects, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All runs of all steps.
    pub effects: u64,
    /// Distinct invocations.
    pub invocations: u64,
    /// Runs by step name.
    pub runs_by_step: BTreeMap<String, u64>,
    /// The steps that ran more than once, ordered by invocation.
    pub repeats: Vec<Repeat>,
}

/// Why an effect was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum EffectLogError {
    /// A name is empty or too long: the caller must mend its request.
    #[error("{field} must have 1 to {NAME_BYTES_MAX} bytes")]
    Name {
        /// The field with the bad name.
        field: &'static str,
    },
    /// The list is full: start the service anew.
    #[error("failed to record the effect: {EFFECTS_MAX} are recorded already")]
    Full,
    /// The file took no more.
    #[error("failed to write the effects file")]
    File(#[from] io::Error),
}

/// The list of effects. Starts empty.
#[derive(Debug, Default)]
pub struct EffectLog {
    effects: Vec<Effect>,
    file: Option<File>,
}

impl EffectLog {
    /// Makes a list that is also written to `path`, replacing what was there.
    pub fn with_file(path: &Path) -> Result<Self, EffectLogError> {
        Ok(Self { effects: Vec::new(), file: Some(File::create(path)?) })
    }

    /// Records one run of a step at `time_ms` (Unix time, milliseconds) and gives it its token.
    pub fn record(
        &mut self,
        request: EffectRequest,
        time_ms: u64,
    ) -> Result<Effect, EffectLogError> {
        check(&request)?;
        if self.effects.len() >= EFFECTS_MAX {
            return Err(EffectLogError::Full);
        }
        let sequence = self.effects.len() as u64;
        let effect = Effect {
            sequence,
            time_ms,
            token: format!("{}-{sequence}", request.step),
            invocation: request.invocation,
            step: request.step,
            subject: request.subject,
        };
        if let Some(file) = &mut self.file {
            // One write call, so that a line is whole even if this process dies.
            let mut line = serde_json::to_vec(&effect).map_err(io::Error::from)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        self.effects.push(effect.clone());
        Ok(effect)
    }

    /// Lists all effects in the order in which they were recorded.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Counts the effects.
    pub fn summary(&self) -> Summary {
        let mut runs_by_step = BTreeMap::new();
        let mut invocations = BTreeSet::new();
        let mut runs = BTreeMap::new();
        for effect in &self.effects {
            *runs_by_step.entry(effect.step.clone()).or_insert(0) += 1;
            invocations.insert(effect.invocation.as_str());
            *runs
                .entry((effect.invocation.as_str(), effect.step.as_str(), effect.subject.as_str()))
                .or_insert(0) += 1;
        }
        let repeats = runs
            .into_iter()
            .filter(|(_, runs)| *runs > 1)
            .map(|((invocation, step, subject), runs)| Repeat {
                invocation: invocation.to_owned(),
                step: step.to_owned(),
                subject: subject.to_owned(),
                runs,
            })
            .collect();
        Summary {
            effects: self.effects.len() as u64,
            invocations: invocations.len() as u64,
            runs_by_step,
            repeats,
        }
    }
}

fn check(request: &EffectRequest) -> Result<(), EffectLogError> {
    for (field, name) in [("invocation", &request.invocation), ("step", &request.step)] {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(EffectLogError::Name { field });
        }
    }
    if request.subject.len() > NAME_BYTES_MAX {
        return Err(EffectLogError::Name { field: "subject" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(invocation: &str, step: &str) -> EffectRequest {
        EffectRequest {
            invocation: invocation.to_owned(),
            step: step.to_owned(),
            subject: String::new(),
        }
    }

    #[test]
    fn each_run_gets_a_token_of_its_own() {
        let mut log = EffectLog::default();
        let first = log.record(request("inv_1", "charge"), 1).unwrap().token;
        let second = log.record(request("inv_1", "charge"), 2).unwrap().token;
        assert_ne!(first, second);
        assert_eq!(log.effects()[1].sequence, 1);
    }

    #[test]
    fn the_summary_names_what_ran_again() {
        let mut log = EffectLog::default();
        for (invocation, step) in [("a", "charge"), ("b", "charge"), ("a", "charge"), ("a", "ship")]
        {
            log.record(request(invocation, step), 0).unwrap();
        }
        let summary = log.summary();
        assert_eq!((summary.effects, summary.invocations), (4, 2));
        assert_eq!(
            summary.runs_by_step,
            BTreeMap::from([("charge".into(), 3), ("ship".into(), 1)])
        );
        let repeats: Vec<_> = summary
            .repeats
            .iter()
            .map(|r| (r.invocation.as_str(), r.step.as_str(), r.runs))
            .collect();
        assert_eq!(repeats, [("a", "charge", 2)]);
    }

    #[test]
    fn names_are_limited() {
        let mut log = EffectLog::default();
        log.record(request(&"i".repeat(NAME_BYTES_MAX), "s"), 0).unwrap();
        for bad in
            [request("", "s"), request("i", ""), request("i", &"s".repeat(NAME_BYTES_MAX + 1))]
        {
            assert!(matches!(log.record(bad, 0), Err(EffectLogError::Name { .. })));
        }
        assert_eq!(log.effects().len(), 1);
    }

    #[test]
    fn the_file_has_one_line_for_each_effect() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("effects.jsonl");
        let mut log = EffectLog::with_file(&path).unwrap();
        log.record(request("inv_1", "charge"), 7).unwrap();
        log.record(request("inv_1", "ship"), 8).unwrap();
        let read: Vec<Effect> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, log.effects());
    }
}
