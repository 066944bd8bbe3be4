//! What is not shown: payloads of services that say so.
//!
//! **Invariant:** a payload reaches a query only by a column that asks here, whatever the query does with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use everlog_log_schema::Target;
use everlog_log_schema::metadata::Metadata;

/// The answers that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Tells whose payloads are not shown, as of one moment.
pub(crate) struct Hidden {
    metadata: Arc<Metadata>,
    known: HashMap<(String, Option<String>), bool>,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hidden").finish_non_exhaustive()
    }
}

impl Hidden {
    pub(crate) fn new(metadata: Arc<Metadata>) -> Self {
        Self { metadata, known: HashMap::new() }
    }

    /// Whether what a handler is given and says is not shown.
    pub(crate) fn is_of(&mut self, target: &Target) -> bool {
        self.is(&target.service, Some(&target.handler))
    }

    /// Whether the state of a service is not shown.
    pub(crate) fn is_state_of(&mut self, service: &str) -> bool {
        self.is(service, None)
    }

    fn is(&mut self, service: &str, handler: Option<&str>) -> bool {
        let key = (service.to_owned(), handler.map(str::to_owned));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let hidden = self.metadata.is_redacted(service, handler);
        if self.known.len() < REMEMBERED_MAX {
            self.known.insert(key, hidden);
        }
        hidden
    }
}
