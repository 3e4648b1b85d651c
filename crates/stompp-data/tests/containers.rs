//! Records from a folder, the official archive and a zip are the same, and every kind of damage is rejected.

mod tree;

use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use stompp_data::cifar::{self, CifarLayout, Split, Splits};
use stompp_data::{DataError, Labelled};
use tempfile::TempDir;
use tree::{Files, folder};

const RECORD: usize = 3073;
const CIFAR10: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Two records per file, all different, under the names and in the folder of the official CIFAR-10 archive.
fn official_files() -> Files {
    let record = |file: usize, index: usize| {
        let pixels = (0..RECORD - 1).map(move |byte| (byte * 7 + byte / 32 + file * 31 + index * 3) as u8);
        std::iter::once(((file * 2 + index) % 10) as u8).chain(pixels)
    };
    let file = |number: usize| (0..2).flat_map(|index| record(number, index)).collect();
    CIFAR10
        .iter()
        .enumerate()
        .map(|(number, name)| (format!("cifar-10-batches-bin/{name}"), file(number)))
        .collect()
}

fn tar(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn zip(files: &Files) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A temporary folder with one file in it.
fn placed(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read(path: &Path) -> Result<Splits, DataError> {
    cifar::read(path, CifarLayout::Cifar10)
}

fn message(path: &Path) -> String {
    read(path).unwrap_err().to_string()
}

/// The error message for the official files after `change`, from each kind of container, without paths.
fn messages(change: impl FnOnce(&mut Files)) -> [String; 3] {
    let mut files = official_files();
    change(&mut files);
    let directory = folder(&files);
    let (archive, tar_path) = placed("a.tar.gz", &gzip(&tar(&files)));
    let (zipped, zip_path) = placed("a.zip", &zip(&files));
    let without = |message: String, folder: &TempDir| message.replace(&folder.path().display().to_string(), "DIR");
    [
        without(message(directory.path()), &directory).replace("DIR/cifar-10-batches-bin", "DIR"),
        without(message(&tar_path), &archive),
        without(message(&zip_path), &zipped),
    ]
}

#[test]
fn every_container_gives_the_same_images() {
    let files = official_files();
    let directory = folder(&files);
    let (_tar, tar_path) = placed("cifar-10-binary.tar.gz", &gzip(&tar(&files)));
    let (_zip, zip_path) = placed("cifar-10-binary.zip", &zip(&files));

    let from_folder = read(directory.path()).unwrap();
    assert_eq!(
        from_folder,
        read(&directory.path().join("cifar-10-batches-bin")).unwrap()
    );
    assert_eq!(from_folder, read(&tar_path).unwrap());
    assert_eq!(from_folder, read(&zip_path).unwrap());
    let (_tar, path) = placed("reversed.tar.gz", &gzip(&tar(&files.into_iter().rev().collect())));
    assert_eq!(from_folder, read(&path).unwrap());
}

#[test]
fn images_and_labels_are_those_of_the_files() {
    let files = official_files();
    let Splits { train, test } = read(folder(&files).path()).unwrap();
    assert_eq!((train.name(), test.name()), ("cifar10 train", "cifar10 test"));
    assert_eq!(train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(test.labels(), [0, 1]);
    assert_eq!(train.image(3), &files[1].1[RECORD + 1..]);
    assert_eq!(test.image(0), &files[5].1[1..RECORD]);
}

#[test]
fn cifar100_has_two_kinds_of_labels() {
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; 3072]].concat();
    let files = vec![
        (
            "cifar-100-binary/train.bin".to_owned(),
            [record(3, 71), record(19, 99)].concat(),
        ),
        ("cifar-100-binary/test.bin".to_owned(), record(0, 5)),
    ];
    let (_archive, path) = placed("cifar-100-binary.tar.gz", &gzip(&tar(&files)));
    let fine = cifar::read(&path, CifarLayout::Cifar100Fine).unwrap();
    let coarse = cifar::read(&path, CifarLayout::Cifar100Coarse).unwrap();
    assert_eq!((fine.train.labels(), fine.train.classes()), (&[71, 99][..], 100));
    assert_eq!((coarse.train.labels(), coarse.train.classes()), (&[3, 19][..], 20));
    assert_eq!(fine.train.pixels(), coarse.train.pixels());
    assert_eq!(fine.test.image(0), [5; 3072]);
}

#[test]
fn missing_path_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nowhere", "nowhere.zip", "nowhere.tar.gz"] {
        let path = folder.path().join(name);
        assert!(message(&path).starts_with(&format!("cannot read {}: ", path.display())));
    }
}

#[test]
fn missing_file_is_named() {
    let found = "data_batch_1.bin, data_batch_2.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin";
    for (message, place) in messages(|files| drop(files.remove(2)))
        .iter()
        .zip(["DIR", "DIR/a.tar.gz", "DIR/a.zip"])
    {
        assert_eq!(
            message,
            &format!("{place} has no data_batch_3.bin, which cifar10 (binary version) needs; its .bin files: {found}")
        );
    }
}

