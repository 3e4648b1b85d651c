//! `stompp data fetch`.

use crate::count::CountBar;
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stompp_fetch::{
    Download, Fetched,
    published::{self, Published},
};

/// Timeout for a connection, an answer, or more bytes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Number of attempts without a new byte.
const ATTEMPTS: u32 = 5;

/// Download a data set and verify it
///
/// Run the command again to continue an interrupted download. A file gets its final name only if its size and MD5 are the published ones.
/// The four files of mnist and fashion-mnist are put into a folder with that name.
#[derive(Args)]
#[command(after_help = "Examples:\n  stompp data fetch cifar10\n  \
    stompp train --dataset cifar10 --data cifar-10-binary.tar.gz --out runs/a\n  stompp data fetch mnist\n  \
    stompp train --dataset mnist --data mnist --out runs/b\n  stompp data fetch tiny-imagenet\n  \
    stompp train --dataset folder --data tiny-imagenet-200.zip --image-size 64 --out runs/c")]
pub(super) struct Fetch {
    /// Which data set
    dataset: KnownDataset,

    /// Folder for the download; must exist
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,

    /// Another URL of the same file, such as a mirror; for mnist and fashion-mnist, the URL of the folder with the files
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Data sets that can be downloaded.
#[derive(Clone, Copy, ValueEnum)]
enum KnownDataset {
    /// CIFAR-10, binary version, 170 MB
    Cifar10,
    /// CIFAR-100, binary version, 169 MB
    Cifar100,
    /// MNIST, 12 MB
    Mnist,
    /// Fashion-MNIST, 31 MB
    FashionMnist,
    /// Tiny ImageNet, 248 MB
    TinyImagenet,
}

impl KnownDataset {
    /// The folder that is created for the files, if any, and the files.
    fn files(self) -> (Option<&'static str>, &'static [Published]) {
        match self {
            Self::Cifar10 => (None, &[published::CIFAR10]),
            Self::Cifar100 => (None, &[published::CIFAR100]),
            Self::Mnist => (Some("mnist"), &published::MNIST),
            Self::FashionMnist => (Some("fashion-mnist"), &published::FASHION_MNIST),
            Self::TinyImagenet => (None, &[published::TINY_IMAGENET]),
        }
    }
}

impl Fetch {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (folder, files) = self.dataset.files();
        let to = folder.map_or(self.to.clone(), |folder| self.to.join(folder));
        if folder.is_some() && self.to.is_dir() && !to.exists() {
            fs::create_dir(&to).with_context(|| format!("cannot create {}", to.display()))?;
        }
        for file in files {
            let address = self.url.as_ref().map(|url| match folder {
                Some(_) => format!("{}/{}", url.trim_end_matches('/'), file.file),
                None => url.clone(),
            });
            fetch(file, address.as_deref(), &to)?;
        }
        Ok(())
    }
}

/// Downloads a file into the folder `to`, from `address` if given, and otherwise from its published URL.
fn fetch(published: &Published, address: Option<&str>, to: &Path) -> anyhow::Result<()> {
    let &Published { file, url, bytes, md5 } = published;
    let target = to.join(file);
    let download = Download {
        url: address.unwrap_or(url),
        bytes,
        md5,
        timeout: TIMEOUT,
        attempts: ATTEMPTS,
    };
    let mut count = CountBar::bytes();
    let fetched = download
        .run(&target, &mut |done| count.set(done, bytes))
        .map_err(|error| {
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
            Fetched::AlreadyThere => ", already downloaded",
        }
    );
    Ok(())
}
