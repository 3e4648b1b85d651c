//! The distribution of the soft refresh: that of one draw per entry, independent, at the stated rates.
//!
//! Seeds are fixed, so these tests always give the same answer. Every test says how often it would fail for a correct
//! refresh under a fresh seed (its false-alarm rate), and shows by a negative control that it does see an error.

mod naive;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use stompp_schedule::{Curve, Mask};

/// A refresh under test: the mask after it.
type Refresh<'a> = &'a mut dyn FnMut(&Mask) -> Mask;

/// The crate's refresh at `p` and `r`.
fn skips(p: f64, r: f64, seed: u64) -> impl FnMut(&Mask) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move |mask| {
        let mut mask = mask.clone();
        mask.refresh(p, r, &mut rng);
        mask
    }
}

/// The definition at `p` and `r`.
fn draws(p: f64, r: f64, seed: u64) -> impl FnMut(&Mask) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = move || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    move |mask| {
        naive::refresh(&mask.iter().collect::<Vec<_>>(), p, r, || (unit(), unit()))
            .into_iter()
            .collect()
    }
}

/// Pearson's statistic of counts against the probabilities of their classes.
fn chi_squared(observed: &[u64], probabilities: &[f64]) -> f64 {
    let total = observed.iter().sum::<u64>() as f64;
    observed
        .iter()
        .zip(probabilities)
        .map(|(&o, &p)| (o as f64 - total * p).powi(2) / (total * p))
        .sum()
}

/// `scipy.stats.chi2.isf(1e-6, df)` for 63, 50 and 30 degrees of freedom.
const CHI_SQUARED_63: f64 = 131.3697;
const CHI_SQUARED_50: f64 = 112.6081;
const CHI_SQUARED_30: f64 = 82.0441;

/// The entries between the six watched ones, word boundaries and the tail must not matter.
const WATCHED: [(usize, [usize; 6]); 2] = [(6, [0, 1, 2, 3, 4, 5]), (130, [0, 1, 63, 64, 128, 129])];
const TRIALS: usize = 100_000;

/// How often each of the 64 joint outcomes of six watched entries followed from entries that alternate 0, 1, 0, ….
fn outcomes(len: usize, watched: [usize; 6], refresh: Refresh) -> [u64; 64] {
    let before: Mask = (0..len).map(|i| i % 2 == 1).collect();
    let mut counts = [0; 64];
    for _ in 0..TRIALS {
        let after = refresh(&before);
        counts[watched.iter().fold(0, |code, &i| code << 1 | usize::from(after.get(i)))] += 1;
    }
    counts
}

/// The exact probabilities of [`outcomes`]: the entries are independent, each frozen with `(1 - 1/r) old + p/r`.
fn outcome_probabilities(watched: [usize; 6], p: f64, r: f64) -> Vec<f64> {
    let frozen = |i: usize| (1.0 - 1.0 / r) * (i % 2) as f64 + p / r;
    (0..64)
        .map(|code| {
            let bits = (0..6).rev().map(|shift| code >> shift & 1 == 1);
            watched
                .iter()
                .zip(bits)
                .map(|(&i, bit)| if bit { frozen(i) } else { 1.0 - frozen(i) })
                .product()
        })
        .collect()
}

/// False alarms: below 1e-5 (six chi-squared tests at 1e-6).
#[test]
fn the_joint_distribution_is_exact_and_that_of_the_definition() {
    let (p, r) = (0.3, 3.0);
    for (len, watched) in WATCHED {
        let exact = outcome_probabilities(watched, p, r);
        let by_skips = outcomes(len, watched, &mut skips(p, r, 1));
        let by_draws = outcomes(len, watched, &mut draws(p, r, 2));
        assert!(chi_squared(&by_skips, &exact) < CHI_SQUARED_63);
        assert!(chi_squared(&by_draws, &exact) < CHI_SQUARED_63);
        assert!(homogeneity(&by_skips, &by_draws) < CHI_SQUARED_63);

        for wrong in [
            outcomes(len, watched, &mut skips(0.33, r, 3)),
            outcomes(len, watched, &mut skips(p, 3.3, 4)),
        ] {
            assert!(chi_squared(&wrong, &exact) > CHI_SQUARED_63);
            assert!(homogeneity(&wrong, &by_draws) > CHI_SQUARED_63);
        }
    }
}

