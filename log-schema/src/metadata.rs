//! What is registered: deployments and their services. A fold over the metadata topic.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::codec::list;
use crate::{DeploymentId, HandlerKind, Header, MetadataOffset, Millis, RetryPolicy};

/// The versions of the service protocol that this program speaks: what it asks of a deployment is
/// the highest that both speak, as far as its settings allow.
pub const PROTOCOL_VERSIONS: RangeInclusive<u32> = 5..=8;

/// One record of the metadata topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataChange {
    /// The version that the change was made against; a change to any other has no effect.
    pub replaces: MetadataOffset,
    /// What changes.
    pub change: Change,
}

/// What a metadata record changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A deployment is registered, and its services take new calls from now on. The same id again
    /// replaces the former registration in place.
    RegisterDeployment(Deployment),
    /// A registered deployment is described anew. New calls go where they went before.
    UpdateDeployment(Deployment),
    /// A deployment is forgotten, and so is each service whose new calls went to it.
    RemoveDeployment(DeploymentId),
}

/// A registered, immutable version of handler code behind an HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its identity.
    pub id: DeploymentId,
    /// Where it answers, without a trailing slash.
    pub uri: String,
    /// Sent with every request to it.
    #[serde(with = "list::headers")]
    pub headers: Vec<Header>,
    /// Whether it talks both ways at once.
    pub mode: ProtocolMode,
    /// Whether HTTP/1.1 is to be used.
    pub use_http_11: bool,
    /// The lowest version of the service protocol it speaks.
    pub min_protocol_version: u32,
    /// The highest version of the service protocol it speaks.
    pub max_protocol_version: u32,
    /// What its SDK calls itself, such as `restate-sdk-rust/0.13.0`.
    pub sdk: Option<String>,
    /// Labels of whoever registered it, in order of their names.
    #[serde(with = "list::headers")]
    pub metadata: Vec<Header>,
    /// When it was registered.
    pub created_at: Millis,
    /// The services it offers.
    #[serde(with = "list::services")]
    pub services: Vec<Service>,
}

/// How a deployment talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolMode {
    /// Request and response stream at the same time.
    BidiStream,
    /// The response begins after the request has ended.
    RequestResponse,
}

/// A service as one deployment offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What kind of service.
    pub kind: ServiceKind,
    /// Whether the ingress refuses calls to it.
    pub ingress_private: bool,
    /// What its author wrote about it.
    pub documentation: Option<String>,
    /// Its author's labels, in order of their names.
    #[serde(with = "list::headers")]
    pub metadata: Vec<Header>,
    /// Its handlers.
    #[serde(with = "list::handlers")]
    pub handlers: Vec<Handler>,
    /// What its operator has set in place of what its author wrote; it is worked in already.
    pub patch: ServicePatch,
}

/// What an operator sets for a service, until its next version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePatch {
    /// Whether the ingress takes calls to it.
    pub public: Option<bool>,
    /// [`Handler::idempotency_retention`] of all its handlers, but of a workflow's run.
    pub idempotency_retention: Option<Millis>,
    /// [`Handler::idempotency_retention`] of a workflow's run.
    pub workflow_completion_retention: Option<Millis>,
    /// [`Handler::journal_retention`] of all its handlers.
    pub journal_retention: Option<Millis>,
    /// [`Handler::inactivity_timeout`] of all its handlers.
    pub inactivity_timeout: Option<Millis>,
    /// [`Handler::abort_timeout`] of all its handlers.
    pub abort_timeout: Option<Millis>,
}

/// What kind of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Plain functions.
    Service,
    /// Addressed by key.
    VirtualObject,
    /// Addressed by key, and run once for each.
    Workflow,
}

impl ServiceKind {
    /// Whether its handlers are addressed by key.
    #[must_use]
    pub fn is_keyed(self) -> bool {
        match self {
            Self::Service => false,
            Self::VirtualObject | Self::Workflow => true,
        }
    }
}

/// A handler with all its settings: the service's and the defaults are already worked in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// How it is run.
    pub kind: HandlerKind,
    /// Whether the ingress refuses calls to it.
    pub ingress_private: bool,
    /// The body it takes.
    pub input: InputRule,
    /// The body it gives.
    pub output: OutputRule,
    /// How long the outcome of a call with an idempotency key is kept (a duration). Of the run of a
    /// workflow, which has its key alone: how long its outcome, state and promises are kept.
    pub idempotency_retention: Millis,
    /// How long the outcome and journal of other calls are kept, if the author says (a duration); of
    /// all calls, how long the journal is kept at most.
    pub journal_retention: Option<Millis>,
    /// How long an idle stream is kept open, if the author says (a duration).
    pub inactivity_timeout: Option<Millis>,
    /// How long after that the function has to end its attempt, if the author says (a duration).
    pub abort_timeout: Option<Millis>,
    /// What to do when an attempt fails.
    pub retry: RetryPolicy,
    /// Which of the object's state an attempt begins with.
    pub eager_state: EagerState,
    /// After how long without a write the state of an object is reset (a duration); never if none.
    pub state_ttl: Option<Millis>,
    /// What its author wrote about it.
    pub documentation: Option<String>,
    /// Its author's labels, in order of their names.
    #[serde(with = "list::headers")]
    pub metadata: Vec<Header>,
}

/// Which of an object's state an attempt begins with. What it lacks it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EagerState {
    /// As much as there is room for.
    All,
    /// None.
    Nothing,
    /// These keys.
    Only(#[serde(with = "list::eager_state_keys")] Vec<String>),
}

