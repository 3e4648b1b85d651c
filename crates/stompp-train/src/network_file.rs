//! A network's tensors in a safetensors file, under torchvision's names.

use crate::TrainError;
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::Tensor,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;
use stompp_nn::{Backend, Role, Visitor, Walk};

/// The network's tensors as the bytes of a safetensors file.
pub(crate) fn to_bytes<D: Backend>(network: &mut impl Walk<D>) -> Vec<u8> {
    let mut tensors = Collect(Vec::new());
    let Ok(()) = network.walk("", &mut tensors);
    let views = tensors.0.iter().map(|saved| {
        let view = TensorView::new(Dtype::F32, saved.shape.clone(), &saved.bytes);
        (&saved.name, view.expect("four bytes an element"))
    });
    safetensors::serialize(views, None).expect("names are unique and sizes agree")
}

/// Puts the tensors of a safetensors file into the network.
///
/// # Errors
/// [`TrainError::Damaged`] if the bytes are not such a file or have not exactly the network's tensors; the network may
/// then have some of them.
pub(crate) fn restore<D: Backend>(network: &mut impl Walk<D>, bytes: &[u8], path: &Path) -> Result<(), TrainError> {
    let damaged = |problem: String| TrainError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(format!("not a safetensors file: {error}")))?;
    let mut restore = Restore {
        file: &file,
        restored: 0,
    };
    network.walk("", &mut restore).map_err(damaged)?;
    if restore.restored < file.len() {
        let problem = format!("has {} tensors, the network {}", file.len(), restore.restored);
        return Err(damaged(problem));
    }
    Ok(())
}

/// A tensor ready to be written.
struct Saved {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

struct Collect(Vec<Saved>);

impl<D: Backend> Visitor<D> for Collect {
    type Error = std::convert::Infallible;

    fn visit<S: Shape>(&mut self, name: &str, _: Role, tensor: &mut Tensor<S, f32, D>) -> Result<(), Self::Error> {
        self.0.push(Saved {
            name: name.to_owned(),
            shape: sizes(tensor),
            bytes: tensor.as_vec().into_iter().flat_map(f32::to_le_bytes).collect(),
        });
        Ok(())
    }
}

struct Restore<'a> {
    file: &'a SafeTensors<'a>,
    restored: usize,
}

impl<D: Backend> Visitor<D> for Restore<'_> {
    /// What is wrong, naming the tensor.
    type Error = String;

    fn visit<S: Shape>(&mut self, name: &str, _: Role, tensor: &mut Tensor<S, f32, D>) -> Result<(), String> {
        let saved = self.file.tensor(name).map_err(|_| format!("has no tensor {name}"))?;
        let expected = sizes(tensor);
        if saved.dtype() != Dtype::F32 || saved.shape() != expected {
            return Err(format!(
                "tensor {name} is {:?} {:?}, expected F32 {expected:?}",
                saved.dtype(),
                saved.shape()
            ));
        }
        let (values, _) = saved.data().as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensor.copy_from(&values);
        self.restored += 1;
        Ok(())
    }
}

fn sizes<S: Shape, D: Backend>(tensor: &Tensor<S, f32, D>) -> Vec<usize> {
    tensor.shape().concrete().into_iter().collect()
}
