//! The commands around the server: configuration, reset, doctor, completions, and those that ask
//! a running server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use crate::process::{DEADLINE, Dev, Greeter, everlog, functions, output, text};
use restate_sdk::prelude::*;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

struct Newcomer;

#[restate_sdk::service]
impl Newcomer {
    #[handler]
    async fn hello(&self, _context: Context<'_>) -> HandlerResult<String> {
        Ok("hello".into())
    }
}

/// Serves an endpoint at an address until the sender is used or dropped.
async fn serve(endpoint: Endpoint, address: SocketAddr) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = HttpServer::new(endpoint).serve_with_cancel(listener, async {
        let _ = stopped.await;
    });
    tokio::spawn(serving);
    (address, stop)
}

async fn json(arguments: &[&str]) -> Value {
    let ended = output(arguments).await;
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_come_from_file_environment_and_flags() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), "partitions = 1\nrequests_max = 1\n")
        .unwrap();
    let shown = everlog(&["config", "show", "--json", "--abort-timeout", "3s"])
        .current_dir(folder.path())
        .env("EVERLOG_REQUESTS_MAX", "2")
        .env("EVERLOG_ABORT_TIMEOUT", "9s")
        .output()
        .await
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let value = |key: &str| shown["settings"][key]["value"].clone();
    assert_eq!(value("partitions"), 1);
    assert_eq!(value("requests_max"), 2);
    assert_eq!(value("abort_timeout"), "3s");
    assert_eq!(shown["file"], "everlog.toml");

    std::fs::write(folder.path().join("other.toml"), "partitons = 1").unwrap();
    for command in ["dev", "doctor", "config"] {
        let show = (command == "config").then_some("show");
        let ended = everlog(&[command])
            .args(show)
            .args(["--config", "other.toml"])
            .current_dir(folder.path())
            .output()
            .await
            .unwrap();
        assert_eq!(ended.status.code(), Some(1), "{command}: {ended:?}");
        let said = text(&ended.stderr) + &text(&ended.stdout);
        assert!(said.contains("other.toml:1") && said.contains("`partitions`"), "{said}");
    }
    let missing = output(&["config", "show", "--config", "no/such.toml"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no/such.toml"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_is_reset_only_when_nobody_uses_it_and_the_user_wants_it() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let arguments = ["dev", "reset", "--data-dir", data.to_str().unwrap()];
    let with_yes = [&arguments[..], &["--yes"]].concat();

    let nothing = output(&with_yes).await;
    assert!(nothing.status.success() && text(&nothing.stdout).contains("Nothing to remove"));

    let mut dev = Dev::start(&data, &["--partitions", "1"]).await;
    let used = output(&with_yes).await;
    assert_eq!(used.status.code(), Some(1));
    assert!(text(&used.stderr).contains("stop it first"), "{used:?}");
    assert!(data.join("log/CURRENT").exists());
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);

    let unasked = output(&arguments).await;
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stderr).contains("--yes"), "{unasked:?}");
    assert!(data.join("log/CURRENT").exists());

    let aside = parent.path().join("aside");
    std::fs::rename(data.join("tables"), &aside).unwrap();
    std::fs::create_dir(data.join("tables")).unwrap();
    std::fs::write(data.join("tables/oak.txt"), "mine").unwrap();
    let foreign = output(&with_yes).await;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(text(&foreign.stderr).contains("tables is not a database of Everlog"), "{foreign:?}");
    assert!(data.join("log/CURRENT").exists() && data.join("tables/oak.txt").exists());
    std::fs::remove_dir_all(data.join("tables")).unwrap();
    std::fs::rename(&aside, data.join("tables")).unwrap();

    std::fs::rename(data.join("log/IDENTITY"), &aside).unwrap();
    let foreign = output(&with_yes).await;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(text(&foreign.stderr).contains("log is not a database of Everlog"), "{foreign:?}");
    assert!(data.join("log/CURRENT").exists() && data.join("tables/CURRENT").exists());
    std::fs::rename(&aside, data.join("log/IDENTITY")).unwrap();

    std::fs::write(data.join("notes.txt"), "mine").unwrap();
    let removed = output(&with_yes).await;
    assert!(removed.status.success(), "{removed:?}");
    assert!(text(&removed.stdout).contains("not Everlog's"), "{removed:?}");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
    std::fs::remove_file(data.join("notes.txt")).unwrap();

    let mut dev = Dev::start(&data, &["--partitions", "2"]).await;
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);
    assert!(output(&with_yes).await.status.success());
    assert!(!data.exists());
}

/// The checks of `everlog doctor`, and its exit code.
async fn doctor(arguments: &[&str]) -> (Vec<Value>, i32) {
    let ended = output(&[&["doctor", "--json"], arguments].concat()).await;
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().clone();
    assert_eq!(report["ok"], ended.status.success(), "{report}");
    (checks, ended.status.code().unwrap())
}

