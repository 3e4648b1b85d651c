//! Runs that begin with weights from elsewhere: a file, a checkpoint, another run's end.

mod small;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use small::small;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};
use stompp_train::{
    Callback, Checkpointing, InitError, InitReport, MetricRecord, RunConfig, RunRecord, SavedRun, Session, Start,
    TrainError,
    config::{Dataset, Method, Time},
};
use tempfile::TempDir;

/// 5 steps an epoch.
fn config(method: Method, steps: u64) -> RunConfig {
    let mut config = small(50, 20, 10);
    config.method.name = method;
    config.method.tail = Time::Steps(0);
    config.training.duration = Time::Steps(steps);
    config
}

fn session() -> Session {
    Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    }
}

fn train(config: &RunConfig, out: &Path) -> Result<(), TrainError> {
    session().train(config, out, &mut []).map(drop)
}

fn network(run: &Path) -> Vec<u8> {
    fs::read(run.join("network.safetensors")).unwrap()
}

fn first_checkpoint(run: &Path) -> PathBuf {
    run.join("checkpoints/step-0000000000000.safetensors")
}

/// The values of a tensor of a file.
fn tensor(file: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensor(name)
        .unwrap()
        .data()
        .to_vec()
}

/// Keeps what it is told of first weights.
#[derive(Default)]
struct Told(Option<InitReport>);

impl Callback for Told {
    fn on_init(&mut self, init: &InitReport) -> Result<(), TrainError> {
        self.0 = Some(init.clone());
        Ok(())
    }
}

/// A finished run of 10 steps, and the folder that it is in.
fn parent(method: Method) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("parent");
    train(&config(method, 10), &run).unwrap();
    (folder, run)
}

fn continuing(parent: &Path, method: Method, steps: u64) -> RunConfig {
    let mut config = config(method, steps);
    config.training.continue_from = Some(parent.to_owned());
    config
}

/// Where nothing depends on the length of the training, a run and its continuation are one longer run: weights, statistics, momentum,
/// and the order and augmentation of the data.
#[test]
fn a_run_and_its_continuation_are_one_longer_run_to_the_bit() {
    for method in [Method::Float, Method::Ste] {
        let (folder, parent) = parent(method);
        let (whole, child, other) = (
            folder.path().join("whole"),
            folder.path().join("child"),
            folder.path().join("other"),
        );
        train(&config(method, 17), &whole).unwrap();
        // Interrupted at its beginning, at an evaluation and elsewhere: it is still the same.
        let stopping = session();
        stopping.stop.store(true, Ordering::Relaxed);
        let child_config = continuing(&parent, method, 7);
        while stopping.train(&child_config, &child, &mut []).is_err() {}
        assert!(network(&child) == network(&whole), "{method}");

        let record: RunRecord = serde_json::from_slice(&fs::read(child.join("run.json")).unwrap()).unwrap();
        let from = record.parent.expect("it has a parent");
        assert_eq!(
            (from.path.as_path(), from.steps, from.first_batch),
            (parent.as_path(), 10, 10)
        );

        // The negative control: weights alone are not enough.
        let mut config = config(method, 7);
        config.training.init_from = Some(parent.clone());
        train(&config, &other).unwrap();
        assert!(network(&other) != network(&whole), "{method}");
    }
}

#[test]
fn a_continuation_with_other_batches_begins_at_a_whole_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (parent, child) = (folder.path().join("parent"), folder.path().join("child"));
    train(&config(Method::Stompp, 12), &parent).unwrap();
    let mut config = continuing(&parent, Method::Stompp, 12);
    config.training.batch_size = 25;
    train(&config, &child).unwrap();
    // 12 steps of 5 are 3 epochs, the last of them in part.
    assert_eq!(
        SavedRun::open(&child).unwrap().record.parent.unwrap().first_batch,
        3 * 2
    );
    // A continuation can be continued.
    train(&continuing(&child, Method::Ste, 5), &folder.path().join("grandchild")).unwrap();
}

