//! The program as its users run it: as a process, with its exit codes and what it prints.

#![allow(missing_docs, clippy::unwrap_used, clippy::unused_async)]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use restate_sdk::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

/// Within what everything here must happen.
const DEADLINE: Duration = Duration::from_mins(1);

struct Greeter;

#[restate_sdk::service]
impl Greeter {
    #[handler]
    async fn greet(&self, context: Context<'_>, name: String) -> HandlerResult<String> {
        let greeting = context.run(async || Ok(format!("Hello {name}"))).await?;
        Ok(greeting)
    }

    #[handler]
    async fn refuse(&self, _context: Context<'_>) -> HandlerResult<()> {
        Err(TerminalError::new_with_code(409, "sold out").into())
    }
}

/// Serves functions of the real SDK; gives their address.
async fn functions() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::builder().bind(Greeter).build();
    tokio::spawn(HttpServer::new(endpoint).serve(listener));
    format!("http://{address}")
}

fn everlog(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everlog"));
    command.args(arguments).env_remove("EVERLOG_INGRESS").kill_on_drop(true);
    command
}

async fn output(arguments: &[&str]) -> Output {
    let running = everlog(arguments).stdin(Stdio::null()).output();
    tokio::time::timeout(DEADLINE, running).await.expect("an end in time").unwrap()
}

/// A running `everlog dev`.
struct Dev {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ingress: String,
    admin: String,
}

