//! Does a body fit the rule that its handler's manifest gives?

use everlog_log_schema::metadata::InputRule;

use super::error::IngressError;

/// Checks a body and its content type against a handler's rule.
pub(crate) fn check(
    rule: &InputRule,
    content_type: Option<&str>,
    body_is_empty: bool,
) -> Result<(), IngressError> {
    match (&rule.content_type, body_is_empty) {
        (_, true) if rule.required => Err(IngressError::BodyRequired),
        (_, true) => Ok(()),
        (None, false) => Err(IngressError::BodyUnexpected),
        (Some(expected), false) if matches(expected, content_type) => Ok(()),
        (Some(expected), false) => Err(IngressError::ContentType {
            expected: expected.clone(),
            found: content_type.map_or("none".into(), |found| format!("`{found}`")),
        }),
    }
}

/// Whether a content type is among those of an `Accept`-style list. A body without a content type
/// fits only where any does.
fn matches(expected: &str, found: Option<&str>) -> bool {
    expected.split(',').map(essence).any(|pattern| {
        let Some(found) = found.map(essence) else {
            return pattern == "*/*";
        };
        match pattern.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => found.split('/').next() == Some(kind),
            None => pattern == found,
        }
    })
}

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        required: bool,
        expected: Option<&str>,
        found: Option<&str>,
        empty: bool,
    ) -> &'static str {
        let rule =
            InputRule { required, content_type: expected.map(str::to_owned), json_schema: None };
        check(&rule, found, empty).map_or_else(|error| error.code().0, |()| "ok")
    }

    #[test]
    fn bodies_and_content_types_must_fit_the_rule() {
        let json = Some("application/json");
        for (required, expected, found, empty, outcome) in [
            (false, Some("*/*"), None, false, "ok"),
            (false, Some("*/*"), None, true, "ok"),
            (true, json, json, false, "ok"),
            (true, json, Some("Application/JSON; charset=utf-8"), false, "ok"),
            (true, json, None, true, "body-required"),
            (true, json, json, true, "body-required"),
            (true, json, None, false, "content-type-mismatch"),
            (true, json, Some("text/plain"), false, "content-type-mismatch"),
            (false, json, Some("text/plain"), true, "ok"),
            (true, Some("text/*"), Some("text/csv"), false, "ok"),
            (true, Some("text/*"), Some("texture/csv"), false, "content-type-mismatch"),
            (true, Some("text/csv, application/json;q=0.5"), json, false, "ok"),
            (false, None, None, true, "ok"),
            (false, None, json, false, "body-unexpected"),
        ] {
            let found_outcome = verdict(required, expected, found, empty);
            assert_eq!(found_outcome, outcome, "{required} {expected:?} {found:?} {empty}");
        }
    }
}
