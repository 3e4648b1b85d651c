//! Faults that people report about programs that read images by class: files silently lost, counted twice or mistaken for data.

mod links;
mod tree;

use image::{DynamicImage, ImageFormat};
use links::{Link, tar_with_links, zip_with_links};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use stompp_data::cifar::Split;
use stompp_data::{DataError, ImageTree, Labelled, OnBadImage, TreeOptions, check};
use tree::{Files, folder, jpeg, picture, png, tar, zip};

/// Three classes of four training images and one validation image.
fn files() -> Files {
    let mut files = Files::new();
    for class in ["ant", "bee", "cat"] {
        for index in 0..4 {
            let seed = files.len() as u32;
            files.push((format!("train/{class}/{index}.jpg"), jpeg(&picture(20, 24, seed))));
        }
        files.push((format!("val/{class}/v.jpg"), jpeg(&picture(20, 24, files.len() as u32))));
    }
    files
}

/// The classes, and the name, label and pixels of each image.
type Contents = (Vec<String>, Vec<(String, u16, Vec<u8>)>);

fn contents(tree: &ImageTree) -> Contents {
    let of = |set: &stompp_data::ImageFileSet| -> Vec<_> {
        (0..set.len())
            .map(|index| {
                (
                    set.image_name(index),
                    set.labels()[index],
                    set.load(index).unwrap().into_raw(),
                )
            })
            .collect()
    };
    let images = tree.parts().flat_map(|(_, set)| of(set)).collect();
    (tree.class_names().to_vec(), images)
}

fn read(path: &Path) -> Contents {
    contents(&ImageTree::open(path, None).unwrap())
}

fn message(path: &Path) -> String {
    ImageTree::open(path, None).unwrap_err().to_string()
}

/// Opens a tree as `--on-bad-image skip` does.
fn skipping(path: &Path) -> ImageTree {
    let on_fault = OnBadImage::Skip;
    ImageTree::open_with(
        path,
        &TreeOptions {
            on_fault,
            ..TreeOptions::default()
        },
    )
    .unwrap()
}

fn ignored(tree: &ImageTree) -> Vec<String> {
    tree.parts().flat_map(|(_, set)| set.ignored().to_vec()).collect()
}

#[test]
#[cfg(unix)]
fn links_in_archives_are_followed_as_in_folders() {
    use std::os::unix::fs::symlink;
    let whole = folder(&files());
    // One class is a link to a folder, one image is a link to another image, and one is a hard link to the same file.
    fs::write(whole.path().join("train/ant/5.jpg"), jpeg(&picture(20, 24, 99))).unwrap();
    symlink("ant", whole.path().join("train/dog")).unwrap();
    symlink("../bee/1.jpg", whole.path().join("train/cat/link.jpg")).unwrap();
    fs::hard_link(
        whole.path().join("train/cat/0.jpg"),
        whole.path().join("train/cat/same.jpg"),
    )
    .unwrap();
    let expected = read(whole.path());
    assert_eq!(expected.0, ["ant", "bee", "cat", "dog"]);
    assert_eq!(expected.1.len(), 12 + 1 + 5 + 2 + 3);

    let mut files = files();
    files.push(("train/ant/5.jpg".to_owned(), jpeg(&picture(20, 24, 99))));
    let symbolic = [("train/dog", "ant"), ("train/cat/link.jpg", "../bee/1.jpg")];
    let mut links: Vec<_> = symbolic
        .iter()
        .map(|&(name, target)| (name, Link::Symbolic(target)))
        .collect();
    links.push(("train/cat/same.jpg", Link::Hard("train/cat/0.jpg")));
    let (tar, zip) = (whole.path().join("a.tar"), whole.path().join("a.zip"));
    fs::write(&tar, tar_with_links(&files, &links)).unwrap();
    assert_eq!(read(&tar), expected);
    // A zip has no hard links.
    files.push(
        files
            .iter()
            .find(|(name, _)| name == "train/cat/0.jpg")
            .cloned()
            .unwrap(),
    );
    files.last_mut().unwrap().0 = "train/cat/same.jpg".to_owned();
    fs::write(&zip, zip_with_links(&files, &symbolic)).unwrap();
    assert_eq!(read(&zip), expected);
}

