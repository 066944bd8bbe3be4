//! Where the program's own logs go: to standard error, so that what it prints stays readable.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat, Settings};

/// Starts logging. A filter that cannot be read is said so, and replaced by the default; and so is
/// said what is set and has no effect.
pub(crate) fn start(config: &Config) {
    let settings = &config.settings;
    let (filter, complaint) = match EnvFilter::builder().parse(&settings.log) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(Settings::default().log), Some(error)),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would say so with a macro that panics where standard error is closed.
    let logs = logs.log_internal_errors(false);
    match settings.log_format {
        LogFormat::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            logs.with_target(false).with_ansi(terminal).init();
        }
        LogFormat::Json => logs.json().init(),
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "the setting `log` cannot be read; logging at level info");
    }
    for phrase in &config.unheeded {
        tracing::warn!("{phrase} (docs/configuration.md)");
    }
}
