//! Runs on image files: trained, evaluated, and refused when the files are other ones.

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use stompp_train::config::{Dataset, Method, OnBadImage, Time};
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

/// The same images in `place`, the class `bee` and all images of `cat` as links.
#[cfg(unix)]
fn linked_folder(images: &Path, place: &Path) -> PathBuf {
    use std::os::unix::fs::symlink;
    for part in ["train", "val"] {
        fs::create_dir_all(place.join(part).join("cat")).unwrap();
        symlink(images.join(part).join("ant"), place.join(part).join("ant")).unwrap();
        symlink(images.join(part).join("bee"), place.join(part).join("bee")).unwrap();
        for image in fs::read_dir(images.join(part).join("cat")).unwrap() {
            let image = image.unwrap();
            symlink(image.path(), place.join(part).join("cat").join(image.file_name())).unwrap();
        }
        fs::create_dir_all(place.join(part).join(".ipynb_checkpoints")).unwrap();
        let checkpoint = place.join(part).join(".ipynb_checkpoints/00-checkpoint.png");
        fs::copy(images.join(part).join("ant/00.png"), checkpoint).unwrap();
    }
    place.to_owned()
}

/// The same in a tar, with the images themselves elsewhere in it.
#[cfg(unix)]
fn linked_tar(images: &Path, place: &Path) -> PathBuf {
    let path = place.with_extension("tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    tar.append_dir_all("deep/er/store", images).unwrap();
    let mut link = |kind, name: String, target: String| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    };
    for part in ["train", "val"] {
        link(
            tar::EntryType::Symlink,
            format!("set/{part}/ant"),
            format!("../../deep/er/store/{part}/ant"),
        );
        link(
            tar::EntryType::Symlink,
            format!("set/{part}/bee"),
            format!("../../deep/er/store/{part}/bee"),
        );
        for image in fs::read_dir(images.join(part).join("cat")).unwrap() {
            let name = image.unwrap().file_name().into_string().unwrap();
            link(
                tar::EntryType::Link,
                format!("set/{part}/cat/{name}"),
                format!("deep/er/store/{part}/cat/{name}"),
            );
        }
    }
    tar.into_inner().unwrap().sync_all().unwrap();
    path
}

#[test]
fn a_run_on_files_is_kept_and_evaluates_again() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    let result = run(&config(images.path()), &out, 2).unwrap();
    assert_eq!((result.train_images, result.test_images), (3 * EACH, 24));
    let classes: Vec<String> = serde_json::from_slice(&fs::read(out.join("classes.json")).unwrap()).unwrap();
    assert_eq!(classes, ["ant", "bee", "cat"]);
    let saved = SavedRun::open(&out).unwrap();
    assert_eq!(saved.config.data.classes, Some(3));
    assert_eq!(saved.record.mean, [0.485, 0.456, 0.406]);
    let score = saved.evaluate(&mut ()).unwrap();
    assert_eq!((score.top1, score.images), (result.top1, 24));

    // Another number of threads, and the files in an archive, are the same run to the bit.
    let again = place.path().join("again");
    run(&config(images.path()), &again, 1).unwrap();
    assert!(network(&again) == network(&out));
    let pack = place.path().join("images.zip");
    data::pack(&config(images.path()).data, 64, &pack, |_| {}).unwrap();
    let packed = place.path().join("packed");
    run(&config(&pack), &packed, 2).unwrap();
    assert!(network(&packed) == network(&out));
    // A class that is a link, and images that are, in a folder and in a tar; tools' folders beside them.
    #[cfg(unix)]
    for (name, linked) in [
        ("linked", linked_folder as fn(&Path, &Path) -> PathBuf),
        ("linked-tar", linked_tar),
    ] {
        let linked = linked(images.path(), &place.path().join(name));
        let out = place.path().join(format!("run-{name}"));
        run(&config(&linked), &out, 2).unwrap();
        assert!(network(&out) == network(&place.path().join("run")), "{name}");
    }

    // What is written can be fed back in; the seed is what makes a difference.
    let mut other = RunConfig::load(&out.join("config.toml")).unwrap();
    other.seed = 1;
    let differs = place.path().join("differs");
    run(&other, &differs, 2).unwrap();
    assert!(network(&differs) != network(&out));
}

/// The lines of the list of images that a run has saved.
fn saved_list(run: &Path) -> String {
    let file = fs::File::open(run.join("images.jsonl.gz")).unwrap();
    std::io::read_to_string(GzDecoder::new(file)).unwrap()
}

