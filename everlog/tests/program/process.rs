//! The program as a process, and functions of the real SDK for it to call.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use restate_sdk::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

/// Within what everything here must happen.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Greeter;

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
pub(crate) async fn functions() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::builder().bind(Greeter).build();
    tokio::spawn(HttpServer::new(endpoint).serve(listener));
    format!("http://{address}")
}

pub(crate) fn everlog(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everlog"));
    command.args(arguments).kill_on_drop(true);
    for variable in ["EVERLOG_INGRESS", "EVERLOG_ADMIN", "EVERLOG_CONFIG", "EVERLOG_LOG"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) async fn output(arguments: &[&str]) -> Output {
    let running = everlog(arguments).stdin(Stdio::null()).output();
    tokio::time::timeout(DEADLINE, running).await.expect("an end in time").unwrap()
}

/// A running `everlog dev`.
pub(crate) struct Dev {
    pub(crate) process: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    pub(crate) ingress: String,
    pub(crate) admin: String,
}

impl Dev {
    pub(crate) async fn start(data: &Path, arguments: &[&str]) -> Self {
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
    pub(crate) async fn line_with(&mut self, word: &str) -> String {
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

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.process, signal);
    }

    pub(crate) async fn end(&mut self) -> i32 {
        let ended = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        ended.expect("an end in time").unwrap().code().unwrap()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends a signal to a process that has not ended.
pub(crate) fn send(process: &Child, signal: Signal) {
    let pid = process.id().unwrap().try_into().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}
