//! The cost of a run: relative to other runs, and in seconds on this machine.

use crate::duration::duration;
use crate::error::{Result, io_error};
use crate::row::network_title;
use crate::train::TrainFn;
use std::env;
use std::fmt;
use stompp_train::config::{Dataset, Method, ModelSource, Time};
use stompp_train::{RunConfig, RunResult};

/// Numbers of images without a limit. They are CIFAR's and those of the generated sets.
const TRAIN_IMAGES: usize = 50_000;
const TEST_IMAGES: usize = 10_000;

/// Number of images that a run trains on, with its evaluations. A forward pass costs a third of a step, and each evaluation has two passes.
fn images(config: &RunConfig) -> f64 {
    let train = config.data.train_limit.unwrap_or(TRAIN_IMAGES);
    let test = config.data.test_limit.unwrap_or(TEST_IMAGES);
    let Ok(timeline) = config.timeline(train) else {
        return 0.0; // The training is too short. The run itself returns this error.
    };
    let trained = timeline.steps as f64 * config.training.batch_size as f64;
    let evaluations = timeline.steps.div_ceil(timeline.evaluate_every) as f64;
    trained + evaluations * test as f64 * 2.0 / 3.0
}

/// The cost of a run relative to other runs: multiply-accumulates of its forward passes.
pub(crate) fn relative(config: &RunConfig) -> f64 {
    let macs = config.summary().map_or(0, |summary| {
        let total = summary.total();
        total.binary_macs + total.float_macs
    });
    macs as f64 * images(config)
}

/// An estimate of how long the runs of one network on one data set take on this machine. It implements [`Display`](fmt::Display).
#[derive(Clone, Debug, PartialEq)]
pub struct CostEstimate {
    network: ModelSource,
    dataset: Dataset,
    images_per_s: f64,
    /// Seconds of one run.
    seconds: f64,
    runs: usize,
}

impl CostEstimate {
    /// The time of all its runs together, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.seconds * self.runs as f64
    }
}

impl fmt::Display for CostEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {}: {} runs of about {} each, at {:.1} images/s",
            network_title(&self.network),
            self.dataset,
            self.runs,
            duration(self.seconds),
            self.images_per_s
        )
    }
}

/// Times a few steps of each network and data set in `configs`, in rayon's current thread pool.
///
/// # Errors
/// The errors of [`trial_run`].
pub(crate) fn measure(configs: &[&RunConfig], train: TrainFn<'_>) -> Result<Vec<CostEstimate>> {
    let mut estimates: Vec<CostEstimate> = Vec::new();
    for config in configs {
        let (network, dataset) = (&config.network.model, config.data.dataset);
        let known = |estimate: &&mut CostEstimate| (&estimate.network, estimate.dataset) == (network, dataset);
        if let Some(estimate) = estimates.iter_mut().find(known) {
            estimate.runs += 1;
            continue;
        }
        let images_per_s = trial_run(config, train)?.images_per_s;
        estimates.push(CostEstimate {
            network: network.clone(),
            dataset,
            images_per_s,
            seconds: images(config) / images_per_s,
            runs: 1,
        });
    }
    Ok(estimates)
}

/// Trains a few steps of a run, which reads the images and times the steps. Keeps nothing.
///
/// # Errors
/// Returns [`ExperimentError::Train`](crate::ExperimentError::Train) if `train` fails, for example because data cannot be read, and
/// [`ExperimentError::Io`](crate::ExperimentError::Io) if no temporary folder can be created.
pub(crate) fn trial_run(config: &RunConfig, train: TrainFn<'_>) -> Result<RunResult> {
    let folder = tempfile::tempdir().map_err(|error| io_error("create a folder in", &env::temp_dir())(error))?;
    let out = folder.path().join("run");
    train(&trial_config(config), &out, &mut [])?;
    Ok(RunResult::load(&out)?)
}

/// The configuration of a run of a few small batches, with random weights. It uses STE, which has no plan, so no run is too short for
/// it.
pub(crate) fn trial_config(config: &RunConfig) -> RunConfig {
    const BATCH: usize = 32;
    let mut config = config.clone();
    config.method.name = Method::Ste;
    config.training.init_from = None;
    config.data.train_limit = Some(BATCH * 4);
    config.data.test_limit = Some(BATCH);
    config.training.batch_size = BATCH;
    config.training.duration = Time::Steps(4);
    config.training.evaluate_every = Time::Steps(4);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::sync::Mutex;
    use stompp_train::config::Model;

    fn config(model: &str) -> RunConfig {
        let mut config = RunConfig::default();
        config.network.model = model.parse().unwrap();
        config
    }

    #[test]
    fn deeper_and_longer_costs_more() {
        let base = relative(&config("resnet8"));
        assert!(relative(&config("resnet20")) > 2.0 * base);
        let mut longer = config("resnet8");
        longer.training.duration = Time::Epochs(40.0);
        assert!((relative(&longer) / base - 2.0).abs() < 0.01);
    }

    #[test]
    fn each_network_is_timed_once_and_extrapolated() {
        let timed = Mutex::new(Vec::new());
        let train = |config: &RunConfig, dir: &std::path::Path, _: &mut [&mut dyn stompp_train::Callback]| {
            config.check().unwrap();
            timed.lock().unwrap().push(config.network.model.clone());
            testing::finish(dir, config, 10.0); // 1600 images/s
            Ok(())
        };
        let (small, large) = (config("resnet18"), config("resnet50"));
        let estimates = measure(&[&small, &small, &large], &train).unwrap();
        assert_eq!(*timed.lock().unwrap(), [Model::ResNet18.into(), Model::ResNet50.into()]);
        assert_eq!(estimates[0].runs, 2);
        // 20 epochs of 195 batches of 256, and 20 evaluations of 2/3 of 10,000 images.
        let images = 20.0 * 195.0 * 256.0 + 20.0 * 10_000.0 * 2.0 / 3.0;
        assert!((estimates[0].total_seconds() - 2.0 * images / 1600.0).abs() < 1e-6);
        assert_eq!(
            estimates[1].to_string(),
            "ResNet-50 on synthetic10: 1 runs of about 11 min 47 s each, at 1600.0 images/s"
        );
    }
}
