//! The gradients of a batch norm.

use rayon::prelude::*;

use super::BatchNormParams;
use super::sums::{GradientTerm, Rows, SliceSums, Sums};
use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::PIECE;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, Map, Simd, map_row};
use crate::slices::Slices;
use std::ops::Range;

/// A source of the gradient of the normalized values.
pub(super) trait Upstream: Copy + Sync {
    /// Returns the gradient of one channel in one image. `buffer` has the same length and may be used for the result.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    unsafe fn row<'a, L: Lanes>(&'a self, channel: usize, image: usize, buffer: &'a mut [f32]) -> &'a [f32];
}

/// A gradient that is in memory.
#[derive(Clone, Copy)]
pub(super) struct DirectGradient<'a> {
    pub(super) s: &'a ChannelShape,
    pub(super) g: &'a [f32],
}

impl Upstream for DirectGradient<'_> {
    #[inline(always)]
    unsafe fn row<'a, L: Lanes>(&'a self, channel: usize, image: usize, _: &'a mut [f32]) -> &'a [f32] {
        Rows::new(self.s, self.g, channel).row(image)
    }
}

/// Sums over a batch for the gradients of a batch norm, when each process has a part of the batch.
#[derive(Clone, Copy, Debug)]
pub struct GradientSums<'a> {
    /// For each channel the sum of `gy` and that of `gy (x - mean)`.
    pub sums: &'a [[f64; 2]],
    /// Elements of a channel in the whole batch.
    pub count: usize,
}

/// Computes the sums for [`GradientSums`].
pub(super) fn backward_sums(
    s: &ChannelShape,
    slices: Slices,
    x: &[f32],
    mean: &[f32],
    upstream: impl Upstream,
    sums: &mut [[f64; 2]],
) {
    check::length("x", x.len(), s.len());
    check::length("mean", mean.len(), s.channels);
    check::length("sums", sums.len(), s.channels);
    let (simd, slices) = (Simd::current(), SliceSums::new(slices, s.batch));
    sums.par_iter_mut().enumerate().for_each(|(channel, sums)| {
        *sums = slices.total(|images| {
            simd.run(ChannelGradientSums {
                s,
                x,
                mean: mean[channel],
                upstream,
                channel,
                images,
            })
        });
    });
}

/// Computes the gradients of a batch norm from the gradient of its output. The sums over the batch are computed if they are not given. `gresidual`, if given, also gets the gradient of the output.
/// `gx` is overwritten if it is `fresh`; all others are accumulated.
#[allow(clippy::too_many_arguments)]
pub(super) fn backward(
    s: &ChannelShape,
    sums: Option<GradientSums<'_>>,
    x: &[f32],
    norm: BatchNormParams,
    upstream: impl Upstream,
    gx: Option<&mut [f32]>,
    fresh: bool,
    gresidual: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
) {
    norm.check(s);
    check::length("x", x.len(), s.len());
    check::length("gscale", gscale.len(), s.channels);
    check::length("gshift", gshift.len(), s.channels);
    for (what, gradient) in [("gx", &gx), ("gradient of the residual", &gresidual)] {
        if let Some(gradient) = gradient {
            check::length(what, gradient.len(), s.len());
        }
    }
    if let Some(GradientSums { sums, .. }) = sums {
        check::length("sums", sums.len(), s.channels);
    }
    if s.is_empty() {
        return;
    }
    let simd = Simd::current();
    // A task has some channels of all images: their gradients are summed, then read again while they are in the cache.
    let block = (PIECE / (s.batch * s.inner)).max(1);
    let params = gscale.par_chunks_mut(block).zip(gshift.par_chunks_mut(block));
    parts(s, block, gx)
        .into_par_iter()
        .zip(parts(s, block, gresidual))
        .zip(params)
        .enumerate()
        .for_each(|(task, ((gx, gresidual), (gscale, gshift)))| {
            simd.run(Backward {
                s,
                sums,
                x,
                norm,
                upstream,
                first: task * block,
                gx,
                fresh,
                gresidual,
                gscale,
                gshift,
            });
        });
}

/// Splits `gradient` into blocks of channels. Each block has one slice for each image, or none if there is no gradient.
fn parts<'a>(s: &ChannelShape, block: usize, gradient: Option<&'a mut [f32]>) -> Vec<Vec<&'a mut [f32]>> {
    let mut parts: Vec<Vec<&mut [f32]>> = (0..s.channels.div_ceil(block)).map(|_| Vec::new()).collect();
    for image in gradient
        .into_iter()
        .flat_map(|gradient| gradient.chunks_mut(s.channels * s.inner))
    {
        let of_image = image.chunks_mut(block * s.inner);
        parts
            .iter_mut()
            .zip(of_image)
            .for_each(|(parts, part)| parts.push(part));
    }
    parts
}

/// Computes `gx += factor (g - mean_g - (x - mean) slope)`.
#[derive(Clone, Copy)]
struct Update {
    mean: f32,
    mean_g: f32,
    minus_slope: f32,
    factor: f32,
}

