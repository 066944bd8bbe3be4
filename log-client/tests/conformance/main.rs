//! What every backend of the event log must do, run on each of them.
//!
//! A case is written once, against the trait, in [`cases`]. Deadlines are generous: they only turn
//! a hang into a failure.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod cases;
mod embedded;
mod kafka;
mod support;
