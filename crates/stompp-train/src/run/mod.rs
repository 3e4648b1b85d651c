//! A whole run: load ([`setup`]), train ([`fit`]), evaluate ([`score`]), write and restore checkpoints ([`restore`]).

mod callbacks;
mod fit;
mod restore;
mod score;
mod setup;
mod stop;

#[cfg(feature = "cuda")]
use crate::error::device_error;
use crate::{
    RunConfig, RunResult, Session, Start, TrainError,
    callback::Callback,
    checkpoint::NETWORK,
    config::{DataConfig, Dataset, Device},
    files,
    images::{ImageList, RunImages},
    run_dir::RunDir,
};
use setup::Run;
use std::{path::Path, sync::Arc};
use stompp_graph::Graph;
use stompp_parallel::Collective;
use stop::Stop;
pub(crate) use stop::StopRequest;

/// Trains the network of `config` and writes all files of the run to the new directory `out`.
///
/// The files of the directory are:
/// - `config.toml`: the complete configuration; [`RunConfig::load`] reads it;
/// - `run.json`: code, machine and derived values ([`RunRecord`](crate::RunRecord));
/// - `model.toml`: the network's [`Graph`](stompp_graph::Graph);
/// - `summary.txt`: the costs of the network, layer by layer;
/// - `metrics.jsonl`: the metrics, one [`MetricRecord`](crate::MetricRecord) per line;
/// - `events.out.tfevents.stompp`: the metrics for TensorBoard;
/// - `network.safetensors`: the trained network, with torchvision's names;
/// - `result.json`: the [`RunResult`]. It is written last, so its presence means that the run is finished;
/// - for image files also `classes.json`, the class names in order, and `images.jsonl.gz`, the list of the files.
///
/// Each file is complete or absent, except that a crash can cut the last line of the metrics. Configuration and data are checked before
/// the directory is created.
///
/// The result is bit-identical for every number of threads. Training computes in rayon's current pool. Call it inside
/// [`ThreadPool::install`](rayon::ThreadPool::install): outside of a pool, every small parallel operation has to be sent to a pool
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
/// Returns a [`TrainError`] that names the field, file, image or step at fault: the configuration or the images are invalid, `out`
/// already holds a run, a file cannot be written, the training diverges, or the device fails. Also returns errors of callbacks. After an
/// error, the directory has no `result.json`.
pub fn train(config: &RunConfig, out: &Path, callbacks: &mut [&mut dyn Callback]) -> Result<RunResult, TrainError> {
    Session::default().train(config, out, callbacks)
}

/// Trains a custom network as [`train`] does; `graph` replaces the configuration's `network.model`.
///
/// The run directory has the graph as `model.toml`, and its `config.toml` refers to that file.
///
/// # Errors
/// Returns the errors of [`train`], and [`TrainError::Config`] if the graph does not fit the image size, the number of classes or the
/// method.
pub fn train_graph(
    graph: &Graph,
    config: &RunConfig,
    out: &Path,
    callbacks: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    Session::default().train_graph(graph, config, out, callbacks)
}

/// Trains with the settings of `session`. `own` replaces the configured network, if given.
pub(crate) fn run(
    session: &Session,
    config: &RunConfig,
    own: Option<&Graph>,
    out: &Path,
    callbacks: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    let processes = &*session.processes;
    let _guard = AbortOnPanic(processes);
    let result = run_part(session, config, own, out, callbacks);
    let Err(error) = &result else { return result };
    match error {
        // All processes stop together. The first one's files are complete before any process ends.
        TrainError::Stopped { .. } => processes.barrier()?,
        // All find the same. The first one names its checkpoint.
        TrainError::NonFinite { what, .. } if *what != NETWORK => {
            processes.barrier()?;
            if processes.rank() == 0 {
                processes.abort(&error.to_string());
            }
        }
        // The others wait for this process.
        error => processes.abort(&error.to_string()),
    }
    result
}

/// Ends the other processes if this one panics: they would wait for it.
struct AbortOnPanic<'a>(&'a dyn Collective);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort("it panicked");
        }
    }
}

/// Loads the images of a run. If they are files, only the first process lists them; the others get its list.
fn load_images(session: &Session, config: &DataConfig, out: &Path) -> Result<RunImages, TrainError> {
    let processes = &*session.processes;
    let (file, reindex) = (&*files::index(out), session.reindex);
    let of_run = (session.start == Start::Resume).then_some(ImageList::OfRun { file, reindex });
    let (rank, lists) = (processes.rank(), config.dataset == Dataset::Folder);
    if processes.size() == 1 {
        return RunImages::load(config, of_run);
    }
    let own = (rank == 0 || !lists)
        .then(|| RunImages::load(config, of_run))
        .transpose()?;
    // Also for other images, which have no list: the processes have not compared their configurations yet.
    let list = own.as_ref().and_then(|images| images.index.clone()).unwrap_or_default();
    let bytes = &processes.broadcast(list)?[..];
    match own {
        Some(images) => Ok(images),
        None => RunImages::load(config, Some(ImageList::OfFirstProcess { bytes, rank })),
    }
}

/// Does the part of this process.
fn run_part(
    session: &Session,
    config: &RunConfig,
    own: Option<&Graph>,
    out: &Path,
    callbacks: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    config.check()?;
    let control = (Stop::new(&session.stop), Arc::clone(&session.processes));
    if session.start == Start::New && session.processes.rank() == 0 {
        RunDir::check_free(out)?;
    }
    let images = load_images(session, &config.data, out)?;
    // In every process, also if they turn out to have different devices.
    let on_this_machine = stompp_parallel::rank_on_this_machine(&*session.processes)?;
    match config.device.name {
        Device::Cpu => {
            let mut run = Run::new(
                stompp_nn::cpu(),
                config.clone(),
                own,
                images,
                control,
                (session.start, out),
            )?;
            run.initialize(session, out)?;
            run.execute(session, out, callbacks)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda => {
            use stompp_nn::cuda::{GpuSettings, open_for};
            let settings = GpuSettings {
                tf32: !config.device.strict_f32,
                deterministic: config.device.deterministic,
                ..GpuSettings::default()
            };
            let device = open_for(on_this_machine, settings).map_err(device_error)?;
            let mut run = Run::new(device, config.clone(), own, images, control, (session.start, out))?;
            run.initialize(session, out)?;
            run.execute(session, out, callbacks)
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda => unreachable!("the configuration was checked (process {on_this_machine})"),
    }
}
