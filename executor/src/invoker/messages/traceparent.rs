//! The W3C trace context of an invocation that a function calls.
//!
//! **Invariant:** it depends on the caller's context and the callee alone, so that a command which
//! is taken in again says the same.

use everlog_log_schema::InvocationId;

/// The lengths of version, trace id, span id and flags, in hexadecimal digits.
const PART_DIGITS: [usize; 4] = [2, 32, 16, 2];

/// Makes the context that the callee continues: the trace is the caller's, the span one of its own.
/// None where the caller's is malformed: a trace that nobody can follow is not passed on.
pub(super) fn of_callee(callers: &str, callee: InvocationId) -> Option<String> {
    let mut parts = callers.split('-');
    let mut part = || parts.next();
    let known = [part()?, part()?, part()?, part()?];
    let well_formed = known.iter().zip(PART_DIGITS).all(|(part, digits)| {
        part.len() == digits && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    });
    let [version, trace, span, flags] = known;
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    // A later version may have more parts; what is passed on is version 0.
    let has_more = version == "00" && part().is_some();
    if !well_formed || version == "ff" || has_more || is_zero(trace) || is_zero(span) {
        return None;
    }
    let [high, low] = [callee.uuid >> 64, callee.uuid & u128::from(u64::MAX)];
    // Zero is no span.
    let span = (high ^ low).max(1);
    Some(format!("00-{trace}-{span:016x}-{flags}"))
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::PartitionKey;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(callers: &str, uuid: u128) -> Option<String> {
        of_callee(callers, InvocationId { partition_key: PartitionKey(7), uuid })
    }

    #[test]
    fn a_callee_goes_on_with_the_trace_in_a_span_of_its_own() {
        let expected = "00-0af7651916cd43dd8448eb211c80319c-000000000000000b-01";
        assert_eq!(of(TRACE, 11).as_deref(), Some(expected));
        assert_eq!(of(TRACE, 0xB << 64).as_deref(), Some(expected));
        let not_zero = "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01";
        assert_eq!(of(TRACE, (5 << 64) | 5).as_deref(), Some(not_zero));
        let later = format!("cc{}-more", TRACE.trim_start_matches("00"));
        assert_eq!(of(&later, 11).as_deref(), Some(expected));
    }

    #[test]
    fn a_malformed_context_is_not_passed_on() {
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let upper = TRACE.to_uppercase();
        let more = format!("{TRACE}-more");
        let forbidden = format!("ff{}", TRACE.trim_start_matches("00"));
        for wrong in [
            "",
            "00-1-2-01",
            &TRACE[1..],
            &TRACE[..54],
            &zero_trace,
            zero_span,
            &upper,
            &more,
            &forbidden,
        ] {
            assert_eq!(of(wrong, 11), None, "{wrong}");
        }
    }
}
