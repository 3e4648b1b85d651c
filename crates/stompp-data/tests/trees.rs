//! Trees of image files: the same images from a folder, a tar and a zip; their classes, labels and faults.

mod tree;

use std::fs;
use std::path::Path;
use stompp_data::{ImageFileSet, ImageTree, Labelled, OnBadImage};
use tree::{Files, folder, jpeg, nested_tar, picture, png, tar, zip, zip64};

/// Three classes of different sizes. One image is in a subfolder, one is a PNG named `.JPEG`, and some files are not images.
fn files() -> Files {
    let mut files: Files = Vec::new();
    for (class, images) in [("n01", 3), ("n02", 2), ("n10", 4)] {
        for image in 0..images {
            let seed = files.len() as u32;
            files.push((
                format!("train/{class}/{class}_{image}.JPEG"),
                jpeg(&picture(40 + seed, 30, seed)),
            ));
            files.push((format!("val/{class}/v{seed}.jpg"), jpeg(&picture(30, 44, seed + 100))));
        }
    }
    files.push(("train/n02/deep/er/x.png".to_owned(), png(&picture(50, 50, 200))));
    files.push(("train/n01/really_a_png.JPEG".to_owned(), png(&picture(33, 50, 201))));
    files.push(("train/n01/notes.txt".to_owned(), b"not an image".to_vec()));
    files.push(("val/n10/._v3.jpg".to_owned(), b"what macOS adds".to_vec()));
    files
}

/// Names, labels and pixels of all images.
fn contents(tree: &ImageTree) -> Vec<(String, usize, Vec<u8>)> {
    let of = |set: &ImageFileSet| -> Vec<_> {
        (0..set.len())
            .map(|index| {
                let pixels = set.load(index).unwrap().into_raw();
                (set.image_name(index), usize::from(set.labels()[index]), pixels)
            })
            .collect()
    };
    tree.parts().flat_map(|(_, set)| of(set)).collect()
}

fn open(path: &Path) -> ImageTree {
    ImageTree::open(path, None).unwrap()
}

fn message(path: &Path, labels: Option<&Path>) -> String {
    ImageTree::open(path, labels).unwrap_err().to_string()
}

#[test]
fn classes_are_sorted_and_images_found() {
    let folder = folder(&files());
    let tree = open(folder.path());
    assert_eq!(tree.class_names(), ["n01", "n02", "n10"]);
    assert_eq!(tree.train().unwrap().class_counts(), [4, 3, 4]);
    assert_eq!(tree.val().unwrap().class_counts(), [3, 2, 4]);
    assert_eq!(tree.train().unwrap().image_name(4), "n02/deep/er/x.png");
    assert_eq!(tree.train().unwrap().image_name(3), "n01/really_a_png.JPEG");
    assert_eq!(tree.train().unwrap().load(3).unwrap(), picture(33, 50, 201));
}

#[test]
fn every_container_gives_the_same_images() {
    let files = files();
    let whole = folder(&files);
    let expected = contents(&open(whole.path()));
    assert_eq!(expected.len(), 11 + 9);

    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let below = |top: &str| {
        files
            .iter()
            .map(|(name, bytes)| (format!("{top}{name}"), bytes.clone()))
            .collect()
    };
    fs::write(path("a.tar"), tar(&files)).unwrap();
    fs::write(path("top.tar"), tar(&below("imagenet/"))).unwrap();
    fs::write(path("dot.tar"), tar(&below("./"))).unwrap();
    fs::write(path("stored.zip"), zip(&files, false)).unwrap();
    fs::write(path("deflated.zip"), zip(&below("imagenet/"), true)).unwrap();
    fs::write(path("zip64.zip"), zip64(&files)).unwrap();
    for name in ["a.tar", "top.tar", "dot.tar", "stored.zip", "deflated.zip", "zip64.zip"] {
        assert_eq!(contents(&open(&path(name))), expected, "{name}");
    }

    // A part may be a separate archive, with or without a folder of its name.
    let part = |part: &str, keep: bool| -> Files {
        let of_part = files.iter().filter_map(|(name, bytes)| {
            let rest = name.strip_prefix(part)?.strip_prefix('/')?;
            Some((if keep { name.clone() } else { rest.to_owned() }, bytes.clone()))
        });
        of_part.collect()
    };
    for keep in [false, true] {
        let parts = tempfile::tempdir().unwrap();
        fs::write(parts.path().join("train.tar"), tar(&part("train", keep))).unwrap();
        fs::write(parts.path().join("val.zip"), zip(&part("val", keep), true)).unwrap();
        assert_eq!(contents(&open(parts.path())), expected);
        // The form of ImageNet's training set: a tar that contains a tar for each class.
        fs::write(parts.path().join("train.tar"), nested_tar(&part("train", false))).unwrap();
        assert_eq!(contents(&open(parts.path())), expected);
    }
}

