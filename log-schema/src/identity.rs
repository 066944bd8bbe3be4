//! Ids that follow from what they are of: calls with an idempotency key, and calls of functions; and
//! the versions of states.
//!
//! Whoever derives one, at any time, comes to the same: so a call that is repeated is the same
//! call. **Invariant:** a format decision for ever, as ids outlive every version.
//!
//! Each is taken from a SHA-256 over length-prefixed parts, the first of which tells what it is of:
//! nobody who may call one handler can find a key there that hits an invocation of another.

use sha2::{Digest, Sha256};

use crate::{InvocationId, Life, PartitionKey, RequestId, Target, partition_key_of};

/// Derives the id of the call that has this idempotency key within its scope, or outside of all.
#[must_use]
pub fn of_scoped_key(target: &Target, scope: Option<&str>, idempotency_key: &str) -> InvocationId {
    let object_key = target.key.as_deref();
    let within = scope.map_or([Some("ik"), None], |scope| [Some("iks"), Some(scope)]);
    let names = [&target.service, &target.handler, idempotency_key];
    let names = within.into_iter().flatten().chain(names).chain(object_key).map(str::as_bytes);
    InvocationId {
        partition_key: partition_key_of(object_key.unwrap_or(idempotency_key)),
        uuid: Hash::of(names).first_half(),
    }
}

/// Derives the id of a workflow's run, of which each key has one.
#[must_use]
pub fn of_workflow(service: &str, key: &str) -> InvocationId {
    of_key(key, ["wf", service, key])
}

/// Derives what those who wait for a promise of a workflow wait for, as if it were an invocation.
#[must_use]
pub fn of_promise(service: &str, key: &str, name: &str) -> InvocationId {
    of_key(key, ["promise", service, key, name])
}

/// Derives what a timer of an object belongs to, as if it were an invocation.
#[must_use]
pub fn of_object(service: &str, key: &str) -> InvocationId {
    of_key(key, ["object", service, key])
}

fn of_key<const N: usize>(key: &str, names: [&str; N]) -> InvocationId {
    InvocationId {
        partition_key: partition_key_of(key),
        uuid: Hash::of(names.map(str::as_bytes)).first_half(),
    }
}

/// Derives the id of an invocation that a function calls, from who calls and the index of the
/// command, unless the call has an idempotency key. The run of a workflow has [`of_workflow`].
#[must_use]
pub fn child_id(
    parent: Life,
    command: u32,
    target: &Target,
    scope: Option<&str>,
    idempotency_key: Option<&str>,
) -> InvocationId {
    if let Some(idempotency_key) = idempotency_key {
        return of_scoped_key(target, scope, idempotency_key);
    }
    let hash = Hash::of_command("child", parent, command);
    let key = target.key.as_deref().map_or_else(|| hash.partition_key(), partition_key_of);
    InvocationId { partition_key: key, uuid: hash.first_half() }
}

/// Derives the name of the request that a function's call is.
#[must_use]
pub fn child_request(parent: Life, command: u32) -> RequestId {
    RequestId(Hash::of_command("request", parent, command).first_half())
}

/// Derives the version of an object's state from all its names and values, in the order of the names:
/// 32 hexadecimal digits.
#[must_use]
pub fn version_of_state<'a>(entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let parts = entries.into_iter().flat_map(|(name, value)| [name, value]);
    format!("{:032x}", Hash::of([&b"state"[..]].into_iter().chain(parts)).first_half())
}

struct Hash([u8; 32]);

impl Hash {
    fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn of_command(of_what: &str, parent: Life, command: u32) -> Self {
        Self::of([
            of_what.as_bytes(),
            &parent.invocation.to_bytes(),
            &parent.incarnation.0.to_be_bytes(),
            &command.to_be_bytes(),
        ])
    }

    fn first_half(&self) -> u128 {
        let (half, _) = self.0.split_first_chunk().expect("a digest has 32 bytes");
        u128::from_be_bytes(*half)
    }

