//! Decides which calls are traced, and takes in the spans of those that are.
//!
//! **Invariant:** it never waits, and what it holds is bounded.

use std::sync::{Arc, Once};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::{Span, SpanId, TraceContext, metrics};

/// Takes in spans. Clones share where they go. The default is off: it traces nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Live>>);

#[derive(Debug)]
struct Live {
    spans: mpsc::Sender<Span>,
    sample_ratio: f64,
    warned: Once,
}

/// How a call that came in is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The context of all that follows from the call.
    pub context: TraceContext,
    /// The caller's span, where it has one.
    pub parent: Option<SpanId>,
}

impl Tracer {
    /// Makes a tracer whose spans go to `spans`, and that begins as large a part of the traces as
    /// `sample_ratio` says, from 0 to 1.
    pub fn new(spans: mpsc::Sender<Span>, sample_ratio: f64) -> Self {
        Self(Some(Arc::new(Live { spans, sample_ratio, warned: Once::new() })))
    }

    /// Whether anything is traced.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Decides how a call from outside is traced, which holds for all that follows from it. None
    /// where the tracer is off. A caller that has decided is obeyed.
    pub fn enter(&self, caller: Option<TraceContext>) -> Option<Entered> {
        let Live { sample_ratio, .. } = &**self.0.as_ref()?;
        Some(match caller {
            Some(caller) if caller.is_sampled() => {
                Entered { context: caller.with_span(SpanId::random()), parent: Some(caller.span) }
            }
            Some(caller) => Entered { context: caller, parent: None },
            None => {
                let is_sampled = rand::random::<f64>() < *sample_ratio;
                Entered { context: TraceContext::root(is_sampled), parent: None }
            }
        })
    }

    /// Takes in a span that has ended. Where too many wait to be sent it is counted, and dropped.
    pub fn finish(&self, span: Span) {
        let Some(live) = &self.0 else { return };
        match live.spans.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                metrics::DROPPED.inc();
                live.warned.call_once(|| {
                    tracing::warn!(
                        "spans come faster than the collector takes them, and are dropped: \
                         everlog_traces_spans_dropped_total counts how many"
                    );
                });
            }
            // The process is ending.
            Err(TrySendError::Closed(_)) => metrics::DROPPED.inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SpanKind, UnixNanos};

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn tracer(sample_ratio: f64) -> Tracer {
        Tracer::new(mpsc::channel(1).0, sample_ratio)
    }

    #[test]
    fn a_tracer_that_is_off_decides_nothing() {
        let tracer = Tracer::default();
        assert_eq!(tracer.enter(None), None);
        assert_eq!(tracer.enter(SAMPLED.parse().ok()), None);
    }

    #[test]
    fn a_callers_decision_is_obeyed_whatever_the_ratio() {
        for ratio in [0.0, 1.0] {
            let caller: TraceContext = SAMPLED.parse().unwrap();
            let entered = tracer(ratio).enter(Some(caller)).unwrap();
            assert_eq!(entered.parent, Some(caller.span));
            assert_ne!(entered.context.span, caller.span);
            assert_eq!(entered.context.with_span(caller.span), caller);

            let caller: TraceContext = UNSAMPLED.parse().unwrap();
            let entered = tracer(ratio).enter(Some(caller)).unwrap();
            assert_eq!(entered, Entered { context: caller, parent: None });
        }
    }

    #[test]
    fn a_span_that_finds_no_room_is_dropped_and_counted() {
        let (spans, mut waiting) = mpsc::channel(2);
        let tracer = Tracer::new(spans, 1.0);
        let span = |name: &str| Span {
            context: TraceContext::root(true),
            parent: None,
            name: name.into(),
            kind: SpanKind::Internal,
            start: UnixNanos::now(),
            end: UnixNanos::now(),
            attributes: Vec::new(),
            is_error: false,
        };
        tracer.finish(span("first"));
        tracer.finish(span("second"));
        assert_eq!(metrics::DROPPED.get(), 0);
        tracer.finish(span("third"));
        assert_eq!(metrics::DROPPED.get(), 1);
        let taken = [waiting.try_recv(), waiting.try_recv()].map(|span| span.unwrap().name);
        assert_eq!(taken, ["first", "second"]);
        assert!(waiting.try_recv().is_err());
        Tracer::default().finish(span("off"));
        assert_eq!(metrics::DROPPED.get(), 1, "what is off drops nothing");
    }

    #[test]
    fn traces_that_begin_here_are_recorded_by_the_ratio() {
        let recorded = |ratio| {
            let tracer = tracer(ratio);
            let entered = (0..1_000).filter_map(|_| tracer.enter(None));
            entered.filter(|entered| entered.context.is_sampled()).count()
        };
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 1_000));
        // Twelve standard deviations to each side.
        assert!((310..690).contains(&recorded(0.5)));
        let tracer = tracer(1.0);
        let [one, other] = [(); 2].map(|()| tracer.enter(None).unwrap().context);
        assert_ne!(one.trace, other.trace);
        assert_ne!(one.span, other.span);
    }
}
