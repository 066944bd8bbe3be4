//! Takes queries in and has them planned and run, each within its limits.
//!
//! **Invariants:** queries run on threads of their own, so that none keeps a call waiting. Whoever asked and
//! has gone, or whose time is up, is worked for no longer; a query counts among those at once until it has
//! really ended and its answer is read.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionStateBuilder, SessionStateDefaults};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use everlog_gateway::{SqlAnswer, SqlEngine, SqlError, SqlForm};
use everlog_log_schema::metadata::Metadata;
use everlog_log_schema::owner_api::{BoxFuture, OwnerApi};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::limits::{CAREFUL, LargeCell, Pace, QUICK, STACK_BYTES};
use crate::provider::Provider;
use crate::source::{Held, Source, refusal_in};
use crate::table::Table;
use crate::tables::{
    Inbox, Invocation, InvocationState, InvocationStatus, Journal, KeyedStatus, Promise, State,
};
use crate::yielding::yielding;
use crate::{QueryLimits, answer, functions, plan, registered, statement, windows};

/// How much is said of what is wrong with a query, in characters.
const REASON_CHARS_MAX: usize = 2_000;

/// Answers queries.
pub struct Engine {
    /// Present until the engine is dropped.
    threads: Option<Runtime>,
    work: Arc<Work>,
    places: Arc<Semaphore>,
}

/// Queries cannot be answered.
#[derive(Debug)]
pub struct StartError(std::io::Error);

/// What a query is answered from.
struct Work {
    source: Source,
    partitions: u32,
    limits: QueryLimits,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to start threads for queries: {}", self.0)
    }
}

impl std::error::Error for StartError {}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.work.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the threads of queries: half as many as there are processors. Must be called within a
    /// Tokio runtime, which is where owners are asked.
    pub fn start(
        owner: Arc<dyn OwnerApi>,
        metadata: watch::Receiver<Arc<Metadata>>,
        partitions: u32,
        limits: QueryLimits,
    ) -> Result<Self, StartError> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = Builder::new_multi_thread()
            .thread_name("everlog-query")
            .worker_threads(processors.div_ceil(2))
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build()
            .map_err(StartError)?;
        let wait_max = limits.partition_wait_max;
        let source = Source { owner, metadata, home: Handle::current(), wait_max };
        let places = Arc::new(Semaphore::new(limits.queries_max));
        let work = Arc::new(Work { source, partitions, limits });
        Ok(Self { threads: Some(threads), work, places })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl SqlEngine for Engine {
    fn query(&self, sql: String, form: SqlForm) -> BoxFuture<'_, Result<SqlAnswer, SqlError>> {
        Box::pin(async move {
            let QueryLimits { queries_max, time_max, .. } = self.work.limits;
            let place = Arc::clone(&self.places).try_acquire_owned();
            let place = place.map_err(|_| SqlError::TooManyQueries { max: queries_max })?;
            let threads = self.threads.as_ref().expect("present until drop");
            let work = Arc::clone(&self.work);
            let running = threads.spawn(async move {
                let body = work.answer(&sql, form).await?;
                Ok::<_, SqlError>(SqlAnswer { body: body.into(), place })
            });
            match timeout(time_max, &mut Held(running).0).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a query broke off");
                    Err(SqlError::Failed(
                        "it broke off, and the log of this process says why".into(),
                    ))
                }
                Err(_elapsed) => Err(SqlError::TimeExceeded { max: time_max }),
            }
        })
    }
}

impl Work {
    async fn answer(&self, sql: &str, form: SqlForm) -> Result<Vec<u8>, SqlError> {
        let statement = statement::read(sql)?;
        let quick = self.at_pace(statement.clone(), form, &QUICK).await;
        let Err(error) = &quick else { return quick.map_err(|error| self.refusal(&error)) };
        if is_large(error) {
            return self.at_pace(statement, form, &CAREFUL).await.map_err(|e| self.refusal(&e));
        }
        let refusal = self.refusal(error);
        if !matches!(refusal, SqlError::MemoryExceeded { .. }) {
            return Err(refusal);
        }
        // Partitions one after the other, and small batches, may do.
        self.at_pace(statement, form, &CAREFUL).await.map_err(|error| {
            let careful = self.refusal(&error);
            if matches!(careful, SqlError::TooComplex { .. }) { refusal } else { careful }
        })
    }

    /// Plans and runs a query.
    async fn at_pace(
        &self,
        statement: Statement,
        form: SqlForm,
        pace: &'static Pace,
    ) -> Result<Vec<u8>, DataFusionError> {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(self.limits.memory_max));
        let session = self.session(Arc::clone(&pool), pace)?;
        let state = session.state();
        let plan = state.statement_to_plan(statement).await?;
        plan::check_planned(&plan)?;
        let plan = state.optimize(&plan)?;
        plan::check_optimised(&plan, pace)?;
        let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
        let rows = execute_stream(yielding(windows::reserved(plan)?)?, state.task_ctx())?;
        let reserved = MemoryConsumer::new("answer").register(&pool);
        answer::write(rows, form, self.limits.rows_max, &reserved).await
    }

    /// What one query is planned and run with: tables and functions of ours, and no way to anything
    /// else.
    fn session(
        &self,
        pool: Arc<dyn MemoryPool>,
        pace: &'static Pace,
    ) -> Result<SessionContext, DataFusionError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let config = SessionConfig::new()
            .with_target_partitions(pace.partitions)
            .with_batch_size(pace.rows)
            .with_information_schema(true)
            .set_bool("datafusion.execution.enable_recursive_ctes", false);
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_expr_planners(SessionStateDefaults::default_expr_planners());
        let session = SessionContext::new_with_state(functions::allow(builder).build());
        self.register::<Invocation>(&session, pace)?;
        self.register::<InvocationStatus>(&session, pace)?;
        self.register::<InvocationState>(&session, pace)?;
        self.register::<Journal>(&session, pace)?;
        self.register::<Inbox>(&session, pace)?;
        self.register::<KeyedStatus>(&session, pace)?;
        self.register::<Promise>(&session, pace)?;
        self.register::<State>(&session, pace)?;
        let metadata = Arc::clone(&self.source.metadata.borrow());
        let services = registered::services(&metadata, pace);
        session.register_table(services.name, Arc::new(services))?;
        let deployments = registered::deployments(&metadata, pace);
        session.register_table(deployments.name, Arc::new(deployments))?;
        Ok(session)
    }

    fn register<T: Table>(
        &self,
        session: &SessionContext,
        pace: &'static Pace,
    ) -> Result<(), DataFusionError> {
        let provider = Provider::<T>::new(self.source.clone(), self.partitions, pace);
        session.register_table(T::NAME, Arc::new(provider)).map(drop)
    }

    /// What an error means to whoever asked.
    fn refusal(&self, error: &DataFusionError) -> SqlError {
        if let Some(refusal) = refusal_in(error) {
            return refusal;
        }
        let root = error.find_root();
        if matches!(root, DataFusionError::ResourcesExhausted(_)) {
            return SqlError::MemoryExceeded { max: self.limits.memory_max };
        }
        let reason = error.strip_backtrace().chars().take(REASON_CHARS_MAX).collect();
        let broken = matches!(
            root,
            DataFusionError::Internal(_)
                | DataFusionError::IoError(_)
                | DataFusionError::ExecutionJoin(_)
                | DataFusionError::External(_)
        );
        if broken { SqlError::Failed(reason) } else { SqlError::Invalid(reason) }
    }
}

/// Whether a query met a cell that is too large for its pace.
fn is_large(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::External(inner) if inner.is::<LargeCell>())
}
