//! Interrupted and resumed, a run is the same run.

mod small;

use serde_json::Value;
use small::small;
use std::{
    fs,
    num::NonZero,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use stompp_train::{
    Callback, Checkpointing, OnDivergence, RunConfig, RunResult, Session, Start, TrainError,
    callback::StepReport,
    config::{Granularity, Method, OptimizerName, Order, RateSchedule, Setting, Time, WindowSharing},
};

const STEPS: u64 = 13;

/// 13 steps, 5 an epoch, an evaluation every 4.
fn config() -> RunConfig {
    let mut config = small(50, 20, 10);
    config.method.refresh = "2".parse().unwrap();
    config.training.duration = Time::Steps(STEPS);
    config.training.evaluate_every = Time::Steps(4);
    config
}

fn session() -> Session {
    Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    }
}

/// Sets the flag after one step.
struct StopAt {
    step: u64,
    stop: Arc<AtomicBool>,
}

impl Callback for StopAt {
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        self.stop.fetch_or(step.step == self.step, Ordering::Relaxed);
        Ok(())
    }
}

/// Trains until after `step`, where the run is stopped.
fn until(step: u64, config: &RunConfig, out: &Path) {
    let session = session();
    let mut stopper = StopAt {
        step,
        stop: Arc::clone(&session.stop),
    };
    let error = session.train(config, out, &mut [&mut stopper]).unwrap_err();
    assert!(
        matches!(error, TrainError::Stopped { step: at } if at == step),
        "{error}"
    );
}

/// Removes what the clock says.
fn without_clock(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|name, _| !["seconds", "images_per_s", "metrics_len"].contains(&&**name));
        fields.values_mut().for_each(without_clock);
    }
}

/// Header and tensors of a checkpoint, apart from what the clock says.
fn checkpoint(path: &Path) -> (Value, Vec<(String, Vec<u8>)>) {
    let bytes = fs::read(path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut header: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["stompp"]).unwrap();
    without_clock(&mut header);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.iter().filter(|(name, _)| *name != "stompp.checksum");
    let mut tensors: Vec<_> = tensors
        .map(|(name, view)| {
            (
                name.to_owned(),
                [format!("{:?}", view.shape()).as_bytes(), view.data()].concat(),
            )
        })
        .collect();
    tensors.sort();
    (header, tensors)
}

/// The lines of the metrics that tell of training, apart from what the clock says.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("whole lines"));
    let mut lines: Vec<Value> = lines.filter(|line: &Value| line["kind"] != "start").collect();
    lines.iter_mut().for_each(without_clock);
    lines
}

fn assert_same_run(one: &Path, other: &Path, what: &str) {
    let last = format!("checkpoints/step-{STEPS:013}.safetensors");
    assert!(
        checkpoint(&one.join(&last)) == checkpoint(&other.join(&last)),
        "{what}: last checkpoint"
    );
    let best = "checkpoints/best.safetensors";
    assert!(
        checkpoint(&one.join(best)) == checkpoint(&other.join(best)),
        "{what}: best checkpoint"
    );
    let network = |run: &Path| fs::read(run.join("network.safetensors")).unwrap();
    assert!(network(one) == network(other), "{what}: network");
    assert_eq!(metrics(one), metrics(other), "{what}");
    // Times take as many bytes whatever they are.
    let events = |run: &Path| fs::metadata(run.join("events.out.tfevents.stompp")).unwrap().len();
    assert_eq!(events(one), events(other), "{what}: events");
    let evaluations = |run: &Path| RunResult::load(run).unwrap().evaluations;
    assert_eq!(evaluations(one), evaluations(other), "{what}");
}

/// Methods that freeze, with every order, and those that do not.
fn methods() -> Vec<(Method, Order)> {
    let freezing = [Method::Stompp, Method::StomppSte].into_iter();
    let freezing = freezing.flat_map(|method| Order::ALL.map(|order| (method, order)));
    let others = [Method::Float, Method::Ste].map(|method| (method, Order::default()));
    freezing.chain(others).collect()
}

