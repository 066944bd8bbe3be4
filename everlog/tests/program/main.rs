//! The program as its users run it: as a process, with its exit codes and what it prints.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unused_async,
    reason = "tests, and handlers as the macros of the SDK want them"
)]

mod commands;
mod invocations;
mod process;
mod server;
