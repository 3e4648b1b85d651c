//! The archive of runs (`docs/runs`). It has a small JSON file for each run, without weights. Every table can be made from it again.
//!
//! **A file is never changed**: the result of a run is written once. A run in the archive counts as finished, so a sweep can continue
//! without the run directories.

mod columns;
mod run;
mod text;

use crate::divergence::Divergence;
use crate::error::{ExperimentError, Result, io_error};
use crate::files;
use crate::parent;
use std::fs;
use std::path::{Path, PathBuf};
use stompp_train::{RunConfig, RunResult};

pub(crate) use run::ArchivedRun;
pub use run::{EpochPoint, GradientPoint};

/// An archive of runs: a folder with a folder for each setup, which has a file for each run.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

/// The result of [`Archive::add_sweep`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedRuns {
    /// Number of runs that were added.
    pub added: usize,
    /// Number of finished runs that the archive already had.
    pub known: usize,
    /// Names of the runs that were not added because they are not finished.
    pub unfinished: Vec<String>,
}

impl Archive {
    /// Opens the archive in `folder`. The folder is created when the first run is added.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder of the archive.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds every finished run of the sweeps that wrote to `out`.
    ///
    /// # Errors
    /// Returns [`ExperimentError::ArchivedDifferently`] if the archive already has a run with another configuration or result,
    /// [`ExperimentError::Damaged`] if its file is not valid, and [`ExperimentError::Train`] or [`ExperimentError::Io`] if a file cannot be
    /// read or written.
    pub fn add_sweep(&self, out: &Path) -> Result<AddedRuns, ExperimentError> {
        let mut report = AddedRuns::default();
        for (setup, name, dir) in runs_of_sweeps(out)? {
            if !RunResult::exists(&dir) {
                report.unfinished.push(name);
            } else if self.add(&setup, &name, &dir, None)? {
                report.added += 1;
            } else {
                report.known += 1;
            }
        }
        Ok(report)
    }

    fn path(&self, setup: &str, name: &str) -> PathBuf {
        self.folder.join(setup).join(format!("{name}.json"))
    }

    /// Reads the run called `name`; `None` if the archive does not have it.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Io`] or [`ExperimentError::Damaged`] if its file cannot be read, and
    /// [`ExperimentError::OtherArchivedRun`] if it has another configuration than `config`.
    pub(crate) fn find(&self, setup: &str, name: &str, config: &RunConfig) -> Result<Option<ArchivedRun>> {
        let path = self.path(setup, name);
        if !path.try_exists().map_err(io_error("read", &path))? {
            return Ok(None);
        }
        let run = ArchivedRun::load(&path)?;
        let mut config = config.clone();
        parent::remove_folder(&mut config);
        if let Some(difference) = run.config.difference(&config) {
            return Err(ExperimentError::OtherArchivedRun { path, difference });
        }
        Ok(Some(run))
    }

    /// Adds the run in the directory `dir`, which has finished or diverged. Returns false if the archive already has it.
    ///
    /// # Errors
    /// See [`Archive::add_sweep`].
    pub(crate) fn add(&self, setup: &str, name: &str, dir: &Path, diverged: Option<&Divergence>) -> Result<bool> {
        let path = self.path(setup, name);
        let run = ArchivedRun::from_directory(dir, diverged)?;
        if path.exists() {
            let before = ArchivedRun::load(&path)?;
            if before.outcome.top1() != run.outcome.top1() || before.config.difference(&run.config).is_some() {
                return Err(ExperimentError::ArchivedDifferently {
                    file: path,
                    dir: dir.to_owned(),
                });
            }
            return Ok(false);
        }
        files::create_folder(&self.folder.join(setup))?;
        let text = text::to_json(&run).map_err(|error| io_error("write", &path)(error.into()))?;
        files::replace(&path, text)?;
        Ok(true)
    }
}

/// Setup, name and directory of every run in `out`, sorted.
fn runs_of_sweeps(out: &Path) -> Result<Vec<(String, String, PathBuf)>> {
    let mut found = Vec::new();
    for (setup, folder) in entries(out)? {
        for (name, dir) in entries(&folder.join("runs"))? {
            found.push((setup.clone(), name, dir));
        }
    }
    found.sort();
    Ok(found)
}

