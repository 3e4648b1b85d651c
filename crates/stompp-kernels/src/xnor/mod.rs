//! Convolution of signs: bits in, exclusive or and population count instead of multiplication and addition.
//!
//! A value of -1 is the bit 0, a value of +1 the bit 1. Two vectors of `n` signs that differ in `d` places have the dot
//! product `n - 2 d`. Every result is an integer, so it equals that of the float convolution exactly, and all SIMD
//! levels give the same bits (as long as a patch has at most 2^24 entries, where `f32` ceases to hold all integers).
//!
//! Zero padding is no sign. It is stored as bits 0, which count as -1; what they contributed, minus the sum of the
//! weights they met, is added back.
//!
//! There are three ways to count, chosen when weights are packed: vectors of words where the processor counts bits in
//! vectors (AVX-512 VPOPCNTDQ), table lookups with AVX2, and single words everywhere.

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

/// `y = x * w` for signs: equals [`conv2d_forward`](crate::conv2d_forward) on the same values as floats, exactly, zero
/// padding included.
///
/// `x` is `(N, C, H, W)`, `w` is `(O, C, K, K)`, `y` is `(N, O, H', W')` and is overwritten. Runs at the SIMD level at
/// which `w` was packed.
///
/// # Panics
///
/// If `x` and `w` differ in their input channels, the kernel does not fit the input ([`ConvShape::out_height`]), or the
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
