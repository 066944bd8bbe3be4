//! Who gets a place, who waits, and who is asked for one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::config::ServiceConcurrency;

type Grants = (mpsc::UnboundedSender<Place>, mpsc::UnboundedReceiver<Place>);

fn places(open: usize, deployment: usize) -> Arc<Places> {
    let of_service = ServiceConcurrency {
        concurrency: NonZeroUsize::new(2),
        handlers: BTreeMap::from([("slow".into(), NonZeroUsize::MIN)]),
    };
    Places::new(&ExecutorLimits {
        open_attempts_max: open,
        deployment_concurrency_max: deployment,
        concurrency: BTreeMap::from([("Limited".into(), of_service)]),
        ..ExecutorLimits::default()
    })
}

fn class(places: &Places, deployment: &str, service: &str, handler: &str) -> Arc<Class> {
    Arc::new(places.class(ClassKey {
        deployment: DeploymentId(deployment.into()),
        service: service.into(),
        handler: handler.into(),
        is_large: false,
    }))
}

#[test]
fn each_limit_holds_by_itself() {
    let places = places(10, 4);
    let slow = class(&places, "a", "Limited", "slow");
    let fast = class(&places, "a", "Limited", "fast");
    let free = class(&places, "a", "Free", "fast");
    let other = class(&places, "b", "Free", "fast");
    let slow_taken = places.try_take(&slow, 0).unwrap();
    assert!(places.try_take(&slow, 0).is_none(), "the handler's limit");
    let _fast = places.try_take(&fast, 0).unwrap();
    assert!(places.try_take(&fast, 0).is_none(), "the service's limit");
    let _free = [places.try_take(&free, 0).unwrap(), places.try_take(&free, 0).unwrap()];
    assert!(places.try_take(&free, 0).is_none(), "the deployment's limit");
    let _others: Vec<Place> = (0..4).map(|_| places.try_take(&other, 0).unwrap()).collect();
    drop(slow_taken);
    let _slow = places.try_take(&slow, 0).unwrap();
}

#[test]
fn the_limit_of_all_holds_and_the_first_to_ask_is_served_first() {
    let places = places(1, 1);
    let [first, second, third] = ["a", "b", "c"].map(|of| class(&places, of, "Free", "fast"));
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    let taken = places.try_take(&first, 0).unwrap();
    places.ask(&second, 0, &grants);
    places.ask(&third, 0, &grants);
    assert!(granted.try_recv().is_err());
    drop(taken);
    let taken = granted.try_recv().unwrap();
    assert_eq!(taken.class().key, second.key);
    assert!(granted.try_recv().is_err());
    drop(taken);
    assert_eq!(granted.try_recv().unwrap().class().key, third.key);
}

#[test]
fn who_waits_for_what_is_full_holds_up_nobody_else() {
    let places = places(10, 1);
    let (slow, other) = (class(&places, "a", "Free", "f"), class(&places, "b", "Free", "f"));
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    let taken = places.try_take(&slow, 0).unwrap();
    for _ in 0..3 {
        places.ask(&slow, 0, &grants);
    }
    places.ask(&other, 0, &grants);
    assert_eq!(granted.try_recv().unwrap().class().key, other.key);
    assert!(granted.try_recv().is_err());
    drop(taken);
    assert_eq!(granted.try_recv().unwrap().class().key, slow.key);
}

#[test]
fn a_place_that_nobody_wants_any_more_goes_to_the_next() {
    let places = places(1, 1);
    let class = class(&places, "a", "Free", "f");
    let taken = places.try_take(&class, 0).unwrap();
    let (gone, _): Grants = mpsc::unbounded_channel();
    places.ask(&class, 0, &gone);
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    places.ask(&class, 0, &grants);
    drop(taken);
    drop(granted.try_recv().unwrap());
    assert!(class.fits());
    let _taken = places.try_take(&class, 0).unwrap();
    places.ask(&class, 0, &gone);
    places.forget_gone();
    assert!(places.state().asked.is_empty());
}

/// A class of attempts that need memory.
fn large(places: &Places, deployment: &str) -> Arc<Class> {
    Arc::new(places.class(ClassKey {
        deployment: DeploymentId(deployment.into()),
        service: "Free".into(),
        handler: "fast".into(),
        is_large: true,
    }))
}

fn with_memory(attempt_memory_max: u64, deployment: usize) -> Arc<Places> {
    Places::new(&ExecutorLimits {
        attempt_memory_max,
        deployment_concurrency_max: deployment,
        ..ExecutorLimits::default()
    })
}

#[test]
fn large_attempts_get_as_much_memory_as_there_is_and_no_byte_more() {
    let places = with_memory(100, 10);
    let large = large(&places, "a");
    let first = places.try_take(&large, 60).unwrap();
    assert!(places.try_take(&large, 41).is_none());
    let second = places.try_take(&large, 40).unwrap();
    assert!(places.try_take(&large, 1).is_none());
    // It holds its place, and its memory no more.
    second.lender().told();
    assert!(places.try_take(&large, 41).is_none());
    let _third = places.try_take(&large, 40).unwrap();
    // To go twice makes no more room than to go once.
    drop(second);
    assert!(places.try_take(&large, 1).is_none());
    drop(first);
    let _fourth = places.try_take(&large, 60).unwrap();
}

