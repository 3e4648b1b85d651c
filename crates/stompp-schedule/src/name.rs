//! The error for an unknown name of a curve, an order or another choice.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A name is not one of the names of a curve, an order or another choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What the name should have been, such as `"curve"`.
    pub kind: &'static str,
    /// The unknown name.
    pub given: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// Creates the error: `given` is not among the names `known` of a `kind`.
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
