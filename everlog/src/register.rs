//! `register`: registers deployments while they, too, may only be starting, and again whenever
//! they are started with other services.
//!
//! Its invariant: code that did not change is never registered again, so that of two deployments
//! with the same services the one that was registered last stays the newest. What somebody has set
//! at the admin API for the same address (headers, labels, the HTTP version) stays as it is.

use std::time::Duration;

use everlog_gateway::{AdminError, RegisterOutcome, RegisterRequest, Registered, Registrar};
use everlog_log_schema::metadata::ServiceKind;
use tokio::time::Instant;

use crate::say::say;

/// How often a deployment is asked that is not registered yet.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often one is asked whether it is still the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often its absence is mentioned, until it is there for the first time.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Keeps what answers at `uri` registered, and says how it goes. Never ends.
pub(crate) async fn keep_registered(registrar: Registrar, uri: String) {
    // Whoever starts a server for development with an address means the code that is there now.
    register_first(&registrar, &uri).await;
    let mut last_problem = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match look(&registrar, &uri).await {
            Ok(Some(registered)) => {
                say_registered("Changed, and registered anew", &registered);
                last_problem = None;
            }
            Ok(None) => last_problem = None,
            // It is being started anew, most likely; calls meanwhile are tried again.
            Err(error) if error.may_pass() => {}
            Err(error) => {
                let problem = error.to_string();
                if last_problem.as_ref() != Some(&problem) {
                    say_failed(&uri, &error);
                    last_problem = Some(problem);
                }
            }
        }
    }
}

/// Registers a deployment for the first time, as soon as it lets itself be registered.
async fn register_first(registrar: &Registrar, uri: &str) {
    let mut last_problem = String::new();
    let mut say_at = Instant::now();
    loop {
        let mut pause = RETRY_EVERY;
        match registrar.register(&request(uri, true)).await {
            Ok(registered) => {
                let what = match registered.outcome {
                    RegisterOutcome::Created => "Registered",
                    RegisterOutcome::Replaced => "Registered anew",
                    RegisterOutcome::Unchanged => "Already registered",
                };
                return say_registered(what, &registered);
            }
            Err(error) if error.may_pass() => {
                if Instant::now() >= say_at {
                    say(format_args!("Waiting for the functions at {uri}: {error}"));
                    say_at = Instant::now() + SAY_EVERY;
                }
            }
            Err(error) => {
                if error.to_string() != last_problem {
                    say_failed(uri, &error);
                    last_problem = error.to_string();
                }
                pause = LOOK_EVERY;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Registers a deployment again if it is no longer what is registered.
async fn look(registrar: &Registrar, uri: &str) -> Result<Option<Registered>, AdminError> {
    match registrar.register(&request(uri, false)).await {
        Ok(registered) if registered.outcome == RegisterOutcome::Unchanged => Ok(None),
        Ok(registered) => Ok(Some(registered)),
        Err(AdminError::Conflict { .. }) => registrar.register(&request(uri, true)).await.map(Some),
        Err(error) => Err(error),
    }
}

fn request(uri: &str, force: bool) -> RegisterRequest {
    let uri = Some(uri.to_owned());
    RegisterRequest { uri, force, keep_settings: true, ..RegisterRequest::default() }
}

fn say_registered(what: &str, registered: &Registered) {
    let deployment = &registered.deployment;
    say(format_args!("{what}: {} as {}", deployment.uri, deployment.id));
    for service in &deployment.services {
        let key = match service.kind {
            ServiceKind::Service => "",
            ServiceKind::VirtualObject | ServiceKind::Workflow => "/{key}",
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
