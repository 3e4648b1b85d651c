//! Quantizers and batch norms.

use crate::common::{CHANNELS, STRICT, assert_close, bits, blank, down, gpu, numbers, up};
use stompp_cuda::{BatchNormParams, BatchSums, Floats, FloatsMut, Gpu, Moments, NormGradients, Quantizer};
use stompp_kernels::{self as kernels, FreezeState, Surrogate};

const SURROGATES: [Surrogate; 3] = [Surrogate::Blocked, Surrogate::Identity, Surrogate::Clipped];

/// A mask of `period` entries on the host and on the device.
fn mask(gpu: &Gpu, period: usize) -> (Vec<u64>, cudarc::driver::CudaSlice<u64>) {
    let bits = numbers(period, 9);
    let mut words = vec![0u64; period.div_ceil(64)];
    for (entry, value) in bits.iter().enumerate() {
        words[entry / 64] |= u64::from(*value > 0.5) << (entry % 64);
    }
    let on_device = gpu.upload_mask(&words).unwrap();
    (words, on_device)
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_quantizers_are_the_cpu_s_exactly() {
    let gpu = gpu(STRICT);
    for (period, samples) in [(1, 5), (64, 3), (70, 4), (1000, 2), (5000, 1)] {
        let (words, on_device) = mask(&gpu, period);
        let mut u = numbers(period * samples, 1);
        u[0] = f32::NAN;
        let gout = numbers(u.len(), 2);
        let (on_u, on_gout) = (up(&gpu, &u), up(&gpu, &gout));
        for surrogate in SURROGATES {
            let states = [
                (FreezeState::Open, Quantizer::open(period)),
                (
                    FreezeState::Freezing(words.as_slice()),
                    Quantizer::freezing(period, &on_device, surrogate),
                ),
                (FreezeState::Committed, Quantizer::committed(period, surrogate)),
            ];
            for (state, quantizer) in states {
                let mut expected = vec![0.0; u.len()];
                kernels::quantize_forward(state, period, &u, &mut expected);
                let mut out = blank(&gpu, u.len());
                gpu.quantize(quantizer, Floats::new(&on_u), FloatsMut::new(&mut out))
                    .unwrap();
                assert_eq!(bits(&down(&gpu, &out)), bits(&expected), "{period} {state:?}");

                let mut expected = numbers(u.len(), 3);
                let mut gu = up(&gpu, &expected);
                kernels::quantize_backward(state, surrogate, period, &u, &gout, &mut expected);
                gpu.quantize_backward(
                    quantizer,
                    Floats::new(&on_u),
                    Floats::new(&on_gout),
                    FloatsMut::new(&mut gu),
                )
                .unwrap();
                assert_eq!(down(&gpu, &gu), expected, "{period} {state:?} {surrogate:?}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_batch_norms_are_the_cpu_s() {
    let gpu = gpu(STRICT);
    for s in CHANNELS {
        let (x, gy) = (numbers(s.len(), 1), numbers(s.len(), 2));
        let (scale, shift) = (numbers(s.channels, 3), numbers(s.channels, 4));
        let (on_x, on_gy) = (up(&gpu, &x), up(&gpu, &gy));
        let (mut mean, mut variance) = (vec![0.0; s.channels], vec![0.0; s.channels]);
        kernels::batch_norm_statistics(&s, &x, &mut mean, &mut variance);
        let inv_std: Vec<f32> = variance.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();

        let [mut on_mean, mut on_variance, mut on_inv_std] = [0; 3].map(|_| blank(&gpu, s.channels));
        let out = Moments {
            mean: FloatsMut::new(&mut on_mean),
            variance: FloatsMut::new(&mut on_variance),
            inv_std: FloatsMut::new(&mut on_inv_std),
        };
        gpu.moments(&s, &BatchSums::alone(s.batch), 1e-5, Floats::new(&on_x), out)
            .unwrap();
        assert_close("mean", &down(&gpu, &on_mean), &mean, 1e-6);
        assert_close("variance", &down(&gpu, &on_variance), &variance, 1e-6);
        assert_close("inv_std", &down(&gpu, &on_inv_std), &inv_std, 1e-6);

        // The rest is computed from the CPU's moments.
        let (on_mean, on_inv_std) = (up(&gpu, &mean), up(&gpu, &inv_std));
        let (on_scale, on_shift) = (up(&gpu, &scale), up(&gpu, &shift));
        let norm = BatchNormParams {
            mean: Floats::new(&on_mean),
            inv_std: Floats::new(&on_inv_std),
            scale: Floats::new(&on_scale),
            shift: Floats::new(&on_shift),
        };
        let mut y = blank(&gpu, s.len());
        gpu.batch_norm(&s, norm, Floats::new(&on_x), FloatsMut::new(&mut y))
            .unwrap();
        let mut expected = vec![0.0; s.len()];
        kernels::batch_norm_forward(&s, &x, &mean, &inv_std, &scale, &shift, &mut expected);
        assert_close("y", &down(&gpu, &y), &expected, 1e-6);

        let [mut egx, mut egscale, mut egshift] =
            [(s.len(), 5), (s.channels, 6), (s.channels, 7)].map(|(len, salt)| numbers(len, salt));
        let [mut gx, mut gscale, mut gshift] = [&egx, &egscale, &egshift].map(|values| up(&gpu, values));
        kernels::batch_norm_backward(
            &s,
            None,
            &x,
            &mean,
            &inv_std,
            &scale,
            &gy,
            Some(&mut egx),
            &mut egscale,
            &mut egshift,
        );
        let gradients = NormGradients {
            x: Some(FloatsMut::new(&mut gx)),
            add_to_x: true,
            residual: None,
            scale: FloatsMut::new(&mut gscale),
            shift: FloatsMut::new(&mut gshift),
        };
        let sums = BatchSums::alone(s.batch);
        gpu.norm_backward(
            &s,
            &sums,
            norm,
            None,
            Floats::new(&on_x),
            None,
            Floats::new(&on_gy),
            gradients,
        )
        .unwrap();
        assert_close("gx", &down(&gpu, &gx), &egx, 1e-5);
        assert_close("gscale", &down(&gpu, &gscale), &egscale, 1e-5);
        assert_close("gshift", &down(&gpu, &gshift), &egshift, 1e-5);
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_fused_norms_are_the_cpu_s() {
    let gpu = gpu(STRICT);
    for (s, with_residual, surrogate) in CHANNELS
        .into_iter()
        .flat_map(|s| [true, false].map(|r| (s, r)))
        .flat_map(|(s, r)| SURROGATES.map(|surrogate| (s, r, surrogate)))
    {
        let [x, residual, gout] = [1, 2, 3].map(|salt| numbers(s.len(), salt));
        let [mean, scale, shift] = [4, 5, 6].map(|salt| numbers(s.channels, salt));
        let inv_std: Vec<f32> = numbers(s.channels, 7).iter().map(|v| v.abs() + 0.5).collect();
        let on = |values: &[f32]| up(&gpu, values);
        let (on_x, on_residual, on_gout) = (on(&x), on(&residual), on(&gout));
        let (on_mean, on_scale, on_shift, on_inv_std) = (on(&mean), on(&scale), on(&shift), on(&inv_std));
        let norm = BatchNormParams {
            mean: Floats::new(&on_mean),
            inv_std: Floats::new(&on_inv_std),
            scale: Floats::new(&on_scale),
            shift: Floats::new(&on_shift),
        };
        let host_norm = kernels::BatchNormParams {
            mean: &mean,
            inv_std: &inv_std,
            scale: &scale,
            shift: &shift,
        };
        let period = s.channels * s.inner;
        let (words, on_mask) = mask(&gpu, period);
        let states = [
            (FreezeState::Open, Quantizer::open(period)),
            (
                FreezeState::Freezing(words.as_slice()),
                Quantizer::freezing(period, &on_mask, surrogate),
            ),
            (FreezeState::Committed, Quantizer::committed(period, surrogate)),
        ];
        for (state, quantizer) in states {
            let what = |name: &str| format!("{name}: {s:?} {state:?} {surrogate:?}");
            let host_residual = with_residual.then_some(residual.as_slice());
            let device_residual = with_residual.then(|| Floats::new(&on_residual));
            let mut expected = vec![0.0; s.len()];
            kernels::batch_norm_quantize_forward(&s, &x, host_norm, host_residual, state, &mut expected);
            let mut y = blank(&gpu, s.len());
            gpu.norm_quantize(
                &s,
                norm,
                quantizer,
                Floats::new(&on_x),
                device_residual,
                FloatsMut::new(&mut y),
            )
            .unwrap();
            assert_close(&what("y"), &down(&gpu, &y), &expected, 1e-6);

            let mut egx = x.clone(); // The CPU's kernel replaces the input by its gradient.
            let [mut egresidual, mut egscale, mut egshift] =
                [(s.len(), 8), (s.channels, 9), (s.channels, 10)].map(|(len, salt)| numbers(len, salt));
            let mut gx = on(&vec![f32::NAN; s.len()]);
            let [mut gresidual, mut gscale, mut gshift] = [&egresidual, &egscale, &egshift].map(|v| on(v));
            kernels::batch_norm_quantize_backward(
                &s,
                None,
                &mut egx,
                host_norm,
                host_residual,
                state,
                surrogate,
                &gout,
                kernels::BatchNormQuantizeGradients {
                    residual: with_residual.then_some(egresidual.as_mut_slice()),
                    scale: &mut egscale,
                    shift: &mut egshift,
                },
            );
            let gradients = NormGradients {
                x: Some(FloatsMut::new(&mut gx)),
                add_to_x: false,
                residual: with_residual.then(|| FloatsMut::new(&mut gresidual)),
                scale: FloatsMut::new(&mut gscale),
                shift: FloatsMut::new(&mut gshift),
            };
            gpu.norm_backward(
                &s,
                &BatchSums::alone(s.batch),
                norm,
                Some(quantizer),
                Floats::new(&on_x),
                device_residual,
                Floats::new(&on_gout),
                gradients,
            )
            .unwrap();
            assert_close(&what("gx"), &down(&gpu, &gx), &egx, 1e-5);
            assert_close(&what("gresidual"), &down(&gpu, &gresidual), &egresidual, 1e-6);
            assert_close(&what("gscale"), &down(&gpu, &gscale), &egscale, 1e-5);
            assert_close(&what("gshift"), &down(&gpu, &gshift), &egshift, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_running_statistics_follow_as_the_cpu_s() {
    let gpu = gpu(STRICT);
    for (s, unbiased) in [(CHANNELS[0], 32.0 / 31.0), (CHANNELS[1], 1.0)] {
        let [batch, running] = [1, 2].map(|salt| numbers(s.channels, salt));
        let expected = |factor: f32| -> Vec<f32> {
            running
                .iter()
                .zip(&batch)
                .map(|(r, b)| r + 0.1 * (factor * b - r))
                .collect()
        };
        let on_batch = up(&gpu, &batch);
        let [mut mean, mut variance] = [(); 2].map(|()| up(&gpu, &running));
        gpu.update_running_mean(&s, 0.1, Floats::new(&on_batch), FloatsMut::new(&mut mean))
            .unwrap();
        gpu.update_running_variance(&s, 0.1, Floats::new(&on_batch), FloatsMut::new(&mut variance))
            .unwrap();
        assert_close("mean", &down(&gpu, &mean), &expected(1.0), 1e-6);
        assert_close("variance", &down(&gpu, &variance), &expected(unbiased), 1e-6);
    }
}
