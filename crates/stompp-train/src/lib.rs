#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **A result is a pure function of its configuration, its data and the code.** The number of threads and the callbacks
//!   do not change a single bit of it. All random numbers come from streams of the seed.
//! - **A [`Callback`] only observes; only the optimizer and the freezing change a network.** Evaluation changes nothing.
//! - **Reported accuracy is the accuracy of the deploy network**, with every mask all ones. The accuracy of the network in its
//!   current state is reported beside it.
//! - **A file of a run directory is complete or absent.** A run is overwritten only on request.
//! - **An interrupted run resumes to the same bits**, however and wherever it was interrupted.
#![forbid(unsafe_code)]

pub mod callback;
mod checkpoint;
pub mod config;
pub mod data;
mod deploy;
mod device_data;
pub mod diagnostics;
mod divergence;
mod error;
mod eval_report;
mod evaluate;
mod events;
mod export;
mod files;
mod freezing;
mod images;
mod init;
mod learning_rate;
mod machine;
mod metrics;
mod network_file;
mod optimizer;
mod packed;
mod predict;
mod processes;
mod result;
mod run;
mod run_dir;
mod running_metrics;
mod saved;
mod session;
mod step;
mod tensors;
mod train_state;
mod trainer;
mod warning;

pub use callback::Callback;
pub use checkpoint::{CheckpointInterval, CheckpointName, Checkpointing, checkpoint_step};
pub use config::RunConfig;
pub use diagnostics::{DiagnosticsReport, UnitDiagnostics};
pub use error::TrainError;
pub use eval_report::{ClassScore, EvaluationReport, Prediction};
pub use evaluate::Score;
pub use export::ExportFormat;
pub use init::{InitError, InitReport, NamedShape, ParentRun, SkippedTensor};
pub use machine::{CodeVersion, MachineInfo};
pub use metrics::MetricRecord;
pub use packed::PackedSize;
pub use predict::Predictor;
pub use result::{Evaluation, RunResult};
pub use run::{train, train_graph};
pub use run_dir::{RunRecord, RunStatus};
pub use saved::SavedRun;
pub use session::{OnDivergence, Session, Start};
pub use stompp_data::{DataError, Preprocessing, UnlabelledImages};
pub use stompp_onnx::Dialect;
pub use trainer::{Trainer, TrainerStep};
pub use warning::Warning;
