//! One step of a network as one op: convolution, batch norm, shortcut, activation.

use crate::{Activation, BinaryBackend, MaskedQuantizer};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use std::{cell::RefCell, rc::Rc};
use stompp_kernels::{ChannelShape, ConvShape, Slices};
use stompp_nn::{
    BatchNorm2d, BatchReduction, ImageShape, OpResult, Recomputable, Recompute, Recording, Saved,
    backend::{BatchMoments, Buffer},
    ops, put_gradient, take_gradient,
};

/// How a convolution's output is computed. The gradients are the same for all variants.
#[derive(Debug)]
pub(crate) enum ConvAlgorithm<'a, D: BinaryBackend> {
    /// By multiplication.
    Dense,
    /// By the signs of input and weight; the weight's are packed for this pass. Every entry of the input must be -1 or +1.
    Signs,
    /// As `Signs`, with weight signs that were packed before. The weight is not read.
    Packed(&'a D::Signs),
}

impl<D: BinaryBackend> ConvAlgorithm<'_, D> {
    /// Writes the convolution of `x` with `w` to `y`.
    fn compute(
        &self,
        device: &D,
        shape: &ConvShape,
        slices: Slices,
        x: D::Slice<'_>,
        w: D::Slice<'_>,
        y: D::SliceMut<'_>,
    ) -> Result<(), D::Err> {
        match self {
            Self::Dense => device.conv2d(shape, slices, x, w, y),
            Self::Signs => {
                let signs = device.signs(shape.out_channels, shape.in_channels, shape.kernel, w)?;
                device.sign_conv2d(shape, x, &signs, y)
            }
            Self::Packed(signs) => device.sign_conv2d(shape, x, signs, y),
        }
    }
}

/// Input, weight and geometry of a convolution, on their tapes.
#[derive(Debug)]
pub struct Convolution<'a, B: Dim, I: Dim, O: Dim, K: Dim, H: Dim, W: Dim, D: BinaryBackend, T> {
    pub(crate) x: Tensor<(B, I, H, W), f32, D, T>,
    pub(crate) weight: Tensor<(O, I, K, K), f32, D, T>,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) product: ConvAlgorithm<'a, D>,
    /// How the backward pass gets the input's values; `None` if it keeps the input.
    pub(crate) input: Option<Rc<dyn Recompute<D>>>,
}

/// The input of a fused op that is added to the batch norm's output.
pub(crate) struct Residual<S: Shape, D: BinaryBackend, T> {
    pub(crate) value: Tensor<S, f32, D, T>,
    /// How the backward pass gets its values; `None` if it keeps the tensor.
    pub(crate) recompute: Option<Rc<dyn Recompute<D>>>,
}

impl<B: Dim, I: Dim, O: Dim, K: Dim, H: Dim, W: Dim, D: BinaryBackend, T: Recording<D>>
    Convolution<'_, B, I, O, K, H, W, D, T>
{
    /// Creates the convolution of `x` with `weight`, to be computed by multiplication.
    pub fn new(
        x: Tensor<(B, I, H, W), f32, D, T>,
        weight: Tensor<(O, I, K, K), f32, D, T>,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self {
            x,
            weight,
            stride,
            padding,
            product: ConvAlgorithm::Dense,
            input: None,
        }
    }

    /// Computes the output, as an op of its own.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn forward(self) -> OpResult<ImageShape<B, O>, D, T> {
        let (device, product) = (self.x.device().clone(), self.product);
        ops::conv2d_with(
            self.x,
            self.weight,
            self.stride,
            self.padding,
            |shape, slices, x, w, y| product.compute(&device, shape, slices, x, w, y),
        )
    }
}

/// The batch norm and the activation that follow a [`Convolution`] in a training pass.
#[derive(Debug)]
pub struct NormActivation<'a, O: Dim, D: BinaryBackend> {
    /// Normalises by the batch and updates its running statistics.
    pub norm: &'a mut BatchNorm2d<O, f32, D>,
    /// The activation, applied last.
    pub activation: &'a Activation,
}

