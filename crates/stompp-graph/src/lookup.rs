//! Looking up trained tensors by name.

use alloc::{string::String, vec::Vec};

/// Returns a function that looks up a tensor by name in a list of names and values (row-major).
///
/// Functions that need the tensors of a trained network, such as `stompp_infer::pack`, call it with each name of
/// [`Graph::tensors`](crate::Graph::tensors).
///
/// ```
/// let tensors = [("fc.bias".to_string(), vec![0.5; 10])];
/// let find = stompp_graph::find_tensor(&tensors);
/// assert_eq!(find("fc.bias"), Some(&[0.5; 10][..]));
/// assert_eq!(find("fc.weight"), None);
/// ```
pub fn find_tensor<'a>(tensors: &'a [(String, Vec<f32>)]) -> impl Fn(&str) -> Option<&'a [f32]> {
    move |name| {
        let found = tensors.iter().find(|(other, _)| other == name);
        found.map(|(_, values)| &values[..])
    }
}
