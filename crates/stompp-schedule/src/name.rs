//! The error for a name that no curve, order or other choice has.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A name that no curve, order or other choice has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What was asked for, such as `"curve"`.
    pub kind: &'static str,
    /// The name that was given.
    pub given: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// The error for `given`, where a `kind` has one of the names `known`.
    pub fn new(kind: &'static str, known: &[&'static str], given: &str) -> Self {
        Self {
            kind,
            given: given.into(),
            known: known.into(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown {} `{}`, expected one of: {}",
            self.kind,
            self.given,
            self.known.join(", ")
        )
    }
}

impl core::error::Error for UnknownName {}
