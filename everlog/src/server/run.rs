//! From the start of a server to the signal that ends it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{DRAIN_MAX, Plan, Server};
use crate::config::Settings;
use crate::register::keep_registered;
use crate::say::say;
use crate::signals::Signals;

/// How long the databases get to close.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(5);
/// The exit code after a second signal, as shells give it for an interrupted program.
const INTERRUPTED: u8 = 130;

/// Serves until a signal asks for the end, or a second one insists on it.
pub(crate) async fn run_until_signal(
    settings: Settings,
    plan: Plan<'_>,
    greet: impl FnOnce(&Settings, &Server),
) -> Result<ExitCode> {
    let mut signals = Signals::catch().context("failed to catch signals")?;
    let server = tokio::select! {
        server = Server::start(&settings, plan) => server?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    greet(&settings, &server);
    let mut registrations = JoinSet::new();
    if let Some(gateway) = server.gateway() {
        for uri in settings.register {
            registrations.spawn(keep_registered(gateway.registrar(), uri));
        }
    }
    signals.next().await;
    let drain = DRAIN_MAX.as_secs();
    say(format_args!("Ending: running functions get {drain} s. Once more to end at once."));
    registrations.shutdown().await;
    tokio::select! {
        () = server.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}
