//! What a file and the environment say, as a list of values with their places.

use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{self, Unit};
use super::{ConfigError, Place};

/// What our variables begin with.
const PREFIX: &str = "EVERLOG_";
/// Variables of ours that are no settings: where a command finds the server and the file, and what
/// the build and the tests of this program take.
const NO_SETTINGS: [&str; 6] =
    ["CONFIG", "INGRESS", "ADMIN", "COMMIT", "KAFKA_CACHE", "WRITE_GOLDEN"];

/// Variables of others that are settings here, too. Ours override them.
const STANDARD: [(&str, &str); 1] = [("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint")];

/// A value that is given.
#[derive(Debug)]
pub(super) struct Given {
    /// The setting's key, part by part. It is known.
    pub(super) path: Vec<String>,
    /// Its value, as it is written.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) place: Place,
}

/// Reads a file.
pub(super) fn of_file(path: &Path, text: &str) -> Result<Vec<Given>, ConfigError> {
    let place = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        Place::File { path: path.to_owned(), line: before.matches('\n').count() + 1 }
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        ConfigError::Syntax { place: place(at), reason: error.message().to_owned() }
    })?;
    let mut given = Vec::new();
    walk(&mut Vec::new(), parsed.into_inner(), &place, &mut given)?;
    Ok(given)
}

fn walk(
    path: &mut Vec<String>,
    section: DeTable<'_>,
    place: &dyn Fn(usize) -> Place,
    given: &mut Vec<Given>,
) -> Result<(), ConfigError> {
    for (key, value) in section {
        let place_of_key = place(key.span().start);
        path.push(key.get_ref().to_string());
        let folded = table::folded(path);
        if table::is_within_property(path)
            && let DeValue::Table(inner) = value.get_ref()
        {
            // `security.protocol` without quotes is a section for TOML, but none of ours.
            walk(path, inner.clone(), place, given)?;
        } else if table::find(&folded).is_some() {
            given.push(Given { path: folded, value: json(value), place: place_of_key });
        } else if !table::is_section(path) {
            return Err(unknown(path, place_of_key));
        } else if let DeValue::Table(inner) = value.into_inner() {
            walk(path, inner, place, given)?;
        } else {
            let reason = format!("write [{}], and settings below it", path.join("."));
            let (key, expected) = (path.join("."), "a section");
            return Err(ConfigError::Invalid { place: place_of_key, key, expected, reason });
        }
        path.pop();
    }
    Ok(())
}

fn json(value: Spanned<DeValue<'_>>) -> Value {
    Value::deserialize(value.into_deserializer()).unwrap_or(Value::Null)
}

/// Reads the variables of the environment that are ours, or mean the same to others.
pub(super) fn of_environment(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Given>, ConfigError> {
    let (mut given, mut ours) = (Vec::new(), Vec::new());
    for (name, text) in variables {
        if let Some((_, key)) = STANDARD.iter().find(|(standard, _)| *standard == name) {
            given.push(of_text(vec![(*key).to_owned()], &text, Place::Environment(name))?);
            continue;
        }
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if NO_SETTINGS.contains(&rest) || is_of_kubernetes(rest) {
            continue;
        }
        let path = path_of_variable(rest);
        ours.push(of_text(path, &text, Place::Environment(name))?);
    }
    given.append(&mut ours);
    Ok(given)
}

/// Reads a value that is given as a text.
pub(super) fn of_text(path: Vec<String>, text: &str, place: Place) -> Result<Given, ConfigError> {
    let Some(setting) = table::find(&path) else { return Err(unknown(&path, place)) };
    let value = match setting.unit {
        Unit::Number(_) | Unit::Switch => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        Unit::Texts => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.collect()
        }
        Unit::Text
        | Unit::Path
        | Unit::Address
        | Unit::HostPort
        | Unit::Word(_)
        | Unit::Duration
        | Unit::Bytes
        | Unit::Secret
        | Unit::Property => text.into(),
    };
    Ok(Given { path, value, place })
}

/// Reads the `KEY=VALUE` of a flag, the key as a TOML file would write it.
pub(super) fn of_assignment(flag: &str, text: &str) -> Result<Given, ConfigError> {
    let place = Place::Flag(format!("{flag} {text}"));
    let syntax = |reason: String| ConfigError::Syntax { place: place.clone(), reason };
    let (key, value) =
        text.split_once('=').ok_or_else(|| syntax(format!("`{text}` is not KEY=VALUE")))?;
    let document = format!("{key} = 0");
    let parsed = DeTable::parse(&document).map_err(|error| syntax(error.message().to_owned()))?;
    let mut path = Vec::new();
    let mut section = parsed.into_inner();
    while let Some((key, value)) = section.into_iter().next() {
        path.push(key.into_inner().into_owned());
        let DeValue::Table(inner) = value.into_inner() else { break };
        section = inner;
    }
    let path = table::folded(&path);
    let place =
        if table::is_secret(&path) { Place::Flag(format!("{flag} {key}=…")) } else { place };
    of_text(path, value.trim(), place)
}

fn unknown(path: &[String], place: Place) -> ConfigError {
    ConfigError::Unknown { place, key: path.join("."), nearest: table::nearest(path) }
}

/// The key that a variable names: parts are parted by `__`, and names keep their letters.
fn path_of_variable(rest: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for part in rest.split("__") {
        let behind_names = path.last().is_some_and(|last| last == "services" || last == "handlers");
        path.push(if behind_names { part.to_owned() } else { part.to_lowercase() });
    }
    property_of_variable(path)
}

/// A variable's name has no dots: `SASL_PASSWORD` is `sasl.password`.
fn property_of_variable(path: Vec<String>) -> Vec<String> {
    if !table::is_within_property(&path) {
        return path;
    }
    let mut folded = table::folded(&path);
    if let Some(name) = folded.last_mut() {
        *name = name.replace('_', ".");
    }
    folded
}

/// Kubernetes tells every container in such variables of a service that is called `everlog`.
pub(super) fn is_of_kubernetes(rest: &str) -> bool {
    let words: Vec<_> = rest.split('_').collect();
    // An empty word stands between the parts of a key of ours.
    if words.contains(&"") {
        return false;
    }
    match words.as_slice() {
        ["PORT"] | ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT", port, "TCP" | "UDP" | "SCTP"]
        | ["PORT", port, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"] => {
            port.parse::<u16>().is_ok()
        }
        _ => false,
    }
}
