//! What the forward pass and the gradient of the input share: every output position gathers its taps from the planes.

use rayon::prelude::*;

use super::planes::Layout;
use crate::panel::{self, Offsets, Product};
use crate::scratch::Scratch;
use crate::simd::Simd;

/// Output positions that read the same taps.
pub(super) struct Phase {
    /// Where each position of an image group starts in the planes.
    pub(super) rows: Offsets,
    /// Where each tap lies from there.
    pub(super) steps: Offsets,
    /// One panel of weights per panel of output channels, `steps.len()` long each.
    pub(super) weights: Scratch,
    /// The positions within an output plane.
    pub(super) positions: Positions,
}

/// A regular grid within an output plane: `rows x columns` positions from `first` on.
#[derive(Clone, Copy)]
pub(super) struct Positions {
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

/// A tensor seen image by image.
#[derive(Clone, Copy)]
pub(super) struct Images {
    pub(super) channels: usize,
    /// Elements of a plane.
    pub(super) plane: usize,
}

impl Images {
    fn len(self) -> usize {
        self.channels * self.plane
    }
}

/// Computes all phases for all images, `images_per_group` at a time; `add` says whether `y` is added to or overwritten.
///
/// A task is one image group and a range of panels, enough tasks for any sensible number of threads. Each output is
/// computed by one task in one order, so the split does not show in the result.
#[allow(clippy::too_many_arguments)]
pub(super) fn gather(
    simd: Simd,
    width: usize,
    layout: &Layout,
    phases: &[Phase],
    (x, x_images): (&[f32], Images),
    (y, y_images): (&mut [f32], Images),
    images_per_group: usize,
    add: bool,
) {
    const TASKS: usize = 16;
    let panel_len = width * y_images.plane;
    let panels = y_images.channels.div_ceil(width);
    let groups = y.len().div_ceil(images_per_group * y_images.len());
    let panels_per_task = panels.div_ceil(TASKS.div_ceil(groups));

    let mut tasks: Vec<Vec<Vec<&mut [f32]>>> = Vec::new();
    for group in y.chunks_mut(images_per_group * y_images.len()) {
        let mut of_group: Vec<Vec<&mut [f32]>> = (0..panels.div_ceil(panels_per_task)).map(|_| Vec::new()).collect();
        for image in group.chunks_mut(y_images.len()) {
            for (task, part) in of_group.iter_mut().zip(image.chunks_mut(panels_per_task * panel_len)) {
                task.push(part);
            }
        }
        tasks.push(of_group);
    }
    tasks
        .into_par_iter()
        .zip(x.par_chunks(images_per_group * x_images.len()))
        .for_each(|(of_group, x)| {
            of_group.into_par_iter().enumerate().for_each(|(task, mut parts)| {
                let planes = layout.stage(x, x_images.len());
                for phase in phases {
                    let per_image = phase.positions.rows * phase.positions.columns;
                    let rows = parts.len() * per_image;
                    let mut sums = Scratch::new(rows * width);
                    let weight_len = phase.steps.len() * width;
                    for panel in 0..panels_per_task.min(panels - task * panels_per_task) {
                        let weights = &phase.weights[(task * panels_per_task + panel) * weight_len..][..weight_len];
                        let (x, rows, out) = (&planes[..], &phase.rows[..rows], &mut sums[..]);
                        Product {
                            width,
                            x,
                            rows,
                            steps: &phase.steps,
                            panel: weights,
                            out,
                            add: false,
                        }
                        .compute(simd);
                        for (part, sums) in parts.iter_mut().zip(sums.chunks(per_image * width)) {
                            let out = &mut part[panel * panel_len..];
                            let lanes = width.min(out.len() / y_images.plane);
                            write(simd, phase.positions, sums, width, lanes, out, y_images.plane, add);
                        }
                    }
                }
            });
        });
}

/// Moves the sums of one image and panel, `(position, channel)`, to their planes.
#[allow(clippy::too_many_arguments)]
fn write(
    simd: Simd,
    at: Positions,
    sums: &[f32],
    width: usize,
    lanes: usize,
    out: &mut [f32],
    plane: usize,
    add: bool,
) {
    simd.vectorize(|| {
        for (row, sums) in sums.chunks(at.columns * width).enumerate() {
            let start = at.first + row * at.row_step;
            panel::unpack(sums, width, lanes, |lane, i, sum| {
                let out = &mut out[lane * plane + start + i * at.column_step];
                *out = if add { *out + sum } else { sum };
            });
        }
    });
}
