//! Objects whose state is reset when nobody has written it for a while.
//!
//! A write notes the time, and does not move the timer: the timer looks when it is due, and waits
//! for the rest where the object was written meanwhile.
//!
//! **Invariants:** an object that is to be reset has one timer, and a row that says which object the
//! timer is about; no other has either. State is never reset while an exclusive handler holds the
//! key: what runs finds what it has written.

use everlog_log_schema::{
    ExpiringRow, Expiry, Incarnation, InvocationId, Millis, ObjectRow, Row, RowKey, Timer,
    TimerKind, identity,
};

use crate::planted::{self, Bug};
use crate::retry::later;
use crate::state::{put_object, reset};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Takes note of a write by a handler that wants the state reset after `ttl` without another.
pub(crate) fn note_write(
    at: &mut Transition<'_, impl Tables>,
    service: &str,
    key: &str,
    object: &mut ObjectRow,
    ttl: Option<Millis>,
) {
    let Some(ttl) = ttl else { return stop(at, service, key, object) };
    let due = later(at.now(), ttl.0);
    let timer = match object.expiry {
        Some(expiry) if expiry.timer <= due => expiry.timer,
        Some(_) | None => {
            stop(at, service, key, object);
            arm(at, service, key, due);
            due
        }
    };
    object.expiry = Some(Expiry { ttl, written_at: at.now(), timer });
}

/// Lets an object live on: nothing is left of it to be reset, or nobody wants it to be.
pub(crate) fn stop(
    at: &mut Transition<'_, impl Tables>,
    service: &str,
    key: &str,
    object: &mut ObjectRow,
) {
    if let Some(expiry) = object.expiry.take() {
        let id = identity::of_object(service, key);
        at.tables.delete(&RowKey::Timer(timer(id, expiry.timer)));
        at.tables.delete(&RowKey::Expiring(id));
    }
}

/// Resets the object that a fired timer is about, or waits on.
pub(crate) fn on_expire(
    at: &mut Transition<'_, impl Tables>,
    fired: Timer,
) -> Result<(), TablesError> {
    let Some(ExpiringRow { service, key }) = reads::expiring(at.tables, fired.invocation)? else {
        unreachable!("{fired:?} is about no object");
    };
    let mut object = reads::object(at.tables, &service, &key)?;
    let Some(expiry) = object.expiry.filter(|expiry| expiry.timer == fired.due) else {
        unreachable!("{fired:?} is not the timer of {service}/{key}");
    };
    if planted::is(Bug::NeverExpire) {
        return Ok(());
    }
    let held = reads::lock(at.tables, &service, &key)?.is_some();
    let since = if held { at.now() } else { expiry.written_at };
    let due = later(since, expiry.ttl.0);
    let early = due > at.now() && !planted::is(Bug::ExpireWritten);
    if early && !(held && planted::is(Bug::ExpireHeld)) {
        object.expiry = Some(Expiry { timer: due, ..expiry });
        put_object(at, &service, &key, object);
        arm(at, &service, &key, due);
        return Ok(());
    }
    reset(at, &service, &key)
}

fn arm(at: &mut Transition<'_, impl Tables>, service: &str, key: &str, due: Millis) {
    let id = identity::of_object(service, key);
    let row = ExpiringRow { service: service.to_owned(), key: key.to_owned() };
    at.tables.put(RowKey::Expiring(id), Row::Expiring(row));
    at.arm(timer(id, due));
}

fn timer(id: InvocationId, due: Millis) -> Timer {
    Timer { due, invocation: id, incarnation: Incarnation(0), kind: TimerKind::Expire }
}
