//! Residual networks by name.

use std::{fmt, str::FromStr};

/// A residual network.
///
/// `resnet18`, `resnet34` and `resnet50` are torchvision's. Every other depth 6n+2 (`resnet8`, `resnet20`, `resnet32`, ...)
/// belongs to the CIFAR family of He et al. 2016: three stages of n basic blocks. `bireal18`, `bireal34` and `birealN` have the
/// same layers, with a shortcut around every convolution (Bi-Real Net, Liu et al. 2018). Where the shape changes, their shortcut is
/// torchvision's strided 1x1 convolution (*ours*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// Basic blocks 2-2-2-2.
    ResNet18,
    /// Basic blocks 3-4-6-3.
    ResNet34,
    /// Bottleneck blocks 3-4-6-3. (50 is also 6n+2; the name means torchvision's.)
    ResNet50,
    /// Three stages of `blocks` basic blocks each.
    Cifar {
        /// n in depth 6n+2, at least 1.
        blocks: usize,
    },
    /// ResNet-18 with Bi-Real shortcuts.
    BiReal18,
    /// ResNet-34 with Bi-Real shortcuts.
    BiReal34,
    /// The CIFAR family with Bi-Real shortcuts.
    BiRealCifar {
        /// n in depth 6n+2, at least 1.
        blocks: usize,
    },
}

/// What a shortcut skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shortcuts {
    /// A whole block.
    Block,
    /// Each convolution.
    Convolution,
}

/// Largest accepted depth of the CIFAR family: ResNet-1202, the deepest of He et al.
const MAX_DEPTH: usize = 1202;

impl Model {
    /// Number of weighted layers on the longest path.
    pub fn depth(self) -> usize {
        match self {
            Self::ResNet18 | Self::BiReal18 => 18,
            Self::ResNet34 | Self::BiReal34 => 34,
            Self::ResNet50 => 50,
            Self::Cifar { blocks } | Self::BiRealCifar { blocks } => 6 * blocks + 2,
        }
    }

    /// Returns whether a shortcut skips each convolution, as in Bi-Real Net.
    pub fn is_bi_real(self) -> bool {
        self.shortcuts() == Shortcuts::Convolution
    }

    /// Channels of the first stage that the literature uses: 64, or 16 for the CIFAR family.
    pub fn default_width(self) -> usize {
        match self {
            Self::Cifar { .. } | Self::BiRealCifar { .. } => 16,
            _ => 64,
        }
    }

    /// Blocks in each stage.
    pub fn stages(self) -> Vec<usize> {
        match self {
            Self::ResNet18 | Self::BiReal18 => vec![2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 | Self::BiReal34 => vec![3, 4, 6, 3],
            Self::Cifar { blocks } | Self::BiRealCifar { blocks } => vec![blocks; 3],
        }
    }

    /// Output channels of a block, as a multiple of its stage's channels.
    pub fn expansion(self) -> usize {
        if self == Self::ResNet50 { 4 } else { 1 }
    }

    /// What a shortcut skips.
    pub(crate) fn shortcuts(self) -> Shortcuts {
        match self {
            Self::ResNet18 | Self::ResNet34 | Self::ResNet50 | Self::Cifar { .. } => Shortcuts::Block,
            Self::BiReal18 | Self::BiReal34 | Self::BiRealCifar { .. } => Shortcuts::Convolution,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.shortcuts() {
            Shortcuts::Block => "resnet",
            Shortcuts::Convolution => "bireal",
        };
        write!(f, "{family}{}", self.depth())
    }
}

/// There is no network with this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown model `{0}`: expected resnet18, resnet34, resnet50, bireal18, bireal34, or resnetN or birealN with N = 6n+2 (8, 14, 20, \
     26, 32, ...)"
)]
pub struct UnknownModel(String);

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let unknown = || UnknownModel(name.to_owned());
        let (shortcuts, digits) = match (name.strip_prefix("resnet"), name.strip_prefix("bireal")) {
            (Some(digits), _) => (Shortcuts::Block, digits),
            (None, Some(digits)) => (Shortcuts::Convolution, digits),
            (None, None) => return Err(unknown()),
        };
        let depth = digits.parse::<usize>().map_err(|_| unknown())?;
        let blocks = depth.saturating_sub(2) / 6;
        let cifar = (8..=MAX_DEPTH).contains(&depth) && (depth - 2) % 6 == 0;
        match (shortcuts, depth) {
            (Shortcuts::Block, 18) => Ok(Self::ResNet18),
            (Shortcuts::Block, 34) => Ok(Self::ResNet34),
            (Shortcuts::Block, 50) => Ok(Self::ResNet50),
            (Shortcuts::Convolution, 18) => Ok(Self::BiReal18),
            (Shortcuts::Convolution, 34) => Ok(Self::BiReal34),
            (Shortcuts::Block, _) if cifar => Ok(Self::Cifar { blocks }),
            (Shortcuts::Convolution, _) if cifar => Ok(Self::BiRealCifar { blocks }),
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
            "bireal18",
            "bireal34",
            "bireal20",
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
            "bireal",
            "bireal19",
            "resnet99999999999999999999",
            "resnet1208",
        ] {
            let error = name.parse::<Model>().expect_err(name);
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    }
}
