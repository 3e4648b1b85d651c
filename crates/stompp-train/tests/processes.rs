//! Runs of several processes: same bytes as one process, resuming with another number, stopping together, and errors. Threads stand for
//! processes.

use image::{Rgb, RgbImage};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use stompp_parallel::{Collective, CollectiveError, LocalGroup, PendingSum, Reduction, Solo};
use stompp_train::{
    Callback, Checkpointing, MetricRecord, RunConfig, RunResult, SavedRun, Session, Start, TrainError,
    callback::{EpochReport, StepReport},
    config::Dataset,
};

/// A run of 16 steps in which every unit freezes.
fn config(method: &str) -> RunConfig {
    RunConfig::from_toml(&format!(
        "data = {{ train_limit = 40, test_limit = 20, image_size = 8 }}
         network = {{ model = 'resnet8', width = 4 }}
         method = {{ {method}, refresh = '0.2w' }}
         training = {{ duration = '4ep', batch_size = 10, evaluate_every = '1ep' }}
         processes = {{ slices = 4 }}"
    ))
    .unwrap()
}

const STOMPP: &str = "name = 'stompp'";

fn session() -> Session {
    Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    }
}

/// Sets a flag after a step.
struct StopAfter(u64, Arc<AtomicBool>);

impl Callback for StopAfter {
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        if step.step == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Trains in `out` with `size` processes. `configure` may change the configuration and the session of each. Returns the results by rank.
fn train_with(
    size: usize,
    config: &RunConfig,
    out: &Path,
    reduction: Reduction,
    stop_at: Option<u64>,
    configure: impl Fn(usize, &mut RunConfig, &mut Session) + Sync,
) -> Vec<Result<RunResult, TrainError>> {
    let one = |processes: Arc<dyn Collective>| {
        let (mut config, mut session) = (config.clone(), session());
        let rank = processes.rank();
        session.processes = processes;
        configure(rank, &mut config, &mut session);
        // Only the first process may use the directory.
        let elsewhere = out.join(format!("nothing-{rank}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let train = || {
            let mut stop = StopAfter(stop_at.unwrap_or(u64::MAX), Arc::clone(&session.stop));
            let mut callbacks: Vec<&mut dyn Callback> = vec![&mut stop];
            if rank > 0 {
                callbacks.clear();
            }
            session.train(&config, if rank == 0 { out } else { &elsewhere }, &mut callbacks)
        };
        let result = pool.install(train);
        assert!(!elsewhere.exists(), "process {rank} wrote a directory");
        result
    };
    if size == 1 {
        return vec![one(Arc::new(Solo))];
    }
    let members = LocalGroup::members(size, reduction).unwrap();
    thread::scope(|threads| {
        let running: Vec<_> = members
            .into_iter()
            .map(|member| threads.spawn(|| one(Arc::new(member))))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Changes nothing.
fn as_it_is(_: usize, _: &mut RunConfig, _: &mut Session) {}

/// Trains to the end, exactly.
fn train(size: usize, config: &RunConfig, out: &Path) -> Vec<RunResult> {
    let results = train_with(size, config, out, Reduction::Exact, None, as_it_is);
    results.into_iter().map(Result::unwrap).collect()
}

/// The epochs of a run: step, loss and accuracy.
fn epochs(out: &Path) -> Vec<(u64, f64, f64)> {
    let epoch = |epoch: EpochReport| (epoch.step, epoch.train_loss, epoch.train_top1);
    let metrics = MetricRecord::read(out).unwrap().into_iter();
    let epochs = metrics.filter_map(|metric| match metric {
        MetricRecord::Epoch(report) => Some(epoch(report)),
        _ => None,
    });
    epochs.collect()
}

fn network(out: &Path) -> Vec<u8> {
    fs::read(out.join("network.safetensors")).unwrap()
}

#[test]
fn any_number_of_processes_writes_the_bytes_of_one() {
    let methods = [
        STOMPP,
        "name = 'stompp-ste', order = 'reverse'",
        "name = 'ste'",
        "name = 'float'",
    ];
    for (method, setting) in methods
        .iter()
        .flat_map(|method| ["bnn", "bwn"].map(|setting| (*method, setting)))
    {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(method);
        config.network.setting = setting.parse().unwrap();
        let alone = folder.path().join("1");
        let [expected] = &train(1, &config, &alone)[..] else {
            unreachable!()
        };
        for size in [2, 4] {
            let out = folder.path().join(size.to_string());
            for result in train(size, &config, &out) {
                assert_eq!(result.evaluations, expected.evaluations, "{method} {setting}");
            }
            assert!(network(&out) == network(&alone), "{size} processes, {method} {setting}");
            assert_eq!(epochs(&out), epochs(&alone));
        }
    }
}

#[test]
fn a_run_resumes_with_another_number_of_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let mut config = config(STOMPP);
    config.processes.slices = None;
    train(4, &config, &whole);
    // Four processes, of which one is told to stop; then one, for one step; then two, to the end.
    for (size, stop_at, stops, step) in [
        (4, Some(6), false, Some(7)),
        (1, None, true, Some(8)),
        (2, None, false, None),
    ] {
        let results = train_with(size, &config, &out, Reduction::Exact, stop_at, |_, config, session| {
            if out.join("config.toml").exists() {
                *config = RunConfig::load(&out.join("config.toml")).unwrap();
            }
            session.stop = Arc::new(AtomicBool::new(stops));
        });
        for result in results {
            let stopped = match result {
                Ok(_) => None,
                Err(TrainError::Stopped { step }) => Some(step),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(stopped, step, "{size} processes");
        }
    }
    assert!(network(&out) == network(&whole));
    assert_eq!(epochs(&out), epochs(&whole));
    assert_eq!(
        RunConfig::load(&out.join("config.toml")).unwrap().processes.slices,
        Some(4)
    );
}

/// A process that is told to stop as soon as it has agreed with the others to go on with an evaluation.
#[derive(Debug)]
struct StopInEvaluation(LocalGroup, Arc<AtomicBool>);

impl Collective for StopInEvaluation {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        self.0.sum(values)
    }

    fn start_sum(&self, values: Vec<f32>) -> PendingSum {
        self.0.start_sum(values)
    }

    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let goes_on = message == b"false";
        let all = self.0.gather(message)?;
        if goes_on && self.rank() == 1 {
            self.1.store(true, Ordering::Relaxed);
        }
        Ok(all)
    }

    fn bytes_sent(&self) -> u64 {
        self.0.bytes_sent()
    }

    fn abort(&self, reason: &str) {
        self.0.abort(reason);
    }
}

#[test]
fn an_evaluation_is_cancelled_in_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let mut config = config(STOMPP);
    config.data.test_limit = Some(501); // 250 images in one process, 251 in the other: one batch, and two.
    let config = &config;
    train(2, config, &whole);
    let members = LocalGroup::members(2, Reduction::Exact).unwrap();
    thread::scope(|threads| {
        for member in members {
            let place = if member.rank() == 0 {
                out.clone()
            } else {
                folder.path().join("nothing")
            };
            threads.spawn(move || {
                let mut session = session();
                session.processes = Arc::new(StopInEvaluation(member, Arc::clone(&session.stop)));
                let result = session.train(config, &place, &mut []);
                // The step before the first evaluation.
                assert!(matches!(result, Err(TrainError::Stopped { step: 4 })), "{result:?}");
            });
        }
    });
    train(2, config, &out);
    assert!(network(&out) == network(&whole));
    assert_eq!(epochs(&out), epochs(&whole));
}

#[test]
fn fewer_bytes_are_sent_as_the_network_freezes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    train(2, &config(STOMPP), &out);
    let reports: Vec<_> = MetricRecord::read(&out)
        .unwrap()
        .into_iter()
        .filter_map(|metric| match metric {
            MetricRecord::Epoch(epoch) => epoch.processes,
            _ => None,
        })
        .collect();
    assert_eq!(reports.len(), 4);
    assert!(
        reports
            .iter()
            .all(|report| report.seconds.len() == 2 && report.slowest < 2)
    );
    assert!(
        reports
            .iter()
            .flat_map(|report| &report.seconds)
            .all(|&seconds| seconds > 0.0)
    );
    let sent: Vec<u64> = reports.iter().map(|report| report.bytes_per_step).collect();
    assert!(
        sent.is_sorted_by(|a, b| a >= b) && sent[3] < sent[0] * 3 / 4,
        "{sent:?}"
    );
}

#[test]
fn fast_sums_and_local_batch_norms_train_with_any_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(STOMPP);
    config.processes.slices = None;
    config.processes.reduction = "fast".parse().unwrap();
    for local in [false, true] {
        config.processes.local_batch_norm = local;
        let out = folder.path().join(local.to_string());
        let results = train_with(3, &config, &out, Reduction::Fast, None, as_it_is);
        let results: Vec<RunResult> = results.into_iter().map(Result::unwrap).collect();
        assert!(results.iter().all(|result| result.steps == 16));
        assert!(
            results
                .windows(2)
                .all(|pair| pair[0].evaluations == pair[1].evaluations)
        );
        let saved = SavedRun::open(&out).unwrap().evaluate(&mut ()).unwrap();
        assert_eq!(
            (saved.top1, saved.loss),
            (results[0].top1, results[0].test_loss),
            "the evaluation is that of the saved network"
        );
    }
    let networks = ["false", "true"].map(|out| network(&folder.path().join(out)));
    assert!(networks[0] != networks[1]);
}

