//! The training loop.
#![forbid(unsafe_code)]

pub mod callback;
pub mod config;
mod error;
mod files;
mod result;

pub use callback::Callback;
pub use config::RunConfig;
pub use error::TrainError;
pub use result::{Evaluation, RunResult};
