//! Elementwise operations, and the `(N, C, inner)` shape of the per-channel kernels.

use crate::check;
use crate::parallel::{for_each_piece, sums_of_pieces};
use crate::simd::Simd;

/// The shape of a tensor as `(batch, channels, inner)`. `inner` is height times width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelShape {
    /// Number of images.
    pub batch: usize,
    /// Number of channels.
    pub channels: usize,
    /// Elements of one channel of one image.
    pub inner: usize,
}

impl ChannelShape {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.inner
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Computes `y = max(u, 0)`. NaN becomes 0.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn relu_forward(u: &[f32], y: &mut [f32]) {
    check::length("y", y.len(), u.len());
    let simd = Simd::current();
    for_each_piece(y, |start, y| {
        let u = &u[start..][..y.len()];
        simd.vectorize(
            #[inline(always)]
            || {
                y.iter_mut()
                    .zip(u)
                    .for_each(|(y, &u)| *y = if u > 0.0 { u } else { 0.0 })
            },
        );
    });
}

/// Computes `gu += gy` where `u > 0`.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn relu_backward(u: &[f32], gy: &[f32], gu: &mut [f32]) {
    check::length("gy", gy.len(), u.len());
    check::length("gu", gu.len(), u.len());
    let simd = Simd::current();
    for_each_piece(gu, |start, gu| {
        let (u, gy) = (&u[start..][..gu.len()], &gy[start..][..gu.len()]);
        simd.vectorize(
            #[inline(always)]
            || {
                for ((gu, &u), &gy) in gu.iter_mut().zip(u).zip(gy) {
                    *gu += if u > 0.0 { gy } else { 0.0 };
                }
            },
        );
    });
}

/// Computes `y = a + b`.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn add_forward(a: &[f32], b: &[f32], y: &mut [f32]) {
    check::length("b", b.len(), a.len());
    check::length("y", y.len(), a.len());
    let simd = Simd::current();
    for_each_piece(y, |start, y| {
        let (a, b) = (&a[start..][..y.len()], &b[start..][..y.len()]);
        simd.vectorize(
            #[inline(always)]
            || {
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = a + b;
                }
            },
        );
    });
}

/// Computes `dst += src`.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn accumulate(dst: &mut [f32], src: &[f32]) {
    check::length("src", src.len(), dst.len());
    let simd = Simd::current();
    for_each_piece(dst, |start, dst| {
        let src = &src[start..][..dst.len()];
        simd.vectorize(
            #[inline(always)]
            || dst.iter_mut().zip(src).for_each(|(dst, &src)| *dst += src),
        );
    });
}

/// Returns the sum of the squares of `x` in `f64`. The order of the sum depends only on the length.
///
/// The sum is finite exactly if every value is finite, because sums of squares of finite floats do not overflow in `f64`.
pub fn square_sum(x: &[f32]) -> f64 {
    const LANES: usize = 16;
    let simd = Simd::current();
    let of_piece = |piece: &[f32]| {
        let mut sums = [0.0; LANES];
        simd.vectorize(
            #[inline(always)]
            || {
                let (whole, rest) = piece.as_chunks::<LANES>();
                for chunk in whole {
                    for (sum, &value) in sums.iter_mut().zip(chunk) {
                        *sum += f64::from(value) * f64::from(value);
                    }
                }
                for (sum, &value) in sums.iter_mut().zip(rest) {
                    *sum += f64::from(value) * f64::from(value);
                }
            },
        );
        sums.iter().sum::<f64>()
    };
    sums_of_pieces(x, of_piece).iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::PIECE;
    use crate::simd::{SimdLevel, with_level};

    /// Longer than one piece, with a ragged end.
    fn values(salt: usize) -> Vec<f32> {
        (0..PIECE + 77).map(|i| ((i * 31 + salt) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn every_level_gives_the_formula() {
        let (a, b) = (values(0), values(5));
        for level in SimdLevel::ALL.into_iter().filter(|l| l.is_supported()) {
            with_level(level, || {
                let mut y = vec![f32::NAN; a.len()];
                relu_forward(&a, &mut y);
                assert!(a.iter().zip(&y).all(|(&u, &y)| y == u.max(0.0)));
                add_forward(&a, &b, &mut y);
                assert!((0..a.len()).all(|i| y[i] == a[i] + b[i]));
                accumulate(&mut y, &a);
                assert!((0..a.len()).all(|i| y[i] == 2.0 * a[i] + b[i]));
                let mut gu = b.clone();
                relu_backward(&a, &b, &mut gu);
                assert!((0..a.len()).all(|i| gu[i] == if a[i] > 0.0 { 2.0 * b[i] } else { b[i] }));
            });
        }
    }

    #[test]
    fn the_gradient_of_relu_at_zero_is_zero() {
        let mut gu = [0.0; 3];
        relu_backward(&[0.0, -0.0, f32::MIN_POSITIVE], &[1.0; 3], &mut gu);
        assert_eq!(gu, [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_sum_of_squares_is_that_of_integers_and_finite_only_if_every_value_is() {
        for level in SimdLevel::ALL.into_iter().filter(|l| l.is_supported()) {
            with_level(level, || {
                for len in [0, 1, 15, 16, 17, PIECE - 1, PIECE + 77] {
                    let x = &values(3)[..len];
                    let exact: i64 = x.iter().map(|&value| (value as i64).pow(2)).sum();
                    assert_eq!(square_sum(x), exact as f64);
                }
                assert!(square_sum(&[f32::MAX; 100]).is_finite());
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    for at in [0, 20, PIECE + 76] {
                        let mut x = values(0);
                        x[at] = bad;
                        assert!(!square_sum(&x).is_finite());
                    }
                }
            });
        }
    }

    #[test]
    #[should_panic(expected = "length of `y` is 2, its shape needs 3")]
    fn a_length_that_does_not_fit_panics() {
        relu_forward(&[0.0; 3], &mut [0.0; 2]);
    }
}
