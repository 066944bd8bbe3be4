//! What is looked at over the network: ports, a running server, and the functions.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Finding;
use crate::admin::{AdminArguments, AdminFailure};
use crate::client::ClientError;
use crate::cluster;
use crate::config::Settings;
use crate::version::VERSION;

/// How long anybody may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Looks at the server, if there is one; tells whether there is.
pub(super) async fn running(server: &AdminArguments) -> (Vec<Finding>, bool) {
    const SERVER: &str = "server";
    let at = &server.admin;
    let version = match timeout(ANSWER_MAX, server.get("/version")).await {
        Ok(Ok(version)) => version,
        Ok(Err(AdminFailure::NoAnswer(ClientError::Connect { .. }))) => {
            return (vec![Finding::ok(SERVER, format!("none runs at {at}"))], false);
        }
        Ok(Err(error)) => {
            let says = format!("what answers at {at} is no Everlog: {error}");
            return (vec![Finding::fail(SERVER, says, "choose another admin_address")], false);
        }
        Err(_elapsed) => {
            let says = format!("what listens at {at} gives no answer");
            return (vec![Finding::fail(SERVER, says, "look at its logs; start it anew")], true);
        }
    };
    let theirs = version.get("version").and_then(Value::as_str).unwrap_or("of no known version");
    let mut findings = vec![if theirs == VERSION {
        Finding::ok(SERVER, format!("runs at {at}, {theirs}"))
    } else {
        let says = format!("at {at} is {theirs}, and this program {VERSION}");
        Finding::warn(SERVER, says, "start it anew with this program, or use the other's")
    }];
    findings.extend(health(server).await);
    findings.extend(deployments(server).await);
    (findings, true)
}

async fn health(server: &AdminArguments) -> Vec<Finding> {
    let remedy = "its log says more; docs/errors/ has the codes";
    match timeout(ANSWER_MAX, cluster::health(server)).await {
        Ok(Ok(health)) if health.problems.is_empty() => vec![Finding::ok("health", "all is well")],
        Ok(Ok(health)) => {
            let problems = health.problems.into_iter();
            problems.map(|problem| Finding::fail("health", problem, remedy)).collect()
        }
        Ok(Err(error)) => vec![Finding::fail("health", error.to_string(), remedy)],
        Err(_elapsed) => vec![Finding::fail("health", "the server gives no answer", remedy)],
    }
}

/// Looks whether what is registered can be reached. From here: the server may see more or less.
async fn deployments(server: &AdminArguments) -> Vec<Finding> {
    let Ok(Ok(answer)) = timeout(ANSWER_MAX, server.get("/deployments")).await else {
        let remedy = "its log says why";
        return vec![Finding::fail("deployments", "the server does not list them", remedy)];
    };
    let listed = answer.get("deployments").and_then(Value::as_array).into_iter().flatten();
    let uris: BTreeSet<_> =
        listed.filter_map(|each| each.get("uri")?.as_str().map(str::to_owned)).collect();
    if uris.is_empty() {
        let remedy = "everlog deployments register URL";
        return vec![Finding::warn("deployments", "nothing is registered", remedy)];
    }
    reach("deployment", uris).await
}

/// Looks whether the functions that are to be registered are there.
pub(super) async fn registered(settings: &Settings) -> Vec<Finding> {
    reach("register", settings.register.iter().cloned().collect()).await
}

async fn reach(check: &'static str, uris: BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for uri in uris {
        findings.push(match connect(&uri).await {
            Ok(()) => Finding::ok(check, format!("{uri} can be reached")),
            Err(reason) => Finding::warn(
                check,
                format!("{uri} cannot be reached: {reason}"),
                "start the functions; calls of them wait until then",
            ),
        });
    }
    findings
}

async fn connect(uri: &str) -> Result<(), String> {
    const HTTP: u16 = 80;
    const HTTPS: u16 = 443;
    let parsed: Uri = uri.parse().map_err(|_| "it is no address".to_owned())?;
    let host = parsed.host().ok_or("it names no host")?.trim_matches(['[', ']']);
    let usual = if parsed.scheme_str() == Some("https") { HTTPS } else { HTTP };
    let port = parsed.port_u16().unwrap_or(usual);
    match timeout(ANSWER_MAX, TcpStream::connect((host, port))).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {} s", ANSWER_MAX.as_secs())),
    }
}

/// Looks whether the two ports can be had.
pub(super) async fn ports(settings: &Settings) -> [Finding; 2] {
    [
        port("ingress port", settings.ingress_address, "ingress_address").await,
        port("admin port", settings.admin_address, "admin_address").await,
    ]
}

async fn port(check: &'static str, address: SocketAddr, setting: &str) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_listener) => Finding::ok(check, format!("{address} is free")),
        Err(error) => Finding::fail(
            check,
            format!("{address} cannot be had: {error}"),
            format!("stop who has it, or choose another with {setting}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings { ingress_address: address, ..Settings::default() };
        let found = ports(&settings).await[0].clone();
        assert_eq!(found.level, Level::Fail);
        assert!(found.says.contains(&address.to_string()), "{found:?}");
        drop(listener);
        assert_eq!(ports(&settings).await[0].level, Level::Ok);
    }

    #[tokio::test]
    async fn functions_are_looked_for_at_their_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = format!("http://{}/prefix", listener.local_addr().unwrap());
        assert_eq!(connect(&there).await, Ok(()));
        drop(listener);
        for uri in [there.as_str(), "not an address", "/path"] {
            assert!(connect(uri).await.is_err(), "{uri}");
        }
        let settings = Settings { register: vec![there], ..Settings::default() };
        assert_eq!(registered(&settings).await[0].level, Level::Warn);
    }
}
