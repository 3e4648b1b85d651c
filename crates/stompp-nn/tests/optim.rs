//! Optimizers against sequences computed by hand and the formulas in `f64`: steps, weight decay, bounds, parameters that have stopped, and
//! state that is saved and restored.

use approx::assert_abs_diff_eq;
use dfdx::{
    shapes::Const,
    tensor::{AsArray, Cpu, Gradients, Tensor, TensorFrom},
};
use stompp_nn::{
    DeviceError, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut,
    optim::{Adam, Optimizer, Sgd, WeightDecay},
};

/// Two parameters: one that learns freely, one that is bounded and may have stopped; and a statistic.
struct Pair {
    free: Tensor<(Const<2>,), f32, Cpu>,
    bounded: Tensor<(Const<1>,), f32, Cpu>,
    statistic: Tensor<(Const<1>,), f32, Cpu>,
    learning: bool,
}

impl VisitTensors<Cpu> for Pair {
    fn visit<V: Visitor<Cpu>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        visitor.visit_tensor(&format!("{prefix}free"), TensorKind::PARAMETER, &self.free)?;
        visitor.visit_tensor(&format!("{prefix}bounded"), self.bounded_kind(), &self.bounded)?;
        visitor.visit_tensor(&format!("{prefix}statistic"), TensorKind::Statistic, &self.statistic)
    }

    fn visit_mut<V: VisitorMut<Cpu>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let kind = self.bounded_kind();
        let (free, bounded) = (TensorMut::new(&mut self.free), TensorMut::new(&mut self.bounded));
        visitor.visit_tensor_mut(&format!("{prefix}free"), TensorKind::PARAMETER, free)?;
        visitor.visit_tensor_mut(&format!("{prefix}bounded"), kind, bounded)?;
        let statistic = TensorMut::new(&mut self.statistic);
        visitor.visit_tensor_mut(&format!("{prefix}statistic"), TensorKind::Statistic, statistic)
    }
}

impl Pair {
    fn new(free: [f32; 2], bounded: f32) -> Self {
        let device = Cpu::default();
        Self {
            free: device.tensor(free),
            bounded: device.tensor([bounded]),
            statistic: device.tensor([7.0]),
            learning: true,
        }
    }

    fn bounded_kind(&self) -> TensorKind {
        TensorKind::Parameter {
            learning: self.learning,
            bound: Some(1.0),
        }
    }

    /// Gradients [a, b] of `free` and c of `bounded`; none for a parameter that is `None`.
    fn gradients(&self, free: Option<[f32; 2]>, bounded: Option<f32>) -> Gradients<f32, Cpu> {
        let mut gradients = Gradients::leaky();
        if let Some(values) = free {
            gradients.get_or_alloc_mut(&self.free).unwrap().copy_from_slice(&values);
        }
        if let Some(value) = bounded {
            gradients.get_or_alloc_mut(&self.bounded).unwrap()[0] = value;
        }
        gradients
    }

    fn step(&mut self, optimizer: &mut impl Optimizer<Cpu>, free: Option<[f32; 2]>, bounded: Option<f32>) {
        let mut gradients = self.gradients(free, bounded);
        optimizer.step(&Cpu::default(), self, &mut gradients).unwrap();
    }

    fn values(&self) -> ([f32; 2], [f32; 1]) {
        assert_eq!(self.statistic.array(), [7.0], "a statistic is no parameter");
        (self.free.array(), self.bounded.array())
    }
}

