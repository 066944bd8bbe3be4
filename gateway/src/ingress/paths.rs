//! The paths of the ingress.
//!
//! A path is parsed without knowing what is registered. Where only the service's kind tells what a
//! segment means (is it a key or a handler?), the segments are handed on as they are.

use super::error::IngressError;
use crate::url;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The health of this gateway.
    Health,
    /// A call or a send: service, perhaps key, handler, and in the classic form perhaps `send`.
    Invoke {
        /// What the path says, or none in the classic form.
        verb: Option<Verb>,
        /// The scope that the path is in, if it is in one.
        scope: Option<String>,
        /// What follows.
        segments: Vec<String>,
    },
    /// A question about the invocation of this id.
    ById(Question, String),
    /// A question about an invocation named by service, perhaps key, handler and idempotency key.
    ByKey(Question, Vec<String>),
    /// A question about the run of a workflow.
    ByWorkflow {
        /// Which question.
        question: Question,
        /// The workflow.
        name: String,
        /// Its key.
        key: String,
    },
    /// A question about the invocation that the body names.
    ByBody(Question),
    /// Something for whoever waits for the awakeable of this id.
    Awakeable(Settling, String),
}

/// Whether a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It waits for the outcome.
    Call,
    /// It only hands the call over.
    Send,
}

/// A question about an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Its outcome, once it has one.
    Attach,
    /// Its outcome, if it has one.
    Output,
    /// Its id.
    Lookup,
}

/// How an awakeable ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settling {
    /// With a value.
    Resolve,
    /// With a failure.
    Reject,
}

/// Parses a path, as the request line has it.
pub(crate) fn parse(path: &str) -> Result<Route, IngressError> {
    let segments = url::segments(path);
    let segments = segments.map_err(|error| IngressError::MalformedPath(error.to_string()))?;
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["" | "openapi", ..] | [] => Err(IngressError::UnknownPath),
        ["restate", reserved @ ..] => parse_reserved(reserved),
        _ if names.contains(&"") => Err(IngressError::MalformedPath(
            "it has an empty segment: write each of service, key and handler".into(),
        )),
        _ => Ok(Route::Invoke { verb: None, scope: None, segments }),
    }
}

fn parse_reserved(segments: &[&str]) -> Result<Route, IngressError> {
    if segments.contains(&"") {
        return Err(IngressError::MalformedPath("it has an empty segment".into()));
    }
    match segments {
        ["health"] => Ok(Route::Health),
        ["call", target @ ..] => Ok(invoke(Verb::Call, None, target)),
        ["send", target @ ..] => Ok(invoke(Verb::Send, None, target)),
        ["scope", scope, "call", target @ ..] => Ok(invoke(Verb::Call, Some(scope), target)),
        ["scope", scope, "send", target @ ..] => Ok(invoke(Verb::Send, Some(scope), target)),
        ["attach"] => Ok(Route::ByBody(Question::Attach)),
        ["output"] => Ok(Route::ByBody(Question::Output)),
        ["lookup"] => Ok(Route::ByBody(Question::Lookup)),
        ["attach", id] | ["invocation", id, "attach"] => {
            Ok(Route::ById(Question::Attach, (*id).into()))
        }
        ["output", id] | ["invocation", id, "output"] => {
            Ok(Route::ById(Question::Output, (*id).into()))
        }
        ["invocation", names @ .., "attach"] => Ok(Route::ByKey(Question::Attach, owned(names))),
        ["invocation", names @ .., "output"] => Ok(Route::ByKey(Question::Output, owned(names))),
        ["workflow", name, key, "attach"] => Ok(of_workflow(Question::Attach, name, key)),
        ["workflow", name, key, "output"] => Ok(of_workflow(Question::Output, name, key)),
        ["awakeables" | "a", id, "resolve"] => {
            Ok(Route::Awakeable(Settling::Resolve, (*id).into()))
        }
        ["awakeables" | "a", id, "reject"] => Ok(Route::Awakeable(Settling::Reject, (*id).into())),
        _ => Err(IngressError::UnknownPath),
    }
}

fn invoke(verb: Verb, scope: Option<&str>, target: &[&str]) -> Route {
    Route::Invoke { verb: Some(verb), scope: scope.map(str::to_owned), segments: owned(target) }
}