fn says(checks: &[Value], check: &str, level: &str, part: &str) -> bool {
    checks.iter().any(|found| {
        found["check"] == check
            && found["level"] == level
            && found["says"].to_string().contains(part)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_keeps_a_server_from_working() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let functions = functions().await;
    let mut dev = Dev::start(data.path(), &["--partitions", "1", "--register", &functions]).await;
    dev.line_with("Registered: ").await;
    let (ingress, admin) = (dev.ingress.clone(), dev.admin.clone());
    let (checks, code) = doctor(&["--data-dir", folder, "--admin", &admin]).await;
    assert_eq!(code, 0, "{checks:?}");
    assert!(says(&checks, "data folder", "ok", "a server uses"), "{checks:?}");
    assert!(says(&checks, "server", "ok", &admin), "{checks:?}");
    assert!(says(&checks, "health", "ok", "well"), "{checks:?}");
    assert!(says(&checks, "deployment", "ok", &functions), "{checks:?}");

    // Somebody else has the port, and answers nothing that Everlog would.
    let taken = ingress.strip_prefix("http://").unwrap();
    let arguments = ["--data-dir", folder, "--admin-address", taken, "--ingress-address", taken];
    let (checks, code) = doctor(&arguments).await;
    assert_eq!(code, 1);
    assert!(says(&checks, "server", "fail", taken), "{checks:?}");
    assert!(says(&checks, "ingress port", "fail", taken), "{checks:?}");

    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);
    let arguments = ["--data-dir", folder, "--admin", &admin, "--set", "data_dir_warn_bytes=1"];
    let (checks, _) = doctor(&arguments).await;
    assert!(says(&checks, "server", "ok", "none runs"), "{checks:?}");
    assert!(says(&checks, "data folder", "warn", folder), "{checks:?}");
    let people = text(&output(&["doctor", "--data-dir", folder]).await.stdout);
    assert!(people.contains("OK    configuration"), "{people}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_data_folder_is_warned_of_at_the_start() {
    let data = TempDir::new().unwrap();
    let arguments = ["--partitions", "1", "--set", "data_dir_warn_bytes=1"];
    let mut dev = Dev::start(data.path(), &arguments).await;
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);
    let mut process = everlog(&["dev", "--data-dir", data.path().to_str().unwrap()])
        .args(["--ingress-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let warned = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("data_dir_warn_bytes") {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(DEADLINE, warned).await.unwrap());
    process.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_and_services_are_registered_and_shown() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path(), &["--no-fsync", "--partitions", "1"]).await;
    let admin = ["--admin", &dev.admin];
    let functions = functions().await;
    let ask = async |arguments: &[&str]| {
        let ended = output(&[arguments, &admin].concat()).await;
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        text(&ended.stdout)
    };
    assert!(ask(&["services", "list"]).await.contains("no services yet"));
    let registered = ask(&["deployments", "register", &functions]).await;
    assert!(
        registered.contains(&functions) && registered.contains("Greeter/greet"),
        "{registered}"
    );
    let id = registered.split_whitespace().next().unwrap().to_owned();
    assert!(ask(&["deployments", "list"]).await.contains(&id));
    assert!(ask(&["deployments", "show", &id]).await.contains("Greeter/refuse"));
    assert!(ask(&["services", "list"]).await.contains("Greeter  Service"));
    assert!(ask(&["services", "show", "Greeter"]).await.contains("Greeter/greet"));
    let listed = json(&[&["deployments", "list", "--json"], &admin[..]].concat()).await;
    assert_eq!(listed["deployments"][0]["id"], *id);

    for (arguments, says) in [
        (["services", "show", "Nobody"], "404 not-found"),
        (["deployments", "show", "dp_0"], "404 not-found"),
        (["deployments", "register", "nowhere"], "400 malformed-request"),
    ] {
        let ended = output(&[&arguments[..], &admin].concat()).await;
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
        assert!(text(&ended.stderr).contains(says), "{arguments:?}: {ended:?}");
    }

    let mut watching = everlog(&["services", "list", "--json", "--watch=100ms"])
        .args(admin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
        let seen: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(seen["services"][0]["name"], "Greeter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_started_with_other_services_are_registered_anew() {
    let data = TempDir::new().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let (address, stop) = serve(Endpoint::builder().bind(Greeter).build(), any).await;
    let register = format!("http://{address}");
    let mut dev =
        Dev::start(data.path(), &["--no-fsync", "--partitions", "1", "--register", &register])
            .await;
    dev.line_with("Registered: ").await;
    // What somebody sets at the same address outlives that the code changes.
    let set = ["--force", "--header", "x-team: blue"];
    let deployments = ["deployments", "register", &register, "--admin", &dev.admin];
    let set = output(&[&deployments[..], &set].concat()).await;
    assert!(set.status.success(), "{set:?}");

    stop.send(()).unwrap();
    let rebound = async {
        while TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, rebound).await.unwrap();
    let both = Endpoint::builder().bind(Greeter).bind(Newcomer).build();
    let (_, _stop) = serve(both, address).await;
    dev.line_with("Changed, and registered anew: ").await;
    let listed = json(&["deployments", "list", "--json", "--admin", &dev.admin]).await;
    let headers = &listed["deployments"][0]["additional_headers"];
    assert_eq!(*headers, serde_json::json!({ "x-team": "***" }));
    let called = output(&["call", "Newcomer/hello", "--ingress", &dev.ingress]).await;
    assert_eq!(text(&called.stdout), "\"hello\"\n", "{called:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_scripts_of_their_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&output(&["completions", shell]).await.stdout);
        for word in ["invocations", "doctor", "reset", "inactivity-timeout"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("everlog.bash");
    std::fs::write(&script, output(&["completions", "bash"]).await.stdout).unwrap();
    assert!(is_bash(&script));
    std::fs::write(&script, "if then").unwrap();
    assert!(!is_bash(&script));
}

fn is_bash(script: &Path) -> bool {
    let checked = std::process::Command::new("bash").arg("-n").arg(script).output().unwrap();
    checked.status.success()
}
