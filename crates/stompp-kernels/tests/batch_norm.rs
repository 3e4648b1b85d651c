//! Batch norm against its formula in `f64`, its gradients against finite differences.

mod common;

use common::{assert_close, at_every_level, double, finite_differences, noise, same_bits_whatever_the_threads};
use stompp_kernels::{
    BatchNormParams, BatchNormQuantizeGradients, ChannelShape, FreezeState, Surrogate, add_forward,
    batch_norm_backward, batch_norm_forward, batch_norm_quantize_backward, batch_norm_quantize_forward,
    batch_norm_statistics, quantize_backward, quantize_forward,
};

const EPS: f64 = 1e-5;

fn channel<'a>(s: &'a ChannelShape, x: &'a [f64], c: usize) -> impl Iterator<Item = f64> + Clone + 'a {
    (0..s.batch).flat_map(move |n| x[(n * s.channels + c) * s.inner..][..s.inner].iter().copied())
}

fn naive_statistics(s: &ChannelShape, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let count = (s.batch * s.inner) as f64;
    (0..s.channels)
        .map(|c| {
            let mean = channel(s, x, c).sum::<f64>() / count;
            (mean, channel(s, x, c).map(|x| (x - mean).powi(2)).sum::<f64>() / count)
        })
        .unzip()
}

fn naive_forward(s: &ChannelShape, x: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let (mean, var) = naive_statistics(s, x);
    x.iter()
        .enumerate()
        .map(|(i, x)| {
            let c = i / s.inner % s.channels;
            (x - mean[c]) / (var[c] + EPS).sqrt() * scale[c] + shift[c]
        })
        .collect()
}

fn shapes() -> [ChannelShape; 5] {
    [(1, 1, 2), (2, 3, 5), (4, 5, 16), (3, 7, 49), (2, 4, 1)].map(|(batch, channels, inner)| ChannelShape {
        batch,
        channels,
        inner,
    })
}

fn statistics(s: &ChannelShape, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut mean, mut var) = (vec![f32::NAN; s.channels], vec![f32::NAN; s.channels]);
    batch_norm_statistics(s, x, &mut mean, &mut var);
    (mean, var)
}

fn inv_std(var: &[f32]) -> Vec<f32> {
    var.iter()
        .map(|&v| (1.0 / (f64::from(v) + EPS).sqrt()) as f32)
        .collect()
}

#[test]
fn forward_agrees_with_the_formula() {
    at_every_level(|level| {
        for s in shapes() {
            let x = noise(s.len(), 1);
            let (scale, shift) = (noise(s.channels, 2), noise(s.channels, 3));
            let (mean, var) = statistics(&s, &x);
            let (mean_expected, var_expected) = naive_statistics(&s, &double(&x));
            assert_close(&format!("mean, {level}, {s:?}"), &mean, &mean_expected, 1e-7);
            assert_close(&format!("var, {level}, {s:?}"), &var, &var_expected, 1e-7);
            let mut y = vec![f32::NAN; x.len()];
            batch_norm_forward(&s, &x, &mean, &inv_std(&var), &scale, &shift, &mut y);
            let expected = naive_forward(&s, &double(&x), &double(&scale), &double(&shift));
            assert_close(&format!("y, {level}, {s:?}"), &y, &expected, 2e-5);
        }
    });
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for s in shapes() {
        let (x, gy) = (noise(s.len(), 1), noise(s.len(), 4));
        let (scale, shift) = (noise(s.channels, 2), noise(s.channels, 3));
        let (x64, gy64, scale64, shift64) = (double(&x), double(&gy), double(&scale), double(&shift));
        let dot = |y: Vec<f64>| y.iter().zip(&gy64).map(|(y, g)| y * g).sum::<f64>();
        let gx_expected = finite_differences(&x64, |x| dot(naive_forward(&s, x, &scale64, &shift64)));
        let gscale_expected = finite_differences(&scale64, |scale| dot(naive_forward(&s, &x64, scale, &shift64)));
        let gshift_expected = finite_differences(&shift64, |shift| dot(naive_forward(&s, &x64, &scale64, shift)));
        at_every_level(|level| {
            let (mean, var) = statistics(&s, &x);
            let inv_std = inv_std(&var);
            // Onto ones, because gradients accumulate.
            let (mut gx, mut gscale, mut gshift) = (vec![1.0; x.len()], vec![1.0; s.channels], vec![1.0; s.channels]);
            batch_norm_backward(
                &s,
                None,
                &x,
                &mean,
                &inv_std,
                &scale,
                &gy,
                Some(&mut gx),
                &mut gscale,
                &mut gshift,
            );
            let plus_one = |g: &[f64]| g.iter().map(|g| g + 1.0).collect::<Vec<_>>();
            // `inner == 1` or two elements a channel make tiny variances, so tolerances are relative to 1 / std.
            let steepest = f64::from(inv_std.iter().copied().fold(1.0, f32::max));
            assert_close(
                &format!("gx, {level}, {s:?}"),
                &gx,
                &plus_one(&gx_expected),
                1e-5 * steepest,
            );
            assert_close(
                &format!("gscale, {level}, {s:?}"),
                &gscale,
                &plus_one(&gscale_expected),
                1e-5,
            );
            assert_close(
                &format!("gshift, {level}, {s:?}"),
                &gshift,
                &plus_one(&gshift_expected),
                1e-6,
            );
            let (mut gscale_alone, mut gshift_alone) = (vec![1.0; s.channels], vec![1.0; s.channels]);
            batch_norm_backward(
                &s,
                None,
                &x,
                &mean,
                &inv_std,
                &scale,
                &gy,
                None,
                &mut gscale_alone,
                &mut gshift_alone,
            );
            assert_eq!((gscale_alone, gshift_alone), (gscale, gshift));
        });
    }
}