#[test]
#[cfg(unix)]
fn circles_of_links_are_refused_and_pipes_counted() {
    use std::os::unix::fs::symlink;
    let whole = folder(&files());
    symlink("..", whole.path().join("train/cat/up")).unwrap();
    assert!(message(whole.path()).contains("train/cat/up: is a link to a folder that contains it"));
    let archive = whole.path().join("a.tar");
    fs::write(
        &archive,
        tar_with_links(&files(), &[("train/cat/up", Link::Symbolic(".."))]),
    )
    .unwrap();
    assert!(message(&archive).contains("train/cat/up is a link to a folder that contains it"));

    // A device, among the images of a tar.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Fifo);
    header.set_size(0);
    builder.append_data(&mut header, "train/cat/pipe.jpg", &[][..]).unwrap();
    for (name, bytes) in files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    fs::write(&archive, builder.into_inner().unwrap()).unwrap();
    let tree = ImageTree::open(&archive, None).unwrap();
    assert_eq!(
        ignored(&tree),
        ["train: ignored 1 neither file, folder nor link: cat/pipe.jpg"]
    );
}

#[test]
#[cfg(unix)]
fn dangling_links_are_bad_images_and_lost_classes_faults() {
    use std::os::unix::fs::symlink;
    let whole = folder(&files());
    symlink("nowhere.jpg", whole.path().join("train/cat/9.jpg")).unwrap();
    let archive = whole.path().join("a.tar");
    fs::write(
        &archive,
        tar_with_links(&files(), &[("train/cat/9.jpg", Link::Symbolic("/etc/passwd"))]),
    )
    .unwrap();
    for path in [whole.path(), &archive] {
        let tree = ImageTree::open(path, None).unwrap();
        let report = check::check_tree(&tree, |_| {});
        assert_eq!(
            (report.parts[0].images, report.parts[0].unreadable.len()),
            (13, 1),
            "{path:?}"
        );
        assert!(report.parts[0].unreadable[0].contains("9.jpg") && report.parts[0].unreadable[0].contains("is a link"));
    }
    fs::remove_file(whole.path().join("train/cat/9.jpg")).unwrap();
    symlink("../gone/dog", whole.path().join("train/dog")).unwrap();
    let error = ImageTree::open(whole.path(), None).unwrap_err();
    assert!(matches!(error, DataError::Incomplete(_)));
    assert!(
        error
            .to_string()
            .starts_with("train/dog is a link to ../gone/dog, which is not there"),
        "{error}"
    );
    assert_eq!(skipping(whole.path()).problems().len(), 1);
}

#[test]
fn folders_of_tools_are_no_classes_and_no_data() {
    let expected = read(folder(&files()).path());
    let image = jpeg(&picture(9, 9, 200));
    let mut more = files();
    for name in [
        "train/.ipynb_checkpoints/a-checkpoint.jpg",
        "train/cat/.ipynb_checkpoints/0-checkpoint.jpg",
        "train/bee/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg",
        "train/.Trash-1000/files/x.jpg",
        "__MACOSX/train/cat/._0.jpg",
        "val/$RECYCLE.BIN/x.jpg",
        ".git/train/x/y.jpg",
    ] {
        more.push((name.to_owned(), image.clone()));
    }
    more.push(("train/Thumbs.db".to_owned(), image.clone()));
    more.push(("train/cat/.DS_Store".to_owned(), image));
    let whole = folder(&more);
    let (a, b) = (whole.path().join("a.tar"), whole.path().join("b.zip"));
    fs::write(&a, tar(&more)).unwrap();
    fs::write(&b, zip(&more, true)).unwrap();
    for path in [whole.path(), &a, &b] {
        assert_eq!(read(path), expected, "{path:?}");
        let expected = [
            "train: ignored 4 hidden folders, or folders of tools: .Trash-1000, .ipynb_checkpoints, bee/@eaDir, cat/.ipynb_checkpoints",
            "train: ignored 2 hidden files, or files of tools: Thumbs.db, cat/.DS_Store",
            "val: ignored 1 hidden folders, or folders of tools: $RECYCLE.BIN",
        ];
        assert_eq!(ignored(&ImageTree::open(path, None).unwrap()), expected, "{path:?}");
    }
}

