//! The plan: which specifications are refused, and the properties of all others.

use proptest::prelude::*;
use stompp_schedule::{Curve, Order, Phase, Plan, PlanError, PlanSpec};

/// Any plan of up to 40 units with windows of up to a few dozen steps.
fn plans() -> impl Strategy<Value = Plan> {
    let curve = prop::sample::select(Curve::ALL.to_vec());
    let order = prop::sample::select(Order::ALL.to_vec());
    (1usize..40, 0u64..1000, 0u64..50, 0u64..50, curve, order).prop_map(
        |(units, spare, warm_up, tail, curve, order)| {
            let steps = units as u64 + spare + warm_up + tail;
            Plan::new(PlanSpec {
                units,
                steps,
                warm_up,
                tail,
                curve,
                order,
            })
            .unwrap()
        },
    )
}

/// 0 open, 1 freezing, 2 committed; and the fraction aimed at.
fn progress(phase: Phase) -> (u8, f64) {
    match phase {
        Phase::Open => (0, 0.0),
        Phase::Freezing { p } => (1, p),
        Phase::Committed => (2, 1.0),
    }
}

proptest! {
    #[test]
    fn windows_tile_the_span(plan in plans()) {
        let spec = *plan.spec();
        let mut windows: Vec<_> = (0..spec.units).map(|unit| plan.window(unit)).collect();
        match spec.order {
            Order::Forward => {}
            Order::Reverse => windows.reverse(),
            Order::Global => {
                prop_assert!(windows.iter().all(|window| *window == windows[0]));
                windows.truncate(1);
            }
        }
        let mut at = spec.warm_up;
        for window in windows {
            prop_assert_eq!(window.start, at);
            prop_assert!(window.end > window.start);
            at = window.end;
        }
        prop_assert_eq!(at, spec.steps - spec.tail);
    }

    #[test]
    fn windows_differ_by_a_step_at_most(plan in plans()) {
        let lengths = (0..plan.spec().units).map(|unit| plan.window(unit)).map(|window| window.end - window.start);
        prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
    }

    #[test]
    fn phases_and_p_only_rise(plan in plans()) {
        for unit in 0..plan.spec().units {
            let mut before = (0, 0.0);
            for step in 0..plan.spec().steps + 2 {
                let now = progress(plan.phase(step, unit));
                prop_assert!(now.0 >= before.0 && now.1 >= before.1, "unit {unit}, step {step}: {before:?}, {now:?}");
                prop_assert!((0.0..=1.0).contains(&now.1));
                before = now;
            }
            prop_assert_eq!(before.0, 2);
        }
    }

    #[test]
    fn edges_of_a_window(plan in plans(), unit in any::<prop::sample::Index>()) {
        let unit = unit.index(plan.spec().units);
        let window = plan.window(unit);
        if window.start > 0 {
            prop_assert_eq!(plan.phase(window.start - 1, unit), Phase::Open);
        }
        prop_assert_eq!(plan.phase(window.start, unit), Phase::Freezing { p: 0.0 });
        let (last, length) = (window.end - 1, window.end - window.start);
        let p = plan.spec().curve.fraction((length - 1) as f64 / length as f64);
        prop_assert!(p < 1.0);
        prop_assert_eq!(plan.phase(last, unit), Phase::Freezing { p });
        prop_assert_eq!(plan.phase(window.end, unit), Phase::Committed);
        prop_assert_eq!(plan.phase(u64::MAX, unit), Phase::Committed);
    }

    #[test]
    fn queries_agree_with_phases(plan in plans()) {
        for step in 0..plan.spec().steps + 2 {
            for unit in 0..plan.spec().units {
                let phase = plan.phase(step, unit);
                prop_assert_eq!(plan.open_units(step).contains(&unit), phase == Phase::Open);
                prop_assert_eq!(plan.freezing_units(step).contains(&unit), matches!(phase, Phase::Freezing { .. }));
                prop_assert_eq!(plan.committed_units(step).contains(&unit), phase == Phase::Committed);
                prop_assert_eq!(plan.commits_at(step).contains(&unit), plan.window(unit).end == step);
            }
        }
    }

    #[test]
    fn reverse_mirrors_forward(plan in plans()) {
        let forward = Plan::new(PlanSpec { order: Order::Forward, ..*plan.spec() });
        let reverse = Plan::new(PlanSpec { order: Order::Reverse, ..*plan.spec() });
        let (forward, reverse) = (forward.unwrap(), reverse.unwrap());
        let units = plan.spec().units;
        for unit in 0..units {
            let mirrored = units - 1 - unit;
            prop_assert_eq!(forward.window(unit), reverse.window(mirrored));
            for step in 0..plan.spec().steps {
                prop_assert_eq!(forward.phase(step, unit), reverse.phase(step, mirrored));
            }
        }
    }

    #[test]
    fn curves_rise_from_zero_to_one(x in 0.0..=1.0f64, y in 0.0..=1.0f64) {
        for curve in Curve::ALL {
            prop_assert_eq!([curve.fraction(0.0), curve.fraction(1.0)], [0.0, 1.0]);
            prop_assert_eq!([curve.fraction(-x - 1e-9), curve.fraction(1.0 + x)], [0.0, 1.0]);
            prop_assert!((0.0..=1.0).contains(&curve.fraction(x)));
            prop_assert!(curve.fraction(x.min(y)) <= curve.fraction(x.max(y)));
        }
    }

    #[test]
    fn a_window_for_each_is_what_decides(
        units in 1usize..6, steps in 1u64..30, warm_up in 0u64..15, tail in 0u64..15, global in any::<bool>()
    ) {
        let order = if global { Order::Global } else { Order::Forward };
        let windows = if global { 1 } else { units as u64 };
        let plan = Plan::new(PlanSpec { warm_up, tail, order, ..PlanSpec::new(units, steps) });
        if warm_up + tail + windows <= steps {
            prop_assert!(plan.is_ok());
        } else {
            prop_assert_eq!(plan, Err(PlanError::TooFewSteps { windows, steps, warm_up, tail }));
        }
    }
}

