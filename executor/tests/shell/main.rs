//! The executor on a real embedded log and real tables. The functions are programs of the test,
//! run by an [`Invoker`](everlog_executor::invoker::Invoker) of its own: the service protocol is
//! tested where it is spoken.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by a panic"
)]

mod calls;
mod current;
mod faults;
mod function;
mod functions;
mod handovers;
mod house;
mod interventions;
mod journal;
mod journal_log;
mod limits;
mod logs;
mod messages;
mod owner_api;
mod ownership;
mod places;
mod restarts;
mod state;
mod stops;
mod switchboard;
