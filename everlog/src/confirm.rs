//! Asks before something cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

/// Whether the user wants it: `yes` was given, or is typed. Where nobody can type, nothing is done.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<bool, String> {
    if yes {
        return Ok(true);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(format!("{question} Nobody can answer here: add --yes"));
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "{question} [y/N] ");
    let _ = out.flush();
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| format!("failed to read: {error}"))?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
