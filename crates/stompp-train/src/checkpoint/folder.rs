//! The folder of checkpoints in a run directory: file names, listing and pruning.

use crate::{TrainError, files};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder's name.
pub(crate) const NAME: &str = "checkpoints";

const ENDING: &str = ".safetensors";
const BEST: &str = "best.safetensors";

/// The kind of a numbered checkpoint; each kind has its own file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckpointKind {
    /// Only the newest are kept.
    Recent,
    /// Never removed.
    Milestone,
}

impl CheckpointKind {
    const ALL: [Self; 2] = [Self::Recent, Self::Milestone];

    fn prefix(self) -> &'static str {
        match self {
            Self::Recent => "step-",
            Self::Milestone => "milestone-",
        }
    }
}

/// A folder of checkpoints. The first checkpoint creates it.
#[derive(Clone, Debug)]
pub(super) struct CheckpointFolder(PathBuf);

impl CheckpointFolder {
    pub(super) fn new(run: &Path) -> Self {
        Self(run.join(NAME))
    }

    /// Writes the parts of the checkpoint of `step` to a file, and returns its path.
    pub(super) fn write(&self, kind: CheckpointKind, step: u64, parts: &[Vec<u8>]) -> Result<PathBuf, TrainError> {
        // Wide enough for every step that a run can have; names then sort as numbers do.
        self.write_named(&format!("{}{step:013}{ENDING}", kind.prefix()), parts)
    }

    /// Writes the checkpoint of the best evaluation. Replaces the previous one.
    pub(super) fn write_best(&self, parts: &[Vec<u8>]) -> Result<PathBuf, TrainError> {
        self.write_named(BEST, parts)
    }

    fn write_named(&self, name: &str, parts: &[Vec<u8>]) -> Result<PathBuf, TrainError> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(files::io_error("create", &self.0, error));
            }
            _ => {}
        }
        let path = self.0.join(name);
        files::replace_in_parts(&path, parts)?;
        Ok(path)
    }

    /// The numbered checkpoint with the highest step, of any kind.
    pub(super) fn newest(&self) -> Result<Option<(u64, PathBuf)>, TrainError> {
        Ok(self.list_all()?.into_iter().max_by_key(|(step, _)| *step))
    }

    /// The numbered checkpoint of `step`, of any kind.
    pub(super) fn at_step(&self, step: u64) -> Result<Option<PathBuf>, TrainError> {
        let found = self.list_all()?.into_iter().find(|(at, _)| *at == step);
        Ok(found.map(|(_, path)| path))
    }

    /// The checkpoint of the best evaluation.
    pub(super) fn best(&self) -> Option<PathBuf> {
        Some(self.0.join(BEST)).filter(|path| path.is_file())
    }

    /// The steps of all numbered checkpoints, in order.
    pub(super) fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let mut steps: Vec<u64> = self.list_all()?.into_iter().map(|(step, _)| step).collect();
        steps.sort_unstable();
        steps.dedup();
        Ok(steps)
    }

    fn list_all(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let all = CheckpointKind::ALL.into_iter().map(|kind| self.list(kind));
        Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Removes all recent checkpoints except the newest `keep`.
    pub(super) fn prune(&self, keep: usize) -> Result<(), TrainError> {
        let mut recent = self.list(CheckpointKind::Recent)?;
        recent.sort();
        let superfluous = recent.len().saturating_sub(keep);
        for (_, path) in &recent[..superfluous] {
            fs::remove_file(path).map_err(|source| files::io_error("remove", path, source))?;
        }
        Ok(())
    }

    /// Removes the numbered checkpoints of `step`.
    pub(super) fn remove(&self, step: u64) -> Result<(), TrainError> {
        for (_, path) in self.list_all()?.into_iter().filter(|(at, _)| *at == step) {
            fs::remove_file(&path).map_err(|source| files::io_error("remove", &path, source))?;
        }
        Ok(())
    }

    /// The checkpoints of a kind, with their steps. Skips files with other names.
    fn list(&self, kind: CheckpointKind) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::io_error("read", &self.0, error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| files::io_error("read", &self.0, source))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name
                .strip_prefix(kind.prefix())
                .and_then(|rest| rest.strip_suffix(ENDING));
            if let Some(step) = number.and_then(|number| number.parse().ok()) {
                found.push((step, path));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &CheckpointFolder) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&folder.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_the_best_and_the_milestones_stay() {
        let run = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::new(run.path());
        assert_eq!(folder.newest().unwrap(), None);
        for step in [9, 10, 200] {
            folder.write(CheckpointKind::Recent, step, &[]).unwrap();
        }
        folder.write(CheckpointKind::Milestone, 5, &[]).unwrap();
        folder.write_best(&[]).unwrap();
        fs::write(folder.0.join("step-notes.txt"), b"not ours").unwrap();
        folder.prune(2).unwrap();
        let expected = [
            "best.safetensors",
            "milestone-0000000000005.safetensors",
            "step-0000000000010.safetensors",
            "step-0000000000200.safetensors",
            "step-notes.txt",
        ];
        assert_eq!(names(&folder), expected);
        let (step, path) = folder.newest().unwrap().unwrap();
        assert!(step == 200 && path.ends_with(expected[3]));
        let milestone = folder.write(CheckpointKind::Milestone, 1000, &[]).unwrap();
        assert_eq!(folder.newest().unwrap(), Some((1000, milestone)));
    }
}
