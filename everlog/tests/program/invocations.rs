//! The commands that look at invocations, state and partitions, and act on them.

use std::process::Output;
use std::time::Instant;

use restate_sdk::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::process::{DEADLINE, Dev, output, text};

struct Sleeper;

#[restate_sdk::service]
impl Sleeper {
    #[handler]
    async fn doze(&self, context: Context<'_>) -> HandlerResult<()> {
        context.run(async || Ok(())).name("lie down").await?;
        context.sleep(std::time::Duration::from_hours(24)).await?;
        Ok(())
    }
}

struct Cart;

#[restate_sdk::object]
impl Cart {
    #[handler]
    async fn put(&self, context: ObjectContext<'_>, item: String) -> HandlerResult<()> {
        context.set("item", item);
        Ok(())
    }
}

/// A server whose functions suspend as soon as they wait.
struct World {
    dev: Dev,
    _data: TempDir,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let register = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint::builder().bind(Sleeper).bind(Cart).build();
        tokio::spawn(HttpServer::new(endpoint).serve(listener));
        let data = TempDir::new().unwrap();
        let flags = ["--no-fsync", "--partitions", "2", "--inactivity-timeout", "0s"];
        let mut dev =
            Dev::start(data.path(), &[&flags[..], &["--register", &register]].concat()).await;
        dev.line_with("Registered: ").await;
        Self { dev, _data: data }
    }

    async fn send(&self) -> String {
        let sent = output(&["send", "Sleeper/doze", "--ingress", &self.dev.ingress]).await;
        assert!(sent.status.success(), "{sent:?}");
        text(&sent.stdout).trim().to_owned()
    }

    /// Runs a command that asks the admin port.
    async fn ask(&self, arguments: &[&str]) -> Output {
        output(&[arguments, &["--admin", &self.dev.admin]].concat()).await
    }

    /// What such a command prints, which must go well.
    async fn said(&self, arguments: &[&str]) -> String {
        let ended = self.ask(arguments).await;
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        text(&ended.stdout)
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(&[arguments, &["--json"]].concat()).await).unwrap()
    }

    /// Waits until an invocation stands so.
    async fn until(&self, id: &str, status: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let shown = self.json(&["invocations", "show", id]).await;
            if shown["invocation"]["status"] == status {
                return;
            }
            assert!(Instant::now() < end, "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_is_listed_and_its_journal_drawn() {
    let world = World::start().await;
    let id = world.send().await;
    world.until(&id, "suspended").await;

    let listed = world.said(&["invocations", "list", "--status", "running,suspended"]).await;
    assert!(listed.contains(&id) && listed.contains("Sleeper/doze"), "{listed}");
    let other = world.said(&["invocations", "list", "--service", "Nobody"]).await;
    assert!(other.contains("no such invocations"), "{other}");
    let several = [world.send().await, world.send().await];
    let page = world.json(&["invocations", "list", "--limit", "2"]).await;
    assert_eq!(page["invocations"].as_array().unwrap().len(), 2);
    let rest = world
        .json(&["invocations", "list", "--limit", "2", "--page", page["next"].as_str().unwrap()])
        .await;
    assert_eq!(rest["invocations"].as_array().unwrap().len(), 1, "{several:?}");

    let shown = world.said(&["invocations", "show", &id]).await;
    for part in
        [&*id, "suspended", "by ingress", "waits for completion", "Run lie down", "wakes in"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let unknown = world.ask(&["invocations", "show", "inv_1"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("malformed-invocation-id"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_are_paused_resumed_cancelled_killed_and_purged() {
    let world = World::start().await;
    let id = world.send().await;
    world.until(&id, "suspended").await;
    let told = world.said(&["invocations", "pause", &id]).await;
    assert!(told.contains("pause: done, is paused"), "{told}");
    let told = world.said(&["invocations", "resume", &id]).await;
    assert!(told.contains("resume: done"), "{told}");
    world.until(&id, "suspended").await;
    let told = world.said(&["invocations", "cancel", &id]).await;
    assert!(told.contains("cancel: "), "{told}");
    world.until(&id, "completed").await;
    let shown = world.said(&["invocations", "show", &id]).await;
    assert!(shown.contains("failed with 409"), "{shown}");
    let again = world.said(&["invocations", "cancel", &id]).await;
    assert!(again.contains("already-completed"), "{again}");
    let refused = world.ask(&["invocations", "pause", &id]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("409 invocation-completed"), "{refused:?}");

    let others = [world.send().await, world.send().await];
    for id in &others {
        world.until(id, "suspended").await;
    }
    let filter = ["--service", "Sleeper", "--status", "suspended"];
    let unasked = world.ask(&[&["invocations", "kill"], &filter[..]].concat()).await;
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stderr).contains("--yes"), "{unasked:?}");
    let killed = world.said(&[&["invocations", "kill", "--yes"], &filter[..]].concat()).await;
    assert!(killed.contains("kill: 2 of 2"), "{killed}");
    let all = ["--yes", "--status", "completed"];
    let refused = world.ask(&[&["invocations", "pause"], &all[..]].concat()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stdout).contains("pause: 0 of 3"), "{refused:?}");
    let purged = world.said(&["invocations", "purge", "--yes", "--status", "completed"]).await;
    assert!(purged.contains("purge: 3 of 3"), "{purged}");
    let gone = world.ask(&["invocations", "show", &id]).await;
    assert!(text(&gone.stderr).contains("404 invocation-not-found"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_an_object_and_the_standing_of_partitions_are_shown() {
    let world = World::start().await;
    let called =
        output(&["call", "Cart/a%2Fb/put", "-b", "\"pear\"", "--ingress", &world.dev.ingress])
            .await;
    assert!(called.status.success(), "{called:?}");
    let state = world.said(&["state", "get", "Cart", "a/b"]).await;
    assert!(state.contains("item  6      \"pear\""), "{state}");
    assert_eq!(world.said(&["state", "get", "Cart", "a/b", "item"]).await, "\"pear\"");
    let absent = world.ask(&["state", "get", "Cart", "a/b", "colour"]).await;
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).contains("no state `colour`"), "{absent:?}");
    let status = world.said(&["cluster", "status"]).await;
    assert!(status.contains("is well.") && status.matches("owner").count() == 2, "{status}");
}
