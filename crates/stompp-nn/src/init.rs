//! Initial weights, as torchvision's ResNets and PyTorch's linear layers draw them.

use rand::{Rng, RngExt};
use rand_distr::{Normal, Uniform};

/// He initialisation, fan-out mode for rectifiers: `n` draws from a normal distribution of deviation `sqrt(2 / fan_out)`,
/// where `fan_out = out_channels * kernel * kernel` (torchvision's choice for ResNets).
pub fn kaiming_normal(n: usize, fan_out: usize, rng: &mut impl Rng) -> Vec<f32> {
    let deviation = (2.0 / fan_out as f32).sqrt();
    let normal = Normal::new(0.0, deviation).expect("a finite deviation");
    rng.sample_iter(normal).take(n).collect()
}

/// `n` draws from a uniform distribution on `[-1/sqrt(fan_in), 1/sqrt(fan_in)]` (PyTorch's choice for linear layers).
pub fn uniform_fan_in(n: usize, fan_in: usize, rng: &mut impl Rng) -> Vec<f32> {
    let limit = 1.0 / (fan_in as f32).sqrt();
    let uniform = Uniform::new_inclusive(-limit, limit).expect("a finite limit");
    rng.sample_iter(uniform).take(n).collect()
}
