//! Convolution of signs on bits, with exclusive or and population count instead of multiplication and addition.
//!
//! The bit 0 is -1 and the bit 1 is +1. The dot product of two vectors of `n` signs that differ in `d` places is `n - 2 d`. Every result is
//! an integer, so it equals the result of the float convolution exactly, at all SIMD levels. This is true for patches of up to 2^24
//! entries, because `f32` cannot represent all larger integers.
//!
//! Zero padding is not a sign. It is stored as 0 bits, which count as -1. Their contribution, minus the sum of the weights at these
//! places, is added back.
//!
//! There are three methods of counting. The method is chosen when weights are packed: vectors of words if the processor has AVX-512
//! VPOPCNTDQ, table lookups with AVX2, and single words on all other machines.

mod border;
mod lookup;
mod pack;
mod planes;
mod popcount;

pub use pack::{BitTensor, BitWeights};

use rayon::prelude::*;

use crate::check;
use crate::conv::ConvShape;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::transpose::transpose;
use border::Border;
use pack::Panels;
use planes::BitLayout;

/// Computes the convolution `y = x * w` of signs. The result is exactly equal to [`conv2d_forward`](crate::conv2d_forward) on the same
/// values as floats, also with zero padding.
///
/// `x` is `(N, C, H, W)`, `w` is `(O, C, K, K)`, `y` is `(N, O, H', W')` and is overwritten. Uses the SIMD level at which `w` was packed.
///
/// # Panics
///
/// Panics if `x` and `w` differ in their input channels, the kernel does not fit the input ([`ConvShape::out_height`]), or the
/// length of `y` does not fit.
pub fn xnor_conv2d(stride: usize, padding: usize, x: &BitTensor, w: &BitWeights, y: &mut [f32]) {
    assert_eq!(x.channels(), w.in_channels(), "channels of `x` and of `w`");
    let s = ConvShape {
        batch: x.batch(),
        in_channels: x.channels(),
        in_height: x.height(),
        in_width: x.width(),
        out_channels: w.out_channels(),
        kernel: w.kernel(),
        stride,
        padding,
    };
    check::length("y", y.len(), s.output_len());
    if y.is_empty() {
        return;
    }
    let simd = Simd::current();
    let pixels = s.out_height() * s.out_width();
    let layout = BitLayout::new(&s);
    let border = Border::new(&s, w);
    y.par_chunks_mut(s.out_channels * pixels)
        .enumerate()
        .for_each(|(image, y)| {
            let planes = layout.stage(x, image);
            // Dot products as (pixel, channel), one panel of channels at a time.
            let width = w.panel_width();
            let mut sums = Scratch::new(pixels * width);
            let mut finish = |panel: usize, sums: &mut [f32]| {
                border.correct(panel * width, width, sums);
                let dst = &mut y[panel * width * pixels..];
                let columns = width.min(dst.len() / pixels);
                transpose(simd, [pixels, columns], (sums, width), (dst, pixels), false);
            };
            match w.panels() {
                Panels::Words(panels) => {
                    let planes = popcount::WordPlanes::new(&planes, &layout);
                    for (number, panel) in panels.iter().enumerate() {
                        panel.products(&planes, &mut sums);
                        finish(number, &mut sums);
                    }
                }
                Panels::Nibbles(panels) => {
                    let pairs = lookup::Pairs::new(&planes, &layout);
                    for (number, panel) in panels.iter().enumerate() {
                        panel.products(&pairs, &mut sums);
                        finish(number, &mut sums);
                    }
                }
            }
        });
}
