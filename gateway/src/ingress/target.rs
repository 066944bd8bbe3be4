//! Finds out whom a path calls, with what is registered now.

use everlog_log_schema::metadata::{Deployment, Handler, Metadata, Service, ServiceKind};
use everlog_log_schema::{Target, limits};

use super::error::{Hint, IngressError};
use super::paths::Verb;

/// A call's target, and what is registered about it.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    /// Whom to call.
    pub(crate) target: Target,
    /// Whether the caller waits.
    pub(crate) verb: Verb,
    /// Its handler.
    pub(crate) handler: &'a Handler,
}

/// Resolves the segments of a call or send. The ingress refuses what is private.
pub(crate) fn resolve<'a>(
    metadata: &'a Metadata,
    verb: Option<Verb>,
    segments: &[String],
) -> Result<Resolved<'a>, IngressError> {
    let Some((name, rest)) = segments.split_first() else {
        return Err(IngressError::MalformedPath("it names no service".into()));
    };
    let Some((_, service)) = metadata.service(name) else {
        return Err(service_not_found(metadata, name));
    };
    let keyed = service.kind.is_keyed();
    let (key, handler_name, verb) = match (keyed, verb, rest) {
        (false, Some(verb), [handler]) => (None, handler, verb),
        (true, Some(verb), [key, handler]) => (Some(key), handler, verb),
        (false, None, [handler]) => (None, handler, Verb::Call),
        (true, None, [key, handler]) => (Some(key), handler, Verb::Call),
        (false, None, [handler, send]) if send == "send" => (None, handler, Verb::Send),
        (true, None, [key, handler, send]) if send == "send" => (Some(key), handler, Verb::Send),
        (false, ..) => {
            return Err(IngressError::MalformedPath(format!(
                "`{name}` is a plain service: call /{name}/{{handler}}"
            )));
        }
        (true, ..) => {
            let what = match service.kind {
                ServiceKind::Workflow => "workflow",
                ServiceKind::Service | ServiceKind::VirtualObject => "virtual object",
            };
            return Err(IngressError::MalformedPath(format!(
                "`{name}` is a {what}: call /{name}/{{key}}/{{handler}}"
            )));
        }
    };
    let handler = find_handler(service, handler_name)?;
    if service.ingress_private || handler.ingress_private {
        return Err(IngressError::HandlerPrivate {
            service: name.clone(),
            handler: handler_name.clone(),
        });
    }
    check_key(key)?;
    let target = Target { service: name.clone(), key: key.cloned(), handler: handler.name.clone() };
    Ok(Resolved { target, verb, handler })
}

/// Reads service, perhaps key, handler and idempotency key: their number tells which are there, so
/// that a result can still be asked for when its service is no longer registered.
pub(crate) fn keyed_target(names: &[String]) -> Result<(Target, String), IngressError> {
    let (service, key, handler, idempotency_key) = match names {
        [service, handler, idempotency_key] => (service, None, handler, idempotency_key),
        [service, key, handler, idempotency_key] => (service, Some(key), handler, idempotency_key),
        _ => {
            return Err(IngressError::MalformedPath(
                "write /restate/invocation/{id}/…, or {service}/{handler}/{idempotency key}, or \
                 {object}/{key}/{handler}/{idempotency key}"
                    .into(),
            ));
        }
    };
    check_key(key)?;
    let target = Target { service: service.clone(), key: key.cloned(), handler: handler.clone() };
    Ok((target, idempotency_key.clone()))
}

/// Finds the content-type rule of whoever gave an answer, if it is still registered.
pub(crate) fn handler_of<'a>(metadata: &'a Metadata, target: &Target) -> Option<&'a Handler> {
    let (_, service): (&Deployment, &Service) = metadata.service(&target.service)?;
    service.handlers.iter().find(|handler| handler.name == target.handler)
}

fn check_key(key: Option<&String>) -> Result<(), IngressError> {
    match key {
        Some(key) if key.len() > limits::KEY_BYTES_MAX => {
            Err(IngressError::KeyTooLong { what: "object key" })
        }
        Some(_) | None => Ok(()),
    }
}

fn find_handler<'a>(service: &'a Service, name: &str) -> Result<&'a Handler, IngressError> {
    service.handlers.iter().find(|handler| handler.name == name).ok_or_else(|| {
        IngressError::HandlerNotFound {
            service: service.name.clone(),
            handler: shortened(name),
            hint: closest(name, service.handlers.iter().map(|handler| handler.name.as_str())),
        }
    })
}