#[test]
fn archive_of_another_data_set_is_told() {
    let other = |files: &mut Files| *files = vec![("cifar-100-binary/train.bin".to_owned(), vec![0; 3074])];
    for message in messages(other) {
        assert!(message.contains("has no data_batch_1.bin"), "{message}");
        // The folder has no CIFAR-10 subfolder, and other subfolders are ignored.
        assert!(
            message.ends_with("its .bin files: train.bin") || message.ends_with("its .bin files: none"),
            "{message}"
        );
    }
}

#[test]
fn truncated_record_is_named() {
    for (message, place) in messages(|files| files[1].1.truncate(RECORD + 100)).iter().zip(PLACES) {
        let file = place.replace("FILE", "data_batch_2.bin");
        assert_eq!(message, &format!("{file}: record 1 is cut off after 100 of 3073 bytes"));
    }
}

#[test]
fn empty_file_is_named() {
    for (message, place) in messages(|files| files[5].1.clear()).iter().zip(PLACES) {
        let file = place.replace("FILE", "test_batch.bin");
        assert_eq!(message, &format!("{file} is empty; expected records of 3073 bytes"));
    }
}

#[test]
fn label_out_of_range_is_named() {
    for (message, place) in messages(|files| files[4].1[RECORD] = 10).iter().zip(PLACES) {
        let file = place.replace("FILE", "data_batch_5.bin");
        assert_eq!(message, &format!("{file}: record 1 has label 10, expected 0 to 9"));
    }
}

const PLACES: [&str; 3] = ["DIR/FILE", "FILE in DIR/a.tar.gz", "FILE in DIR/a.zip"];

#[test]
fn file_that_occurs_twice_is_refused() {
    let mut files = official_files();
    files.push(("backup/data_batch_1.bin".to_owned(), files[0].1.clone()));
    let (_zip, path) = placed("a.zip", &zip(&files));
    assert_eq!(
        message(&path),
        format!("{} holds data_batch_1.bin twice", path.display())
    );
    let (_tar, path) = placed("a.tar.gz", &gzip(&tar(&files)));
    assert_eq!(
        message(&path),
        format!("{} holds data_batch_1.bin twice", path.display())
    );
}

#[test]
fn path_that_occurs_twice_in_a_zip_is_refused() {
    // The writer rejects duplicate names, so one name is changed afterwards to another of the same length.
    let mut files = official_files();
    files.push(("cifar-10-batches-bin/data_batch_6.bin".to_owned(), vec![1; RECORD]));
    let mut bytes = zip(&files);
    for place in 0..bytes.len() - 16 {
        if &bytes[place..place + 16] == b"data_batch_6.bin" {
            bytes[place + 11] = b'1';
        }
    }
    let (_zip, path) = placed("a.zip", &bytes);
    assert_eq!(message(&path), format!("{} holds one path twice", path.display()));
}

#[test]
fn truncated_archives_are_named_wherever_they_end() {
    let files = official_files();
    for (name, whole) in [("a.tar.gz", gzip(&tar(&files))), ("a.zip", zip(&files))] {
        for cut in (0..whole.len()).step_by(whole.len() / 60).chain([whole.len() - 1]) {
            let (_folder, path) = placed(name, &whole[..cut]);
            let message = message(&path);
            assert!(message.contains(&path.display().to_string()), "cut at {cut}: {message}");
        }
    }
}

#[test]
fn truncated_tar_gz_names_the_record() {
    let whole = gzip(&tar(&official_files()));
    let (_folder, path) = placed("a.tar.gz", &whole[..whole.len() / 2]);
    let message = message(&path);
    assert!(
        message.contains(".bin in ") && message.contains("cannot read record"),
        "{message}"
    );
}

#[test]
fn damaged_bytes_never_pass_for_the_original() {
    let files = official_files();
    let original = read(folder(&files).path()).unwrap();
    for (name, whole) in [("a.tar.gz", gzip(&tar(&files))), ("a.zip", zip(&files))] {
        for place in (0..whole.len()).step_by(whole.len() / 150) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            let (_folder, path) = placed(name, &damaged);
            // Damage outside of the data, for example in a time stamp, may go unnoticed; damage in the data may not.
            match read(&path) {
                Ok(read) => assert_eq!(read, original, "{name} damaged at {place}"),
                Err(error) => assert!(error.to_string().contains(&path.display().to_string())),
            }
        }
    }
}

#[test]
fn absurd_size_in_a_tar_is_refused_unread() {
    let mut tar = tar(&official_files());
    let mut header = tar::Header::new_ustar();
    header.set_path("data_batch_1.bin").unwrap();
    header.set_size(3073 << 22);
    header.set_cksum();
    tar.splice(0..512, header.as_bytes().iter().copied());
    let (_folder, path) = placed("a.tar.gz", &gzip(&tar));
    assert_eq!(
        message(&path),
        format!(
            "data_batch_1.bin in {} is 12889096192 bytes large; refused, the limit is 536870912",
            path.display()
        )
    );
}

