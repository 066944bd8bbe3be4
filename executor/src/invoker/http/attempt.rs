//! One attempt: moves bytes between its stream and its machine until the last event.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use everlog_log_schema::{AttemptId, InvocationId, Millis};
use everlog_traces::Tracer;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::sentence_of;
use super::lane::Lease;
use super::pool::{Destination, Pool};
use super::request::{Chunk, Part, RequestBody, Untold, content_type, request, signed_path};
use crate::invoker::error::Failure;
use crate::invoker::machine::Machine;
use crate::invoker::trace::AttemptTrace;
use crate::invoker::{AttemptEvent, AttemptEventKind, AttemptStart, EventSender, Lender, Told};

/// How many bytes that have arrived together are looked at before they are reported.
const GATHER_BYTES_MAX: usize = 256 << 10;
/// What a chunk of a response counts for, in bytes, beside what is in it: empty ones must not be
/// gathered for ever.
const CHUNK_BYTES_MIN: usize = 16;
/// How much of an error page is quoted, in bytes.
const ERROR_BODY_BYTES_MAX: usize = 1 << 10;
/// How long an error page may take, and a function to close its stream after its last message.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// How much a function may send after its last message before its stream is reset, in bytes.
const FAREWELL_BYTES_MAX: usize = 64 << 10;
/// How often a request is tried again on another connection where none of it was sent.
const UNSENT_RETRIES_MAX: u32 = 3;
/// After so long without progress an attempt may have nothing to do but wait. Most answers have come
/// by then, so that few suspend in vain.
const IDLE_AFTER: Duration = Duration::from_millis(100);
/// The longest time-out: longer ones could overflow a point in time.
const TIMEOUT_MAX: Duration = Duration::from_hours(365 * 24);

/// Runs an attempt to its last event.
pub(super) async fn run(
    pool: Arc<Pool>,
    tracer: Tracer,
    mut start: AttemptStart,
    events: EventSender,
    told: mpsc::UnboundedReceiver<Told>,
) {
    let trace = AttemptTrace::begin(&tracer, &start);
    if let Some(trace) = &trace {
        start.traceparent = Some(trace.traceparent());
    }
    let (to_function, body) = RequestBody::new();
    let request = request(&start, body);
    let name = format!("{} at {}", start.deployment.id, start.deployment.uri);
    let content_type = content_type(start.protocol_version);
    let signed_path = signed_path(&start.target);
    let mut attempt = Attempt {
        invocation: start.invocation,
        id: start.attempt,
        inactivity_timeout: start.inactivity_timeout.min(TIMEOUT_MAX),
        abort_timeout: start.abort_timeout.min(TIMEOUT_MAX),
        untold: start.lender.clone().filter(|_| start.is_large).map(|of| Untold(of).into()),
        lender: start.lender.clone(),
        machine: Machine::new(start),
        trace,
        events,
        unreported_bytes: 0,
        progressed_at: Instant::now(),
        is_hurried: false,
    };
    let leased = match request {
        Ok((request, destination)) => {
            let uri = request.uri().clone();
            let asking =
                Asking { pool, destination, uri, signed_path, deployment: name, content_type };
            // Whoever waits for its turn is not silent: its time-outs begin with its stream.
            asking.lease().await.map(|lease| (asking, lease, request))
        }
        Err(failure) => Err(failure),
    };
    match leased {
        Ok((asking, lease, request)) => {
            attempt.progressed_at = Instant::now();
            let stream = Stream::Asking(Box::pin(asking.ask(lease, request)));
            attempt.converse(stream, to_function, told).await;
        }
        Err(failure) => {
            attempt.machine.fail(failure);
            attempt.report().await;
        }
    }
}

struct Attempt {
    invocation: InvocationId,
    id: AttemptId,
    inactivity_timeout: Duration,
    abort_timeout: Duration,
    machine: Machine,
    /// Listens, where the invocation is traced.
    trace: Option<Box<AttemptTrace>>,
    events: EventSender,
    /// How much the function has said since something was last reported: what the next events take
    /// in memory.
    unreported_bytes: usize,
    /// When a message of the function was last reported, or the function last took in more.
    progressed_at: Instant,
    /// Who may want its place.
    lender: Option<Arc<dyn Lender>>,
    /// Until all of it is on its way.
    untold: Option<Arc<Untold>>,
    /// Whether the function was asked to suspend before its inactivity time-out.
    is_hurried: bool,
}

/// Why an attempt wakes up though nothing has happened.
enum Silence {
    /// A time-out has passed.
    TimedOut,
    /// It only waits, and others want its place.
    Wanted,
}

