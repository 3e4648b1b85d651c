//! Writes named tensors to safetensors files, and reads them from files that may be damaged.

use dfdx::{
    shapes::{HasShape, Shape},
    tensor::Tensor,
};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorInfo, TensorView},
};
use std::{collections::HashMap, convert::Infallible};
use stompp_nn::{Backend, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut};

/// A tensor ready to be written, row-major and little-endian.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedTensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl SavedTensor {
    pub(crate) fn f32(name: String, shape: Vec<usize>, values: &[f32]) -> Self {
        Self {
            name,
            dtype: Dtype::F32,
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    pub(crate) fn u64(name: String, values: &[u64]) -> Self {
        Self {
            name,
            dtype: Dtype::U64,
            shape: vec![values.len()],
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    pub(crate) fn u8(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            dtype: Dtype::U8,
            shape: vec![bytes.len()],
            bytes,
        }
    }
}

/// The bytes of a safetensors file. `note` (name, text) is its only metadata entry.
pub(crate) fn to_bytes(tensors: &[SavedTensor], note: Option<(&str, String)>) -> Vec<u8> {
    let views = tensors.iter().map(|saved| {
        let view = TensorView::new(saved.dtype, saved.shape.clone(), &saved.bytes);
        (&saved.name, view.expect("as many bytes as the shape says"))
    });
    let metadata = note.map(|(name, text)| HashMap::from([(name.to_owned(), text)]));
    safetensors::serialize(views, metadata).expect("names are unique and sizes agree")
}

/// The parts of the file that [`to_bytes`] makes, so that it can be written without another copy of the tensors. Returns its beginning,
/// and sorts the tensors, whose bytes follow.
pub(crate) fn to_parts(tensors: &mut [SavedTensor], note: (&str, String)) -> Vec<u8> {
    // The order of the library: types by descending alignment, then names.
    tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let mut end = 0;
    let infos = tensors.iter().map(|saved| {
        let start = end;
        end += saved.bytes.len();
        let info = TensorInfo {
            dtype: saved.dtype,
            shape: saved.shape.clone(),
            data_offsets: (start, end),
        };
        (saved.name.clone(), info)
    });
    let metadata = HashMap::from([(note.0.to_owned(), note.1)]);
    let metadata = Metadata::new(Some(metadata), infos.collect()).expect("names are unique and sizes agree");
    let mut header = serde_json::to_vec(&metadata).expect("it has a JSON form");
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut beginning = (header.len() as u64).to_le_bytes().to_vec();
    beginning.append(&mut header);
    beginning
}

/// Every tensor of a network, in the order of its visit.
pub(crate) fn network_tensors<D: Backend>(network: &impl VisitTensors<D>) -> Vec<SavedTensor> {
    let mut saved = Vec::new();
    for_each_tensor(network, |name, shape, values| {
        saved.push(SavedTensor::f32(name.to_owned(), shape, &values));
    });
    saved
}

/// Name and values of every tensor of a network, in the order of its visit.
pub(crate) fn network_values<D: Backend>(network: &impl VisitTensors<D>) -> Vec<(String, Vec<f32>)> {
    let mut found = Vec::new();
    for_each_tensor(network, |name, _, values| found.push((name.to_owned(), values)));
    found
}

/// The total size of a network's tensors in bytes.
pub(crate) fn network_bytes<D: Backend>(network: &impl VisitTensors<D>) -> u64 {
    let mut count = CountBytes(0);
    let Ok(()) = network.visit("", &mut count);
    count.0
}

struct CountBytes(u64);

impl<D: Backend> Visitor<D> for CountBytes {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(&mut self, _: &str, _: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), Infallible> {
        self.0 += 4 * tensor.shape().num_elements() as u64;
        Ok(())
    }
}

/// Calls `each` with name, shape and values of every tensor of a network.
fn for_each_tensor<D: Backend>(network: &impl VisitTensors<D>, each: impl FnMut(&str, Vec<usize>, Vec<f32>)) {
    let Ok(()) = network.visit("", &mut Each(each));
}

struct Each<F>(F);

impl<D: Backend, F: FnMut(&str, Vec<usize>, Vec<f32>)> Visitor<D> for Each<F> {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        _: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Infallible> {
        (self.0)(name, shape_of(tensor), tensor.as_vec());
        Ok(())
    }
}

/// The tensors of a file, taken one by one. An error message names the tensor and the problem.
pub(crate) struct LoadedTensors<'a> {
    file: SafeTensors<'a>,
    taken: usize,
}

impl<'a> LoadedTensors<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
        Ok(Self { file, taken: 0 })
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// The tensor of this name, whatever its type and shape.
    pub(crate) fn tensor(&self, name: &str) -> Option<TensorView<'a>> {
        self.file.tensor(name).ok()
    }

    /// Name and shape of every tensor.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        let tensors = self.file.iter();
        tensors.map(|(name, view)| (name, view.shape().to_vec()))
    }

    /// The bytes of the tensor `name`, which must have this type and shape. They are a slice of the file's bytes.
    pub(crate) fn take(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], String> {
        let saved = self.file.tensor(name).map_err(|_| format!("has no tensor {name}"))?;
        if saved.dtype() != dtype || saved.shape() != shape {
            return Err(format!(
                "tensor {name} is {:?} {:?}, expected {dtype:?} {shape:?}",
                saved.dtype(),
                saved.shape()
            ));
        }
        self.taken += 1;
        Ok(saved.data())
    }

    pub(crate) fn take_f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let (values, _) = self.take(name, Dtype::F32, shape)?.as_chunks();
        Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    pub(crate) fn take_u64(&mut self, name: &str, len: usize) -> Result<Vec<u64>, String> {
        let (values, _) = self.take(name, Dtype::U64, &[len])?.as_chunks();
        Ok(values.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect())
    }

    /// Loads every tensor of a network. After an error, the network may be partly loaded.
    pub(crate) fn restore<D: Backend>(&mut self, network: &mut impl VisitTensors<D>) -> Result<(), String> {
        network.visit_mut("", &mut Restore(self))
    }

    /// Returns an error if not every tensor of the file was taken.
    pub(crate) fn check_all_taken(&self) -> Result<(), String> {
        if self.taken == self.file.len() {
            Ok(())
        } else {
            Err(format!("has {} tensors, the network {}", self.file.len(), self.taken))
        }
    }
}

struct Restore<'a, 'b>(&'a mut LoadedTensors<'b>);

impl<D: Backend> VisitorMut<D> for Restore<'_, '_> {
    type Error = String;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        name: &str,
        _: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), String> {
        let values = self.0.take_f32(name, &shape_of(&tensor))?;
        tensor.copy_from(&values);
        Ok(())
    }
}

/// The shape of a tensor.
pub(crate) fn shape_of<S: Shape, D: Backend>(tensor: &Tensor<S, f32, D>) -> Vec<usize> {
    tensor.shape().concrete().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_file_are_the_file_of_the_library() {
        let mut tensors = [
            SavedTensor::u8("sum", vec![1, 2, 3]),
            SavedTensor::f32("b".to_owned(), vec![2, 1], &[1.5, -2.0]),
            SavedTensor::u64("mask".to_owned(), &[7, 8]),
            SavedTensor::f32("a".to_owned(), vec![1], &[0.25]),
        ];
        for note in ["", "a note of a length that is no multiple of 8"] {
            let file = to_bytes(&tensors, Some(("name", note.to_owned())));
            let beginning = to_parts(&mut tensors, ("name", note.to_owned()));
            let bytes: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect();
            assert!([beginning, bytes].concat() == file);
        }
    }
}
