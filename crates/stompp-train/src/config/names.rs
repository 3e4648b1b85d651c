//! The choices of a configuration that no other crate owns, each with the name that it is written by.

use stompp_schedule::UnknownName;

/// An enum whose variants have names: `FromStr` reads, `Display` writes and serde uses them, so that each stands once.
macro_rules! named {
    ($(#[$meta:meta])* $kind:literal $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in configurations and results.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;

            fn from_str(given: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|choice| choice.name() == given).ok_or_else(|| UnknownName {
                    kind: $kind,
                    given: given.to_owned(),
                    known: Self::ALL.iter().map(|choice| choice.name()).collect(),
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                super::text::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::text::deserialize(deserializer)
            }
        }
    };
}

named! {
    /// Which images.
    "data set" Dataset {
        /// 10 classes, generated in code (`stompp-data`): needs no files.
        Synthetic10 = "synthetic10",
        /// 100 classes, generated in code: needs no files.
        Synthetic100 = "synthetic100",
        /// CIFAR-10, binary version.
        Cifar10 = "cifar10",
        /// CIFAR-100 with its fine labels, binary version.
        Cifar100 = "cifar100",
        /// CIFAR-100 with its 20 coarse labels, binary version.
        Cifar100Coarse = "cifar100-coarse",
        /// MNIST: its four idx files, gzipped or not.
        Mnist = "mnist",
        /// Fashion-MNIST, likewise.
        FashionMnist = "fashion-mnist",
        /// Image files by class, as ImageNet comes: `train/CLASS/NAME.jpeg`, `val/CLASS/NAME.jpeg`.
        Folder = "folder",
    }
}

named! {
    /// What computes.
    "device" Device {
        /// The processor.
        Cpu = "cpu",
        /// The first NVIDIA GPU that the process sees. Only in builds with the feature `cuda`.
        Cuda = "cuda",
    }
}

named! {
    /// What of the network becomes binary (*paper*).
    "setting" Setting {
        /// Weights and activations.
        Bnn = "bnn",
        /// Weights only.
        Bwn = "bwn",
    }
}

named! {
    /// How a network becomes binary.
    "method" Method {
        /// Not at all: nothing freezes, weights and activations are clipped. An upper bound.
        Float = "float",
        /// Everything binary from the first step, with straight-through gradients: the baseline.
        Ste = "ste",
        /// Layerwise progressive freezing; no gradient through frozen entries.
        Stompp = "stompp",
        /// Layerwise progressive freezing with straight-through gradients through frozen entries.
        StomppSte = "stompp-ste",
    }
}

named! {
    /// What moves the parameters.
    "optimizer" OptimizerName {
        /// Stochastic gradient descent with momentum (*paper*).
        Sgd = "sgd",
        /// Adam with PyTorch's defaults; `training.momentum` is its first beta.
        Adam = "adam",
    }
}

named! {
    /// How the learning rate changes after its warm-up.
    "learning-rate schedule" RateSchedule {
        /// Not at all (*paper*).
        Constant = "constant",
        /// It falls to 0 along half a cosine.
        Cosine = "cosine",
        /// It is divided by 10 after half and again after three quarters of the training.
        Step = "step",
    }
}

impl Dataset {
    /// Whether the images are generated instead of read.
    pub fn is_synthetic(self) -> bool {
        matches!(self, Self::Synthetic10 | Self::Synthetic100)
    }

    /// Number of classes; `None` if only the files tell.
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
    pub fn freezes(self) -> bool {
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

    /// Choices that other crates own are written by serde, and listed by `name`.
    #[test]
    fn names_of_other_crates_are_those_that_are_written() {
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
