//! `everlog call`, `send` and `attach`: one request to the ingress, its answer on standard output.

mod arguments;

use std::io::{Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::client::{self, Answer, ClientError};
use crate::say::complain;

pub(crate) use arguments::{AttachArguments, CallArguments, SendArguments, header};

use arguments::RequestArguments;

/// The exit code where the function itself failed.
const FUNCTION_FAILED: u8 = 3;
/// The exit code where it is not known whether the call was taken in.
const NOT_KNOWN: u8 = 4;
/// What must not stand in a path as it is. A `%` is left alone: it is how a `/` in a key is written.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Calls a handler and prints what it returns.
pub(crate) async fn call(arguments: CallArguments) -> ExitCode {
    let path = path_of(&arguments.request.target);
    ask(&arguments.server.ingress, &path, &arguments.request, print_body).await
}

/// Hands a call over and prints its id.
pub(crate) async fn send(arguments: SendArguments) -> ExitCode {
    let mut path = format!("{}/send", path_of(&arguments.request.target));
    if let Some(delay) = &arguments.delay {
        path.push_str("?delay=");
        path.extend(utf8_percent_encode(delay, NON_ALPHANUMERIC));
    }
    ask(&arguments.server.ingress, &path, &arguments.request, print_id).await
}

/// Waits for a call that was sent, and prints what it returned.
pub(crate) async fn attach(arguments: AttachArguments) -> ExitCode {
    let path = format!("/restate/attach/{}", utf8_percent_encode(&arguments.id, NON_ALPHANUMERIC));
    let request = client::address(&arguments.server.ingress, &path).map(|uri| {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri;
        request
    });
    finish(request, print_body).await
}

async fn ask(
    server: &str,
    path: &str,
    arguments: &RequestArguments,
    print: fn(&Answer) -> std::io::Result<()>,
) -> ExitCode {
    let request = client::address(server, path).and_then(|uri| build(uri, arguments));
    finish(request, print).await
}

fn path_of(target: &str) -> String {
    format!("/{}", utf8_percent_encode(target, NOT_IN_PATH))
}

fn build(uri: Uri, arguments: &RequestArguments) -> Result<Request<Full<Bytes>>, ClientError> {
    let body = read_body(arguments.body.as_deref())?;
    let typed = body.is_some();
    let mut request = Request::new(Full::new(body.unwrap_or_default()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    if typed {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let key = arguments.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str()));
    let given = arguments.header.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in key.chain(given) {
        let malformed = || ClientError::Malformed(format!("header `{name}: {value}` is malformed"));
        let name = HeaderName::try_from(name).map_err(|_| malformed())?;
        let value = HeaderValue::from_str(value).map_err(|_| malformed())?;
        headers.insert(name, value);
    }
    Ok(request)
}

fn read_body(body: Option<&str>) -> Result<Option<Bytes>, ClientError> {
    match body {
        None => Ok(None),
        Some("-") => read_stdin().map(Some),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => read_file(file).map(Some),
            None => Ok(Some(text.to_owned().into())),
        },
    }
}

/// Reads what is piped in.
pub(crate) fn read_stdin() -> Result<Bytes, ClientError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    read.map_err(|error| unreadable("standard input", &error))?;
    Ok(bytes.into())
}

/// Reads a file that an argument names.
pub(crate) fn read_file(file: &str) -> Result<Bytes, ClientError> {
    std::fs::read(file).map(Bytes::from).map_err(|error| unreadable(file, &error))
}

fn unreadable(what: &str, error: &std::io::Error) -> ClientError {
    ClientError::Malformed(format!("failed to read {what}: {error}"))
}

async fn finish(
    request: Result<Request<Full<Bytes>>, ClientError>,
    print: fn(&Answer) -> std::io::Result<()>,
) -> ExitCode {
    let answer = match request {
        Ok(request) => client::send(request).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.status.is_success() => match print(&answer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(format_args!("everlog: failed to print the answer: {error}"));
                ExitCode::FAILURE
            }
        },
        Ok(answer) => explain(&answer),
        Err(error) => {
            complain(format_args!("everlog: {error}"));
            match error {
                ClientError::Broken { .. } => ExitCode::from(NOT_KNOWN),
                ClientError::Malformed(_) | ClientError::Connect { .. } => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints a body as it is, and ends its line.
fn print_body(answer: &Answer) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(&answer.body)?;
    if !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints the id of a call that was accepted.
fn print_id(answer: &Answer) -> std::io::Result<()> {
    let id = answer.headers.get("x-restate-id").and_then(|id| id.to_str().ok());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", id.unwrap_or_default())
}

/// Says why there is no result.
fn explain(answer: &Answer) -> ExitCode {
    let status = answer.status.as_u16();
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let field = |name: &str| json.get(name).and_then(Value::as_str);
    let message = field("message")
        .map_or_else(|| String::from_utf8_lossy(&answer.body).into_owned(), str::to_owned);
    if field("source") == Some("invocation") {
        complain(format_args!("everlog: the function failed with {status}: {message}"));
        return ExitCode::from(FUNCTION_FAILED);
    }
    let code = field("error").unwrap_or("unknown-error");
    complain(format_args!("everlog: {message} [{status} {code}]"));
    match code {
        "outcome-unknown" | "partition-stopped" | "shutting-down" => ExitCode::from(NOT_KNOWN),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(body: Option<&str>) -> RequestArguments {
        RequestArguments {
            target: "Greeter/greet".into(),
            body: body.map(str::to_owned),
            idempotency_key: Some("k1".into()),
            header: vec![("Content-Type".into(), "text/plain".into())],
        }
    }

    #[test]
    fn a_key_is_encoded_for_the_path() {
        assert_eq!(path_of("Cart/an n€/add"), "/Cart/an%20n%E2%82%AC/add");
        assert_eq!(path_of("Cart/a%2Fb/add"), "/Cart/a%2Fb/add");
    }

    #[test]
    fn a_request_carries_what_was_asked_for() {
        let uri = client::address("http://x", "/Greeter/greet").unwrap();
        let request = build(uri.clone(), &arguments(Some("1"))).unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()["idempotency-key"], "k1");
        assert_eq!(request.headers()["content-type"], "text/plain");
        let plain = RequestArguments { header: vec![], ..arguments(Some("1")) };
        assert_eq!(
            build(uri.clone(), &plain).unwrap().headers()["content-type"],
            "application/json"
        );
        let empty = RequestArguments { header: vec![], ..arguments(None) };
        assert!(!build(uri.clone(), &empty).unwrap().headers().contains_key("content-type"));
        let malformed =
            RequestArguments { header: vec![("a b".into(), "c".into())], ..arguments(None) };
        assert!(build(uri, &malformed).is_err());
    }

    #[test]
    fn a_body_comes_from_a_file_or_the_command_line() {
        assert_eq!(read_body(None).unwrap(), None);
        assert_eq!(read_body(Some("{}")).unwrap().unwrap(), "{}");
        let file = format!("@{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(read_body(Some(&file)).unwrap().unwrap().starts_with(b"[package]"));
        assert!(read_body(Some("@no/such/file")).is_err());
    }
}
