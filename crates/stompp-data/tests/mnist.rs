//! MNIST's files: golden pixels, every name and place of the files, and the errors of damaged files.

use std::fs;
use std::io::Write;
use std::path::Path;
use stompp_data::Labelled;
use stompp_data::cifar::Split;
use stompp_data::mnist::{SIDE, read_available, read_split};

/// `count` images whose pixels encode their place, and labels 0, 1, 2, ...
fn files(count: u32) -> (Vec<u8>, Vec<u8>) {
    let mut images = [
        [0, 0, 8, 3],
        count.to_be_bytes(),
        28u32.to_be_bytes(),
        28u32.to_be_bytes(),
    ]
    .concat();
    for image in 0..count {
        images.extend((0..28 * 28).map(|at: u32| (image * 50 + at / 28 * 5 + at % 28) as u8));
    }
    let mut labels = [[0, 0, 8, 1], count.to_be_bytes()].concat();
    labels.extend((0..count).map(|label| label as u8));
    (images, labels)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn write(folder: &Path, names: [&str; 2], contents: [&[u8]; 2]) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in names.into_iter().zip(contents) {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];

#[test]
fn images_are_padded_and_their_channel_repeated() {
    let place = tempfile::tempdir().unwrap();
    let (images, labels) = files(3);
    write(place.path(), TRAIN, [&images, &labels]);
    let set = read_split(place.path(), "mnist", Split::Train).unwrap();
    assert_eq!(
        (set.name(), set.classes(), set.labels()),
        ("mnist train", 10, &[0, 1, 2][..])
    );
    assert_eq!((set.height(), set.width()), (SIDE, SIDE));
    let image = set.image(1);
    for channel in image.chunks(SIDE * SIDE) {
        // Row 2 and column 2 of the padded image are row 0 and column 0 of the file's image.
        assert_eq!(
            [channel[2 * SIDE + 2], channel[3 * SIDE + 2], channel[2 * SIDE + 3]],
            [50, 55, 51]
        );
        assert_eq!(channel[29 * SIDE + 29], (50 + 27 * 5 + 27) as u8);
        let border = |at: usize| [at / SIDE, at % SIDE].iter().any(|place| !(2..30).contains(place));
        assert!((0..SIDE * SIDE).filter(|&at| border(at)).all(|at| channel[at] == 0));
        assert_eq!(channel, &image[..SIDE * SIDE]);
    }
}

#[test]
fn every_name_and_place_of_the_files_is_known() {
    let (images, labels) = files(4);
    let expected = {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), TRAIN, [&images, &labels]);
        read_split(place.path(), "x", Split::Train).unwrap()
    };
    let (packed_images, packed_labels) = (gzip(&images), gzip(&labels));
    let gz = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"];
    let dots = ["train-images.idx3-ubyte", "train-labels.idx1-ubyte"];
    for (folder, names, contents) in [
        ("", gz, [&packed_images[..], &packed_labels]),
        ("MNIST/raw", gz, [&packed_images[..], &packed_labels]),
        ("raw", dots, [&images[..], &labels]),
        // A plain file named `.gz`, and a gzip file without `.gz`.
        ("", gz, [&images[..], &labels]),
        ("", TRAIN, [&packed_images[..], &packed_labels]),
    ] {
        let place = tempfile::tempdir().unwrap();
        write(&place.path().join(folder), names, contents);
        assert_eq!(
            read_split(place.path(), "x", Split::Train).unwrap(),
            expected,
            "{folder} {names:?}"
        );
        assert_eq!(read_available(place.path(), "x").unwrap().len(), 1);
        let message = read_split(place.path(), "x", Split::Test).unwrap_err().to_string();
        assert!(
            message.contains("expected a folder with t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"),
            "{message}"
        );
    }
}

#[test]
fn damaged_files_are_named() {
    let (images, labels) = files(4);
    let place = tempfile::tempdir().unwrap();
    let message = |images: &[u8], labels: &[u8]| {
        write(place.path(), TRAIN, [images, labels]);
        read_split(place.path(), "x", Split::Train).unwrap_err().to_string()
    };
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let cases = [
        (
            message(&images[..images.len() - 9], &labels),
            "idx3-ubyte: cannot read record 3",
        ),
        (
            message(&[&images[..], &[0]].concat(), &labels),
            "idx3-ubyte: has data after its last entry",
        ),
        (
            message(&changed(&images, 11, 27), &labels),
            "has images of 27x28, expected 28x28",
        ),
        (
            message(&changed(&images, 2, 9), &labels),
            "is not an idx file of bytes with 3 dimensions",
        ),
        (
            message(&changed(&images, 4, 255), &labels),
            "entries, expected 1 to 1048576",
        ),
        (
            message(&images, &labels[..10]),
            "idx1-ubyte: is cut off after 2 of 4 labels",
        ),
        (
            message(&images, &changed(&labels, 9, 10)),
            "record 1 has label 10, expected 0 to 9",
        ),
        (message(&images, &files(3).1), "idx1-ubyte: has 3 labels for 4 images"),
        (message(&gzip(&images)[..300], &labels), "idx3-ubyte"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
}
