//! Scopes and limit keys, which a call may carry: what they may look like.
//!
//! A scope parts calls with equal idempotency keys from each other. It parts neither the state nor the
//! keys of objects. A limit key is kept and shown; nothing is limited by it yet.

use crate::limits::{LIMIT_KEY_LEVELS_MAX, SCOPE_BYTES_MAX};

/// What is wrong with a scope or a limit key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It has no bytes, too many, or others than allowed.
    #[error(
        "{what} {text:?} is malformed: each part has 1 to {SCOPE_BYTES_MAX} of the letters a–z, A–Z, \
         0–9, '_', '.' and '-'"
    )]
    Malformed {
        /// Which of them.
        what: &'static str,
        /// How it begins.
        text: String,
    },
    /// A limit key has too many levels.
    #[error("limit key {text:?} has more than {LIMIT_KEY_LEVELS_MAX} levels")]
    TooDeep {
        /// How it begins.
        text: String,
    },
    /// A limit key means nothing outside of a scope.
    #[error("a limit key needs a scope, and none is given")]
    NoScope,
}

/// Checks the scope and the limit key of a call.
pub fn check_scope(scope: Option<&str>, limit_key: Option<&str>) -> Result<(), ScopeError> {
    if let Some(scope) = scope {
        check_part("scope", scope, scope)?;
    }
    let Some(limit_key) = limit_key else { return Ok(()) };
    if scope.is_none() {
        return Err(ScopeError::NoScope);
    }
    for (level, part) in limit_key.split('/').enumerate() {
        if level == LIMIT_KEY_LEVELS_MAX {
            return Err(ScopeError::TooDeep { text: beginning_of(limit_key) });
        }
        check_part("limit key", part, limit_key)?;
    }
    Ok(())
}

fn check_part(what: &'static str, part: &str, whole: &str) -> Result<(), ScopeError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=SCOPE_BYTES_MAX).contains(&part.len()) && part.bytes().all(allowed) {
        return Ok(());
    }
    Err(ScopeError::Malformed { what, text: beginning_of(whole) })
}

/// As much of a text as goes into a sentence.
fn beginning_of(text: &str) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(2 * SCOPE_BYTES_MAX + 2));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_up_to_36_plain_letters() {
        let longest = "s".repeat(SCOPE_BYTES_MAX);
        for scope in ["a", "Tenant_3.eu-1", &longest] {
            assert_eq!(check_scope(Some(scope), None), Ok(()), "{scope}");
        }
        let longer = "s".repeat(SCOPE_BYTES_MAX + 1);
        for scope in ["", "a b", "a/b", "ä", &longer] {
            let refused = check_scope(Some(scope), None);
            assert!(matches!(refused, Err(ScopeError::Malformed { what: "scope", .. })), "{scope}");
        }
    }

    #[test]
    fn a_limit_key_has_one_or_two_levels_within_a_scope() {
        let longest = format!("{0}/{0}", "l".repeat(SCOPE_BYTES_MAX));
        for key in ["gold", "gold/eu", &longest] {
            assert_eq!(check_scope(Some("a"), Some(key)), Ok(()), "{key}");
        }
        assert_eq!(check_scope(None, Some("gold")), Err(ScopeError::NoScope));
        for key in ["", "/", "gold/", "/eu", "g d"] {
            let refused = check_scope(Some("a"), Some(key));
            assert!(
                matches!(refused, Err(ScopeError::Malformed { what: "limit key", .. })),
                "{key}"
            );
        }
        let refused = check_scope(Some("a"), Some("a/b/c"));
        assert_eq!(refused, Err(ScopeError::TooDeep { text: "a/b/c".into() }));
    }
}
