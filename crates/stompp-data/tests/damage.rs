//! A damaged image or archive is an error that names the file, or it is skipped and counted up to a limit. It is never a panic.

mod tree;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::sync::Arc;
use stompp_data::{
    BadImages, Batch, ChannelStatistics, CropAugmentation, DataError, FileExamples, ImageTree, Loader, Normalization,
    OnBadImage, Position, check, cifar::Split,
};
use tree::{Files, folder, jpeg, picture, png, tar, zip};

/// Images of each class.
const EACH: usize = 60;

/// Two classes of small images, JPEG and PNG. The tests damage the second half.
fn files() -> Files {
    let image = |index: usize| {
        let image = picture(24 + index as u32 % 7, 20, index as u32);
        if index.is_multiple_of(2) {
            jpeg(&image)
        } else {
            png(&image)
        }
    };
    let train = (0..2 * EACH).map(|index| (format!("train/{}/{index:03}.jpg", index / EACH), image(index)));
    let val = (0..2).map(|class| (format!("val/{class}/v.jpg"), image(class + 500)));
    train.chain(val).collect()
}

/// Damages a file in one of four ways. The first three can be detected from its bytes alone.
fn damage(bytes: &mut Vec<u8>, way: usize, rng: &mut ChaCha8Rng) {
    match way {
        0 => bytes.truncate(rng.random_range(0..bytes.len() - 16)),
        1 => bytes[..4].fill(0),
        2 => *bytes = b"<html>404</html>".to_vec(),
        _ => {
            let start = rng.random_range(0..bytes.len());
            let end = (start + 32).min(bytes.len());
            rng.fill(&mut bytes[start..end]);
        }
    }
}

#[test]
fn a_hundred_damaged_images_are_named_or_read_but_never_a_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut files = files();
    for (index, (_, bytes)) in files.iter_mut().take(100).enumerate() {
        damage(bytes, index % 4, &mut rng);
    }
    let folder = folder(&files);
    let tree = ImageTree::open(folder.path(), None).unwrap();
    let (mut named, mut read) = (0, 0);
    for (index, (name, _)) in files.iter().take(2 * EACH).enumerate() {
        match tree.train().unwrap().load(index) {
            Err(error) => {
                assert!(error.to_string().contains(name), "{error}");
                assert!(matches!(error, DataError::BadImage { .. }));
                named += 1;
            }
            Ok(_) => {
                // Undamaged, or overwritten in the middle: a JPEG has no checksum to detect this.
                assert!(index >= 100 || index % 4 == 3, "{name} passed");
                read += usize::from(index < 100);
            }
        }
    }
    assert!(named >= 75 && named + read == 100, "{named} named, {read} read");

    let report = check::check_tree(&tree, |_| {});
    assert_eq!(
        (report.parts[0].unreadable.len(), report.parts[1].unreadable.len()),
        (named, 0)
    );
}

