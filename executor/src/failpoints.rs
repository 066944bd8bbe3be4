//! Places where a test may kill the process, between any two things that must not be one.
//!
//! With the feature `failpoints`, `FAILPOINTS="executor::committed=5*off->return"` aborts at the
//! sixth time. Without it, nothing of this is compiled.

/// Aborts the process, as `kill -9` would, where a test has asked for it by this name.
pub(crate) fn crash_point(name: &'static str) {
    fail::fail_point!(name, |_| std::process::abort());
    let _ = name;
}

/// Reads `FAILPOINTS`. What it sets stays set for the life of the process.
pub(crate) fn arm() {
    #[cfg(feature = "failpoints")]
    {
        static ARMED: std::sync::Once = std::sync::Once::new();
        ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}