impl Dev {
    async fn start(data: &Path, arguments: &[&str]) -> Self {
        let data = data.to_str().unwrap();
        let mut process = everlog(&["dev", "--data-dir", data])
            .args(["--ingress-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut dev = Self { process, lines, ingress: String::new(), admin: String::new() };
        dev.ingress = dev.line_with("calls ").await;
        dev.admin = dev.line_with("admin ").await;
        dev
    }

    /// Reads up to the line that begins with a word, and gives what follows it.
    async fn line_with(&mut self, word: &str) -> String {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("more output");
                if let Some(rest) = line.trim().strip_prefix(word) {
                    return rest.split_whitespace().next().unwrap_or_default().to_owned();
                }
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("the line in time")
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    async fn end(&mut self) -> i32 {
        let ended = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        ended.expect("an end in time").unwrap().code().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_called_from_the_command_line_and_survives_a_restart() {
    let data = TempDir::new().unwrap();
    let functions = functions().await;
    let mut dev = Dev::start(data.path(), &["--register", &functions]).await;
    dev.line_with("Registered: ").await;
    let ingress = ["--ingress", &dev.ingress.clone()];

    let called =
        output(&[&["call", "Greeter/greet", "-b", "\"Ann\"", "-k", "k1"], &ingress[..]].concat())
            .await;
    assert_eq!(
        (called.status.code(), text(&called.stdout)),
        (Some(0), "\"Hello Ann\"\n".into()),
        "{called:?}"
    );
    let sent = output(&[&["send", "Greeter/greet", "-b", "\"Bea\""], &ingress[..]].concat()).await;
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let id = text(&sent.stdout).trim().to_owned();
    assert!(id.starts_with("inv_1"), "{id}");

    dev.signal("-KILL");
    dev.process.wait().await.unwrap();
    let mut dev = Dev::start(data.path(), &["--register", &functions]).await;
    dev.line_with("Already registered: ").await;
    let ingress = ["--ingress", &dev.ingress.clone()];
    let attached = output(&[&["attach", &id], &ingress[..]].concat()).await;
    assert_eq!(
        (attached.status.code(), text(&attached.stdout)),
        (Some(0), "\"Hello Bea\"\n".into())
    );
    let again =
        output(&[&["call", "Greeter/greet", "-b", "\"Eve\"", "-k", "k1"], &ingress[..]].concat())
            .await;
    assert_eq!(text(&again.stdout), "\"Hello Ann\"\n");
    dev.signal("-TERM");
    assert_eq!(dev.end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_what_went_wrong() {
    let data = TempDir::new().unwrap();
    let mut dev = Dev::start(data.path(), &["--no-fsync", "--register", &functions().await]).await;
    dev.line_with("Registered: ").await;
    let ingress = dev.ingress.clone();
    for (arguments, code, says) in [
        (vec!["call", "Greeter/refuse"], 3, "409: sold out"),
        (vec!["call", "Greeter/nothing"], 1, "handler-not-found"),
        (vec!["call", "Greeter/greet"], 1, "body-required"),
        (vec!["send", "Greeter/refuse", "--delay", "soon"], 1, "malformed-delay"),
        (vec!["attach", "inv_1"], 1, "malformed-invocation-id"),
        (vec!["attach", "inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr"], 1, "invocation-not-found"),
        (vec!["call", "Greeter/greet", "--body", "@no/such/file"], 1, "no/such/file"),
    ] {
        let ended = output(&[&arguments[..], &["--ingress", &ingress]].concat()).await;
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {ended:?}");
        assert!(text(&ended.stderr).contains(says), "{arguments:?}: {ended:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = format!("http://{closed}");
    let ended = output(&["call", "Greeter/greet", "--ingress", &nobody]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("everlog dev"), "{ended:?}");
    assert_eq!(output(&["call", "Greeter"]).await.status.code(), Some(2));

    let mut piped = everlog(&["call", "Greeter/greet", "--body", "-", "--ingress", &ingress])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"\"Zoe\"").await.unwrap();
    let piped = tokio::time::timeout(DEADLINE, piped.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(text(&piped.stdout), "\"Hello Zoe\"\n");
    dev.signal("-INT");
    assert_eq!(dev.end().await, 0);
}

/// What `everlog dev` says when it refuses to start.
async fn refusal(arguments: &[&str]) -> String {
    let ended = output(&[&["dev"], arguments].concat()).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = text(&ended.stderr);
    let last = said.lines().rfind(|line| line.starts_with("everlog: "));
    last.unwrap_or_else(|| panic!("no sentence in {said}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_at_the_start_with_a_sentence() {
    let data = TempDir::new().unwrap();
    let folder = data.path().join("first");
    let other = data.path().join("second");
    let any_port = ["--ingress-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"];
    let mut dev = Dev::start(&folder, &["--partitions", "3"]).await;
    let folder_text = folder.to_str().unwrap();
    let taken = dev.ingress.strip_prefix("http://").unwrap().to_owned();

    let locked = refusal(&[&["--data-dir", folder_text][..], &any_port].concat()).await;
    assert!(locked.contains("another process"), "{locked}");
    let other = other.to_str().unwrap();
    let port = refusal(&["--data-dir", other, "--ingress-address", &taken]).await;
    assert!(port.contains(&taken) && port.contains("--ingress-address"), "{port}");
    let port = refusal(&[
        "--data-dir",
        other,
        "--ingress-address",
        "127.0.0.1:0",
        "--admin-address",
        &taken,
    ])
    .await;
    assert!(port.contains("--admin-address"), "{port}");
    dev.signal("-TERM");
    assert_eq!(dev.end().await, 0);

    let partitions =
        refusal(&[&["--data-dir", folder_text, "--partitions", "4"][..], &any_port].concat()).await;
    assert!(partitions.contains('3') && partitions.contains('4'), "{partitions}");
    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_folder = refusal(&["--data-dir", file.to_str().unwrap()]).await;
    assert!(no_folder.contains("--data-dir"), "{no_folder}");
    for part in ["log", "tables"] {
        let current = folder.join(part).join("CURRENT");
        let kept = std::fs::read(&current).unwrap();
        std::fs::write(&current, "garbage\n").unwrap();
        let arguments = [&["--data-dir", folder_text, "--partitions", "3"][..], &any_port].concat();
        let corrupt = refusal(&arguments).await;
        assert!(corrupt.contains(part), "{corrupt}");
        std::fs::write(&current, kept).unwrap();
    }
    let mut dev = Dev::start(&folder, &["--partitions", "3"]).await;
    dev.signal("-TERM");
    assert_eq!(dev.end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_had_is_known_before_any_function_runs() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let mut dev = Dev::start(data.path(), &["--partitions", "1"]).await;
    dev.signal("-TERM");
    assert_eq!(dev.end().await, 0);
    // The executor opens the tables first of all: that it does not complain shows that it is later.
    std::fs::write(data.path().join("tables/CURRENT"), "garbage\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for [flag, other] in
        [["--ingress-address", "--admin-address"], ["--admin-address", "--ingress-address"]]
    {
        let arguments = ["--data-dir", folder, "--partitions", "1", flag, &taken, other];
        let said = refusal(&[&arguments[..], &["127.0.0.1:0"]].concat()).await;
        assert!(said.contains(&taken) && said.contains(flag), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_listens_to_ends_in_good_order() {
    let data = TempDir::new().unwrap();
    let mut process = everlog(&["dev", "--data-dir", data.path().to_str().unwrap()])
        .args(["--ingress-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut dev = Dev { process, lines, ingress: String::new(), admin: String::new() };
    dev.line_with("curl ").await;
    let Dev { mut process, lines, .. } = dev;
    drop((lines, process.stderr.take()));
    let pid = process.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(DEADLINE, process.wait()).await.expect("an end in time");
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_an_ephemeral_server() {
    let temporary = TempDir::new().unwrap();
    let mut process = everlog(&["dev", "--ephemeral", "--ingress-address", "127.0.0.1:0"])
        .args(["--admin-address", "127.0.0.1:0", "--partitions", "1"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut dev = Dev { process, lines, ingress: String::new(), admin: String::new() };
    dev.line_with("admin ").await;
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    dev.signal("-TERM");
    assert_eq!(dev.end().await, 0);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_version_names_the_commit() {
    let version = text(&output(&["--version"]).await.stdout);
    assert!(version.starts_with(concat!("everlog ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
    assert!(text(&output(&["dev", "--help"]).await.stdout).contains("Examples:"));
}
