//! Sums over a batch have the same bits whether one process has the whole batch or several have parts of it.

mod common;

use common::{assert_close, double, noise};
use std::ops::Range;
use stompp_kernels::{
    BatchNormParams, BatchNormQuantizeGradients, ChannelShape, ConvShape, FreezeState, GradientSums, LossShape, Slices,
    Surrogate, batch_norm_backward, batch_norm_backward_sums, batch_norm_moments, batch_norm_quantize_backward,
    batch_norm_quantize_backward_sums, batch_norm_statistics, batch_norm_sums, conv2d_backward_weight,
    conv2d_backward_weight_in_slices, cross_entropy, cross_entropy_sum, linear_backward,
};

const SLICES: usize = 4;

/// The images of each of `parts` processes, and the slices of each process.
fn parts(parts: usize, images: usize) -> (Vec<Range<usize>>, Slices) {
    let slices = Slices::new(SLICES).unwrap().of_part(parts).unwrap();
    (Slices::new(parts).unwrap().ranges(images), slices)
}

/// The entries of some images of `len` entries each.
fn of<'a>(values: &'a [f32], len: usize, images: &Range<usize>) -> &'a [f32] {
    &values[images.start * len..images.end * len]
}

/// Adds vectors of several processes in pairs.
fn total<T: Copy>(parts: &[Vec<T>], add: impl Fn(T, T) -> T) -> Vec<T> {
    let slices = Slices::new(parts.len()).unwrap();
    let at = |i: usize| parts.iter().map(|part| part[i]).collect::<Vec<T>>();
    (0..parts[0].len()).map(|i| slices.total(&at(i), &add)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn weight_gradients_of_parts_add_up_to_the_bits_of_the_whole() {
    // Winograd, direct, strided and pointwise convolutions; numbers of images that the slices do not divide.
    for (batch, channels, side, out_channels, kernel, stride, padding) in [
        (10, 16, 8, 16, 3, 1, 1),
        (7, 3, 9, 20, 3, 1, 1),
        (6, 16, 8, 32, 3, 2, 1),
        (9, 32, 8, 16, 1, 1, 0),
        (3, 5, 4, 7, 3, 1, 1),
    ] {
        let shape = |batch| ConvShape {
            batch,
            in_channels: channels,
            in_height: side,
            in_width: side,
            out_channels,
            kernel,
            stride,
            padding,
        };
        let s = shape(batch);
        let (x, gy) = (noise(s.input_len(), 1), noise(s.output_len(), 2));
        let gradient = |s: &ConvShape, slices, x: &[f32], gy: &[f32]| {
            let mut gw = vec![0.0; s.weight_len()];
            conv2d_backward_weight_in_slices(s, slices, x, gy, &mut gw);
            gw
        };
        let whole = gradient(&s, Slices::new(SLICES).unwrap(), &x, &gy);
        for count in [1, 2, 4] {
            let (ranges, slices) = parts(count, batch);
            let of_parts: Vec<_> = ranges
                .iter()
                .map(|images| {
                    let (x, gy) = (
                        of(&x, s.input_len() / batch, images),
                        of(&gy, s.output_len() / batch, images),
                    );
                    gradient(&shape(images.len()), slices, x, gy)
                })
                .collect();
            assert_eq!(
                bits(&total(&of_parts, |a, b| a + b)),
                bits(&whole),
                "{count} parts, {s:?}"
            );
        }
        let mut plain = vec![0.0; s.weight_len()];
        conv2d_backward_weight(&s, &x, &gy, &mut plain);
        assert_close("the weight gradient", &whole, &double(&plain), 1e-5);
        assert_eq!(bits(&gradient(&s, Slices::ONE, &x, &gy)), bits(&plain));
    }
}

#[test]
fn linear_gradients_of_parts_add_up_to_the_bits_of_the_whole() {
    let (batch, inputs, outputs) = (11, 30, 10);
    let (x, w, gy) = (
        noise(batch * inputs, 1),
        noise(inputs * outputs, 2),
        noise(batch * outputs, 3),
    );
    let gradients = |slices, x: &[f32], gy: &[f32]| {
        let (mut gw, mut gb) = (vec![0.0; w.len()], vec![0.0; outputs]);
        linear_backward(
            slices,
            x.len() / inputs,
            inputs,
            outputs,
            x,
            &w,
            gy,
            None,
            &mut gw,
            &mut gb,
        );
        gw.extend(gb);
        gw
    };
    let whole = gradients(Slices::new(SLICES).unwrap(), &x, &gy);
    for count in [2, 4] {
        let (ranges, slices) = parts(count, batch);
        let of_parts: Vec<_> = ranges
            .iter()
            .map(|images| gradients(slices, of(&x, inputs, images), of(&gy, outputs, images)))
            .collect();
        assert_eq!(bits(&total(&of_parts, |a, b| a + b)), bits(&whole));
    }
}

#[test]
fn losses_of_parts_add_up_to_the_bits_of_the_whole() {
    let (batch, classes) = (13, 10);
    let logits = noise(batch * classes, 1);
    let labels: Vec<usize> = (0..batch).map(|image| image * 7 % classes).collect();
    let loss = |slices, images: &Range<usize>| {
        let shape = LossShape {
            batch: images.len(),
            classes,
            whole_batch: batch,
            slices,
        };
        let mut gradient = vec![0.0; images.len() * classes];
        let logits = of(&logits, classes, images);
        let sum = cross_entropy_sum(&shape, logits, &labels[images.clone()], 0.1, Some(&mut gradient));
        (sum, gradient)
    };
    let (whole, gradient) = loss(Slices::new(SLICES).unwrap(), &(0..batch));
    for count in [2, 4] {
        let (ranges, slices) = parts(count, batch);
        let (sums, gradients): (Vec<_>, Vec<_>) = ranges.iter().map(|images| loss(slices, images)).unzip();
        assert_eq!(Slices::new(count).unwrap().total(&sums, |a, b| a + b), whole);
        assert_eq!(bits(&gradients.concat()), bits(&gradient));
    }
    let mut plain = vec![0.0; batch * classes];
    let mean = cross_entropy(batch, classes, &logits, &labels, 0.1, Some(&mut plain));
    assert_eq!(
        bits(&plain),
        bits(&gradient),
        "the gradient of an image does not depend on the others"
    );
    assert_close("the mean", &[mean], &[whole / batch as f64], 1e-6);
}

/// A batch norm with its quantizer.
struct Norm {
    s: ChannelShape,
    x: Vec<f32>,
    gy: Vec<f32>,
    residual: Vec<f32>,
    scale: Vec<f32>,
}

/// The moments and gradients of some images: mean, variance; gradient of the input, scale and shift; the same through a quantizer.
type Results = [Vec<f32>; 8];

/// Writes the sums of some images, one pair for each channel.
type SumsOfPart<'a> = dyn Fn(&Range<usize>, &mut [[f64; 2]]) + 'a;

impl Norm {
    fn new() -> Self {
        let s = ChannelShape {
            batch: 10,
            channels: 6,
            inner: 35,
        };
        Self {
            s,
            x: noise(s.len(), 1),
            gy: noise(s.len(), 2),
            residual: noise(s.len(), 3),
            scale: noise(s.channels, 4),
        }
    }

    /// Computes everything for the whole batch in `count` parts. Concatenates what each image has, and takes the rest from each part.
    fn in_parts(&self, count: usize) -> Vec<Results> {
        let (ranges, slices) = parts(count, self.s.batch);
        let len = self.s.channels * self.s.inner;
        let shape = |images: &Range<usize>| ChannelShape {
            batch: images.len(),
            ..self.s
        };
        let add = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
        let sums_of = |of_part: &SumsOfPart<'_>| {
            let sums: Vec<_> = ranges
                .iter()
                .map(|images| {
                    let mut sums = vec![[0.0; 2]; self.s.channels];
                    of_part(images, &mut sums);
                    sums
                })
                .collect();
            total(&sums, add)
        };
        let moments = sums_of(&|images, sums| batch_norm_sums(&shape(images), slices, of(&self.x, len, images), sums));
        let (mut mean, mut var) = (vec![0.0; self.s.channels], vec![0.0; self.s.channels]);
        let elements = self.s.batch * self.s.inner;
        batch_norm_moments(elements, &moments, &mut mean, &mut var);
        let inv_std: Vec<f32> = var.iter().map(|var| 1.0 / (var + 1e-5).sqrt()).collect();
        let norm = BatchNormParams {
            mean: &mean,
            inv_std: &inv_std,
            scale: &self.scale,
            shift: &self.scale,
        };
        let mask = vec![0x5555_5555_5555_5555; len.div_ceil(64)];
        let (mask, surrogate) = (FreezeState::Freezing(&mask[..]), Surrogate::Clipped);
        let of_gy = sums_of(&|images, sums| {
            let (x, gy) = (of(&self.x, len, images), of(&self.gy, len, images));
            batch_norm_backward_sums(&shape(images), slices, x, &mean, gy, sums);
        });
        let quantized = sums_of(&|images, sums| {
            let (x, gy, residual) = (
                of(&self.x, len, images),
                of(&self.gy, len, images),
                of(&self.residual, len, images),
            );
            batch_norm_quantize_backward_sums(
                &shape(images),
                slices,
                x,
                norm,
                Some(residual),
                mask,
                surrogate,
                gy,
                sums,
            );
        });
        let given = |sums| Some(GradientSums { sums, count: elements });
        let of_part = |images: &Range<usize>| {
            let s = shape(images);
            let (x, gy, residual) = (
                of(&self.x, len, images),
                of(&self.gy, len, images),
                of(&self.residual, len, images),
            );
            let mut results: Results = Default::default();
            (results[0], results[1]) = (mean.clone(), var.clone());
            for at in [2, 5] {
                results[at] = vec![0.0; s.len()];
                results[at + 1] = vec![0.0; s.channels];
                results[at + 2] = vec![0.0; s.channels];
            }
            let [_, _, gx, gscale, gshift, gx2, gscale2, gshift2] = &mut results;
            batch_norm_backward(
                &s,
                given(&of_gy),
                x,
                &mean,
                &inv_std,
                &self.scale,
                gy,
                Some(gx),
                gscale,
                gshift,
            );
            gx2.copy_from_slice(x);
            let gradients = BatchNormQuantizeGradients {
                residual: None,
                scale: gscale2,
                shift: gshift2,
            };
            batch_norm_quantize_backward(
                &s,
                given(&quantized),
                gx2,
                norm,
                Some(residual),
                mask,
                surrogate,
                gy,
                gradients,
            );
            results
        };
        ranges.iter().map(of_part).collect()
    }
}

#[test]
fn batch_norms_of_parts_have_the_bits_of_the_whole() {
    let norm = Norm::new();
    let [whole] = &norm.in_parts(1)[..] else {
        panic!("there is one part")
    };
    for count in [2, 4] {
        let parts = norm.in_parts(count);
        for at in 0..whole.len() {
            let of_images = at == 2 || at == 5;
            let each: Vec<_> = parts.iter().map(|part| part[at].clone()).collect();
            if of_images {
                assert_eq!(bits(&each.concat()), bits(&whole[at]), "{count} parts, {at}");
            } else {
                each.iter()
                    .for_each(|part| assert_eq!(bits(part), bits(&whole[at]), "{count} parts, {at}"));
            }
        }
    }
}

#[test]
fn one_slice_is_the_batch_norm_that_needs_no_sums() {
    let norm = Norm::new();
    let (mut mean, mut var) = (vec![0.0; norm.s.channels], vec![0.0; norm.s.channels]);
    batch_norm_statistics(&norm.s, &norm.x, &mut mean, &mut var);
    let mut sums = vec![[0.0; 2]; norm.s.channels];
    batch_norm_sums(&norm.s, Slices::ONE, &norm.x, &mut sums);
    let elements = norm.s.batch * norm.s.inner;
    let (mut mean2, mut var2) = (mean.clone(), var.clone());
    batch_norm_moments(elements, &sums, &mut mean2, &mut var2);
    assert_eq!((bits(&mean), bits(&var)), (bits(&mean2), bits(&var2)));
    batch_norm_backward_sums(&norm.s, Slices::ONE, &norm.x, &mean, &norm.gy, &mut sums);
    let backward = |sums| {
        let (mut gx, mut gscale, mut gshift) = (vec![0.0; norm.x.len()], mean.clone(), mean.clone());
        let gx_out = Some(&mut gx[..]);
        let inv_std = &var;
        batch_norm_backward(
            &norm.s,
            sums,
            &norm.x,
            &mean,
            inv_std,
            &norm.scale,
            &norm.gy,
            gx_out,
            &mut gscale,
            &mut gshift,
        );
        [gx, gscale, gshift].map(|values| bits(&values))
    };
    let given = GradientSums {
        sums: &sums,
        count: elements,
    };
    assert_eq!(backward(Some(given)), backward(None));
}
