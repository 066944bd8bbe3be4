//! `everlog config show`: the settings in force, and where each comes from.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Config, ConfigError, Place, SettingFlags, Settings, table};
use crate::output::Table;
use crate::say::say;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings in force and where each comes from.
    Show(ShowArguments),
}

/// The arguments of `everlog config show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Flags override variables of the environment (EVERLOG_PARTITIONS, EVERLOG_RETRY__FACTOR), which
override the file (everlog.toml). Give the flags that `everlog dev` gets to see their effect.

Exit codes: 0 all is well, 1 a setting is unknown or cannot be.")]
pub(crate) struct ShowArguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: SettingFlags,
}

/// Does it.
pub(crate) fn run(command: ConfigCommand) -> Result<ExitCode, ConfigError> {
    let ConfigCommand::Show(arguments) = command;
    let config = Config::load(&arguments.flags)?;
    if arguments.json {
        say(format_args!("{:#}", as_json(&config)));
        return Ok(ExitCode::SUCCESS);
    }
    match &config.file {
        Some(path) => say(format_args!("File: {}", path.display())),
        None => say(format_args!("File: none (everlog.toml is not here)")),
    }
    say(format_args!("\n{}", as_table(&config)));
    Ok(ExitCode::SUCCESS)
}

/// All values, by their keys, in the order of the table.
pub(super) fn values(settings: &Settings) -> Vec<(Vec<String>, Value)> {
    let tree = serde_json::to_value(settings).expect("settings have no keys but texts");
    let mut found = Vec::new();
    collect(&[], tree, &mut found);
    found
}

fn collect(path: &[String], value: Value, found: &mut Vec<(Vec<String>, Value)>) {
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            collect(&[path, &[name]].concat(), value, found);
        }
    } else {
        found.push((path.to_vec(), value));
    }
}

