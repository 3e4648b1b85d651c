//! Small runs from beginning to end.

mod small;

use small::small;
use std::{fs, path::Path};
use stompp_train::{
    Callback, RunConfig, RunResult, SavedRun, TrainError,
    callback::StepReport,
    config::{ActivationRule, Method, Order, Setting, Time},
    train,
};

/// Four epochs of ten steps.
fn tiny(method: Method) -> RunConfig {
    let mut config = small(200, 100, 20);
    config.method.name = method;
    config.method.refresh = "0.1w".parse().unwrap();
    config.training.duration = Time::Epochs(4.0);
    config
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[derive(Default)]
struct Losses(Vec<f32>);

impl Callback for Losses {
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        self.0.push(step.loss);
        Ok(())
    }
}

/// The bytes of the trained network.
fn network(config: &RunConfig, threads: usize) -> Vec<u8> {
    let folder = folder();
    let out = folder.path().join("run");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(config, &out, &mut [])).unwrap();
    fs::read(out.join("network.safetensors")).unwrap()
}

#[test]
fn the_loss_falls_and_everything_is_kept() {
    for method in [Method::Float, Method::Ste, Method::Stompp, Method::StomppSte] {
        let (folder, mut losses) = (folder(), Losses::default());
        let out = folder.path().join("new/run");
        let mut config = tiny(method);
        config.data.augment = false;
        let result = train(&config, &out, &mut [&mut losses]).unwrap();

        assert_eq!((losses.0.len(), result.steps, result.units), (40, 40, 6));
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        let (first, last) = (mean(&losses.0[..10]), mean(&losses.0[30..]));
        assert!(
            last < first,
            "{method}: the loss should fall, went from {first} to {last}"
        );

        let last = result.evaluations.last().unwrap();
        assert_eq!((last.step, result.evaluations.len()), (40, 4));
        let frozen = if method == Method::Float { 0.0 } else { 1.0 };
        assert_eq!(
            (last.committed_fraction, last.frozen_fraction),
            (frozen, frozen),
            "{method}"
        );
        assert_eq!(
            result.top1, result.top1_as_it_stands,
            "at the end both are the same network"
        );

        assert_eq!(RunResult::load(&out).unwrap(), result);
        let saved = SavedRun::open(&out).unwrap();
        let score = saved.evaluate(&mut ()).unwrap();
        assert_eq!(
            (score.top1, score.loss, score.images),
            (result.top1, result.test_loss, 100)
        );
        assert_eq!(saved.record.steps, 40);
        assert_eq!(saved.config.network.width, Some(4));
        assert!(
            fs::read_to_string(out.join("summary.txt"))
                .unwrap()
                .contains("layer3.0.conv2")
        );
        let names: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 8, "no temporary file is left: {names:?}");
    }
}

#[test]
fn every_order_and_setting_ends_committed() {
    for order in Order::ALL {
        for (setting, activation) in [
            (Setting::Bnn, ActivationRule::Relu),
            (Setting::Bwn, ActivationRule::Relu),
            (Setting::Bwn, ActivationRule::Clip),
        ] {
            let folder = folder();
            let mut config = tiny(Method::Stompp);
            config.method.order = order;
            config.network.setting = setting;
            config.network.activation = activation;
            config.training.duration = Time::Steps(12);
            config.method.tail = Time::Steps(0); // The last window then ends with the training.
            let result = train(&config, folder.path(), &mut []).unwrap();
            let last = result.evaluations.last().unwrap();
            assert_eq!(
                (last.committed_units, last.frozen_fraction),
                (6, 1.0),
                "{order} {setting} {activation:?}"
            );
            assert_eq!(result.top1, result.top1_as_it_stands);
            assert_eq!(
                SavedRun::open(folder.path()).unwrap().evaluate(&mut ()).unwrap().top1,
                result.top1
            );
        }
    }
}

#[test]
fn metrics_are_one_object_a_line() {
    let folder = folder();
    let mut config = tiny(Method::Stompp);
    config.training.duration = Time::Steps(25);
    config.training.evaluate_every = Time::Steps(8);
    train(&config, &folder.path().join("run"), &mut []).unwrap();
    let text = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| -> Vec<&serde_json::Value> { lines.iter().filter(|line| line["kind"] == kind).collect() };
    let steps = |kind: &str| -> Vec<u64> { of(kind).iter().map(|line| line["step"].as_u64().unwrap()).collect() };
    assert_eq!(lines[0]["kind"], "start");
    assert_eq!(steps("epoch"), [10, 20, 25]);
    assert_eq!(steps("evaluation"), [8, 16, 24, 25]);
    assert_eq!(lines.last().unwrap()["kind"], "end");
    let epochs = of("epoch");
    for part in ["data", "forward", "backward", "update"] {
        assert!(epochs[0]["seconds"][part].as_f64().unwrap() >= 0.0, "{part}");
    }
    assert!(epochs[0]["images_per_s"].as_f64().unwrap() > 0.0);
    let frozen: Vec<f64> = epochs
        .iter()
        .map(|line| line["frozen_fraction"].as_f64().unwrap())
        .collect();
    assert!(frozen[0] < frozen[1] && frozen[1] < frozen[2], "{frozen:?}");
}

