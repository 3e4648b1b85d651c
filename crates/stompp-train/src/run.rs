//! A run from beginning to end: load, train, evaluate, keep.

use crate::{
    Evaluation, RunConfig, RunResult, TrainError,
    callback::{Callback, RunStart, StepReport},
    config::Timeline,
    error::device_error,
    evaluate::evaluate,
    files,
    freezing::{Freezing, Frozen},
    images::Images,
    machine::{Code, Machine},
    metrics::Metrics,
    network_file,
    optimizer::Sgd,
    run_dir::{RunDir, RunRecord},
    step::{Clock, Learner},
    tally::Tally,
};
use dfdx::tensor::{Cache, Cpu};
use std::{
    path::Path,
    time::{Instant, SystemTime},
};
use stompp_binarize::{BinaryBackend, Freezable, View};
use stompp_data::Normalization;
use stompp_resnet::{ResNet, Summary};

/// Trains the network of `config` on the CPU and keeps everything about the run in the new directory `out`.
///
/// The directory then has `config.toml` (can be fed back in), `run.json` ([`RunRecord`]), `summary.txt` (the network, layer by
/// layer), `metrics.jsonl` (one JSON object a line, each with its `kind`), `network.safetensors` (torchvision's names) and,
/// last, `result.json` ([`RunResult`]): its presence means that the run is finished. A run on image files also has
/// `classes.json`, their names in order, and `images.json`, the list of the files. Each file is whole or absent, except that
/// a crash may cut the last line of the metrics. Configuration and data are checked before the directory is made.
///
/// The result is the same to the bit for every number of threads. It computes in rayon's current pool: call it inside
/// [`ThreadPool::install`](rayon::ThreadPool::install), because from outside of a pool each small piece of work is handed over
/// and waited for.
///
/// ```
/// use stompp_train::{RunConfig, RunResult, train};
///
/// let config = RunConfig::from_toml(
///     "[data]
///      train_limit = 40
///      test_limit = 20
///      image_size = 8
///      [network]
///      model = 'resnet8'
///      width = 4
///      [training]
///      duration = '8ba'
///      batch_size = 10",
/// )?;
/// let folder = tempfile::tempdir()?;
/// let out = folder.path().join("run");
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
/// let result = pool.install(|| train(&config, &out, &mut []))?;
/// assert_eq!(result.evaluations.last().map(|last| last.committed_fraction), Some(1.0));
/// assert_eq!(RunResult::load(&out)?, result);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Names the field, file, image or step at fault. A run that ends early leaves a directory without `result.json`.
pub fn train(config: &RunConfig, out: &Path, watchers: &mut [&mut dyn Callback]) -> Result<RunResult, TrainError> {
    config.check()?;
    RunDir::check_free(out)?;
    let images = Images::load(&config.data, None)?;
    let device = Cpu::default();
    // A step asks for the same sizes as the one before; from the system they would come page by page each time.
    device.enable_cache();
    Run::new(device, config.clone(), images)?.execute(out, watchers)
}

/// Everything a run has in memory.
struct Run<D: BinaryBackend> {
    config: RunConfig,
    images: Images,
    normalization: Normalization,
    timeline: Timeline,
    record: RunRecord,
    summary: Summary,
    learner: Learner<D>,
}

