//! The rows of one experiment with their finished runs. Tables, claims and figures are made from them.

use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::row::Row;
use crate::run_dir::FinishedRun;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::setup::Setup;
use crate::statistics::{Sample, Summary};

/// The difference of two rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// The row.
    pub row: Row,
    /// The row that is subtracted.
    pub baseline: Row,
    /// The published difference in points, if it is known.
    pub published: Option<f64>,
}

/// The rows of an experiment with their finished runs.
#[derive(Clone, Debug)]
pub struct ExperimentResults<'a> {
    experiment: &'a Experiment,
    setup: &'a Setup,
    /// Each run with its row. In another experiment the same run may be in another row.
    runs: Vec<(&'a Row, &'a RunEntry)>,
}

impl<'a> ExperimentResults<'a> {
    /// The results of those of the experiment's runs that are in `index`.
    pub(crate) fn new(experiment: &'a Experiment, index: &'a RunIndex) -> Self {
        let runs = experiment.runs.iter();
        let runs = runs.filter_map(|spec| Some((&spec.row, index.entry(&spec.name())?)));
        Self {
            experiment,
            setup: &index.setup,
            runs: runs.collect(),
        }
    }

    /// The experiment.
    pub(crate) fn experiment(&self) -> &'a Experiment {
        self.experiment
    }

    /// The rows, in the order of the table.
    pub fn rows(&self) -> &'a [Row] {
        &self.experiment.rows
    }

    /// The rows that are compared.
    pub fn contrasts(&self) -> &'a [Contrast] {
        &self.experiment.contrasts
    }

    /// The setup of all runs.
    pub fn setup(&self) -> &'a Setup {
        self.setup
    }

    /// Every run, whatever its status: seed by seed, and by row within a seed.
    pub fn runs(&self) -> impl Iterator<Item = (&'a Row, &'a RunEntry)> {
        self.runs.iter().copied()
    }

    /// The runs of one row, whatever their status, in order of their seeds.
    pub fn runs_of(&self, row: &Row) -> impl Iterator<Item = &'a RunEntry> {
        self.runs().filter(move |(of, _)| *of == row).map(|(_, entry)| entry)
    }

    /// The finished runs of one row, in order of their seeds.
    pub fn finished_of(&self, row: &Row) -> impl Iterator<Item = (&'a RunEntry, &'a FinishedRun)> {
        self.runs_of(row)
            .filter_map(|entry| Some((entry, entry.finished_run()?)))
    }

    /// Returns a number of each finished run of a row, computed by `number`.
    pub fn sample(&self, row: &Row, number: impl Fn(&FinishedRun) -> f64) -> Sample {
        self.finished_of(row)
            .map(|(entry, run)| (entry.spec.seed, number(run)))
            .collect()
    }

    /// Like [`sample`](Self::sample), with numbers that may be missing, or that are read from files. Runs for which `number` returns
    /// `None` are left out.
    ///
    /// # Errors
    /// Returns the first error of `number`.
    pub fn try_sample(
        &self,
        row: &Row,
        number: impl Fn(&RunEntry) -> Result<Option<f64>, ExperimentError>,
    ) -> Result<Sample, ExperimentError> {
        let numbers = self.finished_of(row).filter_map(|(entry, _)| {
            let number = number(entry).transpose()?;
            Some(number.map(|number| (entry.spec.seed, number)))
        });
        numbers.collect()
    }

    /// Number of runs of a row that diverged.
    pub fn diverged(&self, row: &Row) -> usize {
        self.runs_of(row)
            .filter(|entry| matches!(entry.status, RunStatus::Diverged(_)))
            .count()
    }

    /// Top-1 accuracy of the deploy network of each finished run of a row, in percent.
    pub fn top1(&self, row: &Row) -> Sample {
        self.sample(row, |run| run.result.top1)
    }

    /// Differences in top-1 of two rows, seed by seed, in points.
    pub fn pairs(&self, row: &Row, baseline: &Row) -> Sample {
        self.top1(row).minus(&self.top1(baseline))
    }

    /// Mean difference in top-1 of the two rows of `contrast`, in points, with its confidence interval; `None` if no seed is finished in
    /// both rows.
    pub fn difference(&self, contrast: &Contrast) -> Option<Summary> {
        self.pairs(&contrast.row, &contrast.baseline).summary()
    }

    /// Number of finished runs.
    pub(crate) fn finished_count(&self) -> usize {
        self.runs().filter(|(_, entry)| entry.finished_run().is_some()).count()
    }
}
