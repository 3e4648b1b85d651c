//! The masked quantizer against its definition, entry by entry.

mod common;

use common::{at_every_level, noise, same_bits_whatever_the_threads};
use proptest::prelude::*;
use stompp_kernels::{FreezeState, Surrogate, quantize_backward, quantize_forward};

/// Edge cases: |u| = 1 and one unit in the last place to either side, both zeros, subnormal-like values.
/// Expected values are from an independent implementation in PyTorch, with float64.
const U: [f32; 14] = [
    -2.0,
    -1.000_000_1,
    -1.0,
    -0.999_999_9,
    -0.5,
    -1e-30,
    -0.0,
    0.0,
    1e-30,
    0.5,
    0.999_999_9,
    1.0,
    1.000_000_1,
    2.0,
];
const FROZEN: [f32; 14] = [
    -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
];
const OPEN: [f32; 14] = [
    -1.0,
    -1.0,
    -1.0,
    -0.999_999_9,
    -0.5,
    -1e-30,
    -0.0,
    0.0,
    1e-30,
    0.5,
    0.999_999_9,
    1.0,
    1.0,
    1.0,
];
const GATE: [f32; 14] = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];

const SURROGATES: [Surrogate; 3] = [Surrogate::Blocked, Surrogate::Identity, Surrogate::Clipped];

fn forward(mask: FreezeState<&[u64]>, period: usize, u: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; u.len()];
    quantize_forward(mask, period, u, &mut out);
    out
}

fn backward(mask: FreezeState<&[u64]>, surrogate: Surrogate, period: usize, u: &[f32], gout: &[f32]) -> Vec<f32> {
    let mut gu = vec![0.0; u.len()];
    quantize_backward(mask, surrogate, period, u, gout, &mut gu);
    gu
}

fn gate(surrogate: Surrogate) -> [f32; 14] {
    match surrogate {
        Surrogate::Blocked => [0.0; 14],
        Surrogate::Identity => [1.0; 14],
        Surrogate::Clipped => GATE,
    }
}

#[test]
fn edge_cases_have_the_reference_values() {
    at_every_level(|_| {
        let ones = [u64::MAX];
        for (mask, out) in [
            (FreezeState::Open, OPEN),
            (FreezeState::Committed, FROZEN),
            (FreezeState::Freezing(ones.as_slice()), FROZEN),
            (FreezeState::Freezing([0].as_slice()), OPEN),
        ] {
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&forward(mask, 14, &U)), bits(&out));
            let open = matches!(mask, FreezeState::Open | FreezeState::Freezing([0]));
            for surrogate in SURROGATES {
                let expected = if open { GATE } else { gate(surrogate) };
                assert_eq!(
                    backward(mask, surrogate, 14, &U, &[1.0; 14]),
                    expected,
                    "{mask:?} {surrogate:?}"
                );
            }
        }
    });
}

#[test]
fn every_entry_follows_its_own_bit_and_samples_share_the_mask() {
    at_every_level(|level| {
        // Not a multiple of 64, a multiple, less than a word; several pieces of parallel work.
        for (period, samples) in [(14, 3), (64, 2), (100, 7), (130, 1), (5000, 9)] {
            let u: Vec<f32> = noise(period * samples, 1).iter().map(|x| 1.5 * x).collect();
            let gout = noise(u.len(), 2);
            let words: Vec<u64> = noise(period.div_ceil(64), 3)
                .iter()
                .map(|x| u64::from(x.to_bits()).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .collect();
            let frozen = |i: usize| words[i % period / 64] >> (i % period % 64) & 1 == 1;
            let out = forward(FreezeState::Freezing(&words), period, &u);
            for (i, (&u, &out)) in u.iter().zip(&out).enumerate() {
                let expected = if frozen(i) {
                    if u >= 0.0 { 1.0 } else { -1.0 }
                } else {
                    u.clamp(-1.0, 1.0)
                };
                assert_eq!(out, expected, "{level} {period} {i}");
            }
            for surrogate in SURROGATES {
                let mut gu = vec![0.5; u.len()];
                quantize_backward(FreezeState::Freezing(&words), surrogate, period, &u, &gout, &mut gu);
                for i in 0..u.len() {
                    let passes = match (frozen(i), surrogate) {
                        (true, Surrogate::Blocked) => false,
                        (true, Surrogate::Identity) => true,
                        (true, Surrogate::Clipped) | (false, _) => u[i].abs() <= 1.0,
                    };
                    let expected = if passes { 0.5 + gout[i] } else { 0.5 };
                    assert_eq!(gu[i], expected, "{level} {period} {i} {surrogate:?}");
                }
            }
        }
    });
}

#[test]
fn nan_stays_visible_where_open_and_is_minus_one_where_frozen() {
    at_every_level(|_| {
        assert!(forward(FreezeState::Open, 1, &[f32::NAN])[0].is_nan());
        assert_eq!(forward(FreezeState::Committed, 1, &[f32::NAN]), [-1.0]);
        assert_eq!(
            backward(FreezeState::Open, Surrogate::Blocked, 1, &[f32::NAN], &[1.0]),
            [0.0]
        );
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let u = noise(90_000, 1);
    let words: Vec<u64> = (0..900u64.div_ceil(64))
        .map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .collect();
    same_bits_whatever_the_threads(|| {
        let mask = FreezeState::Freezing(words.as_slice());
        [forward(mask, 900, &u), backward(mask, Surrogate::Identity, 900, &u, &u)].concat()
    });
}

#[test]
fn an_empty_tensor_is_no_trouble() {
    assert_eq!(forward(FreezeState::Open, 0, &[]), []);
    assert_eq!(forward(FreezeState::Freezing(&[]), 0, &[]), []);
    assert_eq!(
        backward(FreezeState::Freezing(&[]), Surrogate::Identity, 0, &[], &[]),
        []
    );
}

#[test]
#[should_panic(expected = "length of `mask` is 1, its shape needs 2")]
fn a_mask_too_short_panics() {
    forward(FreezeState::Freezing(&[0]), 65, &[0.0; 65]);
}

#[test]
#[should_panic(expected = "10 elements are not a whole number of samples of 3")]
fn part_of_a_sample_panics() {
    forward(FreezeState::Open, 3, &[0.0; 10]);
}

proptest! {
    #[test]
    fn all_ones_equal_committed_and_all_zeros_equal_open(
        u in prop::collection::vec(-3.0f32..3.0, 1..300),
        surrogate in prop::sample::select(&SURROGATES[..]),
    ) {
        let (ones, zeros) = (vec![u64::MAX; u.len().div_ceil(64)], vec![0; u.len().div_ceil(64)]);
        for (partial, whole) in [(&ones, FreezeState::Committed), (&zeros, FreezeState::Open)] {
            let partial = FreezeState::Freezing(partial.as_slice());
            prop_assert_eq!(forward(partial, u.len(), &u), forward(whole, u.len(), &u));
            prop_assert_eq!(
                backward(partial, surrogate, u.len(), &u, &u),
                backward(whole, surrogate, u.len(), &u, &u)
            );
        }
    }
}
