//! A run from beginning to end: load, train, evaluate, keep.

use crate::{
    DiagnosticsReport, Evaluation, OnDivergence, RunConfig, RunResult, Session, Start, TrainError,
    callback::{Callback, Restored, RunStart, StepReport},
    checkpoint::{self, Header, Keeper},
    config::{Device, Timeline},
    course::Course,
    deploy,
    diagnostics::{Look, Signs},
    divergence,
    error::device_error,
    evaluate::evaluate,
    events::Events,
    feed::{Holder, Supply},
    files,
    freezing::{Freezing, Frozen},
    images::{Images, changed_files},
    machine::{Code, Machine},
    metrics::Metrics,
    network_file,
    optimizer::Sgd,
    run_dir::{RunDir, RunRecord},
    step::{Clock, Learner, Outcome},
};
use dfdx::tensor::{Cache, Cpu};
use std::{path::Path, sync::atomic::Ordering, time::SystemTime};
use stompp_binarize::{Freezable, View};
use stompp_data::{Normalization, Position};
use stompp_resnet::{ResNet, Summary};

/// Trains the network of `config` and keeps everything about the run in the new directory `out`.
///
/// The directory then has `config.toml` (can be fed back in), `run.json` ([`RunRecord`]), `summary.txt` (the network, layer by
/// layer), `metrics.jsonl` (one JSON object a line, a [`Metric`](crate::Metric) each), `events.out.tfevents.stompp` (the same for
/// TensorBoard), `network.safetensors` (torchvision's names) and, last, `result.json` ([`RunResult`]): its presence means that the run is finished. A run on image files also has
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
    Session::default().train(config, out, watchers)
}