#[test]
fn an_attempt_that_needs_more_memory_than_there_is_runs_alone() {
    let places = with_memory(100, 10);
    let large = large(&places, "a");
    let small = class(&places, "a", "Free", "fast");
    let taken = places.try_take(&large, 1).unwrap();
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    places.ask(&large, 1_000, &grants);
    assert!(granted.try_recv().is_err());
    drop(taken);
    let alone = granted.try_recv().unwrap();
    assert_eq!(alone.bytes(), 1_000);
    assert!(places.try_take(&large, 1).is_none());
    let _small = places.try_take(&small, 0).unwrap();
    drop(alone);
    let _taken = places.try_take(&large, 100).unwrap();
}

#[test]
fn who_waits_for_memory_is_overtaken_by_small_attempts_alone() {
    let places = with_memory(100, 10);
    let [a, b] = ["a", "b"].map(|deployment| large(&places, deployment));
    let small = class(&places, "a", "Free", "fast");
    let taken = places.try_take(&a, 60).unwrap();
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    places.ask(&a, 50, &grants);
    places.ask(&b, 10, &grants);
    assert!(granted.try_recv().is_err(), "it came later");
    assert!(places.try_take(&b, 10).is_none(), "it came later still");
    let _small = places.try_take(&small, 0).unwrap();
    taken.lender().told();
    let bytes = [granted.try_recv().unwrap(), granted.try_recv().unwrap()].map(|of| of.bytes());
    assert_eq!(bytes, [50, 10]);
}

#[test]
fn who_waits_for_memory_gets_it_though_its_deployment_is_always_full() {
    let places = with_memory(100, 1);
    let [a, b] = ["a", "b"].map(|deployment| large(&places, deployment));
    let small = class(&places, "a", "Free", "fast");
    let held = places.try_take(&b, 100).unwrap();
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    places.ask(&a, 100, &grants);
    let taken = places.try_take(&small, 0).unwrap();
    drop(held);
    assert!(granted.try_recv().is_err(), "its deployment is full");
    assert!(places.try_take(&b, 1).is_none(), "the memory is kept for it");
    let (later, mut late): Grants = mpsc::unbounded_channel();
    places.ask(&small, 0, &later);
    drop(taken);
    assert_eq!(granted.try_recv().unwrap().bytes(), 100);
    assert!(late.try_recv().is_ok(), "its place was given back");
}

/// Begins to wait with a place, and waits until it is wanted back.
fn rest(place: &Place, since: Instant) -> JoinHandle<()> {
    let lender = place.lender();
    tokio::spawn(async move { lender.wants_back(since).await })
}

/// Waits until the place is wanted back of somebody who waits with it.
async fn wanted(resting: JoinHandle<()>) {
    timeout(Duration::from_secs(10), resting).await.expect("its place is wanted").unwrap();
}

/// Lets all other tasks run until they wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_has_waited_longest_gives_its_place_to_who_needs_it() {
    let places = places(10, 3);
    let [full, other] = ["a", "b"].map(|deployment| class(&places, deployment, "Free", "f"));
    let begin = Instant::now();
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    let _busy = places.try_take(&full, 0).unwrap();
    let held = [places.try_take(&full, 0).unwrap(), places.try_take(&full, 0).unwrap()];
    let elsewhere = places.try_take(&other, 0).unwrap();
    let seconds = Duration::from_secs;
    let resting = [rest(&held[0], begin + seconds(2)), rest(&held[1], begin + seconds(1))];
    let elsewhere = rest(&elsewhere, begin);
    settle().await;
    assert!(!resting.iter().any(JoinHandle::is_finished), "nobody needs a place");
    places.ask(&full, 0, &grants);
    settle().await;
    let [first, longest] = &resting;
    assert!(longest.is_finished() && !first.is_finished() && !elsewhere.is_finished());
    // One is enough for one.
    assert!(granted.try_recv().is_err());
    let [_first, longest] = held;
    drop(longest);
    let _taken = granted.try_recv().unwrap();
    settle().await;
    assert!(!resting[0].is_finished());
}

#[tokio::test]
async fn who_begins_to_wait_while_others_need_its_place_gives_it_at_once() {
    let places = places(1, 1);
    let [holds, needs] = ["a", "b"].map(|deployment| class(&places, deployment, "Free", "f"));
    let (grants, mut granted): Grants = mpsc::unbounded_channel();
    let held = places.try_take(&holds, 0).unwrap();
    places.ask(&needs, 0, &grants);
    wanted(rest(&held, Instant::now())).await;
    drop(held);
    assert!(granted.try_recv().is_ok());
}

#[tokio::test]
async fn who_goes_on_waits_no_more() {
    let places = places(2, 2);
    let class = class(&places, "a", "Free", "f");
    let held = [places.try_take(&class, 0).unwrap(), places.try_take(&class, 0).unwrap()];
    let begin = Instant::now();
    let longest = rest(&held[0], begin);
    settle().await;
    longest.abort();
    assert!(longest.await.unwrap_err().is_cancelled());
    let other = rest(&held[1], begin + Duration::from_secs(1));
    let (grants, _granted): Grants = mpsc::unbounded_channel();
    places.ask(&class, 0, &grants);
    wanted(other).await;
}

#[tokio::test]
async fn who_was_asked_and_does_not_go_is_not_counted_on_for_ever() {
    let places = places(2, 2);
    let class = class(&places, "a", "Free", "f");
    let held = [places.try_take(&class, 0).unwrap(), places.try_take(&class, 0).unwrap()];
    let begin = Instant::now();
    let asked = rest(&held[0], begin);
    let other = rest(&held[1], begin + Duration::from_millis(1));
    settle().await;
    let (grants, _granted): Grants = mpsc::unbounded_channel();
    places.ask(&class, 0, &grants);
    wanted(asked).await;
    settle().await;
    assert!(!other.is_finished());
    places.give_up_on(held[0].number);
    wanted(other).await;
}
