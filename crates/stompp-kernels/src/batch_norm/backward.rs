//! The gradients of a batch norm.

use rayon::prelude::*;

use super::Normalization;
use super::sums::{Gradients, RowSums, Rows};
use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::PIECE;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, Map, Simd, map_row};

/// Batch norm's gradients from the gradient `g` of its output, or from what `gate` makes of it.
///
/// `gate(channel, x, g, gated)` is called for one channel of all images; `gated` gets its rows one after the other, and
/// `ggated`, of the tensor's size, all of it added.
#[allow(clippy::too_many_arguments)]
pub(super) fn backward<G: Fn(usize, Rows, Rows, &mut [f32]) + Sync>(
    s: &ChannelShape,
    x: &[f32],
    norm: Normalization,
    g: &[f32],
    gx: Option<&mut [f32]>,
    ggated: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
    gate: Option<G>,
) {
    norm.check(s);
    check::length("x", x.len(), s.len());
    check::length("gy", g.len(), s.len());
    check::length("gscale", gscale.len(), s.channels);
    check::length("gshift", gshift.len(), s.channels);
    for (what, gradient) in [("gx", &gx), ("gradient of the residual", &ggated)] {
        if let Some(gradient) = gradient {
            check::length(what, gradient.len(), s.len());
        }
    }
    if s.is_empty() {
        return;
    }
    let simd = Simd::current();
    let count = (s.batch * s.inner) as f64;
    // A task is some channels of all images: their gradients are summed, then read again while they are near.
    let block = (PIECE / (s.batch * s.inner)).max(1);
    let params = gscale.par_chunks_mut(block).zip(gshift.par_chunks_mut(block));
    parts(s, block, gx)
        .into_par_iter()
        .zip(parts(s, block, ggated))
        .zip(params)
        .enumerate()
        .for_each(|(task, ((gx, ggated), (gscale, gshift)))| {
            let channels = task * block..task * block + gscale.len();
            let mut gated = Scratch::new(if gate.is_some() {
                channels.len() * s.batch * s.inner
            } else {
                0
            });
            if let Some(gate) = &gate {
                for (channel, gated) in channels.clone().zip(gated.chunks_mut(s.batch * s.inner)) {
                    gate(
                        channel,
                        Rows::of_channel(s, x, channel),
                        Rows::of_channel(s, g, channel),
                        gated,
                    );
                }
            }
            for (image, part) in ggated.into_iter().enumerate() {
                for (rows, part) in gated.chunks(s.batch * s.inner).zip(part.chunks_mut(s.inner)) {
                    let row = &rows[image * s.inner..][..s.inner];
                    simd.vectorize(
                        #[inline(always)]
                        || part.iter_mut().zip(row).for_each(|(to, &g)| *to += g),
                    );
                }
            }
            let gradient = |channel: usize| match &gate {
                None => Rows::of_channel(s, g, channel),
                Some(_) => {
                    let first = (channel - channels.start) * s.batch * s.inner;
                    Rows {
                        x: &gated,
                        first,
                        step: s.inner,
                        inner: s.inner,
                    }
                }
            };
            let update = |channel: usize, gscale: &mut f32, gshift: &mut f32| {
                let (x, g) = (Rows::of_channel(s, x, channel), gradient(channel));
                let (mean, inv_std) = (norm.mean[channel], norm.inv_std[channel]);
                let term = Gradients { mean: f64::from(mean) };
                let [sum, product] = simd.run(RowSums {
                    images: s.batch,
                    tensors: [x, g],
                    term,
                });
                let product = product * f64::from(inv_std);
                *gshift += sum as f32;
                *gscale += product as f32;
                let minus_slope = (-product / count * f64::from(inv_std)) as f32;
                Update {
                    x,
                    g,
                    mean,
                    mean_g: (sum / count) as f32,
                    minus_slope,
                    factor: norm.scale[channel] * inv_std,
                }
            };
            let params = channels.clone().zip(gscale.iter_mut().zip(gshift));
            let updates = params
                .map(|(channel, (gscale, gshift))| update(channel, gscale, gshift))
                .collect();
            simd.run(Backward { updates, gx });
        });
}

/// For each block of channels what `gradient` has of it, image by image; nothing if there is no gradient.
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

/// `gx += factor (g - mean_g - (x - mean) slope)`.
#[derive(Clone, Copy)]
struct Update<'a> {
    x: Rows<'a>,
    g: Rows<'a>,
    mean: f32,
    mean_g: f32,
    minus_slope: f32,
    factor: f32,
}

impl Map<2> for Update<'_> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, _: usize, [x, g]: [L::Vector; 2], old: L::Vector) -> L::Vector {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let g = L::sub(g, L::splat(self.mean_g));
            let g = L::mul_add(L::sub(x, L::splat(self.mean)), L::splat(self.minus_slope), g);
            L::mul_add(g, L::splat(self.factor), old)
        }
    }
}

/// The updates of neighbouring channels, in what `gx` has of them in each image.
struct Backward<'a, 'b> {
    updates: Vec<Update<'a>>,
    gx: Vec<&'b mut [f32]>,
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // Image by image, because the rows of one channel are often whole pages apart, and then loads wait for stores
        // that only seem to be to the same place.
        for (image, gx) in self.gx.into_iter().enumerate() {
            for (&update, gx) in self.updates.iter().zip(gx.chunks_mut(self.updates[0].x.inner)) {
                // SAFETY: the caller vouches for the instructions.
                unsafe { map_row::<L, 2, true>([update.x.row(image), update.g.row(image)], gx, update) };
            }
        }
    }
}
