//! The residual block: basic and bottleneck alike.

use crate::BlockSpec;
use dfdx::{
    nn::Module,
    tensor::{NoneTape, PutTape, SplitTape, Tensor},
};
use stompp_binarize::{Activation, BinaryBackend, BinaryConv2d, NormActivation, UnitMut, View};
use stompp_nn::{BatchNorm2d, Conv2d, Image, Recording, SwitchTape, VisitTensors, Visitor, VisitorMut, ops};

/// A batch of images whose sizes are all known at run time: (N, C, H, W).
pub(crate) type Batch<D, T> = Tensor<Image<usize, usize>, f32, D, T>;
/// A convolution whose sizes are all known at run time.
pub(crate) type Conv<D> = Conv2d<usize, usize, usize, usize, usize, f32, D>;
/// A batch norm whose size is known at run time.
pub(crate) type Norm<D> = BatchNorm2d<usize, f32, D>;

/// One step of a block: activation, binary convolution, batch norm.
#[derive(Clone, Debug)]
struct Unit<D: BinaryBackend> {
    name: String,
    activation: Activation,
    conv: BinaryConv2d<usize, usize, usize, usize, usize, D>,
    norm: Norm<D>,
}

/// A residual block: `norm(conv(activation(...)))` two or three times, plus the shortcut, which reads the first activation.
///
/// The activation that torchvision puts at a block's end stands at the beginning of the next one here, where it feeds a
/// convolution.
#[derive(Clone, Debug)]
pub struct Block<D: BinaryBackend> {
    name: String,
    units: Vec<Unit<D>>,
    shortcut: Option<(Conv<D>, Norm<D>)>,
}

impl<D: BinaryBackend> Block<D> {
    /// A block of `spec`; `conv` makes the convolution and `activation` what feeds it, given its numbers of entries and of channels.
    pub(crate) fn new(
        device: &D,
        spec: &BlockSpec,
        surrogate: stompp_binarize::Surrogate,
        activation: impl Fn(usize, usize) -> Activation,
        mut conv: impl FnMut(&crate::ConvSpec) -> Result<Conv<D>, D::Err>,
    ) -> Result<Self, D::Err> {
        let units = spec
            .convs
            .iter()
            .map(|conv_spec| {
                Ok(Unit {
                    name: conv_spec.name.clone(),
                    activation: activation(conv_spec.input_entries(), conv_spec.inputs),
                    conv: BinaryConv2d::new(conv(conv_spec)?, surrogate),
                    norm: BatchNorm2d::new(device, conv_spec.outputs)?,
                })
            })
            .collect::<Result<_, D::Err>>()?;
        let shortcut = match &spec.shortcut {
            Some(shortcut) => Some((conv(shortcut)?, BatchNorm2d::new(device, shortcut.outputs)?)),
            None => None,
        };
        Ok(Self {
            name: spec.name.clone(),
            units,
            shortcut,
        })
    }

    /// Whether a gradient that arrives at the output also reaches the input: the first activation feeds both paths.
    pub(crate) fn passes_gradient(&self) -> bool {
        !self.units[0].activation.severs()
    }

    /// The activation that feeds the block: the end of the one before it.
    pub(crate) fn activation(&self) -> &Activation {
        &self.units[0].activation
    }

