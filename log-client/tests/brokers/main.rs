//! What the brokers of a real Kafka do to a log: one file for each thing that they do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod faults;
mod rights;
mod security;
mod support;
mod topics;
mod truncation;
