//! Convolutions.

use crate::common::{STRICT, assert_close, blank, down, gpu, numbers, up};
use stompp_cuda::{Floats, FloatsMut, Gpu, GpuSettings, SignConvAlgorithm, TensorLayout};
use stompp_kernels::{self as kernels, ConvShape, Slices};

/// Kernel, stride, padding and sizes of common and uncommon convolutions.
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
    let gpu = gpu(GpuSettings { cudnn: true, ..STRICT });
    match gpu.versions().cudnn {
        Some(version) => {
            println!("cuDNN {version:?}");
            convolutions_are_the_cpu_s(&gpu);
        }
        None => println!("no cuDNN: skipped"),
    }
}

/// In nondeterministic mode, both layouts are measured for each pass, and one is kept. Measuring does not change gradients.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_in_either_layout_are_the_cpu_s() {
    let gpu = gpu(GpuSettings {
        cudnn: true,
        deterministic: false,
        ..STRICT
    });
    if gpu.versions().cudnn.is_none() {
        println!("no cuDNN: skipped");
        return;
    }
    convolutions_are_the_cpu_s(&gpu);
    let (choices, shapes) = (gpu.algorithm_choices(), convolutions());
    assert_eq!(choices.len(), 3 * shapes.len(), "each pass of each shape once");
    let kept = |layout: &str| choices.iter().any(|choice| choice.tried[0].0 == layout);
    println!("NCHW kept: {}, NHWC kept: {}", kept("NCHW"), kept("NHWC"));
}

/// In deterministic mode, a measured layout is not used.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_layouts_are_timed_and_not_used_where_bits_must_repeat() {
    let gpu = gpu(GpuSettings { cudnn: true, ..STRICT });
    let s = convolutions()[1];
    let (x, w) = (
        up(&gpu, &numbers(s.input_len(), 1)),
        up(&gpu, &numbers(s.weight_len(), 2)),
    );
    let mut y = [(); 2].map(|()| blank(&gpu, s.output_len()));
    let [first, second] = &mut y;
    gpu.conv2d(&s, Slices::ONE, Floats::new(&x), Floats::new(&w), FloatsMut::new(first))
        .unwrap();
    gpu.time_layouts().unwrap();
    let timed = gpu.algorithm_choices();
    assert_eq!(timed.len(), usize::from(gpu.versions().cudnn.is_some()), "{timed:?}");
    gpu.start_profile();
    gpu.conv2d(
        &s,
        Slices::ONE,
        Floats::new(&x),
        Floats::new(&w),
        FloatsMut::new(second),
    )
    .unwrap();
    let rows = gpu.end_profile().unwrap();
    assert!(
        rows.iter()
            .all(|row| !row.name.contains("NHWC") && row.name != "transpose"),
        "{rows:?}"
    );
    assert_eq!(down(&gpu, first), down(&gpu, second));
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
        gpu.conv2d(
            &s,
            Slices::ONE,
            Floats::new(&on_x),
            Floats::new(&on_w),
            FloatsMut::new(&mut y),
        )
        .unwrap();
        let mut expected = vec![0.0; s.output_len()];
        kernels::conv2d_forward(&s, &x, &w, &mut expected);
        assert_close(&format!("{s:?}"), &down(gpu, &y), &expected, 1e-5);

        // Gradients accumulate.
        let mut expected = numbers(s.input_len(), 4);
        let mut gx = up(gpu, &expected);
        gpu.conv2d_input_gradient(
            &s,
            Slices::ONE,
            Floats::new(&on_w),
            Floats::new(&on_gy),
            FloatsMut::new(&mut gx),
        )
        .unwrap();
        kernels::conv2d_backward_input(&s, &w, &gy, &mut expected);
        assert_close(&format!("gx of {s:?}"), &down(gpu, &gx), &expected, 1e-5);

        let mut expected = numbers(s.weight_len(), 5);
        let mut gw = up(gpu, &expected);
        gpu.conv2d_weight_gradient(
            &s,
            Slices::ONE,
            Floats::new(&on_x),
            Floats::new(&on_gy),
            FloatsMut::new(&mut gw),
        )
        .unwrap();
        kernels::conv2d_backward_weight(&s, &x, &gy, &mut expected);
        assert_close(&format!("gw of {s:?}"), &down(gpu, &gw), &expected, 1e-5);
    }
}

/// Shapes for convolutions of signs: also with more words, pixels and output channels than one tile has.
fn sign_convolutions() -> Vec<ConvShape> {
    let mut shapes = convolutions();
    shapes.push(ConvShape {
        batch: 2,
        in_channels: 70,
        in_height: 9,
        in_width: 9,
        out_channels: 130,
        kernel: 3,
        stride: 1,
        padding: 1,
    });
    shapes
}

