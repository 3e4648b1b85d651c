//! Statistics of numbers by seed: means, deviations and confidence intervals.
//!
//! Differences are paired: two runs with the same seed have the same initial weights, order of data and random masks.

use rand_core::Rng;
use std::collections::BTreeMap;
use stompp_rng::{Purpose, stream};

/// Smallest number of seeds with which the interval can mean 95 %. If n differences are as likely positive as negative, all n have the
/// same sign in one of 2^(n-1) cases. That is 25 % with three seeds and 6 % with five.
pub(crate) const ENOUGH_SEEDS: usize = 5;

/// Number of bootstrap draws.
const DRAWS: usize = 20_000;

/// One number for each seed that was run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(BTreeMap<u64, f64>);

/// Mean and confidence interval of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of seeds.
    pub n: usize,
    /// Mean over seeds.
    pub mean: f64,
    /// The 95 % confidence interval (percentile bootstrap over seeds); `None` with fewer than two seeds. With fewer than five it is too
    /// narrow.
    pub interval: Option<[f64; 2]>,
}

impl FromIterator<(u64, f64)> for Sample {
    fn from_iter<I: IntoIterator<Item = (u64, f64)>>(by_seed: I) -> Self {
        Self(by_seed.into_iter().collect())
    }
}

impl Sample {
    /// Number of seeds.
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// The numbers, in order of their seeds.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.0.values().copied()
    }

    /// The mean; `None` if the sample is empty.
    pub fn mean(&self) -> Option<f64> {
        (self.n() > 0).then(|| self.values().sum::<f64>() / self.n() as f64)
    }

    /// The sample standard deviation (n - 1); `None` with fewer than two seeds.
    pub fn deviation(&self) -> Option<f64> {
        let mean = self.mean().filter(|_| self.n() > 1)?;
        let squares: f64 = self.values().map(|value| (value - mean).powi(2)).sum();
        Some((squares / (self.n() - 1) as f64).sqrt())
    }

    /// The differences, seed by seed, of the seeds that both samples have.
    pub fn minus(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .filter_map(|(seed, value)| Some((*seed, value - other.0.get(seed)?)));
        pairs.collect()
    }

    /// Mean and interval; `None` if the sample is empty.
    pub fn summary(&self) -> Option<Summary> {
        Some(Summary {
            n: self.n(),
            mean: self.mean()?,
            interval: (self.n() > 1).then(|| self.bootstrap()),
        })
    }

    /// The 2.5th and 97.5th percentile of the bootstrapped means. It is deterministic.
    fn bootstrap(&self) -> [f64; 2] {
        let values: Vec<_> = self.values().collect();
        let mut rng = stream(0, Purpose::new(*b"bootstrp"), 0, 0);
        let mut means: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let draw = |_| values[((u64::from(rng.next_u32()) * values.len() as u64) >> 32) as usize];
                (0..values.len()).map(draw).sum::<f64>() / values.len() as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        [DRAWS / 40, DRAWS - 1 - DRAWS / 40].map(|place| means[place])
    }
}

/// Binomial standard error, in points, of an accuracy of `percent` on `images` test images.
pub(crate) fn standard_error(percent: f64, images: usize) -> f64 {
    let share = percent / 100.0;
    100.0 * (share * (1.0 - share) / images as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn sample(values: &[f64]) -> Sample {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn small_samples_have_no_interval() {
        assert_eq!(sample(&[]).summary(), None);
        assert_eq!((sample(&[]).mean(), sample(&[]).deviation()), (None, None));
        let one = sample(&[3.0]).summary().unwrap();
        assert_eq!((one.n, one.mean, one.interval), (1, 3.0, None));
        assert_eq!(sample(&[3.0]).deviation(), None);
    }

    #[test]
    fn means_and_deviations_are_those_of_python_s_statistics() {
        // python3 -c "import statistics as s; x = [1, 2, 6]; print(s.mean(x), s.stdev(x))"
        let three = sample(&[1.0, 2.0, 6.0]);
        assert_eq!(three.mean(), Some(3.0));
        assert_abs_diff_eq!(three.deviation().unwrap(), 2.645_751_311_064_590_7, epsilon = 1e-12);
    }

    #[test]
    fn differences_are_of_the_seeds_that_both_have() {
        let a: Sample = [(0, 5.0), (1, 7.0), (3, 9.0)].into_iter().collect();
        let b: Sample = [(1, 1.0), (2, 2.0), (3, 4.0)].into_iter().collect();
        assert_eq!(a.minus(&b), [(1, 6.0), (3, 5.0)].into_iter().collect());
        assert_eq!(a.minus(&Sample::default()).summary(), None);
    }

    #[test]
    fn the_interval_is_that_of_every_possible_draw() {
        // Every one of the n^n draws, in Python:
        // m = sorted(sum(d) / len(x) for d in itertools.product(x, repeat=len(x)));
        // print(m[len(m) // 40], m[-1 - len(m) // 40])
        for (values, low, high) in [
            (&[1.0, 2.0, 6.0][..], 1.0, 6.0),
            (&[0.5, 1.5, 2.0, 3.0, 7.0][..], 1.2, 5.0),
            (
                &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0][..],
                -0.833_333_333_333_333_3,
                1.833_333_333_333_333_3,
            ),
        ] {
            let [from, to] = sample(values).summary().unwrap().interval.unwrap();
            assert_abs_diff_eq!(from, low, epsilon = 0.11);
            assert_abs_diff_eq!(to, high, epsilon = 0.11);
        }
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        // 400 samples of 8 normal numbers of mean 1; percentile intervals of 8 are known to be somewhat narrow (about 90 %).
        let mut rng = stream(1, Purpose::new(*b"coverage"), 0, 0);
        let mut uniform = || (f64::from(rng.next_u32()) + 0.5) / f64::from(u32::MAX);
        let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let covered = (0..400)
            .filter(|_| {
                let numbers: Vec<_> = (0..8).map(|_| 1.0 + normal()).collect();
                let [from, to] = sample(&numbers).summary().unwrap().interval.unwrap();
                (from..=to).contains(&1.0)
            })
            .count();
        assert!((340..=390).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn standard_errors_are_binomial() {
        // python3 -c "print(100 * (.3 * .7 / 5000) ** .5, 100 * (.5 * .5 / 10000) ** .5)"
        assert_abs_diff_eq!(standard_error(30.0, 5_000), 0.648_074_069_840_786, epsilon = 1e-12);
        assert_abs_diff_eq!(standard_error(50.0, 10_000), 0.5, epsilon = 1e-12);
        assert_eq!(standard_error(100.0, 10), 0.0);
    }
}