/// The body that a handler takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRule {
    /// Whether an empty body is refused.
    pub required: bool,
    /// What the content type must match, in the form of an `Accept` header; none: the body must be empty.
    pub content_type: Option<String>,
    /// The JSON schema of the body, as the author wrote it.
    pub json_schema: Option<String>,
}

/// The body that a handler gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRule {
    /// The content type of the answer; none: the answer is empty.
    pub content_type: Option<String>,
    /// Whether an empty answer has the content type too.
    pub set_content_type_if_empty: bool,
    /// The JSON schema of the body, as the author wrote it.
    pub json_schema: Option<String>,
}

/// All that is registered, up to a place in the metadata topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// All records below this offset are folded in.
    pub next: MetadataOffset,
    /// One past the offset of the last change that took effect: what the next change replaces.
    pub version: MetadataOffset,
    /// All deployments.
    pub deployments: BTreeMap<DeploymentId, Deployment>,
    /// For each service name, which deployment takes new calls, and its revision.
    pub services: BTreeMap<String, Revision>,
    /// The number that each registered deployment's version of a service has.
    revisions: BTreeMap<(DeploymentId, String), u32>,
}

/// The newest version of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Counts the registrations of the service from 1.
    pub number: u32,
    /// Which deployment takes new calls.
    pub deployment: DeploymentId,
}

impl Service {
    /// Works in what an operator sets, beside what he has set before.
    #[must_use]
    pub fn patched(mut self, patch: ServicePatch) -> Self {
        let patch = self.patch.with(patch);
        self.ingress_private = patch.public.map_or(self.ingress_private, |public| !public);
        for handler in &mut self.handlers {
            let kept = match handler.kind {
                HandlerKind::Workflow => patch.workflow_completion_retention,
                HandlerKind::Plain
                | HandlerKind::Exclusive
                | HandlerKind::Shared
                | HandlerKind::WorkflowShared => patch.idempotency_retention,
            };
            handler.idempotency_retention = kept.unwrap_or(handler.idempotency_retention);
            handler.journal_retention = patch.journal_retention.or(handler.journal_retention);
            handler.inactivity_timeout = patch.inactivity_timeout.or(handler.inactivity_timeout);
            handler.abort_timeout = patch.abort_timeout.or(handler.abort_timeout);
        }
        Self { patch, ..self }
    }
}

impl ServicePatch {
    /// This patch with a later one on top.
    fn with(self, later: Self) -> Self {
        Self {
            public: later.public.or(self.public),
            idempotency_retention: later.idempotency_retention.or(self.idempotency_retention),
            workflow_completion_retention: later
                .workflow_completion_retention
                .or(self.workflow_completion_retention),
            journal_retention: later.journal_retention.or(self.journal_retention),
            inactivity_timeout: later.inactivity_timeout.or(self.inactivity_timeout),
            abort_timeout: later.abort_timeout.or(self.abort_timeout),
        }
    }
}

impl Handler {
    /// How long the outcome of a call is kept (a duration): by its idempotency key if it has one, or
    /// the workflow's key where it is a run, else as the author says, else `unkeyed`.
    #[must_use]
    pub fn retention(&self, keyed: bool, unkeyed: Millis) -> Millis {
        if keyed || self.kind == HandlerKind::Workflow {
            self.idempotency_retention
        } else {
            self.journal_retention.unwrap_or(unkeyed)
        }
    }

    /// How long the journal of a call is kept whose outcome is kept for `retention`, where that is
    /// less (durations).
    #[must_use]
    pub fn journal_retention(&self, retention: Millis) -> Option<Millis> {
        self.journal_retention.filter(|journal| *journal < retention)
    }
}

impl Metadata {
    /// Folds one record in. Returns whether it took effect: the first change made against a
    /// version wins, by log order.
    pub fn fold(&mut self, offset: MetadataOffset, change: MetadataChange) -> bool {
        self.next = MetadataOffset(offset.0 + 1);
        if change.replaces != self.version {
            return false;
        }
        self.version = self.next;
        match change.change {
            Change::RegisterDeployment(deployment) => self.register(deployment),
            Change::UpdateDeployment(deployment) => {
                self.deployments.entry(deployment.id.clone()).and_modify(|it| *it = deployment);
            }
            Change::RemoveDeployment(id) => {
                self.services.retain(|_, newest| newest.deployment != id);
                self.revisions.retain(|(deployment, _), _| *deployment != id);
                self.deployments.remove(&id);
            }
        }
        true
    }

    fn register(&mut self, deployment: Deployment) {
        for service in &deployment.services {
            let number = self.services.get(&service.name).map_or(1, |old| old.number + 1);
            let revision = Revision { number, deployment: deployment.id.clone() };
            self.services.insert(service.name.clone(), revision);
            self.revisions.insert((deployment.id.clone(), service.name.clone()), number);
        }
        self.deployments.insert(deployment.id.clone(), deployment);
    }

    /// Which version of a service a deployment offers, as registrations count them; none where it did not
    /// offer it when it was registered.
    #[must_use]
    pub fn revision(&self, deployment: &DeploymentId, service: &str) -> Option<u32> {
        self.revisions.get(&(deployment.clone(), service.to_owned())).copied()
    }

    /// Finds the newest version of a service, and the deployment that offers it.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<(&Deployment, &Service)> {
        let deployment = self.deployments.get(&self.services.get(name)?.deployment)?;
        let service = deployment.services.iter().find(|service| service.name == name)?;
        Some((deployment, service))
    }
}