/// Two interruptions, inside of an epoch and at its end, in different places for each case.
#[test]
fn a_resumed_run_is_the_undisturbed_one_to_the_bit() {
    let mut place = 0;
    for (method, order) in methods() {
        for setting in Setting::ALL {
            for augment in [false, true] {
                let mut config = config();
                config.method.name = method;
                config.method.order = order;
                config.network.setting = *setting;
                config.data.augment = augment;
                let folder = tempfile::tempdir().unwrap();
                let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
                session().train(&config, &whole, &mut []).unwrap();
                let first = 1 + place % 4;
                until(first, &config, &parts);
                until(5 + place % 8, &config, &parts);
                session().train(&config, &parts, &mut []).unwrap();
                let what = format!("{method} {order} {setting} augment {augment}, interrupted at {first}");
                assert_same_run(&whole, &parts, &what);
                place += 1;
            }
        }
    }
}

/// Every option of the method that has a state of its own, at once.
#[test]
fn the_less_usual_options_resume_too() {
    let mut config = config();
    config.method.freeze_unit = WindowSharing::Separately;
    config.method.activation_mask = Granularity::Channel;
    config.training.bn_reestimate = 2;
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    session().train(&config, &whole, &mut []).unwrap();
    until(3, &config, &parts);
    until(8, &config, &parts);
    session().train(&config, &parts, &mut []).unwrap();
    assert_same_run(&whole, &parts, "separate windows, channels, new statistics");
}

/// Recipes of the field: Adam has a state of its own, and the learning rate depends on the step.
#[test]
fn recipes_resume_too() {
    for optimizer in OptimizerName::ALL {
        for schedule in [RateSchedule::Cosine, RateSchedule::Step] {
            let mut config = config();
            let training = &mut config.training;
            training.optimizer = *optimizer;
            training.learning_rate = 0.01;
            training.learning_rate_schedule = schedule;
            training.learning_rate_warm_up = Time::Steps(4);
            training.weight_decay = 1e-3;
            training.decay_latent_weights = true;
            training.label_smoothing = 0.1;
            training.clip_gradients = Some(0.5);
            let folder = tempfile::tempdir().unwrap();
            let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
            session().train(&config, &whole, &mut []).unwrap();
            until(3, &config, &parts);
            until(8, &config, &parts);
            session().train(&config, &parts, &mut []).unwrap();
            assert_same_run(&whole, &parts, &format!("{optimizer}, {schedule}"));
        }
    }
}

#[test]
fn every_step_is_a_place_to_stop_and_threads_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    session().train(&config(), &whole, &mut []).unwrap();
    for step in 1..STEPS {
        let threads = 1 + step as usize % 2;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| until(step, &config(), &parts));
    }
    session().train(&config(), &parts, &mut []).unwrap();
    assert_same_run(&whole, &parts, "stopped after every step");
}

/// The checkpoint comes before the evaluation of its step: whatever happens to that one, the steps are kept. It is made again, to the
/// same bytes.
#[test]
fn a_stop_before_an_evaluation_keeps_the_steps_and_leaves_the_evaluation_for_later() {
    for bn_reestimate in [0, 2] {
        let mut config = config();
        config.training.bn_reestimate = bn_reestimate;
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        session().train(&config, &whole, &mut []).unwrap();
        for (place, step) in [4, 8, 12, STEPS].into_iter().enumerate() {
            until(step, &config, &parts);
            let (header, _) = checkpoint(&parts.join(format!("checkpoints/step-{step:013}.safetensors")));
            let evaluations = header["course"]["evaluations"].as_array().unwrap();
            assert_eq!(evaluations.len(), place, "that of step {step} is still to be made");
            assert!(!parts.join("result.json").exists());
        }
        session().train(&config, &parts, &mut []).unwrap();
        assert_same_run(&whole, &parts, "stopped before each evaluation");
    }
}

