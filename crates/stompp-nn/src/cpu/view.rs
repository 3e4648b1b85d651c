//! In-place access to a CPU tensor's storage. Only this module has it.
//!
//! dfdx keeps storage private and lends only single elements. Copying every activation would cost as much as a batch norm
//! (8 MB: about 1 ms). A CPU tensor is one `Vec<f32>`, so the borrow of its first element gives access to the others.
//!
//! The slice extends beyond the one element that dfdx lent. Rust's aliasing rules are not settled there: Tree Borrows
//! permits it, the older Stacked Borrows does not (Miri needs `-Zmiri-tree-borrows`). `dfdx` is pinned to the exact release
//! for which this was checked.
#![allow(unsafe_code)]

use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cpu, Tensor},
};

/// The elements of a contiguous tensor, in row-major order.
///
/// # Panics
/// If the tensor is not contiguous (permuted, sliced or broadcast): call dfdx's `try_contiguous` first.
pub(super) fn values<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> &[f32] {
    let len = tensor.shape().num_elements();
    if len == 0 {
        return &[];
    }
    assert_contiguous(tensor);
    let first = &tensor[S::Concrete::default()];
    // SAFETY: `first` points at element 0 of the tensor's `Vec<f32>`. The strides are row-major (just asserted), and dfdx
    // allocates a `Vec` of at least as many elements as its largest strided index, so `len` initialised elements follow. The
    // slice borrows `tensor`, hence the shared `Arc` keeps the storage alive and nobody writes to it.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// The elements of a contiguous tensor for writing. Storage that is shared with another tensor is copied first, as by
/// dfdx's own `IndexMut`.
///
/// # Panics
/// As [`values`].
pub(super) fn values_mut<S: Shape, T>(tensor: &mut Tensor<S, f32, Cpu, T>) -> &mut [f32] {
    let len = tensor.shape().num_elements();
    if len == 0 {
        return &mut [];
    }
    assert_contiguous(tensor);
    let first = &mut tensor[S::Concrete::default()];
    // SAFETY: as in `values`; `IndexMut` has made the storage unique, and the slice borrows `tensor` mutably.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
}

/// Panics unless each axis steps through storage as in row-major order.
fn assert_contiguous<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) {
    let origin = S::Concrete::default();
    let base = &raw const tensor[origin];
    let sizes = tensor.shape().concrete();
    let mut stride = 1;
    for axis in (0..S::NUM_DIMS).rev() {
        if sizes[axis] > 1 {
            let mut next = origin;
            next[axis] = 1;
            let step = (&raw const tensor[next]).addr().wrapping_sub(base.addr());
            assert_eq!(
                step,
                stride * size_of::<f32>(),
                "tensor {:?} is not contiguous",
                tensor.shape()
            );
        }
        stride *= sizes[axis];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::prelude::*;

    #[test]
    fn values_are_row_major_and_writable() {
        let dev = Cpu::default();
        let mut x: Tensor<Rank2<2, 3>, f32, _> = dev.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let copy = x.clone();
        assert_eq!(values(&x), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        values_mut(&mut x)[4] = 9.0;
        assert_eq!(x.array(), [[1.0, 2.0, 3.0], [4.0, 9.0, 6.0]]);
        assert_eq!(
            copy.array(),
            [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
            "shared storage was copied first"
        );
    }

    #[test]
    fn an_empty_tensor_has_no_values() {
        let x: Tensor<(usize,), f32, _> = Cpu::default().zeros_like(&(0,));
        assert!(values(&x).is_empty());
    }

    #[test]
    #[should_panic(expected = "not contiguous")]
    fn a_permuted_tensor_is_refused() {
        let x: Tensor<Rank2<2, 3>, f32, _> = Cpu::default().zeros();
        values(&x.permute::<Rank2<3, 2>, _>());
    }

    #[test]
    #[should_panic(expected = "not contiguous")]
    fn a_broadcast_tensor_is_refused() {
        let x: Tensor<Rank1<3>, f32, _> = Cpu::default().zeros();
        values(&x.broadcast::<Rank2<2, 3>, _>());
    }
}