impl<O: Dim, D: BinaryBackend> NormActivation<'_, O, D> {
    /// Computes `activation(norm(convolution) + residual)` of a training batch. Scale and shift of the norm are on the tape `parameters`.
    ///
    /// With a quantizer, everything is one op: neither the sum nor the convolution's gradient becomes a tensor. The result has the same
    /// bits as [`ops::conv2d`], [`BatchNorm2d::forward_with`], [`ops::add`] and [`Activation::forward`] one after the other. With ReLU,
    /// the ops do run one after the other. If the activation passes no gradient, the output is off the tape.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// If the shape of the residual differs from the output's, or the quantizer's mask does not cover one sample of the output.
    pub fn forward_fused<B: Dim, I: Dim, K: Dim, H: Dim, W: Dim, T: Recording<D>>(
        self,
        convolution: Convolution<'_, B, I, O, K, H, W, D, T>,
        residual: Option<Tensor<ImageShape<B, O>, f32, D, T>>,
        parameters: T,
    ) -> OpResult<ImageShape<B, O>, D, T> {
        let residual = residual.map(|value| Residual { value, recompute: None });
        Ok(self.forward_recomputable(convolution, residual, parameters)?.0)
    }

    /// As [`NormActivation::forward_fused`]. Also returns a way to compute the result again in the backward pass, if that needs nothing but
    /// what this op keeps.
    pub(crate) fn forward_recomputable<B: Dim, I: Dim, K: Dim, H: Dim, W: Dim, T: Recording<D>>(
        self,
        convolution: Convolution<'_, B, I, O, K, H, W, D, T>,
        residual: Option<Residual<ImageShape<B, O>, D, T>>,
        parameters: T,
    ) -> Result<Recomputable<ImageShape<B, O>, D, T>, D::Err> {
        match self.activation {
            Activation::Quantized(quantizer) | Activation::Clip(quantizer) => {
                fused(convolution, self.norm, parameters, residual, quantizer)
            }
            Activation::Relu => {
                let y = self.norm.forward_with(convolution.forward()?, parameters)?;
                let y = ops::relu(match residual {
                    Some(residual) => ops::add(y, residual.value)?,
                    None => y,
                })?;
                Ok((y, None))
            }
        }
    }
}

/// A batch norm with the moments of this batch, and the quantizer after it, as the input of a device's kernels.
#[derive(Debug)]
pub struct NormQuantize<'a, D: BinaryBackend> {
    /// Sizes of the tensor.
    pub shape: ChannelShape,
    /// Moments of the input.
    pub moments: &'a BatchMoments<D>,
    /// Scale, shape (C,).
    pub scale: D::Slice<'a>,
    /// Shift, shape (C,).
    pub shift: D::Slice<'a>,
    /// Which entries of a sample are frozen, and which gradient they pass.
    pub quantizer: &'a MaskedQuantizer,
    /// How sums over the batch are computed.
    pub reduction: &'a BatchReduction,
}

/// The gradients that a device computes for a [`NormQuantize`], besides that of the input, which overwrites the input.
#[derive(Debug)]
pub struct NormQuantizeGradients<'a, D: BinaryBackend> {
    /// Gradient of the residual, added to; `None` if there is no residual or its gradient is not needed.
    pub residual: Option<D::SliceMut<'a>>,
    /// Gradient of the scale, shape (C,), added to.
    pub scale: D::SliceMut<'a>,
    /// Gradient of the shift, shape (C,), added to.
    pub shift: D::SliceMut<'a>,
}

/// What the backward pass of a fused op reads, besides the op's inputs.
#[derive(Debug)]
struct FusedState<O: Dim, D: BinaryBackend> {
    shape: ChannelShape,
    moments: BatchMoments<D>,
    scale: Tensor<(O,), f32, D>,
    shift: Tensor<(O,), f32, D>,
    quantizer: MaskedQuantizer,
    reduction: BatchReduction,
    /// The convolution's output, until the backward pass replaces it by its gradient.
    y: RefCell<Option<Buffer<D>>>,
}

impl<O: Dim, D: BinaryBackend> FusedState<O, D> {
    fn op(&self) -> NormQuantize<'_, D> {
        NormQuantize {
            shape: self.shape,
            moments: &self.moments,
            scale: D::values(&self.scale),
            shift: D::values(&self.shift),
            quantizer: &self.quantizer,
            reduction: &self.reduction,
        }
    }

    /// Writes the op's output to `q`.
    fn norm_quantize(&self, device: &D, residual: Option<D::Slice<'_>>, q: D::SliceMut<'_>) -> Result<(), D::Err> {
        let y = self.y.borrow();
        let y = y
            .as_ref()
            .expect("the backward step of this op runs after those of its readers");
        device.norm_quantize(&self.op(), D::slice(y), residual, q)
    }
}

/// Without a residual, the output follows from the state alone.
impl<O: Dim, D: BinaryBackend> Recompute<D> for FusedState<O, D> {
    fn entries(&self) -> usize {
        self.shape.len()
    }

    fn recompute(&self, device: &D, out: D::SliceMut<'_>) -> Result<(), D::Err> {
        self.norm_quantize(device, None, out)
    }
}

