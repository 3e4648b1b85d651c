//! Saved lists of images: when they are used, what has changed since, and how large they are.

mod tree;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use stompp_data::{ImageTree, Labelled, SavedList, TreeChanges, TreeOptions};
use tempfile::TempDir;
use tree::{Files, folder, picture, png, tar, touch};

/// Three classes of two training images and one validation image.
fn files() -> Files {
    let image = |name: String, seed| (name, png(&picture(9, 8, seed)));
    let train = (0..6).map(|index| image(format!("train/n{}/{index}.png", index / 2), index));
    let val = (0..3).map(|class| image(format!("val/n{class}/v.png"), class + 50));
    train.chain(val).collect()
}

fn open(path: &Path) -> ImageTree {
    ImageTree::open(path, None).unwrap()
}

/// Opens a tree with the list in a file. The same list in memory must give the same tree.
fn open_saved(path: &Path, labels: Option<&Path>, index: &Path) -> ImageTree {
    let open = |index| {
        let options = TreeOptions {
            labels,
            index: Some(index),
            ..TreeOptions::default()
        };
        ImageTree::open_with(path, &options).unwrap()
    };
    let tree = open(SavedList::File(index));
    if let Ok(bytes) = fs::read(index) {
        assert_eq!(open(SavedList::Bytes(&bytes)).class_names(), tree.class_names());
    }
    tree
}

/// A folder, and the saved list of it in another.
fn saved() -> (TempDir, TempDir, PathBuf) {
    let (folder, place) = (folder(&files()), tempfile::tempdir().unwrap());
    let index = place.path().join("images");
    fs::write(&index, open(folder.path()).index(None)).unwrap();
    (folder, place, index)
}

