//! Traces: spans of calls, attempts and steps, sent to a collector by OTLP over HTTP.
//!
//! Entry points: [`Tracer::enter`], where a call comes in; [`Tracer::finish`], where something that
//! a trace tells of has ended; [`export()`], which sends spans away.
//!
//! The crates of OpenTelemetry are not used but in tests: the id of a span that functions call each
//! other by is stored before the span begins, what is dropped must be counted here, and a span is
//! eight small messages.
//!
//! **Architecture invariant:** nothing waits for a trace, and nothing fails for one. What cannot be
//! sent is counted and dropped; what is switched off costs a comparison. No other crate of ours but
//! the one that opens connections.

mod collector;
mod context;
mod export;
mod metrics;
mod span;
mod tracer;
mod wire;

pub use collector::{Collector, CollectorError};
pub use context::{SpanId, TraceContext, TraceId, TraceparentError};
pub use export::{Exporter, export};
pub use span::{Attribute, Span, SpanKind, UnixNanos};
pub use tracer::{Entered, Tracer};
