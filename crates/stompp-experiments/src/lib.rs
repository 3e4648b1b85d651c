#![doc = include_str!("../README.md")]
//!
//! Invariants:
//! - **A table is made from run directories or the archive, never from memory.** A finished run is never repeated or changed.
//! - **A sweep that was killed and continued ends in the same `results.json`**, byte for byte.
//! - **A published number is in one place** (`builtin/published.rs`). A number that is not known shows as unknown.
//!
//! Layers. Each layer uses only the layers above it:
//!
//! | layer | modules |
//! |---|---|
//! | configuration of runs | [`Setup`] and [`Preset`], [`Override`], [`Row`], [`RunSpec`] |
//! | results of runs | `parent`, `run_dir`, [`Archive`], `run_index` |
//! | statistics | [`Sample`], [`ExperimentResults`], [`ClaimTest`] |
//! | experiments | [`Experiment`]; [`builtin`] |
//! | output files | `results_file`, `report` |
//! | actions | `train`, [`Sweep`], [`Document`] |
//!
//! Functions return [`ExperimentError`]. Its messages name the run, file or folder at fault.
//!
//! This crate reads no command line; only the reason for which ImageNet's runs are skipped names an option of `cargo xtask reproduce`. It
//! prints only the progress of a sweep.
#![forbid(unsafe_code)]

mod archive;
pub mod builtin;
mod claim;
mod divergence;
mod document;
mod duration;
mod error;
mod experiment;
mod experiment_results;
mod files;
mod overrides;
mod parent;
mod recipe;
mod report;
mod results_file;
mod row;
mod run_dir;
mod run_index;
mod run_spec;
mod setup;
mod statistics;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod train;

pub use archive::{AddedRuns, Archive, EpochPoint, GradientPoint};
pub use claim::{ClaimOutcome, ClaimTest};
pub use divergence::Divergence;
pub use document::{Document, SectionRequest};
pub use duration::duration;
pub use error::ExperimentError;
pub use experiment::{Experiment, ExtraTable, Figure, Published, TestClaims};
pub use experiment_results::{Contrast, ExperimentResults};
pub use overrides::{ConfigChange, Length, Override, TrainingSet};
pub use recipe::Recipe;
pub use report::PAGE;
pub use results_file::RESULTS;
pub use row::{Images, MethodVariant, Row};
pub use run_dir::FinishedRun;
pub use run_index::{RunEntry, RunStatus};
pub use run_spec::RunSpec;
pub use setup::{Preset, Setup};
pub use statistics::{Sample, Summary};
pub use sweep::cost::CostEstimate;
pub use sweep::{Parallelism, Shard, Sweep, SweepOptions};
pub use train::{TrainFn, trainer};
