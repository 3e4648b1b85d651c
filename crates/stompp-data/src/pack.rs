//! Shrinking a tree of images into one `.zip`: [`ImageTree::pack`].

use crate::codec::Decoded;
use crate::crop::{
    resize::{Region, resized},
    shrunk_size,
};
use crate::store::extension;
use crate::{BadImages, DataError, ImageFileSet, ImageTree, OnBadImage, Progress};
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;
use std::io::{self, BufWriter, Cursor, Write};
use std::path::Path;
use stompp_files::AtomicFile;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Ending of the new file's name.
const ENDING: &str = "zip";

/// Images that are shrunk at a time, and therefore in memory.
const AT_A_TIME: usize = 256;

/// What [`ImageTree::pack`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedImages {
    /// Images in the archive.
    pub images: usize,
    /// Number of them that were shrunk. The others are unchanged files.
    pub shrunk: usize,
    /// The errors of images that could not be read and were left out.
    pub left_out: Vec<String>,
}

impl ImageTree {
    /// Writes all images to the new file `path` (a `.zip`), which [`ImageTree::open`] and any archive program can read. Images whose
    /// shorter side is longer than `short_side` are shrunk to it and stored as PNG, so without further loss. Other files are copied
    /// unchanged. The archive itself does not compress them; each file has a CRC-32. Images keep their names, with the class as folder.
    /// `progress` is called with the number of images done.
    ///
    /// The archive is written atomically, and the same images give the same bytes. The work runs in rayon's current pool; at most 256
    /// images and their files are in memory at a time.
    ///
    /// # Errors
    /// Returns [`DataError::Write`] if the file cannot be written or `path` exists, [`DataError::Tree`] if `path` does not end in
    /// `.zip` or `short_side` is 0, and the error of a bad image as `on_bad` says.
    pub fn pack(
        &self,
        short_side: u32,
        on_bad: OnBadImage,
        path: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<PackedImages, DataError> {
        let write_error = |source| DataError::Write {
            path: path.to_owned(),
            source,
        };
        if path.exists() {
            return Err(write_error(io::ErrorKind::AlreadyExists.into()));
        }
        if short_side == 0 || extension(path) != ENDING {
            return Err(DataError::Tree {
                path: path.to_owned(),
                problem: format!("expected a name that ends in .{ENDING}, and a shorter side of at least 1"),
            });
        }
        let mut archive = AtomicFile::new(path).map_err(write_error)?;
        let mut writer = ZipWriter::new(BufWriter::new(archive.file()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o644);
        let mut packed = PackedImages {
            images: 0,
            shrunk: 0,
            left_out: Vec::new(),
        };
        let (mut done, total) = (0, self.images());
        for (name, set) in self.parts() {
            let bad = BadImages::new(on_bad, set);
            for start in (0..set.len()).step_by(AT_A_TIME) {
                let end = (start + AT_A_TIME).min(set.len());
                let files: Vec<_> = (start..end)
                    .into_par_iter()
                    .map(|index| shrunk_file(set, index, short_side))
                    .collect();
                for (index, file) in (start..end).zip(files) {
                    let (bytes, shrunk) = match file {
                        Ok(file) => file,
                        Err(error) => {
                            bad.record(index, error)?;
                            continue;
                        }
                    };
                    writer
                        .start_file(format!("{name}/{}", set.image_name(index)), options)
                        .map_err(|error| write_error(error.into()))?;
                    writer.write_all(&bytes).map_err(write_error)?;
                    packed.images += 1;
                    packed.shrunk += usize::from(shrunk);
                }
                done += end - start;
                progress(Progress { done, total });
            }
            packed.left_out.extend(bad.list());
        }
        let mut output = writer.finish().map_err(|error| write_error(error.into()))?;
        output.flush().map_err(write_error)?;
        drop(output);
        archive.create_new().map_err(write_error)?;
        Ok(packed)
    }
}

/// Returns an image's file for the archive, and whether it was shrunk.
fn shrunk_file(set: &ImageFileSet, index: usize, short_side: u32) -> Result<(Vec<u8>, bool), DataError> {
    let (Decoded { pixels, .. }, bytes) = set.inspect(index)?;
    let (width, height) = pixels.dimensions();
    if width.min(height) <= short_side {
        return Ok((bytes, false));
    }
    let small = resized(
        &pixels,
        Region::whole((width, height)),
        shrunk_size((width, height), short_side),
    );
    Ok((png(&small), true))
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes every image");
    bytes.into_inner()
}