/// The error of each process.
fn errors(results: Vec<Result<RunResult, TrainError>>) -> Vec<TrainError> {
    results.into_iter().map(Result::unwrap_err).collect()
}

#[test]
fn an_error_of_one_process_ends_the_others_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    train(1, &config(STOMPP), &out);
    let errors = errors(train_with(
        4,
        &config(STOMPP),
        &out,
        Reduction::Exact,
        None,
        |_, _, session| {
            session.start = Start::New;
        },
    ));
    assert!(matches!(errors[0], TrainError::RunExists { .. }), "{}", errors[0]);
    for error in &errors[1..] {
        let TrainError::Processes(CollectiveError::Lost { rank: 0, reason }) = error else {
            panic!("{error}")
        };
        assert!(reason.contains("already holds a run"), "{reason}");
    }
}

/// Writes two classes of images; the last one of each class has this name.
fn write_images(folder: &Path, last: &str) {
    for (part, class) in [("train", "ant"), ("train", "bee"), ("val", "ant"), ("val", "bee")] {
        let place = folder.join(part).join(class);
        fs::create_dir_all(&place).unwrap();
        for (number, name) in ["0", "1", "2", "3", "4", "5", "6", last].into_iter().enumerate() {
            let colour = if class == "ant" { [200, 40, 10] } else { [20, 90, 220] };
            let pixel = |x, y| Rgb(colour.map(|c: u8| c.wrapping_add((7 * x + 3 * y) as u8 ^ number as u8)));
            RgbImage::from_fn(12, 12, pixel)
                .save(place.join(format!("{name}.png")))
                .unwrap();
        }
    }
}

