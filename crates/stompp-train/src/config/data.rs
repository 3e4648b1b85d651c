//! Checks of what is said about images.

use super::{
    ConfigError, DataConfig,
    check::{at_least_1, field},
};
use std::path::Path;

/// More images than any split of a data set has here; keeps what is generated within memory.
const MOST_IMAGES: usize = 100_000;

/// Where the binary versions of CIFAR-10 and CIFAR-100 are.
const CIFAR_SOURCE: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";

impl DataConfig {
    /// Refuses values that no data set could make right.
    ///
    /// # Errors
    /// Names the first field that is at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (name, limit) in [
            ("data.train_limit", self.train_limit),
            ("data.test_limit", self.test_limit),
        ] {
            at_least_1(name, limit)?;
            if let Some(limit) = limit.filter(|limit| *limit > MOST_IMAGES) {
                return Err(field(name, format!("{limit}: expected at most {MOST_IMAGES}")));
            }
        }
        match &self.path {
            Some(_) if self.dataset.is_synthetic() => {
                let problem = format!("data set {} is generated and reads no files", self.dataset);
                Err(field("data.path", problem))
            }
            Some(path) if path.to_str().is_none() => {
                let problem = format!("{}: expected a path in UTF-8, so that TOML can hold it", path.display());
                Err(field("data.path", problem))
            }
            None if !self.dataset.is_synthetic() => Err(self.no_files()),
            _ => Ok(()),
        }
    }

    /// Where the data set's files are.
    ///
    /// # Errors
    /// If no path is given.
    pub fn files(&self) -> Result<&Path, ConfigError> {
        self.path.as_deref().ok_or_else(|| self.no_files())
    }

    fn no_files(&self) -> ConfigError {
        let problem = format!(
            "data set {} needs the folder, .tar.gz or .zip of its binary version, from {CIFAR_SOURCE} \
             (synthetic10 and synthetic100 need no files)",
            self.dataset
        );
        field("data.path", problem)
    }

    /// What is wrong with a data set that was to be generated and cannot be.
    pub(crate) fn not_synthetic(&self) -> ConfigError {
        field(
            "data.dataset",
            format!(
                "{} cannot be generated: expected synthetic10 or synthetic100",
                self.dataset
            ),
        )
    }
}