#[test]
fn threads_change_no_bit_and_the_seed_does() {
    let mut config = tiny(Method::StomppSte);
    config.training.duration = Time::Steps(12);
    // Wide enough that kernels do split their work.
    config.network.width = Some(16);
    config.data.image_size = 16;
    let reference = network(&config, 1);
    assert!(reference == network(&config, 2), "two threads give other bits than one");
    config.seed = 1;
    assert!(reference != network(&config, 1), "the seed makes no difference");
}

#[test]
fn looking_on_changes_nothing() {
    let folder = folder();
    let config = tiny(Method::Stompp);
    let mut often = config.clone();
    often.training.evaluate_every = Time::Steps(3);
    let mut losses = Losses::default();
    train(&config, &folder.path().join("a"), &mut []).unwrap();
    train(&often, &folder.path().join("b"), &mut [&mut losses]).unwrap();
    let network = |run: &str| fs::read(folder.path().join(run).join("network.safetensors")).unwrap();
    assert!(network("a") == network("b"));
}

#[test]
fn the_written_configuration_can_be_fed_back_in() {
    let folder = folder();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let mut config = tiny(Method::Stompp);
    config.network.width = None;
    config.training.duration = Time::Steps(10);
    let result = train(&config, &first, &mut []).unwrap();
    let written = RunConfig::load(&first.join("config.toml")).unwrap();
    assert_eq!(written.network.width, Some(16), "what was left open is written out");
    let again = train(&written, &second, &mut []).unwrap();
    assert_eq!(again.evaluations, result.evaluations);
    assert_eq!(
        fs::read(first.join("config.toml")).unwrap(),
        fs::read(second.join("config.toml")).unwrap()
    );
}

#[test]
fn a_directory_that_holds_a_run_is_refused_untouched() {
    let folder = folder();
    let mut config = tiny(Method::Ste);
    config.training.duration = Time::Steps(2);
    train(&config, folder.path(), &mut []).unwrap();
    let content = |path: &Path| fs::read(path.join("result.json")).unwrap();
    let before = content(folder.path());
    let error = train(&config, folder.path(), &mut []).unwrap_err();
    assert!(matches!(error, TrainError::RunExists { .. }), "{error}");
    assert!(
        error.to_string().contains(&folder.path().display().to_string()),
        "{error}"
    );
    assert_eq!(content(folder.path()), before);

    // A run that did not finish is one, too.
    fs::remove_file(folder.path().join("result.json")).unwrap();
    assert!(matches!(
        train(&config, folder.path(), &mut []),
        Err(TrainError::RunExists { .. })
    ));
}

