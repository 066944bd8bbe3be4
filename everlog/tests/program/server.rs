//! `everlog dev` and calls of what it serves.

use std::process::Stdio;

use crate::process::{DEADLINE, Dev, everlog, functions, output, send, text};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

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

    dev.signal(Signal::KILL);
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
    dev.signal(Signal::TERM);
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
    dev.signal(Signal::INT);
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
    dev.signal(Signal::TERM);
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
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_had_is_known_before_any_function_runs() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let mut dev = Dev::start(data.path(), &["--partitions", "1"]).await;
    dev.signal(Signal::TERM);
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
    send(&process, Signal::TERM);
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
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().await, 0);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_version_names_the_commit() {
    let version = text(&output(&["--version"]).await.stdout);
    assert!(version.starts_with(concat!("everlog ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
    assert!(text(&output(&["dev", "--help"]).await.stdout).contains("Examples:"));
}
