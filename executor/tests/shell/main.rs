//! The executor on a real embedded log and real tables. The functions are programs of the test,
//! run by an [`Invoker`](everlog_executor::invoker::Invoker) of its own: the service protocol is
//! tested where it is spoken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod calls;
mod faults;
mod functions;
mod house;
mod owner_api;
mod ownership;
mod restarts;
mod stops;
