//! The whole network.

use crate::{
    Architecture, ConvSpec, Stem,
    block::{Batch, Block, Conv, Norm},
};
use dfdx::{
    nn::Module,
    tensor::{NoneTape, PutTape, Tensor},
};
use stompp_binarize::{
    Activation, BinaryBackend, Convolution, Freezable, MaskedQuantizer, NormActivation, Refresher, Surrogate, UnitMut,
    View,
};
use stompp_nn::{
    BatchNorm2d, Conv2d, Image, Linear, OpResult, Recording, SwitchTape, VisitTensors, Visitor, VisitorMut, ops,
};
use stompp_rng::{Purpose, stream};

/// Feature maps inside of a network, (N, C, H, W).
pub type Feature<D> = Tensor<Image<usize, usize>, f32, D>;

/// What stands in front of each binary convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivationRule {
    /// The masked quantizer: weights and activations freeze (BNN).
    Quantized,
    /// `max(u, 0)`: only weights freeze (BWN).
    Relu,
    /// `clip(u, -1, 1)`: only weights freeze (BWN), activations as a BNN's before it freezes.
    Clip,
}

/// Which entries of an activation freeze as one. A mask is shared by the images of a batch in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// Each of its C * H * W entries by itself.
    #[default]
    Entry,
    /// All H * W entries of a channel.
    Channel,
}

/// What of a network freezes, and which gradient frozen entries get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binarization {
    /// What stands in front of each binary convolution.
    pub activations: ActivationRule,
    /// Which entries of an activation freeze as one.
    pub granularity: Granularity,
    /// Gradient rule of frozen activation entries.
    pub activation_surrogate: Surrogate,
    /// Gradient rule of frozen weight entries.
    pub weight_surrogate: Surrogate,
}

impl Binarization {
    /// Weights and activations freeze, without straight-through estimators (the paper's method).
    pub const BNN: Self = Self {
        activations: ActivationRule::Quantized,
        granularity: Granularity::Entry,
        activation_surrogate: Surrogate::Blocked,
        weight_surrogate: Surrogate::Blocked,
    };

    /// Only weights freeze, without straight-through estimators.
    pub const BWN: Self = Self {
        activations: ActivationRule::Relu,
        ..Self::BNN
    };

    /// The activation in front of something that reads `entries` entries of each image, in `channels` channels.
    fn activation(&self, entries: usize, channels: usize) -> Activation {
        let quantizer = || {
            let group = match self.granularity {
                Granularity::Entry => 1,
                Granularity::Channel => entries / channels,
            };
            MaskedQuantizer::new(entries, self.activation_surrogate).grouped(group)
        };
        match self.activations {
            ActivationRule::Quantized => Activation::Quantized(quantizer()),
            ActivationRule::Clip => Activation::Clip(quantizer()),
            ActivationRule::Relu => Activation::Relu,
        }
    }
}

/// A residual network whose weights, and activations, can freeze.
///
/// Tensor names are torchvision's (`conv1.weight`, `bn1.running_mean`, `layer1.0.conv1.weight`, `layer2.0.downsample.0.weight`,
/// `fc.bias`), in torchvision's order.
#[derive(Clone, Debug)]
pub struct ResNet<D: BinaryBackend> {
    stem: Stem,
    conv1: Conv<D>,
    bn1: Norm<D>,
    blocks: Vec<Block<D>>,
    final_activation: Activation,
    fc: Linear<usize, usize, f32, D>,
}

impl<D: BinaryBackend> ResNet<D> {
    /// A network with nothing frozen and initial weights drawn from `seed`: He initialisation for convolutions, PyTorch's
    /// uniform one for the last layer.
    ///
    /// # Errors
    /// The device's.
    pub fn new(device: &D, architecture: &Architecture, binarization: Binarization, seed: u64) -> Result<Self, D::Err> {
        let mut parameter = 0;
        let mut next_stream = || {
            parameter += 1;
            stream(seed, Purpose::INITIAL_WEIGHTS, parameter, 0)
        };
        let mut conv = |spec: &ConvSpec| {
            Conv2d::new(
                device,
                spec.inputs,
                spec.outputs,
                spec.kernel,
                spec.stride,
                spec.padding,
                &mut next_stream(),
            )
        };
        let specs = architecture.blocks();
        let conv1 = conv(&architecture.stem_conv())?;
        let bn1 = BatchNorm2d::new(device, architecture.width())?;
        let blocks = specs
            .iter()
            .map(|spec| {
                let activation = |entries, channels| binarization.activation(entries, channels);
                Block::new(device, spec, binarization.weight_surrogate, activation, &mut conv)
            })
            .collect::<Result<_, D::Err>>()?;
        let features = architecture.features();
        Ok(Self {
            stem: architecture.stem(),
            conv1,
            bn1,
            blocks,
            final_activation: binarization.activation(architecture.final_entries(), features),
            fc: Linear::new(device, features, architecture.classes(), &mut next_stream())?,
        })
    }