#[test]
fn absurd_size_in_a_zip_is_refused_unread() {
    let mut bytes = zip(&official_files());
    let entry = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    // Uncompressed size in the central directory: 3073 * 2^20 bytes.
    bytes[entry + 24..entry + 28].copy_from_slice(&(3073u32 << 20).to_le_bytes());
    let (_folder, path) = placed("a.zip", &bytes);
    assert_eq!(
        message(&path),
        format!(
            "data_batch_1.bin in {} is 3222274048 bytes large; refused, the limit is 536870912",
            path.display()
        )
    );
}

#[test]
fn archive_that_expands_without_end_is_refused() {
    // 600 MiB of an unneeded member, compressed to less than 3 MiB.
    let mut header = tar::Header::new_ustar();
    header.set_path("padding").unwrap();
    header.set_size(600 << 20);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..600).for_each(|_| gzip.write_all(&zeros).unwrap());
    let (_folder, path) = placed("a.tar.gz", &gzip.finish().unwrap());
    assert_eq!(
        message(&path),
        format!(
            "{} is 536870913 bytes large; refused, the limit is 536870912",
            path.display()
        )
    );
}

#[test]
fn unknown_kinds_of_files_are_refused() {
    for name in ["cifar.rar", "data_batch_1.bin", "cifar.tar", "cifar"] {
        let (_folder, path) = placed(name, b"anything");
        assert_eq!(
            message(&path),
            format!(
                "{}: expected a folder, a .tar.gz or a .zip with the cifar10 binary files",
                path.display()
            )
        );
    }
    for name in ["not-really.zip", "not-really.tar.gz"] {
        let (_folder, path) = placed(name, b"anything");
        assert!(message(&path).starts_with(&format!("cannot read {}: ", path.display())));
    }
}

#[test]
fn layouts_name_their_files() {
    assert_eq!(CifarLayout::Cifar10.files(Split::Train), &CIFAR10[..5]);
    assert_eq!(CifarLayout::Cifar10.files(Split::Test), &CIFAR10[5..]);
    assert_eq!(CifarLayout::Cifar100Fine.record_bytes(), 3074);
}

#[test]
fn names_kinds_and_versions_that_people_have() {
    let files = official_files();
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = folder(&files);
    let expected = cifar::read(whole.path(), CifarLayout::Cifar10).unwrap();
    let windows: Files = files
        .iter()
        .map(|(name, bytes)| (name.replace('/', "\\"), bytes.clone()))
        .collect();
    for path in [
        write("windows.zip", &zip(&windows)),
        write("cifar.tar", &tar(&files)),
        // The first bytes determine the kind of an archive.
        write("downloaded", &gzip(&tar(&files))),
        write("cifar.tgz", &gzip(&tar(&files))),
        write("misnamed.tar.gz", &zip(&files)),
    ] {
        assert_eq!(cifar::read(&path, CifarLayout::Cifar10).unwrap(), expected, "{path:?}");
    }
    let python = vec![
        ("cifar-10-batches-py/batches.meta".to_owned(), vec![1]),
        ("cifar-10-batches-py/data_batch_1".to_owned(), vec![1]),
    ];
    let message = cifar::read(
        write("cifar-10-python.tar.gz", &gzip(&tar(&python))),
        CifarLayout::Cifar10,
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.ends_with("its .bin files: none; it is the Python version"),
        "{message}"
    );
}

#[test]
fn one_split_is_read_alone() {
    let files = official_files();
    let expected = cifar::read(folder(&files).path(), CifarLayout::Cifar10).unwrap();
    let test = folder(&files[5..].to_vec());
    assert_eq!(
        cifar::read_split(test.path(), CifarLayout::Cifar10, Split::Test).unwrap(),
        expected.test
    );
    assert_eq!(
        cifar::read_available(test.path(), CifarLayout::Cifar10).unwrap(),
        [expected.test]
    );
    assert!(cifar::read_split(test.path(), CifarLayout::Cifar10, Split::Train).is_err());
    let train = folder(&files[..5].to_vec());
    assert_eq!(
        cifar::read_split(train.path(), CifarLayout::Cifar10, Split::Train).unwrap(),
        expected.train
    );
    assert_eq!(
        cifar::read_available(train.path(), CifarLayout::Cifar10).unwrap(),
        [expected.train]
    );
    // A subset of the training files is not a set.
    let message = cifar::read_available(folder(&files[1..].to_vec()).path(), CifarLayout::Cifar10)
        .unwrap_err()
        .to_string();
    assert!(message.contains("has no data_batch_1.bin"), "{message}");
}