/// Chi-squared of two samples of equal size against having one distribution.
fn homogeneity(a: &[u64], b: &[u64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (a as f64 - b as f64).powi(2) / (a + b).max(1) as f64)
        .sum()
}

/// The largest deviation of the frozen count from `f(t+1) = (1 - 1/r) f(t) + p(t)/r`, in standard deviations, over a
/// cubic window of 400 steps, checked every 20 steps; `refreshed_at` turns the expected `p` into the `(p, r)` in use.
fn recursion_deviation(refreshed_at: impl Fn(f64) -> (f64, f64), r: f64, seed: u64) -> f64 {
    const ENTRIES: usize = 50_000;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mask = Mask::new(ENTRIES);
    let (mut f, mut worst) = (0.0, 0f64);
    for step in 0..400 {
        let p = Curve::Cubic.fraction(f64::from(step) / 400.0);
        let (p_used, r_used) = refreshed_at(p);
        mask.refresh(p_used, r_used, &mut rng);
        f = (1.0 - 1.0 / r) * f + p / r;
        // Each entry is Bernoulli(f) and they are independent. The first checks would have too few counts for a normal.
        if step % 20 == 19 && f * ENTRIES as f64 > 100.0 {
            let deviation = (mask.fraction() - f) / (f * (1.0 - f) / ENTRIES as f64).sqrt();
            worst = worst.max(deviation.abs());
        }
    }
    worst
}

/// False alarms: below 1e-6 (20 normal deviates beyond 5.5, 4e-8 each).
#[test]
fn the_frozen_fraction_follows_the_recursion() {
    let r = 20.0;
    assert!(recursion_deviation(|p| (p, r), r, 5) < 5.5);
    assert!(recursion_deviation(|p| (p, 24.0), r, 6) > 5.5);
    assert!(recursion_deviation(|p| (p * 0.97, r), r, 7) > 5.5);
}

/// The largest correlation of two entries among 70, over refreshes of an open mask towards 1/2 with `r = 2`, in standard
/// deviations.
fn largest_correlation(refresh: Refresh) -> f64 {
    const LEN: usize = 70;
    const REFRESHES: usize = 20_000;
    let frozen = 0.25; // p / r
    let open = Mask::new(LEN);
    let mut sums = vec![[0.0; LEN]; LEN];
    for _ in 0..REFRESHES {
        let entries: Vec<f64> = refresh(&open)
            .iter()
            .map(|entry| f64::from(u8::from(entry)) - frozen)
            .collect();
        for i in 0..LEN {
            for j in 0..i {
                sums[i][j] += entries[i] * entries[j];
            }
        }
    }
    let sigma = (REFRESHES as f64).sqrt() * frozen * (1.0 - frozen);
    sums.iter()
        .flatten()
        .map(|sum| f64::abs(sum / sigma))
        .fold(0.0, f64::max)
}

/// False alarms: below 1e-6 (2415 pairs beyond 6.5, 8e-11 each; the skew of a product of two entries doubles that).
#[test]
fn entries_are_independent() {
    assert!(largest_correlation(&mut skips(0.5, 2.0, 8)) < 6.5);

    // Which entries are redrawn is right here, but one refresh gives all of them the same value.
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut one_value = |mask: &Mask| {
        let value = f64::from(rng.next_u32() % 2);
        let mut selection = || f64::from(rng.next_u32()) / (1u64 << 32) as f64;
        let before: Vec<bool> = mask.iter().collect();
        naive::refresh(&before, 0.5, 2.0, || (selection(), value))
            .into_iter()
            .collect()
    };
    assert!(largest_correlation(&mut one_value) > 6.5);
}

/// Probabilities of 0, 1, …, `classes - 1` failures before the first success, and of more.
fn geometric(success: f64, classes: usize) -> Vec<f64> {
    let q = 1.0 - success;
    let mut probabilities: Vec<f64> = (0..classes as i32).map(|k| q.powi(k) * success).collect();
    probabilities.push(q.powi(classes as i32));
    probabilities
}

