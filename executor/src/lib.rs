//! wip
pub mod invoker;