fn of_workflow(question: Question, name: &str, key: &str) -> Route {
    Route::ByWorkflow { question, name: name.into(), key: key.into() }
}

fn owned(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classic(segments: &[&str]) -> Route {
        Route::Invoke { verb: None, scope: None, segments: owned(segments) }
    }

    #[test]
    fn both_families_of_paths_are_understood() {
        let cases = [
            ("/Greeter/greet", classic(&["Greeter", "greet"])),
            ("/Cart/ann/add/send", classic(&["Cart", "ann", "add", "send"])),
            ("/restate/call/Greeter/greet", invoke(Verb::Call, None, &["Greeter", "greet"])),
            ("/restate/send/Cart/ann/add", invoke(Verb::Send, None, &["Cart", "ann", "add"])),
            (
                "/restate/scope/eu%2D1/call/Greeter/greet",
                invoke(Verb::Call, Some("eu-1"), &["Greeter", "greet"]),
            ),
            (
                "/restate/scope/eu/send/Cart/ann/add",
                invoke(Verb::Send, Some("eu"), &["Cart", "ann", "add"]),
            ),
            ("/restate/attach/inv_1x", Route::ById(Question::Attach, "inv_1x".into())),
            ("/restate/output/inv_1x", Route::ById(Question::Output, "inv_1x".into())),
            ("/restate/invocation/inv_1x/attach", Route::ById(Question::Attach, "inv_1x".into())),
            ("/restate/invocation/inv_1x/output", Route::ById(Question::Output, "inv_1x".into())),
            (
                "/restate/invocation/Greeter/greet/k1/attach",
                Route::ByKey(Question::Attach, owned(&["Greeter", "greet", "k1"])),
            ),
            (
                "/restate/invocation/Cart/ann/add/k1/output",
                Route::ByKey(Question::Output, owned(&["Cart", "ann", "add", "k1"])),
            ),
            ("/restate/workflow/W/a%2Fb/attach", of_workflow(Question::Attach, "W", "a/b")),
            ("/restate/workflow/W/k/output", of_workflow(Question::Output, "W", "k")),
            ("/restate/attach", Route::ByBody(Question::Attach)),
            ("/restate/output", Route::ByBody(Question::Output)),
            ("/restate/lookup", Route::ByBody(Question::Lookup)),
            (
                "/restate/awakeables/sign_1x/resolve",
                Route::Awakeable(Settling::Resolve, "sign_1x".into()),
            ),
            ("/restate/a/sign_1x/reject", Route::Awakeable(Settling::Reject, "sign_1x".into())),
            ("/restate/health", Route::Health),
        ];
        for (path, route) in cases {
            assert_eq!(parse(path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn a_key_may_hold_any_character_once_encoded() {
        let route = parse("/Cart/a%2Fb%20%E2%82%AC%25/add").unwrap();
        assert_eq!(route, classic(&["Cart", "a/b €%", "add"]));
    }

    #[test]
    fn a_handler_may_be_called_like_a_reserved_word() {
        assert_eq!(parse("/Cart/attach/output").unwrap(), classic(&["Cart", "attach", "output"]));
    }

    #[test]
    fn malformed_and_unknown_paths_are_told_apart() {
        for path in [
            "/Cart//add",
            "/Greeter/greet/",
            "/Greeter/%zz",
            "/Greeter/%E2%82",
            "/Greeter/%2",
            "/Greeter/%ff",
            "/restate/attach/",
        ] {
            assert!(matches!(parse(path), Err(IngressError::MalformedPath(_))), "{path}");
        }
        for path in [
            "/",
            "",
            "/openapi",
            "/openapi/x",
            "/restate",
            "/restate/nothing",
            "/restate/invocation",
            "/restate/awakeables/sign_1x",
            "/restate/a/sign_1x/forget",
            "/restate/scope/eu",
            "/restate/scope/eu/Greeter/greet",
            "/restate/workflow/W/k",
            "/restate/workflow/W/k/run/attach",
        ] {
            assert_eq!(parse(path), Err(IngressError::UnknownPath), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in ".*") {
            let _ = parse(&path);
        }
    }
}