    /// Training pass from the block's own activation to `next`, the one that follows it. `arrives` says whether a gradient
    /// arrives at `next`'s input; if not, nothing is recorded.
    pub(crate) fn forward_train(
        &mut self,
        x: Batch<D, SwitchTape<D>>,
        next: &Activation,
        arrives: bool,
    ) -> Result<Batch<D, SwitchTape<D>>, D::Err> {
        // The main path below unit i gets a gradient only if every later activation lets it through.
        let first_live = self
            .units
            .iter()
            .rposition(|unit| unit.activation.severs())
            .unwrap_or(0);
        let live = |index: usize| arrives && index >= first_live;

        let (input, tape) = x.split_tape();
        let mut y = input.clone().put_tape(SwitchTape::new(live(0) && tape.is_recording()));
        let input = input.put_tape(tape);
        let mut shortcut = Some(match &mut self.shortcut {
            Some((conv, norm)) => norm.forward_with(
                conv.forward_with(input, SwitchTape::new(arrives))?,
                SwitchTape::new(arrives),
            )?,
            None => input,
        });
        for index in 0..self.units.len() {
            let (before, after) = self.units.split_at_mut(index + 1);
            let unit = &mut before[index];
            let binary = unit.activation.is_binary(View::AsItStands);
            let parameters = || SwitchTape::new(live(index));
            let convolution = unit.conv.of(y, binary, parameters())?;
            let (activation, residual) = match after.first() {
                Some(unit) => (&unit.activation, None),
                None => (next, shortcut.take()),
            };
            let then = NormActivation {
                norm: &mut unit.norm,
                activation,
            };
            y = then.after(convolution, residual, parameters())?;
        }
        Ok(y)
    }

    /// Evaluation pass, off the tape, by running statistics; changes nothing. `seen` is shown what stands before each activation.
    pub(crate) fn evaluate(
        &self,
        x: Batch<D, NoneTape>,
        view: View,
        seen: &mut dyn FnMut(&Batch<D, NoneTape>),
    ) -> Result<Batch<D, NoneTape>, D::Err> {
        seen(&x);
        let input = self.units[0].activation.evaluate(x, view)?;
        let mut y = input.clone();
        for (index, unit) in self.units.iter().enumerate() {
            if index > 0 {
                seen(&y);
                y = unit.activation.evaluate(y, view)?;
            }
            let binary = unit.activation.is_binary(view);
            y = unit.norm.try_forward(unit.conv.evaluate(y, binary, view)?)?;
        }
        let shortcut = match &self.shortcut {
            Some((conv, norm)) => norm.try_forward(conv.try_forward(input)?)?,
            None => input,
        };
        ops::add(y, shortcut)
    }

    /// Every batch norm.
    pub(crate) fn norms(&mut self) -> impl Iterator<Item = &mut Norm<D>> {
        let shortcut = self.shortcut.iter_mut().map(|(_, norm)| norm);
        self.units.iter_mut().map(|unit| &mut unit.norm).chain(shortcut)
    }

    /// The freezable units, in order.
    pub(crate) fn units(&mut self) -> impl Iterator<Item = UnitMut<'_>> {
        self.units.iter_mut().map(|unit| UnitMut {
            name: &unit.name,
            activation: unit.activation.quantizer_mut(),
            weight: &mut unit.conv.quantizer,
        })
    }
}

impl<D: BinaryBackend> VisitTensors<D> for Block<D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let prefix = format!("{prefix}{}.", self.name);
        for (index, unit) in self.units.iter().enumerate() {
            unit.conv.visit(&format!("{prefix}conv{}.", index + 1), visitor)?;
            unit.norm.visit(&format!("{prefix}bn{}.", index + 1), visitor)?;
        }
        if let Some((conv, norm)) = &self.shortcut {
            conv.visit(&format!("{prefix}downsample.0."), visitor)?;
            norm.visit(&format!("{prefix}downsample.1."), visitor)?;
        }
        Ok(())
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let prefix = format!("{prefix}{}.", self.name);
        for (index, unit) in self.units.iter_mut().enumerate() {
            unit.conv.visit_mut(&format!("{prefix}conv{}.", index + 1), visitor)?;
            unit.norm.visit_mut(&format!("{prefix}bn{}.", index + 1), visitor)?;
        }
        if let Some((conv, norm)) = &mut self.shortcut {
            conv.visit_mut(&format!("{prefix}downsample.0."), visitor)?;
            norm.visit_mut(&format!("{prefix}downsample.1."), visitor)?;
        }
        Ok(())
    }
}
