//! `stompp data pack`.

use super::{config_for, image_files};
use crate::{
    count::CountBar,
    options::{Overrides, Selection},
    threads::Threads,
};
use clap::Args;
use std::num::NonZeroU32;
use std::path::PathBuf;
use stompp_train::{RunConfig, data};

/// Shrink image files and write them to one .zip, for fast reading
///
/// Images with a shorter side above --short-side are shrunk to it and saved as PNG, without further loss. Other files are copied
/// unchanged. The archive is not compressed, and each file has a checksum. Any archive program can open it; `stompp train --dataset
/// folder --data ZIP` trains on it.
#[derive(Args)]
#[command(after_help = "Example:\n  stompp data pack imagenet imagenet-256.zip\n  \
    stompp train --dataset folder --data imagenet-256.zip --image-size 224 --model resnet18 --out runs/a")]
pub(super) struct Pack {
    /// Folder or archive with train/CLASS/NAME.jpeg and val
    dir: PathBuf,

    /// The new .zip file
    out: PathBuf,

    /// Shorter side of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value = "256")]
    short_side: NonZeroU32,

    #[command(flatten)]
    overrides: Overrides<PackOptions>,

    #[command(flatten)]
    threads: Threads,
}

/// The options that select the images to pack.
#[derive(Clone)]
struct PackOptions;

impl Selection for PackOptions {
    fn has(flag: &str) -> bool {
        ["labels", "on-bad-image"].contains(&flag)
    }

    fn base() -> RunConfig {
        image_files()
    }
}

impl Pack {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = config_for(&self.overrides, Some(self.dir))?;
        let (packed, notes) = self.threads.run(|| {
            let mut count = CountBar::images();
            data::pack(&config.data, self.short_side.get(), &self.out, |at| {
                count.set(at.done as u64, at.total as u64)
            })
        })??;
        for note in notes {
            stompp_console::errln!("note: {note}");
        }
        for image in &packed.left_out {
            stompp_console::errln!("left out: {image}");
        }
        stompp_console::outln!(
            "{}: {} images, {} of them shrunk, {} left out",
            self.out.display(),
            packed.images,
            packed.shrunk,
            packed.left_out.len()
        );
        Ok(())
    }
}
