//! What becomes of a deployment after its registration: it is described anew, watched until nothing
//! needs it, and removed.
//!
//! Its invariant: without force nothing is removed that an invocation may go on with, or that new
//! calls go to. What cannot be told for certain counts as needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everlog_log_schema::metadata::{Change, Deployment, Metadata, PROTOCOL_VERSIONS, Service};
use everlog_log_schema::owner_api::InvocationQuery;
use everlog_log_schema::{DeploymentId, InvocationRow, Millis, PartitionId, Status, StatusKind};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::body::null_as_default;
use super::endpoint::Endpoint;
use super::invocations::Parameters;
use super::record::{Decision, foreseen};
use super::register::{
    offered_deployment, refuse_clouds, registered_at, serves_all, wanted, with_patches_of,
};
use super::{Admin, AdminError, discovery, found, offered, read_json, views};
use crate::reply::{Reply, json_reply};

/// How many open invocations are counted. More are "at least" so many.
const OPEN_MAX: usize = 10_000;
/// How many invocations are asked for at once.
const PAGE_MAX: usize = 1_000;
/// How long the counting may take.
const COUNT_MAX: Duration = Duration::from_secs(30);
/// By how much the clocks of two processes may differ.
const CLOCKS_APART: Millis = Millis(10_000);

/// A request to describe a deployment anew.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateRequest {
    /// Where it answers from now on.
    uri: Option<String>,
    /// Sent with every request to it from now on.
    additional_headers: Option<BTreeMap<String, String>>,
    /// Its labels from now on.
    metadata: Option<BTreeMap<String, String>>,
    /// Whether HTTP/1.1 is to be used from now on.
    use_http_11: Option<bool>,
    /// Whether its code may be any other.
    #[serde(default, deserialize_with = "null_as_default")]
    overwrite: bool,
    /// Whether to check everything and record nothing.
    #[serde(default, deserialize_with = "null_as_default")]
    dry_run: bool,
    /// A function on AWS Lambda, which is not supported.
    arn: Option<Value>,
    /// For Lambda only.
    assume_role_arn: Option<Value>,
    /// Credentials of a cloud, which are not supported.
    auth: Option<Value>,
}

/// What still needs a deployment.
#[derive(Debug, Serialize)]
struct DrainView<'a> {
    id: &'a str,
    /// Whether nothing does, so that it can go.
    drained: bool,
    /// The services whose new calls go to it.
    newest_of: Vec<&'a str>,
    /// The invocations that go on with its code.
    open_invocations: usize,
    /// Those that may have just begun on it: nothing of them is recorded yet.
    starting_invocations: usize,
    /// Whether the counting stopped before its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_least: bool,
}

/// Invocations that are not completed.
#[derive(Debug, Default)]
struct Open {
    pinned: usize,
    starting: usize,
    at_least: bool,
}

impl Admin {
    /// Describes a deployment anew: another address, other headers, or the same code in other words.
    pub(super) async fn update_deployment(
        &self,
        id: &str,
        body: &[u8],
    ) -> Result<Reply, AdminError> {
        let request: UpdateRequest = read_json(body)?;
        let registered = found(&self.metadata.borrow(), id)?.clone();
        let endpoint = endpoint_of(&request, &registered)?;
        let discovered = discovery::discover(&endpoint, &self.connector, &self.limits).await?;
        let offered = offered_deployment(endpoint, discovered, &self.retry)?;
        let updated = self.change(|metadata| {
            let registered = found(metadata, id)?;
            let updated = updated(metadata, registered, &offered, &request)?;
            let is_next = updated.services != registered.services
                && request.overwrite
                && serves_all(metadata, registered);
            // What is new in it gets its calls only as a registration: a next version, which begins
            // without what was patched for the one before.
            let services = if is_next { offered.services.clone() } else { updated.services };
            let updated = Deployment { services, ..updated };
            let change = (updated != *registered).then(|| {
                if is_next {
                    Change::RegisterDeployment(updated.clone())
                } else {
                    Change::UpdateDeployment(updated.clone())
                }
            });
            Ok(match change {
                Some(change) if !request.dry_run => {
                    Decision::Record(Box::new(change), (updated, None))
                }
                unrecorded => Decision::Done((updated, unrecorded)),
            })
        });
        let (updated, unrecorded) = updated.await?;
        let mut metadata = self.metadata.borrow().clone();
        if let Some(change) = unrecorded {
            metadata = Arc::new(foreseen(&metadata, change));
        }
        Ok(json_reply(StatusCode::OK, &views::deployment(&metadata, &updated, vec![])))
    }