impl<D: BinaryBackend> Run<D> {
    fn new(device: D, mut config: RunConfig, images: Images) -> Result<Self, TrainError> {
        if let Some(names) = &images.class_names {
            config.data.settle_classes(names.len())?;
        }
        let architecture = config.architecture()?;
        config.network.width = Some(architecture.width());
        for path in [&mut config.data.path, &mut config.data.labels].into_iter().flatten() {
            // So that the written configuration means the same files wherever it is fed back in.
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        let timeline = config.timeline(images.train.len())?;
        let binarization = config.binarization();
        let mut network = ResNet::new(&device, &architecture, binarization, config.seed).map_err(device_error)?;
        let units = network.units().len();
        let plan = config.plan(&timeline, units)?;
        let statistics = images.statistics;
        let record = RunRecord {
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            code: Code::current(),
            machine: Machine::current(),
            train_images: images.train.len(),
            test_images: images.test.len(),
            steps_per_epoch: timeline.steps_per_epoch,
            steps: timeline.steps,
            warm_up_steps: plan.map(|plan| plan.spec().warm_up),
            tail_steps: plan.map(|plan| plan.spec().tail),
            mean: statistics.mean,
            std: statistics.std,
        };
        let training = &config.training;
        Ok(Self {
            normalization: Normalization::new(statistics)?,
            timeline,
            record,
            summary: config.summary()?,
            learner: Learner {
                device,
                network,
                optimizer: Sgd::new(training.learning_rate as f32, training.momentum as f32),
                freezing: Freezing::new(&config, plan),
            },
            config,
            images,
        })
    }

    fn execute(mut self, out: &Path, watchers: &mut [&mut dyn Callback]) -> Result<RunResult, TrainError> {
        let dir = RunDir::create(out, &self.config)?;
        dir.write_record(&self.record)?;
        dir.write(files::SUMMARY, format!("{}\n", self.summary).as_bytes())?;
        if let Some(names) = &self.images.class_names {
            dir.write_classes(names)?;
        }
        if let Some(index) = self.images.index.take() {
            dir.write(files::INDEX, &index)?;
        }
        let mut metrics = Metrics::create(dir.path())?;
        let mut watchers = Watchers {
            metrics: &mut metrics,
            others: watchers,
        };
        let result = self.train(&mut watchers)?;
        dir.write(files::NETWORK, &network_file::to_bytes(&mut self.learner.network))?;
        let bad = self.images.bad_images();
        if !bad.is_empty() {
            watchers.tell(|watcher| watcher.on_bad_images(&bad))?;
        }
        watchers.tell(|watcher| watcher.on_end(&result))?;
        dir.write_result(&result)?;
        Ok(result)
    }

    /// The loop.
    fn train(&mut self, watchers: &mut Watchers<'_, '_>) -> Result<RunResult, TrainError> {
        let Timeline {
            steps_per_epoch,
            steps,
            evaluate_every,
        } = self.timeline;
        let batch_size = self.config.training.batch_size;
        let units = Frozen::of(&mut self.learner.network).units;
        watchers.tell(|watcher| {
            watcher.on_start(&RunStart {
                train_images: self.images.train.len(),
                test_images: self.images.test.len(),
                batch_size,
                steps_per_epoch,
                steps,
                units,
            })
        })?;

        let begun = Instant::now();
        let mut batches = self.images.training_batches(&self.config, &self.normalization)?;
        let (mut whole, mut epoch, mut since_evaluation) = (Tally::default(), Tally::default(), Tally::default());
        let mut evaluations = Vec::new();
        for step in 0..steps {
            let mut clock = Clock::start();
            let batch = batches.next().expect("training batches have no end")?;
            let waited = clock.lap();
            let images = batch.labels.len();
            let mut outcome = self.learner.step(step, batch)?;
            outcome.seconds.data = waited;
            for tally in [&mut whole, &mut epoch, &mut since_evaluation] {
                tally.add(&outcome, images);
            }

            let done = step + 1;
            let epochs = done as f64 / steps_per_epoch as f64;
            let frozen = Frozen::of(&mut self.learner.network);
            watchers.tell(|watcher| {
                watcher.on_step(&StepReport {
                    step: done,
                    loss: outcome.loss,
                    correct: outcome.correct,
                    committed_units: frozen.committed_units,
                })
            })?;
            if done % steps_per_epoch == 0 || done == steps {
                let report = std::mem::take(&mut epoch).report(done, epochs, frozen);
                watchers.tell(|watcher| watcher.on_epoch(&report))?;
            }
            if done == steps {
                self.learner.finish(steps);
            }
            if done % evaluate_every == 0 || done == steps {
                let train_loss = std::mem::take(&mut since_evaluation).mean_loss();
                let evaluation = self.evaluate(done, epochs, train_loss)?;
                watchers.tell(|watcher| watcher.on_evaluation(&evaluation))?;
                evaluations.push(evaluation);
            }
        }
        let last = evaluations.last().expect("the last step is evaluated");
        Ok(RunResult {
            top1: last.top1,
            top1_as_it_stands: last.top1_as_it_stands,
            test_loss: last.test_loss,
            steps,
            steps_per_epoch,
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            units,
            seconds: begun.elapsed().as_secs_f64(),
            images_per_s: whole.images_per_s(),
            evaluations,
        })
    }

    /// Scores the deploy network, and the network as it stands where that is another one.
    fn evaluate(&mut self, step: u64, epoch: f64, train_loss: f64) -> Result<Evaluation, TrainError> {
        let Learner { device, network, .. } = &mut self.learner;
        let frozen = Frozen::of(network);
        let view = self.config.method.name.deployed();
        let score = |view| evaluate(device, network, &self.images.test, &self.normalization, view);
        let deployed = score(view)?;
        if !deployed.loss.is_finite() {
            return Err(TrainError::NonFinite {
                which: "test",
                step,
                loss: deployed.loss,
            });
        }
        let same = view == View::AsItStands || frozen.everything;
        let as_it_stands = if same { deployed } else { score(View::AsItStands)? };
        Ok(Evaluation {
            step,
            epoch,
            train_loss,
            test_loss: deployed.loss,
            top1: deployed.top1,
            top1_as_it_stands: as_it_stands.top1,
            committed_units: frozen.committed_units,
            committed_fraction: frozen.committed_fraction(),
            frozen_fraction: frozen.frozen_fraction,
        })
    }
}

/// Everybody who looks on.
struct Watchers<'a, 'b> {
    /// Is told first.
    metrics: &'a mut dyn Callback,
    others: &'a mut [&'b mut dyn Callback],
}

impl Watchers<'_, '_> {
    fn tell(&mut self, mut what: impl FnMut(&mut dyn Callback) -> Result<(), TrainError>) -> Result<(), TrainError> {
        what(self.metrics)?;
        self.others.iter_mut().try_for_each(|watcher| what(*watcher))
    }
}
