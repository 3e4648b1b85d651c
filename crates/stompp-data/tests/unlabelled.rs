//! Images to classify, from files, folders, archives and data sets, are prepared as in an evaluation.

mod tree;

use std::fs;
use std::sync::Arc;
use stompp_data::cifar::{self, CifarLayout};
use stompp_data::synthetic::{Synthetic, SyntheticKind};
use stompp_data::{
    BadImages, ChannelStatistics, DataError, Examples, FileExamples, ImageExamples, ImageTree, Normalization,
    OnBadImage, Preprocessing, ResizeMethod, UnlabelledImages,
};
use tree::{Files, folder, jpeg, picture, png, tar, zip};

fn view(fit: ResizeMethod, side: usize) -> Preprocessing {
    Preprocessing::new(fit, side, ChannelStatistics::IMAGENET).unwrap()
}

fn files() -> Files {
    vec![
        ("val/cat/a.png".to_owned(), png(&picture(40, 30, 1))),
        ("val/cat/deep/b.jpeg".to_owned(), jpeg(&picture(50, 60, 2))),
        ("val/dog/c.png".to_owned(), png(&picture(24, 24, 3))),
        ("val/notes.txt".to_owned(), b"no image".to_vec()),
        ("val/.hidden.png".to_owned(), png(&picture(24, 24, 3))),
    ]
}

/// Images have the same bits as in an evaluation of the same files by class.
#[test]
fn files_are_prepared_as_an_evaluation_does() {
    let dir = folder(&files());
    let set = ImageTree::open(dir.path(), None).unwrap().val().unwrap().clone();
    let bad = BadImages::new(OnBadImage::Fail, &set);
    let examples = FileExamples::new(
        Arc::new(set),
        16,
        Normalization::new(ChannelStatistics::IMAGENET).unwrap(),
        bad,
    );
    let images = UnlabelledImages::open(dir.path()).unwrap();
    assert_eq!((images.len(), examples.len()), (3, 3));
    for index in 0..3 {
        let mut expected = vec![f32::NAN; 3 * 16 * 16];
        examples.prepare(0, index, &mut expected).unwrap();
        let view = view(ResizeMethod::CentreCrop, 16);
        assert_eq!(images.prepare(index, &view).unwrap(), expected);
        let file = UnlabelledImages::open(images.name(index)).unwrap();
        assert_eq!(file.prepare(0, &view).unwrap(), expected);
        assert_eq!(file.name(0), images.name(index));
        assert_eq!(view.image(&fs::read(images.name(index)).unwrap()).unwrap(), expected);
    }
}

#[test]
fn archives_are_as_folders() {
    let dir = folder(&files());
    let from_folder = UnlabelledImages::open(dir.path()).unwrap();
    let view = view(ResizeMethod::BoxMean, 8);
    for (name, bytes) in [
        ("all.tar", tar(&files())),
        ("all.zip", zip(&files(), false)),
        ("packed.zip", zip(&files(), true)),
    ] {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path().join(name);
        fs::write(&path, bytes).unwrap();
        let images = UnlabelledImages::open(&path).unwrap();
        assert_eq!(images.len(), 3);
        assert_eq!(images.name(2), format!("val/dog/c.png in {}", path.display()));
        for index in 0..3 {
            assert_eq!(
                images.prepare(index, &view).unwrap(),
                from_folder.prepare(index, &view).unwrap()
            );
        }
        assert_eq!(
            images.notes(),
            [format!(
                "{}: 2 files are not images by their names: val/.hidden.png, val/notes.txt",
                path.display()
            )]
        );
    }
}

