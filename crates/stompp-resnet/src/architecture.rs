//! A network's layers and sizes, before anything is allocated.

use crate::Model;

/// How the network begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stem {
    /// 3x3 convolution, stride 1: images up to 64 pixels.
    Cifar,
    /// 7x7 convolution, stride 2, then a 3x3 maximum of stride 2.
    ImageNet,
}

/// One convolution without bias, square images and kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Name, such as `layer1.0.conv1`.
    pub name: String,
    /// Channels that enter.
    pub inputs: usize,
    /// Channels that leave.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Side of the input.
    pub in_size: usize,
    /// Side of the output.
    pub out_size: usize,
}

impl ConvSpec {
    fn new(name: String, inputs: usize, outputs: usize, kernel: usize, stride: usize, in_size: usize) -> Self {
        let padding = kernel / 2;
        let out_size = (in_size + 2 * padding - kernel) / stride + 1;
        Self {
            name,
            inputs,
            outputs,
            kernel,
            stride,
            padding,
            in_size,
            out_size,
        }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }

    /// Multiply-accumulates for one image.
    pub fn macs(&self) -> usize {
        self.weights() * self.out_size * self.out_size
    }

    /// Entries of one input image.
    pub fn input_entries(&self) -> usize {
        self.inputs * self.in_size * self.in_size
    }
}

/// One residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSpec {
    /// Name, such as `layer1.0`.
    pub name: String,
    /// The binary convolutions, in order: two in a basic block, three in a bottleneck.
    pub convs: Vec<ConvSpec>,
    /// The full-precision 1x1 convolution of the shortcut, where the shape changes.
    pub shortcut: Option<ConvSpec>,
}

/// Everything that fixes a network's layers and sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    stages: Vec<usize>,
    expansion: usize,
    width: usize,
    classes: usize,
    image_size: usize,
    stem: Stem,
}

/// No such network can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A size is outside what is accepted.
    #[error("{what} is {value}: expected {expected}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What was given.
        value: usize,
        /// What is accepted.
        expected: &'static str,
    },
}

impl Architecture {
    /// `model` for `classes` classes and square RGB images of `image_size` pixels, `width` channels in the first stage.
    ///
    /// `None` is the model's usual width. The stem follows the image size: CIFAR's up to 64 pixels, ImageNet's above.
    ///
    /// # Errors
    /// If a size is 0, or so large that the network could not be meant.
    pub fn new(
        model: Model,
        width: Option<usize>,
        classes: usize,
        image_size: usize,
    ) -> Result<Self, ArchitectureError> {
        let width = width.unwrap_or_else(|| model.default_width());
        Self::checked(model.stages(), model.expansion(), width, classes, image_size)
    }

    /// A network of your own: so many basic blocks in each stage; each stage has twice the channels of the one before and,
    /// but for the first, half its image size.
    ///
    /// # Errors
    /// As [`Architecture::new`].
    pub fn with_stages(
        stages: Vec<usize>,
        width: usize,
        classes: usize,
        image_size: usize,
    ) -> Result<Self, ArchitectureError> {
        Self::checked(stages, 1, width, classes, image_size)
    }

    fn checked(
        stages: Vec<usize>,
        expansion: usize,
        width: usize,
        classes: usize,
        image_size: usize,
    ) -> Result<Self, ArchitectureError> {
        let within = |what, value, range: std::ops::RangeInclusive<usize>, expected| {
            if range.contains(&value) {
                Ok(())
            } else {
                Err(ArchitectureError::Size { what, value, expected })
            }
        };
        within("number of stages", stages.len(), 1..=6, "1 to 6")?;
        for &blocks in &stages {
            within("number of blocks in a stage", blocks, 1..=1000, "1 to 1000")?;
        }
        within("width", width, 1..=4096, "1 to 4096 channels")?;
        within("number of classes", classes, 2..=100_000, "2 to 100000")?;
        within("image size", image_size, 4..=4096, "4 to 4096 pixels")?;
        let stem = if image_size <= 64 { Stem::Cifar } else { Stem::ImageNet };
        Ok(Self {
            stages,
            expansion,
            width,
            classes,
            image_size,
            stem,
        })
    }

    /// Channels of the first stage.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Side of the images.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// How the network begins.
    pub fn stem(&self) -> Stem {
        self.stem
    }

    /// The first convolution, full precision.
    pub fn stem_conv(&self) -> ConvSpec {
        let (kernel, stride) = match self.stem {
            Stem::Cifar => (3, 1),
            Stem::ImageNet => (7, 2),
        };
        ConvSpec::new("conv1".to_owned(), 3, self.width, kernel, stride, self.image_size)
    }

