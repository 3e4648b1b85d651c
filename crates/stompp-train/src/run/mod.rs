//! A run from beginning to end: load ([`setup`]), train ([`fit`]), evaluate ([`score`]), checkpoint ([`restore`]).

mod callbacks;
mod fit;
mod restore;
mod score;
mod setup;
mod stop;

#[cfg(feature = "cuda")]
use crate::error::device_error;
use crate::{
    RunConfig, RunResult, Session, Start, TrainError, callback::Callback, config::Device, files, images::RunImages,
    run_dir::RunDir,
};
use setup::Run;
use std::path::Path;
use stompp_graph::Graph;
use stop::Stop;

/// Trains the network of `config` and keeps everything about the run in the new directory `out`.
///
/// The directory then has `config.toml` (can be fed back in), `run.json` ([`RunRecord`](crate::RunRecord)), `model.toml` (the network's
/// [`Graph`](stompp_graph::Graph)), `summary.txt` (what it costs, layer by layer), `metrics.jsonl` (one JSON object a line, a [`MetricRecord`](crate::Metric) each), `events.out.tfevents.stompp` (the same for
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
pub fn train(config: &RunConfig, out: &Path, callbacks: &mut [&mut dyn Callback]) -> Result<RunResult, TrainError> {
    Session::default().train(config, out, callbacks)
}

/// As [`train`], with a network of one's own in place of the configuration's `network.model`.
///
/// The run directory keeps the graph as `model.toml`, which its `config.toml` names.
///
/// # Errors
/// As [`train`], and if the graph does not fit the size of the images or the number of classes.
pub fn train_graph(
    graph: &Graph,
    config: &RunConfig,
    out: &Path,
    callbacks: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    Session::default().train_graph(graph, config, out, callbacks)
}

/// The same in the way of `session`, with the network `own` if there is one.
pub(crate) fn run(
    session: &Session,
    config: &RunConfig,
    own: Option<&Graph>,
    out: &Path,
    callbacks: &mut [&mut dyn Callback],
) -> Result<RunResult, TrainError> {
    config.check()?;
    let stop = Stop::new(&session.stop);
    if session.start == Start::New {
        RunDir::check_free(out)?;
    }
    let index = out.join(files::INDEX);
    let index = (session.start == Start::Resume).then_some(&*index);
    let images = RunImages::load(&config.data, index, session.reindex)?;
    match config.device.name {
        Device::Cpu => {
            let mut run = Run::new(
                stompp_nn::cpu(),
                config.clone(),
                own,
                images,
                stop,
                (session.start, out),
            )?;
            run.initialize(session, out)?;
            run.execute(session, out, callbacks)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda => {
            use stompp_nn::cuda::{GpuSettings, open};
            let settings = GpuSettings {
                tf32: !config.device.strict_f32,
                deterministic: config.device.deterministic,
                ..GpuSettings::default()
            };
            let device = open(settings).map_err(device_error)?;
            let mut run = Run::new(device, config.clone(), own, images, stop, (session.start, out))?;
            run.initialize(session, out)?;
            run.execute(session, out, callbacks)
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda => unreachable!("the configuration was checked"),
    }
}
