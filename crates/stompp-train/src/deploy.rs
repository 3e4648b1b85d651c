//! The network that would be deployed, with batch-norm statistics of its own.
//!
//! While a network trains, running statistics follow the network as it stands. What every mask all ones makes of the same images may
//! be distributed otherwise; so they can be taken anew, over training batches, before it is scored or kept (*ours*).

use crate::{
    RunConfig, TrainError,
    device_data::{DataSource, DeviceBatch, DeviceDataset},
    error::device_error,
};
use stompp_binarize::{EvalMode, Freezable, Network};
use stompp_data::{Normalization, Position};

/// The batches over which a run takes statistics anew: always its first training batches. `None` if it does not.
///
/// # Errors
/// [`TrainError::Data`] if they cannot be read.
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

/// A copy of `network` in `mode`, whose running statistics are the plain means over `batches`. The network itself stays as
/// it is.
///
/// # Errors
/// The device's and the data's.
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
        // The newest of so many weighs as much as each before it.
        copy.set_statistics_momentum(1.0 / (before + 1) as f32);
        copy.forward_train(batch?.images).map_err(device_error)?;
    }
    Ok(copy)
}
