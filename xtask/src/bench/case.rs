//! A network in one freeze state, to time its training steps.

use anyhow::Result;
use dfdx::{
    tensor::{Synchronize, Tensor},
    tensor_ops::Backward,
};
use rand_core::Rng;
use std::time::Instant;
use stompp_binarize::{self as binarize, Binarization, BinaryBackend, Freezable, MaskedQuantizer, Surrogate};
use stompp_nn::{
    SwitchTape, ops,
    optim::{Optimizer, Sgd},
};
use stompp_resnet::{Architecture, Model};
use stompp_rng::{Purpose, stream};
use stompp_train::config::Device;

/// The networks to time, on 32x32 images if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BenchNetwork {
    /// Width 64.
    ResNet18,
    /// Width 64, on 224x224 images.
    ResNet18Large,
    /// Width 16.
    ResNet20,
    /// Width 64.
    ResNet34,
    /// Width 64.
    ResNet50,
}

/// Whether this build has a fake GPU, on which only tiny networks are fast.
const FAKE_GPU: bool = cfg!(feature = "cuda-stand-in");

impl BenchNetwork {
    /// The networks to time on a device.
    pub(crate) fn for_device(device: Device) -> &'static [Self] {
        match device {
            Device::Cpu => &[
                Self::ResNet20,
                Self::ResNet18,
                Self::ResNet34,
                Self::ResNet50,
                Self::ResNet18Large,
            ],
            Device::Cuda => &[Self::ResNet18, Self::ResNet50],
        }
    }

    /// The beginning of the names of its cases.
    pub(crate) fn name(self) -> String {
        match self {
            Self::ResNet18Large => format!("{}@224", self.model()),
            _ => self.model().to_string(),
        }
    }

    pub(crate) fn model(self) -> Model {
        match self {
            Self::ResNet18 | Self::ResNet18Large => Model::ResNet18,
            Self::ResNet20 => Model::Cifar { blocks: 3 },
            Self::ResNet34 => Model::ResNet34,
            Self::ResNet50 => Model::ResNet50,
        }
    }

    pub(crate) fn size(self, device: Device) -> Size {
        let (width, image, batch) = match (device, self) {
            (Device::Cuda, _) if FAKE_GPU => (4, 8, 4),
            (Device::Cuda, _) => (self.model().default_width(), 32, 256),
            // Enough images to keep the device busy.
            (Device::Cpu, Self::ResNet20) => (16, 32, 64),
            (Device::Cpu, Self::ResNet18Large) => (64, 224, 16),
            (Device::Cpu, _) => (64, 32, 32),
        };
        Size { width, image, batch }
    }
}

/// Channels of the first stage, side of the images, and batch size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) image: usize,
    pub(crate) batch: usize,
}

/// The method and the freeze state to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// StoMPP in forward order with this percentage of the units committed, and the next unit half way through its window.
    Freezing(usize),
    /// The STE baseline.
    Ste,
}

impl Workload {
    pub(crate) fn name(self, network: BenchNetwork) -> String {
        match self {
            Self::Freezing(percent) => format!("{}-step-{percent}", network.name()),
            Self::Ste => format!("{}-ste", network.name()),
        }
    }
}

/// Frozen fraction in the middle of a window with the cubic curve.
const HALF_WAY: f64 = 0.125;

pub(crate) struct Case<D: BinaryBackend> {
    device: D,
    net: binarize::Network<D>,
    optimizer: Sgd<D>,
    images: Tensor<(usize, usize, usize, usize), f32, D>,
    labels: Vec<usize>,
}

impl<D: BinaryBackend + Synchronize> Case<D> {
    pub(crate) fn new(device: D, network: BenchNetwork, work: Workload, size: Size) -> Result<Self> {
        let Size { width, image, batch } = size;
        let architecture = Architecture::new(network.model(), Some(width), 10, image)?;
        let binarization = match work {
            Workload::Freezing(_) => Binarization::BNN,
            Workload::Ste => Binarization {
                activation_surrogate: Surrogate::Clipped,
                weight_surrogate: Surrogate::Identity,
                ..Binarization::BNN
            },
        };
        let mut net = binarize::Network::new(&device, &architecture.graph(), binarization, 0).map_err(device_error)?;
        match work {
            Workload::Ste | Workload::Freezing(100) => net.commit_all(),
            Workload::Freezing(percent) => commit_prefix(&mut net, percent)?,
        }
        let images = device.sample_normal_like(&(batch, 3, image, image));
        let labels = (0..batch).map(|index| index % 10).collect();
        Ok(Self {
            device,
            net,
            optimizer: Sgd::new(0.01, 0.9),
            images,
            labels,
        })
    }

    /// Runs one training step, always on the same batch, and returns its time in seconds.
    pub(crate) fn step(&mut self) -> Result<f64> {
        self.device.try_synchronize().map_err(device_error)?;
        let start = Instant::now();
        let logits = self.net.forward_train(self.images.clone()).map_err(device_error)?;
        let loss = ops::cross_entropy(logits, &self.labels).map_err(device_error)?;
        let mut gradients = SwitchTape::into_owned_tape(loss)
            .expect("the head always records")
            .try_backward()
            .map_err(device_error)?;
        let stepped = self.optimizer.step(&self.device, &mut self.net, &mut gradients);
        stepped.map_err(device_error)?;
        drop(gradients);
        self.device.try_synchronize().map_err(device_error)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Converts an error of a dfdx device. These errors have only their text in common.
fn device_error(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("device: {error}")
}

fn commit_prefix<D: BinaryBackend>(net: &mut binarize::Network<D>, percent: usize) -> Result<()> {
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
    unit.weight.refresh(HALF_WAY, 1.0, &mut rng)?;
    if let Some(activation) = unit.activation.as_deref_mut() {
        activation.refresh(HALF_WAY, 1.0, &mut rng)?;
    }
    Ok(())
}
