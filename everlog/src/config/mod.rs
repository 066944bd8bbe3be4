//! Configuration: a file, the environment and flags, each of which overrides the one before.
//!
//! Invariant: nothing that is given is passed over in silence. A key that is not known, or a value
//! that cannot be, ends the program with the place where it stands.

mod aliases;
mod flags;
mod kafka;
mod layers;
mod manual;
mod settings;
mod show;
mod table;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub(crate) use flags::SettingFlags;
pub(crate) use settings::{LogFormat, Settings};
pub(crate) use show::{ConfigCommand, run};
#[cfg(test)]
pub(crate) use units::ByteSize;
pub(crate) use units::Period;

use self::layers::Given;

/// The file that is read where no other is named.
const FILE: &str = "everlog.toml";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of the file.
    File { path: PathBuf, line: usize },
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl Place {
    /// How strong the layer is: a stronger one overrides a weaker one.
    const fn strength(&self) -> u8 {
        match self {
            Self::File { .. } => 0,
            Self::Environment(_) => 1,
            Self::Flag(_) => 2,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// What is written is no TOML.
    #[error("{place}: this is no TOML: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// There is no such setting.
    #[error("{place}: unknown setting `{key}`{}; `everlog config show` lists all", guess(nearest.as_deref()))]
    Unknown {
        /// Where.
        place: Place,
        /// What is written.
        key: String,
        /// What is probably meant.
        nearest: Option<String>,
    },
    /// A setting cannot have this value.
    #[error("{place}: `{key}` must be {expected}: {reason}")]
    Invalid {
        /// Where.
        place: Place,
        /// Which setting.
        key: String,
        /// What may be written.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
}

fn guess(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default()
}

/// The settings in force, and where they come from.
#[derive(Debug)]
pub(crate) struct Config {
    /// The settings.
    pub(crate) settings: Settings,
    /// The file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// Where each value comes from that is not the default.
    places: BTreeMap<String, Place>,
    /// What is set for a server of another kind and has no meaning here, a phrase each.
    pub(crate) unheeded: Vec<String>,
}

impl Config {
    /// Reads file, environment and flags.
    pub(crate) fn load(flags: &SettingFlags) -> Result<Self, ConfigError> {
        let file = match &flags.config {
            Some(path) => Some(path.clone()),
            None => Path::new(FILE).exists().then(|| FILE.into()),
        };
        let variables: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        let adopted = aliases::of_environment(&variables)?;
        let (mut given, mut unheeded) = (Vec::new(), adopted.unheeded);
        if let Some(path) = &adopted.file {
            let of_file = aliases::of_file(path, &read(path)?)?;
            given.extend(of_file.given);
            unheeded.extend(of_file.unheeded);
        }
        if let Some(path) = &file {
            given.extend(layers::of_file(path, &read(path)?)?);
        }
        given.extend(adopted.given);
        given.extend(layers::of_environment(variables.into_iter())?);
        given.extend(flags.given()?);
        let (settings, places) = merge(given)?;
        Ok(Self { settings, file, places, unheeded })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })
}

/// Lays values over the defaults, the later over the earlier.
fn merge(given: Vec<Given>) -> Result<(Settings, BTreeMap<String, Place>), ConfigError> {
    let mut tree = Value::Object(Map::new());
    let mut places = BTreeMap::new();
    for Given { path, value, place } in given {
        let mut alone = Value::Object(Map::new());
        set(&mut alone, &path, value.clone());
        let key = path.join(".");
        if let Err(error) = serde_json::from_value::<Settings>(alone) {
            let reason = error.to_string();
            let expected = table::find(&path).map_or("known", |setting| setting.unit.expected());
            return Err(ConfigError::Invalid { place, key, expected, reason });
        }
        set(&mut tree, &path, value);
        places.insert(key, place);
    }
    let mut settings = serde_json::from_value(tree).expect("each value was read alone");
    let_the_stronger_keep(&mut settings, &mut places);
    Ok((settings, places))
}

/// Keeps the data where a layer wants it that overrides the one that wants it kept nowhere.
fn let_the_stronger_keep(settings: &mut Settings, places: &mut BTreeMap<String, Place>) {
    let (Some(folder), Some(nowhere)) = (places.get("data_dir"), places.get("ephemeral")) else {
        return;
    };
    if settings.ephemeral && folder.strength() > nowhere.strength() {
        settings.ephemeral = false;
        places.insert("ephemeral".to_owned(), folder.clone());
    }
}

fn set(tree: &mut Value, path: &[String], value: Value) {
    let [first, rest @ ..] = path else {
        *tree = value;
        return;
    };
    if let Value::Object(fields) = tree {
        let field = fields.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
        set(field, rest, value);
    }
}

#[cfg(test)]
mod tests;
