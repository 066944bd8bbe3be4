//! The cases on the embedded log.

use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};

use crate::cases::for_each_case;
use crate::support::PARTITIONS;

macro_rules! on_embedded {
    ($($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let directory = tempfile::tempdir().unwrap();
            let options = EmbeddedOptions { partitions: PARTITIONS, ..Default::default() };
            let log = EmbeddedLog::open(directory.path(), options).unwrap();
            crate::cases::$case(log).await;
        }
    )*};
}

for_each_case!(on_embedded);
