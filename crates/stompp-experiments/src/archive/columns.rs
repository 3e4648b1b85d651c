//! Lists of structs, stored as one list for each field. This takes a third of the space.

use super::run::{EpochPoint, GradientPoint};
use serde::{Deserialize, Serialize};
use stompp_train::Evaluation;

/// A run's epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Epochs {
    step: Vec<u64>,
    train_loss: Vec<f64>,
    train_top1: Vec<f64>,
}

/// A run's evaluations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evaluations {
    step: Vec<u64>,
    train_loss: Vec<f64>,
    test_loss: Vec<f64>,
    top1: Vec<f64>,
    top1_as_it_stands: Vec<f64>,
    committed_units: Vec<usize>,
    frozen_fraction: Vec<f64>,
}

/// The gradients of the first and the last layer, at each diagnostics step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gradients {
    step: Vec<u64>,
    stem_norm: Vec<f64>,
    head_norm: Vec<f64>,
}

/// Returns an error if the lists do not have the same length.
fn equal<const N: usize>(lengths: [usize; N]) -> Result<(), String> {
    match lengths.iter().find(|length| **length != lengths[0]) {
        None => Ok(()),
        Some(other) => Err(format!("lists of {} and {other} numbers", lengths[0])),
    }
}

impl Epochs {
    pub(super) fn check(&self) -> Result<(), String> {
        equal([self.step.len(), self.train_loss.len(), self.train_top1.len()])
    }

    pub(super) fn points(&self) -> Vec<EpochPoint> {
        let numbers = self.train_loss.iter().zip(&self.train_top1);
        let point = |(&step, (&train_loss, &train_top1)): (&u64, (&f64, &f64))| EpochPoint {
            step,
            train_loss,
            train_top1,
        };
        self.step.iter().zip(numbers).map(point).collect()
    }
}

impl FromIterator<EpochPoint> for Epochs {
    fn from_iter<I: IntoIterator<Item = EpochPoint>>(points: I) -> Self {
        let mut all = Self::default();
        for point in points {
            all.step.push(point.step);
            all.train_loss.push(point.train_loss);
            all.train_top1.push(point.train_top1);
        }
        all
    }
}

impl Gradients {
    pub(super) fn check(&self) -> Result<(), String> {
        equal([self.step.len(), self.stem_norm.len(), self.head_norm.len()])
    }

    pub(super) fn points(&self) -> Vec<GradientPoint> {
        let norms = self.stem_norm.iter().zip(&self.head_norm);
        let point = |(&step, (&stem_norm, &head_norm)): (&u64, (&f64, &f64))| GradientPoint {
            step,
            stem_norm,
            head_norm,
        };
        self.step.iter().zip(norms).map(point).collect()
    }
}

impl FromIterator<GradientPoint> for Gradients {
    fn from_iter<I: IntoIterator<Item = GradientPoint>>(points: I) -> Self {
        let mut all = Self::default();
        for point in points {
            all.step.push(point.step);
            all.stem_norm.push(point.stem_norm);
            all.head_norm.push(point.head_norm);
        }
        all
    }
}

impl Evaluations {
    pub(super) fn check(&self) -> Result<(), String> {
        equal([
            self.step.len(),
            self.train_loss.len(),
            self.test_loss.len(),
            self.top1.len(),
            self.top1_as_it_stands.len(),
            self.committed_units.len(),
            self.frozen_fraction.len(),
        ])
    }

    /// The evaluations. `units` is the number of units of the network.
    pub(super) fn points(&self, units: usize, steps_per_epoch: u64) -> Vec<Evaluation> {
        let evaluation = |place: usize| Evaluation {
            step: self.step[place],
            epoch: self.step[place] as f64 / steps_per_epoch as f64,
            train_loss: self.train_loss[place],
            test_loss: self.test_loss[place],
            top1: self.top1[place],
            top1_as_it_stands: self.top1_as_it_stands[place],
            committed_units: self.committed_units[place],
            committed_fraction: self.committed_units[place] as f64 / units as f64,
            frozen_fraction: self.frozen_fraction[place],
        };
        (0..self.step.len()).map(evaluation).collect()
    }
}

impl<'a> FromIterator<&'a Evaluation> for Evaluations {
    fn from_iter<I: IntoIterator<Item = &'a Evaluation>>(evaluations: I) -> Self {
        let mut all = Self::default();
        for evaluation in evaluations {
            all.step.push(evaluation.step);
            all.train_loss.push(evaluation.train_loss);
            all.test_loss.push(evaluation.test_loss);
            all.top1.push(evaluation.top1);
            all.top1_as_it_stands.push(evaluation.top1_as_it_stands);
            all.committed_units.push(evaluation.committed_units);
            all.frozen_fraction.push(evaluation.frozen_fraction);
        }
        all
    }
}
