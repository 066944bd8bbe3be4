//! `Suspend`: an attempt ended, waiting for something.
//!
//! **Invariant:** an invocation is parked only if something can still wake it.

use std::collections::{BTreeMap, BTreeSet};

use everlog_log_schema::{
    Awaited, CompletionId, Entry, FutureTree, InvocationId, InvocationRow, NotificationId,
    OpenKind, SignalId, Status, Suspend,
};

use crate::future::{Prospect, Settled, Standing, could_settle, resolve};
use crate::journal::settled_by;
use crate::life::{pause, rest, wake};
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Parks the invocation until what it waits for is settled; starts the next attempt at once if that
/// has happened already, or never can while no attempt runs.
///
/// A tree without notifications, which the invoker refuses before, would wait for ever or spin: it
/// pauses.
pub(crate) fn on_suspend(
    at: &mut Transition<'_, impl Tables>,
    suspend: &Suspend,
) -> Result<(), TablesError> {
    let id = suspend.invocation;
    let Some(mut row) = at.attempted(id, suspend.attempt)? else { return Ok(()) };
    if suspend.waiting.is_empty() {
        pause(at, id, row, "attempt suspended without waiting for anything");
        return Ok(());
    }
    match left_to_wait_for(at.tables, id, &row, suspend)? {
        None => wake(at, id, row),
        Some(waiting) => {
            row.policy_attempts = 0;
            rest(at, id, row, Status::Suspended(waiting));
        }
    }
    Ok(())
}

/// What is not settled yet of what an attempt waits for; none where the next attempt is to begin.
fn left_to_wait_for(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
    suspend: &Suspend,
) -> Result<Option<FutureTree>, TablesError> {
    // Nothing follows an output.
    if row.has_output {
        return Ok(None);
    }
    let waiting = &suspend.waiting;
    let completions: BTreeSet<_> = waiting.completions().collect();
    let mut open = BTreeMap::new();
    for &completion in &completions {
        if let Some(row) = reads::open(tables, id, completion)? {
            open.insert(completion, row.kind);
        }
    }
    let stored = completions.into_iter().filter(|id| !open.contains_key(id)).collect();
    let came = what_came(tables, id, row, suspend, stored)?;
    let left = match resolve(waiting, |awaited| came.get(awaited).copied()) {
        Standing::Settled(_) if planted::is(Bug::LostWakeUp) => waiting.clone(),
        Standing::Settled(_) => return Ok(None),
        Standing::Open(_) if planted::is(Bug::ForgetsCame) => waiting.clone(),
        Standing::Open(left) => left,
    };
    // Only an attempt brings the result of a run.
    let has_runs = open.values().any(|kind| *kind == OpenKind::Run);
    let could = |awaited: &Awaited| prospect(awaited, &open);
    Ok((!has_runs || could_settle(&left, could)).then_some(left))
}

/// What has come of what an attempt waits for, and when: completions that are `stored`, and signals
/// that came while the function was not told any more. One that no command declared counts as one
/// that came first of all.
fn what_came(
    tables: &impl Tables,
    id: InvocationId,
    row: &InvocationRow,
    suspend: &Suspend,
    mut stored: BTreeSet<CompletionId>,
) -> Result<BTreeMap<Awaited, Settled>, TablesError> {
    let mut untold = row.signals.saturating_sub(suspend.signals_told);
    if planted::is(Bug::LostSignal) {
        untold = 0;
    }
    let mut came = BTreeMap::new();
    let mut index = row.entries;
    while (untold > 0 || !stored.is_empty()) && index > 0 {
        index -= 1;
        let Entry::Notification { id, result } = reads::journal_row(tables, id, index)?.entry
        else {
            continue;
        };
        let counts = match &id {
            NotificationId::Completion { id, .. } => stored.remove(id),
            NotificationId::Signal(_) if untold > 0 => {
                untold -= 1;
                true
            }
            NotificationId::Signal(_) => false,
        };
        if counts {
            // Of signals of one name the first counts, which comes up last.
            came.insert(Awaited::from(&id), settled_by(&result, index));
        }
    }
    let undeclared = stored.into_iter().map(Awaited::Completion);
    came.extend(undeclared.map(|awaited| (awaited, Settled { at: 0, well: true })));
    Ok(came)
}

/// What may come of something while no attempt runs. A cancellation is none of it: nobody may cancel.
fn prospect(awaited: &Awaited, open: &BTreeMap<CompletionId, OpenKind>) -> Prospect {
    match awaited {
        Awaited::Completion(id) => match open.get(id) {
            Some(OpenKind::Run) => Prospect::NONE,
            Some(OpenKind::Sleep { .. }) => Prospect::WELL,
            Some(
                OpenKind::Call { .. }
                | OpenKind::Attach { .. }
                | OpenKind::Output { .. }
                | OpenKind::Promise { .. },
            )
            | None => Prospect::ANY,
        },
        Awaited::Signal(signal) if *signal == SignalId::CANCEL => Prospect::NONE,
        Awaited::Signal(_) => Prospect::ANY,
    }
}
