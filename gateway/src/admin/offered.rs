//! From a manifest to what is registered: everything checked, every default worked in.
//!
//! A partition never reads a manifest or a default: what is decided here travels with each call.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::limits::{EAGER_STATE_KEYS_MAX, NAME_BYTES_MAX, STATE_KEY_BYTES_MAX};
use everlog_log_schema::metadata::{
    EagerState, Handler, InputRule, OutputRule, Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::{HandlerKind, Header, Millis, OnMaxAttempts, RetryPolicy};
use http::HeaderValue;

use super::manifest::{
    Manifest, ManifestHandler, ManifestHandlerType, ManifestInput, ManifestOnMaxAttempts,
    ManifestOutput, ManifestService, ManifestServiceType, Settings,
};

/// How long the outcome of a call with an idempotency key, or of a workflow's run, is kept, unless
/// its service says.
const IDEMPOTENCY_RETENTION_DEFAULT: Millis = Millis(24 * 3_600 * 1_000);
/// The longest duration of a manifest, in milliseconds: a hundred years.
const DURATION_MS_MAX: u64 = 100 * 366 * 24 * 3_600 * 1_000;
/// The label of a service that says after how long without a write its state is reset.
const STATE_TTL: &str = "everlog.state-ttl";
/// The shortest such duration.
const STATE_TTL_MIN: Millis = Millis(1_000);
/// The steepest growth of a retry delay.
const FACTOR_MAX: f64 = 1_000.0;

/// Why a manifest cannot be registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OfferError {
    /// It breaks a rule of the manifest.
    #[error("{0}")]
    Invalid(String),
}

fn invalid<T>(reason: String) -> Result<T, OfferError> {
    Err(OfferError::Invalid(reason))
}

/// Reads what a manifest offers. `retry` is the policy of a handler whose service says nothing.
pub(super) fn services(
    manifest: Manifest,
    retry: &RetryPolicy,
) -> Result<Vec<Service>, OfferError> {
    if manifest.services.is_empty() {
        return invalid("it offers no services: bind at least one to the endpoint".into());
    }
    unique("service", manifest.services.iter().map(|service| service.name.as_str()))?;
    manifest.services.into_iter().map(|offered| service(offered, retry)).collect()
}

fn service(offered: ManifestService, retry: &RetryPolicy) -> Result<Service, OfferError> {
    let name = &offered.name;
    check_service_name(name)?;
    let kind = match offered.ty {
        ManifestServiceType::Service => ServiceKind::Service,
        ManifestServiceType::VirtualObject => ServiceKind::VirtualObject,
        ManifestServiceType::Workflow => ServiceKind::Workflow,
    };
    if offered.handlers.is_empty() {
        return invalid(format!("service `{name}` has no handlers"));
    }
    unique("handler", offered.handlers.iter().map(|handler| handler.name.as_str()))?;
    let settings = offered.settings();
    let in_service = |reason: String| OfferError::Invalid(format!("service `{name}`: {reason}"));
    let eager = eager_state(offered.enable_lazy_state, offered.eager_state_keys_whitelist);
    let eager = eager.map_err(in_service)?.unwrap_or(EagerState::All);
    let ttl = state_ttl(kind, &offered.metadata).map_err(in_service)?;
    let handlers = offered.handlers.into_iter().map(|offered| {
        handler(kind, settings, &eager, ttl, retry, offered)
            .map_err(|OfferError::Invalid(reason)| in_service(reason))
    });
    let handlers = handlers.collect::<Result<Vec<_>, _>>()?;
    let runs = handlers.iter().filter(|handler| handler.kind == HandlerKind::Workflow).count();
    if kind == ServiceKind::Workflow && runs != 1 {
        return invalid(format!(
            "workflow `{name}` has {runs} handlers of type WORKFLOW, and must have one: its run"
        ));
    }
    Ok(Service {
        kind,
        handlers,
        ingress_private: offered.ingress_private.unwrap_or(false),
        documentation: offered.documentation,
        metadata: labels(offered.metadata),
        name: offered.name,
        patch: ServicePatch::default(),
    })
}