fn signs_of(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| if *v >= 0.0 { 1.0 } else { -1.0 }).collect()
}

/// Every algorithm gives the same integers. The inputs need not be signs.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_of_signs_are_exact_by_every_way() {
    // Signs are exact on TF32, too.
    for settings in [
        STRICT,
        GpuSettings {
            cudnn: true,
            tf32: true,
            ..STRICT
        },
    ] {
        let gpu = gpu(settings);
        let mut ways = Vec::new();
        for s in sign_convolutions() {
            let (x, w) = (numbers(s.input_len(), 1), numbers(s.weight_len(), 2));
            let mut expected = vec![0.0; s.output_len()];
            kernels::conv2d_forward(&s, &signs_of(&x), &signs_of(&w), &mut expected);
            let sizes = (s.out_channels, s.in_channels, s.kernel);
            let signs = gpu.signs(sizes, Floats::new(&up(&gpu, &w))).unwrap();
            let x = up(&gpu, &x);
            for (name, way) in SignConvAlgorithm::ALL {
                let mut y = blank(&gpu, s.output_len());
                let done = gpu.sign_conv2d_with(way, &s, Floats::new(&x), &signs, FloatsMut::new(&mut y));
                if done.unwrap() {
                    assert_eq!(down(&gpu, &y), expected, "{name}, {s:?}");
                    ways.push(way);
                }
            }
            let mut y = blank(&gpu, s.output_len());
            gpu.sign_conv2d(&s, Floats::new(&x), &signs, FloatsMut::new(&mut y))
                .unwrap();
            assert_eq!(down(&gpu, &y), expected, "the fastest way, {s:?}");
        }
        ways.dedup();
        let cudnn = gpu.versions().cudnn.is_some();
        assert!(ways.contains(&SignConvAlgorithm::Popcount));
        for layout in [TensorLayout::ChannelsFirst, TensorLayout::ChannelsLast] {
            assert_eq!(ways.contains(&SignConvAlgorithm::Cudnn(layout)), cudnn, "{layout:?}");
        }
        assert_eq!(
            ways.contains(&SignConvAlgorithm::Bytes),
            gpu.versions().compute_capability >= (8, 0)
        );
    }
}

/// A shape is measured once, and the measurements are reported.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_the_fastest_way_is_chosen_once_a_shape() {
    let gpu = gpu(GpuSettings { cudnn: true, ..STRICT });
    let s = convolutions()[0];
    let x = up(&gpu, &numbers(s.input_len(), 1));
    let w = up(&gpu, &numbers(s.weight_len(), 2));
    let signs = gpu
        .signs((s.out_channels, s.in_channels, s.kernel), Floats::new(&w))
        .unwrap();
    let mut y = blank(&gpu, s.output_len());
    for _ in 0..3 {
        gpu.sign_conv2d(&s, Floats::new(&x), &signs, FloatsMut::new(&mut y))
            .unwrap();
    }
    let choices = gpu.algorithm_choices();
    assert_eq!(choices.len(), 1, "{choices:?}");
    let tried = &choices[0].tried;
    let possible =
        1 + 2 * usize::from(gpu.versions().cudnn.is_some()) + usize::from(gpu.versions().compute_capability >= (8, 0));
    assert_eq!(tried.len(), possible, "{tried:?}");
    assert!(tried.is_sorted_by(|a, b| a.1 <= b.1), "{tried:?}");
    assert!(
        choices[0].to_string().starts_with("signs 2 x 3 -> 5, 3x3/1 @8: "),
        "{}",
        choices[0]
    );
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_a_profile_has_a_row_for_each_kernel() {
    let gpu = gpu(STRICT);
    let s = convolutions()[0];
    let x = up(&gpu, &numbers(s.input_len(), 1));
    let w = up(&gpu, &numbers(s.weight_len(), 2));
    let mut y = blank(&gpu, s.output_len());
    let mut step = || {
        gpu.conv2d(
            &s,
            Slices::ONE,
            Floats::new(&x),
            Floats::new(&w),
            FloatsMut::new(&mut y),
        )
        .unwrap()
    };
    step();
    assert_eq!(gpu.end_profile().unwrap(), [], "nothing was begun");
    gpu.start_profile();
    step();
    step();
    let rows = gpu.end_profile().unwrap();
    let rows: Vec<(&str, usize)> = rows.iter().map(|row| (row.name.as_str(), row.calls)).collect();
    assert_eq!(rows, [("patches", 2), ("cuBLAS 5x27x64, 2 times", 2)]);
    step();
    assert_eq!(gpu.end_profile().unwrap(), [], "it has ended");
}
