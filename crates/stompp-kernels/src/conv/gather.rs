//! The common part of the forward pass and the gradient of the input: every output position gathers its taps from the planes.

use rayon::prelude::*;

use super::ImageBatch;
use super::planes::Planes;
use crate::panel::{PanelProduct, Row};
use crate::scratch::Scratch;
use crate::simd::{Simd, prefetch};
use crate::transpose::transpose;

/// A set of output positions that read the same taps.
pub(super) struct TapPhase {
    /// For each position of an image group, image by image: its start in the planes and its index among the group's pixels.
    pub(super) rows: Vec<Row>,
    /// Offset of each tap from the start.
    pub(super) steps: Vec<u32>,
}

/// A convolution in phases over all images, `images_per_group` at a time.
pub(super) struct Gather {
    pub(super) simd: Simd,
    /// Output channels in a panel.
    pub(super) width: usize,
    /// Disjoint phases. Positions in no phase get zeros.
    pub(super) phases: Vec<TapPhase>,
    /// One panel of weights for each panel of output channels: the steps of the first phase, then of the second, and so on.
    pub(super) weights: Scratch,
    pub(super) x: ImageBatch,
    pub(super) y: ImageBatch,
    pub(super) images_per_group: usize,
    /// Whether to add to `y` (true) or to overwrite it (false).
    pub(super) add: bool,
}

/// Largest plane whose cache lines are prefetched before they are written. The processor prefetches long planes itself, but not short
/// ones. With 16x16 pixels and 512 channels, a 1x1 convolution is a fifth faster with prefetching; with 32x32 it would be 2 % slower.
const SHORT_PLANE: usize = 256;

/// The part of `y` that one task computes: for each image of a group, some panels of channels.
type Parts<'a> = Vec<&'a mut [f32]>;

impl Gather {
    /// Computes `y` from `x`. `stage` converts an image group to the layout of the phases.
    ///
    /// A task is one image group and a range of panels, which gives enough tasks for any usual number of threads. One task computes each
    /// output in a fixed order, so the result does not depend on the split.
    pub(super) fn run(&self, stage: impl Fn(&[f32]) -> Planes<'_> + Sync, x: &[f32], y: &mut [f32]) {
        const TASKS: usize = 16;
        let groups = y.len().div_ceil(self.images_per_group * self.y.len());
        let panels = self.y.channels.div_ceil(self.width);
        let panels_per_task = panels.div_ceil(TASKS.div_ceil(groups));

        let tasks = y.chunks_mut(self.images_per_group * self.y.len()).map(|group| {
            let mut of_group: Vec<Parts> = (0..panels.div_ceil(panels_per_task)).map(|_| Vec::new()).collect();
            for image in group.chunks_mut(self.y.len()) {
                let parts = image.chunks_mut(panels_per_task * self.width * self.y.plane);
                of_group.iter_mut().zip(parts).for_each(|(task, part)| task.push(part));
            }
            of_group
        });
        let tasks: Vec<Vec<Parts>> = tasks.collect();
        let groups = tasks
            .into_par_iter()
            .zip(x.par_chunks(self.images_per_group * self.x.len()));
        groups.for_each(|(of_group, x)| {
            let planes = stage(x);
            of_group.into_par_iter().enumerate().for_each(|(task, parts)| {
                self.task(&planes, task * panels_per_task, parts);
            });
        });
    }

    /// Computes the parts of one group, starting at panel `first_panel`.
    fn task(&self, planes: &[f32], first_panel: usize, mut parts: Parts) {
        let (width, plane, images) = (self.width, self.y.plane, parts.len());
        let mut sums = Scratch::new(images * plane * width);
        if self.phases.iter().map(|phase| phase.rows.len()).sum::<usize>() < self.images_per_group * plane {
            sums.fill(0.0);
        }
        let panel_len = self.phases.iter().map(|phase| phase.steps.len() * width).sum();
        let weights = self.weights.chunks(panel_len).skip(first_panel);
        for (panel, mut weights) in (0..parts[0].len().div_ceil(width * plane)).zip(weights) {
            let panel_start = panel * width * plane;
            if plane <= SHORT_PLANE {
                for y in parts.iter().map(|part| &part[panel_start..]) {
                    prefetch(&y[..y.len().min(width * plane)]);
                }
            }
            for phase in &self.phases {
                let rows = &phase.rows[..phase.rows.len() / self.images_per_group * images];
                let (panel, rest) = weights.split_at(phase.steps.len() * width);
                weights = rest;
                let (steps, out) = (&phase.steps[..], &mut sums[..]);
                PanelProduct {
                    width,
                    x: planes,
                    rows,
                    steps,
                    panel,
                    out,
                    add: false,
                }
                .compute(self.simd);
            }
            for (part, sums) in parts.iter_mut().zip(sums.chunks(plane * width)) {
                let y = &mut part[panel_start..];
                let channels = width.min(y.len() / plane);
                transpose(self.simd, [plane, channels], (sums, width), (y, plane), self.add);
            }
        }
    }
}
