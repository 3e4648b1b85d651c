//! Measures how fast this processor can count bits. Compare the speed of a network with this limit.

use crate::SimdLevel;
use std::{hint::black_box, time::Instant};

/// Measures the largest number of binary multiply-accumulates per second of one thread at `level`.
///
/// The measurement runs only the counting instructions, from registers to registers. A network is slower, because it also loads data,
/// handles borders and compares with thresholds. The measurement lasts about a tenth of a second.
///
/// # Panics
/// Panics if this machine does not support `level`.
pub fn multiply_accumulates_per_second(level: SimdLevel) -> f64 {
    assert!(level.is_supported(), "this machine lacks {level}");
    const ROUNDS: usize = 1 << 20;
    let mut best = 0_f64;
    for _ in 0..8 {
        let start = Instant::now();
        let done = match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is supported.
            SimdLevel::Avx512 => unsafe { popcounts(ROUNDS) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is supported.
            SimdLevel::Avx2 => unsafe { lookups(ROUNDS) },
            _ => words(ROUNDS),
        };
        best = best.max(done as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Number of independent chains of instructions: enough that throughput, not latency, is the limit.
const CHAINS: usize = 12;

/// Runs `link` `rounds` times in every chain and returns the total number of multiply-accumulates; `macs` is the number for one link.
/// Inlined, so that it is compiled for the instructions of its caller.
#[inline(always)]
fn chains<T: Copy>(rounds: usize, start: T, macs: usize, link: impl Fn(T) -> T) -> usize {
    let mut sums = [start; CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = link(*sum);
        }
    }
    black_box(sums);
    macs * CHAINS * rounds
}

/// XOR, VPOPCNTQ and an addition: 512 multiply-accumulates.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")]
fn popcounts(rounds: usize) -> usize {
    use core::arch::x86_64::*;

    let pixel = _mm512_set1_epi64(black_box(0x1234_5678_9ABC_DEF0));
    chains(
        rounds,
        _mm512_setzero_si512(),
        512,
        #[inline(always)]
        |sum| _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(pixel, sum))),
    )
}

/// A byte shuffle and an addition: 4 channels of 32 kernels for 2 pixels, see `kernels/lookup.rs`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn lookups(rounds: usize) -> usize {
    use core::arch::x86_64::*;

    let table = _mm256_set1_epi64x(black_box(0x0102_0301_0203_0102));
    chains(
        rounds,
        _mm256_setzero_si256(),
        256,
        #[inline(always)]
        |sum| _mm256_add_epi8(sum, _mm256_shuffle_epi8(table, sum)),
    )
}

/// XOR, a population count and an addition of 64-bit words.
fn words(rounds: usize) -> usize {
    let pixel = black_box(0x1234_5678_9ABC_DEF0_u64);
    chains(rounds, 0_u64, 64, |sum| sum + u64::from((sum ^ pixel).count_ones()))
}
