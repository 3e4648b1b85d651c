//! The errors of this crate.
//!
//! Each message is complete: it ends with the message of the underlying error. The field of that error is spelled `r#source`, so that
//! `thiserror` does not also return it from `Error::source`; a report would then print it twice.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use stompp_train::TrainError;
use stompp_train::config::{ConfigError, Difference};

/// The result of a function of this crate.
pub(crate) type Result<T, E = ExperimentError> = std::result::Result<T, E>;

/// An error of a sweep, a report, an archive or a document. Messages name the run, file or folder at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The sweep was stopped on request. The runs that had begun have checkpoints; the next sweep resumes them.
    #[error("stopped; run the sweep again to resume")]
    Stopped,
    /// [`SweepOptions::only`](crate::SweepOptions::only) selects no run.
    #[error("{pattern} matches none of the runs:\n{}", list(runs.iter().cloned()))]
    NoMatchingRun {
        /// The pattern.
        pattern: String,
        /// The names of all runs.
        runs: Vec<String>,
    },
    /// Some runs failed. The others were trained and are in the report.
    #[error("{} of {runs} runs failed:\n{}", failed.len(), list(failed.iter().map(|(name, reason)| format!("{name}: {reason}"))))]
    RunsFailed {
        /// Name and reason of each failed run.
        failed: Vec<(String, String)>,
        /// Number of all runs of the sweep.
        runs: usize,
    },
    /// Every selected run is skipped, so there is nothing to train.
    #[error("none of the selected runs can be run")]
    AllSkipped,
    /// A run cannot be trained, or its directory cannot be read.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A sweep was opened without an experiment.
    #[error("a sweep needs an experiment")]
    NoExperiment,
    /// The name of an experiment or a setup cannot be the name of a folder.
    #[error("`{name}` cannot be the name of an experiment or a setup: expected letters, digits, `-` and `_`")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Two runs of a sweep have the same name but different configurations.
    #[error("two runs with different configurations are called {name}")]
    DuplicateName {
        /// The name of both.
        name: String,
    },
    /// A folder with the name of a run is not a run directory; nothing was changed.
    #[error("{} is not a run directory: choose another output folder, or remove it", path.display())]
    NotARunDirectory {
        /// The folder.
        path: PathBuf,
    },
    /// A run directory has another configuration than the run of this name; nothing was changed.
    #[error("{} holds a run with another configuration ({difference}): choose another output folder, or remove it", path.display())]
    OtherRun {
        /// The run directory.
        path: PathBuf,
        /// The first field that differs.
        difference: Difference,
    },
    /// A file of the archive has another configuration than the run of this name.
    #[error("{} is of a run with another configuration ({difference}): choose another archive, or remove it", path.display())]
    OtherArchivedRun {
        /// The file.
        path: PathBuf,
        /// The first field that differs.
        difference: Difference,
    },
    /// A file of the archive is not valid.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The archive already has this run, with another configuration or result; its file was not changed.
    #[error("{} and {} are the same run with different configurations or results: remove one of them", file.display(), dir.display())]
    ArchivedDifferently {
        /// The file of the archive.
        file: PathBuf,
        /// The run directory that was to be added.
        dir: PathBuf,
    },
    /// A run to be merged has another result than the run that is already here.
    #[error(
        "{} and {} are the same run with different results, top-1 {} and {} %: remove one of them",
        dirs[0].display(), dirs[1].display(), top1[0], top1[1]
    )]
    MergeConflict {
        /// The run directory of this sweep, and the other one.
        dirs: [PathBuf; 2],
        /// Top-1 accuracy of each, in percent.
        top1: [f64; 2],
    },
    /// A folder to be merged has no runs of this setup.
    #[error("{} has no runs of preset {setup}: there is no {}", folder.display(), runs.display())]
    NothingToMerge {
        /// The folder.
        folder: PathBuf,
        /// The name of the setup.
        setup: String,
        /// The folder in it that would have the runs.
        runs: PathBuf,
    },
    /// A file or folder could not be read, created or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed: "read", "write", "create the folder", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// A run directory could not be copied.
    #[error("cannot copy {} to {}: {source}", from.display(), to.display())]
    Copy {
        /// The run directory.
        from: PathBuf,
        /// The target.
        to: PathBuf,
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// The threads that train could not be started.
    #[error("cannot start threads: {problem}")]
    Threads {
        /// The reason.
        problem: String,
    },
    /// A figure could not be drawn.
    #[error("cannot draw {name}: {problem}")]
    Figure {
        /// The name of its files, without the ending.
        name: String,
        /// The reason.
        problem: String,
    },
    /// A mark of a document is not valid.
    #[error("{}: {problem}", path.display())]
    InvalidMark {
        /// The document.
        path: PathBuf,
        /// What is wrong, with the line of the mark.
        problem: String,
    },
    /// The function that reads the marks of a document refused one.
    #[error("{}: cannot read {line}: {}", path.display(), with_sources(&**source))]
    Request {
        /// The document.
        path: PathBuf,
        /// The line of the mark.
        line: String,
        /// The error of the function.
        r#source: Box<dyn Error + Send + Sync>,
    },
    /// A section of a document could not be made.
    #[error("{}: {source}", path.display())]
    Section {
        /// The document.
        path: PathBuf,
        /// The reason.
        r#source: Box<ExperimentError>,
    },
}

impl ExperimentError {
    /// Whether training was stopped on request: the whole sweep, or the trial run of [`Sweep::estimate_cost`](crate::Sweep::estimate_cost)
    /// and [`Sweep::skip_missing_images`](crate::Sweep::skip_missing_images).
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped | Self::Train(TrainError::Stopped { .. }))
    }
}

impl From<ConfigError> for ExperimentError {
    fn from(error: ConfigError) -> Self {
        TrainError::from(error).into()
    }
}

/// Turns an error of the operating system into one that names the action and the path.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> ExperimentError {
    move |source| ExperimentError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// A list, an entry on each line.
fn list(entries: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = entries.map(|entry| format!("  {entry}")).collect();
    lines.join("\n")
}

/// The message of an error and of each of its sources.
fn with_sources(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        message += &format!(": {error}");
        next = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_complete() {
        let path = Path::new("a/b");
        let read = io_error("read", path)(io::Error::other("gone"));
        assert_eq!(read.to_string(), "cannot read a/b: gone");
        assert!(read.source().is_none(), "a report would print it twice");
        let section = ExperimentError::Section {
            path: "results.md".into(),
            source: Box::new(read),
        };
        assert_eq!(section.to_string(), "results.md: cannot read a/b: gone");
        // The error of another crate may have a source that is not in its message.
        #[derive(Debug, thiserror::Error)]
        #[error("no such preset")]
        struct Refused(#[source] io::Error);
        let request = ExperimentError::Request {
            path: "results.md".into(),
            line: "<!-- reproduce x -->".to_owned(),
            source: Refused(io::Error::other("typo")).into(),
        };
        assert_eq!(
            request.to_string(),
            "results.md: cannot read <!-- reproduce x -->: no such preset: typo"
        );
    }

    #[test]
    fn a_stopped_trial_run_counts_as_stopped() {
        assert!(ExperimentError::Stopped.is_stopped());
        assert!(ExperimentError::from(TrainError::Stopped { step: 3 }).is_stopped());
        assert!(!ExperimentError::NoExperiment.is_stopped());
    }
}
