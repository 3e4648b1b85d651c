//! What a node computes.

use crate::graph::Shape;
use core::fmt;

/// The op of a node. Convolutions have no bias; images and kernels are NCHW.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The images.
    Input,
    /// A convolution whose weight stays in full precision.
    Conv(Conv),
    /// A convolution whose weight freezes to -1 and +1.
    BinaryConv(Conv),
    /// Batch normalization of each channel.
    BatchNorm,
    /// The network's activation function. An [`ActivationRule`] selects it when the network is built.
    Activation,
    /// `max(x, 0)`, independent of the [`ActivationRule`].
    Relu,
    /// `clip(x, -1, 1)`, independent of the [`ActivationRule`].
    Clip,
    /// The sum of two tensors of the same shape.
    Add,
    /// The maximum over windows. Padding counts as minus infinity.
    MaxPool(Pool),
    /// The mean over windows, without padding.
    AveragePool(Pool),
    /// The mean over height and width.
    GlobalAveragePool,
    /// A fully connected layer with bias. Its input is flattened.
    Linear {
        /// Number of outputs.
        outputs: usize,
    },
}

impl Op {
    /// The name in text forms and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv(_) => "conv",
            Self::BinaryConv(_) => "binary_conv",
            Self::BatchNorm => "batch_norm",
            Self::Activation => "activation",
            Self::Relu => "relu",
            Self::Clip => "clip",
            Self::Add => "add",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
            Self::GlobalAveragePool => "global_average_pool",
            Self::Linear { .. } => "linear",
        }
    }
}

/// The function that [`Op::Activation`] nodes compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "std",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum ActivationRule {
    /// The masked quantizer: weights and activations freeze (BNN, *paper*).
    Quantized,
    /// `max(x, 0)`: only weights freeze (BWN, *paper*).
    Relu,
    /// `clip(x, -1, 1)`: only weights freeze (BWN). The quantizer computes the same before anything freezes.
    Clip,
}

impl ActivationRule {
    /// The rules whose values stay continuous.
    pub const CONTINUOUS: [Self; 2] = [Self::Relu, Self::Clip];

    /// The name in configurations.
    // Written by hand: `strum` would not be shorter for three names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quantized => "quantized",
            Self::Relu => "relu",
            Self::Clip => "clip",
        }
    }
}

/// Sizes of a convolution with square kernels.
///
/// ```
/// use stompp_graph::Conv;
///
/// let conv = Conv::k3(64).with_stride(2);
/// assert_eq!((conv.outputs, conv.kernel, conv.stride, conv.padding), (64, 3, 2, 1));
/// assert_eq!(Conv::new(8, 5).with_padding(0).padding, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
}

impl Conv {
    /// A convolution with stride 1 and padding `kernel / 2`: an odd kernel keeps the image's size.
    pub const fn new(outputs: usize, kernel: usize) -> Self {
        Self {
            outputs,
            kernel,
            stride: 1,
            padding: kernel / 2,
        }
    }

    /// A convolution with a 3x3 kernel, stride 1 and padding 1.
    pub const fn k3(outputs: usize) -> Self {
        Self::new(outputs, 3)
    }

    /// A convolution with a 1x1 kernel, stride 1 and no padding.
    pub const fn k1(outputs: usize) -> Self {
        Self::new(outputs, 1)
    }

    /// Sets the stride.
    #[must_use]
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets the padding.
    #[must_use]
    pub const fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// The windows that the kernel slides over.
    pub(crate) const fn windows(self) -> Pool {
        Pool {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
        }
    }
}

/// Sizes of the windows of a pooling op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Side of a window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Entries around the input. At most half of the kernel, so that no window has only padding.
    pub padding: usize,
}

impl Pool {
    /// Windows of side `kernel` next to each other, without padding.
    pub const fn new(kernel: usize) -> Self {
        Self {
            kernel,
            stride: kernel,
            padding: 0,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets the padding.
    #[must_use]
    pub const fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Number of windows along a side of `size` entries; `None` if not even one fits.
    pub(crate) fn count(self, size: usize) -> Option<usize> {
        let free = (size + 2 * self.padding).checked_sub(self.kernel)?;
        Some(free / self.stride + 1)
    }
}

/// Displays a shape as `64x32x32`.
pub(crate) struct DisplayShape(pub(crate) Shape);

impl fmt::Display for DisplayShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, height, width] = self.0;
        write!(f, "{channels}x{height}x{width}")
    }
}
