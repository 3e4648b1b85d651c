//! The order in which the units freeze.

use crate::UnknownName;
use strum::{Display, EnumCount, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// The order in which the units freeze. Units are numbered from input to output.
///
/// Source: *paper*. Forward is the method; global and reverse are its ablations.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumCount,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Order {
    /// One unit after the other, from input to output. Everything between the freezing unit and the loss is open.
    #[default]
    Forward,
    /// All units at once, in one window that spans the schedule.
    Global,
    /// One unit after the other, from output to input.
    Reverse,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; Self::COUNT] = *<Self as VariantArray>::VARIANTS.first_chunk().unwrap();

    /// The name that [`FromStr`](core::str::FromStr) reads and [`Display`](core::fmt::Display) writes.
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn unknown(given: &str) -> UnknownName {
        UnknownName::new("order", <Self as VariantNames>::VARIANTS, given)
    }
}
