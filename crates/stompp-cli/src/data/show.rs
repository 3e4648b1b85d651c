//! `stompp data show`.

use super::{config_for, image_files};
use crate::options::{Overrides, Selection};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use stompp_train::{RunConfig, data};

/// Write a picture of training images as the network gets them, with their classes
///
/// The picture shows the first images of the first epoch of `stompp train` with the same options.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  stompp data show imagenet --out sheet.png --color-jitter 0.4\n  \
    stompp data show --dataset synthetic10 --out shapes.png"
)]
pub(super) struct Show {
    /// Folder or archive with the data set; not needed for synthetic images
    dir: Option<PathBuf>,

    /// The new picture (PNG)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Number of images
    #[arg(long, value_name = "N", default_value = "64")]
    count: NonZeroUsize,

    #[command(flatten)]
    overrides: Overrides<ShowOptions>,
}

/// The options that affect training images.
#[derive(Clone)]
struct ShowOptions;

impl Selection for ShowOptions {
    fn has(flag: &str) -> bool {
        [
            "dataset",
            "labels",
            "train-limit",
            "holdout",
            "split-seed",
            "image-size",
            "augment",
            "color-jitter",
            "on-bad-image",
            "seed",
        ]
        .contains(&flag)
    }

    fn base() -> RunConfig {
        image_files()
    }
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = config_for(&self.overrides, self.dir)?;
        Ok(data::write_contact_sheet(&config, self.count.get(), &self.out)?)
    }
}
