//! A span: something that took some time, as part of a trace.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{SpanId, TraceContext};

/// A point in time, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The system's time; 0 where it is set before 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What a span tells. It carries no payload and no key of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace and its id.
    pub context: TraceContext,
    /// The span that it is a part of, unless the trace begins with it.
    pub parent: Option<SpanId>,
    /// What happened, in few words.
    pub name: String,
    /// Which side of what happened it tells of.
    pub kind: SpanKind,
    /// When it began.
    pub start: UnixNanos,
    /// When it ended. Not before its start is enforced where it is sent: clocks may be set.
    pub end: UnixNanos,
    /// More about it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it failed.
    pub is_error: bool,
}

/// Which side of what happened a span tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// A step within.
    Internal,
    /// A call that was answered.
    Server,
    /// A call that was made.
    Client,
    /// A message that was sent, and nobody waited.
    Producer,
}

/// What a span says about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}
