//! The state of objects: keys and values, for each object key.
//!
//! **Invariant:** an object's row counts just what its state rows and [promises](crate::promises)
//! hold, and is there while they are. No object outgrows [`STATE_KEYS_MAX`] and
//! [`STATE_BYTES_MAX`].

use bytes::Bytes;
use everlog_log_schema::limits::{STATE_BYTES_MAX, STATE_KEYS_MAX};
use everlog_log_schema::{InvocationRow, ObjectRow, Row, RowKey, Target};

use crate::expiry;
use crate::planted::{self, Bug};
use crate::transition::Transition;
use crate::{Tables, TablesError, reads};

/// Whether a change of state was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It was.
    Yes,
    /// It was not: the object would outgrow its limits.
    Full,
}

/// Reads a key of the target's object.
pub(crate) fn get(
    tables: &impl Tables,
    target: &Target,
    name: &Bytes,
) -> Result<Option<Bytes>, TablesError> {
    let Some(key) = &target.key else { return Ok(None) };
    reads::state(tables, &target.service, key, name)
}

/// Sets a key of the object of an invocation. One without a key, which no correct sender names, has
/// no state.
pub(crate) fn set(
    at: &mut Transition<'_, impl Tables>,
    row: &InvocationRow,
    name: &Bytes,
    value: Bytes,
) -> Result<Stored, TablesError> {
    let Target { service, key: Some(key), .. } = &row.target else { return Ok(Stored::Yes) };
    let mut object = reads::object(at.tables, service, key)?;
    if let Some(old) = reads::state(at.tables, service, key, name)? {
        object.keys -= 1;
        object.bytes -= size(name, &old);
    }
    object.keys += 1;
    object.bytes += size(name, &value);
    if object.keys > STATE_KEYS_MAX || object.bytes > STATE_BYTES_MAX {
        return Ok(Stored::Full);
    }
    at.tables.put(state_key(service, key, name), Row::State(value));
    expiry::note_write(at, service, key, &mut object, row.state_ttl);
    put_object(at, service, key, object);
    Ok(Stored::Yes)
}

/// Clears a key of the object of an invocation.
pub(crate) fn clear(
    at: &mut Transition<'_, impl Tables>,
    row: &InvocationRow,
    name: &Bytes,
) -> Result<(), TablesError> {
    let Target { service, key: Some(key), .. } = &row.target else { return Ok(()) };
    let Some(old) = reads::state(at.tables, service, key, name)? else { return Ok(()) };
    let mut object = reads::object(at.tables, service, key)?;
    object.keys -= 1;
    object.bytes -= size(name, &old);
    at.tables.delete(&state_key(service, key, name));
    expiry::note_write(at, service, key, &mut object, row.state_ttl);
    put_object(at, service, key, object);
    Ok(())
}

/// Clears all keys of the object of an invocation.
pub(crate) fn clear_all(
    at: &mut Transition<'_, impl Tables>,
    row: &InvocationRow,
) -> Result<(), TablesError> {
    let Target { service, key: Some(key), .. } = &row.target else { return Ok(()) };
    reset(at, service, key)
}

/// Forgets all state of an object, whoever wrote it.
pub(crate) fn reset(
    at: &mut Transition<'_, impl Tables>,
    service: &str,
    key: &str,
) -> Result<(), TablesError> {
    let mut object = reads::object(at.tables, service, key)?;
    let mut last = None;
    while let Some((name, value)) = reads::next_state(at.tables, service, key, last.as_ref())? {
        if last.is_some() || !planted::is(Bug::KeepClearedState) {
            object.keys -= 1;
            object.bytes -= size(&name, &value);
            at.tables.delete(&state_key(service, key, &name));
        }
        last = Some(name);
    }
    if last.is_none() {
        return Ok(());
    }
    put_object(at, service, key, object);
    Ok(())
}

/// Reads all keys of the target's object, in order. Their values are read along: the store keeps a
/// value beside its key, so that whoever goes through the keys passes over all.
pub(crate) fn keys(tables: &impl Tables, target: &Target) -> Result<Vec<Bytes>, TablesError> {
    let mut keys = Vec::new();
    let Some(key) = &target.key else { return Ok(keys) };
    while let Some((name, _)) = reads::next_state(tables, &target.service, key, keys.last())? {
        keys.push(name);
    }
    Ok(keys)
}

/// Writes what is counted of an object, or drops the row where it holds nothing any more.
pub(crate) fn put_object(
    at: &mut Transition<'_, impl Tables>,
    service: &str,
    key: &str,
    mut object: ObjectRow,
) {
    let row_key = RowKey::Object { service: service.to_owned(), key: key.to_owned() };
    if object.keys == 0 {
        expiry::stop(at, service, key, &mut object);
    }
    if object.keys == 0 && object.promises == 0 {
        at.tables.delete(&row_key);
    } else {
        at.tables.put(row_key, Row::Object(object));
    }
}

fn state_key(service: &str, key: &str, name: &Bytes) -> RowKey {
    RowKey::State { service: service.to_owned(), key: key.to_owned(), name: name.clone() }
}

fn size(name: &Bytes, value: &Bytes) -> u64 {
    (name.len() + value.len()) as u64
}
