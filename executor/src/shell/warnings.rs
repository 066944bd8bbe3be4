//! What whoever runs the functions is told about attempts that fail: most often these are theirs
//! to mend.
//!
//! **Invariant:** what a function says cannot forge lines of the log or flood it, and what a service
//! wants hidden is not in it.

use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::{
    AttemptError, InvocationId, InvocationRow, Millis, Target, Then, redacted,
};

/// How much of what a function says is quoted, in characters.
const QUOTED_CHARS_MAX: usize = 300;

/// Tells of a failed attempt: of the first since the invocation last got on, then of every time
/// that their number has doubled, and of the last.
pub(super) fn warn_of_failure(
    invocation: InvocationId,
    row: &InvocationRow,
    error: &AttemptError,
    then: &Then,
    now: Millis,
    metadata: &Metadata,
) {
    let failures = row.failures_since_progress.saturating_add(1);
    if !is_worth_telling(failures, then) {
        return;
    }
    let then = match then {
        Then::RetryAt(at) => format!("retry in {} ms", at.0.saturating_sub(now.0)),
        Then::Pause => "paused".to_owned(),
        Then::Kill => "ended".to_owned(),
    };
    let Target { service, handler, .. } = &row.target;
    let (code, message) = (error.code, shown(&error.message, &row.target, metadata));
    tracing::warn!(
        %invocation, service, handler, failures, code, then, "an attempt failed: {message}"
    );
}

fn is_worth_telling(failures: u32, then: &Then) -> bool {
    failures.is_power_of_two() || !matches!(then, Then::RetryAt(_))
}

/// What may be told of what a function said.
fn shown(message: &str, target: &Target, metadata: &Metadata) -> String {
    if metadata.is_redacted(&target.service, Some(&target.handler)) {
        redacted(message)
    } else {
        quoted(message)
    }
}

/// What a function said: one line, in quotation marks, control characters escaped.
fn quoted(message: &str) -> String {
    match message.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{message:?}"),
        Some((end, _)) => format!("{:?}…", message.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::{Header, REDACTED_LABEL};

    use super::*;
    use crate::invoker::registered;

    #[test]
    fn what_a_service_wants_hidden_is_not_told() {
        let mut metadata = Metadata::clone(&registered().borrow());
        let services = metadata.deployments.values_mut().flat_map(|of| &mut of.services);
        for service in services.filter(|service| service.name == "Order") {
            service.metadata.push(Header { key: REDACTED_LABEL.into(), value: "true".into() });
        }
        let told = |service: &str| {
            let target = Target { service: service.into(), key: None, handler: "pay".into() };
            shown("[RT0007] card 4711 was declined", &target, &metadata)
        };
        assert_eq!(told("Order"), "[RT0007] (redacted)");
        assert_eq!(told("Cart"), r#""[RT0007] card 4711 was declined""#);
    }

    #[test]
    fn what_a_function_says_stays_on_one_line_and_short() {
        assert_eq!(quoted("a\nERROR\u{1b}[31m"), r#""a\nERROR\u{1b}[31m""#);
        assert_eq!(quoted(&"é".repeat(300)), format!("\"{}\"", "é".repeat(300)));
        assert_eq!(quoted(&"é".repeat(301)), format!("\"{}\"…", "é".repeat(300)));
    }

    #[test]
    fn a_long_row_of_failures_is_told_of_ever_more_seldom_and_its_end_always() {
        let retry = Then::RetryAt(Millis(1));
        let told: Vec<u32> = (1..70).filter(|count| is_worth_telling(*count, &retry)).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
        assert!(is_worth_telling(70, &Then::Pause) && is_worth_telling(3, &Then::Kill));
    }
}