fn handler(
    service: ServiceKind,
    of_service: Settings,
    eager_of_service: &EagerState,
    state_ttl: Option<Millis>,
    retry: &RetryPolicy,
    offered: ManifestHandler,
) -> Result<Handler, OfferError> {
    let name = &offered.name;
    check_handler_name(name)?;
    let kind = match (service, offered.ty) {
        // The Java SDK says of each that it is shared, which is how they run.
        (ServiceKind::Service, None | Some(ManifestHandlerType::Shared)) => HandlerKind::Plain,
        (
            ServiceKind::Service,
            Some(ManifestHandlerType::Exclusive | ManifestHandlerType::Workflow),
        ) => {
            return invalid(format!(
                "handler `{name}` has a type that those of plain services may not have"
            ));
        }
        (ServiceKind::VirtualObject, None | Some(ManifestHandlerType::Exclusive)) => {
            HandlerKind::Exclusive
        }
        (ServiceKind::VirtualObject, Some(ManifestHandlerType::Shared)) => HandlerKind::Shared,
        (ServiceKind::VirtualObject, Some(ManifestHandlerType::Workflow)) => {
            return invalid(format!("handler `{name}` has type WORKFLOW outside of a workflow"));
        }
        (ServiceKind::Workflow, None | Some(ManifestHandlerType::Workflow)) => {
            HandlerKind::Workflow
        }
        (ServiceKind::Workflow, Some(ManifestHandlerType::Shared)) => HandlerKind::WorkflowShared,
        (ServiceKind::Workflow, Some(ManifestHandlerType::Exclusive)) => {
            return invalid(format!(
                "handler `{name}` has type EXCLUSIVE, and those of workflows are WORKFLOW or SHARED"
            ));
        }
    };
    let of_handler = offered.settings();
    let runs = kind == HandlerKind::Workflow;
    if offered.workflow_completion_retention.is_some() && !runs {
        return invalid(format!(
            "handler `{name}` sets workflowCompletionRetention and is no workflow's run"
        ));
    }
    if of_handler.idempotency_retention.is_some() && runs {
        return invalid(format!(
            "handler `{name}` sets idempotencyRetention: as a workflow's run it takes no \
             idempotency keys, and has workflowCompletionRetention"
        ));
    }
    let settings = of_handler.or(of_service);
    let in_handler = |reason: String| OfferError::Invalid(format!("handler `{name}`: {reason}"));
    let duration = |what, millis| duration(what, millis).map_err(in_handler);
    let eager = eager_state(offered.enable_lazy_state, offered.eager_state_keys_whitelist);
    let (what, kept) = if runs {
        ("workflowCompletionRetention", offered.workflow_completion_retention)
    } else {
        ("idempotencyRetention", settings.idempotency_retention)
    };
    Ok(Handler {
        kind,
        ingress_private: offered.ingress_private.unwrap_or(false),
        input: input_rule(offered.input).map_err(in_handler)?,
        output: output_rule(offered.output).map_err(in_handler)?,
        idempotency_retention: duration(what, kept)?.unwrap_or(IDEMPOTENCY_RETENTION_DEFAULT),
        journal_retention: duration("journalRetention", settings.journal_retention)?,
        inactivity_timeout: duration("inactivityTimeout", settings.inactivity_timeout)?,
        abort_timeout: duration("abortTimeout", settings.abort_timeout)?,
        retry: retry_policy(settings, retry).map_err(in_handler)?,
        eager_state: eager.map_err(in_handler)?.unwrap_or_else(|| eager_of_service.clone()),
        state_ttl,
        documentation: offered.documentation,
        metadata: labels(offered.metadata),
        name: offered.name,
    })
}

/// After how long without a write the state of the service's objects is reset, where a label says.
fn state_ttl(
    kind: ServiceKind,
    labels: &BTreeMap<String, String>,
) -> Result<Option<Millis>, String> {
    let Some(text) = labels.get(STATE_TTL) else { return Ok(None) };
    if kind != ServiceKind::VirtualObject {
        return Err(format!("label {STATE_TTL} is for virtual objects: they alone keep state"));
    }
    match crate::time::duration(text).map(Millis::from) {
        Some(ttl) if (STATE_TTL_MIN..=Millis(DURATION_MS_MAX)).contains(&ttl) => Ok(Some(ttl)),
        Some(_) | None => Err(format!(
            "label {STATE_TTL} is {text:?}, and must be a duration of a second to a hundred years, \
             such as `30 days` or `PT12H`"
        )),
    }
}

/// Which state an attempt begins with, where a service or handler says.
fn eager_state(
    lazy: Option<bool>,
    keys: Option<Vec<String>>,
) -> Result<Option<EagerState>, String> {
    let Some(keys) = keys else {
        let state = |lazy| if lazy { EagerState::Nothing } else { EagerState::All };
        return Ok(lazy.map(state));
    };
    let keys: BTreeSet<String> = keys.into_iter().collect();
    if keys.len() > EAGER_STATE_KEYS_MAX {
        return Err(format!(
            "eagerStateKeysWhitelist names {} keys, and may name {EAGER_STATE_KEYS_MAX}",
            keys.len()
        ));
    }
    if keys.iter().any(|key| key.len() > STATE_KEY_BYTES_MAX) {
        return Err(format!(
            "eagerStateKeysWhitelist names a key of more than {STATE_KEY_BYTES_MAX} bytes"
        ));
    }
    let only = EagerState::Only(keys.into_iter().collect());
    Ok(Some(if only == EagerState::Only(vec![]) { EagerState::Nothing } else { only }))
}

