//! The HTTP invoker against real functions, and against endpoints that are none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

mod commands;
mod connections;
mod hostile;
mod partition;
mod sdk;
mod server;
mod shell;