#[test]
fn what_is_left_out_is_said_and_more_kinds_are_read() {
    let mut files = files();
    let encoded = |format: ImageFormat| {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(picture(20, 24, 3))
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    };
    for (name, format) in [
        ("w.webp", ImageFormat::WebP),
        ("b.bmp", ImageFormat::Bmp),
        ("g.gif", ImageFormat::Gif),
        ("t.tiff", ImageFormat::Tiff),
        ("p.ppm", ImageFormat::Pnm),
    ] {
        files.push((format!("train/cat/{name}"), encoded(format)));
    }
    files.push(("train/cat/x.heic".to_owned(), b"?".to_vec()));
    files.push(("train/bee/y.heic".to_owned(), b"?".to_vec()));
    files.push(("train/bee/notes".to_owned(), b"?".to_vec()));
    let whole = folder(&files);
    fs::create_dir_all(whole.path().join("train/zebra/deeper")).unwrap();
    let tree = ImageTree::open(whole.path(), None).unwrap();
    assert_eq!(tree.train().unwrap().class_counts(), [4, 4, 9]);
    let report = check::check_tree(&tree, |_| {});
    assert_eq!(report.parts[0].unreadable, [""; 0]);
    assert_eq!(report.parts[0].modes["webp RGB"], 1);
    let expected = [
        "train: ignored 3 files that are not readable images: 1 without an extension, 2 .heic (the first: bee/notes)",
        "train: ignored 1 folders without images, which are not classes: zebra",
    ];
    assert_eq!(report.parts[0].ignored, expected);
}

#[test]
fn a_damaged_tar_says_what_is_missing() {
    let whole = tar(&files());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    // The offset of the header of the 7th file.
    let seventh = whole.windows(14).position(|part| part == b"train/bee/1.jp").unwrap();
    let next = whole.windows(14).position(|part| part == b"train/bee/2.jp").unwrap();
    let mut zeros = whole.clone();
    zeros[seventh..next].fill(0);
    let mut garbage = whole.clone();
    garbage[seventh..seventh + 512].fill(b'x');
    let twice = [whole.clone(), whole.clone()].concat();
    let cases = [
        (
            whole[..seventh].to_vec(),
            6,
            "has no end marker: it is cut off; 6 files before that were found, more may be",
        ),
        (
            whole[..next - 600].to_vec(),
            7,
            "is cut off inside train/bee/1.jpg; 6 files before that were found, more may be",
        ),
        (whole[..seventh + 100].to_vec(), 6, "is damaged at byte"),
        (whole[..whole.len() - 1024].to_vec(), 15, "has no end marker"),
        (
            zeros,
            6,
            "after its end marker; 6 files before that were found, at least 8 after it are lost",
        ),
        (
            garbage,
            6,
            "6 files before that were found, at least 8 after it are lost",
        ),
        (
            twice,
            15,
            "15 files before that were found, at least 15 after it are lost",
        ),
    ];
    for (bytes, files, problem) in cases {
        fs::write(&path, &bytes).unwrap();
        let error = message(&path);
        assert!(error.starts_with(&format!("{} ", path.display())), "{error}");
        assert!(error.contains(problem), "{error:?} should say {problem:?}");
        assert!(
            error.ends_with("(--on-bad-image skip uses the images that are left)"),
            "{error}"
        );
        let tree = skipping(&path);
        assert_eq!(tree.problems().len(), 1);
        assert_eq!(
            tree.parts().map(|(_, set)| set.len()).sum::<usize>(),
            files,
            "{problem}"
        );
        assert_eq!(check::check_tree(&tree, |_| {}).faults, tree.problems());
    }
    // One block of zeros is an end marker, and so are many.
    for end in [
        whole[..whole.len() - 512].to_vec(),
        [whole.clone(), vec![0; 9000]].concat(),
    ] {
        fs::write(&path, end).unwrap();
        assert_eq!(read(&path).1.len(), 15);
    }
    // The same in the tar of a class.
    let inner = tar(&vec![("0.jpg".to_owned(), jpeg(&picture(9, 9, 1)))]);
    let nested = tar(&vec![
        ("train/ant.tar".to_owned(), inner[..inner.len() - 1024].to_vec()),
        ("val/ant/v.jpg".to_owned(), jpeg(&picture(9, 9, 2))),
    ]);
    fs::write(&path, nested).unwrap();
    assert!(
        message(&path).contains("contains train/ant.tar, which has no end marker"),
        "{}",
        message(&path)
    );
}

