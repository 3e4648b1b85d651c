//! Compares the packed network with the trainer's network, on runs of every kind.

use super::*;
use crate::{
    CheckpointName, Checkpointing, Predictor, RunConfig, Session, UnlabelledImages, data, device_data::DataSource,
    train,
};
use std::fs;
use stompp_binarize::EvalMode;
use stompp_data::Normalization;

/// The network that the documentation shows.
fn documented_network() -> String {
    // A link to the page in `docs`, so that the package has it, too.
    let page = include_str!("networks.md");
    let (_, block) = page.split_once("```toml\n").expect("a network");
    block.split("```").next().expect("its end").to_owned()
}

/// Writes 100 training and 60 test images in CIFAR's layout, and the documented network.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let set = RunConfig::from_toml("data = { train_limit = 100, test_limit = 60 }").unwrap();
    data::write_synthetic(&set.data, &folder.path().join("images")).unwrap();
    fs::write(folder.path().join("net.toml"), documented_network()).unwrap();
    folder
}

/// Trains for two epochs on the images in `folder`.
fn trained(folder: &Path, network: &str, method: &str, more: &str) -> SavedRun {
    let side = if network.contains("toml") { 32 } else { 16 };
    let network = network.replace("net.toml", &folder.join("net.toml").display().to_string());
    let config = format!(
        "data = {{ dataset = 'cifar10', path = '{}', image_size = {side} }}
         network = {{ {network} }}
         method = {{ name = '{method}', refresh = '0.1w' }}
         training = {{ duration = '2ep', batch_size = 20{more} }}",
        folder.join("images").display()
    );
    let config = RunConfig::from_toml(&config).unwrap();
    let out = tempfile::tempdir_in(folder).unwrap().keep().join("run");
    let session = Session {
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    session.train(&config, &out, &mut []).unwrap();
    SavedRun::open(&out).unwrap()
}

/// Asserts that the packed network and the trainer's network give the same answers.
fn assert_same(folder: &Path, run: &SavedRun, name: &str) {
    let device = Cpu::default();
    let (network, packed) = (run.deployed(&device).unwrap(), run.packed().unwrap());
    let images = crate::images::RunImages::load(&run.config.data, None).unwrap();
    let normalization = Normalization::new(run.record.statistics()).unwrap();
    let source = DataSource::new(&device, &images.test, &normalization).unwrap();
    for batch in source.evaluation_batches(&normalization, 20).unwrap() {
        let images = batch.unwrap().images;
        let pixels = images.as_vec();
        let logits = network.evaluate(images, EvalMode::Binarized).unwrap().as_vec();
        let size = packed.input_shape().iter().product();
        for (image, expected) in pixels.chunks(size).zip(logits.chunks(packed.outputs())) {
            for (ours, theirs) in packed.logits(image).unwrap().iter().zip(expected) {
                assert!((ours - theirs).abs() <= 1e-4, "{name}: {ours} {theirs}");
            }
        }
    }
    let file = folder.join("net.stompp");
    let size = run.write_packed(&file, "").unwrap();
    assert_eq!(size.file - size.header, size.promised, "{name}");
    let report = run.evaluate(&mut ()).unwrap();
    let expected: Vec<usize> = report.predictions.iter().map(|prediction| prediction.answer).collect();
    assert_eq!(expected.len(), 60);
    let images = UnlabelledImages::open(folder.join("images/test_batch.bin")).unwrap();
    for predictor in [Predictor::from_run(run).unwrap(), Predictor::open(&file).unwrap()] {
        let mut answers = Vec::new();
        let each =
            |_, top: Result<Vec<stompp_infer::ClassProbability>, TrainError>| top.map(|top| answers.push(top[0].class));
        predictor.predict(&images, 1, each).unwrap();
        assert_eq!(answers, expected, "{name}");
        assert_eq!(predictor.class_name(3), run.class_name(3));
        assert_eq!(*predictor.preprocessing(), run.preprocessing().unwrap());
    }
    fs::remove_file(file).unwrap();
}

/// BNN and BWN; ResNet, Bi-Real and a custom graph; a width that is not a multiple of 8.
#[test]
fn predictions_are_those_of_an_evaluation() {
    let folder = folder();
    for (network, method) in [
        ("model = 'resnet8', width = 12", "stompp"),
        ("model = 'bireal8', width = 12", "stompp-ste"),
        ("model = 'resnet18', width = 12", "ste"),
        ("model = 'bireal18', width = 8", "ste"),
        ("model = 'resnet8', width = 12, setting = 'bwn'", "stompp"),
        (
            "model = 'bireal8', width = 12, setting = 'bwn', activation = 'clip'",
            "ste",
        ),
        ("model = 'net.toml'", "stompp"),
        ("model = 'net.toml', setting = 'bwn'", "ste"),
    ] {
        let run = trained(folder.path(), network, method, "");
        assert_same(folder.path(), &run, &format!("{network}, {method}"));
    }
}

#[test]
fn checkpoints_are_packed_as_they_are_evaluated() {
    let folder = folder();
    let network = "model = 'resnet8', width = 8";
    let mut run = trained(folder.path(), network, "stompp", ", bn_reestimate = 2");
    for name in ["best", "last", "10"] {
        run.checkpoint = Some(name.parse().unwrap());
        assert_same(folder.path(), &run, name);
    }
    let parent = run.packed().unwrap().info().parent.clone();
    assert!(
        parent.starts_with("run run, step-0000000000010.safetensors, XXH3-128 "),
        "{parent}"
    );
    run.checkpoint = Some(CheckpointName::Step(11));
    let error = run.packed().unwrap_err();
    assert!(matches!(error, TrainError::NoCheckpoint { .. }), "{error}");
}

/// The packed size equals the summary's prediction, to the byte, for every named model.
#[test]
fn the_file_of_a_run_has_the_size_that_the_summary_promises() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "resnet8", "resnet18", "resnet20", "resnet34", "resnet50", "bireal18", "bireal20", "bireal34",
    ] {
        let config = format!(
            "data = {{ train_limit = 10, test_limit = 10, image_size = 8 }}
             network = {{ model = '{name}', width = 4 }}
             method = {{ name = 'ste' }}
             training = {{ duration = '1ba', batch_size = 10 }}"
        );
        let config = RunConfig::from_toml(&config).unwrap();
        let out = folder.path().join(name);
        train(&config, &out, &mut []).unwrap();
        let file = folder.path().join(format!("{name}.stompp"));
        let size = SavedRun::open(&out).unwrap().write_packed(&file, "MIT").unwrap();
        assert_eq!(size.file as u64, fs::metadata(&file).unwrap().len());
        assert_eq!(size.promised, config.summary().unwrap().bytes());
        assert_eq!(size.file - size.header, size.promised, "{name}");
    }
}

