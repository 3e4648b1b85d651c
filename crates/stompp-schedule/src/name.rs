//! Names of curves and orders as users write them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A name that no curve (or order) has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// What was asked for: `"curve"` or `"order"`.
    pub kind: &'static str,
    /// The name that was given.
    pub given: String,
    /// The names that exist.
    pub known: Vec<&'static str>,
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

/// The one of `all` whose name is `given`, exactly.
pub(crate) fn find<T: Copy>(
    kind: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    given: &str,
) -> Result<T, UnknownName> {
    all.iter()
        .copied()
        .find(|&item| name(item) == given)
        .ok_or_else(|| UnknownName {
            kind,
            given: given.into(),
            known: all.iter().map(|&item| name(item)).collect(),
        })
}