/// The lines of a saved list.
fn text(index: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(index).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn write_text(index: &Path, text: &str) {
    let mut gzip = GzEncoder::new(File::create(index).unwrap(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap();
}

/// Replaces text that occurs.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1)
}

#[test]
fn a_list_is_used_only_while_it_holds() {
    let (folder, place, index) = saved();
    // A class name that only the list has, to detect whether a tree came from it.
    let marked = replaced(&text(&index), "\"n2\"]", "\"marked\"]");
    write_text(&index, &marked);
    let last = || open_saved(folder.path(), None, &index).class_names()[2].clone();
    assert_eq!(last(), "marked");
    let tree = open_saved(folder.path(), None, &index);
    let fresh = open(folder.path());
    for ((_, old), (_, new)) in tree.parts().zip(fresh.parts()) {
        assert_eq!(old.labels(), new.labels());
        for image in 0..new.len() {
            assert_eq!(old.load(image).unwrap(), new.load(image).unwrap());
        }
    }

    // The list is not used if it is for other labels, damaged or missing, or if a file was added.
    let labels = place.path().join("labels.csv");
    fs::write(&labels, "v,n0\n").unwrap();
    fs::remove_dir_all(folder.path().join("val/n1")).unwrap();
    fs::remove_dir_all(folder.path().join("val/n2")).unwrap();
    fs::write(&index, open(folder.path()).index(None)).unwrap();
    let marked = replaced(&text(&index), "\"n2\"]", "\"marked\"]");
    write_text(&index, &marked);
    assert_eq!(last(), "marked");
    let tree = open_saved(folder.path(), Some(&labels), &index);
    assert_eq!(tree.class_names()[2], "n2");
    for damaged in [
        replaced(&marked, ",0]\n", ",9]\n"),
        replaced(&marked, ",0]\n", ",-1]\n"),
        replaced(&marked, "\"version\":3", "\"version\":4"),
        replaced(&marked, "\"images\":6", "\"images\":7"),
        replaced(&marked, "\"images\":6", "\"images\":5"),
        replaced(&marked, "\"images\":6", "\"images\":18446744073709551615"),
        replaced(&marked, "[\"n0/0.png\"", "[0"),
        marked.trim_end().to_owned(),
        format!("{marked}\n"),
        String::new(),
    ] {
        write_text(&index, &damaged);
        assert_eq!(last(), "n2", "{damaged}");
    }
    write_text(&index, &marked);
    let whole = fs::read(&index).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(&index, &whole[..length]).unwrap();
        assert_eq!(last(), "n2", "cut off after {length} bytes");
    }
    let mut flipped = whole.clone();
    *flipped.iter_mut().rev().nth(5).unwrap() ^= 1;
    fs::write(&index, &flipped).unwrap();
    assert_eq!(last(), "n2", "the checksum is verified");
    fs::write(&index, &whole).unwrap();
    assert_eq!(last(), "marked");
    touch(&folder.path().join("train/n1"));
    assert_eq!(last(), "n2");
    fs::remove_file(&index).unwrap();
    assert_eq!(last(), "n2");
}

/// A list as it was written before the lists were compressed.
fn old_list(path: &Path, class: &str) -> String {
    let stamp = fs::metadata(path).unwrap();
    let modified = stamp.modified().unwrap().duration_since(std::time::UNIX_EPOCH);
    let (path, bytes, modified) = (path.display(), stamp.len(), modified.unwrap().as_nanos());
    let members = |part: &str, names: &[&str]| {
        let members: Vec<String> = (1u32..)
            .zip(names)
            .map(|(place, name)| format!(r#"{{"name":"{part}/{name}","bytes":{place},"place":{place}}}"#))
            .collect();
        members.join(",")
    };
    let train = members("train", &["n0/0.png", "n0/gone.png"]);
    let val = members("val", &["n0/v.png"]);
    format!(
        r#"{{"version":2,"path":"{path}","labels":null,"stamps":[{{"path":"{path}","bytes":{bytes},"modified":{modified}}}],"#
    ) + &format!(
        r#""classes":["n0","{class}"],"train":{{"store":"{path}","members":[{train}],"labels":[0,0],"ignored":["some"]}},"#
    ) + &format!(
        r#""val":{{"store":"{path}","members":[{val}],"labels":[0],"ignored":[]}},"missing":["no train","no val"],"faults":[]}}"#
    )
}

#[test]
fn a_list_of_an_older_version_is_still_used() {
    let place = tempfile::tempdir().unwrap();
    let (path, index) = (place.path().join("a.tar"), place.path().join("images.json"));
    fs::write(&path, tar(&files())).unwrap();
    let list = old_list(&path, "marked");
    fs::write(&index, &list).unwrap();
    let tree = open_saved(&path, None, &index);
    assert_eq!(tree.class_names(), ["n0", "marked"]);
    let train = tree.train().unwrap();
    assert_eq!((train.len(), train.image_name(1).as_str()), (2, "n0/gone.png"));
    assert_eq!(train.ignored(), ["some"]);
    let changes = open(&path).changes(SavedList::File(&index)).unwrap();
    assert_eq!(changes.gone, ["n0/gone.png"]);
    assert_eq!(
        changes.new,
        [
            "n0/1.png", "n1/2.png", "n1/3.png", "n2/4.png", "n2/5.png", "n1/v.png", "n2/v.png"
        ]
    );
    assert_eq!(changes.changed, ["n0/0.png", "n0/v.png"], "their sizes differ");
    for damaged in [
        replaced(&list, "\"version\":2", "\"version\":1"),
        replaced(&list, "[0,0]", "[0]"),
        replaced(&list, "[0,0]", "[0,2]"),
        list[..list.len() - 1].to_owned(),
    ] {
        fs::write(&index, damaged).unwrap();
        assert_eq!(open_saved(&path, None, &index).class_names(), ["n0", "n1", "n2"]);
        assert!(open(&path).changes(SavedList::File(&index)).is_none());
    }
}

#[test]
fn a_list_is_small() {
    // 5000 images, named as in ImageNet, with pseudorandom numbers and sizes.
    let mut random = 1u64;
    let mut next = |range: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % range
    };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    let mut names: Vec<String> = (0..5000)
        .map(|index| format!("n{:08}/n{:08}_{}.JPEG", index / 1250, index / 1250, index * 7 + next(7)))
        .collect();
    names.sort();
    names.dedup();
    let file = File::create(&path).unwrap();
    let mut at = 0;
    for name in &names {
        let mut header = ::tar::Header::new_gnu();
        header.set_path(format!("train/{name}")).unwrap();
        let bytes = 60_000 + next(100_000);
        header.set_size(bytes);
        header.set_cksum();
        std::os::unix::fs::FileExt::write_all_at(&file, header.as_bytes(), at).unwrap();
        at += 512 + bytes.next_multiple_of(512);
    }
    file.set_len(at + 1024).unwrap();
    let tree = open(&path);
    assert_eq!(tree.train().unwrap().len(), names.len());
    let bytes = tree.index(None).len() / names.len();
    assert!(bytes < 20, "{bytes} bytes an image");
}

#[test]
fn an_archive_that_was_written_again_is_listed_again() {
    let place = tempfile::tempdir().unwrap();
    let (path, index) = (place.path().join("a.tar"), place.path().join("images"));
    fs::write(&path, tar(&files())).unwrap();
    fs::write(&index, open(&path).index(None)).unwrap();
    let mut more = files();
    more.push(("train/n99/new.png".to_owned(), png(&picture(9, 9, 9))));
    fs::write(&path, tar(&more)).unwrap();
    let tree = open_saved(&path, None, &index);
    assert_eq!(tree.class_names(), ["n0", "n1", "n2", "n99"]);
}

#[test]
fn a_file_that_was_written_anew_is_read_as_it_is_and_told() {
    let folder = folder(&files());
    let tree = open(folder.path());
    let train = tree.train().unwrap();
    let path = folder.path().join("train/n0/0.png");
    train.load(0).unwrap();
    assert_eq!(train.changed_files(), [""; 0]);
    let repaired = picture(45, 33, 9);
    fs::write(&path, png(&repaired)).unwrap();
    touch(&path);
    assert_eq!(train.load(0).unwrap(), repaired);
    assert_eq!(train.changed_files(), [path.display().to_string()]);

    // Compared with the saved list, the list is the same and one file has changed.
    let index = folder.path().join("images");
    fs::write(&index, tree.index(None)).unwrap();
    assert!(
        tree.changes(SavedList::File(&index))
            .is_some_and(|changes| changes == TreeChanges::default())
    );
    let changes = open(folder.path()).changes(SavedList::File(&index)).unwrap();
    assert!(!changes.is_different_list());
    assert_eq!(changes.changed, ["n0/0.png"]);
    // A removed and an added file make a different list. The same images in an archive do not.
    fs::rename(&path, folder.path().join("train/n2/new.png")).unwrap();
    let changes = open(folder.path()).changes(SavedList::File(&index)).unwrap();
    assert!(changes.is_different_list());
    assert_eq!(
        (&*changes.gone, &*changes.new),
        (&["n0/0.png".to_owned()][..], &["n2/new.png".to_owned()][..])
    );
    let archive = folder.path().join("all.tar");
    fs::write(&archive, tar(&files())).unwrap();
    assert_eq!(
        open(&archive).changes(SavedList::File(&index)).unwrap(),
        TreeChanges::default()
    );
    assert!(tree.changes(SavedList::File(&folder.path().join("nothing"))).is_none());
}
