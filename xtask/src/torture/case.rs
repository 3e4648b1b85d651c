//! The runs that are tortured: small, and each with another method, order or setting.

use std::fmt;

/// A run, by the options in which it differs from the others.
#[derive(Debug)]
pub(super) struct Case(&'static str);

/// What all of them have.
const COMMON: &str = "--model resnet8 --width 4 --image-size 8 --batch-size 20 --train-limit 400 --test-limit 400 \
    --steps 600 --refresh 0.1w --checkpoint-every 5ba --keep-every 20 --threads 1";

/// Steps between evaluations: about a quarter of the time goes into them. Each comes right after a checkpoint.
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
