//! Two-dimensional convolution (cross-correlation, as usual in deep learning) and its two gradients.
//!
//! The input is `(batch, in_channels, in_height, in_width)`, the weight `(out_channels, in_channels, kernel, kernel)` and the output
//! `(batch, out_channels, out_height, out_width)`. Padding is zero. There is no bias.
//!
//! 3x3 convolutions of stride 1 with enough channels use Winograd's minimal filtering in all three passes (`is_suitable` in module
//! `winograd`). All others use the matrix product of module `panel`: images are copied once into planes that include the padding (without
//! padding nothing is copied), and patches are read from the planes through tables of offsets. 1x1 convolutions first leave out the pixels
//! that their stride skips, and copy the channels of a pixel together.
//!
//! A library's matrix product would need the patch matrix. GFLOP/s of the forward pass, 3x3, stride 1, without Winograd, on one thread of
//! an Intel Xeon with AVX-512 (2026-11-23, best of 7), compared with the `gemm` crate 0.19 (AVX2). The time of `gemm` does not include
//! the patch matrix; ours includes packing and all copies:
//!
//! | channels@side, batch | here, AVX-512 | here, AVX2 | `gemm` alone |
//! |---|---|---|---|
//! | 16@32, 32 | 126 | 93 | 60 |
//! | 64@32, 8 | 185 | 118 | 82 |
//! | 128@16, 8 | 195 | 118 | 96 |
//! | 256@8, 8 | 183 | 113 | 102 |
//! | 512@4, 8 | 144 | 98 | 109 |

mod backward_input;
mod backward_weight;
mod forward;
mod gather;
mod planes;
mod winograd;

use crate::parallel::{PIECE, for_each_piece_of};
use crate::scratch::Scratch;

pub use backward_input::conv2d_backward_input;
pub use backward_weight::{conv2d_backward_weight, conv2d_backward_weight_in_slices};
pub use forward::conv2d_forward;

/// The sizes of a square-kernel convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step between neighbouring patches, in both directions.
    pub stride: usize,
    /// Rows and columns of zeros on each of the four sides of the input.
    pub padding: usize,
}

impl ConvShape {
    /// Returns the rows of the output: `(in_height + 2 padding - kernel) / stride + 1`.
    ///
    /// # Panics
    ///
    /// Panics if the kernel or the stride is 0, or the kernel is larger than the padded input.
    pub fn out_height(&self) -> usize {
        self.out_extent(self.in_height)
    }

    /// Returns the columns of the output, see [`ConvShape::out_height`].
    ///
    /// # Panics
    ///
    /// Panics as [`ConvShape::out_height`] does.
    pub fn out_width(&self) -> usize {
        self.out_extent(self.in_width)
    }

    fn out_extent(&self, extent: usize) -> usize {
        let padded = extent + 2 * self.padding;
        assert!(
            self.kernel >= 1 && self.stride >= 1 && self.kernel <= padded,
            "a kernel of {} with stride {} does not fit an input of {extent} padded to {padded}",
            self.kernel,
            self.stride,
        );
        (padded - self.kernel) / self.stride + 1
    }

    /// Returns the number of elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.in_height * self.in_width
    }

    /// Returns the number of elements of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Returns the number of elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_pixels()
    }

    /// Returns the multiply-accumulates of a forward pass over the whole batch, including those with padding.
    pub fn macs(&self) -> u64 {
        (self.batch * self.out_pixels()) as u64 * self.weight_len() as u64
    }

    fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn in_pixels(&self) -> usize {
        self.in_height * self.in_width
    }

    /// Entries of a patch.
    fn patch(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// Lists the channel, row and column of each entry of a patch with `channels` channels, in order.
    fn taps(&self, channels: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let kernel = self.kernel;
        (0..channels).flat_map(move |c| (0..kernel).flat_map(move |ky| (0..kernel).map(move |kx| (c, ky, kx))))
    }

    /// For a 1x1 kernel without padding and a stride above 1, which never reads most pixels: the shape and the input of the convolution of
    /// stride 1 with the same output. Channels are then next to each other in memory, which products need.
    fn without_unread_pixels(&self, x: &[f32]) -> Option<(Self, Scratch)> {
        if self.kernel != 1 || self.padding != 0 || self.stride == 1 {
            return None;
        }
        let s = Self {
            in_height: self.out_height(),
            in_width: self.out_width(),
            stride: 1,
            ..*self
        };
        let mut read = Scratch::new(s.input_len());
        let (plane, of_x) = (s.in_pixels(), self.in_pixels());
        for_each_piece_of((PIECE / plane).max(1) * plane, &mut read, |start, read| {
            for (to, from) in read.chunks_mut(plane).zip(x[start / plane * of_x..].chunks(of_x)) {
                let rows = to
                    .chunks_mut(s.in_width)
                    .zip(from.chunks(self.in_width).step_by(self.stride));
                rows.for_each(|(to, from)| {
                    let pixels = to.iter_mut().zip(from.iter().step_by(self.stride));
                    pixels.for_each(|(to, from)| *to = *from);
                });
            }
        });
        Some((s, read))
    }

    fn input(&self) -> ImageBatch {
        ImageBatch {
            channels: self.in_channels,
            plane: self.in_pixels(),
        }
    }

    fn output(&self) -> ImageBatch {
        ImageBatch {
            channels: self.out_channels,
            plane: self.out_pixels(),
        }
    }

    /// Whether each output pixel depends on a single input pixel, and planes are large enough that copying the channels of a pixel together
    /// is faster.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.padding == 0 && self.out_pixels() >= 32
    }

    /// Returns the number of images that are processed together: enough pixels to amortize reading the weights, and few enough to stay in
    /// the second-level cache.
    fn images_per_group(&self, pixels: usize) -> usize {
        const PIXELS: usize = 256;
        PIXELS.div_ceil(pixels.max(1)).clamp(1, self.batch.max(1))
    }
}

/// The shape of a tensor as a batch of images.
#[derive(Clone, Copy, Debug)]
struct ImageBatch {
    channels: usize,
    /// Elements of a plane.
    plane: usize,
}

impl ImageBatch {
    /// Elements of an image.
    fn len(self) -> usize {
        self.channels * self.plane
    }
}