/// A value as a person reads it.
pub(super) fn shown(value: &Value) -> String {
    if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        return "-".into();
    }
    if let Some(texts) = value.as_array() {
        return texts.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_table(config: &Config) -> String {
    let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
    for (path, value) in values(&config.settings) {
        let key = path.join(".");
        let from = config.places.get(&key).map_or("default".into(), Place::to_string);
        table.row([key, shown(&value), from]);
    }
    table.to_string()
}

fn as_json(config: &Config) -> Value {
    let settings = values(&config.settings).into_iter().map(|(path, value)| {
        let key = path.join(".");
        let from = match config.places.get(&key) {
            None => json!({ "kind": "default" }),
            Some(Place::File { path, line }) => {
                json!({ "kind": "file", "path": path, "line": line })
            }
            Some(Place::Environment(name)) => json!({ "kind": "environment", "name": name }),
            Some(Place::Flag(flag)) => json!({ "kind": "flag", "name": flag }),
        };
        let about = table::find(&path);
        let (what, flag) = (about.map(|about| about.what), about.and_then(|about| about.flag));
        (key, json!({ "value": value, "from": from, "what": what, "flag": flag }))
    });
    json!({ "file": config.file, "settings": settings.collect::<serde_json::Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::{layers, merge};
    use super::*;

    fn config() -> Config {
        let file =
            "partitions = 3\nregister = ['http://a', 'http://b']\n[services.Cart]\nconcurrency = 2";
        let mut given = layers::of_file("everlog.toml".as_ref(), file).unwrap();
        let variables = [("EVERLOG_LOG".to_owned(), "debug".to_owned())];
        given.extend(layers::of_environment(variables.into_iter()).unwrap());
        given.push(layers::of_assignment("--set", "requests_max=7").unwrap());
        let (settings, places) = merge(given).unwrap();
        Config { settings, file: Some("everlog.toml".into()), places, unheeded: Vec::new() }
    }

    #[test]
    fn the_table_says_where_each_value_comes_from() {
        expect![[r"
            SETTING                      VALUE               FROM
            abort_timeout                10m                 default
            admin_address                127.0.0.1:9070      default
            admin_hosts                  -                   default
            attempt_memory_max           1GiB                default
            body_bytes_in_flight_max     256MiB              default
            cluster.address              127.0.0.1:5122      default
            cluster.checkpoint_interval  5s                  default
            cluster.history_age_max      24h                 default
            cluster.name                 -                   default
            cluster.secret               -                   default
            cluster.session_timeout      6s                  default
            cluster.standbys             1                   default
            cors_origins                 -                   default
            data_dir                     ./.everlog          default
            data_dir_warn_bytes          2GiB                default
            deployment_concurrency_max   1000                default
            eager_state_bytes_max        1MiB                default
            ephemeral                    false               default
            fsync                        true                default
            history_age_max              1h                  default
            history_bytes_max            256MiB              default
            inactivity_timeout           1m                  default
            ingress_address              127.0.0.1:8080      default
            kafka.append_stall_max       10s                 default
            kafka.bootstrap_servers      -                   default
            kafka.delayed_partitions     8                   default
            kafka.producers              4                   default
            kafka.replication_factor     3                   default
            kafka.topic_prefix           everlog.            default
            log                          debug               EVERLOG_LOG
            log_format                   human               default
            open_attempts_max            2000                default
            otlp_endpoint                -                   default
            partitions                   3                   everlog.toml:1
            protocol_version_max         7                   default
            query.memory_max             256MiB              default
            query.queries_max            4                   default
            query.rows_max               100000              default
            query.time_max               30s                 default
            register                     http://a, http://b  everlog.toml:2
            request_identity_file        -                   default
            requests_max                 7                   --set requests_max=7
            retry.factor                 2.0                 default
            retry.initial_interval       500ms               default
            retry.max_attempts           70                  default
            retry.max_interval           1m                  default
            retry.on_max_attempts        pause               default
            service_requests_max         -                   default
            services.Cart.concurrency    2                   everlog.toml:4
            timers_in_memory_max         16384               default
            tls_ca_file                  -                   default
            trace_sample_ratio           1.0                 default
            unkeyed_retention            10m                 default
        "]]
        .assert_eq(&as_table(&config()));
    }

    #[test]
    fn secrets_are_not_shown_and_not_where_they_come_from() {
        let file = "[kafka.properties]\nsasl.password = 'hunter2'\nsasl.username = 'ann'";
        let mut given = layers::of_file("everlog.toml".as_ref(), file).unwrap();
        for flag in ["cluster.secret=hunter2", "kafka.properties.ssl.key.password=hunter2"] {
            given.push(layers::of_assignment("--set", flag).unwrap());
        }
        let (settings, places) = merge(given).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let config = Config { settings, file: None, places, unheeded: Vec::new() };
        let (table, json) = (as_table(&config), as_json(&config).to_string());
        assert!(!table.contains("hunter2") && !json.contains("hunter2"), "{table}{json}");
        let lines: Vec<_> = table.lines().filter(|line| line.contains("hidden")).collect();
        expect![[r"
            cluster.secret                     (hidden)                --set cluster.secret=…
            kafka.properties.sasl.password     (hidden)                everlog.toml:2
            kafka.properties.ssl.key.password  (hidden)                --set kafka.properties.ssl.key.password=…"]].assert_eq(&lines.join("\n"));
        assert!(table.contains("ann"), "{table}");
    }

    #[test]
    fn the_json_says_the_same() {
        let json = as_json(&config());
        assert_eq!(json["file"], "everlog.toml");
        let from = |key: &str| json["settings"][key]["from"].to_string();
        assert_eq!(from("abort_timeout"), r#"{"kind":"default"}"#);
        assert_eq!(from("partitions"), r#"{"kind":"file","line":1,"path":"everlog.toml"}"#);
        assert_eq!(from("log"), r#"{"kind":"environment","name":"EVERLOG_LOG"}"#);
        assert_eq!(from("requests_max"), r#"{"kind":"flag","name":"--set requests_max=7"}"#);
        assert_eq!(json["settings"]["services.Cart.concurrency"]["value"], 2);
        assert_eq!(json["settings"]["register"]["value"][1], "http://b");
        assert_eq!(json["settings"]["register"]["flag"], "--register");
        assert!(json["settings"]["services.Cart.concurrency"]["what"].is_string());
    }
}
