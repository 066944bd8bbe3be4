//! Registers a deployment: discovers it, checks it, and decides what that does to what is registered.

use std::collections::BTreeMap;

use everlog_connect::{HttpVersion, Wanted};
use everlog_log_schema::metadata::{
    Change, Deployment, Metadata, PROTOCOL_VERSIONS, ProtocolMode, Service,
};
use everlog_log_schema::{DeploymentId, Millis, RetryPolicy};
use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::body::null_as_default;
use super::discovery::{self, Discovered};
use super::endpoint::Endpoint;
use super::error::AdminError;
use super::manifest::ManifestMode;
use super::offered::{self, OfferError};
use super::record::Decision;
use crate::time::now;

/// A request to register a deployment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of a JSON object that others define")]
pub struct RegisterRequest {
    /// Where it answers.
    pub uri: Option<String>,
    /// Whether it may replace, in place, what is registered at the same address.
    #[serde(default, deserialize_with = "null_as_default")]
    pub force: bool,
    /// Whether a service may lose handlers or change its kind.
    #[serde(default, deserialize_with = "null_as_default")]
    pub breaking: bool,
    /// Whether to check everything and record nothing.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dry_run: bool,
    /// Whether HTTP/1.1 is to be used.
    #[serde(default, deserialize_with = "null_as_default")]
    pub use_http_11: bool,
    /// Whether HTTP version, headers and labels are those that are registered at the same address,
    /// if any are: this registers what answers there again, and is nobody's word on the rest.
    #[serde(skip)]
    pub keep_settings: bool,
    /// Sent with every request to the deployment.
    #[serde(default, deserialize_with = "null_as_default")]
    pub additional_headers: BTreeMap<String, String>,
    /// Its registrar's labels.
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// A function on AWS Lambda, which is not supported.
    pub arn: Option<Value>,
    /// For Lambda only.
    pub assume_role_arn: Option<Value>,
    /// Credentials of a cloud, which are not supported.
    pub auth: Option<Value>,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The deployment as it is registered now.
    pub deployment: Deployment,
    /// Whether anything changed.
    pub outcome: RegisterOutcome,
}

/// What a registration changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The deployment is new.
    Created,
    /// It replaced what was registered at its address.
    Replaced,
    /// The same was registered before.
    Unchanged,
}

impl Admin {
    /// Registers a deployment and waits until this gateway knows it.
    pub(crate) async fn register(
        &self,
        request: &RegisterRequest,
    ) -> Result<Registered, AdminError> {
        let mut endpoint = endpoint_of(request)?;
        if request.keep_settings
            && let Some(registered) = registered_at(&self.metadata.borrow(), &endpoint.uri)
        {
            endpoint.headers = registered.headers.clone();
            endpoint.wanted = wanted(registered.use_http_11);
        }
        let discovered = discovery::discover(&endpoint, &self.connector, &self.limits).await?;
        let offered = offered_deployment(endpoint, discovered, &self.retry)?;
        let offered = Deployment { metadata: offered::labels(request.metadata.clone()), ..offered };
        self.change(|metadata| {
            let (deployment, outcome) = decide(metadata, &offered, request)?;
            let registered = Registered { deployment: deployment.clone(), outcome };
            if outcome == RegisterOutcome::Unchanged || request.dry_run {
                return Ok(Decision::Done(registered));
            }
            Ok(Decision::Record(Box::new(Change::RegisterDeployment(deployment)), registered))
        })
        .await
    }
}

/// Refuses what only a function on AWS Lambda would need, and credentials of a cloud.
pub(super) fn refuse_clouds(
    arn: Option<&Value>,
    assume_role_arn: Option<&Value>,
    auth: Option<&Value>,
) -> Result<(), AdminError> {
    if arn.is_some() || assume_role_arn.is_some() {
        return Err(AdminError::NotSupported(
            "AWS Lambda is not supported: register the address of an HTTP endpoint as `uri`".into(),
        ));
    }
    if auth.is_some() {
        return Err(AdminError::NotSupported(
            "`auth` is not supported: send credentials as additional_headers".into(),
        ));
    }
    Ok(())
}

