//! The layers: which overrides which, and what they refuse.

use clap::Parser;
use expect_test::{Expect, expect};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: SettingFlags,
}

/// Merges a file, variables and flags.
fn load(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let line = Line::parse_from(std::iter::once(&"everlog").chain(flags));
    let mut given = layers::of_file(Path::new("everlog.toml"), file)?;
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let variables: Vec<_> = variables.collect();
    let aliases::Adopted { given: adopted, unheeded, .. } = aliases::of_environment(&variables)?;
    given.extend(adopted);
    given.extend(layers::of_environment(variables.into_iter())?);
    given.extend(line.flags.given()?);
    let (settings, places) = merge(given)?;
    Ok(Config { settings, file: Some("everlog.toml".into()), places, unheeded })
}

fn refused(loaded: Result<Config, ConfigError>, says: &Expect) {
    says.assert_eq(&loaded.unwrap_err().to_string());
}

fn refused_file(file: &str, says: &Expect) {
    refused(load(file, &[], &[]), says);
}

fn refused_variable(name: &str, value: &str, says: &Expect) {
    refused(load("", &[(name, value)], &[]), says);
}

fn refused_flag(set: &str, says: &Expect) {
    refused(load("", &[], &["--set", set]), says);
}

#[test]
fn a_flag_overrides_the_environment_and_that_the_file() {
    let file = "partitions = 1\nrequests_max = 1\nregister = ['http://a', 'http://b']\nfsync = false\n[retry]\nfactor = 3\n";
    let variables = [("EVERLOG_PARTITIONS", "2"), ("EVERLOG_REQUESTS_MAX", "2")];
    let flags = ["--partitions", "3", "--register", "http://c"];
    let config = load(file, &variables, &flags).unwrap();
    let settings = config.settings;
    assert_eq!((settings.partitions.0, settings.requests_max.get()), (3, 2));
    assert_eq!(settings.register, ["http://c"]);
    assert!(!settings.fsync);
    assert!((settings.retry.factor.0 - 3.0).abs() < f64::EPSILON);
    assert_eq!(settings.open_attempts_max, Settings::default().open_attempts_max);
    let places: Vec<_> =
        config.places.iter().map(|(key, place)| format!("{key} {place}")).collect();
    assert_eq!(
        places,
        [
            "fsync everlog.toml:4",
            "partitions --partitions",
            "register --register",
            "requests_max EVERLOG_REQUESTS_MAX",
            "retry.factor everlog.toml:6",
        ]
    );
}

