//! The masked quantizer as a differentiable op.

use crate::{BinaryBackend, FreezeState, Surrogate};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use stompp_nn::{OpResult, Recording, take_gradient};

/// `M * sign(u) + (1 - M) * clip(u, -1, 1)`, elementwise, any shape (paper).
///
/// `period` entries share one mask, which repeats over the tensor. The derivative is 1 for open entries where `|u| <= 1`
/// (inclusive, *ours*), else 0; for frozen entries it is what `surrogate` says: 0 ([`Surrogate::Blocked`], the STE-free
/// method), 1 ([`Surrogate::Identity`]) or 1 where `|u| <= 1` ([`Surrogate::Clipped`]). Where the derivative is 0 everywhere,
/// the output is off the tape.
///
/// # Errors
/// The device's.
///
/// # Panics
/// If the tensor's size is not a multiple of `period`, or the mask has not `period` entries.
pub fn quantize<S, D, T>(
    u: Tensor<S, f32, D, T>,
    state: &FreezeState,
    surrogate: Surrogate,
    period: usize,
) -> OpResult<S, D, T>
where
    S: Shape,
    D: BinaryBackend,
    T: Recording<D>,
{
    let (u, mut tape) = u.try_contiguous()?.split_tape();
    assert_eq!(
        u.shape().num_elements() % period,
        0,
        "a mask of {period} entries does not cover {:?}",
        u.shape()
    );
    let device = u.device().clone();
    let out = device.quantize(state, period, &u)?;
    if state.severs(surrogate) {
        return Ok(out.put_tape(T::default()));
    }
    let out_ghost = out.ghost();
    let state = state.clone();
    tape.add_backward_op(move |gradients| {
        let gout = take_gradient!(gradients, &out_ghost, &device);
        device.quantize_backward(&state, surrogate, period, &u, &gout, gradients.get_or_alloc_mut(&u)?)
    });
    Ok(out.put_tape(tape))
}
