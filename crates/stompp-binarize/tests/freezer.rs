//! The freezer: phases reach the right quantizers, draws depend only on (seed, step, unit), the last activation freezes last.

use stompp_binarize::{Freezable, FreezeState, Freezer, MaskedQuantizer, Surrogate, UnitMut, WindowSharing};
use stompp_schedule::{Order, Phase, Plan, PlanSpec, RefreshRate};

/// Three units of different sizes and a final activation.
#[derive(Clone)]
struct Toy {
    weights: Vec<MaskedQuantizer>,
    activations: Vec<MaskedQuantizer>,
    last: MaskedQuantizer,
}

impl Toy {
    fn new() -> Self {
        let quantizers = |sizes: [usize; 3]| sizes.map(|n| MaskedQuantizer::new(n, Surrogate::Blocked)).to_vec();
        Self {
            weights: quantizers([500, 700, 900]),
            activations: quantizers([300, 200, 100]),
            last: MaskedQuantizer::new(64, Surrogate::Blocked),
        }
    }
}

impl Freezable for Toy {
    fn units(&mut self) -> Vec<UnitMut<'_>> {
        let pairs = self.weights.iter_mut().zip(&mut self.activations);
        pairs
            .map(|(weight, activation)| UnitMut {
                name: "unit",
                activation: Some(activation),
                weight,
            })
            .collect()
    }

    fn head_activations(&mut self) -> Vec<&mut MaskedQuantizer> {
        vec![&mut self.last]
    }
}

fn freezer(order: Order, seed: u64) -> Freezer {
    let plan = Plan::new(PlanSpec {
        order,
        warm_up: 10,
        tail: 10,
        ..PlanSpec::new(3, 110)
    })
    .unwrap();
    Freezer::new(plan, RefreshRate::from_steps(3.0).unwrap(), seed)
}

#[test]
fn every_step_matches_the_plan() {
    for order in Order::ALL {
        let freezer = freezer(order, 0);
        let mut toy = Toy::new();
        for step in 0..110 {
            let report = freezer.apply(step, &mut toy).unwrap();
            for (index, unit) in toy.units().into_iter().enumerate() {
                let activation = unit.activation.expect("a BNN");
                assert_eq!(report.units[index].phase, freezer.plan().phase(step, index));
                for quantizer in [&*unit.weight, &*activation] {
                    match report.units[index].phase {
                        Phase::Open => assert_eq!(*quantizer.state(), FreezeState::Open),
                        Phase::Committed => assert_eq!(*quantizer.state(), FreezeState::Committed),
                        Phase::Freezing { p: 0.0 } => assert_eq!(quantizer.frozen_fraction(), 0.0),
                        Phase::Freezing { .. } => assert!(matches!(quantizer.state(), FreezeState::Freezing(_))),
                    }
                }
            }
            assert_eq!(report.committed(), freezer.plan().committed_units(step).len());
        }
        assert_eq!(toy.last.frozen_fraction(), 1.0, "{order}: committed in the tail");
    }
}

#[test]
fn a_head_activation_freezes_with_the_last_window() {
    for (order, last) in [(Order::Forward, 2), (Order::Reverse, 0), (Order::Global, 1)] {
        let freezer = freezer(order, 0);
        let mut toy = Toy::new();
        for step in 0..110 {
            freezer.apply(step, &mut toy).unwrap();
            let committed = *toy.last.state() == FreezeState::Committed;
            assert_eq!(
                committed,
                freezer.plan().phase(step, last) == Phase::Committed,
                "{order} step {step}"
            );
        }
    }
}

#[test]
fn flips_are_counted() {
    let freezer = freezer(Order::Global, 0);
    let mut toy = Toy::new();
    let mut frozen = 0;
    for step in 0..100 {
        let before = toy.weights[0].clone();
        let report = freezer.apply(step, &mut toy).unwrap();
        let (FreezeState::Freezing(old), FreezeState::Freezing(new)) = (before.state(), toy.weights[0].state()) else {
            continue;
        };
        let changed = old
            .host()
            .unwrap()
            .iter()
            .zip(new.host().unwrap().iter())
            .filter(|(a, b)| a != b)
            .count();
        assert_eq!(report.units[0].weight_flips, changed);
        frozen += changed;
    }
    assert!(frozen > 0, "something froze");
}

