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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_never_changes() {
        let vectors = [
            ("", 0x2D06_8005_38D3_94C2),
            ("a", 0xE6C6_32B6_1E96_4E1F),
            ("abc", 0x78AF_5F94_892F_3950),
        ];
        for (key, hash) in vectors {
            assert_eq!(partition_key_of(key), PartitionKey(hash), "{key}");
        }
    }

    #[test]
    fn the_partition_of_a_key_never_changes() {
        let of = |key: &str, partitions| partition_of(partition_key_of(key), partitions).0;
        assert_eq!([of("", 24), of("a", 24), of("abc", 24)], [4, 21, 11]);
        assert_eq!([of("", 1), of("a", 1), of("abc", 1)], [0, 0, 0]);
    }

    #[test]
    fn the_partitions_are_ranges_of_equal_size() {
        assert_eq!(partition_of(PartitionKey(0), 24), PartitionId(0));
        assert_eq!(partition_of(PartitionKey(u64::MAX), 24), PartitionId(23));
        assert_eq!(partition_of(PartitionKey(u64::MAX), 1), PartitionId(0));
        assert_eq!(partition_of(PartitionKey(u64::MAX), u32::MAX), PartitionId(u32::MAX - 1));
        for partition in 1..24 {
            let first = (u128::from(partition) << 64).div_ceil(24);
            let first = u64::try_from(first).expect("less than 2^64");
            assert_eq!(partition_of(PartitionKey(first), 24).0, partition);
            assert_eq!(partition_of(PartitionKey(first - 1), 24).0, partition - 1);
        }
    }
}
