//! Real processes under random harm: a workload, its history, and what must hold of it.
//!
//! `everlog dev`, or brokers, executors and gateways, run as they do for users. Callers make random calls
//! of random programs; faults strike by a schedule that follows from a seed; in the end everything is
//! healed, everything acknowledged must have its end, and the history is judged, with the event log as
//! its last witness.
//!
//! **Invariant:** what is judged is what callers, the outside world and the log saw. No process under
//! test knows of this crate.

pub mod checks;
pub mod driver;
pub mod fault;
pub mod fold;
mod functions;
pub mod history;
pub mod logs;
pub mod model;
pub mod outside;
pub mod owners;
pub mod program;
pub mod proxy;
pub mod recovery;
pub mod run;
pub mod stage;

pub use functions::serve as serve_functions;