#[test]
fn parts_are_found_below_other_folders() {
    let expected = read(folder(&files()).path());
    let mut kaggle: Files = files()
        .into_iter()
        .map(|(name, bytes)| (format!("ILSVRC/Data/CLS-LOC/{name}"), bytes))
        .collect();
    kaggle.push((
        "ILSVRC/Annotations/CLS-LOC/train/ant/0.xml".to_owned(),
        b"<xml>".to_vec(),
    ));
    kaggle.push(("ILSVRC/Annotations/CLS-LOC/val/v.xml".to_owned(), b"<xml>".to_vec()));
    kaggle.push(("ILSVRC/ImageSets/CLS-LOC/train_cls.txt".to_owned(), b"0".to_vec()));
    let whole = folder(&kaggle);
    let archives = tempfile::tempdir().unwrap();
    let (a, b) = (archives.path().join("a.tar"), archives.path().join("b.zip"));
    // Its names are too long for the old format.
    fs::write(&a, tar_with_links(&kaggle, &[])).unwrap();
    let windows: Files = kaggle
        .iter()
        .map(|(name, bytes)| (name.replace('/', "\\"), bytes.clone()))
        .collect();
    fs::write(&b, zip(&windows, true)).unwrap();
    for path in [whole.path(), &a, &b] {
        assert_eq!(read(path), expected, "{path:?}");
    }
    // A class may be called train.
    let mut trains = files();
    trains.push(("train/train/t.jpg".to_owned(), jpeg(&picture(9, 9, 1))));
    let parts = folder(&trains);
    let expected = read(parts.path());
    assert_eq!(expected.0, ["ant", "bee", "cat", "train"]);
    let below = |part: &str| -> Files {
        let of = |(name, bytes): &(String, Vec<u8>)| Some((name.strip_prefix(part)?.to_owned(), bytes.clone()));
        trains.iter().filter_map(of).collect()
    };
    let separate = tempfile::tempdir().unwrap();
    fs::write(separate.path().join("train.tar"), tar(&below("train/"))).unwrap();
    fs::write(separate.path().join("val.zip"), zip(&below("val/"), false)).unwrap();
    assert_eq!(read(separate.path()), expected);
    // Two sets in one folder are ambiguous: an error.
    let two: Files = files()
        .into_iter()
        .flat_map(|(name, bytes)| [(format!("a/{name}"), bytes.clone()), (format!("b/{name}"), bytes)])
        .collect();
    let two_folder = folder(&two);
    fs::write(&a, tar(&two)).unwrap();
    for path in [two_folder.path(), &a] {
        assert!(
            message(path).contains("contains more than one set of images"),
            "{}",
            message(path)
        );
    }
}

#[test]
fn what_is_there_instead_is_said() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar(&files())).unwrap();
    let gzip = gzip.finish().unwrap();
    for name in ["images.tar", "images.tar.gz", "images.tgz", "sub/train.tar.gz"] {
        let path = write(name, &gzip);
        let path = if name.starts_with("sub") {
            path.parent().unwrap().to_owned()
        } else {
            path
        };
        assert!(message(&path).contains("is compressed with gzip"), "{}", message(&path));
        assert!(message(&path).contains("`gunzip -c "), "{}", message(&path));
    }
    let seven = write("a.zip", b"7z\xbc\xaf\x27\x1c....");
    assert!(
        message(&seven).contains("is a 7z archive, expected"),
        "{}",
        message(&seven)
    );
    // The content of an archive determines its kind, not its name.
    let mistaken = write("really-a-zip.tar", &zip(&files(), false));
    assert_eq!(read(&mistaken).1.len(), 15);

    // The path is the folder of the classes itself, or its archive.
    let whole = folder(&files());
    let classes: Files = files()
        .into_iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix("train/")?.to_owned(), bytes)))
        .collect();
    let archive = write("classes.tar", &tar(&classes));
    for path in [&whole.path().join("train"), &archive] {
        let told = message(path);
        assert!(
            told.contains("it has folders with images (ant, bee, cat): if these are the classes"),
            "{told}"
        );
    }
    // Another name of val.
    fs::rename(whole.path().join("val"), whole.path().join("Validation")).unwrap();
    let tree = ImageTree::open(whole.path(), None).unwrap();
    let told = tree.val().unwrap_err().to_string();
    assert!(
        told.contains("has no val") && told.contains("it has Validation: rename it to val"),
        "{told}"
    );
    assert!(
        told.contains("--holdout N tests on N training images instead"),
        "{told}"
    );
}

