//! The HTTP invoker against real functions, and against endpoints that are none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

mod connections;
mod hostile;
mod sdk;
mod server;
mod shell;
