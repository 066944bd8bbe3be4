//! The partition's rules as scripts and laws, one file per operation.
//!
//! A script is the partition's log, one record a line; its expected trace repeats each line and
//! says what came of it. The language is described in [`script`].

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its traces so")]

mod acceptance;
mod answers;
mod append;
mod attach;
mod attempt_failed;
mod calls;
mod cancel;
mod checkpoint;
mod commands;
mod end;
mod entries;
mod expiry;
mod futures;
mod ingest;
mod invariants;
mod keys;
mod kill;
mod laws;
mod limits;
mod messages;
mod orders;
mod outbox;
mod owing;
mod packed;
mod promises;
mod reads;
mod restart;
mod retention;
mod retry;
mod script;
mod signals;
mod state;
mod stream;
mod suspend;
mod takeover;
mod timers;
mod trace;
mod trees;
mod wild;
mod words;
mod workflows;

use expect_test::Expect;

/// Applies a script and compares its trace with `want`.
fn check(script: &str, want: &Expect) {
    want.assert_eq(&script::run(script));
}