#[test]
fn a_run_that_cannot_start_leaves_nothing() {
    let folder = folder();
    let out = folder.path().join("run");
    let refuse = |change: &dyn Fn(&mut RunConfig)| {
        let mut config = tiny(Method::Stompp);
        change(&mut config);
        let error = train(&config, &out, &mut []).unwrap_err().to_string();
        assert!(!out.exists(), "{error}");
        error
    };
    let missing = folder.path().join("nowhere");
    let messages = [
        (refuse(&|c| c.training.batch_size = 201), "training.batch_size"),
        (refuse(&|c| c.training.duration = Time::Steps(3)), "training.duration"),
        (refuse(&|c| c.data.image_size = 7), "7x7"),
        (refuse(&|c| c.data.dataset = "cifar10".parse().unwrap()), "data.path"),
        (
            refuse(&|c| {
                c.data.dataset = "cifar10".parse().unwrap();
                c.data.path = Some(missing.clone());
            }),
            "nowhere",
        ),
    ];
    for (message, expected) in messages {
        assert!(message.contains(expected), "{message:?} should name {expected:?}");
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_at_its_step() {
    let diverge = |rate: f64| {
        let folder = folder();
        let mut config = tiny(Method::Float);
        config.training.learning_rate = rate;
        let error = train(&config, folder.path(), &mut []).unwrap_err();
        assert!(!RunResult::exists(folder.path()));
        error.to_string()
    };
    assert!(diverge(3e38).starts_with("the training loss became "));
    // Logits stay finite in training, by the batch's statistics, but not by running ones.
    assert!(diverge(1e30).starts_with("the test loss became "));
}

#[test]
fn a_callback_that_fails_ends_the_run() {
    struct Full;
    impl Callback for Full {
        fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
            if step.step < 3 {
                return Ok(());
            }
            Err(TrainError::Io {
                action: "write",
                path: "log".into(),
                source: std::io::Error::from(std::io::ErrorKind::StorageFull),
            })
        }
    }
    let folder = folder();
    let error = train(&tiny(Method::Ste), folder.path(), &mut [&mut Full]).unwrap_err();
    assert!(error.to_string().starts_with("cannot write log"), "{error}");
    assert!(!RunResult::exists(folder.path()));
}

#[test]
fn damaged_networks_are_refused_by_name() {
    let folder = folder();
    let mut config = tiny(Method::Ste);
    config.training.duration = Time::Steps(2);
    train(&config, folder.path(), &mut []).unwrap();
    let path = folder.path().join("network.safetensors");
    let bytes = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = SavedRun::open(folder.path()).unwrap().evaluate(&mut ()).unwrap_err();
        assert!(matches!(error, TrainError::Damaged { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&bytes[..bytes.len() - 1]).contains("network.safetensors"));
    assert!(refused(b"").contains("not a safetensors file"));
    let text = |bytes: &[u8]| -> Vec<u8> {
        // The same header length with another tensor name in it.
        let at = bytes.windows(9).position(|window| window == b"fc.weight").unwrap();
        [&bytes[..at], b"fc.Weight", &bytes[at + 9..]].concat()
    };
    assert!(refused(&text(&bytes)).contains("has no tensor fc.weight"));

    fs::write(&path, &bytes).unwrap();
    let mut wider = RunConfig::load(&folder.path().join("config.toml")).unwrap();
    wider.network.width = Some(5);
    fs::write(folder.path().join("config.toml"), wider.to_toml()).unwrap();
    assert!(refused(&bytes).contains("tensor conv1.weight is F32 [4, 3, 3, 3], expected F32 [5, 3, 3, 3]"));
}

/// Statistics of the deploy network taken anew: another score and another file, the same training.
#[test]
fn new_statistics_are_the_deploy_network_s_alone() {
    let run = |batches: usize, method: Method| {
        let mut config = tiny(method);
        config.training.bn_reestimate = batches;
        let folder = folder();
        let result = train(&config, folder.path(), &mut []).unwrap();
        let score = SavedRun::open(folder.path()).unwrap().evaluate(&mut ()).unwrap();
        assert_eq!(
            score.top1, result.top1,
            "the network that is kept is the one that was scored"
        );
        let bytes = fs::read(folder.path().join("network.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec()));
        (result, tensors.collect::<std::collections::BTreeMap<_, _>>())
    };
    for method in [Method::Stompp, Method::Ste, Method::Float] {
        let ((without, before), (with, after)) = (run(0, method), run(3, method));
        let trained = |result: &RunResult| {
            let evaluations = result.evaluations.iter();
            evaluations
                .map(|evaluation| (evaluation.train_loss, evaluation.top1_as_it_stands))
                .collect::<Vec<_>>()
        };
        assert_eq!(trained(&without), trained(&with), "{method}: training does not notice");
        for (name, values) in &before {
            let statistic = name.contains("running");
            assert_eq!(after[name] != *values, statistic, "{method}: {name}");
        }
        assert_ne!(without.test_loss, with.test_loss, "{method}");
    }
}

/// The stem's convolution has no mask in front of it, so that its statistics over some batches are known from the images alone: the
/// mean of their means.
#[test]
fn new_statistics_are_plain_means_over_batches() {
    let stem = |batches: usize| {
        let mut config = tiny(Method::Ste);
        config.training.bn_reestimate = batches;
        config.data.augment = false;
        let folder = folder();
        train(&config, folder.path(), &mut []).unwrap();
        let bytes = fs::read(folder.path().join("network.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (values, _) = file.tensor("bn1.running_mean").unwrap().data().as_chunks();
        values
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect::<Vec<_>>()
    };
    // An epoch is 10 batches. Each image is in one of them, so that twice the epoch has the same mean as once.
    let (once, twice, half) = (stem(10), stem(20), stem(5));
    for channel in 0..once.len() {
        approx::assert_relative_eq!(once[channel], twice[channel], max_relative = 1e-4, epsilon = 1e-5);
    }
    assert!(once.iter().zip(&half).any(|(once, half)| (once - half).abs() > 1e-3));
}
