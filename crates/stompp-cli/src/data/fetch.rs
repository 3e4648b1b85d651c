//! `stompp data fetch`.

use crate::count::Count;
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use stompp_fetch::{
    Download, Fetched,
    published::{self, Published},
};

/// How long to wait for a connection, an answer, or more bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to try without a new byte.
const ATTEMPTS: u32 = 5;

/// Download a data set and verify it
///
/// A download that breaks off goes on where it was when the command is run again. The file gets its name only when its size and
/// MD5 are the published ones.
#[derive(Args)]
#[command(after_help = "Example:\n  stompp data fetch cifar10\n  \
    stompp train --dataset cifar10 --data cifar-10-binary.tar.gz --out runs/a")]
pub(super) struct Fetch {
    /// Which data set
    dataset: Known,

    /// Folder to put it in; must exist
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,

    /// Another address of the same file, such as a mirror's
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Data sets that can be downloaded, about 170 MB each.
#[derive(Clone, Copy, ValueEnum)]
enum Known {
    /// CIFAR-10, binary version
    Cifar10,
    /// CIFAR-100, binary version
    Cifar100,
}

impl Fetch {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Published { file, url, bytes, md5 } = match self.dataset {
            Known::Cifar10 => published::CIFAR10,
            Known::Cifar100 => published::CIFAR100,
        };
        let target = self.to.join(file);
        let download = Download {
            url: self.url.as_deref().unwrap_or(url),
            bytes,
            md5,
            patience: PATIENCE,
            attempts: ATTEMPTS,
        };
        let mut count = Count::bytes(bytes);
        let fetched = download.run(&target, &mut |done| count.set(done)).map_err(|error| {
            anyhow!(
                "{error}\nBy hand: get {file} from {url} on any machine ({bytes} bytes, MD5 {md5}) and put it at {}",
                target.display()
            )
        })?;
        drop(count);
        stompp_console::outln!(
            "{}: {bytes} bytes, MD5 as published{}",
            target.display(),
            match fetched {
                Fetched::New => "",
                Fetched::AlreadyThere => ", was there already",
            }
        );
        Ok(())
    }
}
