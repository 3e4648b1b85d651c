//! The enums of a configuration that are defined in this crate. `strum` derives the name of each variant from its identifier.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stompp_schedule::UnknownName;
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// Adds items that `strum` does not derive: the list of all variants as a constant, the name as a method, an error that lists the
/// names, and serde with the same names (serde's own errors do not say which kind of name is unknown: `unknown method`).
macro_rules! names {
    ($($name:ident: $kind:literal,)+) => {$(
        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

            /// The name in configurations and results.
            pub fn name(self) -> &'static str {
                self.into()
            }

            fn unknown(given: &str) -> UnknownName {
                UnknownName::new($kind, <Self as VariantNames>::VARIANTS, given)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                super::text::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::text::deserialize(deserializer)
            }
        }
    )+};
}

names! {
    Dataset: "data set",
    Device: "device",
    Setting: "setting",
    Method: "method",
    OptimizerName: "optimizer",
    RateSchedule: "learning-rate schedule",
    ReductionOrder: "reduction",
}

/// The data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Dataset {
    /// Generated images of 10 classes (`stompp-data`); needs no files.
    Synthetic10,
    /// Generated images of 100 classes; needs no files.
    Synthetic100,
    /// CIFAR-10, binary version.
    Cifar10,
    /// CIFAR-100 with its fine labels, binary version.
    Cifar100,
    /// CIFAR-100 with its 20 coarse labels, binary version.
    Cifar100Coarse,
    /// MNIST: its four idx files, gzipped or not.
    Mnist,
    /// Fashion-MNIST: its four idx files, gzipped or not.
    FashionMnist,
    /// Image files in one folder per class, as in ImageNet: `train/CLASS/NAME.jpeg`, `val/CLASS/NAME.jpeg`.
    Folder,
}

/// The device that a run trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU that the process sees. Only in builds with the feature `cuda`.
    Cuda,
}

/// Which parts of the network become binary (*paper*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Setting {
    /// Weights and activations.
    Bnn,
    /// Weights only.
    Bwn,
}

/// The method that makes a network binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Method {
    /// Full precision: nothing freezes, weights and activations are clipped. An upper bound for the other methods.
    Float,
    /// Everything is binary from the first step, with straight-through gradients. The baseline.
    Ste,
    /// Layerwise progressive freezing without gradients through frozen entries.
    Stompp,
    /// Layerwise progressive freezing with straight-through gradients through frozen entries.
    StomppSte,
}

/// The optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum (*paper*).
    Sgd,
    /// Adam with PyTorch's defaults; `training.momentum` is its first beta.
    Adam,
}

/// How the learning rate changes after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum RateSchedule {
    /// The learning rate is constant (*paper*).
    Constant,
    /// The learning rate falls to 0 along half a cosine.
    Cosine,
    /// The learning rate is divided by 10 after half and again after three quarters of the training.
    Step,
}

/// The order in which gradients are added over processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum ReductionOrder {
    /// In pairs. The result does not depend on the number of processes, which must be a power of two.
    Exact,
    /// In the order that the MPI library chooses, for any number of processes. The result depends on the number of processes.
    Fast,
}

impl Dataset {
    /// Whether the images are generated instead of read from files.
    pub fn is_synthetic(self) -> bool {
        matches!(self, Self::Synthetic10 | Self::Synthetic100)
    }

    /// Number of classes; `None` if it depends on the files.
    pub fn classes(self) -> Option<usize> {
        match self {
            Self::Synthetic10 | Self::Cifar10 | Self::Mnist | Self::FashionMnist => Some(10),
            Self::Synthetic100 | Self::Cifar100 => Some(100),
            Self::Cifar100Coarse => Some(20),
            Self::Folder => None,
        }
    }
}

impl Method {
    /// Whether the method freezes by a plan.
    pub fn has_plan(self) -> bool {
        matches!(self, Self::Stompp | Self::StomppSte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ActivationRule, Granularity, OnBadImage, Surrogate, WindowSharing};

    #[test]
    fn every_name_reads_back() {
        assert!(Dataset::ALL.iter().all(|&choice| choice.name().parse() == Ok(choice)));
        assert!(Method::ALL.iter().all(|&choice| choice.name().parse() == Ok(choice)));
    }

    /// Saved configurations contain these names, so renaming a variant must not change its name.
    #[test]
    fn names_are_those_of_old_configurations() {
        fn names<T: VariantNames>(_: &[T]) -> String {
            T::VARIANTS.join(" ")
        }
        assert_eq!(
            names(Dataset::ALL),
            "synthetic10 synthetic100 cifar10 cifar100 cifar100-coarse mnist fashion-mnist folder"
        );
        assert_eq!(names(Device::ALL), "cpu cuda");
        assert_eq!(names(Setting::ALL), "bnn bwn");
        assert_eq!(names(Method::ALL), "float ste stompp stompp-ste");
        assert_eq!(names(OptimizerName::ALL), "sgd adam");
        assert_eq!(names(RateSchedule::ALL), "constant cosine step");
        assert_eq!(names(ReductionOrder::ALL), "exact fast");
    }

    /// For enums of other crates serde writes the names, and `name` lists them.
    #[test]
    fn names_of_other_crates_are_those_that_serde_writes() {
        fn written(choice: impl serde::Serialize) -> String {
            toml::Value::try_from(choice).unwrap().as_str().unwrap().to_owned()
        }
        OnBadImage::ALL.iter().for_each(|x| assert_eq!(written(x), x.name()));
        WindowSharing::ALL.iter().for_each(|x| assert_eq!(written(x), x.name()));
        Granularity::ALL.iter().for_each(|x| assert_eq!(written(x), x.name()));
        ActivationRule::CONTINUOUS
            .iter()
            .for_each(|x| assert_eq!(written(x), x.name()));
        Surrogate::STRAIGHT_THROUGH
            .iter()
            .for_each(|x| assert_eq!(written(x), x.name()));
    }

    #[test]
    fn other_names_are_refused_with_the_known_ones() {
        let error = "sgd".parse::<Method>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown method `sgd`, expected one of: float, ste, stompp, stompp-ste"
        );
        assert!("STE".parse::<Method>().is_err(), "names are exact");
    }
}
