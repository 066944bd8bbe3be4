//! What this build calls itself.

/// The version and the commit, such as `0.1.0 (a1b2c3d4e5)`.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("EVERLOG_COMMIT"), ")");
