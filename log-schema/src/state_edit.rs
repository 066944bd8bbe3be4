//! A change of an object's state by whoever looks after it: the argument of a call that every virtual
//! object takes, and that the partition's owner carries out itself.
//!
//! It has its turn among the exclusive calls of the object, so that no handler sees its state change
//! under its hands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The handler that is called. No other can have this name: names of handlers have no hyphen.
pub const EDIT_STATE: &str = "edit-state";

/// The code of the failure of an edit that finds another version of the state than it names.
pub const OTHER_STATE_VERSION: u32 = 412;

/// How large a state may be to have a version, names and values, in bytes: one page of an answer.
pub const VERSIONED_STATE_BYTES_MAX: u64 = 1 << 20;

/// The argument, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateEdit {
    /// All that the object is to have: names, and values in base64.
    pub new_state: BTreeMap<String, String>,
    /// The [version](crate::identity::version_of_state) that the state must have before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}
