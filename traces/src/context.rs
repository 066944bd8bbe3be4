//! The W3C trace context: which trace something belongs to, and below which span.
//!
//! **Invariant:** a context that is read or made is valid: neither of its ids is zero.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// Set in the flags of a context whose spans are recorded.
const SAMPLED: u8 = 1;
/// The lengths of version, trace id, span id and flags, in hexadecimal digits.
const PART_DIGITS: [usize; 4] = [2, 32, 16, 2];

/// Names a trace: all that follows from one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// Names a span within a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

/// What a `traceparent` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that what is told of this context belongs below.
    pub span: SpanId,
    flags: u8,
}

/// A text is no `traceparent`: a trace that nobody can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no traceparent")]
pub struct TraceparentError;

impl TraceId {
    /// Its 16 bytes, as they are sent.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// Makes an id of a number; of zero, which is no span, it makes one.
    pub fn from_number(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// Makes an id that no other span has.
    pub fn random() -> Self {
        Self::from_number(rand::random())
    }

    /// Its 8 bytes, as they are sent.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceContext {
    /// Begins a trace, recorded or not.
    pub fn root(is_sampled: bool) -> Self {
        let trace = NonZeroU128::new(rand::random()).unwrap_or(NonZeroU128::MIN);
        let flags = if is_sampled { SAMPLED } else { 0 };
        Self { trace: TraceId(trace), span: SpanId::random(), flags }
    }

    /// The same trace, seen from another of its spans.
    #[must_use]
    pub fn with_span(self, span: SpanId) -> Self {
        Self { span, ..self }
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, as they were read.
    pub fn flags(self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace: TraceId(trace), span: SpanId(span), flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl FromStr for TraceContext {
    type Err = TraceparentError;

    fn from_str(text: &str) -> Result<Self, TraceparentError> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(TraceparentError);
        let known = [part()?, part()?, part()?, part()?];
        let well_formed = known.iter().zip(PART_DIGITS).all(|(part, digits)| {
            part.len() == digits
                && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        });
        let [version, trace, span, flags] = known;
        // A later version may have more parts; what is passed on is version 0.
        let has_more = version == "00" && parts.next().is_some();
        if !well_formed || version == "ff" || has_more {
            return Err(TraceparentError);
        }
        let trace = u128::from_str_radix(trace, 16).ok().and_then(NonZeroU128::new);
        let span = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new);
        Ok(Self {
            trace: TraceId(trace.ok_or(TraceparentError)?),
            span: SpanId(span.ok_or(TraceparentError)?),
            flags: u8::from_str_radix(flags, 16).map_err(|_| TraceparentError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_read_and_written() {
        let context: TraceContext = TRACE.parse().unwrap();
        assert_eq!(context.to_string(), TRACE);
        assert!(context.is_sampled());
        let later = format!("cc{}-more", TRACE.trim_start_matches("00"));
        assert_eq!(later.parse(), Ok(context));
        let other = context.with_span(SpanId::from_number(0xB));
        let expected = "00-0af7651916cd43dd8448eb211c80319c-000000000000000b-01";
        assert_eq!(other.to_string(), expected);
        assert_eq!(SpanId::from_number(0).to_bytes(), [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn flags_are_kept_and_one_of_them_says_whether_it_is_recorded() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let text = format!("{}{flags}", &TRACE[..TRACE.len() - 2]);
            let context: TraceContext = text.parse().unwrap();
            assert_eq!((context.is_sampled(), context.to_string()), (is_sampled, text));
        }
        for is_sampled in [false, true] {
            let root = TraceContext::root(is_sampled);
            assert_eq!(root.to_string().parse(), Ok(root));
            assert_eq!(root.is_sampled(), is_sampled);
        }
    }

    #[test]
    fn a_malformed_context_is_none() {
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
            assert_eq!(wrong.parse::<TraceContext>(), Err(TraceparentError), "{wrong}");
        }
    }
}