/// The negative control of the comparison: another seed is another run.
#[test]
fn another_seed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let last = |seed: u64| {
        let out = folder.path().join(seed.to_string());
        let config = RunConfig { seed, ..config() };
        session().train(&config, &out, &mut []).unwrap();
        checkpoint(&out.join(format!("checkpoints/step-{STEPS:013}.safetensors")))
    };
    assert!(last(0).1 != last(1).1);
}

/// What a killed process can leave: metrics beyond the checkpoint, the last line cut, temporary files.
#[test]
fn what_lies_beyond_the_checkpoint_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    session().train(&config(), &whole, &mut []).unwrap();
    until(7, &config(), &killed);
    let file = killed.join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{text}{{\"kind\":\"evaluation\",\"step\":8}}\n{{\"kind\":\"ep"),
    )
    .unwrap();
    for place in [".stompp-1", "checkpoints/.stompp-2"] {
        fs::write(killed.join(place), b"part").unwrap();
    }
    session().train(&config(), &killed, &mut []).unwrap();
    assert_same_run(&whole, &killed, "killed after step 7");
    for place in [".stompp-1", "checkpoints/.stompp-2"] {
        assert!(!killed.join(place).exists(), "{place}");
    }
}

#[test]
fn a_killed_beginning_and_a_killed_end_are_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    session().train(&config(), &whole, &mut []).unwrap();
    // Only the configuration was written.
    fs::create_dir(&killed).unwrap();
    fs::copy(whole.join("config.toml"), killed.join("config.toml")).unwrap();
    session().train(&config(), &killed, &mut []).unwrap();
    assert_same_run(&whole, &killed, "killed at the beginning");
    // Everything but the result was written.
    fs::remove_file(killed.join("result.json")).unwrap();
    session().train(&config(), &killed, &mut []).unwrap();
    assert_same_run(&whole, &killed, "killed at the end");
}

#[test]
fn a_finished_run_is_its_result_and_other_starts_are_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let result = session().train(&config(), folder.path(), &mut []).unwrap();
    assert_eq!(session().train(&config(), folder.path(), &mut []).unwrap(), result);
    let start = |start| Session { start, ..session() };
    let error = start(Start::New).train(&config(), folder.path(), &mut []).unwrap_err();
    assert!(matches!(error, TrainError::RunExists { .. }), "{error}");
    let other = RunConfig { seed: 1, ..config() };
    let error = session().train(&other, folder.path(), &mut []).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("config.toml belongs to another run: seed was 0, now it is 1"),
        "{message}"
    );
    let again = start(Start::Overwrite).train(&other, folder.path(), &mut []).unwrap();
    assert_ne!(again.evaluations, result.evaluations);
}

#[test]
fn the_newest_and_each_kth_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session {
        checkpoints: Some(Checkpointing {
            every: "2ba".parse().unwrap(),
            keep_last: NonZero::new(3).unwrap(),
            keep_every: NonZero::new(2),
        }),
        ..session()
    };
    session.train(&config(), folder.path(), &mut []).unwrap();
    let names = fs::read_dir(folder.path().join("checkpoints")).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let number = |name: &str, step: u64| format!("{name}-{step:013}.safetensors");
    let mut expected = vec!["best.safetensors".to_owned()];
    expected.extend([4, 8, 12].map(|step| number("milestone", step)));
    expected.extend([10, 12, 13].map(|step| number("step", step)));
    assert_eq!(names, expected);
}

