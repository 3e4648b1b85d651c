//! The masked quantizer as an op: forward values, the three gradient rules and where the tape ends.

use dfdx::prelude::*;
use stompp_binarize::{EvalMode, FreezeState, MaskedQuantizer, Surrogate, quantize};
use stompp_nn::{Recording, SwitchTape};
use stompp_rng::{Purpose, stream};

const U: [f32; 6] = [-2.0, -1.0, -0.25, 0.0, 0.5, 3.0];

fn u() -> Tensor<(usize,), f32, Cpu> {
    Cpu::default().tensor_from_vec(U.to_vec(), (U.len(),))
}

/// Entries 1, 3 and 5 frozen.
fn half_frozen(surrogate: Surrogate) -> MaskedQuantizer {
    let mut quantizer = MaskedQuantizer::new(U.len(), surrogate);
    quantizer.restore(vec![0b10_1010]).unwrap();
    quantizer
}

fn gradient(quantizer: &MaskedQuantizer) -> Vec<f32> {
    let u = u();
    let y = quantizer.forward(u.clone().put_tape(SwitchTape::on())).unwrap();
    match SwitchTape::into_owned_tape(y.sum::<Rank0, _>()) {
        Some(loss) => loss.backward().get(&u).as_vec(),
        None => vec![0.0; U.len()],
    }
}

