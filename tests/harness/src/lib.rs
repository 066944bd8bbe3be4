//! What end-to-end tests, benchmarks and the demo need to run real programs: processes that are
//! always ended, an HTTP client, and `everlog dev` on ports of its own.
//!
//! Everything waits for a condition with a deadline, never for a length of time.

mod collector;
mod everlog;
mod http;
mod kafka;
mod process;

pub use collector::{TraceCollector, TraceRequest};
pub use everlog::{Everlog, program};
pub use http::{Http, Reply};
pub use kafka::on_kafka;
pub use process::{Process, Usage, free_address, until_listening, within};
