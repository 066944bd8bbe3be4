//! The programs that serve the same functions in each language, as processes that can be killed
//! and started again on the same port.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use everlog_harness::{Process, free_address, program, until_listening};
use tokio::process::Command;

/// What functions are written in, with the official SDK of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `src/program`.
    Rust,
    /// `functions/typescript`.
    TypeScript,
    /// `functions/python`.
    Python,
    /// `functions/go`.
    Go,
    /// `functions/java`.
    Java,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
            Self::Java => "java",
        })
    }
}

impl Language {
    /// Prepares to serve the functions on a port of loopback.
    pub fn command(self, port: u16) -> Result<Command> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions").join(self.to_string());
        let mut command = match self {
            Self::Rust => Command::new(program("e2e-functions")?),
            Self::TypeScript => {
                let mut command = node(&folder)?;
                command.arg(installed(&folder, "dist/app.js")?);
                command
            }
            Self::Python => {
                let mut command = Command::new(installed(&folder, ".venv/bin/python")?);
                command.arg(folder.join("app.py"));
                command
            }
            Self::Go => Command::new(installed(&folder, "build/functions")?),
            Self::Java => java(&folder)?,
        };
        command.arg(port.to_string());
        Ok(command)
    }
}

/// Prepares to run the Node.js that npm installed in `folder`, or the machine's own where npm has
/// none for this kind of machine.
pub fn node(folder: &Path) -> Result<Command> {
    let modules = installed(folder, "node_modules")?;
    let own = modules.join(".bin/node");
    Ok(if own.is_file() { Command::new(own) } else { Command::new("node") })
}

/// Prepares to run the compiled functions in `folder`. They live for seconds: what makes Java fast in
/// the long run would only make them slow to begin.
fn java(folder: &Path) -> Result<Command> {
    let classes = installed(folder, "classes")?;
    let jars = installed(folder, "jars")?;
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-cp"]);
    command.arg(format!("{}:{}/*", classes.display(), jars.display())).arg("App");
    Ok(command)
}

/// Finds what `scripts/functions` installs or builds in `folder`.
pub fn installed(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: run `scripts/functions`", path.display());
    Ok(path)
}

/// Prepares to serve functions on a port of loopback.
type Serve = Box<dyn Fn(u16) -> Result<Command> + Send + Sync>;

/// A running program of functions.
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    serve: Serve,
    output: PathBuf,
    process: Option<Process>,
}

impl Program {
    /// Starts a program and waits until it listens. What it prints goes to a file in `folder`.
    pub async fn start(
        folder: &Path,
        serve: impl Fn(u16) -> Result<Command> + Send + Sync + 'static,
    ) -> Result<Self> {
        let output = folder.join("functions.output");
        let address = free_address();
        let mut program = Self { address, serve: Box::new(serve), output, process: None };
        program.restart().await?;
        Ok(program)
    }

    /// Starts the program again, on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the functions run already");
        let mut command = (self.serve)(self.address.port())?;
        self.process = Some(Process::start(&mut command, Some(&self.output))?);
        let listens = until_listening(self.address).await;
        listens.with_context(|| format!("the functions printed:\n{}", self.output()))
    }

    /// Kills the program with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the functions do not run")?.kill().await
    }

    /// What to register.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that the program has printed, over all its lives.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}