fn save_list(run: &Path, lines: &str) {
    let file = fs::File::create(run.join("images.jsonl.gz")).unwrap();
    let mut gzip = GzEncoder::new(file, Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    gzip.finish().unwrap();
}

/// A list as older versions saved it, in `images.json`.
fn old_list(lines: &str) -> String {
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let head = lines.next().unwrap();
    let mut part = |name: &str| {
        let head = &head[name];
        // A part that lacks its last line has one image fewer.
        let images: Vec<Value> = lines.by_ref().take(head["images"].as_u64().unwrap() as usize).collect();
        let members: Vec<Value> = images
            .iter()
            .map(|image| json!({"name": image[0], "bytes": image[1], "place": image[2]}))
            .collect();
        let labels: Vec<&Value> = images.iter().map(|image| &image[3]).collect();
        json!({"store": head["store"], "ignored": head["ignored"], "members": members, "labels": labels})
    };
    let (train, val) = (part("train"), part("val"));
    let mut old = head["origin"].clone();
    old["version"] = json!(2);
    (old["train"], old["val"]) = (train, val);
    old.to_string()
}

#[test]
fn a_run_of_an_older_version_resumes_and_still_knows_its_images() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    let config = config(images.path());
    let train = |told: &mut Notes| session.train(&config, &out, &mut [told]);
    session.stop.store(true, Ordering::Relaxed);
    train(&mut Notes::default()).unwrap_err();
    let old = old_list(&saved_list(&out));
    fs::remove_file(out.join("images.jsonl.gz")).unwrap();
    fs::write(out.join("images.json"), old).unwrap();
    let one = images.path().join("train/cat/00.png");
    fs::rename(&one, place.path().join("away.png")).unwrap();
    let error = train(&mut Notes::default()).unwrap_err();
    assert!(error.to_string().contains("1 gone (cat/00.png)"), "{error}");
    // Put back, it is the same list. From now on the list has the new form.
    fs::rename(place.path().join("away.png"), &one).unwrap();
    session.stop.store(false, Ordering::Relaxed);
    let mut told = Notes::default();
    train(&mut told).unwrap();
    assert_eq!(told.0, [""; 0]);
    assert_eq!(saved_list(&out).lines().count(), 1 + 3 * (EACH + 8));
    let fresh = place.path().join("fresh");
    run(&config, &fresh, 1).unwrap();
    assert!(network(&out) == network(&fresh));
}

#[test]
fn the_kept_list_is_used_and_other_classes_are_refused() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    run(&config(images.path()), &out, 1).unwrap();
    // A list that still holds is believed: a file that it has not is not tested on.
    let list = saved_list(&out);
    let evaluate = || SavedRun::open(&out).unwrap().evaluate(&mut ());
    let lines: Vec<&str> = list.lines().collect();
    let fewer = lines[..lines.len() - 1].join("\n") + "\n";
    save_list(&out, &fewer.replace("\"images\":24", "\"images\":23"));
    assert_eq!(evaluate().unwrap().images, 23);
    // One of other classes or that is damaged is made anew.
    save_list(&out, &list.replace("\"ant\",\"bee\"", "\"ant\",\"bug\""));
    assert_eq!(evaluate().unwrap().images, 24);
    save_list(&out, &list[..list.len() / 3]);
    assert_eq!(evaluate().unwrap().images, 24);
    // So is a list of an older version, unless there is a newer one.
    fs::write(out.join("images.json"), old_list(&fewer)).unwrap();
    assert_eq!(evaluate().unwrap().images, 24);
    fs::remove_file(out.join("images.jsonl.gz")).unwrap();
    assert_eq!(evaluate().unwrap().images, 23);

    // A class that was not trained on is refused where it is tested on, and nowhere else.
    for part in ["train", "val"] {
        let more = images.path().join(part).join("dog");
        fs::create_dir_all(&more).unwrap();
        fs::copy(images.path().join("train/ant/00.png"), more.join("x.png")).unwrap();
        match evaluate() {
            Ok(score) => assert_eq!((part, score.images), ("train", 24)),
            Err(error) => {
                let expected = "val image dog/x.png is of class dog, which is not among the classes of the training";
                assert!(part == "val" && error.to_string().ends_with(expected), "{error}");
            }
        }
    }
}

#[test]
fn only_what_is_needed_has_to_be_there() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    let result = run(&config(images.path()), &out, 1).unwrap();
    // Test images alone are enough to evaluate, also from elsewhere.
    let (train, away) = (images.path().join("train"), place.path().join("away"));
    fs::rename(&train, &away).unwrap();
    let mut saved = SavedRun::open(&out).unwrap();
    assert_eq!(saved.evaluate(&mut ()).unwrap().top1, result.top1);
    fs::create_dir_all(place.path().join("moved")).unwrap();
    fs::rename(images.path().join("val"), place.path().join("moved/val")).unwrap();
    saved.config.data.path = Some(place.path().join("moved"));
    assert_eq!(saved.evaluate(&mut ()).unwrap().top1, result.top1);
    assert_eq!(data::check(&saved.config.data, |_| {}).unwrap().parts.len(), 1);
    // Training images alone are enough where some are held out, and to be shown.
    fs::rename(&away, &train).unwrap();
    let mut config = config(images.path());
    let message = run(&config, &place.path().join("lacks"), 1).unwrap_err().to_string();
    assert!(
        message.contains("has no val") && message.contains("--holdout"),
        "{message}"
    );
    data::write_contact_sheet(&config, 4, &place.path().join("sheet.png")).unwrap();
    config.data.holdout = Some(30);
    let result = run(&config, &place.path().join("held-out"), 1).unwrap();
    assert_eq!((result.train_images, result.test_images), (3 * EACH - 30, 30));
}