    /// The 8 bytes behind the first half.
    fn partition_key(&self) -> PartitionKey {
        let (_, half) = self.0.split_at(16);
        let key = half.first_chunk().expect("half a digest has 16 bytes");
        PartitionKey(u64::from_be_bytes(*key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Incarnation;

    const PARENT: Life = Life {
        invocation: InvocationId { partition_key: PartitionKey(1), uuid: 2 },
        incarnation: Incarnation(3),
    };

    fn target(service: &str, key: Option<&str>, handler: &str) -> Target {
        Target { service: service.into(), key: key.map(str::to_owned), handler: handler.into() }
    }

    #[test]
    fn equal_calls_have_equal_ids_and_others_do_not() {
        let id = of_scoped_key(&target("Greeter", None, "greet"), None, "k1");
        assert_eq!(id, of_scoped_key(&target("Greeter", None, "greet"), None, "k1"));
        for (target, key) in [
            (target("Greeter", None, "greet"), "k2"),
            (target("Greeter", None, "greetk"), "1"),
            (target("Greete", None, "rgreet"), "k1"),
            (target("Greeter", Some(""), "greet"), "k1"),
            (target("Greeter", Some("k1"), "greet"), ""),
            (target("Greeter", None, "meet"), "k1"),
        ] {
            assert_ne!(id, of_scoped_key(&target, None, key), "{target:?} {key}");
        }
    }

    #[test]
    fn each_command_of_each_life_has_a_child_of_its_own() {
        let other = InvocationId { partition_key: PartitionKey(1), uuid: 4 };
        let lives = [
            PARENT,
            Life { incarnation: Incarnation(4), ..PARENT },
            Life { invocation: other, ..PARENT },
        ];
        let target = target("Greeter", None, "greet");
        let commands = lives.into_iter().flat_map(|life| [1, 2].map(|command| (life, command)));
        let ids =
            commands.clone().map(|(life, command)| child_id(life, command, &target, None, None));
        let requests = commands.map(|(life, command)| child_request(life, command));
        let keys = ids.clone().map(|id| id.partition_key);
        assert_eq!(keys.collect::<BTreeSet<_>>().len(), 6, "they spread over the partitions");
        let numbers = ids.map(|id| id.uuid).chain(requests.map(|request| request.0));
        assert_eq!(numbers.collect::<BTreeSet<_>>().len(), 12);
    }

    #[test]
    fn a_child_with_a_key_lives_where_the_key_does() {
        let cart = target("Cart", Some("ann"), "add");
        assert_eq!(child_id(PARENT, 1, &cart, None, None).partition_key, partition_key_of("ann"));
        let greeter = target("Greeter", None, "greet");
        let by_key = child_id(PARENT, 1, &greeter, None, Some("k1"));
        assert_eq!(by_key, of_scoped_key(&greeter, None, "k1"));
    }

    #[test]
    fn a_scope_parts_equal_keys_and_moves_nothing() {
        let greeter = target("Greeter", None, "greet");
        let of = |scope, key| of_scoped_key(&greeter, scope, key);
        let ids = [of(None, "k1"), of(Some("a"), "k1"), of(Some("b"), "k1"), of(Some("a"), "k2")];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(ids[0], of_scoped_key(&greeter, None, "k1"));
        assert_eq!(ids[1].partition_key, ids[0].partition_key);
        let child = child_id(PARENT, 1, &greeter, Some("a"), Some("k1"));
        assert_eq!(child, ids[1]);
        let unkeyed = |scope| child_id(PARENT, 1, &greeter, scope, None);
        assert_eq!(unkeyed(Some("a")), unkeyed(None), "it is a call of its own anyway");
    }

    #[test]
    fn a_state_has_the_version_of_its_names_and_values() {
        type Entries = &'static [(&'static [u8], &'static [u8])];
        let states: [Entries; 5] =
            [&[], &[(b"a", b"b")], &[(b"ab", b"")], &[(b"", b"ab")], &[(b"a", b"b"), (b"c", b"d")]];
        let versions = states.map(|state| version_of_state(state.iter().copied()));
        assert_eq!(versions.iter().collect::<BTreeSet<_>>().len(), states.len());
        assert_eq!(versions[1], version_of_state([(&b"a"[..], &b"b"[..])]));
    }

    #[test]
    fn the_derivation_never_changes() {
        let plain = of_scoped_key(&target("Greeter", None, "greet"), None, "k1");
        let keyed = of_scoped_key(&target("Cart", Some("ann"), "add"), None, "k1");
        assert_eq!(format!("{:032x}", plain.uuid), "c2a00039524bdc25623b3593bbdde47f");
        assert_eq!(format!("{:032x}", keyed.uuid), "070271d3e255bc783914ff5b08411972");
        assert_eq!(plain.partition_key, partition_key_of("k1"));
        let scoped = of_scoped_key(&target("Greeter", None, "greet"), Some("a"), "k1");
        assert_eq!(format!("{:032x}", scoped.uuid), "9f62e2d79efbe2eb7e5b2a3d57af4e37");
        assert_eq!(keyed.partition_key, partition_key_of("ann"));
        let child = child_id(PARENT, 7, &target("Greeter", None, "greet"), None, None);
        assert_eq!(format!("{:032x}", child.uuid), "aaf5eac2b40b239e84e5b51f0240fee1");
        assert_eq!(format!("{:016x}", child.partition_key.0), "b260c7954c22a047");
        let state = version_of_state([(&b"n"[..], &b"1"[..])]);
        assert_eq!(state, "80ea954b4a9b64ae5268b2e429a1ac77");
        assert_eq!(
            format!("{:032x}", child_request(PARENT, 7).0),
            "ec45c3e7d47f3a9fa201d59c2924d3cf"
        );
        let of_keys = [of_workflow("W", "k"), of_promise("W", "k", "p"), of_object("O", "k")];
        assert!(of_keys.iter().all(|id| id.partition_key == partition_key_of("k")));
        assert_eq!(
            of_keys.map(|id| format!("{:032x}", id.uuid)),
            [
                "316732508ff5cb857b5cfbca830c8124",
                "609eb2f96285238578b8ddf64c27d1cb",
                "8007cba37c52d09805c0c950194063f2",
            ]
        );
    }
}
