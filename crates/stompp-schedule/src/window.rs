//! Exact arithmetic of windows that tile a span of steps.

use core::cmp::Ordering;

/// Where window `i` of `n` begins in a span of `span` steps: `i * span / n`, rounded half to even.
///
/// The quotient is computed in integers, so it is exact for every span. `window_start(0)` is 0 and `window_start(n)` is `span`.
/// If `span >= n > 0`, the boundaries rise strictly.
pub(crate) fn window_start(i: u64, n: u64, span: u64) -> u64 {
    let (product, n) = (u128::from(i) * u128::from(span), u128::from(n));
    let (quotient, remainder) = (product / n, product % n);
    let rounded = match (2 * remainder).cmp(&n) {
        Ordering::Less => quotient,
        Ordering::Equal => quotient + (quotient & 1),
        Ordering::Greater => quotient + 1,
    };
    u64::try_from(rounded).expect("i <= n, so the boundary is at most the span")
}

/// Counts the numbers in `0..n` that satisfy `holds`, which must be true up to some point and false from there on.
pub(crate) fn partition_point(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// `[start + round(i * (stop - start) / n) for i in range(n + 1)]` in Python, whose `round` is half to even.
    #[test]
    fn boundaries_are_pythons() {
        let bounds = |n: u64, start: u64, stop: u64| -> Vec<u64> {
            (0..=n).map(|i| start + window_start(i, n, stop - start)).collect()
        };
        assert_eq!(
            bounds(19, 0, 1779),
            [
                0, 94, 187, 281, 375, 468, 562, 655, 749, 843, 936, 1030, 1124, 1217, 1311, 1404, 1498, 1592, 1685,
                1779
            ]
        );
        assert_eq!(bounds(5, 10, 103), [10, 29, 47, 66, 84, 103]);
        assert_eq!(bounds(1, 0, 50), [0, 50]);
        // Ties both ways: 2.5 -> 2, 7.5 -> 8, 12.5 -> 12, 17.5 -> 18.
        assert_eq!(bounds(8, 0, 20), [0, 2, 5, 8, 10, 12, 15, 18, 20]);
    }

    #[test]
    fn the_longest_spans_do_not_overflow() {
        assert_eq!(window_start(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(window_start(u64::MAX - 1, u64::MAX, u64::MAX), u64::MAX - 1);
        // 2⁶⁴ - 1 is odd: its half is a tie between 2⁶³ - 1 and 2⁶³. A float cannot tell them apart.
        assert_eq!(window_start(1, 2, u64::MAX), 1 << 63);
    }

    #[test]
    fn partition_point_counts_the_leading_ones() {
        for n in 0..9 {
            for point in 0..=n {
                assert_eq!(partition_point(n, |i| i < point), point);
            }
        }
    }
}
