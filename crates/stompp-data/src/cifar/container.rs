//! The containers of the files: a folder, a `.tar.gz`, a `.zip`, or memory. Each passes its files to a [`FileCollector`].

use super::record_file::{MAX_BYTES, Records, read_records};
use super::{CifarLayout, SIDE, Split, Splits};
use crate::error::{DataFile, read_error};
use crate::names::{file_name, normalized};
use crate::{DataError, ImageSet};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Collects the files of the `wanted` splits from `path`: a folder, or an archive whose kind is detected by its first bytes.
pub(super) fn collect(path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let here = || DataFile::from_path(path);
    let metadata = std::fs::metadata(path).map_err(read_error(here()))?;
    if metadata.is_dir() {
        return read_folder(path, layout, wanted);
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(read_error(here()))?;
    file.take(TAR_MARK.end as u64)
        .read_to_end(&mut start)
        .map_err(read_error(here()))?;
    let name = path.to_string_lossy().to_lowercase();
    if start.starts_with(&[0x1f, 0x8b]) {
        read_tar_gz(path, layout, wanted)
    } else if start.starts_with(b"PK") {
        read_zip(path, layout, wanted)
    } else if start.get(TAR_MARK) == Some(b"ustar") {
        read_tar(path, layout, wanted)
    } else if name.ends_with(".tar.gz") {
        // It is not a gzip file; the error says so.
        read_tar_gz(path, layout, wanted)
    } else if name.ends_with(".zip") {
        read_zip(path, layout, wanted)
    } else {
        Err(DataError::UnknownContainer {
            path: path.to_owned(),
            layout: layout.name(),
        })
    }
}

/// Files that only the Python versions of CIFAR-10 and CIFAR-100 have.
const PYTHON_VERSION: [&str; 2] = ["batches.meta", "meta"];

/// The place of the magic bytes of a tar.
const TAR_MARK: std::ops::Range<usize> = 257..262;

/// Reads files in memory, each a name and its bytes. Messages use `name` as the container's name.
pub(crate) fn read_memory<'a>(
    name: &str,
    layout: CifarLayout,
    files: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
) -> Result<Splits, DataError> {
    let mut collector = FileCollector::new(name, layout, &Split::ALL);
    for (file, bytes) in files {
        collector.add(file, DataFile::from_archive_member(name, file), || {
            Ok((bytes.len() as u64, &bytes[..]))
        })?;
    }
    Ok(Splits {
        train: collector.take_split(name, Split::Train)?,
        test: collector.take_split(name, Split::Test)?,
    })
}

fn read_folder(path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let official = path.join(layout.folder());
    let folder = if official.is_dir() { official } else { path.to_owned() };
    let mut collector = FileCollector::new(&folder, layout, wanted);
    let here = || DataFile::from_path(&folder);
    for entry in std::fs::read_dir(&folder).map_err(read_error(here()))? {
        let path = entry.map_err(read_error(here()))?.path();
        let file = DataFile::from_path(&path);
        collector.add(&base_name(&path), file.clone(), || {
            let input = File::open(&path).map_err(read_error(file.clone()))?;
            let bytes = input.metadata().map_err(read_error(file))?.len();
            Ok((bytes, BufReader::new(input)))
        })?;
    }
    Ok(collector)
}

fn read_tar(path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let file = File::open(path).map_err(read_error(DataFile::from_path(path)))?;
    collect_tar(BufReader::new(file), path, layout, wanted)
}

fn read_tar_gz(path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let archive = || DataFile::from_path(path);
    let compressed = BufReader::new(File::open(path).map_err(read_error(archive()))?);
    // One byte more than allowed: an archive of exactly the allowed size does not reach this limit.
    let mut expanded = GzDecoder::new(compressed).take(MAX_BYTES + 1);
    let collected = collect_tar(&mut expanded, path, layout, wanted);
    let too_large = |expanded: &io::Take<_>| match expanded.limit() {
        0 => Err(DataError::TooLarge {
            file: archive(),
            bytes: MAX_BYTES + 1,
            limit: MAX_BYTES,
        }),
        _ => Ok(()),
    };
    too_large(&expanded)?;
    let collector = collected?;
    // Read to the end, so that gzip checks its checksum.
    io::copy(&mut expanded, &mut io::sink()).map_err(read_error(archive()))?;
    too_large(&expanded)?;
    Ok(collector)
}

fn collect_tar(tar: impl Read, path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let archive = || DataFile::from_path(path);
    let mut collector = FileCollector::new(path, layout, wanted);
    let mut tar = tar::Archive::new(tar);
    for entry in tar.entries().map_err(read_error(archive()))? {
        let entry = entry.map_err(read_error(archive()))?;
        let name = in_archive(&entry.path().map_err(read_error(archive()))?.to_string_lossy());
        if entry.header().entry_type().is_file() {
            collector.add(&name, DataFile::from_archive_member(path, &name), || {
                Ok((entry.size(), entry))
            })?;
        }
    }
    Ok(collector)
}

