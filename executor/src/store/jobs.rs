//! Work on the tables beside the tasks that must not block.
//!
//! **Invariant:** work goes on where nobody waits for it any more, and holds the tables open for as long;
//! [`Store::idle`] tells when none of it is left.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Store;

/// Work that has begun.
pub(crate) type Job<T> = JoinHandle<Done<T>>;

/// Held by what works on the tables; see [`Store::running`].
pub(crate) type Running = watch::Receiver<()>;

/// What work has come to.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) value: T,
    #[expect(dead_code, reason = "held for its drop, which is behind that of the value")]
    running: Running,
}

impl Store {
    /// Begins work that may take long.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Job<T> {
        let (store, running) = (Arc::clone(self), self.running());
        tokio::task::spawn_blocking(move || {
            let value = work(&store);
            drop(store);
            Done { value, running }
        })
    }

    /// Does work that may take long, and waits for what it comes to. Whoever stops waiting does not end it.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        self.spawn(work).await.expect("work on the tables does not panic").value
    }

    /// Is held by a task that is not waited for once it is aborted, for as long as it holds the tables.
    pub(crate) fn running(&self) -> Running {
        self.jobs.subscribe()
    }

    /// Waits until no work is left.
    pub(crate) async fn idle(&self) {
        self.jobs.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::store::StoreOptions;

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends_before_the_tables_are_idle() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), StoreOptions::default());
        let store = Arc::new(open().unwrap());
        store.idle().now_or_never().unwrap();
        let (go_on, waits) = mpsc::channel();
        drop(store.spawn(move |_| waits.recv()));
        assert!(store.idle().now_or_never().is_none(), "there is work");
        go_on.send(()).unwrap();
        store.idle().await;
        drop(store);
        open().unwrap();
    }
}
