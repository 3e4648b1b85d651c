#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod curve;
mod mask;
mod name;
mod order;
mod plan;
mod rate;
mod refresh;
mod schedule;
mod window;

pub use curve::Curve;
pub use mask::{Mask, MaskError};
pub use name::UnknownName;
pub use order::Order;
pub use plan::{Phase, Plan, PlanError, PlanSpec};
pub use rate::{RateError, RefreshRate};
pub use refresh::Refreshed;
pub use schedule::Schedule;
