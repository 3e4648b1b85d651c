//! Batches in slices: two processes with half of the slices each compute the bits of one process with all of them.
//!
//! The processes are calls one after the other. Libraries of the fake driver add in another order for four images than for two or
//! eight.

use crate::common::{STRICT, assert_close, bits, blank, down, gpu, numbers, up};
use std::{cell::RefCell, ops::Range};
use stompp_cuda::{BatchNormParams, BatchSums, Floats, FloatsMut, Gpu, GpuSettings, Moments, NormGradients, Quantizer};
use stompp_kernels::{self as kernels, ChannelShape, ConvShape, Slices, Surrogate};

/// Images of the whole batch. The last test also has batches that slices do not divide.
const BATCH: usize = 8;

const WITH_CUDNN: GpuSettings = GpuSettings { cudnn: true, ..STRICT };

fn slices(count: usize) -> Slices {
    Slices::new(count).expect("a power of two")
}

/// The halves of `images` images.
fn halves(images: usize) -> Vec<Range<usize>> {
    slices(2).ranges(images)
}

/// The part of `values`, which has `len` floats for each image.
fn part<'a>(values: &'a [f32], images: &Range<usize>, len: usize) -> &'a [f32] {
    &values[images.start * len..images.end * len]
}

/// What the whole batch gives in four slices, and what its two halves give in two slices each. `compute` returns what belongs to single
/// images, and sums over its images.
struct Compared {
    whole: (Vec<f32>, Vec<f32>),
    halves: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Compared {
    fn new(images: usize, compute: impl Fn(Range<usize>, Slices) -> (Vec<f32>, Vec<f32>)) -> Self {
        Self {
            whole: compute(0..images, slices(4)),
            halves: halves(images)
                .into_iter()
                .map(|half| compute(half, slices(2)))
                .collect(),
        }
    }

    fn assert_same_bits(&self, what: &str) {
        let [first, second] = &self.halves[..] else {
            panic!("there are two halves")
        };
        let images = [&first.0[..], &second.0].concat();
        assert_eq!(bits(&images), bits(&self.whole.0), "{what}: images");
        let sums: Vec<f32> = first.1.iter().zip(&second.1).map(|(a, b)| a + b).collect();
        assert_eq!(bits(&sums), bits(&self.whole.1), "{what}: sums");
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_convolutions_of_halves_are_those_of_the_whole() {
    for settings in [STRICT, WITH_CUDNN] {
        let gpu = gpu(settings);
        for kernel in [1, 3] {
            let shape = |batch| ConvShape {
                batch,
                in_channels: 5,
                in_height: 6,
                in_width: 5,
                out_channels: 7,
                kernel,
                stride: 1,
                padding: kernel / 2,
            };
            let (whole, image) = (shape(BATCH), shape(1));
            let (x, w, gy) = (
                numbers(whole.input_len(), 1),
                numbers(whole.weight_len(), 2),
                numbers(whole.output_len(), 3),
            );
            let compute = |images: Range<usize>, slices: Slices| {
                let s = shape(images.len());
                let (x, w) = (up(&gpu, part(&x, &images, image.input_len())), up(&gpu, &w));
                let gy = up(&gpu, part(&gy, &images, image.output_len()));
                let mut y = blank(&gpu, s.output_len());
                gpu.conv2d(&s, slices, Floats::new(&x), Floats::new(&w), FloatsMut::new(&mut y))
                    .unwrap();
                let [mut gx, mut gw] = [s.input_len(), s.weight_len()].map(|len| up(&gpu, &vec![0.0; len]));
                let upstream = Floats::new(&gy);
                gpu.conv2d_input_gradient(&s, slices, Floats::new(&w), upstream, FloatsMut::new(&mut gx))
                    .unwrap();
                gpu.conv2d_weight_gradient(&s, slices, Floats::new(&x), upstream, FloatsMut::new(&mut gw))
                    .unwrap();
                let mut of_images = Vec::new();
                // Image by image, so that the halves can be put together.
                let (y, gx) = (down(&gpu, &y), down(&gpu, &gx));
                for (y, gx) in y.chunks(image.output_len()).zip(gx.chunks(image.input_len())) {
                    of_images.extend_from_slice(y);
                    of_images.extend_from_slice(gx);
                }
                (of_images, down(&gpu, &gw))
            };
            Compared::new(BATCH, compute).assert_same_bits(&format!("{settings:?} {kernel}"));
            let (_, gw) = compute(0..BATCH, slices(4));
            let mut expected = vec![0.0; gw.len()];
            kernels::conv2d_backward_weight(&whole, &x, &gy, &mut expected);
            assert_close("gw", &gw, &expected, 1e-5);
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_linear_layers_of_halves_are_those_of_the_whole() {
    let (inputs, outputs) = (9, 5);
    let gpu = gpu(STRICT);
    let (x, gy) = (numbers(BATCH * inputs, 1), numbers(BATCH * outputs, 2));
    let (w, bias) = (numbers(outputs * inputs, 3), numbers(outputs, 4));
    let compute = |images: Range<usize>, slices: Slices| {
        let sizes = (images.len(), inputs, outputs);
        let [x, w, bias, gy] =
            [part(&x, &images, inputs), &w, &bias, part(&gy, &images, outputs)].map(|values| up(&gpu, values));
        let mut y = blank(&gpu, images.len() * outputs);
        let (on_x, on_w) = (Floats::new(&x), Floats::new(&w));
        gpu.linear(sizes, slices, on_x, on_w, Floats::new(&bias), FloatsMut::new(&mut y))
            .unwrap();
        let [mut gx, mut gw, mut gbias] =
            [images.len() * inputs, outputs * inputs, outputs].map(|len| up(&gpu, &vec![0.0; len]));
        let wanted = (
            Some(FloatsMut::new(&mut gx)),
            FloatsMut::new(&mut gw),
            FloatsMut::new(&mut gbias),
        );
        gpu.linear_backward(sizes, slices, on_x, on_w, Floats::new(&gy), wanted)
            .unwrap();
        let mut of_images = Vec::new();
        for (y, gx) in down(&gpu, &y).chunks(outputs).zip(down(&gpu, &gx).chunks(inputs)) {
            of_images.extend_from_slice(y);
            of_images.extend_from_slice(gx);
        }
        (of_images, [down(&gpu, &gw), down(&gpu, &gbias)].concat())
    };
    Compared::new(BATCH, compute).assert_same_bits("linear");
}

/// The results of two processes that share a batch. `compute` gets the images of a process and how it adds. It is called twice: the first
/// time to find the sums of each process, the second time with the sums of both.
fn shared<T>(images: usize, whole_slices: usize, compute: impl Fn(Range<usize>, &BatchSums<'_>) -> T) -> Vec<T> {
    let call = |half: Range<usize>, exchange: &dyn Fn(&mut [f64])| {
        let sums = BatchSums {
            slices: slices(whole_slices / 2),
            whole_batch: images,
            exchange: Some(exchange),
        };
        compute(half, &sums)
    };
    let own = RefCell::new(Vec::new());
    for half in halves(images) {
        call(half, &|values| own.borrow_mut().push(values.to_vec()));
    }
    let own = own.into_inner();
    let total: Vec<f64> = own[0].iter().zip(&own[1]).map(|(a, b)| a + b).collect();
    let both = |half| call(half, &|values: &mut [f64]| values.copy_from_slice(&total));
    halves(images).into_iter().map(both).collect()
}

/// One process that has all images, in so many slices.
fn alone(images: usize, count: usize) -> BatchSums<'static> {
    BatchSums {
        slices: slices(count),
        ..BatchSums::alone(images)
    }
}

fn moments(gpu: &Gpu, s: &ChannelShape, sums: &BatchSums<'_>, x: &[f32]) -> Vec<f32> {
    let [mut mean, mut variance, mut inv_std] = [0; 3].map(|_| blank(gpu, s.channels));
    let out = Moments {
        mean: FloatsMut::new(&mut mean),
        variance: FloatsMut::new(&mut variance),
        inv_std: FloatsMut::new(&mut inv_std),
    };
    gpu.moments(s, sums, 1e-5, Floats::new(&up(gpu, x)), out).unwrap();
    [mean, variance, inv_std]
        .iter()
        .flat_map(|values| down(gpu, values))
        .collect()
}

/// Also with fewer images than slices.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_batch_norms_of_halves_are_those_of_the_whole() {
    let gpu = gpu(STRICT);
    for images in [2, 3, BATCH, 11] {
        let shape = |batch| ChannelShape {
            batch,
            channels: 3,
            inner: 50,
        };
        let (whole, image) = (shape(images), shape(1).len());
        let [x, residual, gout] = [1, 2, 3].map(|salt| numbers(whole.len(), salt));
        let found = moments(&gpu, &whole, &alone(images, 4), &x);
        let (mut mean, mut variance) = (vec![0.0; 3], vec![0.0; 3]);
        kernels::batch_norm_statistics(&whole, &x, &mut mean, &mut variance);
        assert_close("moments", &found[..6], &[&mean[..], &variance].concat(), 1e-6);
        let of_halves = shared(images, 4, |half, sums| {
            moments(&gpu, &shape(half.len()), sums, part(&x, &half, image))
        });
        for moments in of_halves {
            assert_eq!(bits(&moments), bits(&found), "{images}: moments");
        }

        let [mean, inv_std, scale, shift] =
            [&found[..3], &found[6..], &numbers(3, 4), &numbers(3, 5)].map(|v| up(&gpu, v));
        let norm = BatchNormParams {
            mean: Floats::new(&mean),
            inv_std: Floats::new(&inv_std),
            scale: Floats::new(&scale),
            shift: Floats::new(&shift),
        };
        let mask: Vec<u64> = (0..3).map(|word| 0x5bd1_e995_1234_5678 << word).collect();
        let mask = gpu.upload_mask(&mask).unwrap();
        let quantizer = Quantizer::freezing(image, &mask, Surrogate::Clipped);
        let backward = |half: Range<usize>, sums: &BatchSums<'_>| {
            let s = shape(half.len());
            let [x, residual, gout] = [&x, &residual, &gout].map(|values| up(&gpu, part(values, &half, image)));
            let [mut gx, mut gresidual] = [0; 2].map(|_| up(&gpu, &vec![0.0; s.len()]));
            let [mut gscale, mut gshift] = [0; 2].map(|_| up(&gpu, &[0.0; 3]));
            let gradients = NormGradients {
                x: Some(FloatsMut::new(&mut gx)),
                add_to_x: false,
                residual: Some(FloatsMut::new(&mut gresidual)),
                scale: FloatsMut::new(&mut gscale),
                shift: FloatsMut::new(&mut gshift),
            };
            let (x, residual, gout) = (Floats::new(&x), Floats::new(&residual), Floats::new(&gout));
            gpu.norm_backward(&s, sums, norm, Some(quantizer), x, Some(residual), gout, gradients)
                .unwrap();
            let of_channels = [down(&gpu, &gscale), down(&gpu, &gshift)].concat();
            ([down(&gpu, &gx), down(&gpu, &gresidual)], of_channels)
        };
        let (of_images, of_channels) = backward(0..images, &alone(images, 4));
        let parts = shared(images, 4, backward);
        for (which, expected) in of_images.iter().enumerate() {
            let together = [&parts[0].0[which][..], &parts[1].0[which]].concat();
            assert_eq!(bits(&together), bits(expected), "{images}: gradient {which}");
        }
        for part in &parts {
            // The sums of the whole batch, in both.
            assert_eq!(bits(&part.1), bits(&of_channels), "{images}: scale and shift");
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_loss_of_halves_is_that_of_the_whole() {
    let gpu = gpu(STRICT);
    for images in [2, 7, 100] {
        let logits = numbers(images * 5, 1);
        let labels: Vec<usize> = (0..images).map(|n| n * 3 % 5).collect();
        let compute = |part_of: Range<usize>, sums: &BatchSums<'_>| {
            let on_device = up(&gpu, part(&logits, &part_of, 5));
            let (mut loss, mut gradient) = (blank(&gpu, 1), blank(&gpu, 5 * part_of.len()));
            let out = (FloatsMut::new(&mut loss), FloatsMut::new(&mut gradient));
            gpu.cross_entropy(5, Floats::new(&on_device), &labels[part_of], 0.1, sums, out.0, out.1)
                .unwrap();
            (down(&gpu, &loss), down(&gpu, &gradient))
        };
        let whole = compute(0..images, &alone(images, 4));
        let expected = kernels::cross_entropy(images, 5, &logits, &labels, 0.1, None);
        assert_close("loss", &whole.0, &[expected], 1e-6);
        let parts = shared(images, 4, compute);
        for (loss, _) in &parts {
            assert_eq!(bits(loss), bits(&whole.0), "{images}: loss");
        }
        let gradient = [&parts[0].1[..], &parts[1].1].concat();
        assert_eq!(bits(&gradient), bits(&whole.1), "{images}: gradient");
    }
}
