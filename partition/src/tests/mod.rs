//! Scripts and laws.
