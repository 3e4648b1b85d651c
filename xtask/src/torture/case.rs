//! The runs that are killed. They are small, and each has another method, order or setting.

use std::fmt;

/// A run, given by the options that differ from the other runs.
#[derive(Debug)]
pub(super) struct Case(&'static str);

/// The options of all runs.
const COMMON: &str = "--model resnet8 --width 4 --image-size 8 --batch-size 20 --train-limit 400 --test-limit 400 \
    --steps 600 --refresh 0.1w --checkpoint-every 5ba --keep-every 20 --threads 1";

/// Number of steps between evaluations, which take about a quarter of the time. Each evaluation is right after a checkpoint.
pub(super) const EVALUATE_EVERY: u64 = 35;

pub(super) const CASES: [Case; 5] = [
    Case("--method stompp --order forward"),
    Case("--method stompp-ste --order reverse --augment false"),
    Case("--method stompp --order global --setting bwn"),
    Case("--method ste"),
    Case("--method float"),
];

impl Case {
    /// The options of `stompp train`, without the folder.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'static str> {
        COMMON.split_whitespace().chain(self.0.split_whitespace())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
