//! Corrects sums for padding, which is counted as -1 instead of 0.

use std::ops::Range;

use super::BitWeights;
use crate::conv::ConvShape;

/// The corrections for the sums of output pixels whose patches reach into the padding.
pub(super) struct Border {
    out_channels: usize,
    /// Each pixel with the index of its correction.
    pixels: Vec<(usize, usize)>,
    /// Corrections, one float per output channel each.
    corrections: Vec<f32>,
}

impl Border {
    /// Computes the corrections. Padding is counted as -1 for every weight, so a padded tap contributes minus the sum of its weights.
    ///
    /// Pixels with the same taps in the padding share a correction. With a 3x3 kernel there are at most nine.
    pub(super) fn new(s: &ConvShape, w: &BitWeights) -> Self {
        let inside = |i: usize, extent: usize| -> Range<usize> {
            let start = i * s.stride;
            let first = s.padding.saturating_sub(start).min(s.kernel);
            first..(s.padding + extent).saturating_sub(start).clamp(first, s.kernel)
        };
        let mut border = Self {
            out_channels: s.out_channels,
            pixels: Vec::new(),
            corrections: Vec::new(),
        };
        let mut classes: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for (row, column) in (0..s.out_height()).flat_map(|r| (0..s.out_width()).map(move |c| (r, c))) {
            let class = (inside(row, s.in_height), inside(column, s.in_width));
            if class.0.len() * class.1.len() == s.kernel * s.kernel {
                continue;
            }
            let number = classes.iter().position(|other| *other == class).unwrap_or_else(|| {
                let padded = |tap: usize| !(class.0.contains(&(tap / s.kernel)) && class.1.contains(&(tap % s.kernel)));
                border.corrections.extend((0..s.out_channels).map(|o| {
                    let taps = w.tap_sums(o).iter().enumerate().filter(|(tap, _)| padded(*tap));
                    taps.map(|(_, &sum)| sum).sum::<i32>() as f32
                }));
                classes.push(class);
                classes.len() - 1
            });
            border.pixels.push((row * s.out_width() + column, number));
        }
        border
    }

    /// Corrects the sums, `(pixel, channel)`, of the channels of one panel, starting at channel `first`.
    pub(super) fn correct(&self, first: usize, width: usize, sums: &mut [f32]) {
        for &(pixel, number) in &self.pixels {
            let of_pixel = &mut sums[pixel * width..][..width];
            let corrections = &self.corrections[number * self.out_channels..][first..self.out_channels];
            of_pixel
                .iter_mut()
                .zip(corrections)
                .for_each(|(sum, correction)| *sum += correction);
        }
    }
}
