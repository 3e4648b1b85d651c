//! Images to classify, from files, folders and archives: [`UnlabelledImages`].

use crate::cifar::{self, CifarLayout};
use crate::codec::{self, extensions, has_image_signature, is_image};
use crate::error::{DataFile, read_error};
use crate::names::{file_name, is_tool_file, tool_folder};
use crate::store::{Listing, MOST_BYTES, Member, Members, Store, extension};
use crate::{CHANNELS, DataError, ImageSet, Preprocessing, mnist};
use image::{Rgb, RgbImage};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Layouts of CIFAR, by the names of their files.
const LAYOUTS: [CifarLayout; 2] = [CifarLayout::Cifar10, CifarLayout::Cifar100Fine];

/// Number of first bytes read to detect a file's format.
const MARK: u64 = 64;

/// Number of names listed in a note.
const MOST_NAMED: usize = 3;

/// Images without labels, to be classified by a network. Each file is read when it is needed.
///
/// ```no_run
/// use stompp_data::{ChannelStatistics, ResizeMethod, Preprocessing, UnlabelledImages};
///
/// let view = Preprocessing::new(ResizeMethod::CentreCrop, 224, ChannelStatistics::IMAGENET)?;
/// let images = UnlabelledImages::open("photos")?;
/// for index in 0..images.len() {
///     println!("{}: {} values", images.name(index), images.prepare(index, &view)?.len());
/// }
/// # Ok::<(), stompp_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct UnlabelledImages {
    kind: ImageSource,
    notes: Vec<String>,
}

#[derive(Debug)]
enum ImageSource {
    /// One image file.
    File(PathBuf),
    /// One image file in memory, and its name.
    Bytes(String, Vec<u8>),
    /// Files of a folder or archive.
    Files(Store, Members),
    /// Sets in memory: CIFAR and MNIST.
    Sets(Vec<ImageSet>),
}

impl UnlabelledImages {
    /// Opens the images of `path`, which is one of
    ///
    /// - an image file,
    /// - a folder, `.tar` or `.zip` with image files at any depth, recognized by their extensions,
    /// - the binary version of CIFAR-10 or CIFAR-100, as a folder, archive or single `.bin` file: all of its images, training images
    ///   first,
    /// - a folder with MNIST's idx files, likewise.
    ///
    /// # Errors
    /// Returns a [`DataError`] if the path is none of these, has no image, or cannot be read. Image files are not decoded yet: see
    /// [`prepare`](Self::prepare).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let here = || DataFile::from_path(path);
        if fs::metadata(path).map_err(read_error(here()))?.is_dir() {
            return Self::folder(path);
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(read_error(here()))?;
        file.take(MARK).read_to_end(&mut start).map_err(read_error(here()))?;
        let name = path.to_string_lossy();
        if has_image_signature(&start) || is_image(&name) {
            Ok(Self::new(ImageSource::File(path.to_owned())))
        } else if extension(path) == "bin" {
            let bytes = fs::metadata(path).map_err(read_error(here()))?.len();
            let fits = |layout: &CifarLayout| bytes.is_multiple_of(layout.record_bytes() as u64);
            let layout = layout_of(file_name(&name)).or_else(|| LAYOUTS.into_iter().find(fits));
            let set = cifar::read_file(path, layout.unwrap_or(CifarLayout::Cifar10))?;
            Ok(Self::new(ImageSource::Sets(vec![set])))
        } else if start.starts_with(&[0x1f, 0x8b]) && name.to_lowercase().ends_with(".tar.gz") {
            let sets = match cifar::read_available(path, LAYOUTS[0]) {
                Err(DataError::MissingFile { .. }) => cifar::read_available(path, LAYOUTS[1]),
                other => other,
            };
            Ok(Self::new(ImageSource::Sets(sets?)))
        } else {
            let store = Store::open(path)?;
            let listing = store.listing()?;
            let cifar = listing
                .members
                .iter()
                .find_map(|member| layout_of(file_name(member.name)));
            match cifar {
                Some(layout) => Ok(Self::new(ImageSource::Sets(cifar::read_available(path, layout)?))),
                None => Self::files(path, store, listing),
            }
        }
    }

    /// Reads one image file, called `name`, from `input` to its end.
    ///
    /// # Errors
    /// Returns [`DataError::Read`] if it cannot be read, and [`DataError::TooLarge`] if it has more than 256 MiB.
    pub fn from_reader(name: impl Into<String>, input: impl Read) -> Result<Self, DataError> {
        let name = name.into();
        let file = read_limited(input, DataFile::from_path(&name))?;
        Ok(Self::new(ImageSource::Bytes(name, file)))
    }

    fn new(kind: ImageSource) -> Self {
        Self {
            kind,
            notes: Vec::new(),
        }
    }

    fn folder(path: &Path) -> Result<Self, DataError> {
        let has = |layout: &CifarLayout| {
            let mut folders = [path.to_owned(), path.join(layout.folder())].into_iter();
            folders.any(|folder| layout.all_files().any(|name| folder.join(name).is_file()))
        };
        if let Some(layout) = LAYOUTS.into_iter().find(has) {
            return Ok(Self::new(ImageSource::Sets(cifar::read_available(path, layout)?)));
        }
        if mnist::has_images(path) {
            let name = path.display().to_string();
            return Ok(Self::new(ImageSource::Sets(mnist::read_available(path, &name)?)));
        }
        let store = Store::open(path)?;
        let listing = store.listing()?;
        Self::files(path, store, listing)
    }

