//! `--register`: registers deployments while they, too, may only be starting.

use std::time::Duration;

use everlog_gateway::{AdminError, RegisterOutcome, RegisterRequest, Registered, Registrar};
use everlog_log_schema::metadata::ServiceKind;
use tokio::time::Instant;

use crate::say::say;

/// How long a deployment may take to come up.
const REGISTER_MAX: Duration = Duration::from_mins(2);
/// How often it is asked.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often its absence is mentioned.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Registers what answers at `uri`, and says how it goes.
pub(crate) async fn register(registrar: Registrar, uri: String) {
    // Whoever starts a server for development with an address means the code that is there now.
    let request =
        RegisterRequest { uri: Some(uri.clone()), force: true, ..RegisterRequest::default() };
    let deadline = Instant::now() + REGISTER_MAX;
    let mut say_at = Instant::now();
    loop {
        match registrar.register(&request).await {
            Ok(registered) => return say_registered(&registered),
            Err(error) if error.may_pass() && Instant::now() < deadline => {
                if Instant::now() >= say_at {
                    say(format_args!("Waiting for the functions at {uri}: {error}"));
                    say_at = Instant::now() + SAY_EVERY;
                }
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Err(error) => return say_failed(&uri, &error),
        }
    }
}

fn say_registered(registered: &Registered) {
    let deployment = &registered.deployment;
    let what = match registered.outcome {
        RegisterOutcome::Created => "Registered",
        RegisterOutcome::Replaced => "Registered anew",
        RegisterOutcome::Unchanged => "Already registered",
    };
    say(format_args!("{what}: {} as {}", deployment.uri, deployment.id));
    for service in &deployment.services {
        let key = match service.kind {
            ServiceKind::Service => "",
            ServiceKind::VirtualObject => "/{key}",
        };
        for handler in &service.handlers {
            say(format_args!("  {}{key}/{}", service.name, handler.name));
        }
    }
}

fn say_failed(uri: &str, error: &AdminError) {
    let (code, _, _) = error.code();
    say(format_args!("Not registered: {uri} [{code}]\n  {error}"));
}
