//! Runs on image files: trained, evaluated, and refused when the files are other ones.

use image::{Rgb, RgbImage};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use stompp_train::config::{Dataset, Method, OnBad, Time};
use stompp_train::{Callback, Checkpointing, RunConfig, RunResult, SavedRun, Session, Start, TrainError, data, train};
use tempfile::TempDir;

/// Training images of each of the three classes.
const EACH: usize = 40;

/// Three classes of images that differ in colour, of several sizes.
fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", EACH), ("val", 8)] {
        for (class, name) in ["ant", "bee", "cat"].into_iter().enumerate() {
            let place = folder.path().join(part).join(name);
            fs::create_dir_all(&place).unwrap();
            for index in 0..count as u32 {
                let image = RgbImage::from_fn(18 + index % 5, 20, |x, y| {
                    let mut pixel = [(x * 9 + index) as u8, (y * 8) as u8, (index * 5) as u8];
                    pixel[class] = 255;
                    Rgb(pixel)
                });
                image.save(place.join(format!("{index:02}.png"))).unwrap();
            }
        }
    }
    folder
}

fn config(images: &Path) -> RunConfig {
    let mut config = RunConfig::from_toml(
        "[network]\nmodel = 'resnet8'\nwidth = 4\n[method]\ntail = '0ba'\n[training]\nduration = '9ba'\nbatch_size = 40\n",
    )
    .unwrap();
    config.data.dataset = Dataset::Folder;
    config.data.path = Some(images.to_owned());
    config.data.image_size = 8;
    config.data.color_jitter = 0.2;
    config
}

fn run(config: &RunConfig, out: &Path, threads: usize) -> Result<RunResult, TrainError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(config, out, &mut []))
}

fn network(out: &Path) -> Vec<u8> {
    fs::read(out.join("network.safetensors")).unwrap()
}

#[test]
fn a_run_on_files_is_kept_and_evaluates_again() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    let result = run(&config(images.path()), &out, 2).unwrap();
    assert_eq!((result.train_images, result.test_images), (3 * EACH, 24));
    let classes: Vec<String> = serde_json::from_slice(&fs::read(out.join("classes.json")).unwrap()).unwrap();
    assert_eq!(classes, ["ant", "bee", "cat"]);
    let saved = SavedRun::load(&out).unwrap();
    assert_eq!(saved.config.data.classes, Some(3));
    assert_eq!(saved.record.mean, [0.485, 0.456, 0.406]);
    let score = saved.evaluate(&mut ()).unwrap();
    assert_eq!((score.top1, score.images), (result.top1, 24));

    // Another number of threads, and the files in a pack, are the same run to the bit.
    let again = place.path().join("again");
    run(&config(images.path()), &again, 1).unwrap();
    assert!(network(&again) == network(&out));
    let pack = place.path().join("images.pack");
    data::pack(&config(images.path()).data, 64, &pack, |_| {}).unwrap();
    let packed = place.path().join("packed");
    run(&config(&pack), &packed, 2).unwrap();
    assert!(network(&packed) == network(&out));

    // What is written can be fed back in; the seed is what makes a difference.
    let mut other = RunConfig::load(&out.join("config.toml")).unwrap();
    other.seed = 1;
    let differs = place.path().join("differs");
    run(&other, &differs, 2).unwrap();
    assert!(network(&differs) != network(&out));
}

#[test]
fn the_kept_list_is_used_and_other_classes_are_refused() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    run(&config(images.path()), &out, 1).unwrap();
    let index = out.join("images.json");
    // A list that still holds is believed.
    let list = fs::read_to_string(&index).unwrap();
    fs::write(&index, list.replace("\"ant\",\"bee\"", "\"ant\",\"bug\"")).unwrap();
    let evaluate = || SavedRun::load(&out).unwrap().evaluate(&mut ());
    let message = evaluate().unwrap_err().to_string();
    assert!(
        message.contains("classes.json: the run was trained on 3 classes, the data set has 3"),
        "{message}"
    );
    assert!(message.ends_with("class 1 was bee, now it is bug"), "{message}");
    // One that is damaged is made anew.
    fs::write(&index, &list[..list.len() / 3]).unwrap();
    evaluate().unwrap();

    let more = images.path().join("train/dog");
    fs::create_dir_all(&more).unwrap();
    fs::copy(images.path().join("train/ant/00.png"), more.join("x.png")).unwrap();
    let message = evaluate().unwrap_err().to_string();
    assert!(
        message.ends_with("the data set has 4; class 3 was none, now it is dog"),
        "{message}"
    );
}

/// Keeps what it is told of bad images.
#[derive(Default)]
struct Bad(Vec<String>);

impl Callback for Bad {
    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        self.0.extend_from_slice(images);
        Ok(())
    }
}

