//! Checks of the section `data` of a configuration.

use super::{
    ConfigError, DataConfig, Dataset, OnBadImage,
    check::{at_least_1, field, toml_integer, utf8},
};
use std::path::Path;

/// Limit on the number of images of a data set in memory. It keeps generated sets small enough for memory.
const MOST_IMAGES: usize = 100_000;

/// Limit on the number of image files.
const MOST_FILES: usize = 1 << 32;

/// Limit on the side of an image from a file, in pixels.
const MOST_PIXELS: usize = 4096;

/// Number of classes of a folder whose classes have not been counted yet: that of ImageNet.
const FOLDER_CLASSES: usize = 1000;

/// The page with the binary versions of CIFAR-10 and CIFAR-100.
const CIFAR_SOURCE: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";

impl DataConfig {
    /// Checks everything that can be checked without the images.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] for the first field with a value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let most = if self.is_files() { MOST_FILES } else { MOST_IMAGES };
        for (name, limit) in [
            ("data.train_limit", self.train_limit),
            ("data.test_limit", self.test_limit),
            ("data.holdout", self.holdout),
        ] {
            at_least_1(name, limit)?;
            if let Some(limit) = limit.filter(|limit| *limit > most) {
                return Err(field(name, format!("{limit}: expected at most {most}")));
            }
        }
        if let (Some(_), Some(limit)) = (self.holdout, self.test_limit) {
            let problem = format!("{limit}: data.holdout already sets the number of test images");
            return Err(field("data.test_limit", problem));
        }
        toml_integer("data.split_seed", self.split_seed)?;
        self.check_files()?;
        utf8("data.labels", self.labels.as_deref())?;
        match &self.path {
            Some(_) if self.dataset.is_synthetic() => {
                let problem = format!("data set {} is generated and reads no files", self.dataset);
                Err(field("data.path", problem))
            }
            Some(path) => utf8("data.path", Some(path)),
            None if !self.dataset.is_synthetic() => Err(self.no_files()),
            _ => Ok(()),
        }
    }

    /// Rejects fields that apply only to image files if the data set has none, and values out of range.
    fn check_files(&self) -> Result<(), ConfigError> {
        let given = [
            ("data.labels", self.labels.is_some()),
            ("data.classes", self.classes.is_some()),
            ("data.color_jitter", self.color_jitter != 0.0),
            ("data.on_bad_image", self.on_bad_image != OnBadImage::Fail),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given && !self.is_files()) {
            let problem = format!(
                "data set {} does not support it: it applies only to data set folder",
                self.dataset
            );
            return Err(field(name, problem));
        }
        if let Some(classes) = self.classes.filter(|&classes| classes < 2) {
            return Err(field("data.classes", format!("{classes}: expected at least 2")));
        }
        if !(0.0..=1.0).contains(&self.color_jitter) {
            return Err(field(
                "data.color_jitter",
                format!("{}: expected 0 to 1", self.color_jitter),
            ));
        }
        if self.is_files() && self.image_size > MOST_PIXELS {
            let problem = format!("{}: expected at most {MOST_PIXELS}", self.image_size);
            return Err(field("data.image_size", problem));
        }
        Ok(())
    }

    /// Whether the data set consists of image files.
    fn is_files(&self) -> bool {
        self.dataset == Dataset::Folder
    }

    /// Number of classes of the data set. For data set `folder` it is the configured number, or 1000 (ImageNet) if none is configured.
    pub fn classes(&self) -> usize {
        self.dataset.classes().or(self.classes).unwrap_or(FOLDER_CLASSES)
    }

    /// Sets the number of classes to the number that was found in a folder.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if the configuration has another number.
    pub(crate) fn set_classes(&mut self, found: usize) -> Result<(), ConfigError> {
        match self.classes.replace(found) {
            Some(asked) if asked != found => Err(field("data.classes", format!("{asked}: the data set has {found}"))),
            _ => Ok(()),
        }
    }

    /// The error for a data set without image files where they are required.
    pub(crate) fn no_image_files(&self) -> ConfigError {
        field(
            "data.dataset",
            format!("{} has no image files: expected folder", self.dataset),
        )
    }

    /// Path of the data set's files.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if no path is given.
    pub fn files(&self) -> Result<&Path, ConfigError> {
        self.path.as_deref().ok_or_else(|| self.no_files())
    }

    fn no_files(&self) -> ConfigError {
        let needs = match self.dataset {
            Dataset::Folder => "the folder, .tar or .zip with train/CLASS/NAME.jpeg and val".to_owned(),
            Dataset::Mnist | Dataset::FashionMnist => "the folder with its four idx files".to_owned(),
            _ => format!("the folder, .tar.gz or .zip of its binary version, from {CIFAR_SOURCE}"),
        };
        let problem = format!(
            "data set {} needs {needs} (synthetic10 and synthetic100 need no files)",
            self.dataset
        );
        field("data.path", problem)
    }

    /// The error for a data set that cannot be generated.
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
