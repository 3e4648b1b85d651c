//! Pools, the fully connected layer and the loss.

use crate::common::{CHANNELS, STRICT, assert_close, bits, blank, down, gpu, numbers, up};
use stompp_cuda::{BatchSums, Floats, FloatsMut};
use stompp_kernels::{self as kernels, PoolShape, Slices};

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_pools_are_the_cpu_s() {
    let gpu = gpu(STRICT);
    for s in CHANNELS {
        let (x, gy) = (numbers(s.len(), 1), numbers(s.batch * s.channels, 2));
        let mut y = blank(&gpu, gy.len());
        gpu.average_pool(&s, Floats::new(&up(&gpu, &x)), FloatsMut::new(&mut y))
            .unwrap();
        let mut expected = vec![0.0; gy.len()];
        kernels::global_average_pool_forward(&s, &x, &mut expected);
        assert_close("y", &down(&gpu, &y), &expected, 1e-6);
        let mut expected = numbers(s.len(), 3);
        let mut gx = up(&gpu, &expected);
        gpu.average_pool_backward(&s, Floats::new(&up(&gpu, &gy)), FloatsMut::new(&mut gx))
            .unwrap();
        kernels::global_average_pool_backward(&s, &gy, &mut expected);
        assert_close("gx", &down(&gpu, &gx), &expected, 1e-6);
    }
    for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 3, 2), (1, 1, 0)] {
        let s = PoolShape {
            batch: 2,
            channels: 3,
            in_height: 9,
            in_width: 11,
            kernel,
            stride,
            padding,
        };
        let mut x = numbers(s.input_len(), 1);
        x[20] = f32::NAN;
        let gy = numbers(s.output_len(), 2);
        let mut y = blank(&gpu, s.output_len());
        let max_indices = gpu
            .max_pool(&s, Floats::new(&up(&gpu, &x)), FloatsMut::new(&mut y))
            .unwrap();
        let (mut expected, mut places) = (vec![0.0; s.output_len()], vec![0; s.output_len()]);
        kernels::max_pool_forward(&s, &x, &mut expected, &mut places);
        assert_eq!(bits(&down(&gpu, &y)), bits(&expected), "{s:?}");
        assert_eq!(gpu.device().dtoh_sync_copy(&max_indices).unwrap(), places, "{s:?}");
        let mut expected = numbers(s.input_len(), 3);
        let mut gx = up(&gpu, &expected);
        gpu.max_pool_backward(&s, &max_indices, Floats::new(&up(&gpu, &gy)), FloatsMut::new(&mut gx))
            .unwrap();
        kernels::max_pool_backward(&s, &gy, &places, &mut expected);
        assert_close(&format!("{s:?}"), &down(&gpu, &gx), &expected, 1e-6);
    }
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3), (1, 1)] {
        let s = PoolShape {
            batch: 2,
            channels: 3,
            in_height: 9,
            in_width: 11,
            kernel,
            stride,
            padding: 0,
        };
        let (x, gy) = (numbers(s.input_len(), 1), numbers(s.output_len(), 2));
        let mut y = blank(&gpu, s.output_len());
        gpu.window_mean(&s, Floats::new(&up(&gpu, &x)), FloatsMut::new(&mut y))
            .unwrap();
        let mut expected = vec![0.0; s.output_len()];
        kernels::average_pool_forward(&s, &x, &mut expected);
        assert_close(&format!("{s:?}"), &down(&gpu, &y), &expected, 1e-6);
        let mut expected = numbers(s.input_len(), 3);
        let mut gx = up(&gpu, &expected);
        gpu.window_mean_backward(&s, Floats::new(&up(&gpu, &gy)), FloatsMut::new(&mut gx))
            .unwrap();
        kernels::average_pool_backward(&s, &gy, &mut expected);
        assert_close(&format!("{s:?}"), &down(&gpu, &gx), &expected, 1e-6);
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_linear_layers_are_the_cpu_s() {
    let gpu = gpu(STRICT);
    for (batch, inputs, outputs) in [(1, 1, 1), (4, 7, 3), (5, 64, 10)] {
        let sizes = (batch, inputs, outputs);
        let [x, w, bias, gy] =
            [batch * inputs, outputs * inputs, outputs, batch * outputs].map(|len| numbers(len, len as u64));
        let (on_x, on_w, on_gy) = (up(&gpu, &x), up(&gpu, &w), up(&gpu, &gy));
        let mut y = blank(&gpu, gy.len());
        let on_bias = up(&gpu, &bias);
        gpu.linear(
            sizes,
            Slices::ONE,
            Floats::new(&on_x),
            Floats::new(&on_w),
            Floats::new(&on_bias),
            FloatsMut::new(&mut y),
        )
        .unwrap();
        let mut expected = vec![0.0; gy.len()];
        kernels::linear_forward(batch, inputs, outputs, &x, &w, &bias, &mut expected);
        assert_close("y", &down(&gpu, &y), &expected, 1e-5);

        let [mut egx, mut egw, mut egbias] = [x.len(), w.len(), outputs].map(|len| numbers(len, 9));
        let [mut gx, mut gw, mut gbias] = [&egx, &egw, &egbias].map(|values| up(&gpu, values));
        kernels::linear_backward(
            Slices::ONE,
            batch,
            inputs,
            outputs,
            &x,
            &w,
            &gy,
            Some(&mut egx),
            &mut egw,
            &mut egbias,
        );
        let wanted = (
            Some(FloatsMut::new(&mut gx)),
            FloatsMut::new(&mut gw),
            FloatsMut::new(&mut gbias),
        );
        gpu.linear_backward(
            sizes,
            Slices::ONE,
            Floats::new(&on_x),
            Floats::new(&on_w),
            Floats::new(&on_gy),
            wanted,
        )
        .unwrap();
        assert_close("gx", &down(&gpu, &gx), &egx, 1e-5);
        assert_close("gw", &down(&gpu, &gw), &egw, 1e-5);
        assert_close("gbias", &down(&gpu, &gbias), &egbias, 1e-5);
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_cross_entropy_is_the_cpu_s() {
    let gpu = gpu(STRICT);
    for (batch, classes, smoothing) in [(1, 2, 0.0), (7, 10, 0.1), (300, 3, 0.0)] {
        let mut logits = numbers(batch * classes, 1);
        logits[0] = 200.0; // nothing may overflow
        let labels: Vec<usize> = (0..batch).map(|n| n * 7 % classes).collect();
        let mut expected = vec![0.0; logits.len()];
        let loss = kernels::cross_entropy(batch, classes, &logits, &labels, smoothing, Some(&mut expected));
        let mut gradient = blank(&gpu, logits.len());
        let on_logits = up(&gpu, &logits);
        let mut found = blank(&gpu, 1);
        let out = (FloatsMut::new(&mut found), FloatsMut::new(&mut gradient));
        let sums = BatchSums::alone(batch);
        gpu.cross_entropy(
            classes,
            Floats::new(&on_logits),
            &labels,
            smoothing,
            &sums,
            out.0,
            out.1,
        )
        .unwrap();
        assert_close("loss", &down(&gpu, &found), &[loss], 1e-6);
        assert_close("gradient", &down(&gpu, &gradient), &expected, 1e-6);
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
#[should_panic(expected = "label 3 of 3 classes")]
fn cuda_cross_entropy_refuses_a_label_that_is_no_class() {
    let gpu = gpu(STRICT);
    let (logits, mut loss, mut gradient) = (up(&gpu, &[0.0; 3]), blank(&gpu, 1), blank(&gpu, 3));
    let out = (FloatsMut::new(&mut loss), FloatsMut::new(&mut gradient));
    let _ = gpu.cross_entropy(3, Floats::new(&logits), &[3], 0.0, &BatchSums::alone(1), out.0, out.1);
}