#[test]
fn one_part_is_enough() {
    let whole = folder(&files());
    let (train, val) = (whole.path().join("train"), whole.path().join("val"));
    fs::rename(&val, whole.path().join("elsewhere")).unwrap();
    let tree = ImageTree::open(whole.path(), None).unwrap();
    assert_eq!((tree.train().unwrap().len(), tree.parts().count()), (12, 1));
    assert_eq!(check::check_tree(&tree, |_| {}).parts.len(), 1);
    fs::rename(&train, whole.path().join("other")).unwrap();
    fs::rename(whole.path().join("elsewhere"), &val).unwrap();
    assert_eq!(ImageTree::open(whole.path(), None).unwrap().val().unwrap().len(), 3);

    // Classes of the training may be missing. Other classes are an error.
    let classes: Vec<String> = ["ant", "bat", "bee", "cat"].map(str::to_owned).to_vec();
    let options = |classes| TreeOptions {
        part: Some(Split::Test),
        classes: Some(classes),
        ..TreeOptions::default()
    };
    let tree = ImageTree::open_with(whole.path(), &options(&classes)).unwrap();
    assert_eq!(tree.val().unwrap().labels(), [0, 2, 3]);
    let error = ImageTree::open_with(whole.path(), &options(&classes[1..]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is of class ant, which is not among the classes of the training"),
        "{error}"
    );
    // Only a flat val, whose list determines the classes.
    let list = whole.path().join("labels.csv");
    fs::write(&list, "image,class\na,bee\nb,ant\n").unwrap();
    fs::remove_dir_all(&val).unwrap();
    fs::create_dir(&val).unwrap();
    for name in ["a.png", "b.png"] {
        fs::write(val.join(name), png(&picture(9, 9, 1))).unwrap();
    }
    let tree = ImageTree::open(whole.path(), Some(&list)).unwrap();
    assert_eq!(
        (tree.class_names(), tree.val().unwrap().labels()),
        (&["ant".to_owned(), "bee".to_owned()][..], &[1, 0][..])
    );
}

#[test]
fn marks_of_byte_order_before_labels_are_read_over() {
    let mut flat: Files = files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("train"))
        .collect();
    flat.push(("val/x.png".to_owned(), png(&picture(9, 9, 1))));
    flat.push(("val/y.png".to_owned(), png(&picture(9, 9, 2))));
    let whole = folder(&flat);
    let text = "x.png bee\r\ny.png cat\r\n";
    let utf16 = |mark: u16, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(mark)
            .chain(text.encode_utf16())
            .flat_map(bytes)
            .collect()
    };
    let lists = [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf16(0xfeff, u16::to_le_bytes),
        utf16(0xfeff, u16::to_be_bytes),
    ];
    for list in lists {
        let path = whole.path().join("labels.txt");
        fs::write(&path, &list).unwrap();
        assert_eq!(
            ImageTree::open(whole.path(), Some(&path))
                .unwrap()
                .val()
                .unwrap()
                .labels(),
            [1, 2]
        );
        let path = whole.path().join("labels.csv");
        let commas: Vec<u8> = list
            .iter()
            .map(|&byte| if byte == b' ' { b',' } else { byte })
            .collect();
        fs::write(&path, &commas).unwrap();
        assert_eq!(
            ImageTree::open(whole.path(), Some(&path))
                .unwrap()
                .val()
                .unwrap()
                .labels(),
            [1, 2]
        );
    }
}

#[test]
fn tiny_imagenet_is_read_as_it_comes() {
    let image = |seed| jpeg(&picture(64, 64, seed));
    let mut files = Files::new();
    for (place, class) in ["n01", "n02"].into_iter().enumerate() {
        for index in 0..2 {
            let name = format!("tiny-imagenet-200/train/{class}/images/{class}_{index}.JPEG");
            files.push((name, image((place * 2 + index) as u32)));
        }
        files.push((
            format!("tiny-imagenet-200/train/{class}/{class}_boxes.txt"),
            b"x".to_vec(),
        ));
        files.push((
            format!("tiny-imagenet-200/val/images/val_{place}.JPEG"),
            image(place as u32),
        ));
        files.push((
            format!("tiny-imagenet-200/test/images/test_{place}.JPEG"),
            image(place as u32),
        ));
    }
    let annotations = b"val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n";
    files.push((
        "tiny-imagenet-200/val/val_annotations.txt".to_owned(),
        annotations.to_vec(),
    ));
    files.push(("tiny-imagenet-200/wnids.txt".to_owned(), b"n02\nn01\n".to_vec()));
    let whole = folder(&files);
    let archive = whole.path().join("tiny-imagenet-200.zip");
    fs::write(&archive, zip(&files, true)).unwrap();
    for path in [&whole.path().join("tiny-imagenet-200"), whole.path(), &archive] {
        let tree = ImageTree::open(path, None).unwrap();
        assert_eq!(tree.train().unwrap().class_counts(), [2, 2], "{path:?}");
        assert_eq!(tree.val().unwrap().labels(), [1, 0], "{path:?}");
        assert_eq!(tree.val().unwrap().load(1).unwrap().dimensions(), (64, 64));
    }
}
