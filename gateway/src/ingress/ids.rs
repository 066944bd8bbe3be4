//! Mints invocation ids.
//!
//! The id of a call with an idempotency key is derived from what makes it the same call, so that
//! every gateway, at any time, gives a repeated call the same id. A format decision for ever.

use everlog_log_schema::{InvocationId, PartitionKey, Target, partition_key_of};
use sha2::{Digest, Sha256};

/// Mints the id of a call.
pub(crate) fn mint(target: &Target, idempotency_key: Option<&str>) -> InvocationId {
    match idempotency_key {
        Some(idempotency_key) => of_idempotency_key(target, idempotency_key),
        None => InvocationId {
            partition_key: target
                .key
                .as_deref()
                .map_or_else(|| PartitionKey(rand::random()), partition_key_of),
            uuid: rand::random(),
        },
    }
}

/// Derives the id of the call that has this idempotency key.
///
/// The uuid is the first half of a SHA-256 over length-prefixed names: nobody who may call one
/// handler can find a key there that hits an invocation of another.
pub(crate) fn of_idempotency_key(target: &Target, idempotency_key: &str) -> InvocationId {
    let mut hash = Sha256::new();
    let object_key = target.key.as_deref();
    let parts = ["ik", &target.service, &target.handler, idempotency_key];
    for part in parts.into_iter().chain(object_key) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    InvocationId {
        partition_key: partition_key_of(object_key.unwrap_or(idempotency_key)),
        uuid: u128::from_be_bytes(*half),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(service: &str, key: Option<&str>, handler: &str) -> Target {
        Target { service: service.into(), key: key.map(str::to_owned), handler: handler.into() }
    }

    #[test]
    fn equal_calls_have_equal_ids_and_others_do_not() {
        let id = of_idempotency_key(&target("Greeter", None, "greet"), "k1");
        assert_eq!(id, mint(&target("Greeter", None, "greet"), Some("k1")));
        for (target, key) in [
            (target("Greeter", None, "greet"), "k2"),
            (target("Greeter", None, "greetk"), "1"),
            (target("Greete", None, "rgreet"), "k1"),
            (target("Greeter", Some(""), "greet"), "k1"),
            (target("Greeter", Some("k1"), "greet"), ""),
            (target("Greeter", None, "meet"), "k1"),
        ] {
            assert_ne!(id, of_idempotency_key(&target, key), "{target:?} {key}");
        }
    }

    #[test]
    fn the_derivation_never_changes() {
        let plain = of_idempotency_key(&target("Greeter", None, "greet"), "k1");
        let keyed = of_idempotency_key(&target("Cart", Some("ann"), "add"), "k1");
        assert_eq!(format!("{:032x}", plain.uuid), "c2a00039524bdc25623b3593bbdde47f");
        assert_eq!(format!("{:032x}", keyed.uuid), "070271d3e255bc783914ff5b08411972");
        assert_eq!(plain.partition_key, partition_key_of("k1"));
        assert_eq!(keyed.partition_key, partition_key_of("ann"));
    }

    #[test]
    fn calls_of_one_object_meet_on_its_partition() {
        let one = mint(&target("Cart", Some("ann"), "add"), None);
        let other = mint(&target("Cart", Some("ann"), "add"), None);
        assert_eq!(one.partition_key, partition_key_of("ann"));
        assert_eq!(one.partition_key, other.partition_key);
        assert_ne!(one.uuid, other.uuid);
    }
}
