//! The code to run an invocation with.

use std::collections::HashMap;
use std::sync::Arc;

use everlog_log_schema::metadata::{Deployment, EagerState, Handler, Metadata, PROTOCOL_VERSIONS};
use everlog_log_schema::{
    AttemptError, DeploymentId, EDIT_STATE, InvocationRow, MetadataOffset, Target,
    VERSIONED_STATE_BYTES_MAX,
};

use super::places::ClassKey;

/// The code of an attempt that cannot start: its handler's code is not there.
const NOT_FOUND: u32 = 404;
/// The code of an attempt that cannot start: no version of the protocol is common.
const UNSUPPORTED: u32 = 573;

/// The code to run an invocation with.
pub(super) struct Code<'m> {
    pub(super) deployment: &'m Deployment,
    pub(super) handler: Option<&'m Handler>,
    pub(super) protocol_version: u32,
    /// Whether it is not the deployment's, but [`EDIT_STATE`].
    edits_state: bool,
}

impl<'m> Code<'m> {
    /// Finds the deployment that the invocation is pinned to, else the newest of its service. One that
    /// is not pinned speaks the highest version of the protocol that both sides do, up to
    /// `version_max`.
    pub(super) fn find(
        metadata: &'m Metadata,
        row: &InvocationRow,
        version_max: u32,
    ) -> Result<Self, AttemptError> {
        let Target { service, handler, .. } = &row.target;
        let deployment = match &row.pin {
            Some(pin) => metadata.deployments.get(&pin.deployment).ok_or_else(|| {
                let id = &pin.deployment;
                attempt_error(
                    NOT_FOUND,
                    format!("[RT0011] deployment {id}, which the invocation began on, is removed"),
                )
            })?,
            None => {
                metadata.service(service).map(|(deployment, _)| deployment).ok_or_else(|| {
                    attempt_error(
                        NOT_FOUND,
                        format!("[RT0011] service {service} is not registered"),
                    )
                })?
            }
        };
        let found = deployment.services.iter().find(|offered| offered.name == *service);
        let found =
            found.and_then(|offered| offered.handlers.iter().find(|of| of.name == *handler));
        let protocol_version = match &row.pin {
            Some(pin) => pin.protocol_version,
            None => deployment.max_protocol_version.min(version_max),
        };
        let spoken = deployment.min_protocol_version..=deployment.max_protocol_version;
        if !PROTOCOL_VERSIONS.contains(&protocol_version) || !spoken.contains(&protocol_version) {
            let (id, theirs, ours) = (&deployment.id, &spoken, &PROTOCOL_VERSIONS);
            let message = format!(
                "[RT0013] deployment {id} speaks versions {}–{} of the service protocol, this \
                 server {}–{}, and the invocation needs {protocol_version}",
                theirs.start(),
                theirs.end(),
                ours.start(),
                ours.end(),
            );
            return Err(attempt_error(UNSUPPORTED, message));
        }
        let edits_state = handler == EDIT_STATE;
        Ok(Self { deployment, handler: found, protocol_version, edits_state })
    }

    /// What an attempt with it wants of the object's state, and how many bytes it is to get at most,
    /// where others get `bytes_max`.
    pub(super) fn eager_state(&self, bytes_max: u64) -> (&'m EagerState, u64) {
        if self.edits_state {
            return (&EagerState::All, VERSIONED_STATE_BYTES_MAX);
        }
        (self.handler.map_or(&EagerState::Nothing, |handler| &handler.eager_state), bytes_max)
    }

    /// Which limits an attempt with it falls under.
    pub(super) fn class(&self, row: &InvocationRow, is_large: bool) -> ClassKey {
        let Target { service, handler, .. } = &row.target;
        ClassKey {
            deployment: self.deployment.id.clone(),
            service: service.clone(),
            handler: handler.clone(),
            is_large,
        }
    }
}

pub(super) fn attempt_error(code: u32, message: String) -> AttemptError {
    AttemptError {
        code,
        message,
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    }
}

/// A deployment as all attempts that use it share it.
pub(super) fn share(
    shared: &mut (MetadataOffset, HashMap<DeploymentId, Arc<Deployment>>),
    version: MetadataOffset,
    deployment: &Deployment,
) -> Arc<Deployment> {
    if shared.0 != version {
        *shared = (version, HashMap::new());
    }
    let of_id = shared.1.entry(deployment.id.clone());
    Arc::clone(of_id.or_insert_with(|| Arc::new(deployment.clone())))
}
