//! Pooling, the loss and the optimizer step: small golden cases, and formulas in `f64`.

mod common;

use common::{assert_close, at_every_level, double, finite_differences, noise, same_bits_whatever_the_threads};
use stompp_kernels::{
    AdamStep, ChannelShape, PoolShape, SgdStep, adam_step, average_pool_backward, average_pool_forward, cross_entropy,
    global_average_pool_backward, global_average_pool_forward, max_pool_backward, max_pool_forward, sgd_momentum_step,
};

/// By hand: overlapping windows of 2x2 on 3x3 planes.
#[test]
fn the_average_pool_is_the_mean_of_each_window() {
    let s = PoolShape {
        batch: 1,
        channels: 2,
        in_height: 3,
        in_width: 3,
        kernel: 2,
        stride: 1,
        padding: 0,
    };
    let x: Vec<f32> = (0..18).map(|i| if i < 9 { i as f32 } else { -4.0 }).collect();
    let mut y = vec![f32::NAN; 8];
    average_pool_forward(&s, &x, &mut y);
    assert_eq!(y, [2.0, 3.0, 5.0, 6.0, -4.0, -4.0, -4.0, -4.0]);
    let mut gx = vec![1.0; 18];
    average_pool_backward(&s, &[4.0, 8.0, 12.0, 16.0, 0.0, 0.0, 0.0, 4.0], &mut gx);
    let expected = [2.0, 4.0, 3.0, 5.0, 11.0, 7.0, 4.0, 8.0, 5.0];
    assert_eq!(gx[..9], expected);
    assert_eq!(gx[9..], [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 2.0]);
    // Stride 2 leaves the last row and column out.
    let s = PoolShape { stride: 2, ..s };
    let mut y = vec![f32::NAN; 2];
    average_pool_forward(&s, &x, &mut y);
    assert_eq!(y, [2.0, -4.0]);
}

#[test]
fn global_average_pool_is_the_mean_and_spreads_the_gradient() {
    let s = ChannelShape {
        batch: 2,
        channels: 3,
        inner: 10,
    };
    let x = noise(s.len(), 1);
    let mut y = [f32::NAN; 6];
    global_average_pool_forward(&s, &x, &mut y);
    let expected: Vec<f64> = double(&x).chunks(10).map(|x| x.iter().sum::<f64>() / 10.0).collect();
    assert_close("y", &y, &expected, 1e-7);
    let mut gx = vec![1.0; x.len()];
    global_average_pool_backward(&s, &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0], &mut gx);
    for (i, gx) in gx.iter().enumerate() {
        assert_eq!(*gx, 2.0 + (i / 10) as f32);
    }
}

/// `torch.nn.functional.max_pool2d(x, kernel, stride, padding, return_indices=True)` by its definition.
fn naive_max_pool(s: &PoolShape, x: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let mut out = (Vec::new(), Vec::new());
    for plane in x.chunks(s.in_height * s.in_width) {
        for (row, column) in (0..s.out_height()).flat_map(|r| (0..s.out_width()).map(move |c| (r, c))) {
            let (mut best, mut at) = (f32::NEG_INFINITY, 0);
            for (dy, dx) in (0..s.kernel).flat_map(|y| (0..s.kernel).map(move |x| (y, x))) {
                let (y, x) = (row * s.stride + dy, column * s.stride + dx);
                if (s.padding..s.padding + s.in_height).contains(&y) && (s.padding..s.padding + s.in_width).contains(&x)
                {
                    let index = (y - s.padding) * s.in_width + x - s.padding;
                    if plane[index] > best {
                        (best, at) = (plane[index], index as u32);
                    }
                }
            }
            out.0.push(best);
            out.1.push(at);
        }
    }
    out
}

#[test]
fn max_pool_takes_the_first_maximum_of_every_window() {
    for (extent, window) in [
        ((7, 5), (3, 2, 1)),
        ((8, 8), (2, 2, 0)),
        ((6, 9), (3, 1, 1)),
        ((5, 5), (3, 3, 0)),
    ] {
        let s = PoolShape {
            batch: 2,
            channels: 3,
            in_height: extent.0,
            in_width: extent.1,
            kernel: window.0,
            stride: window.1,
            padding: window.2,
        };
        // Few distinct values, all negative: many ties, and a padding of zeros would win.
        let x: Vec<f32> = noise(s.input_len(), 1)
            .iter()
            .map(|x| (x * 3.0).round() - 4.0)
            .collect();
        let (mut y, mut argmax) = (vec![f32::NAN; s.output_len()], vec![u32::MAX; s.output_len()]);
        max_pool_forward(&s, &x, &mut y, &mut argmax);
        assert_eq!((y, argmax.clone()), naive_max_pool(&s, &x));

        let gy = noise(s.output_len(), 2);
        let mut gx = vec![0.0; x.len()];
        max_pool_backward(&s, &gy, &argmax, &mut gx);
        let (in_plane, out_plane) = (extent.0 * extent.1, s.out_height() * s.out_width());
        let mut expected = vec![0.0; x.len()];
        for (i, (&at, &g)) in argmax.iter().zip(&gy).enumerate() {
            expected[i / out_plane * in_plane + at as usize] += f64::from(g);
        }
        assert_close("gx", &gx, &expected, 1e-6);
    }
}