impl Attempt {
    async fn converse(
        &mut self,
        mut stream: Stream,
        to_function: mpsc::Sender<Chunk>,
        mut told: mpsc::UnboundedReceiver<Told>,
    ) {
        // Whether the function can be told more: it may have stopped listening, or know the end.
        let mut is_listening = true;
        while self.report().await && !self.machine.is_over() {
            let has_news = self.machine.has_bytes() || self.machine.is_input_closed();
            tokio::select! {
                heard = stream.next() => self.hear(heard, &mut stream).await,
                Some(told) = told.recv() => match told {
                    Told::Notice(notice) => {
                        if let Some(trace) = &mut self.trace {
                            trace.told(&notice);
                        }
                        self.machine.notify(notice);
                    }
                    Told::State { read, value } => self.machine.tell_state(read, value),
                },
                permit = to_function.reserve(), if has_news && is_listening => {
                    // Where the stream is gone the response tells why.
                    let next = permit.ok().map(|permit| (permit, self.next_chunk()));
                    is_listening = !matches!(next, None | Some((_, Chunk::End)));
                    if let Some((permit, chunk)) = next {
                        permit.send(chunk);
                    }
                }
                silence = self.silence() => match silence {
                    Silence::TimedOut => {
                        self.machine.on_silence();
                        self.progressed_at = Instant::now();
                    }
                    Silence::Wanted => {
                        self.machine.close();
                        self.is_hurried = true;
                    }
                },
            }
        }
        if let Stream::Answering(answer) = stream
            && self.machine.is_ended_by_function()
        {
            tokio::spawn(farewell(answer, to_function));
        }
    }

    /// What the function is told next.
    fn next_chunk(&mut self) -> Chunk {
        let Some(bytes) = self.machine.take_bytes() else { return Chunk::End };
        self.progressed_at = Instant::now();
        let untold = self.untold.clone();
        if !self.machine.has_bytes() {
            self.untold = None;
        }
        Chunk::Data(Part::new(bytes, untold))
    }

    /// Waits until the function has been silent for too long, or has only waited and others want its
    /// place. Loses nothing when dropped.
    async fn silence(&self) -> Silence {
        let patience = match (self.machine.is_closing(), self.is_hurried) {
            (false, _) => self.inactivity_timeout,
            (true, false) => self.abort_timeout,
            // It was asked early, and has no less time for that.
            (true, true) => self.inactivity_timeout + self.abort_timeout,
        };
        let (idle_at, end) = (self.progressed_at + IDLE_AFTER, self.progressed_at + patience);
        tokio::time::sleep_until(idle_at.min(end)).await;
        if let Some(lender) = &self.lender
            && idle_at < end
            && self.machine.may_only_wait()
            && tokio::time::timeout_at(end, lender.wants_back(self.progressed_at)).await.is_ok()
        {
            return Silence::Wanted;
        }
        tokio::time::sleep_until(end).await;
        Silence::TimedOut
    }

    /// Takes in what the function said, with all else that has arrived already.
    async fn hear(&mut self, mut heard: Result<Heard, Failure>, stream: &mut Stream) {
        let mut gathered = 0;
        loop {
            match heard {
                Ok(Heard::Answer) => self.progressed_at = Instant::now(),
                Ok(Heard::Chunk(chunk)) => {
                    gathered += chunk.len().max(CHUNK_BYTES_MIN);
                    self.unreported_bytes += chunk.len();
                    self.machine.receive(&chunk);
                }
                Ok(Heard::End) => self.machine.receive_end(),
                Err(failure) => self.machine.fail(failure),
            }
            if self.machine.is_over() || gathered > GATHER_BYTES_MAX {
                return;
            }
            heard = tokio::select! {
                biased;
                heard = stream.next() => heard,
                () = std::future::ready(()) => return,
            };
        }
    }

    /// Passes on what the machine has to say. Returns whether anybody listens.
    async fn report(&mut self) -> bool {
        let hint = self.machine.take_awaiting_on().map(AttemptEventKind::AwaitingOn);
        let events = self.machine.take_events();
        let read = self.machine.take_read().map(AttemptEventKind::ReadState);
        // The hint before what was said since: nothing comes behind the last event. A question behind
        // it, as it is about what that came to.
        for kind in hint.into_iter().chain(events).chain(read) {
            if let Some(trace) = &mut self.trace {
                trace.said(&kind);
            }
            // The first that lasts is charged for all: which of them holds the bytes is not known here.
            let lasts = !matches!(kind, AttemptEventKind::AwaitingOn(_));
            let bytes = if lasts { std::mem::take(&mut self.unreported_bytes) } else { 0 };
            let event = AttemptEvent { invocation: self.invocation, attempt: self.id, kind };
            if self.events.send(event, bytes).await.is_err() {
                return false;
            }
            // Now, not before: the wait for room is none of the function's.
            self.progressed_at = Instant::now();
        }
        true
    }
}

/// Lets a function whose attempt is over close its stream in peace: a reset would show up in its
/// log as a failure.
async fn farewell(answer: Answer, to_function: mpsc::Sender<Chunk>) {
    // Where there is no room the function is behind with reading, and is cut off.
    let _ = to_function.try_send(Chunk::End);
    let rest = Limited::new(answer.body, FAREWELL_BYTES_MAX).collect();
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, rest).await;
}

/// The function's side of the stream.
enum Stream {
    /// Its answer has not begun.
    Asking(Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>),
    /// It may speak.
    Answering(Answer),
}

