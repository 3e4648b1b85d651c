//! Convolutions.

use crate::common::{STRICT, assert_close, blank, down, gpu, numbers, up};
use stompp_cuda::{Floats, FloatsMut, Gpu, Settings};
use stompp_kernels::{self as kernels, ConvShape};

/// Kernel, stride, padding and sizes of convolutions that are common, and some that are not.
fn convolutions() -> Vec<ConvShape> {
    let mut shapes = Vec::new();
    for (kernel, stride, padding) in [
        (3, 1, 1),
        (3, 2, 1),
        (1, 1, 0),
        (1, 2, 0),
        (7, 2, 3),
        (2, 3, 0),
        (3, 1, 0),
    ] {
        for (batch, in_channels, in_height, in_width, out_channels) in
            [(2, 3, 8, 8, 5), (1, 33, 7, 9, 17), (3, 64, 8, 7, 40)]
        {
            shapes.push(ConvShape {
                batch,
                in_channels,
                in_height,
                in_width,
                out_channels,
                kernel,
                stride,
                padding,
            });
        }
    }
    shapes
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_by_patches_are_the_cpu_s() {
    convolutions_are_the_cpu_s(&gpu(STRICT));
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_by_cudnn_are_the_cpu_s() {
    let gpu = gpu(Settings { cudnn: true, ..STRICT });
    match gpu.versions().cudnn {
        Some(version) => {
            println!("cuDNN {version:?}");
            convolutions_are_the_cpu_s(&gpu);
        }
        None => println!("no cuDNN: skipped"),
    }
}

fn convolutions_are_the_cpu_s(gpu: &Gpu) {
    for s in convolutions() {
        let (x, w, gy) = (
            numbers(s.input_len(), 1),
            numbers(s.weight_len(), 2),
            numbers(s.output_len(), 3),
        );
        let (on_x, on_w, on_gy) = (up(gpu, &x), up(gpu, &w), up(gpu, &gy));

        let mut y = blank(gpu, s.output_len());
        gpu.conv2d(&s, Floats::of(&on_x), Floats::of(&on_w), FloatsMut::of(&mut y))
            .unwrap();
        let mut expected = vec![0.0; s.output_len()];
        kernels::conv2d_forward(&s, &x, &w, &mut expected);
        assert_close(&format!("{s:?}"), &down(gpu, &y), &expected, 1e-5);

        // Gradients are added to what is there.
        let mut expected = numbers(s.input_len(), 4);
        let mut gx = up(gpu, &expected);
        gpu.conv2d_input_gradient(&s, Floats::of(&on_w), Floats::of(&on_gy), FloatsMut::of(&mut gx))
            .unwrap();
        kernels::conv2d_backward_input(&s, &w, &gy, &mut expected);
        assert_close(&format!("gx of {s:?}"), &down(gpu, &gx), &expected, 1e-5);

        let mut expected = numbers(s.weight_len(), 5);
        let mut gw = up(gpu, &expected);
        gpu.conv2d_weight_gradient(&s, Floats::of(&on_x), Floats::of(&on_gy), FloatsMut::of(&mut gw))
            .unwrap();
        kernels::conv2d_backward_weight(&s, &x, &gy, &mut expected);
        assert_close(&format!("gw of {s:?}"), &down(gpu, &gw), &expected, 1e-5);
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_of_signs_are_exact() {
    let gpu = gpu(STRICT);
    for s in convolutions() {
        let sign =
            |values: Vec<f32>| -> Vec<f32> { values.iter().map(|v| if *v >= 0.0 { 1.0 } else { -1.0 }).collect() };
        let (x, w) = (sign(numbers(s.input_len(), 1)), numbers(s.weight_len(), 2));
        let mut expected = vec![0.0; s.output_len()];
        kernels::conv2d_forward(&s, &x, &sign(w.clone()), &mut expected);
        let signs = gpu
            .signs((s.out_channels, s.in_channels, s.kernel), Floats::of(&up(&gpu, &w)))
            .unwrap();
        let mut y = blank(&gpu, s.output_len());
        gpu.sign_conv2d(&s, Floats::of(&up(&gpu, &x)), &signs, FloatsMut::of(&mut y))
            .unwrap();
        assert_eq!(down(&gpu, &y), expected, "{s:?}");
    }
}