#[test]
fn max_pool_lets_nan_and_negative_infinity_through() {
    let s = PoolShape {
        batch: 1,
        channels: 1,
        in_height: 2,
        in_width: 2,
        kernel: 2,
        stride: 1,
        padding: 0,
    };
    let (mut y, mut argmax) = ([0.0], [9]);
    max_pool_forward(&s, &[1.0, f32::NAN, f32::INFINITY, 2.0], &mut y, &mut argmax);
    assert!(y[0].is_nan());
    assert_eq!(argmax, [1]);
    max_pool_forward(&s, &[f32::NEG_INFINITY; 4], &mut y, &mut argmax);
    assert_eq!((y, argmax), ([f32::NEG_INFINITY], [0]));
}

#[test]
fn cross_entropy_has_its_value_and_gradient() {
    // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 3.], [1., 2., 3.]]), torch.tensor([2, 0])), float64
    let loss = cross_entropy(2, 3, &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], &[2, 0], 0.0, None);
    assert!((f64::from(loss) - 1.407_605_964_444_380_1).abs() < 1e-6, "{loss}");

    // The same with label_smoothing=0.1; differs, because the labels are not equally likely.
    let loss = cross_entropy(2, 3, &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], &[2, 2], 0.1, None);
    assert!((f64::from(loss) - 0.507_605_964_444_380_1).abs() < 1e-6, "{loss}");

    let (batch, classes) = (5, 7);
    let logits: Vec<f32> = noise(batch * classes, 1).iter().map(|x| 4.0 * x).collect();
    let labels = [0, 6, 3, 3, 1];
    for smoothing in [0.0, 0.25, 1.0] {
        let naive = |z: &[f64]| {
            let row_loss = |(row, &label): (&[f64], &usize)| {
                let log_sum = row.iter().map(|z| z.exp()).sum::<f64>().ln();
                let cost = |c: usize| log_sum - row[c];
                let uniform = (0..classes).map(cost).sum::<f64>() / classes as f64;
                (1.0 - f64::from(smoothing)) * cost(label) + f64::from(smoothing) * uniform
            };
            z.chunks(classes).zip(&labels).map(row_loss).sum::<f64>() / batch as f64
        };
        let mut gradient = vec![f32::NAN; logits.len()];
        let loss = cross_entropy(batch, classes, &logits, &labels, smoothing, Some(&mut gradient));
        assert!((f64::from(loss) - naive(&double(&logits))).abs() < 1e-6);
        assert_close("glogits", &gradient, &finite_differences(&double(&logits), naive), 1e-7);
    }
}

#[test]
fn cross_entropy_of_huge_logits_is_finite_and_of_nan_is_nan() {
    let mut gradient = [f32::NAN; 2];
    let loss = cross_entropy(1, 2, &[1e30, -1e30], &[0], 0.0, Some(&mut gradient));
    assert_eq!((loss, gradient), (0.0, [0.0, 0.0]));
    assert_eq!(cross_entropy(1, 2, &[1e30, -1e30], &[1], 0.0, None), 2e30);
    assert!(cross_entropy(1, 2, &[f32::NAN, 0.0], &[1], 0.0, None).is_nan());
    assert_eq!(cross_entropy(0, 2, &[], &[], 0.0, Some(&mut [])), 0.0);
}

#[test]
#[should_panic(expected = "label 2 of 2 classes")]
fn a_label_out_of_range_panics() {
    cross_entropy(1, 2, &[0.0, 0.0], &[2], 0.0, None);
}

/// Learning rate 0.1 and momentum 0.9.
fn sgd(weight_decay: f32, bound: Option<f32>) -> SgdStep {
    SgdStep {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay,
        bound,
    }
}

