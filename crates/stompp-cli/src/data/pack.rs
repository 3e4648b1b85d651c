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

/// Write image files into one .zip, already shrunk, for fast reading
///
/// Images whose shorter side is longer than --short-side are shrunk to it and kept as PNG, so without further loss; the others
/// are kept as the files that they are. Nothing is compressed again, and each file has a checksum. Every program for archives opens it,
/// and so does `stompp train --dataset folder --data ZIP`.
#[derive(Args)]
#[command(after_help = "Example:\n  stompp data pack imagenet imagenet-256.zip\n  \
    stompp train --dataset folder --data imagenet-256.zip --image-size 224 --model resnet18 --out runs/a")]
pub(super) struct Pack {
    /// Folder or archive with train/CLASS/NAME.jpeg and val
    dir: PathBuf,

    /// The new file, called .zip
    out: PathBuf,

    /// Shorter side of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value = "256")]
    short_side: NonZeroU32,

    #[command(flatten)]
    overrides: Overrides<PackOptions>,

    #[command(flatten)]
    threads: Threads,
}

/// The options that say what is to be packed.
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
            data::pack(&config.data, self.short_side.get(), &self.out, |done| {
                count.set(done as u64)
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