#[test]
fn masks_depend_on_seed_step_and_unit_alone() {
    let run = |seed| {
        let (freezer, mut toy) = (freezer(Order::Global, seed), Toy::new());
        (0..60).for_each(|step| drop(freezer.apply(step, &mut toy).unwrap()));
        toy
    };
    let states = |toy: &Toy| toy.weights.iter().map(|q| q.state().clone()).collect::<Vec<_>>();
    assert_eq!(states(&run(1)), states(&run(1)));
    assert_ne!(states(&run(1)), states(&run(2)));

    // A run that is resumed from its masks continues with the same draws.
    let (first, mut half) = (freezer(Order::Global, 1), Toy::new());
    (0..30).for_each(|step| drop(first.apply(step, &mut half).unwrap()));
    let (second, mut resumed) = (freezer(Order::Global, 1), half.clone());
    (30..60).for_each(|step| drop(second.apply(step, &mut resumed).unwrap()));
    assert_eq!(states(&resumed), states(&run(1)));
}

#[test]
fn weights_and_activations_draw_from_different_streams() {
    let (freezer, mut toy) = (freezer(Order::Global, 0), Toy::new());
    toy.activations[0] = MaskedQuantizer::new(500, Surrogate::Blocked);
    (0..70).for_each(|step| drop(freezer.apply(step, &mut toy).unwrap()));
    assert_ne!(toy.weights[0].state(), toy.activations[0].state());
}

#[test]
#[should_panic(expected = "another network")]
fn a_plan_for_another_network_is_refused() {
    let plan = Plan::new(PlanSpec::new(4, 100)).unwrap();
    Freezer::new(plan, RefreshRate::default(), 0)
        .apply(0, &mut Toy::new())
        .unwrap();
}

#[test]
fn committing_everything_is_the_deploy_network() {
    let mut toy = Toy::new();
    assert!(toy.weights.iter().all(|weight| weight.frozen_fraction() == 0.0));
    toy.commit_all();
    assert!(
        toy.weights
            .iter()
            .all(|weight| *weight.state() == FreezeState::Committed)
    );
    assert_eq!(
        (toy.activations[2].frozen_fraction(), toy.last.frozen_fraction()),
        (1.0, 1.0)
    );
}

/// If each quantizer has a window, the window of an activation comes before that of the weight that it feeds.
#[test]
fn separate_windows_follow_the_data() {
    let order_of_commits = |order: Order| {
        let plan = Plan::new(PlanSpec {
            order,
            ..PlanSpec::new(WindowSharing::Separately.count(3, true), 60)
        });
        let freezer = Freezer::new(plan.unwrap(), RefreshRate::from_steps(3.0).unwrap(), 0)
            .with_windows(WindowSharing::Separately);
        let (mut toy, mut committed) = (Toy::new(), Vec::new());
        for step in 0..=60 {
            freezer.apply(step, &mut toy).unwrap();
            for (index, unit) in toy.units().into_iter().enumerate() {
                let quantizers = [(unit.activation.as_deref(), "a"), (Some(&*unit.weight), "w")];
                for (quantizer, kind) in quantizers {
                    let name = format!("{kind}{index}");
                    let done = quantizer.is_some_and(|quantizer| *quantizer.state() == FreezeState::Committed);
                    if done && !committed.iter().any(|(known, _)| *known == name) {
                        committed.push((name, step));
                    }
                }
                // The report has the phase of the weight.
                let phase = freezer.weight_phase(step, index, true);
                assert_eq!(
                    phase == Phase::Committed,
                    committed.iter().any(|(name, _)| *name == format!("w{index}"))
                );
            }
            let all = committed.len() == 6;
            assert_eq!(
                *toy.last.state() == FreezeState::Committed,
                all,
                "the last activation waits for the last window"
            );
        }
        committed
    };
    let expected = |names: [&str; 6]| -> Vec<_> {
        (1..)
            .zip(names)
            .map(|(window, name)| (name.to_owned(), 10 * window))
            .collect()
    };
    assert_eq!(
        order_of_commits(Order::Forward),
        expected(["a0", "w0", "a1", "w1", "a2", "w2"])
    );
    assert_eq!(
        order_of_commits(Order::Reverse),
        expected(["w2", "a2", "w1", "a1", "w0", "a0"])
    );
}

#[test]
fn without_activations_separate_windows_are_the_units() {
    assert_eq!(WindowSharing::Separately.count(5, false), 5);
    assert_eq!(WindowSharing::Together.count(5, true), 5);
    assert_eq!(WindowSharing::Separately.count(5, true), 10);
}

#[test]
#[should_panic(expected = "the plan was made for another network")]
fn a_plan_with_too_few_windows_is_refused() {
    freezer(Order::Forward, 0)
        .with_windows(WindowSharing::Separately)
        .apply(0, &mut Toy::new())
        .unwrap();
}
