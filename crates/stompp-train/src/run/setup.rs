//! Creates the state of a run from its configuration and its images.

use super::stop::{Stop, StopRequest};
use crate::{
    RunConfig, RunRecord, RunResult, Session, Start, TrainError, checkpoint,
    config::{ModelSource, Timeline},
    device_data::{DataSource, DeviceDataset},
    error::{damaged, device_error},
    files,
    freezing::FreezePolicy,
    images::RunImages,
    init,
    machine::{CodeVersion, MachineInfo},
    optimizer::AnyOptimizer,
    processes::Processes,
    step::{Regularization, RunTrainer},
    train_state::TrainState,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};
use stompp_binarize::{Freezable, Network};
use stompp_data::Normalization;
use stompp_graph::{CostSummary, Graph};
use stompp_parallel::Collective;

/// The state of a run in memory.
pub(super) struct Run<D: DeviceDataset> {
    pub(super) config: RunConfig,
    pub(super) images: RunImages,
    pub(super) train: DataSource<D>,
    pub(super) test: DataSource<D>,
    pub(super) normalization: Normalization,
    pub(super) timeline: Timeline,
    pub(super) record: RunRecord,
    pub(super) summary: CostSummary,
    pub(super) trainer: RunTrainer<D>,
    pub(super) train_state: TrainState,
    pub(super) stop: Stop,
    pub(super) processes: Processes,
    /// Changes since the run was interrupted.
    pub(super) changes: Vec<String>,
    /// Whether the learning rate has been halved after a divergence.
    pub(super) halved: bool,
}

impl<D: DeviceDataset> Run<D> {
    /// Creates a run of `config` in the directory `out`. It trains `own` if given, and otherwise the network of the configuration.
    pub(super) fn new(
        device: D,
        mut config: RunConfig,
        own: Option<&Graph>,
        images: RunImages,
        (mut stop, collective): (Stop, Arc<dyn Collective>),
        (start, out): (Start, &Path),
    ) -> Result<Self, TrainError> {
        let processes = Processes::new(collective, &mut config)?;
        if processes.are_many() {
            // They agree after each step. Before the first, none stops alone.
            stop.agree(StopRequest::default());
        }
        if let Some(names) = &images.class_names {
            config.data.set_classes(names.len())?;
        }
        let graph = resolve_network(&mut config, own, start, out)?;
        let paths = [
            &mut config.data.path,
            &mut config.data.labels,
            &mut config.training.init_from,
            &mut config.training.continue_from,
        ];
        for path in paths.into_iter().flatten() {
            // With absolute paths, the written configuration refers to the same files from any working directory.
            *path = absolute(path);
        }
        let timeline = config.timeline(images.train.len())?;
        let binarization = config.binarization();
        let mut network = Network::new(&device, &graph, binarization, config.seed).map_err(device_error)?;
        network.set_reduction(processes.reduction());
        let units = network.units().len();
        let plan = config.plan(&timeline, units)?;
        let statistics = images.statistics;
        let record = RunRecord {
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            code: CodeVersion::current(),
            machine: MachineInfo {
                gpu: device.description(),
                ..MachineInfo::current()
            },
            train_images: images.train.len(),
            test_images: images.test.len(),
            steps_per_epoch: timeline.steps_per_epoch,
            steps: timeline.steps,
            warm_up_steps: plan.map(|plan| plan.spec().warm_up),
            tail_steps: plan.map(|plan| plan.spec().tail),
            mean: statistics.mean,
            std: statistics.std,
            init: None,
            parent: None,
        };
        let normalization = Normalization::new(statistics)?;
        Ok(Self {
            train: DataSource::new(&device, &images.train, &normalization)?.with_part(processes.training_part()),
            test: DataSource::new(&device, &images.test, &normalization)?
                .with_part(processes.evaluation_part(images.test.len())),
            processes,
            normalization,
            timeline,
            record,
            summary: CostSummary::new(&graph, binarization.activations),
            trainer: RunTrainer {
                device,
                network,
                optimizer: AnyOptimizer::new(&config),
                learning_rate: config.training.learning_rate as f32,
                learning_rates: config.learning_rates(&timeline)?,
                regularization: Regularization::from(&config.training),
                freezing: FreezePolicy::new(&config, plan),
                signs: None,
            },
            config,
            images,
            train_state: TrainState::default(),
            stop,
            changes: Vec::new(),
            halved: false,
        })
    }

    /// Loads the initial weights that the configuration names, unless a checkpoint in `out` will be restored.
    pub(super) fn initialize(&mut self, session: &Session, out: &Path) -> Result<(), TrainError> {
        let resumes = session.start == Start::Resume && session.checkpoints.is_some();
        let is_restored = resumes && (RunResult::exists(out) || checkpoint::newest(out)?.is_some());
        // The first process has the run directory.
        if self.processes.broadcast(is_restored)? {
            return Ok(());
        }
        let training = &self.config.training;
        if let Some(path) = &training.init_from {
            self.record.init = Some(init::load_weights(&mut self.trainer.network, path)?);
        }
        if let Some(path) = &training.continue_from {
            let steps_per_epoch = self.timeline.steps_per_epoch;
            self.record.parent = Some(init::continue_from(&mut self.trainer, path, steps_per_epoch)?);
        }
        Ok(())
    }
}

/// The graph to train: `own`, or the graph of the configuration. Completes the configuration, so that it describes the same graph when
/// it is used again.
fn resolve_network(config: &mut RunConfig, own: Option<&Graph>, start: Start, out: &Path) -> Result<Graph, TrainError> {
    let kept = absolute(&out.join(files::MODEL));
    if own.is_some() {
        config.network.model = ModelSource::File(kept.clone());
    } else if let ModelSource::File(path) = &mut config.network.model {
        *path = absolute(path);
    }
    config.network.width = config.architecture()?.map(|architecture| architecture.width());
    let resumed = start == Start::Resume && kept.exists();
    match own {
        Some(graph) => {
            config.check_graph(graph)?;
            if resumed && config.graph_of_run(&kept)? != *graph {
                return Err(damaged(&kept, "the run began with another network".to_owned()));
            }
            Ok(graph.clone())
        }
        None if resumed => Ok(config.graph_of_run(&kept)?),
        None => Ok(config.graph()?),
    }
}

/// The absolute path, or `path` itself if it cannot be determined.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
