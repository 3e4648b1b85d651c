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
/// The mask has `period` entries and repeats over the tensor. The derivative is 1 for open entries where `|u| <= 1`
/// (inclusive, *ours*), else 0. For frozen entries `surrogate` decides: 0 ([`Surrogate::Blocked`], the STE-free
/// method), 1 ([`Surrogate::Identity`]) or 1 where `|u| <= 1` ([`Surrogate::Clipped`]). If the derivative is 0 everywhere,
/// the output is off the tape.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If `period` is neither the number of entries of the tensor nor that of one sample (along the first axis), or the mask does not have
/// `period` entries.
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
    assert_covers(u.shape(), period);
    if let FreezeState::Freezing(mask) = state {
        assert_eq!(mask.entries(), period, "the mask has another number of entries");
    }
    let device = u.device().clone();
    let out = device.filled(*u.shape(), |out| device.quantize(state, period, D::values(&u), out))?;
    if state.blocks_gradient(surrogate) {
        return Ok(out.put_tape(T::default()));
    }
    let out_ghost = out.ghost();
    let state = state.clone();
    tape.add_backward_op(move |gradients| {
        let gout = take_gradient!(gradients, &out_ghost, &device);
        let gu = D::slice_mut(gradients.get_or_alloc_mut(&u)?);
        device.quantize_backward(&state, surrogate, period, D::values(&u), D::slice(&gout), gu)
    });
    Ok(out.put_tape(tape))
}

/// Panics unless a mask of `period` entries covers a tensor of this shape, or one of its samples.
fn assert_covers<S: Shape>(shape: &S, period: usize) {
    let (all, sizes) = (shape.num_elements(), shape.concrete());
    // The sample size of an empty batch is unknown.
    let covers = match sizes.into_iter().next() {
        Some(samples) if samples > 0 => period == all / samples || period == all,
        Some(_) => true,
        None => period == all,
    };
    assert!(
        covers,
        "a mask of {period} entries covers neither {shape:?} nor a sample of it"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::tensor::{Cpu, OnesTensor};

    fn run<S: Shape>(shape: S, period: usize) {
        let u = Cpu::default().ones_like(&shape);
        quantize(u, &FreezeState::Open, Surrogate::Blocked, period).unwrap();
    }

    #[test]
    fn a_mask_covers_a_sample_or_the_whole_tensor() {
        run((4, 32, 8, 8), 32 * 8 * 8);
        run((16, 8, 3, 3), 16 * 8 * 3 * 3);
        run((5,), 5);
        run((), 1);
    }

    #[test]
    #[should_panic(expected = "covers neither")]
    fn a_mask_that_only_divides_the_tensor_is_refused() {
        run((4, 32, 8, 8), 32 * 8);
    }
}
