//! A directory with a log, tables beside it, and functions: what a test lives in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everlog_executor::store::{Store, StoreOptions};
use everlog_executor::{Executor, ExecutorConfig, ExecutorLimits, Standing};
use everlog_log_client::embedded::{EmbeddedLog, EmbeddedOptions};
use everlog_log_client::{EventLog, Stream, Topic};
use everlog_log_schema::codec::{decode_record, encode_message};
use everlog_log_schema::metadata::{
    Deployment, EagerState, Handler, InputRule, Metadata, OutputRule, ProtocolMode, Revision,
    Service, ServiceKind, ServicePatch,
};
use everlog_log_schema::owner_api::{Answer, OwnerError};
use everlog_log_schema::{
    Command, DeploymentId, Envelope, HandlerKind, InboxOffset, InvocationId, InvocationRow, Invoke,
    Level, Message, MetadataOffset, Millis, NotificationResult, OnMaxAttempts, Order, OrderAction,
    Outcome, PartitionId, PartitionKey, RequestId, RetryPolicy, Row, RowKey, Signal, SignalId,
    Source, StatusKind, Target, partition_of,
};
use futures_util::future::select_ok;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::functions::{Functions, TestInvoker};
use crate::switchboard::Switchboard;

pub(crate) const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct House {
    pub(crate) directory: TempDir,
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) metadata: watch::Sender<Arc<Metadata>>,
    pub(crate) switchboard: Arc<Switchboard>,
}

/// Fails the test if `future` takes too long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

impl House {
    pub(crate) fn build() -> Self {
        Self::of(PARTITIONS)
    }

    /// A house with so many partitions.
    pub(crate) fn of(partitions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // What is tested here survives the process, not the machine.
        let options = EmbeddedOptions { partitions, fsync: false };
        let log = EmbeddedLog::open(directory.path().join("log"), options).unwrap();
        let metadata = watch::Sender::new(Arc::new(registered()));
        let switchboard = Switchboard::new(partitions);
        Self { directory, log, functions: Functions::new(), metadata, switchboard }
    }

    pub(crate) fn tables(&self) -> PathBuf {
        self.directory.path().join("tables")
    }

    pub(crate) fn start(&self) -> Executor {
        self.start_in(&self.tables(), ExecutorLimits::default())
    }

    pub(crate) fn start_in(&self, tables: &Path, limits: ExecutorLimits) -> Executor {
        self.start_on(Arc::clone(&self.log) as Arc<dyn EventLog>, tables, limits)
    }

    /// Starts an executor of this name, with tables of its own.
    pub(crate) fn start_as(&self, name: &str, limits: ExecutorLimits) -> Executor {
        self.start_in(&self.directory.path().join(name), limits)
    }

    /// Starts an executor that reaches the log by way of `log`. The others know it by the name of
    /// its tables.
    pub(crate) fn start_on(
        &self,
        log: Arc<dyn EventLog>,
        tables: &Path,
        limits: ExecutorLimits,
    ) -> Executor {
        let name = tables.file_name().unwrap().to_str().unwrap();
        let executor = Executor::start(ExecutorConfig {
            log,
            cluster: self.switchboard.seat(name),
            metadata: self.metadata.subscribe(),
            tables_dir: tables.to_owned(),
            invoker: Arc::new(TestInvoker(Arc::clone(&self.functions))),
            address: name.into(),
            limits,
        })
        .unwrap();
        self.switchboard.connect(name, &executor);
        executor
    }

    /// Sends a message to an inbox and waits until it is durable.
    pub(crate) async fn send(&self, envelope: &Envelope) -> InboxOffset {
        let target = match &envelope.message {
            Message::Invoke(invoke) => invoke.id,
            Message::Attach(question) => question.target,
            Message::Complete(complete) => complete.to.invocation,
            Message::Signal(signal) => signal.target,
            Message::Order(order) => order.target,
            Message::Restart(restart) => restart.target,
            Message::ResumeOn(resume) => resume.target,
        };
        let partition = partition_of(target.partition_key, self.log.partitions());
        self.append(Topic::Invocations, partition, encode_message(envelope).unwrap()).await
    }

    pub(crate) async fn append(
        &self,
        topic: Topic,
        partition: PartitionId,
        payload: Bytes,
    ) -> InboxOffset {
        let mut appender = self.log.appender(Stream { topic, partition }).unwrap();
        InboxOffset(appender.append(payload).unwrap().await.unwrap())
    }

    /// Sends an order, as whoever runs the functions does.
    pub(crate) async fn order(&self, target: InvocationId, action: OrderAction) -> InboxOffset {
        let order = Order { target, sender: None, action };
        self.send(&from_gateway(Message::Order(order))).await
    }