#[test]
fn the_binary_version_of_cifar_is_read_whole_and_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let set = Synthetic {
        kind: SyntheticKind::Shapes,
        seed: 0,
        train: 50,
        test: 20,
    };
    set.write_to(dir.path()).unwrap();
    let normalization = Normalization::new(ChannelStatistics::IMAGENET).unwrap();
    let test = cifar::read(dir.path(), CifarLayout::Cifar10).unwrap().test;
    let examples = ImageExamples::new(Arc::new(test.shrink_to(16).unwrap()), normalization);
    let all = UnlabelledImages::open(dir.path()).unwrap();
    let file = UnlabelledImages::open(dir.path().join("test_batch.bin")).unwrap();
    assert_eq!((all.len(), file.len()), (70, 20));
    assert_eq!(
        (all.name(0), all.name(69)),
        ("cifar10 train 0".to_owned(), "cifar10 test 19".to_owned())
    );
    let name = format!("{} 19", dir.path().join("test_batch.bin").display());
    assert_eq!(file.name(19), name);
    for index in 0..20 {
        let mut expected = vec![f32::NAN; 3 * 16 * 16];
        examples.prepare(0, index, &mut expected).unwrap();
        let view = view(ResizeMethod::BoxMean, 16);
        assert_eq!(file.prepare(index, &view).unwrap(), expected);
        assert_eq!(all.prepare(50 + index, &view).unwrap(), expected);
    }
    // A `.bin` file with another name is recognized by its record size, as CIFAR-10 or CIFAR-100.
    fs::rename(dir.path().join("test_batch.bin"), dir.path().join("some.bin")).unwrap();
    assert_eq!(UnlabelledImages::open(dir.path().join("some.bin")).unwrap().len(), 20);
    fs::write(dir.path().join("other.bin"), vec![0; 3 * 3074]).unwrap();
    assert_eq!(UnlabelledImages::open(dir.path().join("other.bin")).unwrap().len(), 3);
    assert_eq!(
        UnlabelledImages::open(dir.path()).unwrap().len(),
        50,
        "the training images are there"
    );
}

#[test]
fn an_archive_of_cifar_is_known_by_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let records: Files = vec![
        ("cifar-100-binary/train.bin".to_owned(), vec![1; 4 * 3074]),
        ("cifar-100-binary/test.bin".to_owned(), vec![2; 2 * 3074]),
    ];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar(&records)).unwrap();
    for (name, bytes) in [
        ("c.tar", tar(&records)),
        ("c.zip", zip(&records, true)),
        ("c.tar.gz", gzip.finish().unwrap()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let images = UnlabelledImages::open(&path).unwrap();
        assert_eq!((images.len(), images.name(5)), (6, "cifar100 test 1".to_owned()));
    }
}

#[test]
fn digits_of_mnist_are_found_in_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let head = |kind: u8, sizes: &[u32]| {
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, kind].into_iter().chain(sizes).collect::<Vec<u8>>()
    };
    let pixels: Vec<u8> = (0..2 * 28 * 28).map(|i| (i % 251) as u8).collect();
    let images = [head(3, &[2, 28, 28]), pixels].concat();
    fs::write(dir.path().join("t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(
        dir.path().join("t10k-labels-idx1-ubyte"),
        [head(1, &[2]), vec![3, 4]].concat(),
    )
    .unwrap();
    let found = UnlabelledImages::open(dir.path()).unwrap();
    assert_eq!(
        (found.len(), found.name(1)),
        (2, format!("{} test 1", dir.path().display()))
    );
    // The digit as an image file gives the same values.
    let digit = image::RgbImage::from_fn(28, 28, |x, y| image::Rgb([((y * 28 + x) % 251) as u8; 3]));
    let view = view(ResizeMethod::Border, 16);
    assert_eq!(found.prepare(0, &view).unwrap(), view.image(&png(&digit)).unwrap());
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = folder(&vec![
        ("a/cut.png".to_owned(), png(&picture(40, 30, 1))[..60].to_vec()),
        ("b/readme.txt".to_owned(), b"text".to_vec()),
    ]);
    let open = |name: &str| UnlabelledImages::open(dir.path().join(name));
    let error = open("b").unwrap_err().to_string();
    assert!(
        error.contains("/b: has no images: expected names that end in"),
        "{error}"
    );
    assert!(matches!(open("gone.png"), Err(DataError::Read { .. })));
    let error = open("b/readme.txt").unwrap_err().to_string();
    assert!(
        error.contains("expected a folder, a .tar or a .zip of images"),
        "{error}"
    );
    let cut = open("a").unwrap();
    let error = cut.prepare(0, &view(ResizeMethod::BoxMean, 8)).unwrap_err().to_string();
    assert!(error.starts_with("image ") && error.contains("a/cut.png: "), "{error}");
    let given = UnlabelledImages::from_reader("from standard input", &b"text"[..]).unwrap();
    let error = given
        .prepare(0, &view(ResizeMethod::BoxMean, 8))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("image from standard input: is not an image"),
        "{error}"
    );
}