fn read_zip(path: &Path, layout: CifarLayout, wanted: &[Split]) -> Result<FileCollector, DataError> {
    let archive = || DataFile::from_path(path);
    let zip_error = |file: DataFile| {
        move |error| DataError::Read {
            file,
            source: io::Error::from(error),
        }
    };
    let file = File::open(path).map_err(read_error(archive()))?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(zip_error(archive()))?;
    if zip.has_duplicate_names() {
        return Err(DataError::DuplicateFile {
            container: path.to_owned(),
            file: "one path".to_owned(),
        });
    }
    let mut collector = FileCollector::new(path, layout, wanted);
    for index in 0..zip.len() {
        let entry = zip.by_index(index).map_err(zip_error(archive()))?;
        let name = in_archive(&entry.name().map_err(zip_error(archive()))?);
        if entry.is_file() {
            collector.add(&name, DataFile::from_archive_member(path, &name), || {
                Ok((entry.size(), entry))
            })?;
        }
    }
    Ok(collector)
}

/// Collects the files of a layout from a container, in any order.
pub(super) struct FileCollector {
    container: PathBuf,
    layout: CifarLayout,
    /// Files of other splits are not read.
    wanted: Vec<Split>,
    files: Vec<(String, Records)>,
    /// The `.bin` files found, for the message about a missing file.
    seen: Vec<String>,
    /// Whether a file of the Python version was found: a common mix-up.
    is_python: bool,
}

impl FileCollector {
    fn new(container: impl Into<PathBuf>, layout: CifarLayout, wanted: &[Split]) -> Self {
        Self {
            container: container.into(),
            layout,
            wanted: wanted.to_vec(),
            files: Vec::new(),
            seen: Vec::new(),
            is_python: false,
        }
    }

    /// Reads a file if the layout has one of this name. `open` returns its declared size and its reader.
    fn add<R: Read>(
        &mut self,
        name: &str,
        file: DataFile,
        open: impl FnOnce() -> Result<(u64, R), DataError>,
    ) -> Result<(), DataError> {
        const SEEN_AT_MOST: usize = 8;
        self.is_python |= PYTHON_VERSION.contains(&name);
        if name.ends_with(".bin") && self.seen.len() < SEEN_AT_MOST {
            self.seen.push(name.to_owned());
        }
        if !self
            .wanted
            .iter()
            .any(|&split| self.layout.files(split).contains(&name))
        {
            return Ok(());
        }
        if self.files.iter().any(|(known, _)| known == name) {
            return Err(DataError::DuplicateFile {
                container: self.container.clone(),
                file: name.to_owned(),
            });
        }
        let (bytes, input) = open()?;
        self.files
            .push((name.to_owned(), read_records(&file, self.layout, bytes, input)?));
        Ok(())
    }

    /// Whether a file of the split was found.
    pub(super) fn has_split(&self, split: Split) -> bool {
        self.files
            .iter()
            .any(|(known, _)| self.layout.files(split).contains(&known.as_str()))
    }

    /// Takes the images of one split of a data set called `name`, in the order of its files. All of them must have been found.
    pub(super) fn take_split(&mut self, name: &str, split: Split) -> Result<ImageSet, DataError> {
        let mut all = Records::default();
        for &file in self.layout.files(split) {
            let Some(position) = self.files.iter().position(|(known, _)| known == file) else {
                return Err(self.missing(file));
            };
            let records = self.files.swap_remove(position).1;
            if all.labels.is_empty() {
                all = records;
            } else {
                all.pixels.extend_from_slice(&records.pixels);
                all.labels.extend_from_slice(&records.labels);
            }
        }
        let name = format!("{name} {split}");
        ImageSet::new(name, (SIDE, SIDE), self.layout.classes(), all.pixels, all.labels)
    }

    fn missing(&mut self, file: &'static str) -> DataError {
        self.seen.sort();
        let found = match (self.is_python, self.seen.is_empty()) {
            (true, _) => "none; it is the Python version".to_owned(),
            (false, true) => "none".to_owned(),
            (false, false) => self.seen.join(", "),
        };
        DataError::MissingFile {
            container: self.container.clone(),
            file,
            layout: self.layout.name(),
            found,
        }
    }
}

/// The name of an archive member without its folders. Some Windows programs separate them with `\`.
fn in_archive(path: &str) -> String {
    file_name(&normalized(path)).to_owned()
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
