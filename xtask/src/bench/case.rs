//! One network in one freeze state, ready to be stepped.

use anyhow::Result;
use dfdx::{
    tensor::{Cache, Cpu, SampleTensor, Tensor},
    tensor_ops::Backward,
};
use rand_core::Rng;
use std::time::Instant;
use stompp_binarize::{Freezable, MaskedQuantizer, Surrogate};
use stompp_nn::{SwitchTape, ops};
use stompp_resnet::{Architecture, Binarization, Model, ResNet};
use stompp_rng::{Purpose, stream};
use stompp_train::Sgd;

/// The networks that are timed, on 32x32 images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Width 64, batch 32.
    ResNet18,
    /// Width 16, batch 64.
    ResNet20,
}

impl Network {
    pub(crate) const ALL: [Self; 2] = [Self::ResNet20, Self::ResNet18];

    pub(crate) fn model(self) -> Model {
        match self {
            Self::ResNet18 => Model::ResNet18,
            Self::ResNet20 => Model::Cifar { blocks: 3 },
        }
    }

    pub(crate) fn batch(self) -> usize {
        match self {
            Self::ResNet18 => 32,
            Self::ResNet20 => 64,
        }
    }

    pub(crate) fn image_size(self) -> usize {
        32
    }
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// StoMPP in forward order with this percentage of the units committed, and the next unit half way.
    Freezing(usize),
    /// The STE baseline.
    Ste,
}

impl Work {
    pub(crate) fn name(self, network: Network) -> String {
        match self {
            Self::Freezing(percent) => format!("{}-step-{percent}", network.model()),
            Self::Ste => format!("{}-ste", network.model()),
        }
    }
}

/// Fraction that a cubic window has frozen half way.
const HALF_WAY: f64 = 0.125;

pub(crate) struct Case {
    device: Cpu,
    net: ResNet<Cpu>,
    optimizer: Sgd<Cpu>,
    images: Tensor<(usize, usize, usize, usize), f32, Cpu>,
    labels: Vec<usize>,
}

impl Case {
    pub(crate) fn new(network: Network, work: Work, batch: usize) -> Result<Self> {
        let device = Cpu::seed_from_u64(0);
        device.enable_cache(); // as the trainer does
        let architecture = Architecture::new(network.model(), None, 10, network.image_size())?;
        let binarization = match work {
            Work::Freezing(_) => Binarization::BNN,
            Work::Ste => Binarization {
                activation_surrogate: Surrogate::Clipped,
                weight_surrogate: Surrogate::Identity,
                ..Binarization::BNN
            },
        };
        let mut net = ResNet::new(&device, &architecture, binarization, 0)?;
        match work {
            Work::Ste | Work::Freezing(100) => net.commit_all(),
            Work::Freezing(percent) => commit_prefix(&mut net, percent),
        }
        let size = network.image_size();
        let images = device.sample_normal_like(&(batch, 3, size, size));
        let labels = (0..batch).map(|index| index % 10).collect();
        Ok(Self {
            device,
            net,
            optimizer: Sgd::new(0.01, 0.9),
            images,
            labels,
        })
    }

    /// One training step on the same batch; its seconds.
    pub(crate) fn step(&mut self) -> Result<f64> {
        let start = Instant::now();
        let logits = self.net.forward_train(self.images.clone())?;
        let loss = ops::cross_entropy(logits, &self.labels)?;
        let mut gradients = SwitchTape::unswitch(loss)
            .expect("the head always records")
            .try_backward()?;
        self.optimizer.step(&self.device, &mut self.net, &mut gradients)?;
        drop(gradients);
        Ok(start.elapsed().as_secs_f64())
    }
}

fn commit_prefix(net: &mut ResNet<Cpu>, percent: usize) {
    let mut units = net.units();
    let committed = units.len() * percent / 100;
    for unit in &mut units[..committed] {
        unit.weight.commit();
        unit.activation
            .as_deref_mut()
            .into_iter()
            .for_each(MaskedQuantizer::commit);
    }
    let mut rng: Box<dyn Rng> = Box::new(stream(0, Purpose::WEIGHT_MASK, 0, 0));
    let unit = &mut units[committed];
    unit.weight.refresh(HALF_WAY, 1.0, &mut rng);
    unit.activation.as_deref_mut().into_iter().for_each(|activation| {
        activation.refresh(HALF_WAY, 1.0, &mut rng);
    });
}
