//! Saves the training state of a network and its optimizer as tensors, and restores it.
//!
//! The network's own tensors have torchvision's names. The names of other tensors begin with `stompp.`:
//! - `stompp.velocity.NAME` is the momentum of parameter NAME (flat).
//! - `stompp.mask.NAME` is the mask of a quantizer that is freezing (64 entries per word). Masks depend on all earlier steps, so they have
//!   to be saved. Which units are open or committed follows from the plan and the step.
//! - `stompp.signs.NAME` are the signs of a latent weight at the last diagnostics, if any. They do not affect the training.

use crate::{
    TrainError,
    diagnostics::WeightSigns,
    error::device_error,
    step::RunTrainer,
    tensors::{self, LoadedTensors, SavedTensor},
};
use std::error::Error;
use stompp_binarize::{BinaryBackend, Freezable, FreezeState, MaskedQuantizer, UnitMut};
use stompp_nn::optim::Optimizer;

/// The tensors of the whole state.
///
/// # Errors
/// Returns [`TrainError::Device`] if the state cannot be read from the device.
pub(super) fn save<D: BinaryBackend>(trainer: &mut RunTrainer<D>) -> Result<Vec<SavedTensor>, TrainError> {
    let RunTrainer { network, optimizer, .. } = trainer;
    let mut saved = tensors::network_tensors(network);
    for (name, values) in optimizer.state(network).map_err(device_error)? {
        saved.push(SavedTensor::f32(ours(&name), vec![values.len()], &values));
    }
    each_quantizer(network, |name, quantizer| {
        if let FreezeState::Freezing(mask) = quantizer.state() {
            saved.push(SavedTensor::u64(
                name,
                mask.host().map_err(|error| error.to_string())?.words(),
            ));
        }
        Ok(())
    })
    .map_err(device_error)?;
    for (unit, signs) in trainer
        .network
        .units()
        .iter()
        .zip(trainer.signs.iter().flat_map(|signs| &signs.0))
    {
        saved.push(SavedTensor::u64(signs_of(unit.name), signs));
    }
    Ok(saved)
}

/// Restores the state into a trainer. Its network must already have the freeze states of the same step.
///
/// # Errors
/// Returns a message that names the first tensor that is missing or does not fit. The trainer may then be partly restored.
pub(super) fn restore<D: BinaryBackend>(
    trainer: &mut RunTrainer<D>,
    loaded: &mut LoadedTensors<'_>,
) -> Result<(), String> {
    loaded.restore(&mut trainer.network)?;
    restore_momentum(trainer, loaded)?;
    let RunTrainer { network, signs, .. } = trainer;
    each_quantizer(network, |name, quantizer| {
        let FreezeState::Freezing(mask) = quantizer.state() else {
            return Ok(());
        };
        let words = loaded.take_u64(&name, mask.entries().div_ceil(64))?;
        quantizer
            .restore(words)
            .map_err(|error| format!("tensor {name}: {error}"))
    })?;
    let units = network.units();
    *signs = None;
    if units.first().is_some_and(|unit| loaded.has(&signs_of(unit.name))) {
        let of = |unit: &UnitMut<'_>| loaded.take_u64(&signs_of(unit.name), unit.weight.entries().div_ceil(64));
        *signs = Some(WeightSigns(units.iter().map(of).collect::<Result<_, _>>()?));
    }
    Ok(())
}

/// Restores the optimizer state of every parameter.
///
/// # Errors
/// Returns a message that names the first tensor that is missing or does not fit. The optimizer may then be partly restored.
pub(super) fn restore_momentum<D: BinaryBackend>(
    trainer: &mut RunTrainer<D>,
    loaded: &mut LoadedTensors<'_>,
) -> Result<(), String> {
    let RunTrainer {
        device,
        network,
        optimizer,
        ..
    } = trainer;
    let restored = optimizer.restore(device, network, |name, len| {
        Ok::<_, Box<dyn Error>>(loaded.take_f32(&ours(name), &[len])?)
    });
    restored.map_err(|error| error.to_string())
}

fn signs_of(unit: &str) -> String {
    format!("stompp.signs.{unit}.weight")
}

/// The name of a tensor of the optimizer's state.
fn ours(name: &str) -> String {
    format!("stompp.{name}")
}

fn each_quantizer(
    network: &mut impl Freezable,
    mut visit: impl FnMut(String, &mut MaskedQuantizer) -> Result<(), String>,
) -> Result<(), String> {
    for unit in network.units() {
        visit(format!("stompp.mask.{}.weight", unit.name), unit.weight)?;
        if let Some(activation) = unit.activation {
            visit(format!("stompp.mask.{}.input", unit.name), activation)?;
        }
    }
    for (index, activation) in network.head_activations().into_iter().enumerate() {
        let name = match index {
            0 => "stompp.mask.final".to_owned(),
            _ => format!("stompp.mask.final.{index}"),
        };
        visit(name, activation)?;
    }
    Ok(())
}