    /// Forgets a deployment; without force only one that nothing needs.
    pub(super) async fn remove_deployment(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let force = parameters.take_as("force")?.unwrap_or(false);
        parameters.end()?;
        let deployment = found(&self.metadata.borrow(), id)?.id.clone();
        if !force {
            let metadata = self.metadata.borrow().clone();
            refuse_newest(&metadata, &deployment)?;
            let open = self.open_invocations(&metadata, found(&metadata, id)?).await?;
            if open.pinned + open.starting > 0 || open.at_least {
                return Err(AdminError::InUse { id: id.to_owned(), reason: open.to_string() });
            }
        }
        self.change(|metadata| {
            found(metadata, id)?;
            if !force {
                refuse_newest(metadata, &deployment)?;
            }
            let change = Change::RemoveDeployment(deployment.clone());
            Ok(Decision::Record(Box::new(change), ()))
        })
        .await?;
        let mut reply = Reply::default();
        *reply.status_mut() = StatusCode::ACCEPTED;
        Ok(reply)
    }

    /// Tells what still needs a deployment.
    pub(super) async fn show_drain(&self, id: &str) -> Result<Reply, AdminError> {
        let metadata = self.metadata.borrow().clone();
        let deployment = found(&metadata, id)?;
        let newest_of = newest_of(&metadata, &deployment.id);
        let open = self.open_invocations(&metadata, deployment).await?;
        let needed = !newest_of.is_empty() || open.pinned + open.starting > 0 || open.at_least;
        let view = DrainView {
            id: &deployment.id.0,
            drained: !needed,
            newest_of,
            open_invocations: open.pinned,
            starting_invocations: open.starting,
            at_least: open.at_least,
        };
        Ok(json_reply(StatusCode::OK, &view))
    }

    /// Counts the invocations that go on with the code of a deployment, or may.
    async fn open_invocations(
        &self,
        metadata: &Metadata,
        deployment: &Deployment,
    ) -> Result<Open, AdminError> {
        let deadline = Instant::now() + COUNT_MAX;
        let may_start = may_have_started(metadata, deployment);
        let open = StatusKind::ALL.into_iter().filter(|status| *status != StatusKind::Completed);
        let mut query = InvocationQuery {
            statuses: open.collect(),
            deployment: Some(deployment.id.clone()),
            limit: PAGE_MAX,
            ..InvocationQuery::default()
        };
        let mut counted = Open::default();
        for partition in (0..self.inbox.partitions()).map(PartitionId) {
            query.after = None;
            loop {
                let page = self.ask(|| self.owner.invocations(partition, query.clone())).await?;
                let page = page.unwrap_or_default();
                for (_, row) in &page.found {
                    counted.pinned += usize::from(row.pin.is_some());
                    counted.starting += usize::from(may_start(row));
                }
                counted.at_least =
                    counted.pinned + counted.starting >= OPEN_MAX || Instant::now() >= deadline;
                if counted.at_least {
                    return Ok(counted);
                }
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
        }
        Ok(counted)
    }
}

impl std::fmt::Display for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pinned, starting, at_least } = self;
        let more = if *at_least { "at least " } else { "" };
        write!(
            f,
            "{more}{pinned} invocations go on with its code, and {starting} may have begun on it"
        )
    }
}

fn newest_of<'a>(metadata: &'a Metadata, id: &DeploymentId) -> Vec<&'a str> {
    let newest = metadata.services.iter().filter(|(_, newest)| newest.deployment == *id);
    newest.map(|(name, _)| name.as_str()).collect()
}

fn refuse_newest(metadata: &Metadata, id: &DeploymentId) -> Result<(), AdminError> {
    let services = newest_of(metadata, id);
    if services.is_empty() {
        return Ok(());
    }
    let reason = format!("new calls of {} go to it", services.join(", "));
    Err(AdminError::InUse { id: id.to_string(), reason })
}

