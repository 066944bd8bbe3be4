//! Who owns which partition, by the logs alone: each announcement names its owner's address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use everlog_log_client::{EventLog, LogError, Stream, Topic};
use everlog_log_schema::codec::decode_record;
use everlog_log_schema::{Command, Epoch, PartitionId};
use tokio::task::JoinSet;

/// The owners, as the logs of all partitions name them. Dropping it ends the reading.
#[derive(Debug)]
pub struct Owners {
    owners: Arc<Mutex<BTreeMap<PartitionId, (Epoch, String)>>>,
    _readers: JoinSet<()>,
}

impl Owners {
    /// Begins to follow the logs.
    pub fn follow(log: &Arc<dyn EventLog>) -> Result<Self> {
        let owners = Arc::<Mutex<BTreeMap<PartitionId, (Epoch, String)>>>::default();
        let mut readers = JoinSet::new();
        for number in 0..log.partitions() {
            let partition = PartitionId(number);
            let mut reader = log.reader(Stream { topic: Topic::Log, partition }, 0)?;
            let owners = Arc::clone(&owners);
            readers.spawn(async move {
                loop {
                    match reader.next().await {
                        Ok(batch) => batch.iter().for_each(|logged| {
                            if let Some(owner) = announced(&logged.payload) {
                                announce(&owners, partition, owner);
                            }
                        }),
                        // Brokers come and go.
                        Err(LogError::Unavailable(_)) => {}
                        Err(error) => {
                            eprintln!("chaos: the log of partition {partition} ends: {error}");
                            return;
                        }
                    }
                }
            });
        }
        Ok(Self { owners, _readers: readers })
    }

    /// The partitions of the owner at an address.
    pub fn of(&self, address: &str) -> Vec<PartitionId> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let own = owners.iter().filter(|(_, (_, owner))| owner == address);
        own.map(|(partition, _)| *partition).collect()
    }
}

fn announced(payload: &[u8]) -> Option<(Epoch, String)> {
    let record = decode_record(payload).ok()?;
    match &record.commands[..] {
        [Command::AnnounceOwner(announce)] => Some((record.epoch, announce.address.clone())),
        _ => None,
    }
}

/// Of several announcements of an epoch the first counts.
fn announce(
    owners: &Mutex<BTreeMap<PartitionId, (Epoch, String)>>,
    partition: PartitionId,
    (epoch, address): (Epoch, String),
) {
    let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
    let reigning = owners.get(&partition).map(|(epoch, _)| *epoch);
    if reigning.is_none_or(|reigning| epoch > reigning) {
        owners.insert(partition, (epoch, address));
    }
}