#[test]
fn image_files_are_listed_once_and_must_be_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [images, renamed] = ["images", "renamed"].map(|name| folder.path().join(name));
    write_images(&images, "7");
    write_images(&renamed, "8");
    let mut config = config(STOMPP);
    config.data.dataset = Dataset::Folder;
    config.data.path = Some(images);
    (config.data.train_limit, config.data.test_limit) = (None, None);
    config.training.batch_size = 8;
    let [one, two] = ["1", "2"].map(|name| folder.path().join(name));
    train(1, &config, &one);
    train(2, &config, &two);
    assert!(network(&two) == network(&one));
    assert!(two.join("images.jsonl.gz").exists());

    let other_images = |rank: usize, config: &mut RunConfig, _: &mut Session| {
        if rank == 1 {
            config.data.path = Some(renamed.clone());
        }
    };
    let out = folder.path().join("out");
    for error in errors(train_with(2, &config, &out, Reduction::Exact, None, other_images)) {
        let message = error.to_string();
        assert!(
            message.contains("process 1") && message.contains("4 missing (ant/7.png, bee/7.png, ant/7.png and 1 more)"),
            "{message}"
        );
    }
}

#[test]
fn processes_with_other_configurations_or_images_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let other_rate = |rank: usize, config: &mut RunConfig, _: &mut Session| {
        if rank == 1 {
            config.training.learning_rate = 0.05;
        }
    };
    for error in errors(train_with(2, &config(STOMPP), &out, Reduction::Exact, None, other_rate)) {
        let message = error.to_string();
        assert!(
            message.contains("process 1") && message.contains("training.learning_rate was 0.1, now it is 0.05"),
            "{message}"
        );
    }
    let other_images = |rank: usize, config: &mut RunConfig, _: &mut Session| {
        if rank == 1 {
            config.data.dataset = Dataset::Synthetic100;
        }
    };
    for error in errors(train_with(
        2,
        &config(STOMPP),
        &out,
        Reduction::Exact,
        None,
        other_images,
    )) {
        let message = error.to_string();
        assert!(
            message.contains("process 1") && message.contains("data.dataset"),
            "{message}"
        );
    }
    assert!(!out.exists(), "nothing is written");
}

