//! Rules that make the outside world unpleasant: a step is refused, loses its answer, or is slow.
//!
//! Invariant: the first rule that fits decides, and a used-up rule is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::EffectRequest;

/// What shall happen to the steps it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The step's name.
    pub step: String,
    /// Only steps about this; without it, all.
    #[serde(default)]
    pub subject: Option<String>,
    /// Answer with this HTTP status instead of a token.
    #[serde(default)]
    pub status: Option<u16>,
    /// With `status`: record the effect all the same, as when an answer is lost on its way.
    #[serde(default)]
    pub record: bool,
    /// Wait this long between recording and answering, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often the rule applies; without it, for ever.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What shall happen to one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The status that replaces the token.
    pub status: Option<u16>,
    /// Whether the effect is kept off the list.
    pub unrecorded: bool,
    /// How long the answer waits.
    pub delay: Duration,
}

/// Judges `request` by the first rule that fits it, and counts that rule's use.
pub(crate) fn judge(rules: &mut Vec<Rule>, request: &EffectRequest) -> Verdict {
    let fits = |rule: &Rule| {
        rule.step == request.step
            && rule.subject.as_ref().is_none_or(|subject| *subject == request.subject)
    };
    let Some(position) = rules.iter().position(fits) else {
        return Verdict::default();
    };
    let Some(rule) = rules.get_mut(position) else {
        return Verdict::default();
    };
    let verdict = Verdict {
        status: rule.status,
        unrecorded: rule.status.is_some() && !rule.record,
        delay: Duration::from_millis(rule.delay_ms),
    };
    if let Some(times) = &mut rule.times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            rules.remove(position);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(step: &str, subject: &str) -> EffectRequest {
        EffectRequest {
            invocation: "inv_1".to_owned(),
            step: step.to_owned(),
            subject: subject.to_owned(),
        }
    }

    #[test]
    fn a_rule_fits_its_step_and_subject_alone() {
        let mut rules = vec![Rule {
            step: "charge".to_owned(),
            subject: Some("order-1".to_owned()),
            status: Some(402),
            ..Rule::default()
        }];
        assert_eq!(judge(&mut rules, &request("charge", "order-2")), Verdict::default());
        assert_eq!(judge(&mut rules, &request("ship", "order-1")), Verdict::default());
        let verdict = judge(&mut rules, &request("charge", "order-1"));
        assert_eq!((verdict.status, verdict.unrecorded), (Some(402), true));
        assert_eq!(rules.len(), 1);
    }

    #[test]
    fn a_counted_rule_is_used_up() {
        let mut rules = vec![Rule {
            step: "charge".to_owned(),
            status: Some(503),
            record: true,
            times: Some(2),
            ..Rule::default()
        }];
        for _ in 0..2 {
            let verdict = judge(&mut rules, &request("charge", ""));
            assert_eq!((verdict.status, verdict.unrecorded), (Some(503), false));
        }
        assert_eq!(judge(&mut rules, &request("charge", "")), Verdict::default());
        assert!(rules.is_empty());
    }
}