#[test]
fn a_pack_has_the_same_images_shrunk_and_no_loss() {
    let whole = folder(&files());
    let tree = open(whole.path());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("small.zip");
    let mut told = Vec::new();
    let packed = tree
        .pack(32, OnBadImage::Fail, &path, |at| told.push((at.done, at.total)))
        .unwrap();
    assert_eq!(
        (packed.images, packed.left_out.len(), told),
        (20, 0, vec![(11, 20), (20, 20)])
    );
    let small = contents(&open(&path));
    let large = contents(&tree);
    let mut shrunk = 0;
    for (small, large) in small.iter().zip(&large) {
        assert_eq!((&small.0, small.1), (&large.0, large.1));
        shrunk += usize::from(small.2 != large.2);
    }
    assert_eq!(shrunk, packed.shrunk);
    assert!(shrunk > 0 && shrunk < 20, "{shrunk}");

    // Shrunk images equal, bit for bit, the resizing of an evaluation: 50x50 to 32x32.
    let pixels = &small.iter().find(|image| image.0 == "n02/deep/er/x.png").unwrap().2;
    let options = fast_image_resize::ResizeOptions::new().resize_alg(fast_image_resize::ResizeAlg::Convolution(
        fast_image_resize::FilterType::Bilinear,
    ));
    let pixel = fast_image_resize::PixelType::U8x3;
    let original = picture(50, 50, 200);
    let source = fast_image_resize::images::ImageRef::new(50, 50, &original, pixel).unwrap();
    let mut expected = fast_image_resize::images::Image::new(32, 32, pixel);
    fast_image_resize::Resizer::new()
        .resize(&source, &mut expected, &options)
        .unwrap();
    assert_eq!(pixels, expected.buffer());

    // A pack that shrinks nothing has the original files.
    let path = place.path().join("large.zip");
    tree.pack(64, OnBadImage::Fail, &path, |_| {}).unwrap();
    assert_eq!(contents(&open(&path)), large);

    let again = tree.pack(64, OnBadImage::Fail, &path, |_| {}).unwrap_err().to_string();
    assert!(
        again.starts_with(&format!("cannot write {}", path.display())),
        "{again}"
    );
    let other = tree
        .pack(64, OnBadImage::Fail, &place.path().join("x.tar"), |_| {})
        .unwrap_err()
        .to_string();
    assert!(other.contains("expected a name that ends in .zip"), "{other}");
}