#[test]
fn configurations_that_processes_cannot_share_are_refused_by_field() {
    let refused = |size: usize, change: &(dyn Fn(&mut RunConfig) + Sync)| {
        let folder = tempfile::tempdir().unwrap();
        let results = train_with(
            size,
            &config(STOMPP),
            &folder.path().join("out"),
            Reduction::Fast,
            None,
            |_, config, _| change(config),
        );
        results[0].as_ref().unwrap_err().to_string()
    };
    for (size, message, change) in [
        (
            4,
            "processes.slices: 2: 4 processes need at least 4 slices",
            &(|config: &mut RunConfig| {
                config.processes.slices = Some(2);
            }) as &(dyn Fn(&mut RunConfig) + Sync),
        ),
        (
            3,
            "processes.reduction: exact: 3 processes cannot add in pairs",
            &|_: &mut RunConfig| {},
        ),
        (
            1,
            "processes.slices: 3: expected a power of two",
            &|config: &mut RunConfig| {
                config.processes.slices = Some(3);
            },
        ),
        (
            1,
            "processes.slices: 16: a batch has only 10 images",
            &|config: &mut RunConfig| {
                config.processes.slices = Some(16);
            },
        ),
    ] {
        let error = refused(size, change);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn an_empty_checkpoint_is_refused_and_not_taken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for size in [1, 2] {
        let stopped = train_with(1, &config(STOMPP), &out, Reduction::Exact, Some(6), as_it_is);
        assert!(matches!(stopped[0], Err(TrainError::Stopped { .. })));
        let mut checkpoints: Vec<_> = fs::read_dir(out.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("best.safetensors"))
            .collect();
        checkpoints.sort();
        let metrics = fs::read(out.join("metrics.jsonl")).unwrap();
        checkpoints.iter().for_each(|path| fs::write(path, []).unwrap());
        let error = train_with(size, &config(STOMPP), &out, Reduction::Exact, None, as_it_is)[0]
            .as_ref()
            .unwrap_err()
            .to_string();
        assert!(error.contains(".safetensors"), "{error}");
        assert_eq!(fs::read(out.join("metrics.jsonl")).unwrap(), metrics, "nothing is lost");
        fs::remove_dir_all(&out).unwrap();
    }
}
