//! Which partition a key lives on. A format decision for ever.

use xxhash_rust::xxh3::xxh3_64;

use crate::{PartitionId, PartitionKey};

/// Hashes an object key, or else an idempotency key: XXH3-64, seed 0, of its UTF-8 bytes.
#[must_use]
pub fn partition_key_of(key: &str) -> PartitionKey {
    PartitionKey(xxh3_64(key.as_bytes()))
}

/// Maps a partition key to one of `partitions` equal ranges of keys: (key × N) >> 64.
#[must_use]
pub fn partition_of(key: PartitionKey, partitions: u32) -> PartitionId {
    let scaled = u128::from(key.0) * u128::from(partitions);
    #[expect(clippy::cast_possible_truncation, reason = "less than `partitions`, which is a u32")]
    PartitionId((scaled >> 64) as u32)
}
