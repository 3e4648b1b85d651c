//! Batches: their order, their independence of threads, resuming, and what happens when a worker fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use stompp_data::{
    Augmentation, Batch, CropBatches, DataError, DataFile, Examples, ImageExamples, ImageSet, Loader, Normalization,
    Position, epoch_order,
};

const RECORDS: usize = 23;
const SEED: u64 = 5;
const START: Position = Position { epoch: 0, batch: 0 };

fn images() -> Arc<ImageSet> {
    let pixels = (0..RECORDS * 3 * 8 * 8)
        .map(|byte| (byte * 7 + byte / 64) as u8)
        .collect();
    let labels = (0..RECORDS as u16).map(|index| index % 4).collect();
    Arc::new(ImageSet::new("test", (8, 8), 4, pixels, labels).unwrap())
}

fn normalization() -> Normalization {
    Normalization::new(images().channel_statistics()).unwrap()
}

fn training_batches(workers: usize, start: Position) -> impl Iterator<Item = Batch> {
    let augmentation = Augmentation { padding: 2 };
    let examples = Arc::new(ImageExamples::with_augmentation(
        images(),
        normalization(),
        augmentation,
        SEED,
    ));
    Loader { batch_size: 5, workers }
        .train(examples, SEED, start)
        .unwrap()
        .map(Result::unwrap)
}