fn endpoint_of(request: &RegisterRequest) -> Result<Endpoint, AdminError> {
    let RegisterRequest { arn, assume_role_arn, auth, .. } = request;
    refuse_clouds(arn.as_ref(), assume_role_arn.as_ref(), auth.as_ref())?;
    let Some(uri) = &request.uri else {
        return Err(AdminError::MalformedRequest("the field `uri` is missing".into()));
    };
    Endpoint::parse(uri, &request.additional_headers, wanted(request.use_http_11))
}

pub(super) fn wanted(use_http_11: bool) -> Wanted {
    if use_http_11 { Wanted::HttpOne } else { Wanted::Best }
}

pub(super) fn registered_at<'a>(metadata: &'a Metadata, uri: &str) -> Option<&'a Deployment> {
    metadata.deployments.values().find(|known| known.uri == uri)
}

/// Checks what a deployment says, and makes a registration of it.
pub(super) fn offered_deployment(
    endpoint: Endpoint,
    discovered: Discovered,
    retry: &RetryPolicy,
) -> Result<Deployment, AdminError> {
    let manifest = discovered.manifest;
    let uri = endpoint.uri;
    let bad = |uri: &str, reason: String| AdminError::BadDiscovery { uri: uri.to_owned(), reason };
    let (min, max) = (manifest.min_protocol_version, manifest.max_protocol_version);
    if min == 0 || min > max {
        let reason = format!("it claims to speak versions {min} to {max} of the service protocol");
        return Err(bad(&uri, reason));
    }
    let (&our_min, &our_max) = (PROTOCOL_VERSIONS.start(), PROTOCOL_VERSIONS.end());
    if max < our_min || min > our_max {
        return Err(AdminError::NoCommonVersion { uri, min, max, our_min, our_max });
    }
    let mode = match manifest.protocol_mode {
        Some(ManifestMode::BidiStream) => ProtocolMode::BidiStream,
        Some(ManifestMode::RequestResponse) => ProtocolMode::RequestResponse,
        None => return Err(bad(&uri, "its manifest lacks protocolMode".into())),
    };
    if discovered.version == HttpVersion::One && endpoint.wanted == Wanted::Best {
        if !endpoint.origin.is_tls() {
            return Err(AdminError::HttpOneOnly { uri });
        }
        if mode == ProtocolMode::BidiStream {
            return Err(AdminError::NotBidirectional { uri });
        }
    }
    let services = offered::services(manifest, retry)
        .map_err(|OfferError::Invalid(reason)| bad(&uri, reason))?;
    Ok(Deployment {
        id: DeploymentId(format!("dp_{:032x}", rand::random::<u128>())),
        uri,
        headers: endpoint.headers,
        mode,
        use_http_11: endpoint.wanted == Wanted::HttpOne,
        min_protocol_version: min,
        max_protocol_version: max,
        sdk: discovered.sdk,
        metadata: vec![],
        created_at: now(),
        services,
    })
}

