//! Computes the memory that a network needs before it is trained.

use crate::{Network, NetworkInfo, PackError, SimdLevel, pack};
use alloc::vec;
use serde::Serialize;
use stompp_graph::{ActivationRule, Graph, TensorSpec};

/// Bytes of RAM for running one image with [`SimdLevel::Portable`] and one thread, as on a microcontroller.
///
/// The weights stay in the file. The graph and the prepared steps are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryUse {
    /// Bytes of the scratch memory, see [`Network::scratch_bytes`].
    pub scratch_bytes: usize,
    /// Bytes of the image, as floats.
    pub image_bytes: usize,
    /// Bytes of the logits, as floats.
    pub logits_bytes: usize,
}

impl MemoryUse {
    /// Computes the memory use of the packed network of `graph`.
    ///
    /// # Errors
    /// Returns a [`PackError`] if the network cannot be packed, see [`pack`].
    pub fn new(graph: &Graph, activations: ActivationRule) -> Result<Self, PackError> {
        // Sizes do not depend on the weights, so all tensors share one list of ones.
        let tensors = graph.tensors();
        let len = |tensor: &TensorSpec| tensor.shape.iter().product::<usize>();
        let ones = vec![1.0; tensors.iter().map(len).max().unwrap_or(0)];
        let find = |name: &str| {
            tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .map(|tensor| &ones[..len(tensor)])
        };
        let file = pack(graph, activations, find, &NetworkInfo::default())?;
        let network =
            Network::from_bytes_at(&file, SimdLevel::Portable).expect("a packed file opens at every machine's level");
        Ok(Self {
            scratch_bytes: network.scratch_bytes_of(1),
            image_bytes: size_of::<f32>() * graph.input_shape().iter().product::<usize>(),
            logits_bytes: size_of::<f32>() * network.outputs(),
        })
    }
}