    /// Side of what enters the first block.
    pub fn stem_size(&self) -> usize {
        let size = self.stem_conv().out_size;
        match self.stem {
            Stem::Cifar => size,
            Stem::ImageNet => size.div_ceil(2), // 3x3 maximum, stride 2, padding 1
        }
    }

    /// The residual blocks, from input to output.
    pub fn blocks(&self) -> Vec<BlockSpec> {
        let (mut channels, mut size) = (self.width, self.stem_size());
        let mut blocks = Vec::new();
        for (stage, count) in self.stages.iter().enumerate() {
            let inner = self.width << stage;
            for index in 0..*count {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let block = block(name, channels, inner, inner * self.expansion, stride, size);
                size = block.convs.last().expect("a block has convolutions").out_size;
                channels = inner * self.expansion;
                blocks.push(block);
            }
        }
        blocks
    }

    /// Entries of one image behind the last block.
    pub fn final_entries(&self) -> usize {
        let halvings = self.stages.len() - 1;
        let size = (0..halvings).fold(self.stem_size(), |size, _| size.div_ceil(2));
        self.features() * size * size
    }

    /// Channels that enter the head.
    pub fn features(&self) -> usize {
        (self.width << (self.stages.len() - 1)) * self.expansion
    }
}

/// A basic block where the inner channels are those that leave, else a bottleneck.
fn block(name: String, inputs: usize, inner: usize, outputs: usize, stride: usize, size: usize) -> BlockSpec {
    let conv = |index: usize, inputs, outputs, kernel, stride, size| {
        ConvSpec::new(format!("{name}.conv{index}"), inputs, outputs, kernel, stride, size)
    };
    let convs = if inner == outputs {
        let first = conv(1, inputs, inner, 3, stride, size);
        let second = conv(2, inner, outputs, 3, 1, first.out_size);
        vec![first, second]
    } else {
        let first = conv(1, inputs, inner, 1, 1, size);
        let second = conv(2, inner, inner, 3, stride, size);
        let third = conv(3, inner, outputs, 1, 1, second.out_size);
        vec![first, second, third]
    };
    let shortcut = (stride != 1 || inputs != outputs)
        .then(|| ConvSpec::new(format!("{name}.downsample.0"), inputs, outputs, 1, stride, size));
    BlockSpec { name, convs, shortcut }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn architecture(model: &str, image_size: usize) -> Architecture {
        Architecture::new(model.parse().unwrap(), None, 10, image_size).unwrap()
    }

    #[test]
    fn sizes_are_torchvisions() {
        let imagenet = architecture("resnet50", 224);
        assert_eq!(imagenet.stem(), Stem::ImageNet);
        assert_eq!(imagenet.stem_size(), 56);
        assert_eq!(imagenet.features(), 2048);
        let blocks = imagenet.blocks();
        assert_eq!(blocks.len(), 16);
        assert_eq!(
            blocks[0].shortcut.as_ref().map(|s| (s.inputs, s.outputs, s.stride)),
            Some((64, 256, 1))
        );
        assert_eq!(blocks[1].shortcut, None);
        let last = blocks.last().unwrap().convs.last().unwrap();
        assert_eq!(
            (last.inputs, last.outputs, last.kernel, last.out_size),
            (512, 2048, 1, 7)
        );
        assert_eq!(
            blocks[3].convs[1].stride, 2,
            "the 3x3 convolution carries a bottleneck's stride"
        );

        let cifar = architecture("resnet20", 32);
        assert_eq!((cifar.stem(), cifar.width(), cifar.features()), (Stem::Cifar, 16, 64));
        assert_eq!(cifar.blocks().last().unwrap().convs[1].out_size, 8);
    }

    #[test]
    fn odd_sizes_round_up_as_convolutions_do() {
        let blocks = architecture("resnet8", 15).blocks();
        let sizes: Vec<_> = blocks.iter().map(|b| b.convs[1].out_size).collect();
        assert_eq!(sizes, [15, 8, 4]);
        assert_eq!(architecture("resnet8", 15).final_entries(), 64 * 4 * 4);
        assert_eq!(
            blocks[1].shortcut.as_ref().unwrap().out_size,
            8,
            "both paths end at the same size"
        );
    }

    #[test]
    fn sizes_that_cannot_be_meant_are_refused() {
        for (width, classes, image_size) in [(Some(0), 10, 32), (Some(5000), 10, 32), (None, 1, 32), (None, 10, 3)] {
            let error = Architecture::new(Model::ResNet18, width, classes, image_size).unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }
}
