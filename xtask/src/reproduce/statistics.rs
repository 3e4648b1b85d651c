//! Means, and how far an accuracy on a finite test set may be off.

/// The mean; `None` of nothing.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Binomial standard error, in points, of an accuracy of `percent` on `images` test images.
pub(crate) fn standard_error(percent: f64, images: usize) -> f64 {
    let share = percent / 100.0;
    100.0 * (share * (1.0 - share) / images as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_nothing_is_none() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
    }

    #[test]
    fn standard_errors_are_binomial() {
        // python3 -c "print(100 * (.3 * .7 / 5000) ** .5, 100 * (.5 * .5 / 10000) ** .5)"
        assert!((standard_error(30.0, 5_000) - 0.648_074_069_840_786).abs() < 1e-12);
        assert!((standard_error(50.0, 10_000) - 0.5).abs() < 1e-12);
        assert_eq!(standard_error(100.0, 10), 0.0);
    }
}