/// Decides what a registration does to what is registered.
fn decide(
    metadata: &Metadata,
    offered: &Deployment,
    request: &RegisterRequest,
) -> Result<(Deployment, RegisterOutcome), AdminError> {
    let registered = registered_at(metadata, &offered.uri);
    let kept = registered.filter(|_| request.keep_settings);
    let kept = kept.map(|registered| with_settings_of(registered, offered));
    let offered = kept.as_ref().unwrap_or(offered);
    // What was set since is none of the code's doing, and stays while that is the same.
    let patched = registered.map(|registered| with_patches_of(registered, offered));
    let is_same =
        registered.zip(patched.as_ref()).is_some_and(|(of, it)| same_but_for_retries(of, it));
    let offered = patched.as_ref().filter(|_| is_same).unwrap_or(offered);
    if let Some(registered) = registered {
        let settled = !request.force || serves_all(metadata, registered);
        if same_code(registered, offered) && settled {
            return Ok((registered.clone(), RegisterOutcome::Unchanged));
        }
        if !request.force && !is_same {
            let (id, uri) = (registered.id.to_string(), registered.uri.clone());
            return Err(AdminError::Conflict { id, uri });
        }
        // To replace an old version would lead new calls to it, which needs force.
        if !request.force && !serves_all(metadata, registered) {
            return Ok((registered.clone(), RegisterOutcome::Unchanged));
        }
    }
    if !request.force && !request.breaking {
        offered.services.iter().try_for_each(|service| check_compatible(metadata, service))?;
    }
    match registered {
        Some(registered) => {
            let replaced = Deployment { id: registered.id.clone(), ..offered.clone() };
            Ok((replaced, RegisterOutcome::Replaced))
        }
        None => Ok((offered.clone(), RegisterOutcome::Created)),
    }
}

/// What is offered, with all that its registrar says and not its code.
fn with_settings_of(registered: &Deployment, offered: &Deployment) -> Deployment {
    Deployment {
        headers: registered.headers.clone(),
        use_http_11: registered.use_http_11,
        metadata: registered.metadata.clone(),
        ..offered.clone()
    }
}

/// What is offered, with what was set for the services of the registered one since.
pub(super) fn with_patches_of(registered: &Deployment, offered: &Deployment) -> Deployment {
    let patch_of = |service: Service| {
        let known = registered.services.iter().find(|known| known.name == service.name);
        match known {
            Some(known) => service.patched(known.patch),
            None => service,
        }
    };
    Deployment {
        services: offered.services.iter().cloned().map(patch_of).collect(),
        ..offered.clone()
    }
}

/// Whether two registrations of one address mean the same: all but identity and time.
fn same_code(registered: &Deployment, offered: &Deployment) -> bool {
    let comparable = |deployment: &Deployment| Deployment {
        id: DeploymentId(String::new()),
        created_at: Millis(0),
        sdk: None,
        ..deployment.clone()
    };
    comparable(registered) == comparable(offered)
}

/// Whether two registrations of one address differ in retry policies at most. Where its author does
/// not say, a handler's policy is a setting of this server, which may change while the code stays.
fn same_but_for_retries(registered: &Deployment, offered: &Deployment) -> bool {
    let mut offered = offered.clone();
    let handlers = offered.services.iter_mut().flat_map(|service| &mut service.handlers);
    let known = registered.services.iter().flat_map(|service| &service.handlers);
    for (handler, known) in handlers.zip(known) {
        handler.retry = known.retry.clone();
    }
    same_code(registered, &offered)
}

/// Whether new calls of all its services go to this deployment. If not, registering it again by
/// force is how its owner rolls back to it.
pub(super) fn serves_all(metadata: &Metadata, deployment: &Deployment) -> bool {
    deployment.services.iter().all(|service| {
        metadata
            .services
            .get(&service.name)
            .is_some_and(|newest| newest.deployment == deployment.id)
    })
}

