//! The full report of an evaluation: accuracies, classes, the confusion matrix, and the prediction for every image.

use crate::{
    Score, TrainError,
    evaluate::{BatchPredictions, logit_rows, predicted_classes},
    files,
};
use serde::Serialize;
use std::path::Path;

/// The k of top-5.
const BEST: usize = 5;

/// The report of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// Top-1 accuracy in percent.
    pub top1: f64,
    /// Top-5 accuracy in percent.
    pub top5: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Number of images, without those that could not be read.
    pub images: usize,
    /// Each class, in the order of the labels.
    pub classes: Vec<ClassScore>,
    /// Confusion matrix: the number of images of the class of the row that were classified as the class of the column.
    pub confusion: Vec<Vec<u64>>,
    /// The prediction for each image, in order.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

/// The score of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Number of images of the class.
    pub images: u64,
    /// Percentage of them that were classified correctly; absent if there are no images.
    pub top1: Option<f64>,
}

/// The prediction for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The name of the image, or its index in the set if images are not files.
    pub image: String,
    /// The true class.
    pub label: usize,
    /// The predicted class.
    pub answer: usize,
    /// The softmax probability of the predicted class.
    pub probability: f64,
}

/// Collects predictions for a report.
#[derive(Debug)]
pub(crate) struct ReportBuilder {
    top5: u64,
    confusion: Vec<Vec<u64>>,
    predictions: Vec<Prediction>,
}

impl ReportBuilder {
    /// An empty report for a network with `classes` classes.
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            top5: 0,
            confusion: vec![vec![0; classes]; classes],
            predictions: Vec::new(),
        }
    }

    /// Adds the outputs for a batch. `name` returns the name of an image by its index in the set.
    pub(crate) fn add(&mut self, answers: &BatchPredictions<'_>, name: impl Fn(usize) -> String) {
        let labels = answers.labels;
        let best = predicted_classes(answers.logits, labels.len());
        let images = answers.indices.iter().zip(labels).zip(best);
        for (((index, &label), answer), row) in images.zip(logit_rows(answers.logits, labels.len())) {
            self.top5 += u64::from(rank(row, label) < BEST);
            self.confusion[label][answer] += 1;
            self.predictions.push(Prediction {
                image: name(*index),
                label,
                answer,
                probability: probability(row, answer),
            });
        }
    }

    /// Builds the report, given the score over the same batches and the names of the classes.
    pub(crate) fn finish(self, score: &Score, name: impl Fn(usize) -> String) -> EvaluationReport {
        let class = |(label, row): (usize, &Vec<u64>)| {
            let images = row.iter().sum();
            ClassScore {
                name: name(label),
                images,
                top1: (images > 0).then(|| 100.0 * row[label] as f64 / images as f64),
            }
        };
        EvaluationReport {
            top1: score.top1,
            top5: 100.0 * self.top5 as f64 / score.images as f64,
            loss: score.loss,
            images: score.images,
            classes: self.confusion.iter().enumerate().map(class).collect(),
            confusion: self.confusion,
            predictions: self.predictions,
        }
    }
}

/// The number of entries ranked before the entry of `label`: larger ones, and equal ones to its left.
fn rank(row: &[f32], label: usize) -> usize {
    let own = row[label];
    let before = |(place, z): &(usize, &f32)| **z > own || **z == own && *place < label;
    row.iter().enumerate().filter(before).count()
}

/// The softmax of one row at `answer`.
fn probability(row: &[f32], answer: usize) -> f64 {
    let own = f64::from(row[answer]);
    let sum: f64 = row.iter().map(|z| libm::exp(f64::from(*z) - own)).sum();
    1.0 / sum
}

impl EvaluationReport {
    /// Writes everything except the predictions to the new JSON file `path`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file exists or cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), TrainError> {
        files::write_new_json(path, self)
    }

    /// Writes the predictions to the new CSV file `path`, with the columns image, label, answer, correct and probability. Labels and
    /// answers are class names.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file exists or cannot be written.
    pub fn write_predictions(&self, path: &Path) -> Result<(), TrainError> {
        let failed = |error: csv::Error| files::io_error("write", path, error.into());
        let mut table = csv::Writer::from_writer(Vec::new());
        let header = ["image", "label", "answer", "correct", "probability"];
        table.write_record(header).map_err(failed)?;
        for prediction in &self.predictions {
            let name = |class: usize| self.classes[class].name.as_str();
            let correct = (prediction.label == prediction.answer).to_string();
            let probability = format!("{:.6}", prediction.probability);
            let (label, answer) = (name(prediction.label), name(prediction.answer));
            table
                .write_record([prediction.image.as_str(), label, answer, &correct, &probability])
                .map_err(failed)?;
        }
        let bytes = table
            .into_inner()
            .map_err(|error| files::io_error("write", path, error.into_error()))?;
        files::write_new(path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_by_hand() {
        let mut collector = ReportBuilder::new(6);
        // Each row has its largest entry at 0; the labels are first, fifth and sixth.
        let row = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
        let logits = [row, row, row].concat();
        collector.add(
            &BatchPredictions {
                indices: &[7, 8, 9],
                labels: &[0, 4, 5],
                logits: &logits,
            },
            |index| format!("image {index}"),
        );
        let score = Score {
            top1: 100.0 / 3.0,
            loss: 1.0,
            images: 3,
        };
        let report = collector.finish(&score, |label| format!("class {label}"));
        approx::assert_abs_diff_eq!(report.top5, 200.0 / 3.0, epsilon = 1e-12);
        assert_eq!(
            (report.confusion[4][0], report.confusion[5][0], report.confusion[0][0]),
            (1, 1, 1)
        );
        assert_eq!(report.classes[0].top1, Some(100.0));
        assert_eq!((report.classes[1].images, report.classes[1].top1), (0, None));
        assert_eq!(
            (report.classes[5].name.as_str(), report.classes[5].top1),
            ("class 5", Some(0.0))
        );
        assert_eq!(
            (report.predictions[1].image.as_str(), report.predictions[1].answer),
            ("image 8", 0)
        );
        let softmax = 1.0 / (0..6).map(|z| f64::from(-z).exp()).sum::<f64>();
        approx::assert_abs_diff_eq!(report.predictions[2].probability, softmax, epsilon = 1e-12);
    }

    #[test]
    fn of_equal_logits_the_left_ones_come_first() {
        assert_eq!(rank(&[1.0, 1.0, 1.0], 2), 2);
        assert_eq!(rank(&[0.0, 2.0, 1.0], 2), 1);
    }
}
