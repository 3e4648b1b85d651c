//! The schedule of StoMPP in candle: an MLP whose hidden weights and activations freeze to -1 and +1, layer by layer.
//! `stompp-schedule` says which entries are frozen; everything else is plain candle. Run it with `cargo run --release`.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Optimizer, SGD, loss::cross_entropy};
use rand_chacha::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use stompp_schedule::{Mask, Plan, PlanSpec};

const UNITS: usize = 2; // hidden weights, each with the activation in front of it
const WIDTH: usize = 64;
const STEPS: u64 = 2000;

/// Random numbers in [-size, size), as a matrix.
fn uniform(rng: &mut ChaCha8Rng, size: f32, shape: (usize, usize)) -> Result<Tensor> {
    let values = (0..shape.0 * shape.1).map(|_| size * (rng.next_u32() as f32 / 2f32.powi(31) - 1.0));
    Tensor::from_vec(values.collect(), shape, &Device::Cpu)
}

/// `count` points of random classes. Each class is a cloud around its row of `centers`.
fn points(rng: &mut ChaCha8Rng, centers: &Tensor, count: usize) -> Result<(Tensor, Tensor)> {
    let (classes, inputs) = centers.dims2()?;
    let labels = (0..count).map(|_| rng.next_u32() % classes as u32).collect();
    let labels = Tensor::from_vec(labels, count, &Device::Cpu)?;
    Ok(((centers.index_select(&labels, 0)? + uniform(rng, 1.0, (count, inputs))?)?, labels))
}

/// Replaces frozen entries by their sign, which passes no gradient, and clips open entries to [-1, 1].
fn quantize(u: &Tensor, (_, mask): &(usize, Mask)) -> Result<Tensor> {
    let mut bits = vec![0f32; mask.len()];
    mask.write_f32(&mut bits);
    // A weight has one bit per entry. For an activation, all points of a batch share one row of bits.
    let bits = Tensor::from_vec(bits, (mask.len() / u.dim(1)?, u.dim(1)?), u.device())?;
    let signs = u.detach().ge(0f32)?.to_dtype(DType::F32)?.affine(2.0, -1.0)?;
    let open = u.clamp(-1f32, 1f32)?.broadcast_mul(&bits.affine(-1.0, 1.0)?)?;
    signs.broadcast_mul(&bits)? + open
}

/// The first and last weight stay in full precision, as usual. `masks` alternate between activations and weights.
fn forward(x: &Tensor, weights: &[Var], masks: &[(usize, Mask)]) -> Result<Tensor> {
    let mut x = x.matmul(&weights[0])?;
    for unit in 0..UNITS {
        let weight = quantize(&weights[1 + unit], &masks[2 * unit + 1])?;
        x = (quantize(&x, &masks[2 * unit])?.matmul(&weight)? / (WIDTH as f64).sqrt())?; // in place of a batch norm
    }
    quantize(&x, &masks[2 * UNITS])?.matmul(&weights[UNITS + 1])
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let centers = uniform(&mut rng, 1.0, (4, 16))?;
    let shapes = [(16, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 4)];
    let weights = shapes.map(|shape| Var::from_tensor(&uniform(&mut rng, 0.5, shape).unwrap()).unwrap());
    let mut sgd = SGD::new(weights.to_vec(), 0.1)?;
    // Each mask with its unit. No hidden weight follows the last activation, so it shares the last unit's window.
    let lengths = [(0, WIDTH), (0, WIDTH * WIDTH), (1, WIDTH), (1, WIDTH * WIDTH), (1, WIDTH)];
    let mut masks = lengths.map(|(unit, length)| (unit, Mask::new(length)));
    let plan = Plan::new(PlanSpec { tail: STEPS / 10, ..PlanSpec::new(UNITS, STEPS) })?;
    for step in 0..STEPS {
        for (unit, mask) in &mut masks {
            mask.advance(&plan, step, *unit, "0.1w".parse()?, &mut rng); // before each step
        }
        let (x, labels) = points(&mut rng, &centers, 64)?;
        let loss = cross_entropy(&forward(&x, &weights, &masks)?, &labels)?;
        sgd.backward_step(&loss)?;
        for weight in &weights[1..=UNITS] {
            weight.set(&weight.clamp(-1f32, 1f32)?)?; // after each step
        }
        if step % 200 == 199 {
            let frozen = masks.iter().map(|(_, mask)| mask.fraction()).sum::<f64>() / masks.len() as f64;
            println!("step {}: loss {:.3}, {:.0} % frozen", step + 1, loss.to_scalar::<f32>()?, 100.0 * frozen);
        }
    }
    let (x, labels) = points(&mut rng, &centers, 1000)?;
    let right = forward(&x, &weights, &masks)?.argmax(D::Minus1)?.eq(&labels)?.to_dtype(DType::F32)?;
    let top1 = right.mean_all()?.to_scalar::<f32>()?;
    println!("top-1 of the binary network: {:.1} %", 100.0 * top1);
    let good = top1 >= 0.85 && masks.iter().all(|(_, mask)| mask.fraction() == 1.0);
    if good { Ok(()) } else { Err("expected everything frozen and a top-1 of at least 85 %".into()) }
}