#[test]
fn a_directory_has_one_process_at_a_time() {
    struct Second(std::path::PathBuf);
    impl Callback for Second {
        fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
            if step.step == 2 {
                let error = session().train(&config(), &self.0, &mut []).unwrap_err();
                assert!(matches!(error, TrainError::Busy { .. }), "{error}");
            }
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut second = Second(folder.path().to_owned());
    session().train(&config(), folder.path(), &mut [&mut second]).unwrap();
}

#[test]
fn other_images_are_refused_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    until(3, &config(), folder.path());
    let file = folder.path().join("run.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["mean"][0] = 0.25.into();
    fs::write(&file, record.to_string()).unwrap();
    let error = session()
        .train(&config(), folder.path(), &mut [])
        .unwrap_err()
        .to_string();
    assert!(error.contains("run.json: the run was begun on other images"), "{error}");
}

/// A folder that goes away, and one that cannot be made.
#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_by_name() {
    struct Rename(std::path::PathBuf);
    impl Callback for Rename {
        fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
            if step.step == 5 {
                // At once: files are written in the background, so it may not be empty while its files are being removed.
                fs::rename(&self.0, self.0.with_extension("moved")).unwrap();
            }
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = session()
        .train(&config(), &out, &mut [&mut Rename(out.clone())])
        .unwrap_err();
    assert!(matches!(error, TrainError::Io { .. }), "{error}");
    assert!(error.to_string().contains("run/checkpoints"), "{error}");

    let out = folder.path().join("blocked");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("checkpoints"), b"a file").unwrap();
    let error = session().train(&config(), &out, &mut []).unwrap_err().to_string();
    assert!(error.contains("blocked/checkpoints"), "{error}");
}

#[test]
fn a_divergence_names_layer_and_checkpoint_and_goes_back_once() {
    let mut config = config();
    config.method.name = Method::Float;
    config.training.learning_rate = 3e38;
    for (rule, restored) in [(OnDivergence::Stop, 0), (OnDivergence::Restore, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let session = Session {
            on_divergence: rule,
            ..session()
        };
        let error = session.train(&config, folder.path(), &mut []).unwrap_err();
        let TrainError::NonFinite { layer, last_good, .. } = &error else {
            panic!("{error}");
        };
        assert!(!layer.is_empty());
        let last_good = last_good.as_ref().expect("a checkpoint of the beginning");
        assert!(error.to_string().ends_with(&last_good.display().to_string()), "{error}");
        stompp_train::checkpoint_step(last_good, &fs::read(last_good).unwrap()).unwrap();
        let lines = metrics(folder.path());
        let restores: Vec<_> = lines.iter().filter(|line| line["kind"] == "restore").collect();
        assert_eq!(restores.len(), restored, "{lines:?}");
        for line in restores {
            assert_eq!(line["learning_rate"].as_f64().unwrap() as f32, 1.5e38);
            assert!(line["divergence"].as_str().unwrap().contains("first in "), "{line}");
        }
    }
}

/// A learning rate at which the loss overflows, found by doubling: half of it does not, and that is the run that is gone on with.
#[test]
fn after_a_return_the_run_is_the_one_with_half_the_learning_rate() {
    let train = |learning_rate: f64, rule: OnDivergence, out: &Path| {
        let mut config = config();
        config.method.name = Method::Float;
        config.training.duration = Time::Steps(4);
        config.training.learning_rate = learning_rate;
        let session = Session {
            on_divergence: rule,
            ..session()
        };
        session.train(&config, out, &mut [])
    };
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let rates = (0..70).map(|power| 2f64.powi(power + 50));
    let fails = |(place, rate): &(usize, f64)| train(*rate, OnDivergence::Stop, &out(&format!("{place}"))).is_err();
    let (place, rate) = rates.enumerate().find(fails).expect("some learning rate is too large");
    assert!(place > 0);
    let result = train(rate, OnDivergence::Restore, &out("restored")).unwrap();
    let network = |name: &str| fs::read(out(name).join("network.safetensors")).unwrap();
    assert!(network("restored") == network(&format!("{}", place - 1)));
    assert_eq!(result.steps, 4);
    let restores = metrics(&out("restored"))
        .into_iter()
        .filter(|line| line["kind"] == "restore");
    let rates: Vec<_> = restores
        .map(|line| line["learning_rate"].as_f64().unwrap() as f32)
        .collect();
    assert_eq!(rates, [rate as f32 / 2.0]);
}