#[test]
fn a_failed_pack_leaves_nothing() {
    let mut files = files();
    files[2].1.truncate(200);
    let whole = folder(&files);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.zip");
    let error = open(whole.path())
        .pack(32, OnBadImage::Fail, &path, |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains(&files[2].0), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// A flat `val` with images v0 to v8 (of classes n01 n01 n01 n02 n02 n10 n10 n10 n10), and a file of labels beside it.
fn flat(labels: &str, text: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let files: Files = files()
        .into_iter()
        .map(|(name, bytes)| match name.strip_prefix("val/") {
            Some(rest) => (format!("val/{}", rest.split_once('/').unwrap().1), bytes),
            None => (name, bytes),
        })
        .collect();
    let folder = folder(&files);
    let path = folder.path().join(labels);
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The flat images in the order of their names, with their classes.
const FLAT: [(&str, &str); 9] = [
    ("v0", "n01"),
    ("v10", "n10"),
    ("v12", "n10"),
    ("v14", "n10"),
    ("v16", "n10"),
    ("v2", "n01"),
    ("v4", "n01"),
    ("v6", "n02"),
    ("v8", "n02"),
];

#[test]
fn labels_of_a_flat_folder_come_in_three_forms() {
    let number = |class: &str| ["n01", "n02", "n10"].iter().position(|known| *known == class).unwrap();
    let lines = |line: &dyn Fn(&str, &str) -> String| {
        FLAT.iter()
            .rev()
            .map(|(name, class)| line(name, class))
            .collect::<String>()
    };
    let lists = [
        ("names.txt", lines(&|name, class| format!("{name}.jpg {class}\n"))),
        (
            "numbers.txt",
            lines(&|name, class| format!("val/{name}.jpg {}\n", number(class))),
        ),
        ("plain.csv", lines(&|name, class| format!("{name}.jpg,{class}\n"))),
        (
            "kaggle.csv",
            format!(
                "ImageId,PredictionString\n{}",
                lines(&|name, class| format!("{name},{class} 85 1 499 272 \n"))
            ),
        ),
    ];
    for (file, text) in lists {
        let (folder, labels) = flat(file, text.as_bytes());
        let tree = ImageTree::open(folder.path(), Some(&labels)).unwrap();
        assert_eq!(tree.val().unwrap().class_counts(), [3, 2, 4], "{file}");
        let names: Vec<String> = (0..9).map(|index| tree.val().unwrap().image_name(index)).collect();
        let expected: Vec<String> = FLAT.iter().map(|(name, class)| format!("{class}/{name}.jpg")).collect();
        assert_eq!(names, expected, "{file}");
    }
}

#[test]
fn the_official_ground_truth_needs_and_uses_its_meta_mat() {
    // In meta.mat 1 is n10, 2 is n01, 3 is n02: not the order of the names.
    let official = |class: &str| ["n10", "n01", "n02"].iter().position(|known| *known == class).unwrap() + 1;
    let text: String = FLAT.iter().map(|(_, class)| format!("{}\n", official(class))).collect();
    let (folder, labels) = flat("ILSVRC2012_validation_ground_truth.txt", text.as_bytes());
    let missing = message(folder.path(), Some(&labels));
    assert!(missing.contains("meta.mat"), "{missing}");
    fs::write(
        labels.with_file_name("meta.mat"),
        tree::meta_mat(&["n10", "n01", "n02", "n99"]),
    )
    .unwrap();
    let tree = ImageTree::open(folder.path(), Some(&labels)).unwrap();
    let expected: Vec<String> = FLAT.iter().map(|(name, class)| format!("{class}/{name}.jpg")).collect();
    assert!((0..9).map(|index| tree.val().unwrap().image_name(index)).eq(expected));

    for (change, part) in [
        (text.clone() + "1\n", "has 10 labels for 9 images"),
        (text.replace('3', "7"), "line 8: 7 is not a class of"),
        (text.replace('3', "4"), "line 8: class n99 has no training images"),
    ] {
        fs::write(&labels, change).unwrap();
        let message = message(folder.path(), Some(&labels));
        assert!(message.contains(part), "{message}");
    }
    fs::write(labels.with_file_name("meta.mat"), b"not a MATLAB file").unwrap();
    assert!(message(folder.path(), Some(&labels)).contains("meta.mat: is not a MATLAB file"));
}

#[test]
fn lists_that_do_not_fit_are_named_with_their_line() {
    let all: String = FLAT.iter().map(|(name, class)| format!("{name} {class}\n")).collect();
    for (text, part) in [
        (all.replace("v4 n01\n", ""), "has no label for image v4.jpg"),
        (
            all.replace("v4 n01", "v4 n07"),
            "line 7: class n07 has no training images",
        ),
        (all.replace("v4 n01", "v4"), "line 7: expected an image and its class"),
        (all.clone() + "v4 n10\n", "line 10: image v4 already has another class"),
        (all.replace("n01", "3"), "class 3 has no training images"),
    ] {
        let (folder, labels) = flat("list.txt", text.as_bytes());
        let message = message(folder.path(), Some(&labels));
        assert!(
            message.starts_with(&labels.display().to_string()) && message.contains(part),
            "{message}"
        );
    }
    let (folder, labels) = flat("list.txt", b"\xff\xfd");
    assert!(message(folder.path(), Some(&labels)).contains("expected text in UTF-8"));
    assert!(message(folder.path(), None).contains("a flat val needs a list of labels, given with --labels FILE"));
}

#[test]
fn trees_that_are_none_are_told() {
    let place = tempfile::tempdir().unwrap();
    assert!(message(&place.path().join("nowhere"), None).starts_with("cannot read "));
    assert!(message(place.path(), None).contains("has no train: expected a folder train"));
    type Case<'a> = (&'a [(&'a str, &'a [u8])], &'a str);
    let cases: [Case<'_>; 4] = [
        (
            &[("train/a/x.heic", b""), ("val/a/y.jpg", b"")],
            "has no images (.jpeg, .jpg, .jpe, .jfif, .png, .webp,",
        ),
        (
            &[("train/a/x.jpg", b""), ("train/b/x.heic", b""), ("val/a/y.jpg", b"")],
            "class b of train has files, but no images",
        ),
        (
            &[("train/x.jpg", b""), ("val/a/y.jpg", b"")],
            "training image x.jpg is not in the folder of a class",
        ),
        (
            &[("train/a/x.jpg", b""), ("val/b/y.jpg", b"")],
            "is of class b, which has no training images",
        ),
    ];
    for (files, part) in cases {
        let files: Files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
            .collect();
        let folder = folder(&files);
        let message = message(folder.path(), None);
        assert!(message.contains(part), "{message}");
        assert!(message.contains(&folder.path().display().to_string()), "{message}");
    }
    for name in ["a.tar.gz", "a.rar", "a"] {
        fs::write(place.path().join(name), b"x").unwrap();
        assert!(message(&place.path().join(name), None).contains("expected a folder, a .tar or a .zip"));
    }
}

#[test]
fn names_that_occur_twice_are_refused() {
    let mut twice = files();
    twice.push(twice[0].clone());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    fs::write(&path, tar(&twice)).unwrap();
    assert_eq!(
        message(&path, None),
        format!("{} holds {} twice", path.display(), twice[0].0)
    );
}

#[test]
fn parts_of_a_set_keep_their_images() {
    let folder = folder(&files());
    let tree = open(folder.path());
    let (held, rest) = tree.train().unwrap().hold_out(3, 5).unwrap();
    assert_eq!((held.class_counts(), rest.class_counts()), (vec![1; 3], vec![3, 2, 3]));
    let name = held.image_name(0);
    let index = (0..11)
        .find(|&index| tree.train().unwrap().image_name(index) == name)
        .unwrap();
    assert_eq!(held.load(0).unwrap(), tree.train().unwrap().load(index).unwrap());
}
