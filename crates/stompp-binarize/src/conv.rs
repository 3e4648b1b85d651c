//! The convolution whose weight freezes.

use crate::{BinaryBackend, Convolution, EvalMode, MaskedQuantizer, Surrogate, unit::ConvAlgorithm};
use dfdx::{
    nn::{Module, NonMutableModule},
    shapes::{Dim, HasShape, Shape},
    tensor::{PutTape, SplitTape, Tensor},
};
use std::sync::OnceLock;
use stompp_nn::{Conv2d, ImageShape, OpResult, Recording, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut};

/// A convolution with a latent weight and the quantizer that freezes it: (N, I, H, W) to (N, O, H', W').
///
/// If its weight is committed and its input is binary, the device computes the convolution by XNOR and popcount where that is
/// faster. The result is the same, bit for bit. A weight that no longer changes (committed, its gradient blocked) is packed once.
///
/// The convolution reads `M * sign(w) + (1 - M) * clip(w, -1, 1)` of the latent weight `w`. Padding adds zeros to
/// the quantized input (*ours*). Optimizers clamp latent weights to [-1, 1] after each step (*ours*), because the [`TensorKind`] of
/// the weight has this bound.
#[derive(Clone, Debug)]
pub struct BinaryConv2d<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> {
    latent: Conv2d<I, O, K, S, P, f32, D>,
    /// The weight's quantizer: which entries are frozen.
    pub quantizer: MaskedQuantizer,
    /// The packed signs of a latent weight that no longer changes. Filled by the first pass, dropped when something writes to the weight.
    signs: OnceLock<D::Signs>,
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> BinaryConv2d<I, O, K, S, P, D> {
    /// Wraps a convolution so that its weight can freeze. The weight is open at first.
    pub fn new(latent: Conv2d<I, O, K, S, P, f32, D>, surrogate: Surrogate) -> Self {
        let quantizer = MaskedQuantizer::new(latent.weight.shape().num_elements(), surrogate);
        Self {
            latent,
            quantizer,
            signs: OnceLock::new(),
        }
    }

    /// The latent weight and the geometry.
    pub fn latent(&self) -> &Conv2d<I, O, K, S, P, f32, D> {
        &self.latent
    }

    /// Prepares the convolution of `x` with the current weight. The latent weight is on the tape `parameters`. `x_is_binary` says whether
    /// every entry of `x` is -1 or +1.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    #[allow(clippy::type_complexity)] // one dimension a letter, as everywhere
    pub fn forward_with<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        x_is_binary: bool,
        parameters: T,
    ) -> Result<Convolution<'_, B, I, O, K, H, W, D, T>, D::Err> {
        let binary = x_is_binary && self.quantizer.is_binary(EvalMode::Current);
        let (x, tape) = x.split_tape();
        let latent = self.latent.weight.clone();
        let (weight, product) = if binary && self.quantizer.blocks_gradient() && !tape.is_recording() {
            // No gradient is needed, so the packed signs are enough.
            (latent.put_tape(T::default()), ConvAlgorithm::Packed(self.signs()?))
        } else {
            let weight = self.quantizer.forward(latent.put_tape(parameters))?;
            (
                weight,
                if binary {
                    ConvAlgorithm::Signs
                } else {
                    ConvAlgorithm::Dense
                },
            )
        };
        Ok(self.convolution(x.put_tape(tape), weight, product))
    }

    /// Convolves `x` off the tape, with the current or the binarized weight.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn evaluate<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, I, H, W), f32, D>,
        x_is_binary: bool,
        mode: EvalMode,
    ) -> OpResult<ImageShape<B, O>, D> {
        let latent = self.latent.weight.clone();
        let (weight, product) = match x_is_binary && self.quantizer.is_binary(mode) {
            true if self.quantizer.blocks_gradient() => (latent, ConvAlgorithm::Packed(self.signs()?)),
            true => (latent, ConvAlgorithm::Signs),
            false => (self.quantizer.evaluate(latent, mode)?, ConvAlgorithm::Dense),
        };
        self.convolution(x, weight, product).forward()
    }

    /// A committed weight without a gradient no longer learns. Momentum must not move it either.
    fn weight_kind(&self) -> TensorKind {
        TensorKind::Parameter {
            learning: !self.quantizer.blocks_gradient(),
            bound: Some(1.0),
        }
    }

    /// The packed signs of a latent weight that no longer changes.
    fn signs(&self) -> Result<&D::Signs, D::Err> {
        if let Some(signs) = self.signs.get() {
            return Ok(signs);
        }
        let weight = &self.latent.weight;
        let (outputs, inputs, kernel, _) = *weight.shape();
        let signs = weight
            .device()
            .signs(outputs.size(), inputs.size(), kernel.size(), D::values(weight))?;
        Ok(self.signs.get_or_init(|| signs))
    }

    fn convolution<'a, B: Dim, H: Dim, W: Dim, T>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        weight: Tensor<(O, I, K, K), f32, D, T>,
        product: ConvAlgorithm<'a, D>,
    ) -> Convolution<'a, B, I, O, K, H, W, D, T> {
        Convolution {
            x,
            weight,
            stride: self.latent.stride.size(),
            padding: self.latent.padding.size(),
            product,
            input: None,
        }
    }
}

