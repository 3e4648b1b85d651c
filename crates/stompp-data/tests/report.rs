//! The report of a check, and the picture of a contact sheet.

mod tree;

use std::sync::Arc;
use stompp_data::check::{MinMeanMax, check_sets, check_tree};
use stompp_data::cifar::Split;
use stompp_data::{
    Augmentation, BadImages, ChannelStatistics, FileExamples, ImageExamples, ImageSet, ImageTree, Normalization,
    OnBadImage, contact_sheet,
};
use tree::{Files, folder, jpeg, picture, png};

#[test]
fn a_tree_is_counted_and_its_faults_found() {
    let grey = image::DynamicImage::ImageRgb8(picture(10, 20, 5)).into_luma8();
    let mut grey_png = std::io::Cursor::new(Vec::new());
    grey.write_to(&mut grey_png, image::ImageFormat::Png).unwrap();
    let same = png(&picture(30, 20, 1));
    let files: Files = vec![
        ("train/a/1.jpg".into(), jpeg(&picture(30, 20, 2))),
        ("train/a/2.png".into(), same.clone()),
        ("train/b/3.png".into(), grey_png.into_inner()),
        ("train/b/4.jpg".into(), jpeg(&picture(30, 20, 3))[..150].to_vec()),
        ("val/a/5.png".into(), same),
        ("val/b/6.png".into(), png(&picture(50, 20, 1))),
    ];
    let bytes: usize = files.iter().take(3).map(|(_, bytes)| bytes.len()).sum();
    let folder = folder(&files);
    let mut told = Vec::new();
    let report = check_tree(&ImageTree::open(folder.path(), None).unwrap(), |at| {
        told.push((at.done, at.total))
    });
    let [train, val] = &report.parts[..] else {
        panic!("two parts")
    };
    assert_eq!((train.images, val.images, told), (4, 2, vec![(4, 6), (6, 6)]));
    assert!(
        train
            .classes
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .eq([("a", 2), ("b", 2)])
    );
    assert_eq!(train.bytes, bytes as u64);
    assert_eq!((train.width.min, train.width.max), (10, 30));
    assert!((train.width.mean - 70.0 / 3.0).abs() < 1e-9);
    assert_eq!(
        train.height,
        MinMeanMax {
            min: 20,
            mean: 20.0,
            max: 20
        }
    );
    let modes: Vec<(&str, usize)> = train
        .modes
        .iter()
        .map(|(mode, count)| (mode.as_str(), *count))
        .collect();
    assert_eq!(modes, [("jpeg RGB", 1), ("png RGB", 1), ("png grey", 1)]);
    assert_eq!(train.unreadable.len(), 1);
    assert!(train.unreadable[0].contains("train/b/4.jpg"));
    assert_eq!(report.duplicates, [["train/a/2.png", "val/a/5.png"]]);
    let mean =
        |image: &image::RgbImage| f64::from(image.iter().map(|&v| u32::from(v)).sum::<u32>()) / image.len() as f64;
    let expected = (mean(&picture(30, 20, 1)) * 600.0 + mean(&picture(50, 20, 1)) * 1000.0) / 1600.0 / 255.0;
    let found = val.mean.unwrap().iter().sum::<f32>() / 3.0;
    assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn sets_in_memory_are_checked_alike() {
    let pixels = (0..48u8).chain(0..48).chain(1..49).collect();
    let train = ImageSet::new("made up train", (4, 4), 3, pixels, vec![0, 2, 2]).unwrap();
    let test = ImageSet::new("made up test", (4, 4), 3, vec![9; 48], vec![1]).unwrap();
    let report = check_sets(&[&train, &test]);
    assert_eq!(report.duplicates, [["made up train 0", "made up train 1"]]);
    let counts: Vec<usize> = report.parts[0].classes.values().copied().collect();
    assert_eq!(counts, [1, 0, 2]);
    let ChannelStatistics { mean, std } = train.channel_statistics();
    assert_eq!((report.parts[0].mean, report.parts[0].std), (Some(mean), Some(std)));
    assert_eq!(report.parts[1].std, Some([0.0; 3]));
}

/// The image in a cell of a sheet of images that are not enlarged.
fn cell(sheet: &image::RgbImage, place: u32, side: u32) -> image::RgbImage {
    let (column, row) = (place % 8, place / 8);
    let (left, top) = (4 + column * (side + 4), 4 + row * (side + 16));
    image::imageops::crop_imm(sheet, left, top, side, side).to_image()
}

#[test]
fn a_sheet_shows_what_the_network_gets() {
    let image = picture(160, 160, 1);
    let files: Files = (0..10)
        .map(|index| (format!("train/c/{index}.png"), png(&image)))
        .collect();
    let files = [files, vec![("val/c/x.png".to_owned(), png(&image))]].concat();
    let folder = folder(&files);
    let set = Arc::new(
        ImageTree::open(folder.path(), None)
            .unwrap()
            .take_split(Split::Train)
            .unwrap(),
    );
    let normalization = Normalization::new(ChannelStatistics::IMAGENET).unwrap();
    let bad = BadImages::new(OnBadImage::Fail, &set);
    // The centre 140 of 160 pixels is the image itself.
    let examples = FileExamples::new(set, 140, normalization.clone(), bad);
    let indices: Vec<usize> = (0..10).collect();
    let name = |_, label: usize| ["class c"][label].to_owned();
    let sheet = contact_sheet(&examples, &normalization, 0, &indices, name).unwrap();
    let sheet = image::load_from_memory(&sheet).unwrap().into_rgb8();
    assert_eq!(sheet.dimensions(), (8 * 144 + 4, 2 * 156 + 4));
    let expected = image::imageops::crop_imm(&image, 10, 10, 140, 140).to_image();
    for place in [0, 7, 9] {
        assert_eq!(cell(&sheet, place, 140), expected, "cell {place}");
    }
    // The class is written below the image in black. The cell after the last image is empty.
    let below = image::imageops::crop_imm(&sheet, 4, 4 + 140, 140, 12).to_image();
    let ink = below.pixels().filter(|pixel| pixel.0 == [0; 3]).count();
    assert!((40..250).contains(&ink), "{ink}");
    assert!(cell(&sheet, 10, 140).pixels().all(|pixel| pixel.0 == [255; 3]));
}

#[test]
fn small_images_are_enlarged_and_augmentations_shown() {
    let pixels = (0..2 * 3072u32).map(|i| (i * 7 / 32) as u8).collect();
    let set = ImageSet::new("made up", (32, 32), 2, pixels, vec![0, 1]).unwrap();
    let normalization = Normalization::new(set.channel_statistics()).unwrap();
    let set = Arc::new(set);
    let examples =
        ImageExamples::with_augmentation(Arc::clone(&set), normalization.clone(), Augmentation { padding: 4 }, 0);
    let sheet = |epoch| {
        let png = contact_sheet(&examples, &normalization, epoch, &[1], |_, label| label.to_string()).unwrap();
        image::load_from_memory(&png).unwrap().into_rgb8()
    };
    assert_ne!(sheet(0), sheet(1));
    let tile = cell(&sheet(0), 0, 128);
    assert!((0..128 * 128).all(|i| tile[(i % 128, i / 128)] == tile[(i % 128 / 4 * 4, i / 128 / 4 * 4)]));
    let crop = Augmentation { padding: 4 }.crop_params(0, 0, 1);
    let mut values = [0.0; 3072];
    crop.apply(set.image(1), (32, 32), &normalization, &mut values);
    let blue = values[2 * 1024 + 5 * 32 + 9];
    assert_eq!(normalization.table(2)[usize::from(tile[(9 * 4, 5 * 4)][2])], blue);
}
