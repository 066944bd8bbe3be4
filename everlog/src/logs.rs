//! Where the program's own logs go: to standard error, so that what it prints stays readable.

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Says how much is logged.
const FILTER: &str = "EVERLOG_LOG";
/// How much that is unless it is said. The Avro library warns of unions that our schemas need.
const DEFAULT: &str = "info,apache_avro=error";

/// Starts logging. A filter that cannot be read is said so, and replaced by the default.
pub(crate) fn start(format: LogFormat) {
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let (filter, complaint) = match EnvFilter::builder().parse(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new(DEFAULT), None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would say so with a macro that panics where standard error is closed.
    let logs = logs.log_internal_errors(false);
    match format {
        LogFormat::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            logs.with_target(false).with_ansi(terminal).init();
        }
        LogFormat::Json => logs.json().init(),
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "{FILTER} cannot be read; logging at level info");
    }
}
