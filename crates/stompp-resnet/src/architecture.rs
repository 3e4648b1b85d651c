//! The sizes of a residual network, and its graph.

use crate::{Model, block::Block, model::Shortcuts};
use stompp_graph::{Conv, Graph, GraphBuilder, GraphError, NodeId, Pool};

/// The first layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stem {
    /// 3x3 convolution, stride 1, for images up to 64 pixels.
    Cifar,
    /// 7x7 convolution, stride 2, then a 3x3 maximum pool of stride 2.
    ImageNet,
}

/// The layers and sizes of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    stages: Vec<usize>,
    expansion: usize,
    shortcuts: Shortcuts,
    width: usize,
    classes: usize,
    image_size: usize,
    stem: Stem,
}

/// A network cannot be built from these sizes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A size is out of range.
    #[error("{what} is {value}: expected {expected}")]
    Size {
        /// Which size.
        what: &'static str,
        /// The given value.
        value: usize,
        /// The accepted values.
        expected: &'static str,
    },
    /// Each size is in range, but together they are too large.
    #[error(transparent)]
    Graph(Box<GraphError>),
}

impl Architecture {
    /// Creates `model` for `classes` classes and square RGB images with sides of `image_size` pixels.
    ///
    /// `width` is the number of channels in the first stage; `None` means the model's usual width. Images up to 64 pixels get
    /// [`Stem::Cifar`], larger ones [`Stem::ImageNet`].
    ///
    /// # Errors
    /// Returns an [`ArchitectureError`] if a size is out of range, or if the network would be too large.
    pub fn new(
        model: Model,
        width: Option<usize>,
        classes: usize,
        image_size: usize,
    ) -> Result<Self, ArchitectureError> {
        Self {
            stages: model.stages(),
            expansion: model.expansion(),
            shortcuts: model.shortcuts(),
            width: width.unwrap_or_else(|| model.default_width()),
            classes,
            image_size,
            stem: stem(image_size),
        }
        .checked()
    }

