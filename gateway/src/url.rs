//! Paths and query strings, taken apart and percent-decoded.
//!
//! Its invariant: what cannot be read is refused, never guessed at.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// Why a path or a query cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// A `%` stands alone.
    #[error("each `%` must be followed by two hexadecimal digits; write a `%` itself as `%25`")]
    Escape,
    /// The bytes are no text.
    #[error("it is not UTF-8 once percent-decoded")]
    Text,
}

/// Splits a path at slashes, then decodes: a slash inside a key is written `%2F`.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, UrlError> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect()
}

/// Reads a query string: all its names, each with all its values. A `+` stands for a space, as HTML
/// forms write it.
pub(crate) fn query(query: &str) -> Result<BTreeMap<String, Vec<String>>, UrlError> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |part: &str| decode(&part.replace('+', " "));
        values.entry(text(name)?).or_default().push(text(value)?);
    }
    Ok(values)
}

/// Reads the values of one name of a query string; where they cannot be read, tells the text and why.
/// What else the query says is the function's own matter.
pub(crate) fn parameter(text: Option<&str>, name: &str) -> Result<Vec<String>, (String, UrlError)> {
    let is_it = |pair: &&str| pair.split('=').next() == Some(name);
    let own: Vec<&str> = text.unwrap_or_default().split('&').filter(is_it).collect();
    let own = own.join("&");
    let read = query(&own).map(|mut values| values.remove(name).unwrap_or_default());
    read.map_err(|error| (own, error))
}

fn decode(text: &str) -> Result<String, UrlError> {
    for after in text.split('%').skip(1) {
        let digits =
            after.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !digits {
            return Err(UrlError::Escape);
        }
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| UrlError::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let read = query("a=1&b=x+y%2Bz&a=&&c").unwrap();
        let shown: Vec<_> = read.iter().map(|(name, values)| (&**name, values.join("|"))).collect();
        assert_eq!(shown, [("a", "1|".into()), ("b", "x y+z".into()), ("c", String::new())]);
        assert_eq!(query("a=%zz"), Err(UrlError::Escape));
        assert_eq!(query("%ff=1"), Err(UrlError::Text));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".*") {
            let _ = (segments(&text), query(&text));
        }
    }
}
