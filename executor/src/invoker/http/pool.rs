//! The lanes to all deployments.
//!
//! **Invariant:** deployments share nothing but this map, whose lock is held for a look-up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use everlog_connect::{Connector, Identity, Origin, Wanted};
use everlog_log_schema::DeploymentId;

use super::HttpInvokerOptions;
use super::lane::{Lane, Lease};

/// All lanes.
#[derive(Debug)]
pub(super) struct Pool {
    settings: Arc<Settings>,
    lanes: Mutex<HashMap<Destination, Arc<Lane>>>,
}

/// What all lanes go by.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) options: HttpInvokerOptions,
    pub(super) connector: Connector,
}

/// Where a lane leads. A deployment that is registered anew at another place gets another lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) deployment: DeploymentId,
    pub(super) origin: Origin,
    pub(super) wanted: Wanted,
}

impl Pool {
    /// Makes a pool without connections.
    pub(super) fn new(options: HttpInvokerOptions, connector: Connector) -> Self {
        let settings = Arc::new(Settings { options, connector });
        Self { settings, lanes: Mutex::default() }
    }

    /// What requests are to be signed with.
    pub(super) fn identity(&self) -> &Identity {
        self.settings.connector.identity()
    }

    /// Waits for a stream to a deployment, behind all that have asked before. The error is a
    /// sentence's end.
    pub(super) async fn lease(&self, destination: &Destination) -> Result<Lease, String> {
        self.lane(destination).lease().await
    }

    fn lane(&self, destination: &Destination) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(destination) {
            return lane.clone();
        }
        // Forgets lanes that nobody uses, so that the map cannot grow with all that ever was.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || lane.has_connections());
        let lane = Arc::new(Lane::new(destination.clone(), self.settings.clone()));
        lanes.insert(destination.clone(), lane.clone());
        lane
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

    use everlog_connect::TlsOptions;

    use super::*;

    #[tokio::test]
    async fn lanes_that_nobody_uses_are_forgotten() {
        let connector = Connector::new(&TlsOptions::default()).unwrap();
        let pool = Pool::new(HttpInvokerOptions::default(), connector);
        let destination = |id: &str| Destination {
            deployment: DeploymentId(id.to_owned()),
            origin: Origin::of(&"http://127.0.0.1:9".parse().unwrap()).unwrap(),
            wanted: Wanted::Best,
        };
        let used = pool.lane(&destination("dp_1"));
        for id in ["dp_2", "dp_3", "dp_2", "dp_4"] {
            pool.lane(&destination(id));
        }
        assert!(Arc::ptr_eq(&used, &pool.lane(&destination("dp_1"))));
        assert_eq!(pool.lanes.lock().unwrap().len(), 2);
    }
}