#[test]
fn frozen_entries_are_signs_and_open_ones_clipped() {
    let mut quantizer = MaskedQuantizer::new(U.len(), Surrogate::Blocked);
    let values = |q: &MaskedQuantizer| q.forward(u()).unwrap().as_vec();
    assert_eq!(values(&quantizer), [-1.0, -1.0, -0.25, 0.0, 0.5, 1.0]);
    assert_eq!(
        values(&half_frozen(Surrogate::Blocked)),
        [-1.0, -1.0, -0.25, 1.0, 0.5, 1.0]
    );
    quantizer.commit();
    assert_eq!(values(&quantizer), [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn gradients_follow_the_surrogate() {
    let open = [0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    assert_eq!(
        gradient(&MaskedQuantizer::new(U.len(), Surrogate::Blocked)),
        open,
        "|u| = 1 is inside"
    );
    assert_eq!(
        gradient(&half_frozen(Surrogate::Blocked)),
        [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    );
    assert_eq!(
        gradient(&half_frozen(Surrogate::Identity)),
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(
        gradient(&half_frozen(Surrogate::Clipped)),
        [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    );
    let committed = |surrogate| {
        let mut quantizer = MaskedQuantizer::new(U.len(), surrogate);
        quantizer.commit();
        gradient(&quantizer)
    };
    assert_eq!(committed(Surrogate::Blocked), [0.0; 6]);
    assert_eq!(committed(Surrogate::Identity), [1.0; 6]);
    assert_eq!(committed(Surrogate::Clipped), open);
}

#[test]
fn only_a_committed_blocked_quantizer_leaves_the_tape() {
    let records = |state: &FreezeState, surrogate| {
        let y = quantize(u().put_tape(SwitchTape::on()), state, surrogate, U.len()).unwrap();
        y.split_tape().1.is_recording()
    };
    assert!(!records(&FreezeState::Committed, Surrogate::Blocked));
    assert!(records(&FreezeState::Committed, Surrogate::Identity));
    assert!(records(&FreezeState::Committed, Surrogate::Clipped));
    assert!(records(&FreezeState::Open, Surrogate::Blocked));
    assert!(records(half_frozen(Surrogate::Blocked).state(), Surrogate::Blocked));
}

#[test]
fn a_mask_repeats_over_the_batch() {
    let mut quantizer = MaskedQuantizer::new(3, Surrogate::Blocked);
    quantizer.restore(vec![0b010]).unwrap();
    let batch: Tensor<Rank2<2, 3>, f32, _> = Cpu::default().tensor([[0.5, 0.5, 0.5], [-0.5, -0.5, -0.5]]);
    assert_eq!(
        quantizer.forward(batch).unwrap().array(),
        [[0.5, 1.0, 0.5], [-0.5, -1.0, -0.5]]
    );
}

#[test]
fn evaluation_sees_the_deployed_network_and_changes_nothing() {
    let quantizer = half_frozen(Surrogate::Blocked);
    let before = quantizer.state().clone();
    assert_eq!(
        quantizer.evaluate(u(), EvalMode::Binarized).unwrap().as_vec(),
        [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(
        quantizer.evaluate(u(), EvalMode::Current).unwrap().as_vec(),
        [-1.0, -1.0, -0.25, 1.0, 0.5, 1.0]
    );
    assert_eq!(*quantizer.state(), before);
}

#[test]
fn a_mask_of_another_size_is_refused() {
    let mut quantizer = MaskedQuantizer::new(70, Surrogate::Blocked);
    assert!(quantizer.restore(vec![0]).is_err(), "too few words");
    assert!(
        quantizer.restore(vec![0, 1 << 6]).is_err(),
        "a bit beyond the last entry"
    );
    assert!(quantizer.restore(vec![0, 1 << 5]).is_ok());
}

#[test]
#[should_panic(expected = "covers neither")]
fn a_tensor_of_another_size_is_refused() {
    let _ = MaskedQuantizer::new(4, Surrogate::Blocked).forward(u());
}

/// XNOR and popcount against the float convolution: the same bits out, and the same gradients where a surrogate passes them.
#[test]
fn a_committed_convolution_is_the_float_one_exactly() {
    use stompp_binarize::{Activation, BinaryConv2d, Convolution};
    use stompp_nn::Conv2d;
    use stompp_rng::{Purpose, stream};
    let dev = Cpu::seed_from_u64(5);
    for (inputs, outputs, kernel, stride, padding, size) in [
        (3, 5, 3, 1, 1, 7),
        (64, 8, 3, 2, 1, 9),
        (65, 33, 1, 1, 0, 4),
        (8, 64, 1, 2, 0, 5),
        (130, 4, 3, 1, 0, 3),
    ] {
        let mut rng = stream(0, Purpose::INITIAL_WEIGHTS, inputs as u64, 0);
        let latent = Conv2d::new(&dev, inputs, outputs, kernel, stride, padding, &mut rng).unwrap();
        let mut conv = BinaryConv2d::new(latent, Surrogate::Identity);
        conv.quantizer.commit();
        let u = dev.sample_normal_like(&(2, inputs, size, size));
        let entries = inputs * size * size;
        let x = quantize(u.clone(), &FreezeState::Committed, Surrogate::Blocked, entries).unwrap();
        let run = |x_is_binary| {
            let y = conv
                .forward_with(x.clone().put_tape(SwitchTape::on()), x_is_binary, SwitchTape::on())
                .and_then(Convolution::forward)
                .unwrap();
            let values = y.as_vec();
            let gradients = SwitchTape::into_owned_tape(y.square().sum::<Rank0, _>())
                .unwrap()
                .backward();
            (
                values,
                gradients.get(&x).as_vec(),
                gradients.get(&conv.latent().weight).as_vec(),
            )
        };
        let (float, binary) = (run(false), run(true));
        assert_eq!(binary, float, "{inputs} to {outputs} channels");
        assert_eq!(
            conv.evaluate(x.clone(), true, EvalMode::Binarized).unwrap().as_vec(),
            float.0
        );
        let mut activation = MaskedQuantizer::new(entries, Surrogate::Blocked);
        activation.commit();
        let modules = (Activation::Quantized(activation), conv.clone());
        assert_eq!(modules.forward(u).as_vec(), float.0, "as modules of dfdx");
    }
}

/// The entries of a group have one value. Groups are drawn as often as single entries, and counted as entries.
#[test]
fn a_group_freezes_as_one() {
    const GROUPS: usize = 4_000;
    const GROUP: usize = 9;
    let mut quantizer = MaskedQuantizer::new(GROUPS * GROUP, Surrogate::Blocked).with_group(GROUP);
    let (p, r) = (0.4, 5.0);
    let mut expected = 0.0;
    let mut before = vec![false; GROUPS * GROUP];
    for step in 0..8 {
        let mut rng = stream(3, Purpose::ACTIVATION_MASK, 0, step);
        let refreshed = quantizer.refresh(p, r, &mut rng).unwrap();
        let FreezeState::Freezing(mask) = quantizer.state() else {
            panic!("it is freezing");
        };
        let entries: Vec<bool> = mask.host().unwrap().iter().collect();
        assert!(
            entries
                .chunks(GROUP)
                .all(|group| group.iter().all(|frozen| *frozen == group[0]))
        );
        let changed = before
            .iter()
            .zip(&entries)
            .filter(|(before, now)| before != now)
            .count();
        assert_eq!(refreshed.changed, changed);
        assert!(refreshed.redrawn.is_multiple_of(GROUP) && refreshed.redrawn >= changed);
        before = entries;
        // Within six standard deviations of the expected value; a false alarm is rarer than one in 10^7 seeds.
        expected = (1.0 - 1.0 / r) * expected + p / r;
        let deviation = (expected * (1.0 - expected) / GROUPS as f64).sqrt();
        assert!(
            (quantizer.frozen_fraction() - expected).abs() < 6.0 * deviation,
            "step {step}"
        );
    }
}

#[test]
fn groups_of_one_draw_what_entries_draw() {
    let masks = [
        MaskedQuantizer::new(70, Surrogate::Blocked),
        MaskedQuantizer::new(70, Surrogate::Blocked).with_group(1),
    ];
    let states = masks.map(|mut quantizer| {
        let mut rng = stream(0, Purpose::ACTIVATION_MASK, 0, 0);
        quantizer.refresh(0.5, 2.0, &mut rng).unwrap();
        quantizer.state().clone()
    });
    assert_eq!(states[0], states[1]);
}

#[test]
#[should_panic(expected = "do not divide")]
fn a_group_that_does_not_divide_is_refused() {
    let _ = MaskedQuantizer::new(70, Surrogate::Blocked).with_group(9);
}