fn service_not_found(metadata: &Metadata, name: &str) -> IngressError {
    IngressError::ServiceNotFound {
        service: shortened(name),
        hint: closest(name, metadata.services.keys().map(String::as_str)),
    }
}

/// A name as it is repeated in an error: what is no name may be long.
pub(super) fn shortened(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    name.chars().take(CHARS_MAX).collect()
}

/// Finds the name that was most likely meant: equal but for case, or two edits away at most.
fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Hint {
    const EDITS_MAX: usize = 2;
    if wanted.len() > limits::NAME_BYTES_MAX {
        return Hint::default();
    }
    let wanted = wanted.to_lowercase();
    let best = names
        .map(|name| (edits(&wanted, &name.to_lowercase()), name))
        .filter(|&(edits, name)| edits <= EDITS_MAX && edits < name.len())
        .min();
    Hint(best.map(|(_, name)| name.to_owned()))
}

/// Counts the insertions, deletions and replacements that make one word of the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn target(verb: Option<Verb>, path: &str) -> Result<(Verb, Target), IngressError> {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let metadata = fixtures::metadata();
        resolve(&metadata, verb, &segments).map(|resolved| (resolved.verb, resolved.target))
    }

    fn plain(handler: &str) -> Target {
        Target { service: "Greeter".into(), key: None, handler: handler.into() }
    }

    fn keyed(key: &str, handler: &str) -> Target {
        Target { service: "Cart".into(), key: Some(key.into()), handler: handler.into() }
    }

    #[test]
    fn the_kind_of_the_service_tells_key_from_handler() {
        assert_eq!(target(None, "Greeter/greet").unwrap(), (Verb::Call, plain("greet")));
        assert_eq!(target(None, "Greeter/greet/send").unwrap(), (Verb::Send, plain("greet")));
        assert_eq!(target(None, "Cart/ann/add").unwrap(), (Verb::Call, keyed("ann", "add")));
        assert_eq!(target(None, "Cart/ann/add/send").unwrap(), (Verb::Send, keyed("ann", "add")));
        assert_eq!(
            target(Some(Verb::Send), "Cart/send/add").unwrap(),
            (Verb::Send, keyed("send", "add"))
        );
        assert_eq!(
            target(Some(Verb::Call), "Greeter/greet").unwrap(),
            (Verb::Call, plain("greet"))
        );
    }

    #[test]
    fn a_missing_or_superfluous_key_is_explained() {
        for (verb, path) in [
            (None, "Cart/add"),
            (None, "Cart"),
            (None, "Greeter"),
            (None, "Greeter/ann/greet"),
            (None, "Greeter/greet/send/send"),
            (Some(Verb::Call), "Greeter/greet/send"),
            (Some(Verb::Send), "Cart/add"),
        ] {
            let error = target(verb, path).unwrap_err();
            assert!(matches!(error, IngressError::MalformedPath(_)), "{path}: {error}");
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_closest() {
        let error = target(None, "Greter/greet").unwrap_err().to_string();
        assert!(error.contains("did you mean `Greeter`?"), "{error}");
        let error = target(None, "Greeter/gret").unwrap_err().to_string();
        assert!(error.contains("did you mean `greet`?"), "{error}");
        let error = target(None, "Elephant/greet").unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn what_is_private_is_refused() {
        let error = target(None, "Greeter/secret").unwrap_err();
        assert!(matches!(error, IngressError::HandlerPrivate { .. }), "{error}");
    }

    #[test]
    fn an_object_key_has_a_limit() {
        let longest = "k".repeat(limits::KEY_BYTES_MAX);
        assert!(target(None, &format!("Cart/{longest}/add")).is_ok());
        let error = target(None, &format!("Cart/{longest}k/add")).unwrap_err();
        assert_eq!(error, IngressError::KeyTooLong { what: "object key" });
    }

    #[test]
    fn an_invocation_is_found_by_the_names_of_its_call() {
        let names = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            keyed_target(&names("Greeter/greet/k1")).unwrap(),
            (plain("greet"), "k1".into())
        );
        assert_eq!(
            keyed_target(&names("Cart/ann/add/k1")).unwrap(),
            (keyed("ann", "add"), "k1".into())
        );
        assert!(keyed_target(&names("Greeter/greet")).is_err());
        assert!(keyed_target(&names("a/b/c/d/e")).is_err());
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("abc", "bc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }
}