#[test]
fn an_epoch_follows_its_order_and_drops_the_rest() {
    let batches: Vec<Batch> = training_batches(1, START).take(9).collect();
    let positions: Vec<(u64, usize)> = batches.iter().map(|b| (b.position.epoch, b.position.batch)).collect();
    assert_eq!(
        positions,
        [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    );
    for (epoch, batches) in batches.chunks(4).enumerate() {
        let order = epoch_order(RECORDS, SEED, epoch as u64);
        for (batch, expected) in batches.iter().zip(order.chunks_exact(5)) {
            assert_eq!(batch.indices, expected);
            assert_eq!(batch.labels, expected.iter().map(|index| index % 4).collect::<Vec<_>>());
            assert_eq!((batch.shape, batch.images.len()), ([5, 3, 8, 8], 5 * 3 * 8 * 8));
        }
    }
}

#[test]
fn images_are_those_of_the_indices() {
    let augmentation = Augmentation { padding: 2 };
    for batch in training_batches(2, START).take(6) {
        for (image, &index) in batch.images.chunks(192).zip(&batch.indices) {
            let mut expected = [f32::NAN; 192];
            let crop = augmentation.crop_params(SEED, batch.position.epoch, index);
            crop.apply(images().image(index), (8, 8), &normalization(), &mut expected);
            assert_eq!(image, expected);
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_workers() {
    let alone: Vec<Batch> = training_batches(1, START).take(30).collect();
    for workers in [2, 3, 8, 50] {
        assert!(
            training_batches(workers, START).take(30).eq(alone.iter().cloned()),
            "{workers} workers"
        );
    }
}

#[test]
fn any_position_can_be_resumed_from() {
    let whole: Vec<Batch> = training_batches(2, START).take(14).collect();
    for done in 0..10 {
        let resumed: Vec<Batch> = training_batches(3, whole[done].position).take(14 - done).collect();
        assert_eq!(resumed, whole[done..]);
    }
    // A position beyond the end of an epoch continues in the next one.
    assert_eq!(
        training_batches(1, Position { epoch: 0, batch: 9 }).next().unwrap(),
        whole[9]
    );
}

#[test]
fn evaluation_is_in_order_and_complete() {
    for workers in [1, 2, 8] {
        let examples = Arc::new(ImageExamples::new(images(), normalization()));
        let loader = Loader {
            batch_size: 10,
            workers,
        };
        let batches: Vec<Batch> = loader.evaluate(examples).unwrap().map(Result::unwrap).collect();
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.shape[0]).collect();
        assert_eq!(sizes, [10, 10, 3]);
        assert!(batches.iter().flat_map(|batch| &batch.indices).copied().eq(0..RECORDS));
        let values: Vec<f32> = batches.into_iter().flat_map(|batch| batch.images).collect();
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(
            mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5,
            "mean {mean}, mean square {square}"
        );
    }
}

#[test]
fn impossible_loaders_are_refused() {
    let examples = || Arc::new(ImageExamples::new(images(), normalization()));
    let message = |batch_size, workers| {
        Loader { batch_size, workers }
            .train(examples(), 0, START)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(24, 1),
        "a batch size of 24 does not fit a set of 23 images: expected 1 to 23"
    );
    assert_eq!(
        message(0, 1),
        "a batch size of 0 does not fit a set of 23 images: expected 1 to 23"
    );
    assert_eq!(message(23, 0), "a loader needs at least one worker thread");
    assert!(
        Loader {
            batch_size: 0,
            workers: 1
        }
        .evaluate(examples())
        .is_err()
    );
    assert_eq!(
        Loader {
            batch_size: 24,
            workers: 1
        }
        .evaluate(examples())
        .unwrap()
        .count(),
        1
    );
}

/// Examples that fail at one index, with an error or a panic, and count the prepared images.
struct Faulty {
    at: usize,
    panics: bool,
    prepared: AtomicUsize,
}

impl Examples for Faulty {
    fn len(&self) -> usize {
        100
    }

    fn shape(&self) -> [usize; 3] {
        [1, 1, 1]
    }

    fn prepare(&self, _: u64, index: usize, image: &mut [f32]) -> Result<Option<usize>, DataError> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        if index != self.at {
            image.fill(1.0);
            return Ok(Some(index));
        }
        assert!(!self.panics, "no such image: {index}");
        let file = DataFile::from_path("image.png");
        Err(DataError::Read {
            file,
            source: std::io::Error::other("broken"),
        })
    }
}

/// Evaluates examples that fail at index 45, in batches of 10: the number of good batches and the error after them.
fn evaluate_faulty(panics: bool, workers: usize) -> (usize, String) {
    let examples = Arc::new(Faulty {
        at: 45,
        panics,
        prepared: AtomicUsize::new(0),
    });
    let batches = Loader {
        batch_size: 10,
        workers,
    }
    .evaluate(examples)
    .unwrap();
    let (good, mut errors): (Vec<_>, Vec<_>) = batches.partition(Result::is_ok);
    assert_eq!(errors.len(), 1, "nothing comes after an error");
    (good.len(), errors.remove(0).unwrap_err().to_string())
}

#[test]
fn an_error_takes_the_place_of_its_batch() {
    for workers in [1, 2, 8] {
        assert_eq!(
            evaluate_faulty(false, workers),
            (4, "cannot read image.png: broken".to_owned())
        );
    }
}

#[test]
fn a_panic_takes_the_place_of_its_batch() {
    for workers in [1, 2, 8] {
        assert_eq!(
            evaluate_faulty(true, workers),
            (4, "a loader thread panicked: no such image: 45".to_owned())
        );
    }
}

#[test]
fn dropping_stops_the_workers() {
    let examples = Arc::new(Faulty {
        at: usize::MAX,
        panics: false,
        prepared: AtomicUsize::new(0),
    });
    let (done, is_done) = mpsc::channel();
    let ours = Arc::clone(&examples);
    std::thread::spawn(move || {
        let mut batches = Loader {
            batch_size: 10,
            workers: 3,
        }
        .train(ours, 0, START)
        .unwrap();
        batches.next().unwrap().unwrap();
        drop(batches);
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(30))
        .expect("dropping must not hang");
    // The workers have dropped the examples, and memory was bounded: three batches each, and the one received.
    assert_eq!(Arc::strong_count(&examples), 1);
    assert!(examples.prepared.load(Ordering::Relaxed) <= (3 * 3 + 1) * 10);
}

#[test]
fn placed_batches_are_those_of_the_loader() {
    let start = Position { epoch: 1, batch: 3 };
    let placed = CropBatches::train(images(), 5, Some(Augmentation { padding: 2 }), SEED, start, None).unwrap();
    for (placed, batch) in placed.zip(training_batches(2, start)).take(7) {
        assert_eq!((placed.position, &placed.labels), (batch.position, &batch.labels));
        for ((index, crop), image) in placed.crops.into_iter().zip(batch.images.chunks(192)) {
            let mut cropped = [f32::NAN; 192];
            crop.apply(images().image(index), (8, 8), &normalization(), &mut cropped);
            assert_eq!(cropped, image);
        }
    }
    let sizes: Vec<usize> = CropBatches::evaluate(images(), 5, None)
        .unwrap()
        .map(|batch| batch.labels.len())
        .collect();
    assert_eq!(sizes, [5, 5, 5, 5, 3]);
    // Parts of batches, and of an evaluation.
    let whole = CropBatches::train(images(), 5, None, SEED, start, None).unwrap();
    let parts = [0..2, 2..5].map(|part| CropBatches::train(images(), 5, None, SEED, start, Some(part)).unwrap());
    let [first, second] = parts;
    for (whole, (first, second)) in whole.zip(first.zip(second)).take(7) {
        assert_eq!([first.crops, second.crops].concat(), whole.crops);
        assert_eq!([first.labels, second.labels].concat(), whole.labels);
    }
    let evaluated = CropBatches::evaluate(images(), 5, Some(4..11)).unwrap();
    let indices: Vec<usize> = evaluated
        .flat_map(|batch| batch.crops)
        .map(|(index, _)| index)
        .collect();
    assert_eq!(indices, (4..11).collect::<Vec<_>>());
    for size in [0, RECORDS + 1] {
        let refused = CropBatches::train(images(), size, None, SEED, START, None);
        assert!(matches!(refused, Err(DataError::BatchSize { .. })), "{size}");
    }
}

#[test]
fn parts_of_batches_are_together_the_batches() {
    let examples = || {
        let augmentation = Augmentation { padding: 2 };
        Arc::new(ImageExamples::with_augmentation(
            images(),
            normalization(),
            augmentation,
            SEED,
        ))
    };
    let loader = Loader {
        batch_size: 5,
        workers: 2,
    };
    let start = Position { epoch: 1, batch: 3 };
    let whole: Vec<Batch> = training_batches(1, start).take(6).collect();
    let parts = [0..2, 2..3, 3..5].map(|part| {
        let batches = loader.train_part(examples(), SEED, start, part).unwrap();
        batches.take(6).map(Result::unwrap).collect::<Vec<_>>()
    });
    for (number, whole) in whole.iter().enumerate() {
        assert!(parts.iter().all(|part| part[number].position == whole.position));
        let joined: Vec<f32> = parts.iter().flat_map(|part| part[number].images.clone()).collect();
        assert_eq!(joined, whole.images);
        let indices: Vec<usize> = parts.iter().flat_map(|part| part[number].indices.clone()).collect();
        assert_eq!(indices, whole.indices);
    }
    let evaluated: Vec<usize> = [0..9, 9..9, 9..RECORDS]
        .into_iter()
        .flat_map(|part| loader.evaluate_part(examples(), part).unwrap())
        .flat_map(|batch| batch.unwrap().indices)
        .collect();
    assert_eq!(evaluated, (0..RECORDS).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "is no part of a batch of 5")]
fn a_part_behind_the_batch_panics() {
    let examples = Arc::new(ImageExamples::new(images(), normalization()));
    let loader = Loader {
        batch_size: 5,
        workers: 1,
    };
    let _ = loader.train_part(examples, SEED, START, 3..6);
}
