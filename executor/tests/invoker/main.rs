//! The HTTP invoker against real functions, and against endpoints that are none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

#[path = "../../../connect/tests/authority/mod.rs"]
mod authority;
mod commands;
mod connections;
mod hostile;
mod lanes;
mod modes;
mod partition;
mod patience;
mod places;
mod reads;
mod sdk;
mod server;
mod shell;
mod traces;
