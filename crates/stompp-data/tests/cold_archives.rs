//! How much of an archive is read from the disk. In a file of its own, because the system counts for the whole process.
#![cfg(target_os = "linux")]

mod tree;

use rustix::fs::{Advice, OFlags, fadvise};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use stompp_data::ImageTree;
use tree::{Files, jpeg, picture, tar, zip};

/// Images in each archive, and bytes of each: as in ImageNet, but fewer.
const IMAGES: usize = 150;
const BYTES: usize = 110_000;

/// Bytes that this process has had read from a disk.
fn read_from_disk() -> u64 {
    let counts = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let count = counts.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Bytes read from the disk by `read`, when nothing of `path` is in memory.
fn cold<T>(path: &Path, read: impl FnOnce() -> T) -> (u64, T) {
    fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
    let before = read_from_disk();
    let result = read();
    (read_from_disk() - before, result)
}

/// Whether 512 bytes of the file can be read from the disk alone.
fn has_small_blocks(path: &Path) -> bool {
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path);
    let mut buffer = [0; 1024];
    let start = buffer.as_ptr().align_offset(512);
    file.is_ok_and(|file| file.read_exact_at(&mut buffer[start..start + 512], 512).is_ok())
}

#[test]
fn of_a_cold_archive_only_what_is_needed_is_read() {
    // Bytes after the end of a JPEG are not looked at.
    let mut image = jpeg(&picture(20, 20, 1));
    image.resize(BYTES, 7);
    let files: Files = (0..IMAGES)
        .map(|index| (format!("train/{}/{index}.jpg", index % 3), image.clone()))
        .collect();
    // Not in the folder of temporary files, which is often in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, bytes) in [("a.tar", tar(&files)), ("a.zip", zip(&files, false))] {
        let path = folder.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let size = bytes.len() as u64;
        let (whole, _) = cold(&path, || fs::read(&path).unwrap());
        if whole < size {
            // The file system is in memory, or the system does not count.
            eprintln!("not measured: a read of all {size} bytes counts as {whole}");
            return;
        }
        let (listed, tree) = cold(&path, || ImageTree::open(&path, None).unwrap());
        // Some disks have no smaller blocks than 4 KiB. A tar has a header beside each image.
        let most = if has_small_blocks(&path) { size / 50 } else { size / 16 };
        assert!(listed < most, "{name}: {listed} of {size} bytes to list it");
        let train = tree.train().unwrap();
        let some: Vec<usize> = (0..IMAGES).step_by(20).rev().collect();
        let (read, ()) = cold(&path, || {
            some.iter().for_each(|&index| drop(train.load(index).unwrap()))
        });
        let needed = (some.len() * BYTES) as u64;
        assert!(read < needed * 3 / 2, "{name}: {read} bytes for images of {needed}");
    }
}

#[test]
fn an_archive_larger_than_any_memory_is_listed_at_once() {
    // A header every 4 GB, and holes between them: 400 GB that take a few pages of the disk.
    const MEMBER: u64 = 4 << 30;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut file = File::create(&path).unwrap();
    let mut at = 0;
    for index in 0..100 {
        let mut header = ::tar::Header::new_gnu();
        header.set_path(format!("train/n{}/{index}.jpg", index % 2)).unwrap();
        header.set_size(MEMBER);
        header.set_cksum();
        std::os::unix::fs::FileExt::write_all_at(&file, header.as_bytes(), at).unwrap();
        at += 512 + MEMBER;
    }
    if let Err(error) = file.set_len(at + 1024) {
        eprintln!("not measured: this file system has no files of {at} bytes: {error}");
        return;
    }
    file.flush().unwrap();
    let tree = ImageTree::open(&path, None).unwrap();
    let train = tree.train().unwrap();
    assert_eq!((train.len(), train.class_names().len()), (100, 2));
    let error = train.load(0).unwrap_err().to_string();
    assert!(error.contains("refused, the limit is 268435456"), "{error}");
}