#[test]
fn a_small_variance_far_from_zero_is_exact() {
    // Single precision would lose all of it: 1e4^2 = 1e8 has a unit in the last place of 8.
    let s = ChannelShape {
        batch: 8,
        channels: 1,
        inner: 1000,
    };
    let x: Vec<f32> = (0..s.len()).map(|i| 1e4 + (i % 2) as f32).collect();
    at_every_level(|_| assert_eq!(statistics(&s, &x), (vec![10_000.5], vec![0.25])));
}

#[test]
fn a_constant_channel_has_no_variance() {
    let s = ChannelShape {
        batch: 3,
        channels: 2,
        inner: 7,
    };
    let (mean, var) = statistics(&s, &vec![0.1; s.len()]);
    assert_eq!(mean, [0.1; 2]);
    assert!(var.iter().all(|&v| (0.0..1e-15).contains(&v)), "{var:?}");
}

#[test]
fn fused_with_a_quantizer_it_has_the_bits_of_the_two_in_a_row() {
    for (batch, channels, inner) in [
        (3, 5, 49),
        (2, 7, 16),
        (1, 3, 300),
        (2, 4, 64),
        (40, 33, 128),
        (2, 3, 1),
    ] {
        let s = ChannelShape { batch, channels, inner };
        let (x, gout) = (noise(s.len(), 1), noise(s.len(), 2));
        let scale: Vec<f32> = noise(channels, 3).iter().map(|x| 2.0 * x).collect();
        let shift = noise(channels, 4);
        let period = channels * inner;
        let words: Vec<u64> = noise(period.div_ceil(64), 5)
            .iter()
            .map(|x| u64::from(x.to_bits()).wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .collect();
        at_every_level(|level| {
            let (mean, var) = statistics(&s, &x);
            let inv_std = inv_std(&var);
            let norm = BatchNormParams {
                mean: &mean,
                inv_std: &inv_std,
                scale: &scale,
                shift: &shift,
            };
            for residual in [None, Some(&noise(s.len(), 6)[..])] {
                let mut u = vec![f32::NAN; s.len()];
                batch_norm_forward(&s, &x, &mean, &inv_std, &scale, &shift, &mut u);
                if let Some(residual) = residual {
                    let normalized = u.clone();
                    add_forward(&normalized, residual, &mut u);
                }
                for mask in [
                    FreezeState::Open,
                    FreezeState::Freezing(words.as_slice()),
                    FreezeState::Committed,
                ] {
                    let (mut out, mut fused) = (vec![f32::NAN; s.len()], vec![f32::NAN; s.len()]);
                    quantize_forward(mask, period, &u, &mut out);
                    batch_norm_quantize_forward(&s, &x, norm, residual, mask, &mut fused);
                    assert_eq!(fused, out, "{level} {s:?} {mask:?}");
                    for surrogate in [Surrogate::Blocked, Surrogate::Identity, Surrogate::Clipped] {
                        let mut gu = vec![0.0; s.len()];
                        quantize_backward(mask, surrogate, period, &u, &gout, &mut gu);
                        let start = || {
                            [
                                vec![0.5; s.len()],
                                vec![0.5; channels],
                                vec![0.5; channels],
                                vec![0.5; s.len()],
                            ]
                        };
                        let (mut separate, mut fused) = (start(), start());
                        let [gx, gscale, gshift, gresidual] = &mut separate;
                        gx.fill(0.0); // the fused kernel replaces its input by it
                        batch_norm_backward(&s, None, &x, &mean, &inv_std, &scale, &gu, Some(gx), gscale, gshift);
                        if residual.is_some() {
                            gresidual.iter_mut().zip(&gu).for_each(|(to, g)| *to += g);
                        }
                        let [gx, gscale, gshift, gresidual] = &mut fused;
                        gx.copy_from_slice(&x);
                        let gradients = BatchNormQuantizeGradients {
                            residual: residual.map(|_| &mut gresidual[..]),
                            scale: gscale,
                            shift: gshift,
                        };
                        batch_norm_quantize_backward(&s, None, gx, norm, residual, mask, surrogate, &gout, gradients);
                        assert_eq!(fused, separate, "{level} {s:?} {mask:?} {surrogate:?}");
                    }
                }
            }
        });
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let s = ChannelShape {
        batch: 9,
        channels: 13,
        inner: 1024,
    };
    let (x, gy) = (noise(s.len(), 1), noise(s.len(), 2));
    let (scale, shift) = (noise(s.channels, 2), noise(s.channels, 3));
    same_bits_whatever_the_threads(|| {
        let (mean, var) = statistics(&s, &x);
        let inv_std = inv_std(&var);
        let (mut y, mut gx) = (vec![0.0; s.len()], vec![0.0; s.len()]);
        let (mut gscale, mut gshift) = (vec![0.0; s.channels], vec![0.0; s.channels]);
        batch_norm_forward(&s, &x, &mean, &inv_std, &scale, &shift, &mut y);
        batch_norm_backward(
            &s,
            None,
            &x,
            &mean,
            &inv_std,
            &scale,
            &gy,
            Some(&mut gx),
            &mut gscale,
            &mut gshift,
        );
        [mean, var, y, gx, gscale, gshift].concat()
    });
}
