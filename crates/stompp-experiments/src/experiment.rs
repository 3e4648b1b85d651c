//! An experiment as a value: its runs, how tables group and compare them, what is claimed, and what its report shows.

use crate::claim::ClaimTest;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::Row;
use crate::run_index::RunIndex;
use crate::run_spec::RunSpec;
use crate::setup::Setup;
use anyhow::Result;

/// Tests the claims of an experiment.
pub type TestClaims = fn(&ExperimentResults<'_>) -> Result<Vec<ClaimTest>>;

/// One experiment: what a [`Sweep`](crate::Sweep) trains and reports.
///
/// ```
/// use stompp_experiments::{Experiment, Figure, Images, MethodVariant, Preset, Row, Setup};
/// use stompp_train::config::{Dataset, Model, Order, Setting, Surrogate};
///
/// let setup = Setup { seeds: 2, ..Setup::new(Preset::Smoke) };
/// let methods = [MethodVariant::Ste(Surrogate::Clipped), MethodVariant::Stompp(Order::Forward)];
/// let network = Model::Cifar { blocks: 1 }; // ResNet-8
/// let rows = Row::product(Setting::Bnn, &[network], Images::Set(Dataset::Synthetic10), &methods);
/// let experiment = Experiment {
///     question: "Does freezing help in a small network?".to_owned(),
///     figures: vec![Figure::Accuracy],
///     ..Experiment::new("small", "A small network", rows, &setup)
/// };
/// assert_eq!(experiment.runs.len(), 4); // Two methods by two seeds.
/// assert_eq!(experiment.runs[0].name(), "resnet8-synthetic10-bnn-ste-clipped-seed0");
/// ```
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Name on the command line, in results and of files: letters, digits, `-` and `_`.
    pub name: String,
    /// Heading of its report.
    pub title: String,
    /// What it asks.
    pub question: String,
    /// Rows of its table, in order.
    pub rows: Vec<Row>,
    /// Every run of its rows, in the order in which they are trained.
    pub runs: Vec<RunSpec>,
    /// The rows that are compared.
    pub contrasts: Vec<Contrast>,
    /// Tests its claims once runs are finished.
    pub claims: TestClaims,
    /// Published numbers beside the measured ones; with them the report has a section on what differs from the paper.
    pub published: Option<Published>,
    /// Further tables of its report.
    pub extra_tables: Vec<ExtraTable>,
    /// Figures of its report.
    pub figures: Vec<Figure>,
}

/// Numbers that others published.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Where they come from.
    pub source: String,
    /// Top-1 accuracy by row, percent.
    pub top1: Vec<(Row, f64)>,
    /// Differences, in points.
    pub contrasts: Vec<Contrast>,
}

/// A table that not every report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraTable {
    /// Accuracy and loss on the training images beside those on the test images.
    TrainingAccuracy,
    /// Gradient norms at the first convolution, and where runs diverged.
    Gradients,
}

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Test accuracy along the training, with commits marked; a panel for each network and setting.
    Accuracy,
    /// The gain of StoMPP over STE against the network's depth.
    GainByDepth,
    /// The gain over STE against the epochs of training; a panel for each network and training set.
    GainByEpochs,
    /// Accuracy on test and training images against the epochs of training, likewise.
    AccuracyByEpochs,
    /// Each unit's frozen fraction beside its target p(t).
    FrozenFraction,
    /// How many entries of each unit's mask changed, along the training.
    MaskFlips,
    /// Norm of each unit's weight gradient along the training; a panel for each order.
    GradientNorms,
    /// Training speed against the share of committed units.
    Speed,
    /// Test images with a network's predictions.
    Samples,
}

impl Experiment {
    /// An experiment whose runs are each row with each seed of `setup`, all rows of a seed before the next seed's. It compares
    /// nothing, claims nothing and has no figures.
    pub fn new(name: &str, title: &str, rows: Vec<Row>, setup: &Setup) -> Self {
        let runs = (0..setup.seeds)
            .flat_map(|seed| rows.iter().map(move |row| RunSpec::new(row.clone(), seed, setup)))
            .collect();
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            question: String::new(),
            rows,
            runs,
            contrasts: Vec::new(),
            claims: |_| Ok(Vec::new()),
            published: None,
            extra_tables: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Its results, as far as `index` has its runs.
    pub(crate) fn results<'a>(&'a self, index: &'a RunIndex) -> ExperimentResults<'a> {
        ExperimentResults::new(&self.rows, &self.contrasts, &self.runs, index)
    }

    /// The published top-1 accuracy of a row, percent.
    pub(crate) fn published_top1(&self, row: &Row) -> Option<f64> {
        let published = self.published.as_ref()?;
        let known = published.top1.iter().find(|(published, _)| published == row);
        known.map(|(_, top1)| *top1)
    }
}