#[test]
fn bad_images_end_the_run_or_are_left_out_and_listed() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let bad = images.path().join("train/bee/07.png");
    fs::write(&bad, b"no image").unwrap();
    let mut config = config(images.path());
    let out = place.path().join("fails");
    let message = run(&config, &out, 2).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("image {}: is no image", bad.display())),
        "{message}"
    );
    assert!(!out.join("result.json").exists());

    config.data.on_bad_image = OnBad::Skip;
    let out = place.path().join("skips");
    let mut told = Bad::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| train(&config, &out, &mut [&mut told])).unwrap();
    assert_eq!(told.0.len(), 1);
    assert!(told.0[0].contains("train/bee/07.png"));
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let line = metrics.lines().find(|line| line.contains("\"bad-images\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["images"][0], told.0[0].as_str());

    // One of 24 test images is more than one of a hundred.
    fs::write(images.path().join("val/cat/03.png"), b"").unwrap();
    let message = run(&config, &place.path().join("too-many"), 2).unwrap_err().to_string();
    assert!(
        message.contains("1 of 24 images") && message.contains("val/cat/03.png"),
        "{message}"
    );
}

/// An image that was left out before an interruption is told at the end, though nobody meets it again.
#[test]
fn images_left_out_before_an_interruption_are_told_at_the_end() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    fs::write(images.path().join("train/bee/07.png"), b"no image").unwrap();
    let mut config = config(images.path());
    config.data.on_bad_image = OnBad::Skip;
    // So small batches that those prepared ahead of the last one do not have the image.
    config.training.batch_size = 2;
    config.training.duration = Time::Steps(62);
    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    let train = |told: &mut Bad| session.train(&config, &place.path().join("run"), &mut [told]);
    // Stopped after every step: the last part has one batch.
    session.stop.store(true, Ordering::Relaxed);
    let mut told = Bad::default();
    let mut parts = 1;
    while train(&mut told).is_err() {
        assert!(told.0.is_empty(), "it is told once, at the end");
        parts += 1;
    }
    assert_eq!(parts, 62);
    assert_eq!(told.0.len(), 1);
    assert!(told.0[0].contains("train/bee/07.png"));
}

#[test]
fn what_is_held_out_is_tested_on() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let mut config = config(images.path());
    config.data.holdout = Some(30);
    config.data.train_limit = Some(60);
    let run = |config: &RunConfig, name: &str| run(config, &place.path().join(name), 2).unwrap();
    let result = run(&config, "held-out");
    assert_eq!((result.train_images, result.test_images), (60, 30));
    let same = run(&config, "same");
    assert_eq!(result.test_loss, same.test_loss);
    config.data.split_seed = 1;
    assert_ne!(run(&config, "other").test_loss, result.test_loss);
    // The test images themselves are not touched: without them nothing changes.
    config.data.split_seed = 0;
    for class in ["ant", "bee", "cat"] {
        for index in 1..8 {
            fs::remove_file(images.path().join(format!("val/{class}/{index:02}.png"))).unwrap();
        }
    }
    assert_eq!(run(&config, "without").test_loss, result.test_loss);

    config.data = RunConfig::default().data;
    config.data.image_size = 8;
    (config.data.holdout, config.data.train_limit) = (Some(20), Some(50));
    config.method.name = Method::Ste;
    config.training.duration = Time::Steps(2);
    let result = run(&config, "generated");
    assert_eq!((result.train_images, result.test_images), (50, 20));
}

#[test]
fn another_number_of_classes_than_asked_for_is_refused() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let mut config = config(images.path());
    config.data.classes = Some(5);
    let message = run(&config, &place.path().join("run"), 1).unwrap_err().to_string();
    assert_eq!(message, "data.classes: 5: the data set has 3");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn coarse_labels_of_cifar_100_are_20_classes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("shapes");
    let mut config = RunConfig::default();
    config.data.dataset = Dataset::Synthetic100;
    (config.data.train_limit, config.data.test_limit) = (Some(200), Some(100));
    data::write_synthetic(&config.data, &folder).unwrap();
    for (dataset, classes) in [(Dataset::Cifar100, 100), (Dataset::Cifar100Coarse, 20)] {
        let mut config = self::config(&folder);
        config.data.dataset = dataset;
        config.data.color_jitter = 0.0;
        config.training.duration = Time::Steps(6);
        let out = place.path().join(dataset.name());
        run(&config, &out, 1).unwrap();
        let summary = fs::read_to_string(out.join("summary.txt")).unwrap();
        let shape = format!("{classes}x1x1");
        assert!(
            summary
                .lines()
                .any(|line| line.starts_with("fc ") && line.contains(&shape)),
            "{summary}"
        );
    }
}