struct Answer {
    body: Incoming,
    /// Names the deployment in sentences.
    deployment: String,
    _lease: Lease,
}

enum Heard {
    Answer,
    Chunk(Bytes),
    End,
}

impl Stream {
    /// Waits for the next thing the function says. Loses nothing when dropped.
    async fn next(&mut self) -> Result<Heard, Failure> {
        match self {
            Self::Asking(answer) => {
                *self = Self::Answering(answer.await?);
                Ok(Heard::Answer)
            }
            Self::Answering(Answer { body, deployment, .. }) => match body.frame().await {
                None => Ok(Heard::End),
                Some(Ok(frame)) => Ok(Heard::Chunk(frame.into_data().unwrap_or_default())),
                Some(Err(cause)) => Err(Failure::Network {
                    doing: "hear the end of what was said by",
                    deployment: deployment.clone(),
                    reason: sentence_of(&cause),
                }),
            },
        }
    }
}

/// What it takes to get an answer.
struct Asking {
    pool: Arc<Pool>,
    destination: Destination,
    /// The address in full. A request over HTTP/1.1 names the path alone.
    uri: Uri,
    /// The part of it that the request is signed for.
    signed_path: String,
    /// Names the deployment in sentences.
    deployment: String,
    content_type: String,
}

impl Asking {
    /// Waits for a stream.
    async fn lease(&self) -> Result<Lease, Failure> {
        let leased = self.pool.lease(&self.destination).await;
        leased.map_err(|reason| self.network("connect to", reason))
    }

    async fn ask(
        self,
        mut lease: Lease,
        mut request: Request<RequestBody>,
    ) -> Result<Answer, Failure> {
        let mut retries = 0;
        loop {
            // Only now: a signature is good for a minute, and who waits for a stream may wait longer.
            self.pool.identity().sign(&self.signed_path, request.headers_mut());
            match lease.send(request).await {
                Ok(response) => {
                    let body = self.check(response).await?;
                    return Ok(Answer { body, deployment: self.deployment, _lease: lease });
                }
                Err(mut error) => match error.take_message() {
                    // A connection that has just died: nothing has been sent on it.
                    Some(unsent) if retries < UNSENT_RETRIES_MAX => {
                        retries += 1;
                        request = unsent;
                        *request.uri_mut() = self.uri.clone();
                        drop(lease);
                        lease = self.lease().await?;
                    }
                    _ => return Err(self.network("call", sentence_of(error.error()))),
                },
            }
        }
    }

    async fn check(&self, response: Response<Incoming>) -> Result<Incoming, Failure> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(Failure::Status {
                deployment: self.deployment.clone(),
                status: head.status.as_u16(),
                body: beginning_of(body).await,
                retry_after: retry_after(head.status, &head.headers, SystemTime::now()),
            });
        }
        let found = head.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if found != self.content_type.as_bytes() {
            return Err(Failure::ContentType {
                deployment: self.deployment.clone(),
                expected: self.content_type.clone(),
                found: String::from_utf8_lossy(found).into_owned(),
            });
        }
        Ok(body)
    }

    fn network(&self, doing: &'static str, reason: String) -> Failure {
        Failure::Network { doing, deployment: self.deployment.clone(), reason }
    }
}

/// Reads the delay that an overloaded endpoint asks for: seconds, or a date by its own clock, which
/// its answer may show; else by ours, which shows `now`.
fn retry_after(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Millis> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let asked = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds).into());
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let answered = headers.get(DATE).and_then(|text| date(text.to_str().ok()?)).unwrap_or(now);
    Some(date(asked)?.duration_since(answered).unwrap_or_default().into())
}

/// Reads the beginning of an error page, as far as it comes soon.
async fn beginning_of(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < ERROR_BODY_BYTES_MAX {
            let Some(Ok(frame)) = body.frame().await else { return };
            bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    };
    // What has come by then is quoted.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, reading).await;
    bytes.truncate(ERROR_BODY_BYTES_MAX);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_delay_is_asked_for_in_seconds_or_as_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |status: u16, of: &[(http::HeaderName, &str)]| {
            let headers = of.iter().map(|(name, text)| (name.clone(), text.parse().unwrap()));
            let status = StatusCode::from_u16(status).unwrap();
            retry_after(status, &headers.collect(), now).map(|delay| delay.0)
        };
        assert_eq!(asked(503, &[]), None);
        assert_eq!(asked(500, &[(RETRY_AFTER, "7")]), None);
        assert_eq!(asked(429, &[(RETRY_AFTER, "7")]), Some(7_000));
        assert_eq!(asked(503, &[(RETRY_AFTER, "soon")]), None);
        let at = (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:00 GMT");
        assert_eq!(asked(503, std::slice::from_ref(&at)), Some(23_000));
        let its_clock = (DATE, "Sun, 06 Nov 1994 08:49:59 GMT");
        assert_eq!(asked(503, &[at.clone(), its_clock]), Some(1_000));
        let later = (DATE, "Sun, 06 Nov 1994 08:50:01 GMT");
        assert_eq!(asked(503, &[at, later]), Some(0));
    }
}