/// Refuses a new version of a service that lacks what its callers may use.
fn check_compatible(metadata: &Metadata, offered: &Service) -> Result<(), AdminError> {
    let Some((_, newest)) = metadata.service(&offered.name) else {
        return Ok(());
    };
    let breaking = |reason| Err(AdminError::Breaking { service: offered.name.clone(), reason });
    if newest.kind != offered.kind {
        return breaking("its kind changes".to_owned());
    }
    let lost = newest
        .handlers
        .iter()
        .find(|handler| !offered.handlers.iter().any(|kept| kept.name == handler.name));
    match lost {
        Some(handler) => breaking(format!("it loses the handler `{}`", handler.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::Header;
    use everlog_log_schema::metadata::MetadataChange;

    use super::*;
    use crate::fixtures;

    /// What the code that is registered offers once this server's settings are others.
    fn with_other_retries(metadata: &Metadata) -> Deployment {
        let id = DeploymentId("dp_1".into());
        let known = metadata.deployments.get(&id).expect("the fixture registers it");
        let mut offered = Deployment { id: DeploymentId("dp_2".into()), ..known.clone() };
        for handler in offered.services.iter_mut().flat_map(|service| &mut service.handlers) {
            handler.retry.max_attempts = Some(12_345);
        }
        offered
    }

    #[test]
    fn other_retry_settings_of_the_server_are_no_other_code() {
        let metadata = fixtures::metadata();
        let offered = with_other_retries(&metadata);
        let request = RegisterRequest::default();
        let expected = Deployment { id: DeploymentId("dp_1".into()), ..offered.clone() };
        let decided = decide(&metadata, &offered, &request);
        assert_eq!(decided, Ok((expected, RegisterOutcome::Replaced)));

        let mut changed = offered.clone();
        changed.services.pop();
        let mut private = offered;
        for handler in private.services.iter_mut().flat_map(|service| &mut service.handlers) {
            handler.ingress_private = true;
        }
        for other in [changed, private] {
            let refused = decide(&metadata, &other, &request);
            assert!(matches!(refused, Err(AdminError::Conflict { .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_registers_code_again_keeps_what_its_operator_set() {
        let mut metadata = fixtures::metadata();
        let id = DeploymentId("dp_1".into());
        let offered = metadata.deployments.get(&id).expect("the fixture registers it").clone();
        let header = |key: &str| Header { key: key.into(), value: "x".into() };
        let set = Deployment {
            headers: vec![header("authorization")],
            metadata: vec![header("team")],
            use_http_11: true,
            ..offered.clone()
        };
        let change = MetadataChange {
            replaces: metadata.version,
            change: Change::RegisterDeployment(set.clone()),
        };
        assert!(metadata.fold(metadata.next, change));

        let keeping = RegisterRequest { keep_settings: true, ..RegisterRequest::default() };
        let forced = RegisterRequest { force: true, ..keeping.clone() };
        for request in [&keeping, &forced] {
            let decided = decide(&metadata, &offered, request);
            assert_eq!(decided, Ok((set.clone(), RegisterOutcome::Unchanged)));
        }
        let plain = decide(&metadata, &offered, &RegisterRequest::default());
        assert!(matches!(plain, Err(AdminError::Conflict { .. })), "{plain:?}");

        let mut changed = offered;
        changed.services.pop();
        let mut expected = set;
        expected.services.pop();
        let refused = decide(&metadata, &changed, &keeping);
        assert!(matches!(refused, Err(AdminError::Conflict { .. })), "{refused:?}");
        let replaced = decide(&metadata, &changed, &forced);
        assert_eq!(replaced, Ok((expected, RegisterOutcome::Replaced)));
    }

    #[test]
    fn an_old_version_takes_no_calls_back_for_the_servers_retry_settings() {
        let mut metadata = fixtures::metadata();
        let offered = with_other_retries(&metadata);
        let newer = Deployment { uri: "http://127.0.0.1:2".into(), ..offered.clone() };
        let change = Change::RegisterDeployment(newer);
        let change = MetadataChange { replaces: metadata.version, change };
        assert!(metadata.fold(metadata.next, change));
        let decided = decide(&metadata, &offered, &RegisterRequest::default());
        let outcome = decided.map(|(deployment, outcome)| (deployment.id.0, outcome));
        assert_eq!(outcome, Ok(("dp_1".into(), RegisterOutcome::Unchanged)));
        let forced = RegisterRequest { force: true, ..RegisterRequest::default() };
        let outcome = decide(&metadata, &offered, &forced).map(|(_, outcome)| outcome);
        assert_eq!(outcome, Ok(RegisterOutcome::Replaced));
    }
}
