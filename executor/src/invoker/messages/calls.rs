//! Commands that reach other invocations: calls, signals, and questions for an outcome.
//!
//! **Invariant:** whom a command reaches is decided here, once, and stored with it: a partition
//! reads no metadata, and makes up no id.

use everlog_log_schema::limits::HEADERS_MAX;
use everlog_log_schema::metadata::{Handler, Metadata, Service};
use everlog_log_schema::{
    AwakeableId, Call, CompletionId, Effect, Failure as Terminal, HandlerKind, Header,
    InvocationId, Millis, SignalId, SignalResult, Span, Target, check_scope, identity,
};

use super::incoming::{Command, time};
use super::{pb, traceparent};
use crate::invoker::error::Failure;
use crate::invoker::frame::kind;

/// What a signal or a promise may carry as a failure, message and metadata, in bytes: it is stored
/// beside the command's own bytes.
const CARRIED_FAILURE_BYTES_MAX: usize = 64 << 10;

/// What a call and a one-way call have in common.
struct Request {
    service: String,
    handler: String,
    key: String,
    idempotency_key: Option<String>,
    scope: Option<String>,
    limit_key: Option<String>,
    headers: Vec<pb::Header>,
    parameter: Span,
    id_completion: CompletionId,
    completion: Option<CompletionId>,
    start_at: Option<Millis>,
}