/// The same in the way of `session`.
pub(crate) fn run(
    session: &Session,
    config: &RunConfig,
    out: &Path,
    watchers: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    config.check()?;
    if session.start == Start::New {
        RunDir::check_free(out)?;
    }
    let index = out.join(files::INDEX);
    let images = Images::load(&config.data, (session.start == Start::Resume).then_some(&*index))?;
    match config.device.name {
        Device::Cpu => {
            let device = Cpu::default();
            // A step asks for the same sizes as the one before; from the system they would come page by page each time.
            device.enable_cache();
            Run::new(device, config.clone(), images)?.execute(session, out, watchers)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda => {
            use stompp_nn::cuda::{Settings, open};
            let settings = Settings {
                tf32: !config.device.strict_f32,
                deterministic: config.device.deterministic,
                ..Settings::default()
            };
            let device = open(settings).map_err(device_error)?;
            Run::new(device, config.clone(), images)?.execute(session, out, watchers)
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda => unreachable!("the configuration was checked"),
    }
}

/// Everything a run has in memory.
struct Run<D: Holder> {
    config: RunConfig,
    images: Images,
    train: Supply<D>,
    test: Supply<D>,
    normalization: Normalization,
    timeline: Timeline,
    record: RunRecord,
    summary: Summary,
    learner: Learner<D>,
    course: Course,
    /// Whether the learning rate has been halved after a divergence.
    halved: bool,
}

impl<D: Holder> Run<D> {
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
            machine: Machine {
                gpu: device.words(),
                ..Machine::current()
            },
            train_images: images.train.len(),
            test_images: images.test.len(),
            steps_per_epoch: timeline.steps_per_epoch,
            steps: timeline.steps,
            warm_up_steps: plan.map(|plan| plan.spec().warm_up),
            tail_steps: plan.map(|plan| plan.spec().tail),
            mean: statistics.mean,
            std: statistics.std,
        };
        let normalization = Normalization::new(statistics)?;
        Ok(Self {
            train: Supply::new(&device, &images.train, &normalization)?,
            test: Supply::new(&device, &images.test, &normalization)?,
            normalization,
            timeline,
            record,
            summary: config.summary()?,
            learner: Learner {
                device,
                network,
                optimizer: optimizer(&config),
                freezing: Freezing::new(&config, plan),
                signs: None,
            },
            config,
            images,
            course: Course::default(),
            halved: false,
        })
    }

    fn execute(
        mut self,
        session: &Session,
        out: &Path,
        watchers: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        let keeper = |rules| Keeper::new(out, rules, &self.timeline);
        let mut keeper = session.checkpoints.as_ref().map(keeper).transpose()?;
        let dir = RunDir::open(out, session.start, &self.config)?;
        if let Some(result) = dir.result()? {
            return Ok(result);
        }
        dir.write_record(&self.record)?;
        dir.write(files::SUMMARY, format!("{}\n", self.summary).as_bytes())?;
        if let Some(names) = &self.images.class_names {
            dir.write_classes(names)?;
        }
        if let Some(index) = self.images.index.take() {
            dir.write(files::INDEX, &index)?;
        }
        let mut watchers = Watchers {
            metrics: Metrics::open(dir.path())?,
            events: Events::of_run(dir.path()),
            others: watchers,
        };
        if session.diagnostics.is_some() {
            self.learner.signs = Some(Signs::of(&mut self.learner.network));
        }
        self.begin(keeper.as_mut(), &mut watchers)?;
        while let Err(error) = self.train(session, keeper.as_mut(), &mut watchers) {
            self.recover(error, session.on_divergence, keeper.as_mut(), &mut watchers)?;
        }
        let network = match self.reestimated()? {
            Some(mut network) => network_file::to_bytes(&mut network),
            None => network_file::to_bytes(&mut self.learner.network),
        };
        dir.write(files::NETWORK, &network)?;
        self.course.note_bad_images(self.images.bad_images());
        let bad = &self.course.bad_images;
        if !bad.is_empty() {
            watchers.tell(|watcher| watcher.on_bad_images(bad))?;
        }
        if let Some(note) = changed_files("while the run went on", &self.images.changed_files()) {
            watchers.tell(|watcher| watcher.on_notes(std::slice::from_ref(&note)))?;
        }
        let result = self.result();
        watchers.tell(|watcher| watcher.on_end(&result))?;
        dir.write_result(&result)?;
        Ok(result)
    }

    /// Takes up the last checkpoint, or makes one of the beginning, and tells where the run stands.
    fn begin(&mut self, keeper: Option<&mut Keeper>, watchers: &mut Watchers<'_, '_>) -> Result<(), TrainError> {
        match keeper {
            Some(keeper) => {
                if !self.go_back(keeper, watchers)? {
                    watchers.metrics.go_back_to(0)?;
                    self.keep(true, keeper, watchers)?;
                }
            }
            None => watchers.metrics.go_back_to(0)?,
        }
        let start = RunStart {
            step: self.course.step,
            revision: self.record.code.revision.clone(),
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            batch_size: self.config.training.batch_size,
            steps_per_epoch: self.timeline.steps_per_epoch,
            steps: self.timeline.steps,
            units: Frozen::of(&mut self.learner.network).units,
        };
        watchers.tell(|watcher| watcher.on_start(&start))?;
        match &*self.images.notes {
            [] => Ok(()),
            notes => watchers.tell(|watcher| watcher.on_notes(notes)),
        }
    }

    /// Brings everything into the state of the last checkpoint; `false` if there is none.
    fn go_back(&mut self, keeper: &mut Keeper, watchers: &mut Watchers<'_, '_>) -> Result<bool, TrainError> {
        let Some(path) = keeper.newest()? else {
            return Ok(false);
        };
        self.learner.optimizer = optimizer(&self.config);
        let header = checkpoint::load(&path, &self.config, &self.timeline, &mut self.learner)?;
        watchers.metrics.go_back_to(header.metrics_len)?;
        self.learner.optimizer.set_learning_rate(header.learning_rate);
        self.halved = header.halved;
        keeper.go_on_from(&header);
        self.course = header.course;
        Ok(true)
    }

    /// After a divergence: back to the last checkpoint with half the learning rate, where that is wanted and was not done before.
    fn recover(
        &mut self,
        mut error: TrainError,
        rule: OnDivergence,
        keeper: Option<&mut Keeper>,
        watchers: &mut Watchers<'_, '_>,
    ) -> Result<(), TrainError> {
        let divergence = error.to_string();
        let (TrainError::NonFinite { last_good, .. }, Some(keeper)) = (&mut error, keeper) else {
            return Err(error);
        };
        if rule == OnDivergence::Stop || self.halved || !self.go_back(keeper, watchers)? {
            *last_good = keeper.newest()?;
            return Err(error);
        }
        let learning_rate = self.learner.optimizer.learning_rate() / 2.0;
        self.learner.optimizer.set_learning_rate(learning_rate);
        self.halved = true;
        let step = self.course.step;
        watchers.tell(|watcher| {
            watcher.on_restore(&Restored {
                step,
                divergence: divergence.clone(),
                learning_rate,
            })
        })?;
        self.keep(true, keeper, watchers)
    }

    /// Keeps a checkpoint if one is due, in any case if `now`.
    fn keep(&mut self, now: bool, keeper: &mut Keeper, watchers: &Watchers<'_, '_>) -> Result<(), TrainError> {
        let Some(due) = keeper.due(now, &self.course) else {
            return Ok(());
        };
        self.course.note_bad_images(self.images.bad_images());
        let header = Header {
            learning_rate: self.learner.optimizer.learning_rate(),
            halved: self.halved,
            metrics_len: watchers.metrics.len()?,
            ..Header::new(&self.config, &self.course, &self.timeline)
        };
        keeper.keep(due, &header, &mut self.learner)
    }

    /// The loop, from where the run stands to its end.
    fn train(
        &mut self,
        session: &Session,
        mut keeper: Option<&mut Keeper>,
        watchers: &mut Watchers<'_, '_>,
    ) -> Result<(), TrainError> {
        let Timeline {
            steps_per_epoch,
            steps,
            evaluate_every,
        } = self.timeline;
        let look_every = session
            .diagnostics
            .map(|time| time.steps(steps_per_epoch, steps).max(1));
        if look_every.is_none() {
            self.learner.signs = None;
        }
        let start = self.timeline.position(self.course.step);
        let mut batches = self.train.training(&self.config, &self.normalization, start)?;
        let mut on_the_clock = Clock::start();
        while self.course.step < steps {
            let mut clock = Clock::start();
            let batch = batches.next().expect("training batches have no end")?;
            let waited = clock.lap();
            let images = batch.labels.len();
            let mut outcome = self.learner.step(self.course.step, batch)?;
            outcome.seconds.data = waited;
            self.course.add(&outcome, images);
            if look_every.is_some() {
                let Outcome { norms, freezing, .. } = &outcome;
                let since = &mut self.course.since_diagnostics;
                since.add(&mut self.learner.network, norms, freezing.as_ref());
            }

            let done = self.course.step;
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
            if done.is_multiple_of(steps_per_epoch) || done == steps {
                let report = std::mem::take(&mut self.course.epoch).report(done, epochs, frozen);
                watchers.tell(|watcher| watcher.on_epoch(&report))?;
            }
            if look_every.is_some_and(|every| done.is_multiple_of(every) || done == steps) {
                let report = self.look(done)?;
                watchers.tell(|watcher| watcher.on_diagnostics(&report))?;
            }
            if done == steps {
                self.learner.enter(done, steps);
            }
            if done.is_multiple_of(evaluate_every) || done == steps {
                let train_loss = std::mem::take(&mut self.course.since_evaluation).mean_loss();
                let evaluation = self.evaluate(done, epochs, train_loss)?;
                watchers.tell(|watcher| watcher.on_evaluation(&evaluation))?;
                self.course.evaluations.push(evaluation);
            }
            self.course.seconds += on_the_clock.lap();

            let stopped = session.stop.load(Ordering::Relaxed) && done < steps;
            if let Some(keeper) = &mut keeper {
                self.keep(stopped || done == steps, keeper, watchers)?;
            }
            if stopped {
                return Err(TrainError::Stopped { step: done });
            }
        }
        Ok(())
    }

    /// Looks at each unit.
    fn look(&mut self, step: u64) -> Result<DiagnosticsReport, TrainError> {
        let Learner {
            device,
            network,
            freezing,
            signs,
            ..
        } = &mut self.learner;
        let look = Look {
            device,
            freezing,
            test: &self.images.test,
            normalization: &self.normalization,
            steps_per_epoch: self.timeline.steps_per_epoch,
        };
        look.report(step, network, &mut self.course.since_diagnostics, signs)
    }

    fn result(&mut self) -> RunResult {
        let Course {
            whole,
            evaluations,
            seconds,
            ..
        } = &self.course;
        let last = evaluations.last().expect("the last step is evaluated");
        RunResult {
            top1: last.top1,
            top1_as_it_stands: last.top1_as_it_stands,
            test_loss: last.test_loss,
            steps: self.timeline.steps,
            steps_per_epoch: self.timeline.steps_per_epoch,
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            units: Frozen::of(&mut self.learner.network).units,
            seconds: *seconds,
            images_per_s: whole.images_per_s(),
            evaluations: evaluations.clone(),
        }
    }

    /// The deploy network with statistics of its own, where the configuration wants them.
    fn reestimated(&self) -> Result<Option<ResNet<D>>, TrainError> {
        let count = self.config.training.bn_reestimate;
        if count == 0 {
            return Ok(None);
        }
        // Always the same batches: the first ones of the training.
        let first = Position::default();
        let batches = self.train.training(&self.config, &self.normalization, first)?;
        let view = self.config.method.name.deployed();
        deploy::reestimated(&self.learner.network, view, batches.take(count)).map(Some)
    }

    /// Scores the deploy network, and the network as it stands where that is another one.
    fn evaluate(&mut self, step: u64, epoch: f64, train_loss: f64) -> Result<Evaluation, TrainError> {
        let reestimated = self.reestimated()?;
        let network = &mut self.learner.network;
        let frozen = Frozen::of(network);
        let view = self.config.method.name.deployed();
        let score = |network: &_, view| evaluate(network, &self.test, &self.normalization, view);
        let deployed = score(reestimated.as_ref().unwrap_or(network), view)?;
        if !deployed.loss.is_finite() {
            return Err(TrainError::NonFinite {
                what: "test loss",
                step,
                value: deployed.loss,
                layer: divergence::of_loss(network),
                last_good: None,
            });
        }
        let same = reestimated.is_none() && (view == View::AsItStands || frozen.everything);
        let as_it_stands = if same {
            deployed
        } else {
            score(network, View::AsItStands)?
        };
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

/// The optimizer of a run at its beginning.
fn optimizer<D: Holder>(config: &RunConfig) -> Sgd<D> {
    Sgd::new(config.training.learning_rate as f32, config.training.momentum as f32)
}

/// Everybody who looks on.
struct Watchers<'a, 'b> {
    /// Are told first.
    metrics: Metrics,
    events: Events,
    others: &'a mut [&'b mut dyn Callback],
}

impl Watchers<'_, '_> {
    fn tell(&mut self, mut what: impl FnMut(&mut dyn Callback) -> Result<(), TrainError>) -> Result<(), TrainError> {
        what(&mut self.metrics)?;
        what(&mut self.events)?;
        self.others.iter_mut().try_for_each(|watcher| what(*watcher))
    }
}
