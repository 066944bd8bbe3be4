//! The endpoint manifest, versions 1 to 5: what a deployment says about itself.
//!
//! These types take the JSON as it is. Unknown fields are refused: a setting that its author wrote
//! and we ignored would be a promise broken in silence. What the fields mean is decided in
//! `offered`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The whole manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) protocol_mode: Option<ManifestMode>,
    pub(super) min_protocol_version: u32,
    pub(super) max_protocol_version: u32,
    #[expect(dead_code, reason = "means something to Lambda only; read so that it is known")]
    lambda_compression: Option<String>,
    pub(super) services: Vec<ManifestService>,
}

/// How the deployment talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ManifestMode {
    /// Request and response stream at the same time.
    BidiStream,
    /// The response begins after the request has ended.
    RequestResponse,
}

/// What kind of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ManifestServiceType {
    /// Plain functions.
    Service,
    /// Addressed by key.
    VirtualObject,
    /// Run once per key.
    Workflow,
}

/// What kind of handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ManifestHandlerType {
    /// The run of a workflow.
    Workflow,
    /// One at a time per key.
    Exclusive,
    /// Beside others of its key.
    Shared,
}

/// What follows the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ManifestOnMaxAttempts {
    /// The invocation waits to be resumed.
    Pause,
    /// The invocation ends.
    Kill,
}

/// A service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestService {
    pub(super) name: String,
    pub(super) ty: ManifestServiceType,
    pub(super) handlers: Vec<ManifestHandler>,
    pub(super) documentation: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    inactivity_timeout: Option<u64>,
    abort_timeout: Option<u64>,
    journal_retention: Option<u64>,
    idempotency_retention: Option<u64>,
    pub(super) enable_lazy_state: Option<bool>,
    pub(super) ingress_private: Option<bool>,
    retry_policy_initial_interval: Option<u64>,
    retry_policy_max_interval: Option<u64>,
    retry_policy_max_attempts: Option<u64>,
    retry_policy_exponentiation_factor: Option<f64>,
    retry_policy_on_max_attempts: Option<ManifestOnMaxAttempts>,
    pub(super) eager_state_keys_whitelist: Option<Vec<String>>,
}

/// A handler.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestHandler {
    pub(super) name: String,
    pub(super) ty: Option<ManifestHandlerType>,
    pub(super) input: Option<ManifestInput>,
    pub(super) output: Option<ManifestOutput>,
    pub(super) documentation: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    inactivity_timeout: Option<u64>,
    abort_timeout: Option<u64>,
    journal_retention: Option<u64>,
    idempotency_retention: Option<u64>,
    pub(super) workflow_completion_retention: Option<u64>,
    pub(super) enable_lazy_state: Option<bool>,
    pub(super) ingress_private: Option<bool>,
    retry_policy_initial_interval: Option<u64>,
    retry_policy_max_interval: Option<u64>,
    retry_policy_max_attempts: Option<u64>,
    retry_policy_exponentiation_factor: Option<f64>,
    retry_policy_on_max_attempts: Option<ManifestOnMaxAttempts>,
    pub(super) eager_state_keys_whitelist: Option<Vec<String>>,
}

/// The body that a handler takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestInput {
    pub(super) required: Option<bool>,
    pub(super) content_type: Option<String>,
    pub(super) json_schema: Option<Value>,
}

/// The body that a handler gives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestOutput {
    pub(super) content_type: Option<String>,
    pub(super) set_content_type_if_empty: Option<bool>,
    pub(super) json_schema: Option<Value>,
}

/// The settings that a service and its handlers share; durations in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) inactivity_timeout: Option<u64>,
    pub(super) abort_timeout: Option<u64>,
    pub(super) journal_retention: Option<u64>,
    pub(super) idempotency_retention: Option<u64>,
    pub(super) initial_interval: Option<u64>,
    pub(super) max_interval: Option<u64>,
    pub(super) max_attempts: Option<u64>,
    pub(super) factor: Option<f64>,
    pub(super) on_max_attempts: Option<ManifestOnMaxAttempts>,
}

macro_rules! settings {
    ($of:expr) => {
        Settings {
            inactivity_timeout: $of.inactivity_timeout,
            abort_timeout: $of.abort_timeout,
            journal_retention: $of.journal_retention,
            idempotency_retention: $of.idempotency_retention,
            initial_interval: $of.retry_policy_initial_interval,
            max_interval: $of.retry_policy_max_interval,
            max_attempts: $of.retry_policy_max_attempts,
            factor: $of.retry_policy_exponentiation_factor,
            on_max_attempts: $of.retry_policy_on_max_attempts,
        }
    };
}

impl ManifestService {
    /// What the service sets for all its handlers.
    pub(super) fn settings(&self) -> Settings {
        settings!(self)
    }
}

impl ManifestHandler {
    /// What the handler sets for itself.
    pub(super) fn settings(&self) -> Settings {
        settings!(self)
    }
}

impl Settings {
    /// These settings, and where they are silent, those of `service`.
    pub(super) fn or(self, service: Self) -> Self {
        Self {
            inactivity_timeout: self.inactivity_timeout.or(service.inactivity_timeout),
            abort_timeout: self.abort_timeout.or(service.abort_timeout),
            journal_retention: self.journal_retention.or(service.journal_retention),
            idempotency_retention: self.idempotency_retention.or(service.idempotency_retention),
            initial_interval: self.initial_interval.or(service.initial_interval),
            max_interval: self.max_interval.or(service.max_interval),
            max_attempts: self.max_attempts.or(service.max_attempts),
            factor: self.factor.or(service.factor),
            on_max_attempts: self.on_max_attempts.or(service.on_max_attempts),
        }
    }
}
