//! The schedule of StoMPP in burn: an MLP whose hidden weights and activations freeze to -1 and +1, layer by layer.
//! `stompp-schedule` says which entries are frozen; everything else is plain burn. Run it with `cargo run --release`.

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use rand_chacha::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use stompp_schedule::{Mask, Plan, PlanSpec};

const UNITS: usize = 2; // hidden weights, each with the activation in front of it
const WIDTH: usize = 64;
const STEPS: u64 = 2000;

/// Random numbers in [-size, size), as a matrix.
fn uniform(rng: &mut ChaCha8Rng, size: f32, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let values = (0..shape[0] * shape[1]).map(|_| size * (rng.next_u32() as f32 / 2f32.powi(31) - 1.0));
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), device)
}

/// `count` points of random classes. Each class is a cloud around its row of `centers`.
fn points(rng: &mut ChaCha8Rng, centers: &Tensor<2>, count: usize, device: &Device) -> (Tensor<2>, Tensor<2, Int>) {
    let [classes, inputs] = centers.dims();
    let labels: Vec<i32> = (0..count).map(|_| (rng.next_u32() % classes as u32) as i32).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), device);
    (centers.clone().select(0, labels.clone()) + uniform(rng, 1.0, [count, inputs], device), labels.reshape([count, 1]))
}

/// Replaces frozen entries by their sign, which passes no gradient, and clips open entries to [-1, 1].
fn quantize(u: Tensor<2>, (_, mask): &(usize, Mask)) -> Tensor<2> {
    let mut bits = vec![0f32; mask.len()];
    mask.write_f32(&mut bits);
    // A weight has one bit per entry. For an activation, all points of a batch share one row of bits.
    let columns = u.dims()[1];
    let bits = Tensor::<2>::from_data(TensorData::new(bits, [mask.len() / columns, columns]), &u.device());
    let signs = u.clone().detach().greater_equal_elem(0.0).float() * 2.0 - 1.0;
    signs * bits.clone() + u.clamp(-1.0, 1.0) * (bits * -1.0 + 1.0)
}

/// The first and last weight stay in full precision, as usual. `masks` alternate between activations and weights.
fn forward(x: Tensor<2>, weights: &[Tensor<2>], masks: &[(usize, Mask)]) -> Tensor<2> {
    let mut x = x.matmul(weights[0].clone());
    for unit in 0..UNITS {
        let weight = quantize(weights[1 + unit].clone(), &masks[2 * unit + 1]);
        x = quantize(x, &masks[2 * unit]).matmul(weight) / (WIDTH as f64).sqrt(); // in place of a batch norm
    }
    quantize(x, &masks[2 * UNITS]).matmul(weights[UNITS + 1].clone())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, mut rng) = (Device::flex().autodiff(), ChaCha8Rng::seed_from_u64(0));
    let centers = uniform(&mut rng, 1.0, [4, 16], &device);
    let shapes = [[16, WIDTH], [WIDTH, WIDTH], [WIDTH, WIDTH], [WIDTH, 4]];
    let mut weights = shapes.map(|shape| uniform(&mut rng, 0.5, shape, &device).require_grad());
    // Each mask with its unit. No hidden weight follows the last activation, so it shares the last unit's window.
    let lengths = [(0, WIDTH), (0, WIDTH * WIDTH), (1, WIDTH), (1, WIDTH * WIDTH), (1, WIDTH)];
    let mut masks = lengths.map(|(unit, length)| (unit, Mask::new(length)));
    let plan = Plan::new(PlanSpec { tail: STEPS / 10, ..PlanSpec::new(UNITS, STEPS) })?;
    for step in 0..STEPS {
        for (unit, mask) in &mut masks {
            mask.advance(&plan, step, *unit, "0.1w".parse()?, &mut rng); // before each step
        }
        let (x, labels) = points(&mut rng, &centers, 64, &device);
        let loss = -log_softmax(forward(x, &weights, &masks), 1).gather(1, labels).mean();
        let gradients = loss.backward();
        for (index, weight) in weights.iter_mut().enumerate() {
            let Some(gradient) = weight.grad(&gradients) else { continue }; // frozen throughout
            let moved = weight.clone().inner() - gradient * 0.1;
            let is_hidden = (1..=UNITS).contains(&index); // these are clamped after each step
            *weight = Tensor::from_inner(if is_hidden { moved.clamp(-1.0, 1.0) } else { moved }).require_grad();
        }
        if step % 200 == 199 {
            let frozen = masks.iter().map(|(_, mask)| mask.fraction()).sum::<f64>() / masks.len() as f64;
            println!("step {}: loss {:.3}, {:.0} % frozen", step + 1, loss.into_scalar::<f32>(), 100.0 * frozen);
        }
    }
    let (x, labels) = points(&mut rng, &centers, 1000, &device);
    let right = forward(x, &weights, &masks).argmax(1).equal(labels).float().mean().into_scalar::<f32>();
    println!("top-1 of the binary network: {:.1} %", 100.0 * right);
    let good = right >= 0.85 && masks.iter().all(|(_, mask)| mask.fraction() == 1.0);
    if good { Ok(()) } else { Err("expected everything frozen and a top-1 of at least 85 %".into()) }
}