fn fused<B: Dim, I: Dim, O: Dim, K: Dim, H: Dim, W: Dim, D: BinaryBackend, T: Recording<D>>(
    convolution: Convolution<'_, B, I, O, K, H, W, D, T>,
    norm: &mut BatchNorm2d<O, f32, D>,
    parameters: T,
    residual: Option<Residual<ImageShape<B, O>, D, T>>,
    quantizer: &MaskedQuantizer,
) -> Result<Recomputable<ImageShape<B, O>, D, T>, D::Err> {
    let Convolution {
        x,
        weight,
        stride,
        padding,
        product,
        input,
    } = convolution;
    let (x, x_tape) = x.try_contiguous()?.split_tape();
    let (w, w_tape) = weight.try_contiguous()?.split_tape();
    let (residual, summand, residual_tape) = match residual {
        Some(Residual { value, recompute }) => {
            let (value, tape) = value.try_contiguous()?.split_tape();
            (Some(value), recompute, tape)
        }
        None => (None, None, T::default()),
    };
    let device = x.device().clone();
    let conv = ops::conv_shape(&x, &w, stride, padding);
    let out = (x.shape().0, w.shape().0, conv.out_height(), conv.out_width());
    assert!(
        residual.as_ref().is_none_or(|residual| *residual.shape() == out),
        "the shapes of the summands differ"
    );
    let entries = conv.output_len() / conv.batch.max(1);
    assert_eq!(
        quantizer.entries(),
        entries,
        "the quantizer's mask does not cover a sample"
    );
    // The convolution's output, in a buffer without a tensor.
    let mut y = device.acquire(conv.output_len())?;
    let slices = parameters.reduction().slices();
    product.compute(
        &device,
        &conv,
        slices,
        D::values(&x),
        D::values(&w),
        D::slice_mut(&mut y),
    )?;
    let shape = ChannelShape {
        batch: conv.batch,
        channels: conv.out_channels,
        inner: conv.out_height() * conv.out_width(),
    };
    let reduction = parameters.reduction().of_batch_norms();
    let moments = norm.update_running(&shape, &reduction, D::slice(&y))?;
    let state = FusedState {
        shape,
        moments,
        scale: norm.scale.clone(),
        shift: norm.shift.clone(),
        quantizer: quantizer.clone(),
        reduction,
        y: RefCell::new(Some(y)),
    };
    let q = device.filled(out, |q| {
        state.norm_quantize(&device, residual.as_ref().map(D::values), q)
    })?;

    let (x_wanted, w_wanted) = (x_tape.is_recording(), w_tape.is_recording());
    let (residual_wanted, affine_wanted) = (residual_tape.is_recording(), parameters.is_recording());
    let mut tape = x_tape.merge(w_tape).merge(residual_tape).merge(parameters);
    if quantizer.blocks_gradient() || !tape.is_recording() {
        state.y.take().into_iter().for_each(|y| device.release(y));
        return Ok((q.put_tape(T::default()), None));
    }
    let (q_ghost, x_ghost, w_ghost) = (q.ghost(), x.ghost(), w.ghost());
    let residual_ghost = residual.as_ref().map(Tensor::ghost);
    let residual_ghost = residual_ghost.filter(|_| residual_wanted);
    // Each gradient of the convolution needs the other operand only.
    let x = w_wanted.then(|| Saved::new(x, input));
    let w = x_wanted.then_some(w);
    let residual = residual.map(|residual| Saved::new(residual, summand));
    let state = Rc::new(state);
    let recompute: Option<Rc<dyn Recompute<D>>> = match &residual {
        Some(_) => None,
        None => Some(state.clone()),
    };
    tape.add_backward_op(move |gradients| {
        let gq = take_gradient!(gradients, &q_ghost, &device);
        let mut gresidual = match &residual_ghost {
            Some(residual) => Some(take_gradient!(gradients, residual, &device)),
            None => None,
        };
        let mut gscale = take_gradient!(gradients, &state.scale, &device);
        let mut gshift = take_gradient!(gradients, &state.shift, &device);
        let mut y = state.y.take().expect("a backward step runs once");
        let wanted = NormQuantizeGradients {
            residual: gresidual.as_mut().map(D::slice_mut),
            scale: D::slice_mut(&mut gscale),
            shift: D::slice_mut(&mut gshift),
        };
        let backward = |summand: Option<D::Slice<'_>>| {
            device.norm_quantize_backward(&state.op(), &mut y, summand, D::slice(&gq), wanted)
        };
        match &residual {
            Some(residual) => residual.read(&device, |summand| backward(Some(summand)))?,
            None => backward(None)?,
        }
        // The convolution's gradients may need a tensor of the same size.
        drop((gq, residual));
        let gy = y;
        if let (Some(residual), Some(gresidual)) = (&residual_ghost, gresidual) {
            put_gradient!(gradients, residual, gresidual);
        }
        if affine_wanted {
            put_gradient!(gradients, &state.scale, gscale);
            put_gradient!(gradients, &state.shift, gshift);
        }
        if let Some(x) = x {
            let gw = D::slice_mut(gradients.get_or_alloc_mut(&w_ghost)?);
            x.read(&device, |x| {
                device.conv2d_weight_gradient(&conv, slices, x, D::slice(&gy), gw)
            })?;
        }
        if let Some(w) = w {
            let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
            device.conv2d_input_gradient(&conv, slices, D::values(&w), D::slice(&gy), gx)?;
        }
        device.release(gy);
        Ok(())
    });
    Ok((q.put_tape(tape), recompute))
}