#[test]
fn every_tensor_of_a_run_or_checkpoint_is_taken() {
    let (folder, parent) = parent(Method::Float);
    let checkpoint = parent.join("checkpoints/step-0000000000010.safetensors");
    for (place, from) in [&parent, &checkpoint, &parent.join("network.safetensors")]
        .into_iter()
        .enumerate()
    {
        let out = folder.path().join(format!("child-{place}"));
        let mut config = config(Method::Stompp, 12);
        config.training.init_from = Some(from.clone());
        let mut told = Told::default();
        // The checkpoint of the beginning is kept.
        let keeping = Session {
            checkpoints: Some(Checkpointing {
                keep_last: 20.try_into().unwrap(),
                ..Checkpointing::default()
            }),
            ..session()
        };
        keeping.train(&config, &out, &mut [&mut told]).unwrap();
        let init = told.0.expect("it was told");
        assert_eq!((init.not_taken.len(), init.unused.len()), (0, 0), "{init:?}");
        assert!(
            init.taken
                .iter()
                .any(|tensor| tensor.to_string() == "conv1.weight [4, 3, 3, 3]")
        );
        for name in ["conv1.weight", "layer3.0.conv2.weight", "bn1.running_mean", "fc.bias"] {
            let trained = tensor(&parent.join("network.safetensors"), name);
            assert!(
                tensor(&first_checkpoint(&out), name) == trained,
                "{name} from {}",
                from.display()
            );
        }
        assert_eq!(SavedRun::open(&out).unwrap().record.init, Some(init));
    }
}

#[test]
fn what_does_not_fit_is_listed_and_keeps_its_random_values() {
    let (folder, parent) = parent(Method::Float);
    let out = folder.path().join("hundred");
    let mut config = config(Method::Float, 1);
    config.data.dataset = Dataset::Synthetic100;
    (config.data.train_limit, config.data.test_limit) = (Some(100), Some(100));
    config.training.init_from = Some(parent.join("network.safetensors"));
    let mut told = Told::default();
    session().train(&config, &out, &mut [&mut told]).unwrap();
    let init = told.0.unwrap();
    let not_taken: Vec<String> = init.not_taken.iter().map(ToString::to_string).collect();
    assert_eq!(
        not_taken,
        [
            "fc.weight [100, 16]: the file has F32 [10, 16]",
            "fc.bias [100]: the file has F32 [10]"
        ]
    );
    let random = folder.path().join("random");
    config.training.init_from = None;
    train(&config, &random).unwrap();
    let first = |run: &Path, name| tensor(&first_checkpoint(run), name);
    assert!(first(&out, "fc.weight") == first(&random, "fc.weight"));
    assert!(first(&out, "conv1.weight") != first(&random, "conv1.weight"));
}

