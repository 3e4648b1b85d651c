//! Sums over the elements of a channel.

use crate::elementwise::ChannelShape;
use crate::simd::{Kernel, Lanes, MOST_LANES, each, load};
use crate::slices::Slices;
use std::ops::Range;

/// One channel of a tensor: a row of `inner` elements per image.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) x: &'a [f32],
    /// Start of the first image's row.
    pub(super) first: usize,
    /// Distance between the rows of neighbouring images.
    pub(super) step: usize,
    pub(super) inner: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(s: &ChannelShape, x: &'a [f32], channel: usize) -> Self {
        Self {
            x,
            first: channel * s.inner,
            step: s.channels * s.inner,
            inner: s.inner,
        }
    }

    #[inline(always)]
    pub(super) fn row(&self, image: usize) -> &'a [f32] {
        &self.x[self.first + image * self.step..][..self.inner]
    }
}

/// Computes the terms that elements add to the two sums.
pub(super) trait Term<const N: usize> {
    /// Adds one vector of elements of every tensor.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    unsafe fn add<L: Lanes>(&self, elements: [L::Doubles; N], sums: &mut [L::Doubles; 2]);
}

/// The terms `x` and `x^2`.
struct MomentTerm;

impl Term<1> for MomentTerm {
    #[inline(always)]
    unsafe fn add<L: Lanes>(&self, [x]: [L::Doubles; 1], [sum, squares]: &mut [L::Doubles; 2]) {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            *sum = L::add_doubles(*sum, x);
            *squares = L::mul_add_doubles(x, x, *squares);
        }
    }
}

/// The terms `g` and `g (x - mean)`.
pub(super) struct GradientTerm {
    pub(super) mean: f64,
}

impl Term<2> for GradientTerm {
    #[inline(always)]
    unsafe fn add<L: Lanes>(&self, [x, g]: [L::Doubles; 2], [sum, products]: &mut [L::Doubles; 2]) {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            *sum = L::add_doubles(*sum, g);
            *products = L::mul_add_doubles(g, L::add_doubles(x, L::splat_double(-self.mean)), *products);
        }
    }
}

/// Two sums in `f64` over rows of `N` tensors that are read together.
pub(super) struct Sums<L: Lanes>([[L::Doubles; 2]; 2]);

impl<L: Lanes> Sums<L> {
    /// Creates sums of zero. Each sum has two accumulators, to hide the latency of the addition.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        // SAFETY: the caller guarantees the instructions.
        Self(unsafe { [[L::splat_double(0.0); 2]; 2] })
    }

    /// Adds one row of every tensor, all of the same length.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn add<const N: usize>(&mut self, term: &impl Term<N>, rows: [&[f32]; N]) {
        let len = rows[0].len();
        assert!(rows.iter().all(|row| row.len() == len));
        // SAFETY: the caller guarantees the instructions; all rows have `len` elements.
        unsafe {
            let whole = len / (2 * L::LANES) * 2 * L::LANES;
            for at in (0..whole).step_by(2 * L::LANES) {
                for (sums, at) in self.0.iter_mut().zip([at, at + L::LANES]) {
                    let elements = each(
                        rows,
                        #[inline(always)]
                        |row: &[f32]| L::widen(L::load(row.as_ptr().add(at))),
                    );
                    term.add::<L>(elements, sums);
                }
            }
            for (sums, at) in self.0.iter_mut().zip((whole..len).step_by(L::LANES)) {
                // The zeros past the end do not change the sums.
                let elements = each(
                    rows,
                    #[inline(always)]
                    |row: &[f32]| L::widen(load::<L>(row, at)),
                );
                term.add::<L>(elements, sums);
            }
        }
    }

    /// Returns both sums.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn finish(self) -> [f64; 2] {
        let [first, second] = self.0;
        each(
            [0, 1],
            #[inline(always)]
            |which: usize| {
                let mut lanes = [0.0; MOST_LANES];
                // SAFETY: the caller guarantees the instructions.
                unsafe { L::store_doubles(lanes.as_mut_ptr(), L::add_doubles(first[which], second[which])) };
                lanes.iter().sum()
            },
        )
    }
}

/// Two sums over the images of a batch, slice by slice.
pub(super) struct SliceSums {
    slices: Slices,
    ranges: Vec<Range<usize>>,
}

impl SliceSums {
    pub(super) fn new(slices: Slices, images: usize) -> Self {
        Self {
            slices,
            ranges: slices.ranges(images),
        }
    }

    /// Adds the sums that `of_slice` returns for each slice.
    pub(super) fn total(&self, of_slice: impl Fn(Range<usize>) -> [f64; 2]) -> [f64; 2] {
        if let [images] = &self.ranges[..] {
            return of_slice(images.clone());
        }
        let sums: Vec<[f64; 2]> = self.ranges.iter().cloned().map(of_slice).collect();
        self.slices.total(&sums, |a, b| [a[0] + b[0], a[1] + b[1]])
    }
}

/// Computes the sums for the moments of some images of one channel.
pub(super) struct ChannelSums<'a> {
    pub(super) images: Range<usize>,
    pub(super) rows: Rows<'a>,
}

impl Kernel for ChannelSums<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> [f64; 2] {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let mut sums = Sums::<L>::new();
            for image in self.images {
                sums.add(&MomentTerm, [self.rows.row(image)]);
            }
            sums.finish()
        }
    }
}
