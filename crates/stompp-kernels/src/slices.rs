//! Slices of a batch: sums over images whose bits do not depend on how the images are split among processes.
//!
//! Floating-point sums depend on the order of the additions. So the images are split into slices, each slice is summed by itself, and
//! the sums are added in pairs: `(a + b) + (c + d)` for four slices. Each half of the slices is a batch with half of the slices. So a
//! process that has one half computes exactly one of the two summands, and the sum of both processes has the same bits as that of one
//! process that has the whole batch.

use std::ops::Range;

/// The number of slices that a batch is split into: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slices(usize);

impl Slices {
    /// The whole batch.
    pub const ONE: Self = Self(1);

    /// Creates `count` slices; `None` if `count` is not a power of two.
    pub fn new(count: usize) -> Option<Self> {
        count.is_power_of_two().then_some(Self(count))
    }

    /// Number of slices.
    pub fn count(self) -> usize {
        self.0
    }

    /// The slices of each of `parts` equal parts of the batch; `None` if there are fewer slices than parts, or `parts` is not a power of
    /// two.
    pub fn of_part(self, parts: usize) -> Option<Self> {
        (parts.is_power_of_two() && parts <= self.0).then(|| Self(self.0 / parts))
    }

    /// The images of each slice, in order. The sizes differ by at most one. Slices are empty if there are more of them than images.
    ///
    /// ```
    /// use stompp_kernels::Slices;
    ///
    /// let four = Slices::new(4).unwrap();
    /// assert_eq!(four.ranges(10), [0..2, 2..5, 5..7, 7..10]);
    /// // Each half is split in the same way.
    /// assert_eq!(Slices::new(2).unwrap().ranges(5), [0..2, 2..5]);
    /// ```
    pub fn ranges(self, images: usize) -> Vec<Range<usize>> {
        let mut bounds = vec![0, images];
        while bounds.len() <= self.0 {
            let halved = bounds
                .windows(2)
                .flat_map(|pair| [pair[0], pair[0] + (pair[1] - pair[0]) / 2]);
            bounds = halved.chain([images]).collect();
        }
        bounds.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Adds the sums of the slices in pairs. `sums` must have one entry for each slice.
    ///
    /// # Panics
    ///
    /// Panics if the number of sums is not the number of slices.
    pub fn total<T: Copy>(self, sums: &[T], add: impl Fn(T, T) -> T) -> T {
        assert_eq!(sums.len(), self.0, "there is one sum for each slice");
        let mut sums = sums.to_vec();
        while sums.len() > 1 {
            sums = sums.chunks(2).map(|pair| add(pair[0], pair[1])).collect();
        }
        sums[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_are_slices() {
        let counts: Vec<usize> = (0..20).filter(|&count| Slices::new(count).is_some()).collect();
        assert_eq!(counts, [1, 2, 4, 8, 16]);
        let eight = Slices::new(8).unwrap();
        assert_eq!(eight.of_part(4), Slices::new(2));
        for parts in [0, 3, 16] {
            assert_eq!(eight.of_part(parts), None);
        }
    }

    #[test]
    fn each_part_of_a_batch_has_the_slices_of_the_whole() {
        for images in 0..40 {
            let eight = Slices::new(8).unwrap().ranges(images);
            assert_eq!(eight.iter().map(ExactSizeIterator::len).sum::<usize>(), images);
            let sizes = || eight.iter().map(ExactSizeIterator::len);
            assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1, "{eight:?}");
            for parts in [1, 2, 4, 8] {
                let of_part = Slices::new(8).unwrap().of_part(parts).unwrap();
                let parts = Slices::new(parts).unwrap().ranges(images).into_iter();
                let slices = parts.flat_map(|part| {
                    let ranges = of_part.ranges(part.len());
                    ranges
                        .into_iter()
                        .map(move |range| range.start + part.start..range.end + part.start)
                });
                assert_eq!(slices.collect::<Vec<_>>(), eight);
            }
        }
    }

    #[test]
    fn sums_are_added_in_pairs() {
        // 1e8 + 1 is 1e8 in f32, so the order shows.
        let sums = [1.0_f32, 1.0, 1e8, -1e8];
        assert_eq!(Slices::new(4).unwrap().total(&sums, |a, b| a + b), 2.0);
        let sums = [1.0_f32, 1e8, 1.0, -1e8];
        assert_eq!(Slices::new(4).unwrap().total(&sums, |a, b| a + b), 0.0);
        assert_eq!(Slices::ONE.total(&[3.0], |a: f32, b| a + b), 3.0);
    }

    #[test]
    #[should_panic(expected = "one sum for each slice")]
    fn a_missing_sum_panics() {
        Slices::new(2).unwrap().total(&[1.0], |a: f32, b| a + b);
    }
}