    fn files(path: &Path, store: Store, listing: Listing) -> Result<Self, DataError> {
        let is_wanted = |Member { name, .. }: Member<'_>| {
            tool_folder(name).is_none() && !is_tool_file(file_name(name)) && is_image(name)
        };
        let mut images = listing.members;
        let mut others = Vec::new();
        images.retain(|member| {
            let keep = is_wanted(member);
            if !keep {
                others.push(member.name.to_owned());
            }
            keep
        });
        if images.is_empty() {
            return Err(DataError::Tree {
                path: path.to_owned(),
                problem: format!("has no images: expected names that end in one of {}", extensions()),
            });
        }
        let mut notes = listing.faults;
        others.extend(listing.others);
        if !others.is_empty() {
            let first: Vec<_> = others.iter().take(MOST_NAMED).map(String::as_str).collect();
            let more = if others.len() > MOST_NAMED { ", ..." } else { "" };
            notes.push(format!(
                "{} files are not images by their names: {}{more}",
                others.len(),
                first.join(", ")
            ));
        }
        let notes = notes
            .into_iter()
            .map(|note| format!("{}: {note}", path.display()))
            .collect();
        Ok(Self {
            kind: ImageSource::Files(store, images),
            notes,
        })
    }

    /// Number of images; never zero.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        match &self.kind {
            ImageSource::File(_) | ImageSource::Bytes(..) => 1,
            ImageSource::Files(_, members) => members.len(),
            ImageSource::Sets(sets) => sets.iter().map(ImageSet::len).sum(),
        }
    }

    /// The name of image `index`: the name of its file, or the name of its set with the index in the set.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn name(&self, index: usize) -> String {
        match &self.kind {
            ImageSource::File(path) => path.display().to_string(),
            ImageSource::Bytes(name, _) => name.clone(),
            ImageSource::Files(store, members) => store.file(members.get(index)).to_string(),
            ImageSource::Sets(sets) => {
                let (set, index) = place(sets, index);
                format!("{} {index}", crate::Labelled::name(set))
            }
        }
    }

    /// Ignored files, and damage in an archive because of which images may be missing: one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Reads image `index` and prepares it for a network.
    ///
    /// # Errors
    /// Returns a [`DataError`] that names the file if it cannot be read or decoded.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn prepare(&self, index: usize, preprocessing: &Preprocessing) -> Result<Vec<f32>, DataError> {
        let mut values = vec![0.0; preprocessing.shape().iter().product()];
        preprocessing.prepare(&self.pixels(index)?, &mut values);
        Ok(values)
    }

    fn pixels(&self, index: usize) -> Result<RgbImage, DataError> {
        let (file, bytes) = match &self.kind {
            ImageSource::File(path) => (DataFile::from_path(path), Cow::Owned(read(path)?)),
            ImageSource::Bytes(name, bytes) => (DataFile::from_path(name), Cow::Borrowed(&bytes[..])),
            ImageSource::Files(store, members) => (
                store.file(members.get(index)),
                Cow::Owned(store.read(members.get(index))?.bytes),
            ),
            ImageSource::Sets(sets) => {
                let (set, index) = place(sets, index);
                return Ok(pixels_of(set, index));
            }
        };
        let decoded = codec::decode(&bytes).map_err(|problem| DataError::BadImage { file, problem })?;
        Ok(decoded.pixels)
    }
}

/// The layout that has a file of this name.
fn layout_of(name: &str) -> Option<CifarLayout> {
    LAYOUTS
        .into_iter()
        .find(|layout| layout.all_files().any(|file| file == name))
}

/// The set of image `index`, counted over all sets, and its index in that set.
fn place(sets: &[ImageSet], mut index: usize) -> (&ImageSet, usize) {
    for set in sets {
        if index < set.len() {
            return (set, index);
        }
        index -= set.len();
    }
    panic!("no image {index} behind the last set");
}

fn pixels_of(set: &ImageSet, index: usize) -> RgbImage {
    let (image, plane) = (set.image(index), set.height() * set.width());
    RgbImage::from_fn(set.width() as u32, set.height() as u32, |x, y| {
        let at = y as usize * set.width() + x as usize;
        Rgb(std::array::from_fn::<_, CHANNELS, _>(|channel| {
            image[channel * plane + at]
        }))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(read_error(DataFile::from_path(path)))?;
    read_limited(file, DataFile::from_path(path))
}

/// Reads all of `input`, at most [`MOST_BYTES`]. Errors call it `file`.
fn read_limited(input: impl Read, file: DataFile) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    if let Err(error) = input.take(MOST_BYTES + 1).read_to_end(&mut bytes) {
        return Err(read_error(file)(error));
    }
    if bytes.len() as u64 > MOST_BYTES {
        return Err(DataError::TooLarge {
            file,
            bytes: MOST_BYTES + 1,
            limit: MOST_BYTES,
        });
    }
    Ok(bytes)
}
