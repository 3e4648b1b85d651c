//! Speed of the kernels on the shapes of ResNet-18, -20 and -50 for images of 32x32.
//!
//! Throughput is in elements: multiply-accumulates times two for convolutions (so `Gelem/s` reads as GFLOP/s), floats of
//! the tensor for the others. `STOMPP_SIMD` and `RAYON_NUM_THREADS` set the SIMD level and the number of threads.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use stompp_kernels::{
    BatchNormParams, BatchNormQuantizeGradients, BitTensor, BitWeights, ChannelShape, ConvShape, FreezeState, SgdStep,
    Surrogate, batch_norm_backward, batch_norm_forward, batch_norm_quantize_backward, batch_norm_quantize_forward,
    batch_norm_statistics, conv2d_backward_input, conv2d_backward_weight, conv2d_forward, quantize_backward,
    quantize_forward, sgd_momentum_step, xnor_conv2d,
};

/// `(batch, in_channels, extent, out_channels, kernel, stride)`.
type Shape = (usize, usize, usize, usize, usize, usize);

const WIDE: [Shape; 5] = [
    (32, 64, 32, 64, 3, 1),
    (32, 128, 16, 128, 3, 1),
    (32, 256, 8, 256, 3, 1),
    (32, 512, 4, 512, 3, 1),
    (32, 64, 32, 128, 3, 2),
];
const POINTWISE: [Shape; 8] = [
    (32, 64, 32, 256, 1, 1),
    (32, 256, 32, 64, 1, 1),
    (32, 512, 16, 128, 1, 1),
    (32, 128, 16, 512, 1, 1),
    (32, 1024, 8, 256, 1, 1),
    (32, 256, 8, 1024, 1, 1),
    (32, 2048, 4, 512, 1, 1),
    (32, 512, 4, 2048, 1, 1),
];
const NARROW: [Shape; 4] = [
    (64, 16, 32, 16, 3, 1),
    (64, 32, 16, 32, 3, 1),
    (64, 64, 8, 64, 3, 1),
    (64, 16, 32, 32, 3, 2),
];

fn conv_shape((batch, in_channels, extent, out_channels, kernel, stride): Shape) -> ConvShape {
    let padding = kernel / 2;
    ConvShape {
        batch,
        in_channels,
        in_height: extent,
        in_width: extent,
        out_channels,
        kernel,
        stride,
        padding,
    }
}

fn name((batch, in_channels, extent, out_channels, kernel, stride): Shape) -> String {
    format!("{kernel}x{kernel}s{stride} {in_channels}-{out_channels}@{extent} batch {batch}")
}

/// Values of both signs, none of them special.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

fn convolutions(c: &mut Criterion) {
    for shape in WIDE.into_iter().chain(POINTWISE).chain(NARROW) {
        let s = conv_shape(shape);
        let (x, w, gy) = (values(s.input_len()), values(s.weight_len()), values(s.output_len()));
        let (mut y, mut gx, mut gw) = (gy.clone(), x.clone(), w.clone());
        let mut group = c.benchmark_group("conv");
        group.throughput(Throughput::Elements(2 * s.macs()));
        let id = |what: &str| BenchmarkId::new(what, name(shape));
        group.bench_function(id("forward"), |b| b.iter(|| conv2d_forward(&s, &x, &w, &mut y)));
        group.bench_function(id("backward_input"), |b| {
            b.iter(|| conv2d_backward_input(&s, &w, &gy, &mut gx))
        });
        group.bench_function(id("backward_weight"), |b| {
            b.iter(|| conv2d_backward_weight(&s, &x, &gy, &mut gw))
        });
    }
}

