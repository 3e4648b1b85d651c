//! In which order the units freeze.

use crate::name::{self, UnknownName};
use core::{fmt, str::FromStr};

/// Which unit's window comes when. Units are numbered from input to output.
///
/// Source: *paper*. Forward is the method; global and reverse are its ablations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// One unit after the other, from input to output: between the loss and the unit that is still learning, everything
    /// is open.
    #[default]
    Forward,
    /// All units at once, in one window that spans the schedule.
    Global,
    /// One unit after the other, from output to input.
    Reverse,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Global, Self::Reverse];

    /// The name that [`FromStr`] reads and [`Display`](fmt::Display) writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Global => "global",
            Self::Reverse => "reverse",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Order {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        name::find("order", &Self::ALL, Self::name, given)
    }
}