#[test]
fn the_header_says_what_a_user_needs() {
    let folder = folder();
    let run = trained(folder.path(), "model = 'resnet8', width = 4", "ste", "");
    let file = folder.path().join("net.stompp");
    run.write_packed(&file, "CC-BY-4.0").unwrap();
    let error = run.write_packed(&file, "").unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot write {}", file.display())),
        "{error}"
    );
    let network = Network::open(&file).unwrap();
    let info = network.info();
    assert_eq!((info.classes[3].as_str(), info.classes.len()), ("cat", 10));
    assert_eq!(
        (info.licence.as_str(), &info.revision),
        ("CC-BY-4.0", &run.record.code.revision)
    );
    assert_eq!(
        (&info.mean[..], &info.std[..]),
        (&run.record.mean[..], &run.record.std[..])
    );
    assert_eq!(info.preprocessing, run.preprocessing().unwrap().description());
    assert!(info.parent.starts_with("run run, network.safetensors, XXH3-128 "));
    assert_eq!(
        run.pack("CC-BY-4.0").unwrap(),
        fs::read(&file).unwrap(),
        "the same bytes again"
    );
}

#[test]
fn what_cannot_be_packed_or_opened_is_refused() {
    let folder = folder();
    let run = trained(folder.path(), "model = 'resnet8', width = 4", "float", "");
    let error = run.pack("").unwrap_err();
    assert!(matches!(error, TrainError::NotBinary { .. }), "{error}");
    let latent = run.weights().unwrap();
    let error = Predictor::open(&latent).unwrap_err().to_string();
    assert!(error.starts_with(&latent.display().to_string()), "{error}");
    assert!(
        error.contains("a safetensors file, but not a packed network"),
        "{error}"
    );
    // A packed network without preprocessing in its header.
    let graph = run.graph().unwrap();
    let values = tensors::network_values(&run.deployed(&Cpu::default()).unwrap());
    let find = stompp_graph::find_tensor(&values);
    let bare = pack(
        &graph,
        run.config.binarization().activations,
        find,
        &NetworkInfo::default(),
    )
    .unwrap();
    let path = folder.path().join("bare.stompp");
    fs::write(&path, bare).unwrap();
    let error = Predictor::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("its header has 0 means, expected 3"), "{error}");
}
