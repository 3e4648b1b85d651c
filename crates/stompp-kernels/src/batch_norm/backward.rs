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
    /// Returns the gradient of one channel in one image, where `x` has the batch norm's inputs. `buffer` has the same length and may be
    /// used for the result.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    unsafe fn row<'a, L: Lanes>(&'a self, channel: usize, image: usize, x: &[f32], buffer: &'a mut [f32]) -> &'a [f32];
}

/// A gradient that is in memory.
#[derive(Clone, Copy)]
pub(super) struct DirectGradient<'a> {
    pub(super) s: &'a ChannelShape,
    pub(super) g: &'a [f32],
}

impl Upstream for DirectGradient<'_> {
    #[inline(always)]
    unsafe fn row<'a, L: Lanes>(&'a self, channel: usize, image: usize, _: &[f32], _: &'a mut [f32]) -> &'a [f32] {
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

/// The input of a batch norm, and where its gradient goes.
pub(super) enum Input<'a> {
    /// The gradient is not needed.
    Only(&'a [f32]),
    /// The gradient is added to the second slice.
    AddTo(&'a [f32], &'a mut [f32]),
    /// The gradient overwrites the input.
    Replace(&'a mut [f32]),
}

impl<'a> Input<'a> {
    /// Returns the input, unless it is also where its gradient goes, and that slice.
    fn split(self) -> (Option<&'a [f32]>, Option<&'a mut [f32]>) {
        match self {
            Self::Only(x) => (Some(x), None),
            Self::AddTo(x, gx) => (Some(x), Some(gx)),
            Self::Replace(x) => (None, Some(x)),
        }
    }
}

/// Computes the gradients of a batch norm from the gradient of its output. The sums over the batch are computed if they are not given.
/// `gresidual`, if given, also gets the gradient of the output. All gradients are accumulated, except that of the input: see [`Input`].
#[allow(clippy::too_many_arguments)]
pub(super) fn backward(
    s: &ChannelShape,
    sums: Option<GradientSums<'_>>,
    input: Input<'_>,
    norm: BatchNormParams,
    upstream: impl Upstream,
    gresidual: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
) {
    let (x, gx) = input.split();
    norm.check(s);
    check::length("gscale", gscale.len(), s.channels);
    check::length("gshift", gshift.len(), s.channels);
    let gradients = [
        ("gx", gx.as_deref()),
        ("gradient of the residual", gresidual.as_deref()),
    ];
    for (what, slice) in [("x", x)].into_iter().chain(gradients) {
        check::length(what, slice.map_or(s.len(), <[f32]>::len), s.len());
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
struct Gradient {
    mean: f32,
    mean_g: f32,
    minus_slope: f32,
    factor: f32,
}

impl Map<2> for Gradient {
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

/// Replaces an input by its gradient.
#[derive(Clone, Copy)]
struct InPlace(Gradient);

impl Map<1> for InPlace {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [g]: [L::Vector; 1], x: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { self.0.apply::<L>(at, [x, g], L::splat(0.0)) }
    }
}

/// Computes the gradients of some neighbouring channels.
struct Backward<'a, 'b, U> {
    s: &'a ChannelShape,
    sums: Option<GradientSums<'a>>,
    /// The input; `None` if it is in `gx`, where its gradient replaces it.
    x: Option<&'a [f32]>,
    norm: BatchNormParams<'a>,
    upstream: U,
    /// The first channel.
    first: usize,
    /// For each image, the slice of these channels; empty if the gradient is not needed.
    gx: Vec<&'b mut [f32]>,
    gresidual: Vec<&'b mut [f32]>,
    gscale: &'b mut [f32],
    gshift: &'b mut [f32],
}

impl<U: Upstream> Kernel for Backward<'_, '_, U> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let inner = self.s.inner;
        let mut buffer = Scratch::new(inner);
        let mut gradients = Vec::with_capacity(self.gscale.len());
        for number in 0..self.gscale.len() {
            // SAFETY: the caller guarantees the instructions.
            gradients.push(unsafe { self.add_parameter_gradients::<L>(number, &mut buffer) });
        }
        // Image by image, because the rows of one channel are often whole pages apart. Then loads would wait for stores with the same
        // page offset (4K aliasing).
        for image in 0..self.gx.len().max(self.gresidual.len()) {
            for (number, &gradient) in gradients.iter().enumerate() {
                let part = number * inner..(number + 1) * inner;
                // SAFETY: the caller guarantees the instructions.
                unsafe {
                    let x = self.row(number, image);
                    let g = self.upstream.row::<L>(self.first + number, image, x, &mut buffer);
                    if let Some(gx) = self.gx.get_mut(image) {
                        let gx = &mut gx[part.clone()];
                        match self.x.map(|x| Rows::new(self.s, x, self.first + number).row(image)) {
                            None => map_row::<L, 1, true>([g], gx, InPlace(gradient)),
                            Some(x) => map_row::<L, 2, true>([x, g], gx, gradient),
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
    /// Returns the inputs of the `number`-th channel in one image.
    #[inline(always)]
    fn row(&self, number: usize, image: usize) -> &[f32] {
        let inner = self.s.inner;
        match self.x {
            Some(x) => Rows::new(self.s, x, self.first + number).row(image),
            None => &self.gx[image][number * inner..][..inner],
        }
    }

    /// Adds the gradients of scale and shift of the `number`-th channel. Returns the update for the gradient of its input.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    unsafe fn add_parameter_gradients<L: Lanes>(&mut self, number: usize, buffer: &mut [f32]) -> Gradient {
        let channel = self.first + number;
        let (mean, inv_std) = (self.norm.mean[channel], self.norm.inv_std[channel]);
        let ([sum, product], count) = match self.sums {
            Some(GradientSums { sums, count }) => (sums[channel], count),
            None => {
                let images = 0..self.s.batch;
                // SAFETY: the caller guarantees the instructions.
                let sums = unsafe {
                    gradient_sums::<L>(
                        #[inline(always)]
                        |image: usize| self.row(number, image),
                        mean,
                        &self.upstream,
                        channel,
                        images,
                        buffer,
                    )
                };
                (sums, self.s.batch * self.s.inner)
            }
        };
        let count = count as f64;
        let product = product * f64::from(inv_std);
        self.gshift[number] += sum as f32;
        self.gscale[number] += product as f32;
        Gradient {
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
        unsafe {
            gradient_sums::<L>(
                #[inline(always)]
                |image: usize| rows.row(image),
                self.mean,
                &self.upstream,
                self.channel,
                self.images,
                &mut buffer,
            )
        }
    }
}

/// Computes the sums of `g` and of `g (x - mean)` over some images of one channel. `row` returns the inputs of an image.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn gradient_sums<'a, L: Lanes>(
    row: impl Fn(usize) -> &'a [f32],
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
            let x = row(image);
            let g = upstream.row::<L>(channel, image, x, buffer);
            sums.add(&term, [x, g]);
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
