//! Throughput of a loader with two workers, in images per second: CIFAR's augmentation, and random crops of 224x224 from files.
//!
//! `STOMPP_IMAGES` is the folder or archive to read. By default the benchmark generates JPEGs of 500x375. An element is an image.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use stompp_data::cifar::Split;
use stompp_data::synthetic::{Synthetic, SyntheticKind};
use stompp_data::{
    Augmentation, BadImages, ChannelStatistics, CropAugmentation, Examples, FileExamples, ImageExamples, ImageTree,
    Loader, Normalization, OnBadImage, Position,
};

const WORKERS: usize = 2;

/// Times `batches` batches of an endless training.
fn load(criterion: &mut Criterion, name: &str, examples: Arc<dyn Examples>, batch_size: usize, batches: usize) {
    let loader = Loader {
        batch_size,
        workers: WORKERS,
    };
    let mut stream = loader
        .train(examples, 0, Position::default())
        .expect("the set is large enough");
    let mut group = criterion.benchmark_group("loader");
    group.throughput(Throughput::Elements((batch_size * batches) as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for batch in stream.by_ref().take(batches) {
                black_box(batch.expect("every image can be read"));
            }
        });
    });
}

fn cifar(criterion: &mut Criterion) {
    let set = Synthetic {
        kind: SyntheticKind::Shapes,
        seed: 0,
        train: 10_000,
        test: 10,
    };
    let set = set.generate().expect("the set can be made").train;
    let normalization = Normalization::new(set.channel_statistics()).expect("the set is not of one colour");
    let augmentation = Augmentation { padding: 4 };
    let examples = ImageExamples::with_augmentation(Arc::new(set), normalization, augmentation, 0);
    load(criterion, "cifar", Arc::new(examples), 256, 390);
}

fn crops(criterion: &mut Criterion) {
    let made_up = tempfile::tempdir().expect("there is room for temporary files");
    let tree = match std::env::var_os("STOMPP_IMAGES") {
        Some(path) => ImageTree::open(Path::new(&path), None),
        None => {
            write_tree(made_up.path());
            ImageTree::open(made_up.path(), None)
        }
    };
    let set = Arc::new(
        tree.expect("there are images")
            .take_split(Split::Train)
            .expect("there are training images"),
    );
    let normalization = Normalization::new(ChannelStatistics::IMAGENET).expect("the constants are sound");
    let bad = BadImages::new(OnBadImage::Fail, &set);
    let augmentation = CropAugmentation { jitter: 0.0 };
    let examples = FileExamples::with_augmentation(set, 224, normalization, augmentation, 0, bad);
    load(criterion, "crops of 224", Arc::new(examples), 64, 16);
}

/// Two classes of 64 JPEGs with much detail.
fn write_tree(folder: &Path) {
    for part in ["train", "val"] {
        for class in 0..2u32 {
            let place = folder.join(part).join(class.to_string());
            fs::create_dir_all(&place).expect("the folder can be made");
            for index in 0..64u32 {
                let image = RgbImage::from_fn(500, 375, |x, y| {
                    let grain =
                        (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503_001) ^ index.wrapping_mul(977)) >> 27;
                    Rgb([x / 2 + grain, y / 2 + grain, (x + y) / 4 + grain].map(|value| value as u8))
                });
                image
                    .save(place.join(format!("{index}.jpg")))
                    .expect("the image can be written");
            }
        }
    }
}

criterion_group!(loader, cifar, crops);
criterion_main!(loader);
