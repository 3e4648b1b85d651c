//! What each fuzz target does with its bytes: everything may be refused, nothing may panic or take much memory.
//!
//! `tests/fuzz.rs` runs the same functions over the corpus, without a fuzzer.

use std::path::Path;
use stompp_schedule::{Curve, Order, Plan, PlanSpec};
use stompp_train::{RunConfig, checkpoint_step};

/// A run's configuration, with everything that is derived from it before data is read.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(config) = RunConfig::from_toml(text) else {
        return;
    };
    if config.check().is_err() {
        return;
    }
    assert_eq!(
        RunConfig::from_toml(&config.to_toml()).expect("what was written"),
        config
    );
    if let Ok(timeline) = config.timeline(50_000) {
        let _ = config.plan(&timeline, 16);
    }
}

/// A freezing plan: units, steps, warm-up and tail from 8 bytes each, curve and order from one.
pub fn plan(data: &[u8]) {
    let (numbers, rest) = data.as_chunks::<8>();
    let [units, steps, warm_up, tail, at] =
        [0, 1, 2, 3, 4].map(|i| numbers.get(i).map_or(0, |&n| u64::from_le_bytes(n)));
    let kind = usize::from(rest.first().copied().unwrap_or(0));
    let spec = PlanSpec {
        warm_up,
        tail,
        curve: Curve::ALL[kind % Curve::ALL.len()],
        order: Order::ALL[kind / 16 % Order::ALL.len()],
        ..PlanSpec::new(units as usize, steps)
    };
    if let Ok(plan) = Plan::new(spec) {
        for unit in [0, spec.units / 2, spec.units - 1] {
            let window = plan.window(unit);
            for step in [0, at, window.start, window.end, u64::MAX] {
                let _ = plan.phase(step, unit);
            }
        }
    }
}

/// A checkpoint.
pub fn checkpoint(data: &[u8]) {
    let _ = checkpoint_step(Path::new("fuzzed"), data);
}