/// Rate 1/4 and momentum 1/2, so that every number below is exact and can be followed by hand.
#[test]
fn sgd_a_sequence_by_hand() {
    let mut net = Pair::new([1.0, -2.0], 0.75);
    let mut sgd = Sgd::new(0.25, 0.5);

    // v = g; free - g/4 = [0.5, -2], bounded 0.75 + 1 is clamped to 1.
    net.step(&mut sgd, Some([2.0, 0.0]), Some(-4.0));
    assert_eq!(net.values(), ([0.5, -2.0], [1.0]));

    // Without a gradient v halves and still moves: v = [1, 0], bounded v = -2 pushes against the bound.
    net.step(&mut sgd, None, None);
    assert_eq!(net.values(), ([0.25, -2.0], [1.0]));
    let expected = [
        ("velocity.free".to_owned(), vec![1.0, 0.0]),
        ("velocity.bounded".to_owned(), vec![-2.0]),
    ];
    assert_eq!(sgd.state(&net).unwrap(), expected);

    // A stopped parameter keeps its weight and velocity, whatever its gradient.
    net.learning = false;
    net.step(&mut sgd, Some([0.5, 1.0]), Some(100.0));
    assert_eq!(net.values(), ([0.0, -2.25], [1.0]));
    assert_eq!(sgd.state(&net).unwrap()[1].1, [-2.0]);

    // Another rate: v = [0.5, 0.5] moves by half of that.
    sgd.set_learning_rate(0.5);
    assert_eq!(sgd.learning_rate(), 0.5);
    net.step(&mut sgd, None, None);
    assert_eq!(net.values().0, [-0.25, -2.5]);
}

/// Rate 1/4, penalty 1/2: w - (g + w/2) / 4.
#[test]
fn weight_decay_leaves_latent_weights_out_unless_asked() {
    let run = |latent_weights| {
        let mut net = Pair::new([1.0, -2.0], 0.5);
        let decay = WeightDecay {
            rate: 0.5,
            latent_weights,
        };
        net.step(
            &mut Sgd::new(0.25, 0.5).with_weight_decay(decay),
            Some([2.0, 0.0]),
            None,
        );
        net.values()
    };
    assert_eq!(run(false), ([0.375, -1.75], [0.5]));
    assert_eq!(run(true), ([0.375, -1.75], [0.4375]));
}

/// The first step of Adam moves each entry with a gradient by the learning rate, whatever the gradient's size.
#[test]
fn adam_s_first_step_is_the_learning_rate() {
    let mut net = Pair::new([1.0, -2.0], 0.9375);
    net.step(&mut Adam::new(0.125), Some([300.0, -0.01]), Some(-5.0));
    let (free, bounded) = net.values();
    assert_abs_diff_eq!(free[0], 0.875, epsilon = 1e-6);
    assert_abs_diff_eq!(free[1], -1.875, epsilon = 1e-6);
    assert_eq!(bounded, [1.0], "clamped");
}

/// `torch.optim.Adam` by its documentation, in f64, with bias-corrected moments as in the paper.
fn adam_in_f64(w: f64, gradients: &[f64], rate: f64, (beta1, beta2): (f64, f64), decay: f64) -> f64 {
    let (mut w, mut m, mut v) = (w, 0.0, 0.0);
    for (t, g) in (1..).zip(gradients) {
        let g = g + decay * w;
        m = beta1 * m + (1.0 - beta1) * g;
        v = beta2 * v + (1.0 - beta2) * g * g;
        let (m_hat, v_hat) = (m / (1.0 - beta1.powi(t)), v / (1.0 - beta2.powi(t)));
        w -= rate * m_hat / (v_hat.sqrt() + 1e-8);
    }
    w
}

#[test]
fn adam_follows_its_formula() {
    let slopes: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin() + 0.2).collect();
    let in_f64: Vec<f64> = slopes.iter().map(|&g| f64::from(g)).collect();
    for (betas, rate) in [((0.9, 0.999), 0.0), ((0.9, 0.999), 0.25), ((0.5, 0.75), 0.0)] {
        let mut net = Pair::new([1.0, -2.0], 0.0);
        let decay = WeightDecay {
            rate,
            latent_weights: false,
        };
        let mut adam = Adam::new(0.01).with_betas(betas.0, betas.1).with_weight_decay(decay);
        for &g in &slopes {
            net.step(&mut adam, Some([g, -3.0 * g]), Some(g));
        }
        let decay = f64::from(rate);
        let third: Vec<f64> = in_f64.iter().map(|g| -3.0 * g).collect();
        let ([a, b], [c]) = net.values();
        assert_abs_diff_eq!(
            f64::from(a),
            adam_in_f64(1.0, &in_f64, 0.01, betas, decay),
            epsilon = 2e-6
        );
        assert_abs_diff_eq!(
            f64::from(b),
            adam_in_f64(-2.0, &third, 0.01, betas, decay),
            epsilon = 2e-6
        );
        assert_abs_diff_eq!(
            f64::from(c),
            adam_in_f64(0.0, &in_f64, 0.01, betas, 0.0),
            epsilon = 2e-6
        );
    }
}

