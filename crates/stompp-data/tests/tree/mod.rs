//! Image files and archives for tests.
#![allow(dead_code, reason = "each test uses some of it")]

use image::{ImageFormat, Rgb, RgbImage};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Names and contents.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// A smooth picture, different for each seed and at each corner.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x * 200 / width, y * 200 / height);
        Rgb([
            (x + seed * 7) as u8 / 2,
            (y + seed * 13) as u8 / 2,
            ((x + y) / 2 + seed) as u8,
        ])
    })
}

pub(crate) fn jpeg(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = (image.width() as u16, image.height() as u16);
    jpeg_encoder::Encoder::new(&mut bytes, 95)
        .encode(image, width, height, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    bytes
}

pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A temporary folder with these files in their own folders.
pub(crate) fn folder(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

pub(crate) fn tar(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        // Written directly, because the builder would remove a leading `./`.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A tar with a tar for each first folder of the names.
pub(crate) fn nested_tar(files: &Files) -> Vec<u8> {
    let mut inner: BTreeMap<String, Files> = BTreeMap::new();
    for (name, bytes) in files {
        let (folder, rest) = name.split_once('/').unwrap();
        inner
            .entry(format!("{folder}.tar"))
            .or_default()
            .push((rest.to_owned(), bytes.clone()));
    }
    tar(&inner.into_iter().map(|(name, files)| (name, tar(&files))).collect())
}

pub(crate) fn zip(files: &Files, deflated: bool) -> Vec<u8> {
    let method = if deflated {
        zip::CompressionMethod::Deflated
    } else {
        zip::CompressionMethod::Stored
    };
    write_zip(
        files,
        zip::write::SimpleFileOptions::default().compression_method(method),
    )
}

/// A zip with the 64-bit fields of archives above 4 GiB.
pub(crate) fn zip64(files: &Files) -> Vec<u8> {
    write_zip(files, zip::write::SimpleFileOptions::default().large_file(true))
}

fn write_zip(files: &Files, options: zip::write::SimpleFileOptions) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Sets the time of a file or folder to a new value.
pub(crate) fn touch(path: &Path) {
    let time = SystemTime::now() + Duration::from_secs(1000);
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// ImageNet's `meta.mat` with these names of the numbers 1, 2, ... (see the reader for the format).
pub(crate) fn meta_mat(names: &[&str]) -> Vec<u8> {
    let element = |kind: u32, data: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let head = |class: u8| {
        [
            element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &[1, 0, 0, 0, 1, 0, 0, 0]),
        ]
        .concat()
    };
    let array = |class: u8, values: Vec<u8>| element(14, &[head(class), element(1, b""), values].concat());
    let mut structure = [head(2), element(1, b"synsets"), element(5, &[16, 0, 0, 0])].concat();
    structure.extend(element(1, b"ILSVRC2012_ID\0\0\0WNID\0\0\0\0\0\0\0\0\0\0\0\0"));
    for (number, name) in (1u8..).zip(names) {
        structure.extend(array(6, element(9, &f64::from(number).to_le_bytes())));
        structure.extend(array(4, element(16, name.as_bytes())));
    }
    [vec![b' '; 124], b"\0\x01IM".to_vec(), element(14, &structure)].concat()
}