fn retry_policy(settings: Settings, default: &RetryPolicy) -> Result<RetryPolicy, String> {
    let initial = duration("retryPolicyInitialInterval", settings.initial_interval)?;
    let longest = duration("retryPolicyMaxInterval", settings.max_interval)?;
    let factor_permille = match settings.factor {
        None => default.factor_permille,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1000 to 1000000 fits"
        )]
        Some(factor) if (1.0..=FACTOR_MAX).contains(&factor) => (factor * 1_000.0).round() as u32,
        Some(factor) => {
            return Err(format!(
                "retryPolicyExponentiationFactor is {factor}, and must be between 1 and {FACTOR_MAX}"
            ));
        }
    };
    let max_attempts = match settings.max_attempts {
        None => default.max_attempts,
        Some(0) => return Err("retryPolicyMaxAttempts is 0: the first attempt counts too".into()),
        // As good as without end: at the shortest delay this takes a year and more.
        Some(attempts) => u32::try_from(attempts).ok(),
    };
    Ok(RetryPolicy {
        initial_interval: initial.unwrap_or(default.initial_interval),
        factor_permille,
        max_interval: longest.unwrap_or(default.max_interval),
        max_attempts,
        on_max_attempts: match settings.on_max_attempts {
            None => default.on_max_attempts,
            Some(ManifestOnMaxAttempts::Pause) => OnMaxAttempts::Pause,
            Some(ManifestOnMaxAttempts::Kill) => OnMaxAttempts::Kill,
        },
    })
}

fn input_rule(offered: Option<ManifestInput>) -> Result<InputRule, String> {
    let Some(offered) = offered else {
        let content_type = Some("*/*".to_owned());
        return Ok(InputRule { required: false, content_type, json_schema: None });
    };
    let content_type = offered.content_type.map(|rule| content_type("input", rule)).transpose()?;
    let required = offered.required.unwrap_or(false) && content_type.is_some();
    let json_schema = offered.json_schema.map(|schema| schema.to_string());
    Ok(InputRule { required, content_type, json_schema })
}

fn output_rule(offered: Option<ManifestOutput>) -> Result<OutputRule, String> {
    let Some(offered) = offered else {
        let content_type = Some("application/json".to_owned());
        return Ok(OutputRule {
            content_type,
            set_content_type_if_empty: false,
            json_schema: None,
        });
    };
    Ok(OutputRule {
        content_type: offered.content_type.map(|rule| content_type("output", rule)).transpose()?,
        set_content_type_if_empty: offered.set_content_type_if_empty.unwrap_or(false),
        json_schema: offered.json_schema.map(|schema| schema.to_string()),
    })
}

/// Takes a content type that can stand in a header.
fn content_type(of: &str, text: String) -> Result<String, String> {
    match HeaderValue::from_str(&text) {
        Ok(value) if text.contains('/') && value.to_str().is_ok() => Ok(text),
        _ => Err(format!("{of}.contentType is {text:?}, which is no content type")),
    }
}

fn duration(what: &'static str, millis: Option<u64>) -> Result<Option<Millis>, String> {
    match millis {
        Some(millis) if millis > DURATION_MS_MAX => {
            Err(format!("{what} is {millis} ms, and must be a hundred years at most"))
        }
        millis => Ok(millis.map(Millis)),
    }
}

/// Keeps labels, in order of their names.
pub(super) fn labels(metadata: BTreeMap<String, String>) -> Vec<Header> {
    metadata.into_iter().map(|(key, value)| Header { key, value }).collect()
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), OfferError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return invalid(format!("{what} `{name}` is offered twice"));
        }
    }
    Ok(())
}

fn check_service_name(name: &str) -> Result<(), OfferError> {
    if !is_name(name, "._-") {
        return invalid(format!(
            "service name {name:?} must be at most {NAME_BYTES_MAX} letters, digits, `.`, `_` and \
             `-`, and start with a letter"
        ));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("restate") || lower.starts_with("openapi") {
        return invalid(format!(
            "service name `{name}` is reserved: names must not start with `restate` or `openapi`"
        ));
    }
    Ok(())
}

fn check_handler_name(name: &str) -> Result<(), OfferError> {
    if is_name(name, "_") {
        return Ok(());
    }
    invalid(format!(
        "handler name {name:?} must be at most {NAME_BYTES_MAX} letters, digits and `_`, and start \
         with a letter"
    ))
}

/// `([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9…]*`, where `others` may follow too.
fn is_name(name: &str, others: &str) -> bool {
    let (first, rest) = match name.as_bytes() {
        [b'_', first, rest @ ..] => (first.is_ascii_alphanumeric(), rest),
        [first, rest @ ..] => (first.is_ascii_alphabetic(), rest),
        [] => (false, &[][..]),
    };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || others.as_bytes().contains(byte);
    first && rest.iter().all(allowed) && name.len() <= NAME_BYTES_MAX
}
