//! The deploy network with batch-norm statistics of its own.
//!
//! During training, running statistics follow the network with its current masks. With every mask all ones, activations may have
//! another distribution. The statistics can therefore be re-estimated over training batches before the deploy network is evaluated or
//! saved (*ours*).

use crate::{
    RunConfig, TrainError,
    device_data::{DataSource, DeviceBatch, DeviceDataset},
    error::device_error,
};
use stompp_binarize::{EvalMode, Freezable, Network};
use stompp_data::{Normalization, Position};

/// The batches over which a run re-estimates statistics: always its first training batches. `None` if the run does not re-estimate.
///
/// # Errors
/// Returns [`TrainError::Data`] if the batches cannot be started; each item is an error if its batch cannot be read.
pub(crate) fn statistics_batches<D: DeviceDataset>(
    config: &RunConfig,
    train: &DataSource<D>,
    normalization: &Normalization,
) -> Result<Option<impl Iterator<Item = Result<DeviceBatch<D>, TrainError>>>, TrainError> {
    let count = config.training.bn_reestimate;
    if count == 0 {
        return Ok(None);
    }
    let batches = train.training_batches(config, normalization, Position::default())?;
    Ok(Some(batches.take(count)))
}

/// A copy of `network` in `mode`, with plain means over `batches` as its running statistics. `network` itself does not change.
///
/// # Errors
/// Returns the error of the first batch that fails, and [`TrainError::Device`] if an allocation or a kernel launch fails.
pub(crate) fn reestimate<D: DeviceDataset>(
    network: &Network<D>,
    mode: EvalMode,
    batches: impl Iterator<Item = Result<DeviceBatch<D>, TrainError>>,
) -> Result<Network<D>, TrainError> {
    let mut copy = network.clone();
    if mode == EvalMode::Binarized {
        copy.commit_all();
    }
    for (before, batch) in batches.enumerate() {
        // With this momentum, batch n gets the weight 1/n: the running statistic is the mean of all batches so far.
        copy.set_statistics_momentum(1.0 / (before + 1) as f32);
        copy.forward_train(batch?.images).map_err(device_error)?;
    }
    Ok(copy)
}