#[test]
fn adam_leaves_what_has_stopped_alone() {
    let mut net = Pair::new([1.0, -2.0], 0.5);
    let mut adam = Adam::new(0.1);
    net.step(&mut adam, Some([1.0, 1.0]), Some(1.0));
    let (bounded, state) = (net.bounded.array(), adam.state(&net).unwrap());
    net.learning = false;
    net.step(&mut adam, Some([1.0, 1.0]), Some(1.0));
    assert_eq!(net.bounded.array(), bounded);
    let after = adam.state(&net).unwrap();
    assert_eq!((&after[1], &after[3]), (&state[1], &state[3]));
    assert_ne!(after[0], state[0]);
}

/// Three steps, or two, save, restore into a fresh optimizer and one more: the same bits.
fn resumes<O: Optimizer<Cpu> + Clone>(fresh: O, names: &[&str]) {
    let device = Cpu::default();
    let steps = [([1.0, -0.5], 0.25), ([0.3, 0.1], -0.5), ([-2.0, 0.7], 0.125)];
    let mut whole = (Pair::new([1.0, -2.0], 0.5), fresh.clone());
    let mut parts = (Pair::new([1.0, -2.0], 0.5), fresh.clone());
    for (index, (free, bounded)) in steps.into_iter().enumerate() {
        whole.0.step(&mut whole.1, Some(free), Some(bounded));
        if index == 2 {
            let saved = parts.1.state(&parts.0).unwrap();
            let found: Vec<&str> = saved.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(found, names);
            parts.1 = fresh.clone();
            let restored: Result<(), DeviceError> = parts.1.restore(&device, &parts.0, |name, len| {
                let (_, values) = saved.iter().find(|(saved, _)| saved == name).expect("a known name");
                assert_eq!(values.len(), len);
                Ok(values.clone())
            });
            restored.unwrap();
        }
        parts.0.step(&mut parts.1, Some(free), Some(bounded));
    }
    let bits = |net: &Pair| [net.free.as_vec(), net.bounded.as_vec()].concat();
    assert_eq!(bits(&whole.0), bits(&parts.0));
    assert_eq!(whole.1.state(&whole.0).unwrap(), parts.1.state(&parts.0).unwrap());
    // Without its state the step is different.
    let mut amnesiac = fresh.clone();
    parts.0.step(&mut amnesiac, None, None);
    whole.0.step(&mut whole.1, None, None);
    assert_ne!(bits(&whole.0), bits(&parts.0));
}

#[test]
fn saved_state_goes_on_to_the_same_bits() {
    resumes(Sgd::new(0.1, 0.9), &["velocity.free", "velocity.bounded"]);
    let names = [
        "first_moment.free",
        "first_moment.bounded",
        "second_moment.free",
        "second_moment.bounded",
        "step",
    ];
    resumes(Adam::new(0.1), &names);
}

#[test]
fn restoring_ends_at_the_first_error() {
    let (device, net) = (Cpu::default(), Pair::new([1.0, -2.0], 0.5));
    let mut asked = Vec::new();
    let restored: Result<(), Box<dyn std::error::Error>> = Sgd::new(0.1, 0.9).restore(&device, &net, |name, len| {
        asked.push((name.to_owned(), len));
        Err("gone".into())
    });
    assert_eq!(restored.unwrap_err().to_string(), "gone");
    assert_eq!(asked, [("velocity.free".to_owned(), 2)]);
}