#[test]
fn a_test_batch_alone_is_enough_to_evaluate() {
    let place = tempfile::tempdir().unwrap();
    let (folder, out) = (place.path().join("shapes"), place.path().join("run"));
    let mut config = RunConfig::default();
    (config.data.train_limit, config.data.test_limit) = (Some(200), Some(100));
    data::write_synthetic(&config.data, &folder).unwrap();
    let mut config = self::config(&folder);
    config.data.dataset = Dataset::Cifar10;
    config.data.color_jitter = 0.0;
    config.training.duration = Time::Steps(9);
    let result = run(&config, &out, 1).unwrap();
    for batch in 1..=5 {
        fs::remove_file(folder.join(format!("data_batch_{batch}.bin"))).unwrap();
    }
    let score = SavedRun::open(&out).unwrap().evaluate(&mut ()).unwrap();
    assert_eq!((score.top1, score.loss), (result.top1, result.test_loss));
    assert_eq!(data::check(&config.data, |_| {}).unwrap().parts.len(), 1);
    let message = run(&config, &place.path().join("other"), 1).unwrap_err().to_string();
    assert!(message.contains("has no data_batch_1.bin"), "{message}");
}

/// Keeps what it is told of the images.
#[derive(Default)]
struct Notes(Vec<String>);

impl Callback for Notes {
    fn on_notes(&mut self, notes: &[String]) -> Result<(), TrainError> {
        self.0.extend_from_slice(notes);
        Ok(())
    }
}

#[test]
fn a_repaired_image_is_accepted_and_another_list_is_not() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    let out = place.path().join("run");
    let config = config(images.path());
    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    let train = |told: &mut Notes| session.train(&config, &out, &mut [told]);
    session.stop.store(true, Ordering::Relaxed);
    let mut told = Notes::default();
    fs::write(images.path().join("train/ant/notes.txt"), b"x").unwrap();
    train(&mut told).unwrap_err();
    let ignored = "train: ignored 1 files that are not readable images: 1 .txt (the first: ant/notes.txt)";
    assert_eq!(told.0, [ignored]);

    // Written anew where it was, so that no folder tells; and one in a folder that has changed.
    let (repaired, other) = (
        images.path().join("train/bee/07.png"),
        images.path().join("train/cat/00.png"),
    );
    fs::copy(images.path().join("train/bee/08.png"), &repaired).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
    fs::File::options()
        .write(true)
        .open(&repaired)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let mut told = Notes::default();
    train(&mut told).unwrap_err();
    fs::remove_file(&other).unwrap();
    let error = train(&mut told).unwrap_err();
    assert!(matches!(error, stompp_train::TrainError::OtherImages { .. }), "{error}");
    assert!(error.to_string().contains("1 gone (cat/00.png)"), "{error}");
    fs::copy(images.path().join("train/cat/01.png"), &other).unwrap();
    let mut told = Notes::default();
    session.stop.store(false, Ordering::Relaxed);
    train(&mut told).unwrap();
    assert_eq!(told.0[0], ignored);
    let expected = "2 images were rewritten since the run began, and are read as they are now: bee/07.png, cat/00.png";
    assert_eq!(told.0[1..], [expected]);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert!(
        metrics.contains("\"notes\"") && metrics.contains("rewritten"),
        "{metrics}"
    );
    // A finished run keeps its result, whatever becomes of the images.
    fs::remove_file(&other).unwrap();
    train(&mut Notes::default()).unwrap();
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
        message.starts_with(&format!("image {}: is not an image", bad.display())),
        "{message}"
    );
    assert!(!out.join("result.json").exists());

    config.data.on_bad_image = OnBadImage::Skip;
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

    // Seven of 24 test images are more than a quarter.
    for index in 0..7 {
        fs::write(images.path().join(format!("val/cat/{index:02}.png")), b"").unwrap();
    }
    let message = run(&config, &place.path().join("too-many"), 2).unwrap_err().to_string();
    assert!(
        message.contains("7 of 24 images") && message.contains("val/cat/"),
        "{message}"
    );
}

/// An image that was left out before an interruption is told at the end, though nobody meets it again.
#[test]
fn images_left_out_before_an_interruption_are_told_at_the_end() {
    let (images, place) = (images(), tempfile::tempdir().unwrap());
    fs::write(images.path().join("train/bee/07.png"), b"no image").unwrap();
    let mut config = config(images.path());
    config.data.on_bad_image = OnBadImage::Skip;
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