    /// Sets how much the newest batch weighs in every batch norm's running statistics; initially 0.1.
    pub fn set_statistics_momentum(&mut self, momentum: f32) {
        self.bn1.momentum = momentum;
        let norms = self.blocks.iter_mut().flat_map(Block::norms);
        norms.for_each(|norm| norm.momentum = momentum);
    }

    /// Training pass: images (N, 3, H, W) to logits (N, classes), as the network stands.
    ///
    /// Batch norms normalise by the batch and follow it. Upstream of an activation that passes no gradient nothing is
    /// recorded: the gradient there is exactly zero.
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Panics
    /// If the images are not of the architecture's size.
    pub fn forward_train(&mut self, images: Batch<D, NoneTape>) -> OpResult<(usize, usize), D, SwitchTape<D>> {
        let mut arrives = !self.final_activation.severs();
        let mut arrives_at: Vec<bool> = Vec::with_capacity(self.blocks.len());
        for block in self.blocks.iter().rev() {
            arrives_at.push(arrives);
            arrives &= block.passes_gradient();
        }

        let x = images.put_tape(SwitchTape::off());
        let parameters = || SwitchTape::new(arrives);
        let first = self.blocks.first().map_or(&self.final_activation, Block::activation);
        let mut x = match self.stem {
            Stem::Cifar => {
                let weight = self.conv1.weight.clone().put_tape(parameters());
                let convolution = Convolution::dense(x, weight, self.conv1.stride, self.conv1.padding);
                let then = NormActivation {
                    norm: &mut self.bn1,
                    activation: first,
                };
                then.after(convolution, None, parameters())?
            }
            Stem::ImageNet => {
                let x = self.conv1.forward_with(x, parameters())?;
                let x = self.bn1.forward_with(x, parameters())?;
                first.forward(self.stem_pool(x)?)?
            }
        };
        for (index, arrives) in arrives_at.into_iter().rev().enumerate() {
            let (before, after) = self.blocks.split_at_mut(index + 1);
            let next = after.first().map_or(&self.final_activation, Block::activation);
            x = before[index].forward_train(x, next, arrives)?;
        }
        let features = ops::global_average_pool(x)?;
        self.fc.forward_with(features, SwitchTape::on())
    }

    /// Evaluation pass: images (N, 3, H, W) to logits (N, classes), by running statistics. Changes nothing.
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Panics
    /// If the images are not of the architecture's size.
    pub fn evaluate(&self, images: Batch<D, NoneTape>, view: View) -> OpResult<(usize, usize), D> {
        self.evaluate_shown(images, view, &mut |_| ())
    }

    /// As [`ResNet::evaluate`]; `seen` is shown what stands before each activation, (N, C, H, W): that of each unit from input to
    /// output, then that in front of the average pool.
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Panics
    /// If the images are not of the architecture's size.
    pub fn evaluate_shown(
        &self,
        images: Batch<D, NoneTape>,
        view: View,
        seen: &mut dyn FnMut(&Feature<D>),
    ) -> OpResult<(usize, usize), D> {
        let mut x = self.stem_pool(self.bn1.try_forward(self.conv1.try_forward(images)?)?)?;
        for block in &self.blocks {
            x = block.evaluate(x, view, seen)?;
        }
        seen(&x);
        self.fc
            .try_forward(ops::global_average_pool(self.final_activation.evaluate(x, view)?)?)
    }

    /// The ImageNet stem's maximum. It stands before the activation, which torchvision has first: both are monotone, so the
    /// committed network computes the same, and the mask covers a quarter of the entries (*ours*).
    fn stem_pool<T: Recording<D>>(&self, x: Batch<D, T>) -> Result<Batch<D, T>, D::Err> {
        match self.stem {
            Stem::Cifar => Ok(x),
            Stem::ImageNet => ops::max_pool(x, 3, 2, 1),
        }
    }
}

impl<D: BinaryBackend> Freezable for ResNet<D> {
    fn units(&mut self) -> Vec<UnitMut<'_>> {
        self.blocks.iter_mut().flat_map(Block::units).collect()
    }

    fn final_activation(&mut self) -> Option<&mut MaskedQuantizer> {
        self.final_activation.quantizer_mut()
    }

    fn refresher(&self) -> Box<dyn Refresher> {
        Box::new(self.fc.weight.device().clone())
    }
}

impl<D: BinaryBackend> VisitTensors<D> for ResNet<D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        self.conv1.visit(&format!("{prefix}conv1."), visitor)?;
        self.bn1.visit(&format!("{prefix}bn1."), visitor)?;
        for block in &self.blocks {
            block.visit(prefix, visitor)?;
        }
        self.fc.visit(&format!("{prefix}fc."), visitor)
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        self.conv1.visit_mut(&format!("{prefix}conv1."), visitor)?;
        self.bn1.visit_mut(&format!("{prefix}bn1."), visitor)?;
        for block in &mut self.blocks {
            block.visit_mut(prefix, visitor)?;
        }
        self.fc.visit_mut(&format!("{prefix}fc."), visitor)
    }
}
