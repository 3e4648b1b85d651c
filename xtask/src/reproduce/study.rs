//! One experiment and what its runs found: what tables, findings and figures are made of.

use super::experiments::{Contrast, Experiment};
use super::ledger::{Entry, Ledger, Outcome};
use super::row::Row;
use super::run_dir::Record;
use super::statistics::{Sample, Summary};
use anyhow::Result;

/// One experiment, its rows, and the entries of a ledger that are its runs.
#[derive(Clone, Debug)]
pub(crate) struct Study<'a> {
    pub(crate) experiment: &'static Experiment,
    pub(crate) ledger: &'a Ledger,
    rows: Vec<Row>,
    /// Each run with the row that it is in; another experiment may have it in another row.
    runs: Vec<(Row, &'a Entry)>,
}

impl<'a> Study<'a> {
    /// The experiment as far as `ledger` has its runs.
    pub(crate) fn new(experiment: &'static Experiment, ledger: &'a Ledger) -> Self {
        let cells = experiment.cells(&ledger.scale);
        let runs = cells
            .iter()
            .filter_map(|cell| Some((cell.row, ledger.entry(&cell.name())?)));
        Self {
            experiment,
            ledger,
            rows: (experiment.rows)(&ledger.scale),
            runs: runs.collect(),
        }
    }

    /// Its rows in the order of the table.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.clone()
    }

    /// Its runs, whatever became of them: all rows of a seed before the next seed's.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Row, &'a Entry)> {
        self.runs.iter().map(|(row, entry)| (row, *entry))
    }

    /// The runs that are finished, with what they left.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&Row, &'a Entry, &'a Record)> {
        self.runs()
            .filter_map(|(row, entry)| Some((row, entry, entry.record()?)))
    }

    /// The finished runs of one row, by rising seed.
    pub(crate) fn of(&self, row: &Row) -> impl Iterator<Item = (&'a Entry, &'a Record)> {
        let wanted = *row;
        self.finished()
            .filter(move |(row, ..)| **row == wanted)
            .map(|(_, entry, record)| (entry, record))
    }

    /// A number of each finished run of a row.
    pub(crate) fn sample(&self, row: &Row, number: impl Fn(&Record) -> f64) -> Sample {
        self.of(row)
            .map(|(entry, record)| (entry.cell.seed, number(record)))
            .collect()
    }

    /// A number of each finished run of a row that its files tell, where they do.
    ///
    /// # Errors
    /// The first that could not be read.
    pub(crate) fn try_sample(&self, row: &Row, number: impl Fn(&Entry) -> Result<Option<f64>>) -> Result<Sample> {
        let told = self.of(row).filter_map(|(entry, _)| {
            let number = number(entry).transpose()?;
            Some(number.map(|number| (entry.cell.seed, number)))
        });
        told.collect()
    }

    /// How many runs of a row diverged.
    pub(crate) fn diverged(&self, row: &Row) -> usize {
        let of_row = self.runs().filter(|(its, _)| *its == row);
        of_row
            .filter(|(_, entry)| matches!(entry.outcome, Outcome::Diverged(_)))
            .count()
    }

    /// Top-1 accuracy of the deploy network of each finished run of a row, percent.
    pub(crate) fn top1(&self, row: &Row) -> Sample {
        self.sample(row, |record| record.result.top1)
    }

    /// Differences in top-1 of two rows, seed by seed, points.
    pub(crate) fn pairs(&self, row: &Row, baseline: &Row) -> Sample {
        self.top1(row).minus(&self.top1(baseline))
    }

    /// Mean difference in top-1 of the rows that are compared, and its interval.
    pub(crate) fn difference(&self, contrast: &Contrast) -> Option<Summary> {
        self.pairs(&contrast.row, &contrast.baseline).summary()
    }

    /// Which of its rows are compared.
    pub(crate) fn contrasts(&self) -> Vec<Contrast> {
        (self.experiment.contrasts)(&self.rows)
    }
}
