//! What the program says to people, a line at a time.
//!
//! Its invariant: nobody has to listen. Who reads may have gone away, and a line that cannot be
//! written must not keep the program from ending in good order; `println!` would panic.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line to standard output.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error: what went wrong.
pub(crate) fn complain(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
