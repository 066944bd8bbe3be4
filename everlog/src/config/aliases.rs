//! The settings of a Restate server that mean something here too: its variables of the environment, and
//! the file that `RESTATE_CONFIG` names. What is written for such a server starts Everlog in the same way.
//!
//! Invariant: our file overrides theirs and our variables theirs, and what has no meaning here is named,
//! not passed over in silence.

use std::path::{Path, PathBuf};

use jiff::{Span, SpanRelativeTo};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::layers::{Given, is_of_kubernetes, of_text};
use super::{ConfigError, Place};

/// What their variables begin with.
const PREFIX: &str = "RESTATE_";
/// Names their file.
const FILE: &str = "RESTATE_CONFIG";

/// One of their settings.
pub(super) struct Alias {
    /// Its variable. In a file it is the same name in small letters: `worker.invoker.abort-timeout`.
    pub(super) variable: &'static str,
    /// What becomes of it.
    pub(super) meaning: Meaning,
}

/// What becomes of a setting.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// It is this setting of ours, once its value is written as ours are.
    Setting(&'static str, fn(&str) -> Result<String, String>),
    /// It has no effect, for this reason.
    Nothing(&'static str),
}

const fn alias(
    variable: &'static str,
    setting: &'static str,
    read: fn(&str) -> Result<String, String>,
) -> Alias {
    Alias { variable, meaning: Meaning::Setting(setting, read) }
}

/// All that mean something.
pub(super) const ALIASES: [Alias; 25] = [
    alias("RESTATE_BASE_DIR", "data_dir", same),
    alias("RESTATE_DEFAULT_NUM_PARTITIONS", "partitions", same),
    alias("RESTATE_INGRESS__BIND_ADDRESS", "ingress_address", same),
    alias("RESTATE_ADMIN__BIND_ADDRESS", "admin_address", same),
    alias("RESTATE_NODE_NAME", "cluster.name", same),
    alias("RESTATE_LOG_FILTER", "log", same),
    alias("RESTATE_LOG_FORMAT", "log_format", log_format),
    alias("RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT", "inactivity_timeout", duration),
    alias("RESTATE_WORKER__INVOKER__ABORT_TIMEOUT", "abort_timeout", duration),
    alias("RESTATE_WORKER__INVOKER__DISABLE_EAGER_STATE", "eager_state_bytes_max", eager_state),
    alias("RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT", "open_attempts_max", same),
    alias("RESTATE_WORKER__NUM_TIMERS_IN_MEMORY_LIMIT", "timers_in_memory_max", same),
    Alias {
        variable: "RESTATE_WORKER__CLEANUP_INTERVAL",
        meaning: Meaning::Nothing(
            "each invocation is forgotten by a timer of its own, at its time",
        ),
    },
    alias("RESTATE_DEFAULT_JOURNAL_RETENTION", "unkeyed_retention", duration),
    alias("RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL", "retry.initial_interval", duration),
    alias("RESTATE_DEFAULT_RETRY_POLICY__EXPONENTIATION_FACTOR", "retry.factor", same),
    alias("RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL", "retry.max_interval", duration),
    alias("RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS", "retry.max_attempts", attempts),
    alias("RESTATE_DEFAULT_RETRY_POLICY__ON_MAX_ATTEMPTS", "retry.on_max_attempts", small),
    alias(
        "RESTATE_WORKER__INVOKER__RETRY_POLICY__INITIAL_INTERVAL",
        "retry.initial_interval",
        duration,
    ),
    alias("RESTATE_WORKER__INVOKER__RETRY_POLICY__FACTOR", "retry.factor", same),
    alias("RESTATE_WORKER__INVOKER__RETRY_POLICY__MAX_INTERVAL", "retry.max_interval", duration),
    alias("RESTATE_WORKER__INVOKER__RETRY_POLICY__MAX_ATTEMPTS", "retry.max_attempts", attempts),
    alias("RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", "request_identity_file", same),
    alias("RESTATE_TRACING_SAMPLE_RATIO", "trace_sample_ratio", same),
];

/// What others' settings say here.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// Values of ours.
    pub(super) given: Vec<Given>,
    /// What has no meaning here, a phrase each.
    pub(super) unheeded: Vec<String>,
    /// Their file.
    pub(super) file: Option<PathBuf>,
}