#[test]
fn a_standard_variable_is_overridden_by_ours_wherever_it_stands() {
    let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4318");
    let ours = ("EVERLOG_OTLP_ENDPOINT", "http://ours:4318");
    let file = "otlp_endpoint = 'http://file:4318'\ntrace_sample_ratio = 0.25";
    for (variables, endpoint, place) in [
        (&[][..], "http://file:4318", "everlog.toml:1"),
        (&[standard], "http://standard:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&[standard, ours], "http://ours:4318", "EVERLOG_OTLP_ENDPOINT"),
        (&[ours, standard], "http://ours:4318", "EVERLOG_OTLP_ENDPOINT"),
    ] {
        let config = load(file, variables, &[]).unwrap();
        assert_eq!(config.settings.otlp_endpoint.as_deref(), Some(endpoint));
        assert_eq!(config.places["otlp_endpoint"].to_string(), place);
        assert!((config.settings.trace_sample_ratio.0 - 0.25).abs() < f64::EPSILON);
    }
    let other = [("OTEL_SERVICE_NAME", "shop")];
    assert_eq!(load("", &other, &[]).unwrap().settings, Settings::default());
}

#[test]
fn every_layer_can_set_what_is_nested_and_named() {
    let file = "[services.Cart]\nconcurrency = 5\n[services.'a.b'.handlers.add]\nconcurrency = 6";
    let variables = [
        ("EVERLOG_SERVICES__Cart__HANDLERS__addItem__CONCURRENCY", "7"),
        ("EVERLOG_RETRY__ON_MAX_ATTEMPTS", "kill"),
        ("EVERLOG_CORS_ORIGINS", "https://a, https://b"),
        ("EVERLOG_INACTIVITY_TIMEOUT", "0s"),
    ];
    let flags = ["--set", "services.'a.b'.concurrency=8", "--set", "retry.max_attempts=0"];
    let settings = load(file, &variables, &flags).unwrap().settings;
    let cart = &settings.services["Cart"];
    assert_eq!(cart.concurrency.unwrap().get(), 5);
    assert_eq!(cart.handlers["addItem"].concurrency.unwrap().get(), 7);
    let dotted = &settings.services["a.b"];
    assert_eq!(dotted.concurrency.unwrap().get(), 8);
    assert_eq!(dotted.handlers["add"].concurrency.unwrap().get(), 6);
    assert_eq!(settings.cors_origins, ["https://a", "https://b"]);
    assert_eq!(settings.retry.on_max_attempts, settings::OnMaxAttempts::Kill);
    assert_eq!(settings.retry.max_attempts, 0);
    assert_eq!(settings.inactivity_timeout.to_string(), "0s");
}

#[test]
fn switches_are_turned_by_flags() {
    let settings = load("", &[], &["--ephemeral", "--no-fsync"]).unwrap().settings;
    assert!(settings.ephemeral && !settings.fsync);
    let settings = load("ephemeral = true", &[], &["--set", "ephemeral=false"]).unwrap().settings;
    assert!(!settings.ephemeral);
}

#[test]
fn a_data_folder_of_a_stronger_layer_turns_ephemeral_off() {
    let flag = ["--data-dir", "x"];
    let variable = [("EVERLOG_DATA_DIR", "x")];
    let file = "ephemeral = true";
    let of_file = "ephemeral = true\ndata_dir = 'x'";
    let ephemeral = [("EVERLOG_EPHEMERAL", "true")];
    let both = [variable[0], ephemeral[0]];
    for (file, variables, flags, place) in [
        (file, &[][..], &flag[..], "--data-dir"),
        (file, &[], &["--set", "data_dir=x"], "--set data_dir=x"),
        (file, &variable, &[], "EVERLOG_DATA_DIR"),
        ("", &ephemeral, &flag, "--data-dir"),
    ] {
        let config = load(file, variables, flags).unwrap();
        assert!(!config.settings.ephemeral, "{place}");
        assert_eq!(config.settings.data_dir, Path::new("x"));
        assert_eq!(config.places["ephemeral"].to_string(), place);
    }
    for (file, variables, flags, place) in [
        (of_file, &[][..], &[][..], "everlog.toml:1"),
        ("", &both, &[], "EVERLOG_EPHEMERAL"),
        ("data_dir = 'x'", &variable, &["--ephemeral"], "--ephemeral"),
    ] {
        let config = load(file, variables, flags).unwrap();
        assert!(config.settings.ephemeral, "{place}");
        assert_eq!(config.places["ephemeral"].to_string(), place);
    }
}

#[test]
fn an_unknown_setting_is_named_with_its_place_and_the_nearest() {
    refused_file(
        "fsync = true\npartitons = 3",
        &expect![
            "everlog.toml:2: unknown setting `partitons`, did you mean `partitions`?; `everlog config show` lists all"
        ],
    );
    refused_file(
        "[retry]\nfaktor = 3",
        &expect![
            "everlog.toml:2: unknown setting `retry.faktor`, did you mean `retry.factor`?; `everlog config show` lists all"
        ],
    );
    refused_file(
        "max_attempts = 3",
        &expect![
            "everlog.toml:1: unknown setting `max_attempts`, did you mean `retry.max_attempts`?; `everlog config show` lists all"
        ],
    );
    refused_file(
        "[services.Cart]\nconcurency = 3",
        &expect![
            "everlog.toml:2: unknown setting `services.Cart.concurency`, did you mean `services.Cart.concurrency`?; `everlog config show` lists all"
        ],
    );
    refused_file(
        "[servces.Cart]\nconcurrency = 3",
        &expect![
            "everlog.toml:1: unknown setting `servces`, did you mean `services`?; `everlog config show` lists all"
        ],
    );
    refused_variable(
        "EVERLOG_DATADIR",
        "x",
        &expect![
            "EVERLOG_DATADIR: unknown setting `datadir`, did you mean `data_dir`?; `everlog config show` lists all"
        ],
    );
    refused_variable(
        "EVERLOG_X",
        "x",
        &expect!["EVERLOG_X: unknown setting `x`; `everlog config show` lists all"],
    );
    refused_flag(
        "history=3",
        &expect!["--set history=3: unknown setting `history`; `everlog config show` lists all"],
    );
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_place() {
    refused_file(
        "\npartitions = 0",
        &expect![
            "everlog.toml:2: `partitions` must be a number from 1 to 1024: 0 is not between 1 and 1024"
        ],
    );
    refused_file(
        "partitions = '3'",
        &expect![[
            r#"everlog.toml:1: `partitions` must be a number from 1 to 1024: invalid type: string "3", expected u32"#
        ]],
    );
    refused_file(
        "retry = 3",
        &expect!["everlog.toml:1: `retry` must be a section: write [retry], and settings below it"],
    );
    refused_file(
        "log = { level = 'info' }",
        &expect!["everlog.toml:1: `log` must be a text: invalid type: map, expected a string"],
    );
    refused_file(
        "history_bytes_max = '1 heap'",
        &expect![
            "everlog.toml:1: `history_bytes_max` must be a size in bytes such as 256MiB: `1 heap` is no size"
        ],
    );
    refused_file(
        "inactivity_timeout = 5",
        &expect![
            "everlog.toml:1: `inactivity_timeout` must be a duration such as 30s or 1h 30m: invalid type: integer `5`, expected a string"
        ],
    );
    refused_file(
        "a = \n",
        &expect![
            "everlog.toml:1: this is no TOML: string values must be quoted, expected literal string"
        ],
    );
}

#[test]
fn a_value_of_the_environment_or_a_flag_is_held_to_the_same() {
    refused_variable(
        "EVERLOG_OPEN_ATTEMPTS_MAX",
        "0",
        &expect![
            "EVERLOG_OPEN_ATTEMPTS_MAX: `open_attempts_max` must be a number from 1 on: invalid value: integer `0`, expected a nonzero usize"
        ],
    );
    refused_variable(
        "EVERLOG_FSYNC",
        "yes",
        &expect![[
            r#"EVERLOG_FSYNC: `fsync` must be true or false: invalid type: string "yes", expected a boolean"#
        ]],
    );
    refused_variable(
        "EVERLOG_LOG_FORMAT",
        "xml",
        &expect![
            "EVERLOG_LOG_FORMAT: `log_format` must be human or json: unknown variant `xml`, expected `human` or `json`"
        ],
    );
    refused_flag(
        "retry.factor=0.5",
        &expect![
            "--set retry.factor=0.5: `retry.factor` must be a number from 1 to 1000: 0.5 is not between 1 and 1000"
        ],
    );
    refused_flag(
        "partitions",
        &expect!["--set partitions: this is no TOML: `partitions` is not KEY=VALUE"],
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let variables = [
        ("PATH", "/bin"),
        ("EVERLOG_INGRESS", "http://x"),
        ("EVERLOG_ADMIN", "http://x"),
        ("EVERLOG_CONFIG", "x.toml"),
        ("EVERLOG_COMMIT", "abc"),
        ("EVERLOG_KAFKA_CACHE", "/tmp/x"),
        ("EVERLOG_SERVICE_HOST", "10.0.0.1"),
        ("EVERLOG_SERVICE_PORT", "8080"),
        ("EVERLOG_SERVICE_PORT_ADMIN", "9070"),
        ("EVERLOG_PORT", "tcp://10.0.0.1:9070"),
        ("EVERLOG_PORT_9070_TCP", "tcp://10.0.0.1:9070"),
        ("EVERLOG_PORT_9070_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(load("", &variables, &[]).unwrap().places.is_empty());
}

#[test]
fn variables_that_resemble_those_of_kubernetes_are_ours() {
    let portal = [("EVERLOG_SERVICES__SERVICE_PORTAL__CONCURRENCY", "7")];
    let settings = load("", &portal, &[]).unwrap().settings;
    assert_eq!(settings.services["SERVICE_PORTAL"].concurrency.unwrap().get(), 7);
    for name in [
        "EVERLOG_SERVICE_PORT__X",
        "EVERLOG_SERVICE_PORTS",
        "EVERLOG_INGRESS_SERVICE_HOST",
        "EVERLOG_PORT_ADMIN",
        "EVERLOG_PORT_9070_HTTP",
        "EVERLOG_PORT_9070_TCP_X",
    ] {
        let error = load("", &[(name, "1")], &[]).unwrap_err();
        assert!(matches!(error, ConfigError::Unknown { .. }), "{name}: {error}");
    }
}

#[test]
fn every_layer_can_set_a_property_of_librdkafka() {
    let file = "[kafka.properties]\nsecurity.protocol = 'SASL_SSL'\n'socket.timeout.ms' = 7000\nsocket.keepalive.enable = true";
    let variables = [("EVERLOG_KAFKA__PROPERTIES__SASL_PASSWORD", "one,two")];
    let flags = ["--kafka", "a:1,b:2", "--set", "kafka.properties.sasl.username=ann"];
    let config = load(file, &variables, &flags).unwrap();
    let options = config.settings.kafka_options().unwrap();
    assert_eq!(options.bootstrap_servers, "a:1,b:2");
    let properties: Vec<_> =
        options.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        properties,
        [
            "sasl.password=one,two",
            "sasl.username=ann",
            "security.protocol=SASL_SSL",
            "socket.keepalive.enable=true",
            "socket.timeout.ms=7000",
        ]
    );
    let place = &config.places["kafka.properties.socket.timeout.ms"];
    assert_eq!(place.to_string(), "everlog.toml:3");
}

#[test]
fn a_property_that_everlog_needs_or_kafka_does_not_know_is_refused() {
    refused_file(
        "[kafka.properties]\nacks = 1",
        &expect![
            "everlog.toml:2: `kafka.properties.acks` must be a property of librdkafka that Everlog does not need for itself: `acks` is Everlog's own: an append counts once all replicas in sync have it, and not sooner"
        ],
    );
    refused_variable(
        "EVERLOG_KAFKA__PROPERTIES__GROUP_ID",
        "x",
        &expect![
            "EVERLOG_KAFKA__PROPERTIES__GROUP_ID: `kafka.properties.group.id` must be a property of librdkafka that Everlog does not need for itself: `group.id` is Everlog's own: the members of a cluster are in one group, which Everlog names and balances"
        ],
    );
    refused_flag(
        "kafka.properties.sasl.pasword=x",
        &expect![[
            r#"--set kafka.properties.sasl.pasword=x: `kafka.properties.sasl.pasword` must be a property of librdkafka that Everlog does not need for itself: Client config error: No such configuration property: "sasl.pasword" sasl.pasword x"#
        ]],
    );
    refused_file(
        "[kafka]\nproperties = 'x'",
        &expect![
            "everlog.toml:2: `kafka.properties` must be a section: write [kafka.properties], and settings below it"
        ],
    );
    refused_file(
        "[kafka]\nbootstrap_servers = 'localhost'",
        &expect![
            "everlog.toml:2: `kafka.bootstrap_servers` must be a text: `localhost` is not HOST:PORT"
        ],
    );
    refused_flag(
        "kafka.producers=65",
        &expect![
            "--set kafka.producers=65: `kafka.producers` must be a number from 1 to 64: 65 is not between 1 and 64"
        ],
    );
    refused_flag(
        "cluster.standbys=3",
        &expect![
            "--set cluster.standbys=3: `cluster.standbys` must be a number from 0 to 2: 3 is not between 0 and 2"
        ],
    );
    refused_flag(
        "cluster.session_timeout=999ms",
        &expect![
            "--set cluster.session_timeout=999ms: `cluster.session_timeout` must be a duration such as 30s or 1h 30m: 999ms is shorter than 1s"
        ],
    );
    refused_flag(
        "kafka.append_stall_max=99ms",
        &expect![
            "--set kafka.append_stall_max=99ms: `kafka.append_stall_max` must be a duration such as 30s or 1h 30m: 99ms is shorter than 100ms"
        ],
    );
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    refused_file(
        "[cluster]\nsecret = 4711",
        &expect![
            "everlog.toml:2: `cluster.secret` must be a text: it is no text: write it in quotes"
        ],
    );
    refused_flag(
        "cluster.secret=",
        &expect!["--set cluster.secret=…: `cluster.secret` must be a text: it is empty"],
    );
}

#[test]
fn the_settings_of_a_restate_server_are_ours_where_they_mean_something() {
    let theirs = [
        ("RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT", "0s"),
        ("RESTATE_WORKER__INVOKER__ABORT_TIMEOUT", "PT1M30S"),
        ("RESTATE_WORKER__INVOKER__DISABLE_EAGER_STATE", "true"),
        ("RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS", "unlimited"),
        ("RESTATE_DEFAULT_RETRY_POLICY__ON_MAX_ATTEMPTS", "Kill"),
        ("RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL", "10 ms"),
        ("RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", "key.pem"),
        ("RESTATE_WORKER__CLEANUP_INTERVAL", "1s"),
        ("RESTATE_DEFAULT_NUM_PARTITIONS", "1"),
        ("RESTATE_WORKER__NUM_TIMERS_IN_MEMORY_LIMIT", "2"),
        ("RESTATE_BASE_DIR", "/data"),
        ("RESTATE_INGRESS__BIND_ADDRESS", "0.0.0.0:8080"),
        ("RESTATE_ADMIN__BIND_ADDRESS", "0.0.0.0:9070"),
        ("RESTATE_LOG_FORMAT", "pretty"),
        ("RESTATE_CONFIG", "restate.toml"),
        ("RESTATE_SERVICE_HOST", "10.0.0.1"),
        ("RESTATE_SOMETHING", "1"),
    ];
    let config = load("partitions = 7\nlog_format = 'json'", &theirs, &[]).unwrap();
    let settings = config.settings;
    assert_eq!(settings.inactivity_timeout.to_string(), "0s");
    assert_eq!(settings.abort_timeout.to_string(), "1m 30s");
    assert_eq!(settings.eager_state_bytes_max.0, 0);
    assert_eq!(settings.retry.max_attempts, 0);
    assert_eq!(settings.retry.on_max_attempts, settings::OnMaxAttempts::Kill);
    assert_eq!(settings.retry.initial_interval.to_string(), "10ms");
    assert_eq!(settings.request_identity_file.as_deref(), Some(Path::new("key.pem")));
    assert_eq!((settings.partitions.0, settings.timers_in_memory_max.get()), (1, 2));
    assert_eq!(settings.data_dir, Path::new("/data"));
    assert_eq!(settings.ingress_address.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.admin_address.to_string(), "0.0.0.0:9070");
    assert_eq!(settings.log_format, LogFormat::Human);
    assert_eq!(config.places["partitions"].to_string(), "RESTATE_DEFAULT_NUM_PARTITIONS");
    assert_eq!(
        config.unheeded,
        [
            "RESTATE_WORKER__CLEANUP_INTERVAL: RESTATE_WORKER__CLEANUP_INTERVAL has no effect: each invocation is forgotten by a timer of its own, at its time",
            "RESTATE_SOMETHING: RESTATE_SOMETHING means nothing to Everlog",
        ]
    );
    let ours = [theirs[8], ("EVERLOG_PARTITIONS", "3")];
    assert_eq!(load("", &ours, &[]).unwrap().settings.partitions.0, 3);
    assert_eq!(load("", &theirs, &["--partitions", "4"]).unwrap().settings.partitions.0, 4);
}

#[test]
fn the_file_of_a_restate_server_is_read_like_its_variables() {
    let text = "default-num-partitions = 4\nroles = ['worker']\n[worker.invoker]\ninactivity-timeout = '5s'\ndisable-eager-state = true\n[ingress]\nbind-address = '0.0.0.0:1'";
    let adopted = aliases::of_file(Path::new("restate.toml"), text).unwrap();
    let (settings, places) = merge(adopted.given).unwrap();
    assert_eq!(settings.partitions.0, 4);
    assert_eq!(settings.inactivity_timeout.to_string(), "5s");
    assert_eq!(settings.eager_state_bytes_max.0, 0);
    assert_eq!(settings.ingress_address.to_string(), "0.0.0.0:1");
    assert_eq!(places["inactivity_timeout"].to_string(), "restate.toml:4");
    assert_eq!(adopted.unheeded, ["restate.toml:2: RESTATE_ROLES means nothing to Everlog"]);
}

#[test]
fn a_value_that_a_restate_server_would_not_take_either_is_refused() {
    for (name, value, says) in [
        ("RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT", "soon", "no duration"),
        ("RESTATE_WORKER__INVOKER__DISABLE_EAGER_STATE", "yes", "neither true nor false"),
        ("RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS", "0", "at least 1"),
        ("RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS", "many", "a number from 0 on"),
        ("RESTATE_LOG_FORMAT", "xml", "pretty"),
        ("RESTATE_DEFAULT_NUM_PARTITIONS", "0", "1 to 1024"),
    ] {
        let error = load("", &[(name, value)], &[]).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(says), "{name}: {error}");
    }
}