impl Map<2> for Update {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, _: usize, [x, g]: [L::Vector; 2], old: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let g = L::sub(g, L::splat(self.mean_g));
            let g = L::mul_add(L::sub(x, L::splat(self.mean)), L::splat(self.minus_slope), g);
            L::mul_add(g, L::splat(self.factor), old)
        }
    }
}

/// Computes the gradients of some neighbouring channels.
struct Backward<'a, 'b, U> {
    s: &'a ChannelShape,
    sums: Option<GradientSums<'a>>,
    x: &'a [f32],
    norm: BatchNormParams<'a>,
    upstream: U,
    /// The first channel.
    first: usize,
    /// For each image, the slice of these channels; empty if the gradient is not needed.
    gx: Vec<&'b mut [f32]>,
    fresh: bool,
    gresidual: Vec<&'b mut [f32]>,
    gscale: &'b mut [f32],
    gshift: &'b mut [f32],
}

impl<U: Upstream> Kernel for Backward<'_, '_, U> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (s, inner) = (self.s, self.s.inner);
        let mut buffer = Scratch::new(inner);
        let mut updates = Vec::with_capacity(self.gscale.len());
        for number in 0..self.gscale.len() {
            // SAFETY: the caller guarantees the instructions.
            updates.push(unsafe { self.add_parameter_gradients::<L>(number, &mut buffer) });
        }
        // Image by image, because the rows of one channel are often whole pages apart. Then loads would wait for stores with the same
        // page offset (4K aliasing).
        for image in 0..self.gx.len().max(self.gresidual.len()) {
            for (number, &update) in updates.iter().enumerate() {
                let channel = self.first + number;
                let part = number * inner..(number + 1) * inner;
                // SAFETY: the caller guarantees the instructions.
                unsafe {
                    let g = self.upstream.row::<L>(channel, image, &mut buffer);
                    if let Some(gx) = self.gx.get_mut(image) {
                        let x = Rows::new(s, self.x, channel).row(image);
                        let gx = &mut gx[part.clone()];
                        if self.fresh {
                            map_row::<L, 2, false>([x, g], gx, update);
                        } else {
                            map_row::<L, 2, true>([x, g], gx, update);
                        }
                    }
                    if let Some(gresidual) = self.gresidual.get_mut(image) {
                        map_row::<L, 1, true>([g], &mut gresidual[part], Accumulate);
                    }
                }
            }
        }
    }
}

impl<U: Upstream> Backward<'_, '_, U> {
    /// Adds the gradients of scale and shift of the `number`-th channel. Returns the update for the gradient of its input.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    unsafe fn add_parameter_gradients<L: Lanes>(&mut self, number: usize, buffer: &mut [f32]) -> Update {
        let channel = self.first + number;
        let (mean, inv_std) = (self.norm.mean[channel], self.norm.inv_std[channel]);
        let ([sum, product], count) = match self.sums {
            Some(GradientSums { sums, count }) => (sums[channel], count),
            None => {
                let images = 0..self.s.batch;
                let rows = Rows::new(self.s, self.x, channel);
                // SAFETY: the caller guarantees the instructions.
                let sums = unsafe { gradient_sums::<L>(rows, mean, &self.upstream, channel, images, buffer) };
                (sums, self.s.batch * self.s.inner)
            }
        };
        let count = count as f64;
        let product = product * f64::from(inv_std);
        self.gshift[number] += sum as f32;
        self.gscale[number] += product as f32;
        Update {
            mean,
            mean_g: (sum / count) as f32,
            minus_slope: (-product / count * f64::from(inv_std)) as f32,
            factor: self.norm.scale[channel] * inv_std,
        }
    }
}

/// Computes the two sums over some images of one channel.
struct ChannelGradientSums<'a, U> {
    s: &'a ChannelShape,
    x: &'a [f32],
    mean: f32,
    upstream: U,
    channel: usize,
    images: Range<usize>,
}

impl<U: Upstream> Kernel for ChannelGradientSums<'_, U> {
    type Output = [f64; 2];

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> [f64; 2] {
        let mut buffer = Scratch::new(self.s.inner);
        let rows = Rows::new(self.s, self.x, self.channel);
        // SAFETY: the caller guarantees the instructions.
        unsafe { gradient_sums::<L>(rows, self.mean, &self.upstream, self.channel, self.images, &mut buffer) }
    }
}

/// Computes the sums of `g` and of `g (x - mean)` over some images of one channel.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn gradient_sums<L: Lanes>(
    rows: Rows<'_>,
    mean: f32,
    upstream: &impl Upstream,
    channel: usize,
    images: Range<usize>,
    buffer: &mut [f32],
) -> [f64; 2] {
    let term = GradientTerm { mean: f64::from(mean) };
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        let mut sums = Sums::<L>::new();
        for image in images {
            let g = upstream.row::<L>(channel, image, buffer);
            sums.add(&term, [rows.row(image), g]);
        }
        sums.finish()
    }
}

/// Computes `old + g`.
#[derive(Clone, Copy)]
struct Accumulate;

impl Map<1> for Accumulate {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, _: usize, [g]: [L::Vector; 1], old: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { L::add(old, g) }
    }
}