impl Adopted {
    /// Takes a setting in.
    fn take(&mut self, variable: &str, text: &str, place: Place) -> Result<(), ConfigError> {
        let Some(alias) = ALIASES.iter().find(|alias| alias.variable == variable) else {
            self.unheeded.push(format!("{place}: {variable} means nothing to Everlog"));
            return Ok(());
        };
        match alias.meaning {
            Meaning::Nothing(reason) => {
                self.unheeded.push(format!("{place}: {variable} has no effect: {reason}"));
            }
            Meaning::Setting(key, read) => {
                let value = read(text).map_err(|reason| ConfigError::Invalid {
                    place: place.clone(),
                    key: key.to_owned(),
                    expected: "as a Restate server takes it",
                    reason,
                })?;
                let path = key.split('.').map(str::to_owned).collect();
                self.given.push(of_text(path, &value, place)?);
            }
        }
        Ok(())
    }
}

/// Reads the variables of the environment that are theirs.
pub(super) fn of_environment(variables: &[(String, String)]) -> Result<Adopted, ConfigError> {
    let mut adopted = Adopted::default();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if name == FILE {
            adopted.file = Some(text.into());
        } else if !is_of_kubernetes(rest) {
            adopted.take(name, text, Place::Environment(name.clone()))?;
        }
    }
    Ok(adopted)
}

/// Reads their file.
pub(super) fn of_file(path: &Path, text: &str) -> Result<Adopted, ConfigError> {
    let place = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        Place::File { path: path.to_owned(), line: before.matches('\n').count() + 1 }
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigError::Syntax { place: place(at), reason: error.message().to_owned() }
    })?;
    let mut adopted = Adopted::default();
    walk(PREFIX, parsed.into_inner(), &place, &mut adopted)?;
    Ok(adopted)
}

fn walk(
    above: &str,
    section: DeTable<'_>,
    place: &dyn Fn(usize) -> Place,
    adopted: &mut Adopted,
) -> Result<(), ConfigError> {
    for (key, value) in section {
        let place_of_key = place(key.span().start);
        let name = key.get_ref().replace('-', "_").to_uppercase();
        let variable = format!("{above}{name}");
        let value = value.into_inner();
        if let DeValue::Table(inner) = value {
            walk(&format!("{variable}__"), inner, place, adopted)?;
        } else {
            adopted.take(&variable, &text_of(&value), place_of_key)?;
        }
    }
    Ok(())
}

/// A value as a variable would have it.
fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the others may fail")]
fn same(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the others may fail")]
fn small(text: &str) -> Result<String, String> {
    Ok(text.trim().to_ascii_lowercase())
}

/// `10 seconds`, `500ms` or `PT10S`.
fn duration(text: &str) -> Result<String, String> {
    let malformed = || format!("`{text}` is no duration such as 10s or PT10S");
    let span: Span = text.trim().parse().map_err(|_| malformed())?;
    let duration =
        span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| malformed())?;
    let millis = u64::try_from(duration.as_millis()).map_err(|_| malformed())?;
    Ok(format!("{millis}ms"))
}

/// A number, or `unlimited`.
fn attempts(text: &str) -> Result<String, String> {
    match small(text)?.as_str() {
        "unlimited" => Ok("0".into()),
        "0" => Err("there is a first attempt: it must be at least 1, or `unlimited`".into()),
        number => Ok(number.to_owned()),
    }
}

/// Whether no state is sent eagerly.
fn eager_state(text: &str) -> Result<String, String> {
    match serde_json::from_str(text.trim()) {
        Ok(Value::Bool(true)) => Ok("0".into()),
        Ok(Value::Bool(false)) => Ok(super::Settings::default().eager_state_bytes_max.to_string()),
        Ok(_) | Err(_) => Err(format!("`{text}` is neither true nor false")),
    }
}

/// `pretty`, `compact` or `json`.
fn log_format(text: &str) -> Result<String, String> {
    match small(text)?.as_str() {
        "json" => Ok("json".into()),
        "pretty" | "compact" => Ok("human".into()),
        _ => Err(format!("`{text}` is none of pretty, compact and json")),
    }
}