#[test]
fn sgd_follows_its_formula_clamps_and_flushes() {
    at_every_level(|level| {
        let n = 40_000; // More than one piece.
        let (mut w, mut v, g) = (noise(n, 1), noise(n, 2), noise(n, 3));
        let v_expected: Vec<f64> = v
            .iter()
            .zip(&g)
            .map(|(&v, &g)| 0.9 * f64::from(v) + f64::from(g))
            .collect();
        let w_expected: Vec<f64> = w
            .iter()
            .zip(&v_expected)
            .map(|(&w, v)| (f64::from(w) - 0.1 * v).clamp(-0.75, 0.75))
            .collect();
        sgd_momentum_step(&sgd(0.0, Some(0.75)), &mut w, &mut v, &g);
        assert_close(&format!("v, {level}"), &v, &v_expected, 1e-6);
        assert_close(&format!("w, {level}"), &w, &w_expected, 1e-6);
        assert!(w.contains(&0.75) && w.contains(&-0.75));

        let (mut w, mut v) = ([5.0, -5.0, 2.0], [2e-30, -1.05e-30, 1.2e-30]);
        sgd_momentum_step(&sgd(0.0, None), &mut w, &mut v, &[0.0; 3]);
        assert_eq!((w, v), ([5.0, -5.0, 2.0], [0.9 * 2e-30, 0.0, 0.9 * 1.2e-30]));

        let (mut w, mut v) = ([f32::NAN], [0.0]);
        sgd_momentum_step(&sgd(0.0, Some(1.0)), &mut w, &mut v, &[1.0]);
        assert!(w[0].is_nan());
    });
}

#[test]
fn sgd_adds_the_penalty_to_the_gradient() {
    at_every_level(|level| {
        let (mut w, mut v, g) = (noise(40_000, 1), noise(40_000, 2), noise(40_000, 3));
        let v_expected: Vec<f64> = (0..w.len())
            .map(|i| 0.9 * f64::from(v[i]) + f64::from(g[i]) + 0.25 * f64::from(w[i]))
            .collect();
        let w_expected: Vec<f64> = (0..w.len()).map(|i| f64::from(w[i]) - 0.1 * v_expected[i]).collect();
        sgd_momentum_step(&sgd(0.25, None), &mut w, &mut v, &g);
        assert_close(&format!("v, {level}"), &v, &v_expected, 1e-6);
        assert_close(&format!("w, {level}"), &w, &w_expected, 1e-6);
    });
}

#[test]
fn adam_follows_its_formula_clamps_and_flushes() {
    let step = |bound| AdamStep {
        step_size: 0.02,
        first_rate: 0.1,
        beta2: 0.999,
        second_rate: 0.001,
        correction: 0.05,
        epsilon: 1e-3,
        weight_decay: 0.25,
        bound,
    };
    at_every_level(|level| {
        let n = 40_000; // More than one piece.
        let (mut w, mut m, g) = (noise(n, 1), noise(n, 2), noise(n, 3));
        let mut s: Vec<f32> = noise(n, 4).iter().map(|x| x * x).collect();
        let g_expected: Vec<f64> = (0..n).map(|i| f64::from(g[i]) + 0.25 * f64::from(w[i])).collect();
        let m_expected: Vec<f64> = (0..n).map(|i| 0.9 * f64::from(m[i]) + 0.1 * g_expected[i]).collect();
        let s_expected: Vec<f64> = (0..n)
            .map(|i| 0.999 * f64::from(s[i]) + 0.001 * g_expected[i].powi(2))
            .collect();
        let w_expected: Vec<f64> = (0..n)
            .map(|i| f64::from(w[i]) - 0.02 * m_expected[i] / (s_expected[i].sqrt() / 0.05 + 1e-3))
            .map(|w| w.clamp(-0.75, 0.75))
            .collect();
        adam_step(&step(Some(0.75)), &mut w, &mut m, &mut s, &g);
        assert_close(&format!("m, {level}"), &m, &m_expected, 1e-6);
        assert_close(&format!("s, {level}"), &s, &s_expected, 1e-6);
        assert_close(&format!("w, {level}"), &w, &w_expected, 1e-5);
        assert!(w.contains(&0.75) && w.contains(&-0.75));

        let (mut w, mut m, mut s) = ([0.0], [1.05e-30], [1.0005e-30]);
        adam_step(&step(None), &mut w, &mut m, &mut s, &[0.0]);
        assert_eq!((w, m, s), ([0.0], [0.0], [0.0]));

        let (mut w, mut m, mut s) = ([f32::NAN], [0.0], [0.0]);
        adam_step(&step(Some(1.0)), &mut w, &mut m, &mut s, &[1.0]);
        assert!(w[0].is_nan());
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    same_bits_whatever_the_threads(|| {
        let (mut w, mut v, g) = (noise(100_000, 1), noise(100_000, 2), noise(100_000, 3));
        sgd_momentum_step(&sgd(0.0, Some(0.75)), &mut w, &mut v, &g);
        [w, v].concat()
    });
}