/// Name and path of each entry of `folder`; empty if it is no folder.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("read", folder))? {
        let entry = entry.map_err(io_error("read", folder))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NAME: &str = "resnet8-cifar10-bnn-stompp-forward-seed0";

    /// A run directory, and an archive that does not have it.
    fn finished_run() -> (tempfile::TempDir, PathBuf, RunConfig, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig::from_toml("[data]\npath = '/home/someone/images'").unwrap();
        let dir = folder.path().join("runs").join(NAME);
        testing::finish(&dir, &config, 12.5);
        let archive = Archive::new(folder.path().join("archive"));
        (folder, dir, config, archive)
    }

    #[test]
    fn a_run_is_found_as_its_directory_has_it() {
        let (_folder, dir, config, archive) = finished_run();
        assert!(archive.find("small", NAME, &config).unwrap().is_none());
        assert!(archive.add("small", NAME, &dir, None).unwrap());
        assert!(!archive.add("small", NAME, &dir, None).unwrap(), "it is here already");
        let run = archive.find("small", NAME, &config).unwrap().unwrap();
        let crate::run_dir::RunDirState::Finished(finished) = crate::run_dir::inspect(&dir, &config).unwrap() else {
            panic!("the run is finished");
        };
        assert_eq!(run.finished_run().as_ref(), Some(&*finished));
        let training: Vec<_> = run.epochs().iter().map(|epoch| epoch.train_top1).collect();
        assert_eq!(training, [50.0, 50.0]);
        assert!(
            archive.find("smoke", NAME, &config).unwrap().is_none(),
            "of that preset"
        );
    }

    #[test]
    fn a_file_is_small_and_says_nothing_of_whose_machine_it_was() {
        let (_folder, dir, _, archive) = finished_run();
        archive.add("small", NAME, &dir, None).unwrap();
        let text = fs::read_to_string(archive.path("small", NAME)).unwrap();
        assert!(!text.contains("someone"), "{text}");
        assert!(text.len() < 4_000, "{} bytes", text.len());
        assert!(
            text.lines().count() > 20,
            "a change shows as the lines that changed\n{text}"
        );
    }

    #[test]
    fn another_configuration_or_result_is_refused_and_named() {
        let (_folder, dir, mut config, archive) = finished_run();
        archive.add("small", NAME, &dir, None).unwrap();
        let before = fs::read(archive.path("small", NAME)).unwrap();
        testing::finish(&dir, &config, 13.0);
        let message = archive.add("small", NAME, &dir, None).unwrap_err().to_string();
        assert!(message.contains("different configurations or results"), "{message}");
        assert_eq!(fs::read(archive.path("small", NAME)).unwrap(), before);
        config.training.momentum = 0.5;
        let message = archive.find("small", NAME, &config).unwrap_err().to_string();
        assert!(
            message.contains("training.momentum was 0.9, now it is 0.5"),
            "{message}"
        );
    }

    #[test]
    fn a_divergence_is_kept_with_what_was_told_until_then() {
        let (_folder, dir, config, archive) = finished_run();
        fs::remove_file(dir.join("result.json")).unwrap();
        assert!(archive.add("small", NAME, &dir, None).is_err(), "it is not finished");
        let diverged = Divergence {
            step: 781,
            reason: "the gradient became NaN".to_owned(),
        };
        archive.add("small", NAME, &dir, Some(&diverged)).unwrap();
        let run = archive.find("small", NAME, &config).unwrap().unwrap();
        assert_eq!((run.finished_run(), run.divergence()), (None, Some(&diverged)));
        assert_eq!(run.epochs().len(), 2);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (_folder, dir, config, archive) = finished_run();
        archive.add("small", NAME, &dir, None).unwrap();
        let path = archive.path("small", NAME);
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [
            text[..text.len() / 2].to_owned(),
            text.replace("\"train_top1\": [50.0,50.0]", "\"train_top1\": [50.0]"),
            text.replace("\"top1\"", "\"top2\""),
        ] {
            assert_ne!(damaged, text);
            fs::write(&path, damaged).unwrap();
            let message = format!("{:#}", archive.find("small", NAME, &config).unwrap_err());
            assert!(message.contains(NAME), "{message}");
        }
    }

    #[test]
    fn finished_runs_of_sweeps_are_added_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (out, into) = (folder.path().join("out"), folder.path().join("runs"));
        let archive = Archive::new(into.clone());
        assert_eq!(archive.add_sweep(&out).unwrap(), AddedRuns::default(), "there are none");
        testing::finish(&out.join("small/runs/a"), &RunConfig::default(), 12.5);
        testing::finish(&out.join("smoke/runs/b"), &RunConfig::default(), 12.5);
        fs::remove_file(out.join("smoke/runs/b/result.json")).unwrap();
        let unfinished = vec!["b".to_owned()];
        let expected = |added, known| AddedRuns {
            added,
            known,
            unfinished: unfinished.clone(),
        };
        assert_eq!(archive.add_sweep(&out).unwrap(), expected(1, 0));
        assert_eq!(archive.add_sweep(&out).unwrap(), expected(0, 1));
        assert!(into.join("small/a.json").is_file());
        assert!(!into.join("smoke").exists());
    }
}