impl Command<'_> {
    pub(super) fn call(&self) -> Result<Effect, Failure> {
        let message: pb::CallCommandMessage = self.message()?;
        self.resolve(Request {
            service: message.service_name,
            handler: message.handler_name,
            key: message.key,
            idempotency_key: message.idempotency_key,
            scope: message.scope,
            limit_key: message.limit_key,
            headers: message.headers,
            parameter: self.span(&message.parameter),
            id_completion: CompletionId(message.invocation_id_notification_idx),
            completion: Some(CompletionId(message.result_completion_id)),
            start_at: None,
        })
    }

    pub(super) fn one_way_call(&self) -> Result<Effect, Failure> {
        let message: pb::OneWayCallCommandMessage = self.message()?;
        self.resolve(Request {
            service: message.service_name,
            handler: message.handler_name,
            key: message.key,
            idempotency_key: message.idempotency_key,
            scope: message.scope,
            limit_key: message.limit_key,
            headers: message.headers,
            parameter: self.span(&message.parameter),
            id_completion: CompletionId(message.invocation_id_notification_idx),
            completion: None,
            // One that has passed is none, too: the callee's partition knows the time.
            start_at: (message.invoke_time > 0).then(|| time(message.invoke_time)),
        })
    }

    fn resolve(&self, request: Request) -> Result<Effect, Failure> {
        let metadata = self.function.metadata();
        let (service, handler) = self.find(&metadata, &request)?;
        let target = Target {
            key: self.object_key(service, request.key)?,
            service: request.service,
            handler: request.handler,
        };
        let idempotency_key = request.idempotency_key;
        if idempotency_key.as_deref() == Some("") {
            return Err(self.refuse("its idempotency key is empty"));
        }
        let (scope, limit_key) = (request.scope, request.limit_key);
        check_scope(scope.as_deref(), limit_key.as_deref())
            .map_err(|wrong| self.refuse(format!("its {wrong}")))?;
        let life = self.function.life;
        let callee = match (handler.kind, &target.key) {
            (HandlerKind::Workflow, Some(_)) if idempotency_key.is_some() => {
                return Err(self.refuse(
                    "the run of a workflow is the same call by its key, and takes no idempotency key",
                ));
            }
            (HandlerKind::Workflow, Some(key)) => identity::of_workflow(&target.service, key),
            _ => identity::child_id(
                life,
                self.index,
                &target,
                scope.as_deref(),
                idempotency_key.as_deref(),
            ),
        };
        let keyed = idempotency_key.is_some();
        let retention = handler.retention(keyed, self.function.unkeyed_retention);
        let request_id = identity::child_request(life, self.index);
        let callers = self.function.traceparent.as_deref();
        let call = Call {
            id_completion: request.id_completion,
            completion: request.completion,
            callee,
            request_id,
            target,
            kind: handler.kind,
            headers: self.headers(request.headers)?,
            parameter: request.parameter,
            idempotency_key,
            scope,
            limit_key,
            start_at: request.start_at,
            retention,
            journal_retention: handler.journal_retention(retention),
            state_ttl: handler.state_ttl,
            retry: handler.retry.clone(),
            traceparent: callers.and_then(|callers| traceparent::of_callee(callers, request_id)),
            metadata: metadata.next,
        };
        call.check_limits().map_err(|exceeded| self.refuse(format!("its {exceeded}")))?;
        Ok(Effect::Call(Box::new(call)))
    }

    fn find<'m>(
        &self,
        metadata: &'m Metadata,
        Request { service, handler, .. }: &Request,
    ) -> Result<(&'m Service, &'m Handler), Failure> {
        let Some((_, found)) = metadata.service(service) else {
            return Err(self.unknown(format!("service {service:?} is not registered")));
        };
        match found.handlers.iter().find(|offered| offered.name == *handler) {
            Some(handler) => Ok((found, handler)),
            None => Err(self.unknown(format!("service {service:?} has no handler {handler:?}"))),
        }
    }

    fn object_key(&self, service: &Service, key: String) -> Result<Option<String>, Failure> {
        let name = &service.name;
        match (service.kind.is_keyed(), key.is_empty()) {
            (false, true) => Ok(None),
            (true, false) => Ok(Some(key)),
            (false, false) => {
                Err(self.refuse(format!("service {name:?} has no keys, and a key is given")))
            }
            (true, true) => {
                Err(self.refuse(format!("service {name:?} has keys, and none is given")))
            }
        }
    }

    fn headers(&self, headers: Vec<pb::Header>) -> Result<Vec<Header>, Failure> {
        self.check_count("headers", headers.len(), HEADERS_MAX)?;
        Ok(headers.into_iter().map(Into::into).collect())
    }

    pub(super) fn send_signal(&self) -> Result<Effect, Failure> {
        use pb::send_signal_command_message::{Result as Carried, SignalId as Named};
        let message: pb::SendSignalCommandMessage = self.message()?;
        let signal = match message.signal_id {
            Some(Named::Idx(index)) => SignalId::Index(index),
            Some(Named::Name(name)) => SignalId::Name(name),
            None => return Err(self.lacks("signal")),
        };
        // The first means nothing, and the others something that is to come.
        if let SignalId::Index(index @ (0 | 2..=15)) = signal {
            return Err(self.refuse(format!("signal {index} is reserved")));
        }
        signal.check_limits().map_err(|exceeded| self.refuse(format!("its {exceeded}")))?;
        let result = match message.result {
            Some(Carried::Void(_)) => SignalResult::Void,
            Some(Carried::Value(value)) => SignalResult::Value(self.span(&value.content)),
            Some(Carried::Failure(failure)) => {
                SignalResult::Failure(self.carried_failure(failure)?)
            }
            None => return Err(self.lacks("result")),
        };
        let target = self.invocation_id(&message.target_invocation_id)?;
        Ok(Effect::SendSignal { target, incarnation: None, signal, result })
    }

    pub(super) fn complete_awakeable(&self) -> Result<Effect, Failure> {
        use pb::complete_awakeable_command_message::Result as Carried;
        let message: pb::CompleteAwakeableCommandMessage = self.message()?;
        let id = message.awakeable_id;
        let id: AwakeableId = id
            .parse()
            .map_err(|cause| self.refuse(format!("{id:?} names no awakeable: {cause}")))?;
        let result = match message.result {
            Some(Carried::Value(value)) => SignalResult::Value(self.span(&value.content)),
            Some(Carried::Failure(failure)) => {
                SignalResult::Failure(self.carried_failure(failure)?)
            }
            None => return Err(self.lacks("result")),
        };
        Ok(Effect::SendSignal {
            target: id.life.invocation,
            incarnation: Some(id.life.incarnation),
            signal: SignalId::Index(id.signal),
            result,
        })
    }

    pub(super) fn carried_failure(&self, failure: pb::Failure) -> Result<Terminal, Failure> {
        let failure = Terminal::from(failure);
        self.check_count("metadata values", failure.metadata.len(), HEADERS_MAX)?;
        let metadata = failure.metadata.iter().map(|value| value.key.len() + value.value.len());
        let bytes = failure.message.len() + metadata.sum::<usize>();
        self.check_bytes("a failure", bytes, CARRIED_FAILURE_BYTES_MAX)?;
        Ok(failure)
    }

    pub(super) fn attach(&self, kind: u16) -> Result<Effect, Failure> {
        use pb::attach_invocation_command_message::Target as Named;
        let message: pb::AttachInvocationCommandMessage = self.message()?;
        let completion = CompletionId(message.result_completion_id);
        let target = match message.target {
            Some(Named::InvocationId(id)) => self.invocation_id(&id)?,
            Some(Named::IdempotentRequestTarget(request)) => self.idempotent_request(request)?,
            Some(Named::WorkflowTarget(workflow)) => {
                identity::of_workflow(&workflow.workflow_name, &workflow.workflow_key)
            }
            None => return Err(self.lacks("target")),
        };
        Ok(match kind {
            kind::ATTACH_INVOCATION => Effect::Attach { completion, target },
            _ => Effect::GetOutput { completion, target },
        })
    }

    fn idempotent_request(
        &self,
        request: pb::IdempotentRequestTarget,
    ) -> Result<InvocationId, Failure> {
        if request.idempotency_key.is_empty() {
            return Err(self.refuse("its idempotency key is empty"));
        }
        let target = Target {
            service: request.service_name,
            // Nothing has an empty key: it says that the service has none.
            key: request.service_key.filter(|key| !key.is_empty()),
            handler: request.handler_name,
        };
        let scope = request.scope.as_deref();
        check_scope(scope, None).map_err(|wrong| self.refuse(format!("its {wrong}")))?;
        Ok(identity::of_scoped_key(&target, scope, &request.idempotency_key))
    }

    fn invocation_id(&self, id: &str) -> Result<InvocationId, Failure> {
        id.parse().map_err(|cause| self.refuse(format!("{id:?} names no invocation: {cause}")))
    }
}
