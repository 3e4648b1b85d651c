//! Experiments on binary neural networks: which runs there are, training them in a sweep that resumes, and reporting them with paired
//! statistics, figures and claims.
//!
//! An [`Experiment`] is a value: rows of a table, the rows that are compared, claims, figures. A [`Sweep`] trains its runs and writes
//! `report.html`, `table.md` and `results.json`. The experiments of the StoMPP papers are in [`builtin`]; yours are values of the same
//! type:
//!
//! ```
//! use std::sync::Arc;
//! use stompp_experiments::{
//!     Contrast, Experiment, Figure, Images, MethodVariant, Preset, Row, Setup, Sweep, SweepOptions, trainer,
//! };
//! use stompp_train::config::{Dataset, Model, Order, Setting, Surrogate, Time};
//!
//! // What all runs share. This small, a run takes a second and proves nothing.
//! let mut setup = Setup { name: "tiny".to_owned(), seeds: 2, ..Setup::new(Preset::Smoke) };
//! (setup.base.data.train_limit, setup.base.data.test_limit) = (Some(200), Some(100));
//! setup.base.data.image_size = 8;
//! setup.base.network.width = Some(4);
//! setup.base.training.duration = Time::Epochs(2.0);
//!
//! // A row for each network and method; each row is trained with each seed.
//! let methods = [MethodVariant::Ste(Surrogate::Clipped), MethodVariant::Stompp(Order::Forward)];
//! let resnet8 = Model::Cifar { blocks: 1 };
//! let rows = Row::product(Setting::Bnn, &[resnet8], Images::Set(Dataset::Synthetic10), &methods);
//! let experiment = Experiment {
//!     question: "Does freezing beat STE in a tiny network?".to_owned(),
//!     contrasts: vec![Contrast { row: rows[1].clone(), baseline: rows[0].clone(), published: None }],
//!     figures: vec![Figure::Accuracy],
//!     ..Experiment::new("freezing", "Freezing beside STE", rows, &setup)
//! };
//!
//! let out = tempfile::tempdir()?;
//! let options = SweepOptions { quiet: true, ..SweepOptions::new(out.path()) };
//! let mut sweep = Sweep::open(vec![experiment], setup, options)?;
//! let tables = sweep.run(&trainer(Arc::default()))?; // Run again, it trains nothing.
//! assert!(tables.contains("| ResNet-8 "));
//! for file in ["report.html", "table.md", "results.json", "figures/freezing-accuracy.svg"] {
//!     assert!(sweep.report_folder().join(file).is_file());
//! }
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! Invariants:
//! - **A table is made from run directories or the archive, never from memory.** A finished run is never repeated or changed.
//! - **A sweep that was killed and continued ends in the same `results.json`**, byte for byte.
//! - **A published number is in one place** (`builtin/published.rs`); one that is not known shows as unknown.
//!
//! Layers, each of which uses only those above it:
//!
//! | layer | modules |
//! |---|---|
//! | what is trained | [`Setup`] and [`Preset`], [`Override`], [`Row`], [`RunSpec`] |
//! | what was trained | `run_dir`, [`Archive`], `run_index` |
//! | what it says | [`statistics`](Sample), [`ExperimentResults`], [`ClaimTest`] |
//! | experiments | [`Experiment`]; [`builtin`] |
//! | what is written | `results_file`, `report` |
//! | what is done | `train`, [`Sweep`], [`Document`] |
//!
//! Errors are [`anyhow::Error`]s for readers, with the file or run in their text. [`Stopped`], [`NoMatchingRun`] and
//! [`TrainError`](stompp_train::TrainError) can be told apart by `downcast_ref`.
//!
//! This crate does not read a command line, and prints nothing but a sweep's progress.
#![forbid(unsafe_code)]

mod archive;
pub mod builtin;
mod claim;
mod divergence;
mod document;
mod duration;
mod experiment;
mod experiment_results;
mod files;
mod overrides;
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
pub use sweep::{NoMatchingRun, Parallelism, Shard, Sweep, SweepOptions};
pub use train::{Stopped, TrainFn, trainer};
