//! A cluster in one process: executors on one log that reach each other by a switchboard. The test
//! says who lives, who is asked to own what, and which ways are cut or slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use everlog_cluster::{
    Cluster, Holding, Holdings, Member, MemberId, Members, Role, StandingAnswer, StandingQuestion,
    Standings, Unreachable,
};
use everlog_executor::Executor;
use everlog_log_schema::owner_api::{BoxFuture, OwnerApi};
use everlog_log_schema::{Level, PartitionId};
use tokio::sync::watch;

use crate::house::within;

type Assigned = watch::Sender<Arc<BTreeSet<PartitionId>>>;

/// How one executor reaches another, where it does not do so at once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Not at all, and it is not told so.
    Cut,
    /// After a while.
    Slow(Duration),
}

/// Where an executor has its place: it is known by its name, which is its address too.
struct Place {
    assigned: Assigned,
    standings: Option<Standings>,
}

/// The cluster of a test.
pub(crate) struct Switchboard {
    partitions: u32,
    places: Mutex<BTreeMap<String, Place>>,
    owners: Mutex<Vec<Weak<dyn OwnerApi>>>,
    members: watch::Sender<Arc<Members>>,
    ways: Mutex<BTreeMap<(String, String), Way>>,
    /// How often somebody was asked to hand over.
    pub(crate) wanted: AtomicU64,
}

impl Switchboard {
    pub(crate) fn new(partitions: u32) -> Arc<Self> {
        Arc::new(Self {
            partitions,
            places: Mutex::default(),
            owners: Mutex::default(),
            members: watch::Sender::default(),
            ways: Mutex::default(),
            wanted: AtomicU64::new(0),
        })
    }

    /// The cluster as the executor of this name sees it. It is asked to own everything, unless the
    /// test has said otherwise.
    pub(crate) fn seat(self: &Arc<Self>, name: &str) -> Arc<dyn Cluster> {
        self.place(name, |_| ());
        self.members.send_modify(|members| {
            let member = Member {
                role: Role::Executor,
                address: name.into(),
                version: "test".into(),
                level: Level(1),
                holdings: Holdings::new(),
            };
            Arc::make_mut(members).insert(MemberId(name.into()), member);
        });
        Arc::new(Seat { name: name.into(), board: Arc::clone(self) })
    }

    /// Lets the others reach an executor, and callers too.
    pub(crate) fn connect(&self, name: &str, executor: &Executor) {
        self.place(name, |place| place.standings = Some(executor.standings()));
        self.owners.lock().unwrap().push(Arc::downgrade(&executor.owner_api()));
    }

    /// An executor is gone: nobody listens at its address. Its membership lasts until it
    /// [leaves](Self::leave).
    pub(crate) fn disconnect(&self, name: &str) {
        self.place(name, |place| place.standings = None);
    }

    /// An executor is no member any more.
    pub(crate) fn leave(&self, name: &str) {
        self.disconnect(name);
        self.members.send_modify(|members| {
            Arc::make_mut(members).remove(&MemberId(name.into()));
        });
    }

    /// Asks the executor of this name to own these partitions and no others.
    pub(crate) fn assign(&self, name: &str, partitions: impl IntoIterator<Item = u32>) {
        let partitions = Arc::new(partitions.into_iter().map(PartitionId).collect());
        self.place(name, |place| place.assigned.send_replace(partitions));
    }

    /// Sets how one executor reaches another.
    pub(crate) fn way(&self, from: &str, to: &str, way: Option<Way>) {
        let (mut ways, key) = (self.ways.lock().unwrap(), (from.into(), to.into()));
        match way {
            Some(way) => ways.insert(key, way),
            None => ways.remove(&key),
        };
    }

    /// All executors that live, as callers reach them.
    pub(crate) fn owners(&self) -> Vec<Arc<dyn OwnerApi>> {
        self.owners.lock().unwrap().iter().filter_map(Weak::upgrade).collect()
    }

    /// Who lives, as it changes.
    pub(crate) fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// Waits until the holdings that members tell are as wanted.
    pub(crate) async fn told(&self, what: &str, holdings: impl Fn(&Members) -> bool) {
        let mut members = self.members.subscribe();
        within(what, members.wait_for(|members| holdings(members))).await.unwrap();
    }

    /// Waits until an executor tells that it follows a partition.
    pub(crate) async fn follows(&self, name: &str, partition: u32) {
        let standby = |holding: Holding| matches!(holding, Holding::Standby { .. });
        self.told(name, |members| holding(members, name, partition).is_some_and(standby)).await;
    }

    fn place<T>(&self, name: &str, change: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.places.lock().unwrap();
        let place = places.entry(name.into()).or_insert_with(|| {
            let all = (0..self.partitions).map(PartitionId).collect();
            Place { assigned: watch::Sender::new(Arc::new(all)), standings: None }
        });
        change(place)
    }
}

/// How a member says that it holds a partition.
pub(crate) fn holding(members: &Members, name: &str, partition: u32) -> Option<Holding> {
    members.get(&MemberId(name.into()))?.holdings.get(&PartitionId(partition)).copied()
}

struct Seat {
    name: String,
    board: Arc<Switchboard>,
}

impl Cluster for Seat {
    fn me(&self) -> MemberId {
        MemberId(self.name.clone())
    }

    fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<PartitionId>>> {
        self.board.place(&self.name, |place| place.assigned.subscribe())
    }

    fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.board.members.subscribe()
    }

    fn hold(&self, holdings: Arc<Holdings>) {
        self.board.members.send_modify(|members| {
            if let Some(member) = Arc::make_mut(members).get_mut(&self.me()) {
                member.holdings = Holdings::clone(&holdings);
            }
        });
    }

    fn ask<'a>(
        &'a self,
        address: &'a str,
        partition: PartitionId,
        question: StandingQuestion,
    ) -> BoxFuture<'a, Result<StandingAnswer, Unreachable>> {
        Box::pin(async move {
            let way =
                self.board.ways.lock().unwrap().get(&(self.name.clone(), address.into())).copied();
            match way {
                None => {}
                Some(Way::Slow(by)) => tokio::time::sleep(by).await,
                Some(Way::Cut) => return std::future::pending().await,
            }
            if matches!(question, StandingQuestion::HandOver { .. }) {
                self.board.wanted.fetch_add(1, Ordering::Relaxed);
            }
            let standings = self.board.place(address, |place| place.standings.clone());
            let gone =
                || Unreachable::Gone { address: address.into(), reason: "it is gone".into() };
            Ok(standings.ok_or_else(gone)?(partition, question))
        })
    }
}