#[test]
fn golden_windows() {
    // `[10 + round(i * 93 / 5) for i in range(6)]` in Python.
    let spec = PlanSpec {
        warm_up: 10,
        tail: 7,
        ..PlanSpec::new(5, 110)
    };
    let forward = Plan::new(spec).unwrap();
    let windows = [10..29, 29..47, 47..66, 66..84, 84..103];
    for (unit, window) in windows.iter().enumerate() {
        assert_eq!(forward.window(unit), *window);
    }
    let global = Plan::new(PlanSpec {
        order: Order::Global,
        ..spec
    })
    .unwrap();
    assert_eq!(global.window(3), 10..103);
}

#[test]
fn refused_plans() {
    assert_eq!(Plan::new(PlanSpec::new(0, 10)), Err(PlanError::NoUnits));
    assert_eq!(Plan::new(PlanSpec::new(1, 0)), Err(PlanError::NoSteps));
    let overflowing = PlanSpec {
        warm_up: u64::MAX,
        tail: u64::MAX,
        ..PlanSpec::new(2, u64::MAX)
    };
    let refused = Plan::new(overflowing).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "18446744073709551615 steps less 18446744073709551615 of warm-up and 18446744073709551615 of tail leave no \
         step for each of 2 windows"
    );
}

#[test]
fn the_largest_plan_does_not_overflow() {
    let units = usize::MAX;
    let plan = Plan::new(PlanSpec::new(units, u64::MAX)).unwrap();
    assert_eq!(plan.window(units - 1), u64::MAX - 1..u64::MAX);
    assert_eq!(plan.freezing_units(u64::MAX - 1), units - 1..units);
    assert_eq!(plan.commits_at(u64::MAX), units - 1..units);
}

#[test]
#[should_panic(expected = "unit 3 of a plan with 3 units")]
fn no_such_unit() {
    Plan::new(PlanSpec::new(3, 10)).unwrap().phase(0, 3);
}
