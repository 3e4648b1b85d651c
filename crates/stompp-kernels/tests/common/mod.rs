//! Common functions of the integration tests: noise, SIMD levels, thread pools, comparison.
#![allow(dead_code)] // Each test binary uses a part.

use stompp_kernels::simd::{SimdLevel, with_level};

/// Deterministic values in [-1, 1), different for each `salt`.
pub(crate) fn noise(n: usize, salt: u64) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Runs `f` at every SIMD level of this machine.
pub(crate) fn at_every_level(f: impl Fn(SimdLevel)) {
    for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
        with_level(level, || f(level));
    }
}

/// Runs `f` with 1, 2, 3 and 8 threads and panics unless all results have the same bits.
pub(crate) fn same_bits_whatever_the_threads(f: impl Fn() -> Vec<f32> + Sync) {
    let runs: Vec<Vec<u32>> = [1, 2, 3, 8]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(&f).iter().map(|x| x.to_bits()).collect()
        })
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]));
}

/// Panics unless `|actual - expected| <= tolerance * (1 + |expected|)` everywhere.
#[track_caller]
pub(crate) fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(a) - e).abs() <= tolerance * (1.0 + e.abs()),
            "{what}[{i}]: {a}, expected {e}"
        );
    }
}

/// The slice in `f64`.
pub(crate) fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// The gradient of `f` at `x` by central differences.
pub(crate) fn finite_differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let at = |i: usize, step: f64| {
        let mut x = x.to_vec();
        x[i] += step;
        f(&x)
    };
    (0..x.len())
        .map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP))
        .collect()
}
