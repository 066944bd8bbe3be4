//! Traces, as the settings and the standard variables of OpenTelemetry want them.

use std::time::Duration;

use everlog_connect::Connector;
use everlog_traces::{Collector, CollectorError, Exporter, Tracer, export};

use crate::config::Settings;
use crate::version::VERSION;

/// Headers that the collector is sent. No setting: what is set is shown, and these are secret.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// As which service the spans are shown.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// How long spans that wait at the end get to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Traces of this process, which go to a collector unless that is not wanted.
#[derive(Debug, Default)]
pub(super) struct Traces {
    tracer: Tracer,
    exporter: Option<Exporter>,
}

impl Traces {
    /// Begins to send traces, if a collector is set.
    pub(super) fn start(
        settings: &Settings,
        connector: &Connector,
    ) -> Result<Self, CollectorError> {
        let endpoint = settings.otlp_endpoint.as_deref().unwrap_or_default();
        if endpoint.is_empty() {
            return Ok(Self::default());
        }
        let headers = std::env::var(HEADERS).unwrap_or_default();
        let collector = Collector::new(endpoint, &headers, connector.clone())?;
        let service = std::env::var(SERVICE_NAME).ok().filter(|name| !name.is_empty());
        let service = service.unwrap_or_else(|| "everlog".to_owned());
        let ratio = settings.trace_sample_ratio.0;
        let (tracer, exporter) = export(collector, service, VERSION.to_owned(), ratio);
        Ok(Self { tracer, exporter: Some(exporter) })
    }

    /// Takes in spans.
    pub(super) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what waits, for a while.
    pub(super) async fn stop(self) {
        if let Some(exporter) = self.exporter {
            exporter.shutdown(FLUSH_MAX).await;
        }
    }
}
