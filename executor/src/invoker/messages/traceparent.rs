//! The W3C trace context of an invocation that a function calls.
//!
//! **Invariant:** it depends on the caller's trace and the call alone, not on the attempt that
//! makes it, so that a command which is taken in again says the same.

use everlog_log_schema::RequestId;
use everlog_traces::{SpanId, TraceContext};

/// Makes the context that the callee continues: the trace is the caller's, the span one of the call's
/// own. None where the caller's is malformed: a trace that nobody can follow is not passed on.
pub(super) fn of_callee(callers: &str, call: RequestId) -> Option<String> {
    let callers: TraceContext = callers.parse().ok()?;
    let [high, low] = [call.0 >> 64, call.0 & u128::from(u64::MAX)];
    let span = u64::try_from(high ^ low).expect("both are its halves");
    Some(callers.with_span(SpanId::from_number(span)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callee_goes_on_with_the_trace_in_the_span_of_its_call() {
        const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c";
        let of = |span: &str, call| of_callee(&format!("{TRACE}-{span}-01"), RequestId(call));
        let expected = format!("{TRACE}-000000000000000b-01");
        for caller in ["b7ad6b7169203331", "0000000000000001"] {
            assert_eq!(of(caller, 11).as_deref(), Some(&*expected));
            assert_eq!(of(caller, 0xB << 64).as_deref(), Some(&*expected));
        }
        assert_eq!(of("0000000000000000", 11), None);
    }
}
