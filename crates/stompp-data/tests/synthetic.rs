//! The synthetic set: what it depends on, its path through the files of CIFAR, and its difficulty.

use stompp_data::cifar::{self, Splits};
use stompp_data::synthetic::{Synthetic, SyntheticKind};
use stompp_data::{ImageSet, Labelled, epoch_order};

const SMALL: Synthetic = Synthetic {
    kind: SyntheticKind::Shapes,
    seed: 3,
    train: 203,
    test: 100,
};

#[test]
fn the_bytes_never_change() {
    // Detects accidental changes of the generator. A deliberate change invalidates all earlier results on this set.
    let digest = |kind| {
        let Splits { train, test } = Synthetic { kind, ..SMALL }.generate().unwrap();
        // FNV-1a, 64 bits.
        let bytes = train.pixels().iter().chain(test.pixels());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    assert_eq!(digest(SyntheticKind::Shapes), 2960442257828153832);
    assert_eq!(digest(SyntheticKind::TexturedShapes), 8042220299667100210);
}

#[test]
fn an_image_depends_on_seed_split_and_index_only() {
    let sets = SMALL.generate().unwrap();
    let more = Synthetic {
        train: 1000,
        test: 500,
        ..SMALL
    }
    .generate()
    .unwrap();
    assert_eq!(sets.train.pixels(), &more.train.pixels()[..sets.train.pixels().len()]);
    assert_eq!(sets.test.pixels(), &more.test.pixels()[..sets.test.pixels().len()]);
    assert_ne!(sets.train.image(0), sets.test.image(0));
    assert_ne!(sets.train.image(0), sets.train.image(10));
    assert_ne!(
        sets.train.image(0),
        Synthetic { seed: 4, ..SMALL }.generate().unwrap().train.image(0)
    );
}

#[test]
fn written_sets_are_read_back_the_same() {
    for kind in [SyntheticKind::Shapes, SyntheticKind::TexturedShapes] {
        let synthetic = Synthetic { kind, ..SMALL };
        let folder = tempfile::tempdir().unwrap();
        synthetic.write_to(folder.path()).unwrap();
        let (read, generated) = (
            cifar::read(folder.path(), kind.layout()).unwrap(),
            synthetic.generate().unwrap(),
        );
        assert_eq!(
            (read.train.pixels(), read.train.labels()),
            (generated.train.pixels(), generated.train.labels())
        );
        assert_eq!(
            (read.test.pixels(), read.test.labels()),
            (generated.test.pixels(), generated.test.labels())
        );
        assert_eq!(generated.test.name(), format!("{} test", kind.name()));
        assert_eq!((generated.train.len(), generated.test.len()), (203, 100));
        let counts = generated.test.class_counts();
        assert!(
            counts.iter().all(|&count| count == 100 / kind.layout().classes()),
            "{counts:?}"
        );
    }
}

#[test]
fn coarse_labels_are_the_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let synthetic = Synthetic {
        kind: SyntheticKind::TexturedShapes,
        ..SMALL
    };
    synthetic.write_to(folder.path()).unwrap();
    let coarse = cifar::read(folder.path(), cifar::CifarLayout::Cifar100Coarse).unwrap();
    assert!(
        coarse
            .test
            .labels()
            .iter()
            .enumerate()
            .all(|(index, &label)| usize::from(label) == index / 10)
    );
}

#[test]
fn impossible_sets_are_refused() {
    let message = |synthetic: Synthetic| synthetic.generate().unwrap_err().to_string();
    assert_eq!(
        message(Synthetic { train: 4, ..SMALL }),
        "synthetic set: 4 train images cannot fill 5 files"
    );
    assert_eq!(
        message(Synthetic { test: 0, ..SMALL }),
        "synthetic set: 0 test images cannot fill 1 files"
    );
}

#[test]
fn what_cannot_be_written_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let message = SMALL.write_to(&nowhere).unwrap_err().to_string();
    assert!(message.starts_with(&format!(
        "cannot write {}: ",
        nowhere.join("data_batch_1.bin").display()
    )));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    std::fs::create_dir(folder.path().join("data_batch_2.bin")).unwrap();
    assert!(
        SMALL
            .write_to(folder.path())
            .unwrap_err()
            .to_string()
            .contains("data_batch_2.bin")
    );
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["data_batch_1.bin", "data_batch_2.bin"]);
}

#[test]
fn a_linear_model_stays_below_60_percent() {
    let sets = Synthetic {
        kind: SyntheticKind::Shapes,
        seed: 0,
        train: 6000,
        test: 2000,
    }
    .generate()
    .unwrap();
    let sets = Splits {
        train: sets.train.shrink_to(16).unwrap(),
        test: sets.test.shrink_to(16).unwrap(),
    };
    let accuracy = linear_accuracy(&sets.train, &sets.test);
    assert!((0.25..0.55).contains(&accuracy), "{accuracy}");

    // Control: the same images with the label painted into one row are easy for the same model.
    let accuracy = linear_accuracy(&painted(&sets.train), &painted(&sets.test));
    assert!(accuracy > 0.95, "{accuracy}");
}

/// The set with the label painted into the red channel of the first row.
fn painted(set: &ImageSet) -> ImageSet {
    let mut pixels = set.pixels().to_vec();
    for (image, &label) in pixels.chunks_exact_mut(set.image_bytes()).zip(set.labels()) {
        image[..10].fill(0);
        image[usize::from(label)] = 255;
    }
    ImageSet::new(
        "painted",
        (set.height(), set.width()),
        set.classes(),
        pixels,
        set.labels().to_vec(),
    )
    .unwrap()
}

/// Test accuracy of softmax regression on the normalized pixels, by stochastic gradient descent with a decreasing rate.
fn linear_accuracy(train: &ImageSet, test: &ImageSet) -> f32 {
    const EPOCHS: u64 = 12;
    let inputs = train.image_bytes();
    let statistics = train.channel_statistics();
    let features = |set: &ImageSet, index: usize| -> Vec<f32> {
        let plane = inputs / 3;
        let value = |(place, &byte): (usize, &u8)| {
            (f32::from(byte) / 255.0 - statistics.mean[place / plane]) / statistics.std[place / plane]
        };
        set.image(index).iter().enumerate().map(value).chain([1.0]).collect()
    };
    let mut weights = vec![0.0f32; 10 * (inputs + 1)];
    let scores = |weights: &[f32], x: &[f32]| -> Vec<f32> {
        weights
            .chunks_exact(x.len())
            .map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
            .collect()
    };
    for epoch in 0..EPOCHS {
        let rate = 1e-3 * (1.0 - epoch as f32 / EPOCHS as f32);
        for index in epoch_order(train.len(), 0, epoch) {
            let x = features(train, index);
            let scores = scores(&weights, &x);
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
            let sum: f32 = exps.iter().sum();
            for (class, row) in weights.chunks_exact_mut(x.len()).enumerate() {
                let gradient = exps[class] / sum - f32::from(u8::from(class == train.label(index)));
                row.iter_mut().zip(&x).for_each(|(w, x)| *w -= rate * gradient * x);
            }
        }
    }
    let right = (0..test.len()).filter(|&index| {
        let scores = scores(&weights, &features(test, index));
        scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 == test.label(index)
    });
    right.count() as f32 / test.len() as f32
}
