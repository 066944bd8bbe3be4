//! What is not shown to those who look after a server: payloads of services that say so.
//!
//! **Invariant:** of what a function says of its failure nothing is left but the code in front, which
//! is Everlog's own.

use crate::Header;
use crate::metadata::{Handler, Metadata, Service};

/// The label by which a service, or a handler, says that its payloads are not to be shown. Its value
/// is `true`.
pub const REDACTED_LABEL: &str = "everlog.redacted";
/// What stands where something is left out.
pub const REDACTED: &str = "(redacted)";

impl Metadata {
    /// Whether any version of a service says that payloads of a handler, or of all without one, are
    /// not to be shown.
    #[must_use]
    pub fn is_redacted(&self, service: &str, handler: Option<&str>) -> bool {
        let versions = self.deployments.values().flat_map(|deployment| &deployment.services);
        versions.filter(|version| version.name == service).any(|version| of(version, handler))
    }
}

fn of(service: &Service, handler: Option<&str>) -> bool {
    let is_of = |of: &&Handler| handler.is_none_or(|name| of.name == name);
    says_so(&service.metadata)
        || service.handlers.iter().filter(is_of).any(|of| says_so(&of.metadata))
}

fn says_so(labels: &[Header]) -> bool {
    labels.iter().any(|label| label.key == REDACTED_LABEL && label.value == "true")
}

/// What is left of the message of a failure.
#[must_use]
pub fn redacted(message: &str) -> String {
    let code = message.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match code {
        Some((code, _)) if is_code(code) => format!("[{code}] {REDACTED}"),
        Some(_) | None => REDACTED.to_owned(),
    }
}

/// `RT` and digits.
fn is_code(code: &str) -> bool {
    let digits = code.strip_prefix("RT").unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_message_but_its_code() {
        for (message, left) in [
            ("[RT0007] card 4711 was declined", "[RT0007] (redacted)"),
            ("[4711] card", "(redacted)"),
            ("[RT4711x] card", "(redacted)"),
            ("[RT0007", "(redacted)"),
            ("card 4711", "(redacted)"),
            ("", "(redacted)"),
        ] {
            assert_eq!(redacted(message), left, "{message}");
        }
    }
}
