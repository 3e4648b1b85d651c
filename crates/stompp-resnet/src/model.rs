//! Names of networks.

use std::{fmt, str::FromStr};

/// Which ResNet.
///
/// `resnet18`, `resnet34` and `resnet50` are torchvision's. Every other depth 6n+2 (`resnet8`, `resnet20`, `resnet32`, ...) is
/// of the CIFAR family of He et al. 2016: three stages of n basic blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// Basic blocks 2-2-2-2.
    ResNet18,
    /// Basic blocks 3-4-6-3.
    ResNet34,
    /// Bottleneck blocks 3-4-6-3. (50 is also 6n+2; the name means torchvision's.)
    ResNet50,
    /// Three stages of this many basic blocks.
    Cifar {
        /// n in depth 6n+2, at least 1.
        blocks: usize,
    },
}

/// Deepest network of the CIFAR family that is accepted: He et al.'s own deepest, ResNet-1202.
const MAX_DEPTH: usize = 1202;

impl Model {
    /// Number of weighted layers on the longest path.
    pub fn depth(self) -> usize {
        match self {
            Self::ResNet18 => 18,
            Self::ResNet34 => 34,
            Self::ResNet50 => 50,
            Self::Cifar { blocks } => 6 * blocks + 2,
        }
    }

    /// Channels of the first stage that the literature uses: 64, or 16 for the CIFAR family.
    pub fn default_width(self) -> usize {
        match self {
            Self::Cifar { .. } => 16,
            _ => 64,
        }
    }

    /// Blocks in each stage.
    pub fn stages(self) -> Vec<usize> {
        match self {
            Self::ResNet18 => vec![2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => vec![3, 4, 6, 3],
            Self::Cifar { blocks } => vec![blocks; 3],
        }
    }

    /// Channels that leave a block, as a multiple of its stage's.
    pub fn expansion(self) -> usize {
        if self == Self::ResNet50 { 4 } else { 1 }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resnet{}", self.depth())
    }
}

/// There is no network of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown model `{0}`: expected resnet18, resnet34, resnet50 or resnetN with N = 6n+2 (8, 14, 20, 26, 32, ...)")]
pub struct UnknownModel(String);

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let unknown = || UnknownModel(name.to_owned());
        let digits = name.strip_prefix("resnet").ok_or_else(unknown)?;
        match digits.parse::<usize>().map_err(|_| unknown())? {
            18 => Ok(Self::ResNet18),
            34 => Ok(Self::ResNet34),
            50 => Ok(Self::ResNet50),
            depth if (8..=MAX_DEPTH).contains(&depth) && (depth - 2) % 6 == 0 => Ok(Self::Cifar {
                blocks: (depth - 2) / 6,
            }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_print() {
        for name in [
            "resnet8",
            "resnet18",
            "resnet20",
            "resnet32",
            "resnet34",
            "resnet50",
            "resnet56",
            "resnet1202",
        ] {
            assert_eq!(name.parse::<Model>().expect(name).to_string(), name);
        }
        assert_eq!("resnet20".parse(), Ok(Model::Cifar { blocks: 3 }));
        assert_eq!("resnet50".parse(), Ok(Model::ResNet50));
    }

    #[test]
    fn other_names_are_refused_by_name() {
        for name in [
            "",
            "resnet",
            "resnet0",
            "resnet2",
            "resnet9",
            "resnet-8",
            "vgg16",
            "resnet99999999999999999999",
            "resnet1208",
        ] {
            let error = name.parse::<Model>().expect_err(name);
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    }
}
