//! MNIST and sets in its layout, such as Fashion-MNIST: idx files, gzipped or not.
//!
//! Source of the format: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*. A file is two zero bytes, the type
//! (8: bytes), the number of dimensions, each dimension (u32, big endian), and the values. The images, 28 x 28 and grey, are converted to
//! the size of CIFAR: each side is padded with two black pixels, and the channel is repeated for red, green and blue (*ours*).

use crate::cifar::Split;
use crate::error::{DataFile, read_error};
use crate::image_set::CHANNELS;
use crate::{DataError, ImageSet};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Number of classes.
pub const CLASSES: usize = 10;

/// Side of the images after padding.
pub const SIDE: usize = 32;

/// Side of the images in the files.
pub(crate) const INNER: usize = 28;

/// Black pixels at each side.
pub(crate) const BORDER: usize = (SIDE - INNER) / 2;

/// Limit of the number of images. The largest such set, EMNIST, has 814,255.
const MOST_IMAGES: usize = 1 << 20;

/// Subfolders that may contain the files. torchvision creates them.
const FOLDERS: [&str; 4] = ["", "raw", "MNIST/raw", "FashionMNIST/raw"];

/// Reads one split from the folder `path` (or its subfolder `raw`, `MNIST/raw` or `FashionMNIST/raw`): `train-images-idx3-ubyte` and
/// `train-labels-idx1-ubyte`, or `t10k-...`. Each name may end in `.gz`, or have `.idx` in place of `-idx`. Messages call the set
/// `name`.
///
/// # Errors
/// Returns a [`DataError`] that names the file if it is missing, cut off, longer than it declares, or has images of another size than
/// 28 x 28 or labels above 9.
pub fn read_split(path: impl AsRef<Path>, name: &str, split: Split) -> Result<ImageSet, DataError> {
    let path = path.as_ref();
    let (images_file, images) = open(path, split, "images-idx3-ubyte")?;
    let pixels = read_images(&images_file, images)?;
    let (labels_file, labels) = open(path, split, "labels-idx1-ubyte")?;
    let labels = read_labels(&labels_file, labels)?;
    if labels.len() * CHANNELS * SIDE * SIDE != pixels.len() {
        let images = pixels.len() / (CHANNELS * SIDE * SIDE);
        return Err(format_error(
            &labels_file,
            format!("has {} labels for {images} images", labels.len()),
        ));
    }
    ImageSet::new(format!("{name} {split}"), (SIDE, SIDE), CLASSES, pixels, labels)
}

/// Reads the splits that exist, training images first.
///
/// # Errors
/// Same as [`read_split`]; also an error if no split exists.
pub fn read_available(path: impl AsRef<Path>, name: &str) -> Result<Vec<ImageSet>, DataError> {
    let path = path.as_ref();
    let is_there = |&split: &Split| {
        ["images-idx3-ubyte", "labels-idx1-ubyte"]
            .iter()
            .any(|file| find(path, split, file).is_some())
    };
    let mut found: Vec<Split> = Split::ALL.into_iter().filter(is_there).collect();
    if found.is_empty() {
        // The error names the missing file.
        found.push(Split::Train);
    }
    found.into_iter().map(|split| read_split(path, name, split)).collect()
}

/// Whether the folder `path` has a file of images for [`read_available`].
pub(crate) fn has_images(path: &Path) -> bool {
    Split::ALL
        .iter()
        .any(|&split| find(path, split, "images-idx3-ubyte").is_some())
}

/// Finds the file `train-KIND` or `t10k-KIND` under any of its names.
fn find(path: &Path, split: Split, kind: &str) -> Option<PathBuf> {
    let name = format!("{}-{kind}", part(split));
    let names = [name.clone(), name.replace("-idx", ".idx")];
    let names = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    let mut paths = FOLDERS.iter().flat_map(|folder| {
        let folder = path.join(folder);
        names.clone().map(move |name| folder.join(name))
    });
    paths.find(|path| path.is_file())
}

fn part(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "t10k",
    }
}