/// Tells of an invocation whose code nothing has fixed yet whether it may have begun on an older
/// deployment: before others took the calls of its service over.
fn may_have_started(
    metadata: &Metadata,
    deployment: &Deployment,
) -> impl Fn(&InvocationRow) -> bool {
    let offered = deployment.services.iter().map(|service| {
        let newest = metadata.service(&service.name).map(|(newest, _)| newest.created_at);
        let until = newest.map_or(Millis::MAX, |at| Millis(at.0.saturating_add(CLOCKS_APART.0)));
        (service.name.clone(), until)
    });
    let offered: BTreeMap<String, Millis> = offered.collect();
    move |row| {
        row.pin.is_none()
            && row.status == Status::Running
            && offered.get(&row.target.service).is_some_and(|until| row.modified_at <= *until)
    }
}

fn endpoint_of(request: &UpdateRequest, registered: &Deployment) -> Result<Endpoint, AdminError> {
    let UpdateRequest { arn, assume_role_arn, auth, .. } = request;
    refuse_clouds(arn.as_ref(), assume_role_arn.as_ref(), auth.as_ref())?;
    let uri = request.uri.as_ref().unwrap_or(&registered.uri);
    let known: BTreeMap<String, String> =
        registered.headers.iter().map(|of| (of.key.clone(), of.value.clone())).collect();
    let headers = request.additional_headers.as_ref().unwrap_or(&known);
    Endpoint::parse(uri, headers, wanted(request.use_http_11.unwrap_or(registered.use_http_11)))
}

/// The deployment as it is described from now on.
fn updated(
    metadata: &Metadata,
    registered: &Deployment,
    offered: &Deployment,
    request: &UpdateRequest,
) -> Result<Deployment, AdminError> {
    if let Some(other) = registered_at(metadata, &offered.uri)
        && other.id != registered.id
    {
        return Err(AdminError::Conflict { id: other.id.to_string(), uri: other.uri.clone() });
    }
    if !request.overwrite {
        check_similar(registered, offered)?;
    }
    let labels = request.metadata.clone().map(offered::labels);
    Ok(Deployment {
        id: registered.id.clone(),
        created_at: registered.created_at,
        metadata: labels.unwrap_or_else(|| registered.metadata.clone()),
        ..with_patches_of(registered, offered)
    })
}

/// Refuses code that invocations of the registered one could not go on with, or that offers what
/// would get no calls.
fn check_similar(registered: &Deployment, offered: &Deployment) -> Result<(), AdminError> {
    let other = |reason: String| Err(AdminError::NotSimilar { uri: offered.uri.clone(), reason });
    // Those that began are in any version that both sides spoke.
    let first = registered.min_protocol_version.max(*PROTOCOL_VERSIONS.start());
    let last = registered.max_protocol_version.min(*PROTOCOL_VERSIONS.end());
    if offered.min_protocol_version > first || offered.max_protocol_version < last {
        return other(format!(
            "it does not speak versions {first} to {last} of the service protocol"
        ));
    }
    for known in &registered.services {
        let kept = offered.services.iter().find(|service| service.name == known.name);
        let Some(kept) = kept else {
            return other(format!("it lacks the service `{}`", known.name));
        };
        if let Some(reason) = difference(known, kept) {
            return other(format!("in service `{}` {reason}", known.name));
        }
    }
    let is_known =
        |service: &&Service| registered.services.iter().any(|of| of.name == service.name);
    match offered.services.iter().find(|service| !is_known(service)) {
        Some(new) => other(format!("it offers the new service `{}`", new.name)),
        None => Ok(()),
    }
}

fn difference(known: &Service, kept: &Service) -> Option<String> {
    if known.kind != kept.kind {
        return Some("the kind differs".into());
    }
    known.handlers.iter().find_map(|handler| {
        let same = kept.handlers.iter().find(|kept| kept.name == handler.name);
        match same {
            None => Some(format!("the handler `{}` is missing", handler.name)),
            Some(same) if same.kind != handler.kind => {
                Some(format!("the handler `{}` is of another kind", handler.name))
            }
            Some(_) => None,
        }
    })
}
