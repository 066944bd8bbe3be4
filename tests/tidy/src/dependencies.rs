//! Rules about which crate may use which, from `cargo metadata`.
//!
//! Only what ends up in a product counts: dependencies of tests and of build scripts do not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that touch the world: files, sockets, clocks, threads.
const DOING_IO: [&str; 9] =
    ["tokio", "mio", "socket2", "hyper", "axum", "rocksdb", "rdkafka", "reqwest", "tempfile"];

/// Each crate's direct dependencies, by name.
#[derive(Debug, Default)]
pub struct Dependencies {
    direct: BTreeMap<String, BTreeSet<String>>,
}

impl Dependencies {
    /// Asks cargo about the workspace at `root`, for the platform that this is built on.
    pub fn of_workspace(root: &Path) -> io::Result<Self> {
        let host = run(root, "rustc", &["-vV"])?
            .lines()
            .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
            .ok_or_else(|| io::Error::other("failed to learn the host from rustc -vV"))?;
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let arguments = ["metadata", "--format-version", "1", "--filter-platform", &host];
        Self::parse(&run(root, &cargo, &arguments)?).map_err(io::Error::from)
    }

    fn parse(metadata: &str) -> Result<Self, serde_json::Error> {
        let metadata: Value = serde_json::from_str(metadata)?;
        let mut names = BTreeMap::new();
        for package in list(metadata.get("packages")) {
            names.insert(text(package.get("id")), text(package.get("name")).to_owned());
        }
        let mut direct = BTreeMap::new();
        for node in list(metadata.get("resolve").and_then(|resolve| resolve.get("nodes"))) {
            let used = list(node.get("deps"))
                .iter()
                .filter(|dep| list(dep.get("dep_kinds")).iter().any(is_normal))
                .filter_map(|dep| names.get(text(dep.get("pkg"))).cloned())
                .collect();
            if let Some(name) = names.get(text(node.get("id"))) {
                direct.insert(name.clone(), used);
            }
        }
        Ok(Self { direct })
    }

    /// Finds dependencies that point the wrong way.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.forbid_ours("everlog-log-schema", &[], &mut found);
        self.forbid_ours("everlog-partition", &["everlog-log-schema"], &mut found);
        self.forbid_ours("everlog-log-client", &["everlog-log-schema"], &mut found);
        self.forbid_ours("everlog-connect", &[], &mut found);
        let below_cluster = ["everlog-connect", "everlog-log-client", "everlog-log-schema"];
        self.forbid_ours("everlog-cluster", &below_cluster, &mut found);
        self.forbid_ours("everlog-traces", &["everlog-connect"], &mut found);
        self.forbid("everlog-gateway", &["everlog-executor"], &mut found);
        self.forbid("everlog-executor", &["everlog-gateway"], &mut found);
        self.forbid("everlog-log-schema", &DOING_IO, &mut found);
        self.forbid("everlog-partition", &DOING_IO, &mut found);
        found
    }

    /// Finds crates of this project, other than `allowed`, that `name` uses at any depth.
    fn forbid_ours(&self, name: &str, allowed: &[&str], found: &mut Vec<String>) {
        let ours: Vec<&str> = self
            .direct
            .keys()
            .map(String::as_str)
            .filter(|other| other.starts_with("everlog") && *other != name)
            .filter(|other| !allowed.contains(other))
            .collect();
        self.forbid(name, &ours, found);
    }

    fn forbid(&self, name: &str, forbidden: &[&str], found: &mut Vec<String>) {
        if !self.direct.contains_key(name) {
            found.push(format!("{name}: there is no such crate; mend the rule"));
        }
        for used in self.reachable(name) {
            if forbidden.contains(&used) {
                found.push(format!("{name} must not depend on {used}"));
            }
        }
    }

    fn reachable<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            for used in self.direct.get(name).into_iter().flatten() {
                if reached.insert(used.as_str()) {
                    next.push(used);
                }
            }
        }
        reached
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Tells whether a dependency is one of the product: cargo names the other kinds.
fn is_normal(kind: &Value) -> bool {
    kind.get("kind").is_some_and(Value::is_null)
}

fn run(root: &Path, program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{program} failed: {why}")));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `edge`, written as `user > used`, to a graph that is in order.
    fn check(edge: &str) -> Vec<String> {
        let mut graph = Dependencies::default();
        let in_order = [
            "everlog-log-schema > serde",
            "everlog-partition > everlog-log-schema",
            "everlog-log-client > everlog-log-schema",
            "everlog-log-client > tokio",
            "everlog-connect > tokio",
            "everlog-cluster > everlog-log-schema",
            "everlog-traces > everlog-connect",
            "everlog-cluster > everlog-connect",
            "everlog-gateway > everlog-log-client",
            "everlog-executor > everlog-partition",
            "everlog-executor > everlog-log-client",
        ];
        for edge in in_order.iter().copied().chain([edge]) {
            let (from, to) = edge.split_once(" > ").unwrap();
            graph.direct.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        graph.violations()
    }

    #[test]
    fn the_order_of_the_house_is_fine() {
        assert_eq!(check("everlog > everlog-gateway"), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_direction_is_found() {
        for edge in [
            "everlog-log-schema > everlog-partition",
            "everlog-partition > everlog-log-client",
            "everlog-partition > tokio",
            "serde > socket2",
            "everlog-gateway > everlog-executor",
            "everlog-executor > everlog-gateway",
            "everlog-log-client > everlog-gateway",
            "everlog-connect > everlog-log-schema",
            "everlog-traces > everlog-log-schema",
            "everlog-cluster > everlog-gateway",
        ] {
            assert!(!check(edge).is_empty(), "{edge}");
        }
    }

    #[test]
    fn dependencies_of_tests_do_not_count() {
        let metadata = r#"{
            "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "resolve": {"nodes": [{"id": "1", "deps": [
                {"pkg": "2", "dep_kinds": [{"kind": null}]},
                {"pkg": "3", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]}
            ]}]}
        }"#;
        let graph = Dependencies::parse(metadata).unwrap();
        assert_eq!(graph.reachable("a"), BTreeSet::from(["b"]));
    }
}