/// From floats to floats, including the packing of the activations.
fn xnor(c: &mut Criterion) {
    for shape in WIDE.into_iter().chain(NARROW) {
        let s = conv_shape(shape);
        let (x, mut y) = (values(s.input_len()), vec![0.0; s.output_len()]);
        let w = BitWeights::from_signs(s.out_channels, s.in_channels, s.kernel, &values(s.weight_len()));
        let mut group = c.benchmark_group("xnor");
        group.throughput(Throughput::Elements(2 * s.macs()));
        group.bench_function(BenchmarkId::new("pack and convolve", name(shape)), |b| {
            b.iter(|| {
                let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, &x);
                xnor_conv2d(s.stride, s.padding, &x, &w, &mut y);
            });
        });
    }
}

fn elementwise(c: &mut Criterion) {
    for (batch, channels, inner) in [(32, 64, 1024), (32, 512, 16), (64, 16, 1024)] {
        let s = ChannelShape { batch, channels, inner };
        let (x, g) = (values(s.len()), values(s.len()));
        let (mut y, mut gx, mut velocity) = (x.clone(), x.clone(), x.clone());
        let (mut mean, mut var) = (vec![0.0; channels], vec![0.0; channels]);
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let (mut gscale, mut gshift) = (zeros.clone(), zeros.clone());
        let norm = BatchNormParams {
            mean: &zeros,
            inv_std: &ones,
            scale: &ones,
            shift: &zeros,
        };
        let period = channels * inner;
        let words: Vec<u64> = (0..period.div_ceil(64) as u64)
            .map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .collect();
        let mask = FreezeState::Freezing(words.as_slice());

        let mut group = c.benchmark_group("elementwise");
        group.throughput(Throughput::Elements(s.len() as u64));
        let id = |what: &str| BenchmarkId::new(what, format!("{batch}x{channels}x{inner}"));
        group.bench_function(id("copy"), |b| b.iter(|| y.copy_from_slice(&x)));
        group.bench_function(id("batch_norm_statistics"), |b| {
            b.iter(|| batch_norm_statistics(&s, &x, &mut mean, &mut var));
        });
        group.bench_function(id("batch_norm_forward"), |b| {
            b.iter(|| batch_norm_forward(&s, &x, &zeros, &ones, &ones, &zeros, &mut y));
        });
        group.bench_function(id("batch_norm_backward"), |b| {
            b.iter(|| {
                batch_norm_backward(
                    &s,
                    None,
                    &x,
                    &zeros,
                    &ones,
                    &ones,
                    &g,
                    Some(&mut gx),
                    &mut gscale,
                    &mut gshift,
                )
            });
        });
        group.bench_function(id("quantize_forward"), |b| {
            b.iter(|| quantize_forward(mask, period, &x, &mut y))
        });
        group.bench_function(id("quantize_backward"), |b| {
            b.iter(|| quantize_backward(mask, Surrogate::Identity, period, &x, &g, &mut gx));
        });
        group.bench_function(id("batch_norm_quantize_forward"), |b| {
            b.iter(|| batch_norm_quantize_forward(&s, &x, norm, None, mask, &mut y));
        });
        group.bench_function(id("batch_norm_quantize_backward"), |b| {
            let backward = |x: &mut Vec<f32>| {
                let gradients = BatchNormQuantizeGradients {
                    residual: None,
                    scale: &mut gscale,
                    shift: &mut gshift,
                };
                batch_norm_quantize_backward(&s, None, x, norm, None, mask, Surrogate::Identity, &g, gradients)
            };
            b.iter_batched_ref(|| x.clone(), backward, BatchSize::LargeInput);
        });
        group.bench_function(id("sgd_momentum_step"), |b| {
            let step = SgdStep {
                learning_rate: 0.1,
                momentum: 0.9,
                weight_decay: 0.0,
                bound: Some(1.0),
            };
            b.iter(|| sgd_momentum_step(&step, &mut gx, &mut velocity, &g));
        });
    }
}

criterion_group!(benches, convolutions, xnor, elementwise);

/// Runs on a thread of the pool, as a training loop should. Calls from other threads must switch to the pool each time.
fn main() {
    rayon::scope(|_| {
        benches();
        Criterion::default().configure_from_args().final_summary();
    });
}
