//! Runs that begin with the weights of another run of the same sweep, their parent.
//!
//! A [`RunSpec`](crate::RunSpec) knows the name of the parent only. Its folder is known when the run begins, and it does not matter when
//! configurations are compared: a sweep may be moved, or merged on another machine.

use std::path::Path;
use stompp_train::RunConfig;
use stompp_train::config::Difference;

/// The first field in which `written`, the configuration in a run directory, differs from `expected`.
pub(crate) fn difference(mut written: RunConfig, expected: &RunConfig) -> Option<Difference> {
    let is_name = |path: &Path| path.parent() == Some(Path::new(""));
    if expected.training.init_from.as_deref().is_some_and(is_name) {
        remove_folder(&mut written);
    }
    written.difference(expected)
}

/// Leaves only the name of the file or run that a run begins with.
pub(crate) fn remove_folder(config: &mut RunConfig) {
    let init_from = &mut config.training.init_from;
    if let Some(name) = init_from.as_deref().and_then(Path::file_name) {
        *init_from = Some(name.into());
    }
}

/// Replaces the name of the parent in the configuration of a run in the directory `dir` by its path.
pub(crate) fn locate(config: &mut RunConfig, parent: Option<&str>, dir: &Path) {
    if let Some(parent) = parent {
        config.training.init_from = Some(dir.with_file_name(parent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(init_from: &str) -> RunConfig {
        let mut config = RunConfig::default();
        config.training.init_from = Some(init_from.into());
        config
    }

    #[test]
    fn the_folder_of_a_parent_does_not_matter_but_that_of_other_weights_does() {
        assert_eq!(difference(config("/here/runs/float"), &config("float")), None);
        for (written, expected) in [
            ("/here/runs/other", "float"),
            ("/here/float.safetensors", "/there/float.safetensors"),
        ] {
            let found = difference(config(written), &config(expected)).unwrap();
            assert_eq!(found.field, "training.init_from", "{written}");
        }
        assert!(difference(RunConfig::default(), &config("float")).is_some());
    }

    #[test]
    fn a_parent_is_beside_its_runs() {
        let mut located = config("float");
        locate(&mut located, None, Path::new("/out/runs/ste"));
        assert_eq!(located, config("float"));
        locate(&mut located, Some("float"), Path::new("/out/runs/ste"));
        assert_eq!(located, config("/out/runs/float"));
        remove_folder(&mut located);
        assert_eq!(located, config("float"));
    }
}
