//! Saves a network's tensors to a safetensors file with torchvision's names, and loads them.

use crate::{
    TrainError,
    error::damaged,
    tensors::{self, LoadedTensors},
};
use std::path::Path;
use stompp_nn::{Backend, VisitTensors};

/// The description in the file's metadata, so that the file is not mistaken for the deploy network.
const CONTENT: &str = "weights as they were trained: those of binary convolutions are latent floats, of which the binary network has only the \
                       signs (unless the method is float); `stompp export` writes the binary network for other tools, `stompp pack` for \
                       this one";

/// The network's tensors as the bytes of a safetensors file.
pub(crate) fn to_bytes<D: Backend>(network: &impl VisitTensors<D>) -> Vec<u8> {
    tensors::to_bytes(
        &tensors::network_tensors(network),
        Some(("content", CONTENT.to_owned())),
    )
}

/// Loads the tensors of a safetensors file into the network.
///
/// # Errors
/// Returns [`TrainError::Damaged`] if the bytes are not a safetensors file or its tensors are not exactly those of the network. The
/// network may then be partly loaded.
pub(crate) fn restore<D: Backend>(
    network: &mut impl VisitTensors<D>,
    bytes: &[u8],
    path: &Path,
) -> Result<(), TrainError> {
    let mut restore = || {
        let mut loaded = LoadedTensors::parse(bytes)?;
        loaded.restore(network)?;
        loaded.check_all_taken()
    };
    restore().map_err(|problem| damaged(path, problem))
}
