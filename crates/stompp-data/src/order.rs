//! The order in which training visits the records: **a permutation that is a pure function of (seed, epoch)**.

use rand::seq::SliceRandom;
use rand_core::Rng;
use stompp_rng::{Purpose, stream};

/// Returns the order of the records `0..records` in `epoch`: a random permutation, each equally likely (Fisher-Yates).
///
/// ```
/// let order = stompp_data::epoch_order(5, 7, 0);
/// assert_eq!(order, stompp_data::epoch_order(5, 7, 0));
/// let mut sorted = order.clone();
/// sorted.sort();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// ```
pub fn epoch_order(records: usize, seed: u64, epoch: u64) -> Vec<usize> {
    permutation(records, stream(seed, Purpose::DATA_ORDER, epoch, 0))
}

/// A random permutation of `0..n`.
pub(crate) fn permutation(n: usize, mut rng: impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_epoch_both_matter() {
        let order = epoch_order(100, 1, 1);
        assert_ne!(order, epoch_order(100, 1, 2));
        assert_ne!(order, epoch_order(100, 2, 1));
    }

    /// Chi-squared test: over many epochs, every record is at every position equally often.
    #[test]
    fn positions_are_uniform() {
        const N: usize = 16;
        const EPOCHS: u64 = 4000;
        let mut seen = [[0f64; N]; N];
        for epoch in 0..EPOCHS {
            for (position, record) in epoch_order(N, 0, epoch).into_iter().enumerate() {
                seen[record][position] += 1.0;
            }
        }
        let expected = EPOCHS as f64 / N as f64;
        // Each record is once on each position, so the counts have (N - 1)^2 degrees of freedom and N / (N - 1) times
        // their variance.
        let sum: f64 = seen
            .iter()
            .flatten()
            .map(|count| (count - expected).powi(2) / expected)
            .sum();
        let chi2 = sum * (N - 1) as f64 / N as f64;
        // 225 degrees of freedom: scipy.stats.chi2.ppf([1e-4, 1 - 1e-4], 225) = 154.5, 312.6.
        assert!((154.5..312.6).contains(&chi2), "chi squared {chi2}");
    }
}
