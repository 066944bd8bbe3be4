//! The promises of workflows: named values, for each workflow key, that are completed once.
//!
//! A promise has a row once it is completed. Before that there are only those who wait for it, as
//! others wait for an invocation.
//!
//! **Invariants:** a promise is completed at most once until its workflow is forgotten, and whoever
//! asked for it is answered once. No workflow key outgrows [`PROMISES_MAX`] and [`STATE_BYTES_MAX`].

use everlog_log_schema::limits::{PROMISES_MAX, STATE_BYTES_MAX};
use everlog_log_schema::{
    CompletionId, Failure, InvocationId, Life, NotificationResult, Outcome, Owed, Row, RowKey,
    Target, identity,
};

use crate::answers::answer_promised;
use crate::planted::{self, Bug};
use crate::state::{Stored, put_object};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// The status code of a completion that came too late.
const CONFLICT: u32 = 409;
const ALREADY_COMPLETED: &str = "promise was already completed";

/// Names a promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise<'a> {
    service: &'a str,
    key: &'a str,
    name: &'a str,
}

impl<'a> Promise<'a> {
    /// The promise of the workflow that `target` is of. Only handlers of workflows have any, and
    /// those have a key: one without, which no correct sender names, has that of an empty one.
    fn of(target: &'a Target, name: &'a str) -> Self {
        let Target { service, key, .. } = target;
        Self { service, key: key.as_deref().unwrap_or_default(), name }
    }

    /// What those who wait for it wait for.
    pub(crate) fn id(self) -> InvocationId {
        identity::of_promise(self.service, self.key, self.name)
    }

    /// What they are owed.
    pub(crate) fn owed(self) -> Owed {
        let Self { service, key, name } = self;
        Owed::Promise { service: service.into(), key: key.into(), name: name.into() }
    }

    fn row_key(self) -> RowKey {
        reads::promise_key(self.service, self.key, self.name)
    }

    fn outcome(self, tables: &impl Tables) -> Result<Option<Outcome>, TablesError> {
        reads::promise(tables, self.service, self.key, self.name)
    }
}

/// What a promise was completed with; none while it is not.
pub(crate) fn get(
    tables: &impl Tables,
    target: &Target,
    name: &str,
) -> Result<Option<NotificationResult>, TablesError> {
    let outcome = Promise::of(target, name).outcome(tables)?;
    Ok(outcome.map(NotificationResult::from))
}

/// What whoever completes a promise now is told.
pub(crate) fn verdict(
    tables: &impl Tables,
    target: &Target,
    name: &str,
) -> Result<NotificationResult, TablesError> {
    if Promise::of(target, name).outcome(tables)?.is_none() {
        return Ok(NotificationResult::Void);
    }
    let message = ALREADY_COMPLETED.to_owned();
    let failure = Failure { code: CONFLICT, message, metadata: Vec::new() };
    Ok(NotificationResult::Failure(failure))
}

/// Notes that a function waits for a promise.
pub(crate) fn await_one(
    at: &mut Transition<'_, impl Tables>,
    target: &Target,
    name: &str,
    life: Life,
    completion: CompletionId,
) {
    at.tables.put(waiting(target, name, life, completion), Row::Waiting);
}

/// Notes that a function does not wait for a promise any more.
pub(crate) fn give_up(
    at: &mut Transition<'_, impl Tables>,
    target: &Target,
    name: &str,
    life: Life,
    completion: CompletionId,
) {
    at.tables.delete(&waiting(target, name, life, completion));
}

fn waiting(target: &Target, name: &str, life: Life, completion: CompletionId) -> RowKey {
    RowKey::Waiting(Promise::of(target, name).id(), life, completion)
}

/// Completes a promise, unless it was before, and answers those who wait for it.
pub(crate) fn complete(
    at: &mut Transition<'_, impl Tables>,
    target: &Target,
    name: &str,
    outcome: &Outcome,
) -> Result<Stored, TablesError> {
    let promise = Promise::of(target, name);
    if promise.outcome(at.tables)?.is_some() && !planted::is(Bug::CompletePromiseTwice) {
        return Ok(Stored::Yes);
    }
    let mut object = reads::object(at.tables, promise.service, promise.key)?;
    object.promises += 1;
    object.bytes += size(name, outcome);
    if object.promises > PROMISES_MAX || object.bytes > STATE_BYTES_MAX {
        return Ok(Stored::Full);
    }
    at.tables.put(promise.row_key(), Row::Promise(outcome.clone()));
    put_object(at, promise.service, promise.key, object);
    answer_promised(at, promise, outcome)?;
    Ok(Stored::Yes)
}

/// Whether functions still wait to be told of a promise that is completed.
pub(crate) fn owe(tables: &impl Tables, target: &Target) -> Result<bool, TablesError> {
    let mut last: Option<String> = None;
    let of = Promise::of(target, "");
    while let Some((name, _)) = reads::next_promise(tables, of.service, of.key, last.as_deref())? {
        if reads::is_owing(tables, Promise { name: &name, ..of }.id())? {
            return Ok(true);
        }
        last = Some(name);
    }
    Ok(false)
}

/// Forgets all completed promises of a workflow key.
pub(crate) fn forget_all(
    at: &mut Transition<'_, impl Tables>,
    target: &Target,
) -> Result<(), TablesError> {
    let of = Promise::of(target, "");
    let mut object = reads::object(at.tables, of.service, of.key)?;
    let mut last: Option<String> = None;
    while let Some((name, outcome)) =
        reads::next_promise(at.tables, of.service, of.key, last.as_deref())?
    {
        object.promises -= 1;
        object.bytes -= size(&name, &outcome);
        at.tables.delete(&Promise { name: &name, ..of }.row_key());
        last = Some(name);
    }
    put_object(at, of.service, of.key, object);
    Ok(())
}

fn size(name: &str, outcome: &Outcome) -> u64 {
    let value = match outcome {
        Outcome::Success(value) => value.len(),
        Outcome::Failure(failure) => failure.payload_bytes(),
    };
    (name.len() + value) as u64
}
