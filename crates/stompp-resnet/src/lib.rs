#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod architecture;
mod block;
mod model;

pub use architecture::{Architecture, ArchitectureError, Stem};
pub use model::{Model, UnknownModel};
