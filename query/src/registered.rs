//! `sys_service` and `sys_deployment`: what is registered. It is known here, and no owner is asked.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use everlog_log_schema::metadata::{Deployment, Metadata, ServiceKind};

use crate::cell::{Cell, Column, Kind, batch_of, schema_of};
use crate::limits::Pace;

/// A table over what is registered.
#[derive(Debug)]
pub(crate) struct Registered<R: 'static> {
    /// Its name.
    pub(crate) name: &'static str,
    columns: &'static [Column<R>],
    records: Vec<R>,
    schema: SchemaRef,
    pace: &'static Pace,
}

/// A service, as its newest deployment offers it.
#[derive(Debug)]
pub(crate) struct ServiceRecord {
    name: String,
    revision: u32,
    public: bool,
    kind: ServiceKind,
    deployment: String,
}

/// The services.
pub(crate) fn services(metadata: &Metadata, pace: &'static Pace) -> Registered<ServiceRecord> {
    type C = Column<ServiceRecord>;
    static COLUMNS: [Column<ServiceRecord>; 5] = [
        C::new("name", Kind::Text, |at| Cell::text(&at.name)),
        C::new("revision", Kind::Large, |at| Cell::Large(at.revision.into())),
        C::new("public", Kind::Flag, |at| Cell::Flag(at.public)),
        C::new("ty", Kind::Text, |at| {
            Cell::text(match at.kind {
                ServiceKind::Service => "service",
                ServiceKind::VirtualObject => "virtual_object",
                ServiceKind::Workflow => "workflow",
            })
        }),
        C::new("deployment_id", Kind::Text, |at| Cell::text(&at.deployment)),
    ];
    let records = metadata.services.iter().filter_map(|(name, revision)| {
        let (deployment, service) = metadata.service(name)?;
        Some(ServiceRecord {
            name: name.clone(),
            revision: revision.number,
            public: !service.ingress_private,
            kind: service.kind,
            deployment: deployment.id.0.clone(),
        })
    });
    Registered::new("sys_service", &COLUMNS, records.collect(), pace)
}

/// The deployments.
pub(crate) fn deployments(metadata: &Metadata, pace: &'static Pace) -> Registered<Deployment> {
    type C = Column<Deployment>;
    static COLUMNS: [Column<Deployment>; 7] = [
        C::new("id", Kind::Text, |at| Cell::text(&at.id.0)),
        C::new("ty", Kind::Text, |_| Cell::text("http")),
        C::new("endpoint", Kind::Text, |at| Cell::text(&at.uri)),
        C::new("created_at", Kind::Time, |at| Cell::Millis(at.created_at)),
        C::new("min_service_protocol_version", Kind::Small, |at| {
            Cell::Small(at.min_protocol_version)
        }),
        C::new("max_service_protocol_version", Kind::Small, |at| {
            Cell::Small(at.max_protocol_version)
        }),
        C::new("services", Kind::Texts, |at| {
            Cell::Texts(at.services.iter().map(|service| (&service.name).into()).collect())
        }),
    ];
    let records = metadata.deployments.values().cloned().collect();
    Registered::new("sys_deployment", &COLUMNS, records, pace)
}

impl<R> Registered<R> {
    fn new(
        name: &'static str,
        columns: &'static [Column<R>],
        records: Vec<R>,
        pace: &'static Pace,
    ) -> Self {
        Self { name, columns, records, schema: schema_of(columns), pace }
    }
}

#[async_trait]
impl<R: std::fmt::Debug + Send + Sync> TableProvider for Registered<R> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let columns: Vec<_> = projection.iter().filter_map(|at| self.columns.get(*at)).collect();
        let chunks = self.records.chunks(self.pace.rows);
        let batches = chunks.map(|rows| batch_of(Arc::clone(&schema), &columns, rows, self.pace));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let plan = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
        Ok(plan)
    }
}
