//! The flags that set settings. Those that people need often have flags of their own; `--set`
//! reaches all.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::layers::{self, Given};
use super::settings::LogFormat;
use super::units::{Partitions, Period};
use super::{ConfigError, Place};

/// The flags of all commands that read the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingFlags {
    /// The configuration file [default: ./everlog.toml, if it is there].
    #[arg(long, value_name = "FILE", env = "EVERLOG_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set any setting, such as `history_bytes_max=1GiB`. May be repeated; docs/configuration.md
    /// and `everlog config show` list all.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder that holds everything. Made if it is not there [default: ./.everlog].
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep everything in a temporary folder that is removed at the end.
    #[arg(long)]
    ephemeral: bool,
    /// Where calls are taken in. Port 0 lets the system choose [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    ingress_address: Option<SocketAddr>,
    /// Where functions are registered, invocations managed and metrics read. It trusts whoever
    /// reaches it [default: 127.0.0.1:9070].
    #[arg(long, value_name = "ADDRESS")]
    admin_address: Option<SocketAddr>,
    /// Register the functions that answer here, by force where they have changed, and again
    /// whenever they change. May be repeated.
    #[arg(long, value_name = "URL")]
    register: Vec<String>,
    /// The number of partitions, 1 to 1024. Fixed when the data folder is made [default: 24].
    #[arg(long, value_name = "N")]
    partitions: Option<Partitions>,
    /// Do not wait for the disk. Faster; a loss of power, unlike a crash of this program, may lose
    /// what was acknowledged and leave a partition that refuses to start.
    #[arg(long)]
    no_fsync: bool,
    /// Let web pages of this origin call; * is any. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// How many attempts are open at once [default: 2000].
    #[arg(long, value_name = "N")]
    open_attempts_max: Option<u32>,
    /// After waiting for so long a function is asked to suspend; 0s: always at once [default: 1m].
    #[arg(long, value_name = "DURATION")]
    inactivity_timeout: Option<Period>,
    /// How long after that it has to end its attempt [default: 10m].
    #[arg(long, value_name = "DURATION")]
    abort_timeout: Option<Period>,
    /// The brokers of Kafka that are asked first, as `host:port`, with commas between them.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// How logs are written [default: human].
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

impl SettingFlags {
    /// What the flags say.
    pub(super) fn given(&self) -> Result<Vec<Given>, ConfigError> {
        let mut given = Vec::new();
        for text in &self.set {
            given.push(layers::of_assignment("--set", text)?);
        }
        let texts = |list: &[String]| (!list.is_empty()).then(|| Value::from(list));
        let values: [(&str, &str, Option<Value>); 13] = [
            ("data_dir", "--data-dir", self.data_dir.as_ref().map(|dir| text(dir.display()))),
            ("ephemeral", "--ephemeral", self.ephemeral.then_some(Value::Bool(true))),
            ("ingress_address", "--ingress-address", self.ingress_address.map(text)),
            ("admin_address", "--admin-address", self.admin_address.map(text)),
            ("register", "--register", texts(&self.register)),
            ("partitions", "--partitions", self.partitions.map(|number| number.0.into())),
            ("fsync", "--no-fsync", self.no_fsync.then_some(Value::Bool(false))),
            ("cors_origins", "--cors-origin", texts(&self.cors_origin)),
            ("open_attempts_max", "--open-attempts-max", self.open_attempts_max.map(Value::from)),
            ("inactivity_timeout", "--inactivity-timeout", self.inactivity_timeout.map(text)),
            ("abort_timeout", "--abort-timeout", self.abort_timeout.map(text)),
            ("kafka.bootstrap_servers", "--kafka", self.kafka.clone().map(Value::from)),
            (
                "log_format",
                "--log-format",
                self.log_format.map(|format| match format {
                    LogFormat::Human => "human".into(),
                    LogFormat::Json => "json".into(),
                }),
            ),
        ];
        given.extend(values.into_iter().filter_map(|(key, flag, value)| {
            let place = Place::Flag(flag.to_owned());
            let path = key.split('.').map(str::to_owned).collect();
            value.map(|value| Given { path, value, place })
        }));
        Ok(given)
    }
}

fn text(value: impl std::fmt::Display) -> Value {
    Value::String(value.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::super::Settings;
    use super::super::manual::default_of;
    use super::super::table::{SETTINGS, Unit};
    use super::*;

    #[test]
    fn the_flags_are_those_of_the_table_and_tell_its_defaults() {
        let command = SettingFlags::augment_args(Command::new("everlog"));
        let flags: Vec<_> = SETTINGS.iter().filter_map(|setting| setting.flag).collect();
        for argument in command.get_arguments() {
            let flag = format!("--{}", argument.get_long().unwrap());
            assert!(flags.contains(&&*flag) || ["--config", "--set"].contains(&&*flag), "{flag}");
        }
        for setting in &SETTINGS {
            let Some(flag) = setting.flag else { continue };
            let mut arguments = command.get_arguments();
            let argument =
                arguments.find(|argument| argument.get_long() == flag.strip_prefix("--"));
            let help = argument.unwrap_or_else(|| panic!("{flag}")).get_help().unwrap().to_string();
            if !matches!(setting.unit, Unit::Switch | Unit::Texts) {
                let default = default_of(setting, &Settings::default()).unwrap();
                assert!(
                    default == "-" || help.contains(&format!("[default: {default}]")),
                    "{flag}: {default}: {help}"
                );
            }
        }
    }
}
