//! Elementwise operations, norms and images.

use crate::common::{STRICT, assert_close, blank, down, gpu, numbers, up};
use stompp_cuda::{Floats, FloatsMut, PendingNorms};
use stompp_kernels as kernels;

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_elementwise_kernels_are_the_cpu_s() {
    let gpu = gpu(STRICT);
    for len in [1, 255, 256, 10_000] {
        let (a, b) = (numbers(len, 1), numbers(len, 2));
        let (on_a, on_b) = (up(&gpu, &a), up(&gpu, &b));
        let (fa, fb) = (Floats::new(&on_a), Floats::new(&on_b));
        let zipped = |f: &dyn Fn(f32, f32) -> f32| -> Vec<f32> { a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect() };
        let run = |f: &dyn Fn(FloatsMut<'_>)| {
            let mut out = up(&gpu, &b);
            f(FloatsMut::new(&mut out));
            down(&gpu, &out)
        };
        assert_eq!(
            run(&|out| gpu.relu(fa, out).unwrap()),
            zipped(&|a, _| if a > 0.0 { a } else { 0.0 })
        );
        assert_eq!(run(&|out| gpu.add(fa, fb, out).unwrap()), zipped(&|a, b| a + b));
        assert_eq!(run(&|out| gpu.copy(fa, out).unwrap()), a);
        assert_eq!(run(&|out| gpu.accumulate(fa, out).unwrap()), zipped(&|a, b| b + a));
        let factor = up(&gpu, &[0.5]);
        let scaled = run(&|out| gpu.scale_accumulate(Floats::new(&factor), fa, out).unwrap());
        assert_eq!(scaled, zipped(&|a, b| b + 0.5 * a));
        let halved = run(&|out| gpu.scale(0.5, out).unwrap());
        assert_eq!(halved, zipped(&|_, b| 0.5 * b));
        assert_eq!(
            run(&|out| gpu.relu_backward(fa, fb, out).unwrap()),
            zipped(&|a, b| if a > 0.0 { b + b } else { b })
        );
        for bound in [None, Some(1.0)] {
            let g = numbers(len, 3);
            let on_g = up(&gpu, &g);
            let (mut w, mut v) = (a.clone(), b.clone());
            v[0] = 1e-30;
            let (mut on_w, mut on_v) = (up(&gpu, &w), up(&gpu, &v));
            let step = kernels::SgdStep {
                learning_rate: 0.1,
                momentum: 0.9,
                weight_decay: if bound.is_some() { 0.0 } else { 0.25 },
                bound,
            };
            kernels::sgd_momentum_step(&step, &mut w, &mut v, &g);
            gpu.sgd_step(
                &step,
                FloatsMut::new(&mut on_w),
                FloatsMut::new(&mut on_v),
                Floats::new(&on_g),
            )
            .unwrap();
            // The CPU may fuse multiplication and addition.
            assert_close("w", &down(&gpu, &on_w), &w, 1e-6);
            assert_close("v", &down(&gpu, &on_v), &v, 1e-6);

            let (mut w, mut m) = (a.clone(), b.clone());
            let mut s: Vec<f32> = b.iter().map(|x| x * x).collect();
            let (mut on_w, mut on_m, mut on_s) = (up(&gpu, &w), up(&gpu, &m), up(&gpu, &s));
            let step = kernels::AdamStep {
                step_size: 0.02,
                first_rate: 0.1,
                beta2: 0.999,
                second_rate: 0.001,
                correction: 0.05,
                epsilon: 1e-3,
                weight_decay: 0.25,
                bound,
            };
            kernels::adam_step(&step, &mut w, &mut m, &mut s, &g);
            gpu.adam_step(
                &step,
                FloatsMut::new(&mut on_w),
                FloatsMut::new(&mut on_m),
                FloatsMut::new(&mut on_s),
                Floats::new(&on_g),
            )
            .unwrap();
            assert_close("w", &down(&gpu, &on_w), &w, 1e-6);
            assert_close("m", &down(&gpu, &on_m), &m, 1e-6);
            assert_close("s", &down(&gpu, &on_s), &s, 1e-6);
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_norms_come_in_order_and_show_what_is_not_finite() {
    let gpu = gpu(STRICT);
    let mut norms = PendingNorms::default();
    let mut expected = Vec::new();
    for len in 1..300 {
        let mut values = numbers(len, 1);
        if len == 277 {
            values[200] = f32::INFINITY;
        }
        expected.push(kernels::square_sum(&values).sqrt());
        gpu.add_norm(&mut norms, Floats::new(&up(&gpu, &values))).unwrap();
    }
    let found = gpu.read_norms(&norms).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found == expected || (found / expected - 1.0).abs() < 1e-12,
            "{found} for {expected}"
        );
    }
    assert_eq!(found[276], f64::INFINITY);
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_images_are_placed_where_they_should_be() {
    let gpu = gpu(STRICT);
    let (height, width) = (4, 5);
    let bytes: Vec<u8> = (0..3 * 3 * height * width).map(|i| (i * i * 11 % 256) as u8).collect();
    let table: Vec<f32> = (0..3 * 256).map(|i| i as f32).collect();
    let images = gpu.upload_images((height, width), &bytes, &table).unwrap();
    let crops = [(2, 0, 0, false), (0, 1, -2, false), (1, -2, 1, true), (2, 9, 0, true)];
    let mut out = blank(&gpu, crops.len() * 3 * height * width);
    gpu.crop_images(&images, &crops, FloatsMut::new(&mut out)).unwrap();
    let found = down(&gpu, &out);
    let mut at = found.iter();
    for (index, down, right, mirrored) in crops {
        for channel in 0..3 {
            for row in 0..height as i32 {
                for column in 0..width as i32 {
                    let column = if mirrored { width as i32 - 1 - column } else { column };
                    let (from_row, from_column) = (row + down, column + right);
                    let inside = (0..height as i32).contains(&from_row) && (0..width as i32).contains(&from_column);
                    let byte = if inside {
                        bytes[((index * 3 + channel) * height + from_row as usize) * width + from_column as usize]
                    } else {
                        0
                    };
                    assert_eq!(*at.next().unwrap(), (256 * channel + usize::from(byte)) as f32);
                }
            }
        }
    }
}
