//! One residual block.

use stompp_graph::{Conv, GraphBuilder, GraphError, NodeId};

/// The sizes of one block. Its nodes are named `{name}.conv1`, `{name}.bn1` and so on.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Name, such as `layer1.0`.
    pub(crate) name: String,
    /// The binary convolutions, in order.
    pub(crate) convs: Vec<Conv>,
    /// Stride of the whole block.
    pub(crate) stride: usize,
}

impl Block {
    /// Two 3x3 convolutions.
    pub(crate) fn basic(name: String, channels: usize, stride: usize) -> Self {
        let convs = vec![Conv::k3(channels).with_stride(stride), Conv::k3(channels)];
        Self { name, convs, stride }
    }

    /// 1x1, 3x3 and 1x1 convolutions. The 3x3 convolution has the stride, as in torchvision.
    pub(crate) fn bottleneck(name: String, inner: usize, outputs: usize, stride: usize) -> Self {
        let convs = vec![Conv::k1(inner), Conv::k3(inner).with_stride(stride), Conv::k1(outputs)];
        Self { name, convs, stride }
    }

    /// Adds `norm(conv(activation(...)))` for each convolution, plus the shortcut, which reads the first activation.
    ///
    /// torchvision has an activation at the end of a block. Here it is at the beginning of the next block, where it feeds a
    /// convolution.
    pub(crate) fn residual(&self, g: &mut GraphBuilder, x: NodeId) -> Result<NodeId, GraphError> {
        let input = g.activation(&self.node("act1"), x)?;
        let mut y = input;
        for (index, conv) in self.convs.iter().enumerate() {
            if index > 0 {
                y = g.activation(&self.node(&format!("act{}", index + 1)), y)?;
            }
            y = self.conv(g, index, *conv, y)?;
        }
        let shortcut = self.shortcut(g, input, y)?;
        g.add(&self.node("add"), y, shortcut)
    }

    /// Adds a block with a shortcut around every convolution. The shortcut reads the input of the activation (Bi-Real Net, Liu et al.
    /// 2018).
    pub(crate) fn bi_real(&self, g: &mut GraphBuilder, x: NodeId) -> Result<NodeId, GraphError> {
        let mut x = x;
        for (index, conv) in self.convs.iter().enumerate() {
            let number = index + 1;
            let a = g.activation(&self.node(&format!("act{number}")), x)?;
            let y = self.conv(g, index, *conv, a)?;
            let shortcut = self.shortcut(g, x, y)?;
            x = g.add(&self.node(&format!("add{number}")), y, shortcut)?;
        }
        Ok(x)
    }

    fn conv(&self, g: &mut GraphBuilder, index: usize, conv: Conv, x: NodeId) -> Result<NodeId, GraphError> {
        let number = index + 1;
        let y = g.binary_conv(&self.node(&format!("conv{number}")), x, conv)?;
        g.batch_norm(&self.node(&format!("bn{number}")), y)
    }

    /// Returns `x` if it has the shape of `y`. Otherwise adds a 1x1 convolution and a batch norm that give it this shape.
    fn shortcut(&self, g: &mut GraphBuilder, x: NodeId, y: NodeId) -> Result<NodeId, GraphError> {
        if g.shape(x) == g.shape(y) {
            return Ok(x);
        }
        let [channels, ..] = g.shape(y);
        let shortcut = Conv::k1(channels).with_stride(self.stride);
        let x = g.conv(&self.node("downsample.0"), x, shortcut)?;
        g.batch_norm(&self.node("downsample.1"), x)
    }

    fn node(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }
}