    /// Sends a signal, as a gateway does.
    pub(crate) async fn signal(
        &self,
        target: InvocationId,
        signal: SignalId,
        result: NotificationResult,
    ) -> InboxOffset {
        let signal = Signal { target, incarnation: None, sender: None, signal, result };
        self.send(&from_gateway(Message::Signal(Box::new(signal)))).await
    }

    pub(crate) async fn cancel(&self, target: InvocationId) -> InboxOffset {
        self.signal(target, SignalId::CANCEL, NotificationResult::Void).await
    }

    /// Sends a call, and waits for its answer as a gateway does.
    pub(crate) async fn call(&self, executor: &Executor, call: &Call) -> Answer {
        let offset = self.send(&call.envelope()).await;
        answer(executor, call.id, Some(offset)).await
    }

    /// Waits for an answer of whoever owns the partition.
    pub(crate) async fn answer_of(&self, id: InvocationId, after: Option<InboxOffset>) -> Answer {
        within("an answer", async {
            loop {
                let owners = self.switchboard.owners();
                let asked = owners.iter().map(|owner| owner.attach(id, after));
                match select_ok(asked).await {
                    Ok((answer, _)) => return answer,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    }

    /// Who has announced itself for a partition, in order.
    pub(crate) async fn announced(&self, partition: u32) -> Vec<String> {
        let commands = self.commands(PartitionId(partition), 0).await.into_iter().flatten();
        let announced = commands.filter_map(|command| match command {
            Command::AnnounceOwner(announce) => Some(announce.address),
            _ => None,
        });
        announced.collect()
    }

    /// The commands of each record of a log, from an offset on.
    pub(crate) async fn commands(&self, partition: PartitionId, from: u64) -> Vec<Vec<Command>> {
        let stream = Stream { topic: Topic::Log, partition };
        let end = self.log_end(partition).await;
        let mut reader = self.log.reader(stream, from).unwrap();
        let (mut next, mut commands) = (from, Vec::new());
        while next < end {
            for logged in reader.next().await.unwrap() {
                next = logged.offset + 1;
                commands.push(decode_record(&logged.payload).unwrap().commands);
            }
        }
        commands
    }

    pub(crate) async fn log_end(&self, partition: PartitionId) -> u64 {
        self.log.bounds(Stream { topic: Topic::Log, partition }).await.unwrap().end
    }
}

/// Waits for an answer; asks again while the partition changes its owner.
pub(crate) async fn answer(
    executor: &Executor,
    id: InvocationId,
    after: Option<InboxOffset>,
) -> Answer {
    let owner = executor.owner_api();
    within("an answer", async {
        loop {
            match owner.attach(id, after).await {
                Ok(answer) => return answer,
                Err(OwnerError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(stopped @ OwnerError::Stopped(_)) => panic!("{stopped}"),
                Err(OwnerError::NotFound) => panic!("{id} is not found"),
            }
        }
    })
    .await
}

pub(crate) fn text(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Success(value) => String::from_utf8(value.to_vec()).unwrap(),
        Outcome::Failure(failure) => format!("{}: {}", failure.code, failure.message),
    }
}

/// Waits until `condition` holds of how the partitions stand.
pub(crate) async fn standing(
    executor: &Executor,
    partition: u32,
    condition: impl Fn(&Standing) -> bool,
) -> Standing {
    within("a standing", async {
        loop {
            let standing = executor.health().remove(&PartitionId(partition)).unwrap();
            if condition(&standing) {
                return standing;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Waits until an executor owns a partition.
pub(crate) async fn owned(executor: &Executor, partition: u32) -> Standing {
    standing(executor, partition, |standing| matches!(standing, Standing::Owner { .. })).await
}

fn from_gateway(message: Message) -> Envelope {
    Envelope { level: Level(1), metadata: MetadataOffset(0), source: Source::Gateway, message }
}

/// An invocation, as its owner knows it now.
pub(crate) async fn row(executor: &Executor, id: InvocationId) -> InvocationRow {
    let owner = executor.owner_api();
    within("a row", async {
        loop {
            match owner.invocation(id, None).await {
                Ok(row) => return row,
                Err(OwnerError::Stopped(why)) => panic!("{why}"),
                Err(OwnerError::Unavailable(_) | OwnerError::NotFound) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    })
    .await
}

/// Waits until an invocation stands somewhere.
pub(crate) async fn status(executor: &Executor, id: InvocationId, wanted: StatusKind) {
    within(wanted.name(), async {
        while row(executor, id).await.status.kind() != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// All rows of a partition in tables that no executor has open.
pub(crate) fn rows(tables: &Path, partition: u32) -> BTreeMap<RowKey, Row> {
    let store = Store::open(tables, StoreOptions::default()).unwrap();
    store.rows(PartitionId(partition), None, usize::MAX).unwrap().into_iter().collect()
}

/// A call of a test.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: InvocationId,
    pub(crate) request: RequestId,
    /// Where it is not `Object` or `Plain`.
    pub(crate) service: Option<&'static str>,
    pub(crate) handler: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) start_at: Option<Millis>,
    pub(crate) retry: RetryPolicy,
    pub(crate) metadata: MetadataOffset,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) kind: HandlerKind,
}

impl Call {
    /// On partition 0.
    pub(crate) fn new(uuid: u128, handler: &'static str) -> Self {
        Self {
            id: InvocationId { partition_key: PartitionKey(0), uuid },
            request: RequestId(uuid),
            service: None,
            handler,
            key: None,
            body: Bytes::from_static(b"hello"),
            start_at: None,
            retry: RetryPolicy {
                initial_interval: Millis(20),
                factor_permille: 2_000,
                max_interval: Millis(1_000),
                max_attempts: Some(5),
                on_max_attempts: OnMaxAttempts::Kill,
            },
            metadata: MetadataOffset(0),
            idempotency_key: None,
            kind: HandlerKind::Plain,
        }
    }

    pub(crate) fn on_partition_1(mut self) -> Self {
        self.id.partition_key = PartitionKey(u64::MAX);
        self
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self.kind = HandlerKind::Exclusive;
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn envelope(&self) -> Envelope {
        let usual = if self.key.is_some() { "Object" } else { "Plain" };
        let target = Target {
            service: self.service.unwrap_or(usual).into(),
            key: self.key.clone(),
            handler: self.handler.into(),
        };
        let invoke = Invoke {
            id: self.id,
            request_id: self.request,
            resent: false,
            target,
            kind: self.kind,
            headers: Vec::new(),
            body: self.body.clone(),
            idempotency_key: self.idempotency_key.clone(),
            scope: None,
            limit_key: None,
            reply_to: Some("test".into()),
            caller: None,
            start_at: self.start_at,
            retention: Millis(86_400_000),
            journal_retention: None,
            state_ttl: None,
            retry: self.retry.clone(),
            traceparent: None,
        };
        Envelope { metadata: self.metadata, ..from_gateway(Message::Invoke(Box::new(invoke))) }
    }
}

/// A handler of which nothing is limited.
fn handler(name: &str) -> Handler {
    Handler {
        name: name.into(),
        kind: HandlerKind::Exclusive,
        ingress_private: false,
        input: InputRule { required: false, content_type: None, json_schema: None },
        output: OutputRule {
            content_type: None,
            set_content_type_if_empty: false,
            json_schema: None,
        },
        idempotency_retention: Millis(86_400_000),
        journal_retention: None,
        inactivity_timeout: None,
        abort_timeout: None,
        retry: Call::new(0, "").retry,
        eager_state: EagerState::All,
        state_ttl: None,
        documentation: None,
        metadata: Vec::new(),
    }
}

/// A deployment of the services of these names: those called `Object…` have object keys.
pub(crate) fn deployment(id: &str, services: &[&str]) -> Deployment {
    let service = |name: &&str| Service {
        name: (*name).into(),
        kind: if name.starts_with("Object") {
            ServiceKind::VirtualObject
        } else {
            ServiceKind::Service
        },
        ingress_private: false,
        documentation: None,
        metadata: Vec::new(),
        handlers: ["count", "append", "show"].map(handler).to_vec(),
        patch: ServicePatch::default(),
    };
    Deployment {
        id: DeploymentId(id.into()),
        uri: "http://127.0.0.1:9".into(),
        headers: Vec::new(),
        mode: ProtocolMode::BidiStream,
        use_http_11: false,
        min_protocol_version: 5,
        max_protocol_version: 7,
        sdk: None,
        metadata: Vec::new(),
        created_at: Millis(0),
        services: services.iter().map(service).collect(),
    }
}

/// Registers a deployment.
pub(crate) fn register(metadata: &mut Metadata, deployment: Deployment) {
    for service in &deployment.services {
        let revision = Revision { number: 1, deployment: deployment.id.clone() };
        metadata.services.insert(service.name.clone(), revision);
    }
    metadata.deployments.insert(deployment.id.clone(), deployment);
}

fn registered() -> Metadata {
    let mut metadata = Metadata::default();
    register(&mut metadata, deployment("dp_test", &["Plain", "Object"]));
    metadata
}