    /// Creates a network of your own: `stages` has the number of basic blocks of each stage. Each stage after the first has twice the
    /// channels and half the image size of the one before.
    ///
    /// # Errors
    /// Returns an [`ArchitectureError`] if a size is out of range, or if the network would be too large.
    pub fn with_stages(
        stages: Vec<usize>,
        width: usize,
        classes: usize,
        image_size: usize,
    ) -> Result<Self, ArchitectureError> {
        Self {
            stages,
            expansion: 1,
            shortcuts: Shortcuts::Block,
            width,
            classes,
            image_size,
            stem: stem(image_size),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, ArchitectureError> {
        let within = |what, value, range: std::ops::RangeInclusive<usize>, expected| {
            if range.contains(&value) {
                Ok(())
            } else {
                Err(ArchitectureError::Size { what, value, expected })
            }
        };
        within("number of stages", self.stages.len(), 1..=6, "1 to 6")?;
        for &blocks in &self.stages {
            within("number of blocks in a stage", blocks, 1..=1000, "1 to 1000")?;
        }
        within("width", self.width, 1..=4096, "1 to 4096 channels")?;
        within("number of classes", self.classes, 2..=100_000, "2 to 100000")?;
        within("image size", self.image_size, 4..=4096, "4 to 4096 pixels")?;
        self.build()
            .map_err(|error| ArchitectureError::Graph(Box::new(error)))?;
        Ok(self)
    }

    /// Channels of the first stage.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Side of the images in pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// The first layers.
    pub fn stem(&self) -> Stem {
        self.stem
    }

    /// Builds the graph of the network.
    pub fn graph(&self) -> Graph {
        self.build().expect("the constructor has checked it")
    }

    fn build(&self) -> Result<Graph, GraphError> {
        let mut g = GraphBuilder::new([3, self.image_size, self.image_size]);
        let mut x = self.add_stem(&mut g)?;
        for (stage, count) in self.stages.iter().enumerate() {
            let inner = self.width << stage;
            for index in 0..*count {
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let block = if self.expansion == 1 {
                    Block::basic(name, inner, stride)
                } else {
                    Block::bottleneck(name, inner, inner * self.expansion, stride)
                };
                x = match self.shortcuts {
                    Shortcuts::Block => block.residual(&mut g, x)?,
                    Shortcuts::Convolution => block.bi_real(&mut g, x)?,
                };
            }
        }
        // A Bi-Real network averages real values: it has no activation here.
        if self.shortcuts == Shortcuts::Block {
            x = g.activation("act", x)?;
        }
        let x = g.global_average_pool("avgpool", x)?;
        let logits = g.linear("fc", x, self.classes)?;
        g.finish(logits)
    }

    /// Adds the stem, up to the first block's activation.
    ///
    /// The maximum pool of ImageNet's stem comes before the activation; in torchvision the activation comes first. Both are monotone,
    /// so the committed network computes the same, and the mask covers only a quarter of the entries (*ours*).
    fn add_stem(&self, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let conv = match self.stem {
            Stem::Cifar => Conv::k3(self.width),
            Stem::ImageNet => Conv::new(self.width, 7).with_stride(2),
        };
        let x = g.conv("conv1", g.input(), conv)?;
        let x = g.batch_norm("bn1", x)?;
        match self.stem {
            Stem::Cifar => Ok(x),
            Stem::ImageNet => g.max_pool("maxpool", x, Pool::new(3).with_stride(2).with_padding(1)),
        }
    }
}

fn stem(image_size: usize) -> Stem {
    if image_size <= 64 { Stem::Cifar } else { Stem::ImageNet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_graph::Op;

    fn graph(model: &str, image_size: usize) -> Graph {
        Architecture::new(model.parse().unwrap(), None, 10, image_size)
            .unwrap()
            .graph()
    }

    /// The shape of a node.
    fn shape(graph: &Graph, name: &str) -> [usize; 3] {
        graph.node(graph.find(name).expect(name)).shape
    }

    fn stride(graph: &Graph, name: &str) -> usize {
        match graph.node(graph.find(name).expect(name)).op {
            Op::Conv(conv) | Op::BinaryConv(conv) => conv.stride,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn sizes_are_torchvisions() {
        let imagenet = graph("resnet50", 224);
        assert_eq!(shape(&imagenet, "maxpool"), [64, 56, 56]);
        assert_eq!(shape(&imagenet, "avgpool"), [2048, 1, 1]);
        assert_eq!(imagenet.units().len(), 48);
        assert_eq!(shape(&imagenet, "layer1.0.downsample.0"), [256, 56, 56]);
        assert_eq!(imagenet.find("layer1.1.downsample.0"), None);
        assert_eq!(shape(&imagenet, "layer4.2.conv3"), [2048, 7, 7]);
        assert_eq!(stride(&imagenet, "layer2.0.conv1"), 1);
        assert_eq!(
            stride(&imagenet, "layer2.0.conv2"),
            2,
            "the 3x3 convolution carries a bottleneck's stride"
        );

        let cifar = graph("resnet20", 32);
        assert_eq!(shape(&cifar, "conv1"), [16, 32, 32]);
        assert_eq!(shape(&cifar, "layer3.2.conv2"), [64, 8, 8]);
    }

    #[test]
    fn odd_sizes_round_up_as_convolutions_do() {
        let graph = graph("resnet8", 15);
        let sizes = ["layer1.0.add", "layer2.0.add", "layer3.0.add"].map(|name| shape(&graph, name)[1]);
        assert_eq!(sizes, [15, 8, 4]);
        assert_eq!(
            shape(&graph, "layer2.0.downsample.0")[1],
            8,
            "both paths end at the same size"
        );
    }

    /// A shortcut around each convolution, and real values between blocks.
    #[test]
    fn a_bi_real_network_adds_after_every_convolution() {
        let graph = graph("bireal18", 32);
        let count = |op: fn(&Op) -> bool| graph.nodes().iter().filter(|node| op(&node.op)).count();
        assert_eq!(count(|op| *op == Op::Add), 16);
        assert_eq!(
            count(|op| *op == Op::Activation),
            16,
            "none in front of the average pool"
        );
        assert_eq!(count(|op| matches!(op, Op::BinaryConv(_))), 16);
        assert!(graph.head_activations().is_empty());
        let add = graph.node(graph.find("layer1.0.add2").unwrap());
        assert_eq!(add.inputs[1], graph.find("layer1.0.add1").unwrap());
        // Tensors have the names and sizes of the network without Bi-Real's shortcuts.
        let plain = Architecture::new(Model::ResNet18, None, 10, 32).unwrap().graph();
        let names = |graph: &Graph| {
            let tensors = graph.tensors().into_iter();
            tensors
                .map(|t| (t.name, t.shape))
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names(&graph), names(&plain));
    }

    #[test]
    fn sizes_that_cannot_be_meant_are_refused() {
        for (width, classes, image_size) in [(Some(0), 10, 32), (Some(5000), 10, 32), (None, 1, 32), (None, 10, 3)] {
            let error = Architecture::new(Model::ResNet18, width, classes, image_size).unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
        let error = Architecture::new(Model::ResNet50, Some(4096), 10, 4096).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