/// A file as torchvision's, with tensors that are not the network's, and latent weights beyond their bounds.
#[test]
fn extra_tensors_are_listed_and_latent_weights_stay_in_their_bounds() {
    let (folder, parent) = parent(Method::Stompp);
    let bytes = fs::read(parent.join("network.safetensors")).unwrap();
    let trained = SafeTensors::deserialize(&bytes).unwrap();
    let three = [3f32, -3.0].map(f32::to_le_bytes).concat();
    let large = three.repeat(4 * 4 * 3 * 3 / 2);
    let counter = 7i64.to_le_bytes();
    let mut tensors: Vec<(&str, TensorView<'_>)> = trained.iter().collect();
    for (name, view) in &mut tensors {
        if *name == "layer1.0.conv1.weight" {
            *view = TensorView::new(Dtype::F32, view.shape().to_vec(), &large).unwrap();
        }
    }
    tensors.push((
        "bn1.num_batches_tracked",
        TensorView::new(Dtype::I64, vec![], &counter).unwrap(),
    ));
    let file = folder.path().join("weights.safetensors");
    fs::write(&file, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let out = folder.path().join("child");
    let mut config = config(Method::Stompp, 12);
    config.training.init_from = Some(file.clone());
    let mut told = Told::default();
    session().train(&config, &out, &mut [&mut told]).unwrap();
    let init = told.0.unwrap();
    assert_eq!(init.clamped, 4 * 4 * 3 * 3);
    assert_eq!(
        init.unused.iter().map(|tensor| &*tensor.name).collect::<Vec<_>>(),
        ["bn1.num_batches_tracked"]
    );

    // A run that has begun does not need the file any more.
    let out = folder.path().join("interrupted");
    let stopping = session();
    stopping.stop.store(true, Ordering::Relaxed);
    stopping.train(&config, &out, &mut []).unwrap_err();
    fs::remove_file(&file).unwrap();
    train(&config, &out).unwrap();
    assert!(network(&out) == network(&folder.path().join("child")));
}

#[test]
fn what_cannot_be_a_beginning_is_refused_by_kind_and_leaves_nothing() {
    let (folder, parent) = parent(Method::Float);
    let place = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place(name), bytes).unwrap();
        place(name)
    };
    let good = fs::read(parent.join("network.safetensors")).unwrap();
    let checkpoint = fs::read(parent.join("checkpoints/step-0000000000010.safetensors")).unwrap();
    let mut flipped = checkpoint.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let unfinished = place("unfinished");
    let stopping = session();
    stopping.stop.store(true, Ordering::Relaxed);
    stopping
        .train(&config(Method::Ste, 10), &unfinished, &mut [])
        .unwrap_err();
    fs::create_dir(place("empty")).unwrap();
    let other = {
        let ones = 1f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &ones).unwrap();
        safetensors::serialize([("conv1.weight", view)], None).unwrap()
    };
    let nan = {
        let file = SafeTensors::deserialize(&good).unwrap();
        let values = f32::NAN.to_le_bytes().repeat(10);
        let mut tensors: Vec<(&str, TensorView<'_>)> = file.iter().collect();
        for (name, view) in &mut tensors {
            if *name == "fc.bias" {
                *view = TensorView::new(Dtype::F32, vec![10], &values).unwrap();
            }
        }
        safetensors::serialize(tensors, None).unwrap()
    };
    let refused = |from: PathBuf, continued: bool| {
        let mut config = config(Method::Float, 5);
        let field = match continued {
            true => &mut config.training.continue_from,
            false => &mut config.training.init_from,
        };
        *field = Some(from);
        let out = place("out");
        let error = train(&config, &out).unwrap_err();
        assert!(!out.exists(), "{error}: something was left");
        match error {
            TrainError::Init { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(refused(place("gone"), false), InitError::Read(_)));
    assert!(matches!(refused(place("empty"), false), InitError::NoWeights(_)));
    assert!(matches!(refused(unfinished.clone(), false), InitError::Unfinished));
    assert!(matches!(
        refused(write("cut", &good[..good.len() - 1]), false),
        InitError::NoWeights(_)
    ));
    assert!(
        matches!(refused(write("flipped", &flipped), false), InitError::NoWeights(problem) if problem.contains("damaged"))
    );
    assert!(
        matches!(refused(write("a.pth", b"PK\x03\x04"), false), InitError::NoWeights(problem) if problem.contains("save_file"))
    );
    assert!(
        matches!(refused(write("other", &other), false), InitError::NothingFits { found: 1, example } if example.contains("[1]"))
    );
    assert!(matches!(refused(write("nan", &nan), false), InitError::Value { tensor, .. } if tensor == "fc.bias"));

    assert!(matches!(refused(place("gone"), true), InitError::NoWeights(_)));
    assert!(matches!(refused(unfinished, true), InitError::Unfinished));
    fs::remove_dir_all(parent.join("checkpoints")).unwrap();
    assert!(matches!(refused(parent, true), InitError::NoCheckpoint { step: 10 }));
}

/// The learning rate of a report: 1e4 makes the loss grow without ever leaving the finite numbers.
#[test]
fn a_result_that_nobody_should_trust_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(Method::Float, 10);
    config.training.learning_rate = 1e4;
    let result = session().train(&config, folder.path(), &mut []).unwrap();
    assert!(!result.warnings.is_empty(), "loss {}", result.test_loss);
    let metrics = MetricRecord::read(folder.path()).unwrap();
    let told = metrics
        .iter()
        .filter(|metric| matches!(metric, MetricRecord::Warning(_)));
    assert_eq!(told.count(), result.warnings.len());
    // The same again, from the directory.
    assert_eq!(
        session().train(&config, folder.path(), &mut []).unwrap().warnings,
        result.warnings
    );
}