/// Counts of 0, 1, …, `classes - 1` and of more.
fn histogram(values: impl Iterator<Item = usize>, classes: usize) -> Vec<u64> {
    let mut counts = vec![0; classes + 1];
    values.for_each(|value| counts[value.min(classes)] += 1);
    counts
}

/// Gaps between the entries that one refresh redraws. The first 90,000 of about 100,000, so that none is cut off.
fn gaps(r: f64, seed: u64) -> Vec<u64> {
    let redrawn = skips(1.0, r, seed)(&Mask::new(1_000_000));
    let positions: Vec<usize> = redrawn
        .iter()
        .enumerate()
        .filter_map(|(i, frozen)| frozen.then_some(i))
        .collect();
    assert!(positions.len() > 90_000);
    let starts = std::iter::once(0).chain(positions.iter().map(|position| position + 1));
    histogram(
        starts
            .zip(&positions)
            .map(|(start, position)| position - start)
            .take(90_000),
        50,
    )
}

/// False alarms: 1e-6.
#[test]
fn gaps_between_redrawn_entries_are_geometric() {
    let expected = geometric(1.0 / 10.0, 50);
    assert!(chi_squared(&gaps(10.0, 10), &expected) < CHI_SQUARED_50);
    assert!(chi_squared(&gaps(10.5, 11), &expected) > CHI_SQUARED_50);
}

/// Lengths (less one) of the times that entries stay open, and of those that they stay frozen, at constant `p` and `r`:
/// the first 60 of each kind of 200 entries, so that none is cut off.
fn run_lengths(p: f64, r: f64, seed: u64) -> [Vec<u64>; 2] {
    const ENTRIES: usize = 200;
    const RUNS: usize = 60;
    let mut refresh = skips(p, r, seed);
    let mut mask = Mask::new(ENTRIES);
    let mut current = [0; ENTRIES];
    let mut runs = [const { [const { Vec::new() }; 2] }; ENTRIES];
    for _ in 0..4000 {
        let next = refresh(&mask);
        for i in 0..ENTRIES {
            if next.get(i) == mask.get(i) {
                current[i] += 1;
            } else {
                runs[i][usize::from(mask.get(i))].push(std::mem::take(&mut current[i]));
            }
        }
        mask = next;
    }
    assert!(runs.iter().flatten().all(|runs| runs.len() > RUNS));
    [0, 1].map(|kind| histogram(runs.iter().flat_map(|runs| runs[kind][..RUNS].iter().copied()), 30))
}

/// False alarms: 2e-6. An open entry freezes with probability p/r per step, a frozen one opens with (1 - p)/r.
#[test]
fn run_lengths_are_geometric() {
    let (p, r) = (0.3, 5.0);
    let expected = [geometric(p / r, 30), geometric((1.0 - p) / r, 30)];
    for (observed, expected) in run_lengths(p, r, 12).iter().zip(&expected) {
        assert!(chi_squared(observed, expected) < CHI_SQUARED_30);
    }
    for (observed, expected) in run_lengths(p, 6.0, 13).iter().zip(&expected) {
        assert!(chi_squared(observed, expected) > CHI_SQUARED_30);
    }
}

/// False alarms: below 1e-7 (two normal deviates beyond 5.5).
#[test]
fn the_work_is_in_proportion_to_what_is_redrawn() {
    const LEN: usize = 1_000_000;
    let rng = &mut ChaCha8Rng::seed_from_u64(14);
    for r in [100.0, 1000.0] {
        let before = rng.get_word_pos();
        let redrawn = Mask::new(LEN).refresh(0.5, r, rng).redrawn;
        // ChaCha counts in words of 32 bits.
        assert_eq!(rng.get_word_pos() - before, 2 * (2 * redrawn as u128 + 1));
        let (mean, variance) = (LEN as f64 / r, LEN as f64 / r * (1.0 - 1.0 / r));
        assert!(
            (redrawn as f64 - mean).abs() < 5.5 * variance.sqrt(),
            "r = {r}: {redrawn}"
        );
    }
}