impl<I, O, K, S, P, B, H, W, D, T> Module<Tensor<(B, I, H, W), f32, D, T>> for BinaryConv2d<I, O, K, S, P, D>
where
    I: Dim,
    O: Dim,
    K: Dim,
    S: Dim,
    P: Dim,
    B: Dim,
    H: Dim,
    W: Dim,
    D: BinaryBackend,
    T: Recording<D>,
{
    type Output = Tensor<ImageShape<B, O>, f32, D, T>;
    type Error = D::Err;

    /// As [`BinaryConv2d::forward_with`], but always by multiplication, because it is not known whether the input is binary. The result
    /// has the same bits.
    fn try_forward(&self, x: Tensor<(B, I, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        let (x, tape) = x.split_tape();
        let parameters = tape.fork();
        self.forward_with(x.put_tape(tape), false, parameters)?.forward()
    }
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> NonMutableModule for BinaryConv2d<I, O, K, S, P, D> {}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> VisitTensors<D> for BinaryConv2d<I, O, K, S, P, D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        visitor.visit_tensor(&format!("{prefix}weight"), self.weight_kind(), &self.latent.weight)
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let kind = self.weight_kind();
        let mut drop_signs = || drop(self.signs.take());
        let weight = TensorMut::with_derived(&mut self.latent.weight, &mut drop_signs);
        visitor.visit_tensor_mut(&format!("{prefix}weight"), kind, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::tensor::{Cpu, Gradients, OnesTensor};
    use std::convert::Infallible;
    use stompp_nn::{
        SwitchTape,
        optim::{Optimizer, Sgd},
    };
    use stompp_rng::{Purpose, stream};

    /// Reads every tensor through a handle that could write.
    struct Read;
    impl VisitorMut<Cpu> for Read {
        type Error = Infallible;
        fn visit_tensor_mut<S: Shape>(
            &mut self,
            _: &str,
            _: TensorKind,
            tensor: TensorMut<'_, S, Cpu>,
        ) -> Result<(), Infallible> {
            assert!(tensor.shape().num_elements() > 0);
            Ok(())
        }
    }

    struct Negate;
    impl VisitorMut<Cpu> for Negate {
        type Error = Infallible;
        fn visit_tensor_mut<S: Shape>(
            &mut self,
            _: &str,
            _: TensorKind,
            mut tensor: TensorMut<'_, S, Cpu>,
        ) -> Result<(), Infallible> {
            let negated: Vec<f32> = tensor.as_vec().iter().map(|w| -w).collect();
            tensor.copy_from(&negated);
            Ok(())
        }
    }

    #[test]
    fn signs_are_packed_once_and_again_after_a_write() {
        let dev = Cpu::seed_from_u64(5);
        let mut rng = stream(0, Purpose::INITIAL_WEIGHTS, 0, 0);
        let latent = Conv2d::new(&dev, 16, 8, 3, 1, 1, &mut rng).unwrap();
        let mut conv = BinaryConv2d::new(latent, Surrogate::Blocked);
        conv.quantizer.commit();
        let x = dev.ones_like(&(1, 16, 4, 4));
        let run = |conv: &BinaryConv2d<_, _, _, _, _, _>| {
            let y = conv
                .forward_with(x.clone().put_tape(SwitchTape::off()), true, SwitchTape::off())
                .and_then(Convolution::forward)
                .unwrap();
            y.as_vec()
        };
        assert!(conv.signs.get().is_none());
        let before = run(&conv);
        assert!(conv.signs.get().is_some());
        let Ok(()) = conv.visit_mut("", &mut Read);
        let mut sgd = Sgd::new(0.1, 0.9);
        sgd.step(&dev, &mut conv, &mut Gradients::leaky()).unwrap();
        assert!(
            conv.signs.get().is_some(),
            "nothing was written: the weight has stopped"
        );
        let Ok(()) = conv.visit_mut("", &mut Negate);
        assert!(conv.signs.get().is_none());
        let negated: Vec<f32> = before.iter().map(|y| -y).collect();
        assert_eq!(run(&conv), negated);
    }
}
