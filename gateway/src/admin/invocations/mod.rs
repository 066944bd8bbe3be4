//! Invocations: which there are, what each has done, and orders about them.
//!
//! Its invariant: nothing here is remembered. What is shown is what the partitions' owners say now,
//! and an order is answered only once its effect can be seen.

mod batch;
mod filter;
mod journal;
mod list;
mod one;
mod orders;
mod restart;
mod views;
mod waiting;

pub(super) use filter::Parameters;
pub(super) use orders::Verb;