#[test]
fn a_hundred_damaged_archives_never_give_damaged_images() {
    let files: Files = files().into_iter().step_by(5).collect();
    let files = [files, vec![("val/1/w.jpg".to_owned(), jpeg(&picture(20, 20, 7)))]].concat();
    let place = tempfile::tempdir().unwrap();
    let contents = |path: &std::path::Path| -> Result<Vec<Vec<u8>>, DataError> {
        let tree = ImageTree::open(path, None)?;
        (0..tree.train().unwrap().len())
            .map(|index| Ok(tree.train().unwrap().load(index)?.into_raw()))
            .collect()
    };
    let pack = place.path().join("a.zip");
    fs::write(place.path().join("a.tar"), tar(&files)).unwrap();
    ImageTree::open(place.path().join("a.tar"), None)
        .unwrap()
        .pack(16, OnBadImage::Fail, &pack, |_| {})
        .unwrap();
    let archives = [("x.zip", zip(&files, true)), ("y.zip", fs::read(&pack).unwrap())];
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for (name, whole) in archives {
        let path = place.path().join(name);
        fs::write(&path, &whole).unwrap();
        let original = contents(&path).unwrap();
        let mut refused = 0;
        for copy in 0..100 {
            let mut damaged = whole.clone();
            if copy % 4 == 0 {
                damaged.truncate(rng.random_range(0..whole.len()));
            } else {
                let at = rng.random_range(0..whole.len());
                damaged[at] ^= 1 << rng.random_range(0..8);
            }
            fs::write(&path, damaged).unwrap();
            // A zip has checksums of its members, deflated or stored, but not of its directory. So a damaged name or time may stay
            // undetected, but not a damaged image.
            match contents(&path) {
                Ok(read) => assert!(read.iter().all(|image| original.contains(image)), "{name}, copy {copy}"),
                Err(error) => {
                    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(refused >= 50, "{name}: {refused} refused");
    }
}

#[test]
fn a_tar_cut_anywhere_names_itself() {
    let whole = tar(&files());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    for cut in (0..whole.len() - 2000).step_by(whole.len() / 50) {
        fs::write(&path, &whole[..cut]).unwrap();
        let read = ImageTree::open(&path, None).and_then(|tree| {
            (0..tree.train().unwrap().len()).try_for_each(|index| tree.train().unwrap().load(index).map(drop))?;
            (0..tree.val().unwrap().len()).try_for_each(|index| tree.val().unwrap().load(index).map(drop))
        });
        let message = read.unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()), "cut at {cut}: {message}");
    }
}

/// Trains an epoch on 120 images of which `damaged` are cut off, in batches of 40.
fn epoch(damaged: &[usize], rule: OnBadImage, workers: usize) -> (Result<Vec<Batch>, DataError>, Vec<String>) {
    let mut files = files();
    for &index in damaged {
        files[index].1.truncate(99);
    }
    let folder = folder(&files);
    let set = Arc::new(
        ImageTree::open(folder.path(), None)
            .unwrap()
            .take_split(Split::Train)
            .unwrap(),
    );
    let bad = BadImages::new(rule, &set);
    let normalization = Normalization::new(ChannelStatistics::IMAGENET).unwrap();
    let augmentation = CropAugmentation { jitter: 0.4 };
    let examples = Arc::new(FileExamples::with_augmentation(
        set,
        16,
        normalization,
        augmentation,
        3,
        bad.clone(),
    ));
    let loader = Loader {
        batch_size: 40,
        workers,
    };
    let batches = loader
        .train(examples, 3, Position::default())
        .unwrap()
        .take(3)
        .collect();
    (batches, bad.list())
}

#[test]
fn bits_do_not_depend_on_the_number_of_workers() {
    let alone = epoch(&[], OnBadImage::Fail, 1).0.unwrap();
    assert!(alone.iter().all(|batch| batch.shape == [40, 3, 16, 16]));
    for workers in [2, 8] {
        assert_eq!(
            epoch(&[], OnBadImage::Fail, workers).0.unwrap(),
            alone,
            "{workers} workers"
        );
    }
    assert!(alone[0].images != alone[1].images);
}

#[test]
fn a_bad_image_may_be_left_out_and_is_listed() {
    let whole = epoch(&[], OnBadImage::Skip, 1);
    assert_eq!(whole.1, [""; 0]);
    let whole = whole.0.unwrap();
    for workers in [1, 2, 8] {
        let (batches, bad) = epoch(&[17], OnBadImage::Skip, workers);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].contains("train/0/017.jpg"), "{bad:?}");
        // The batch lacks the image, and all other images are unchanged.
        for (batch, whole) in batches.unwrap().iter().zip(&whole) {
            let kept: Vec<usize> = whole.indices.iter().copied().filter(|&index| index != 17).collect();
            assert_eq!(batch.indices, kept);
            assert_eq!(batch.shape, [kept.len(), 3, 16, 16]);
            let images = whole
                .images
                .chunks(768)
                .zip(&whole.indices)
                .filter(|(_, index)| **index != 17);
            assert!(batch.images.iter().eq(images.flat_map(|(image, _)| image)));
        }
    }
}

#[test]
fn a_bad_image_fails_if_it_is_to() {
    for workers in [1, 8] {
        let message = epoch(&[17], OnBadImage::Fail, workers).0.unwrap_err().to_string();
        assert!(
            message.starts_with("image ") && message.contains("train/0/017.jpg: "),
            "{message}"
        );
    }
}

#[test]
fn of_a_small_set_ten_may_be_left_out_and_no_more() {
    let ten: Vec<usize> = (20..30).collect();
    let (batches, bad) = epoch(&ten, OnBadImage::Skip, 2);
    assert_eq!(bad.len(), 10);
    assert_eq!(
        batches.unwrap().iter().map(|batch| batch.indices.len()).sum::<usize>(),
        110
    );
    let eleven: Vec<usize> = (20..31).collect();
    let message = epoch(&eleven, OnBadImage::Skip, 2).0.unwrap_err().to_string();
    assert!(message.starts_with("11 of 120 images of "), "{message}");
    assert!(message.contains("more than the 10 that may be left out"), "{message}");
}
