//! The archive of runs (`docs/runs`): a small JSON file for each, without weights, from which every table can be made again.
//!
//! **A file is never changed**: what a run found is written once. A run that is here counts as done, so that a sweep can go on
//! where its run directories are gone.

mod columns;
mod run;
mod text;
pub(crate) mod verb;

use super::files;
use super::ledger::Divergence;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use stompp_train::RunConfig;

pub(crate) use run::{ArchivedRun, EpochPoint, GradientPoint};

/// A folder with a folder for each preset, which has a file for each run.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// The archive in `folder`, which is made when the first run is added.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, preset: &str, name: &str) -> PathBuf {
        self.folder.join(preset).join(format!("{name}.json"))
    }

    /// The run called `name`, if it is here.
    ///
    /// # Errors
    /// If its file cannot be read, or is of a run with another configuration than `config`; both name the file.
    pub(crate) fn find(&self, preset: &str, name: &str, config: &RunConfig) -> Result<Option<ArchivedRun>> {
        let path = self.path(preset, name);
        if !path
            .try_exists()
            .with_context(|| format!("cannot look at {}", path.display()))?
        {
            return Ok(None);
        }
        let run = ArchivedRun::load(&path)?;
        if let Some(difference) = run.config.difference(config) {
            bail!(
                "{} is of a run with another configuration ({difference}): pass another --archive, or remove it",
                path.display()
            );
        }
        Ok(Some(run))
    }

    /// Adds the run in the directory `dir`, which is finished or has diverged, and returns whether it was not here yet.
    ///
    /// # Errors
    /// If the directory or the file cannot be read or written, or the file is of a run that found something else.
    pub(crate) fn add(&self, preset: &str, name: &str, dir: &Path, diverged: Option<&Divergence>) -> Result<bool> {
        let path = self.path(preset, name);
        let run = ArchivedRun::of_directory(dir, diverged)?;
        if path.exists() {
            let before = ArchivedRun::load(&path)?;
            if before.outcome.top1() != run.outcome.top1() || before.config.difference(&run.config).is_some() {
                bail!(
                    "{} and {} are the same run with different configurations or results: remove one of them",
                    path.display(),
                    dir.display()
                );
            }
            return Ok(false);
        }
        files::create_folder(&self.folder.join(preset))?;
        files::replace(&path, text::of(&run)?)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::testing;
    use std::fs;

    const NAME: &str = "resnet8-cifar10-bnn-stompp-forward-seed0";

    /// A run directory, and an archive that does not have it.
    fn bench() -> (tempfile::TempDir, PathBuf, RunConfig, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig::from_toml("[data]\npath = '/home/someone/images'").unwrap();
        let dir = folder.path().join("runs").join(NAME);
        testing::finish(&dir, &config, 12.5);
        let archive = Archive::new(folder.path().join("archive"));
        (folder, dir, config, archive)
    }

    #[test]
    fn a_run_is_found_as_its_directory_has_it() {
        let (_folder, dir, config, archive) = bench();
        assert!(archive.find("small", NAME, &config).unwrap().is_none());
        assert!(archive.add("small", NAME, &dir, None).unwrap());
        assert!(!archive.add("small", NAME, &dir, None).unwrap(), "it is here already");
        let run = archive.find("small", NAME, &config).unwrap().unwrap();
        let crate::reproduce::run_dir::RunState::Finished(record) =
            crate::reproduce::run_dir::inspect(&dir, &config).unwrap()
        else {
            panic!("the run is finished");
        };
        assert_eq!(run.record().as_ref(), Some(&*record));
        let training: Vec<_> = run.epochs().iter().map(|epoch| epoch.train_top1).collect();
        assert_eq!(training, [50.0, 50.0]);
        assert!(
            archive.find("smoke", NAME, &config).unwrap().is_none(),
            "of that preset"
        );
    }

    #[test]
    fn a_file_is_small_and_says_nothing_of_whose_machine_it_was() {
        let (_folder, dir, _, archive) = bench();
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
        let (_folder, dir, mut config, archive) = bench();
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
        let (_folder, dir, config, archive) = bench();
        fs::remove_file(dir.join("result.json")).unwrap();
        assert!(archive.add("small", NAME, &dir, None).is_err(), "it is not finished");
        let diverged = Divergence {
            step: 781,
            reason: "the gradient became NaN".to_owned(),
        };
        archive.add("small", NAME, &dir, Some(&diverged)).unwrap();
        let run = archive.find("small", NAME, &config).unwrap().unwrap();
        assert_eq!((run.record(), run.divergence()), (None, Some(&diverged)));
        assert_eq!(run.epochs().len(), 2);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (_folder, dir, config, archive) = bench();
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
}
