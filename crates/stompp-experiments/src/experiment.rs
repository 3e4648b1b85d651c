//! An experiment as a value: its runs, the rows and comparisons of its tables, its claims, and the figures of its report.

use crate::claim::ClaimTest;
use crate::error::ExperimentError;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::Row;
use crate::run_index::RunIndex;
use crate::run_spec::RunSpec;
use crate::setup::Setup;

/// A function that tests the claims of an experiment.
pub type TestClaims = fn(&ExperimentResults<'_>) -> Result<Vec<ClaimTest>, ExperimentError>;

/// One experiment. A [`Sweep`](crate::Sweep) trains and reports it.
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
    /// Heading of the report.
    pub title: String,
    /// The question that it asks. The report shows it.
    pub question: String,
    /// Rows of the table, in order.
    pub rows: Vec<Row>,
    /// Every run of the rows, in the order of training.
    pub runs: Vec<RunSpec>,
    /// Pairs of rows to compare.
    pub contrasts: Vec<Contrast>,
    /// Tests the claims on the finished runs.
    pub claims: TestClaims,
    /// Published numbers, which tables show beside the measured ones. With them the report also lists what differs from the paper.
    pub published: Option<Published>,
    /// Further tables of the report.
    pub extra_tables: Vec<ExtraTable>,
    /// Figures of the report.
    pub figures: Vec<Figure>,
}

/// Numbers that others published.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Where they come from.
    pub source: String,
    /// Top-1 accuracy by row, in percent.
    pub top1: Vec<(Row, f64)>,
    /// Differences between rows, in points.
    pub contrasts: Vec<Contrast>,
}

/// A table that not every report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraTable {
    /// Accuracy and loss on the training images beside those on the test images.
    TrainingAccuracy,
    /// Gradient norms at the first convolution, and the steps at which runs diverged.
    Gradients,
}

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Test accuracy along the training, with commits marked; a panel for each network and setting.
    Accuracy,
    /// The gain of StoMPP over STE against the network's depth.
    GainByDepth,
    /// The gain over STE against the number of epochs; a panel for each network and training set.
    GainByEpochs,
    /// Accuracy on test and training images against the number of epochs; a panel for each network and training set.
    AccuracyByEpochs,
    /// Each unit's frozen fraction beside its target p(t).
    FrozenFraction,
    /// The share of the entries of each unit's mask that changed, along the training.
    MaskFlips,
    /// Norm of each unit's weight gradient along the training; a panel for each order.
    GradientNorms,
    /// Training speed against the share of committed units.
    Speed,
    /// Test images with a network's predictions.
    Samples,
}

impl Experiment {
    /// Creates an experiment with a run for each row and each seed of `setup`, in order of the seeds. It has no comparisons, claims or
    /// figures.
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

    /// The results of those of its runs that are in `index`.
    pub(crate) fn results<'a>(&'a self, index: &'a RunIndex) -> ExperimentResults<'a> {
        ExperimentResults::new(self, index)
    }

    /// The published top-1 accuracy of a row, in percent.
    pub(crate) fn published_top1(&self, row: &Row) -> Option<f64> {
        let published = self.published.as_ref()?;
        let known = published.top1.iter().find(|(published, _)| published == row);
        known.map(|(_, top1)| *top1)
    }
}