fn open(path: &Path, split: Split, kind: &str) -> Result<(PathBuf, Box<dyn Read>), DataError> {
    std::fs::metadata(path).map_err(read_error(DataFile::from_path(path)))?;
    let file = find(path, split, kind).ok_or_else(|| {
        let problem = format!("expected a folder with {}-{kind} or {0}-{kind}.gz", part(split));
        format_error(path, problem)
    })?;
    let here = || DataFile::from_path(&file);
    let mut mark = Vec::new();
    let open = || File::open(&file).map_err(read_error(here()));
    open()?.take(2).read_to_end(&mut mark).map_err(read_error(here()))?;
    let input = BufReader::new(open()?);
    let input: Box<dyn Read> = match mark[..] {
        [0x1f, 0x8b] => Box::new(MultiGzDecoder::new(input)),
        _ => Box::new(input),
    };
    Ok((file, input))
}

/// Reads the header of an idx file of bytes with `DIMENSIONS` dimensions, and returns the dimensions.
fn read_head<const DIMENSIONS: usize>(file: &Path, input: &mut dyn Read) -> Result<[usize; DIMENSIONS], DataError> {
    let mut word = [0; 4];
    let mut next = || -> io::Result<[u8; 4]> {
        input.read_exact(&mut word)?;
        Ok(word)
    };
    let error = || read_error(DataFile::from_path(file));
    let mark = next().map_err(error())?;
    if mark != [0, 0, 8, DIMENSIONS as u8] {
        return Err(format_error(
            file,
            format!("is not an idx file of bytes with {DIMENSIONS} dimensions"),
        ));
    }
    let mut dimensions = [0; DIMENSIONS];
    for dimension in &mut dimensions {
        *dimension = u32::from_be_bytes(next().map_err(error())?) as usize;
    }
    match dimensions[0] {
        1..=MOST_IMAGES => Ok(dimensions),
        count => Err(format_error(
            file,
            format!("declares {count} entries, expected 1 to {MOST_IMAGES}"),
        )),
    }
}

/// Reads the pixels of all images, padded, with three equal channels.
fn read_images(file: &Path, mut input: Box<dyn Read>) -> Result<Vec<u8>, DataError> {
    let [count, height, width] = read_head(file, &mut input)?;
    if (height, width) != (INNER, INNER) {
        return Err(format_error(
            file,
            format!("has images of {height}x{width}, expected {INNER}x{INNER}"),
        ));
    }
    let mut pixels = Vec::new();
    let mut image = [0; INNER * INNER];
    for record in 0..count as u64 {
        input.read_exact(&mut image).map_err(|source| DataError::Record {
            file: DataFile::from_path(file),
            record,
            source,
        })?;
        let mut plane = [0; SIDE * SIDE];
        for (row, line) in image.chunks_exact(INNER).enumerate() {
            let start = (row + BORDER) * SIDE + BORDER;
            plane[start..start + INNER].copy_from_slice(line);
        }
        for _ in 0..CHANNELS {
            pixels.extend_from_slice(&plane);
        }
    }
    check_end(file, &mut input)?;
    Ok(pixels)
}

fn read_labels(file: &Path, mut input: Box<dyn Read>) -> Result<Vec<u16>, DataError> {
    let [count] = read_head(file, &mut input)?;
    let mut labels = Vec::new();
    let read = (&mut input).take(count as u64).read_to_end(&mut labels);
    read.map_err(read_error(DataFile::from_path(file)))?;
    if labels.len() < count {
        return Err(format_error(
            file,
            format!("is cut off after {} of {count} labels", labels.len()),
        ));
    }
    check_end(file, &mut input)?;
    let out_of_range = labels.iter().position(|&label| usize::from(label) >= CLASSES);
    if let Some(record) = out_of_range {
        return Err(DataError::LabelOutOfRange {
            file: DataFile::from_path(file),
            record: record as u64,
            kind: "label",
            label: labels[record],
            classes: CLASSES,
        });
    }
    Ok(labels.into_iter().map(u16::from).collect())
}

/// Checks that nothing follows. Reading to the end also makes gzip check its checksum.
fn check_end(file: &Path, input: &mut dyn Read) -> Result<(), DataError> {
    match input.read(&mut [0]).map_err(read_error(DataFile::from_path(file)))? {
        0 => Ok(()),
        _ => Err(format_error(file, "has data after its last entry".to_owned())),
    }
}

fn format_error(path: &Path, problem: String) -> DataError {
    DataError::Tree {
        path: path.to_owned(),
        problem,
    }
}
