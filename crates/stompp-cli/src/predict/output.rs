//! Prints predictions as a table, lines of JSON, or CSV.

use stompp_console::outln;
use stompp_infer::ClassProbability;
use stompp_train::{Predictor, UnlabelledImages};

/// The output format for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One line with columns.
    Table,
    /// One line of JSON.
    Json,
    /// One line per class.
    Csv,
}

/// Prints predictions to standard output.
pub(super) struct PredictionPrinter {
    format: Format,
    has_head: bool,
    /// Widths of the columns of the table.
    image_width: usize,
    class_width: usize,
}

/// Largest width of a column. A longer name makes only its own line longer.
const WIDEST: usize = 60;

impl PredictionPrinter {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            has_head: false,
            image_width: 0,
            class_width: 0,
        }
    }

    /// Sets the column widths for `images`, and prints the header once.
    pub(super) fn print_header(&mut self, images: &UnlabelledImages, predictor: &Predictor) {
        let head = !std::mem::replace(&mut self.has_head, true);
        match self.format {
            Format::Json => {}
            Format::Csv if head => outln!("image,rank,class,name,probability"),
            Format::Csv => {}
            Format::Table => {
                let widest = |names: &mut dyn Iterator<Item = String>| {
                    let widths = names.map(|name| name.chars().count());
                    widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
                };
                self.image_width = widest(&mut (0..images.len()).map(|index| images.name(index))).max(5);
                self.class_width = widest(&mut (0..predictor.network().outputs()).map(|c| predictor.class_name(c)));
                if head {
                    outln!("{:<width$}  most likely classes", "image", width = self.image_width);
                }
            }
        }
    }

    /// Prints the prediction for one image: classes and probabilities, best first.
    pub(super) fn print(&self, image: &str, top: &[ClassProbability], predictor: &Predictor) {
        match self.format {
            Format::Table => {
                let classes = top.iter().map(|prediction| {
                    let name = predictor.class_name(prediction.class);
                    let width = self.class_width;
                    format!("  {name:<width$} {:5.1} %", 100.0 * prediction.probability)
                });
                outln!(
                    "{image:<width$}{}",
                    classes.collect::<String>(),
                    width = self.image_width
                );
            }
            Format::Json => {
                let classes: Vec<_> = top
                    .iter()
                    .map(|prediction| {
                        let name = predictor.class_name(prediction.class);
                        let probability = (f64::from(prediction.probability) * 1e6).round() / 1e6;
                        serde_json::json!({ "class": prediction.class, "name": name, "probability": probability })
                    })
                    .collect();
                outln!("{}", serde_json::json!({ "image": image, "top": classes }));
            }
            Format::Csv => {
                for (rank, prediction) in (1..).zip(top) {
                    let name = predictor.class_name(prediction.class);
                    let (rank, class) = (format!("{rank}"), prediction.class.to_string());
                    let probability = format!("{:.6}", prediction.probability);
                    outln!("{}", csv_line(&[image, &rank, &class, &name, &probability]));
                }
            }
        }
    }
}

/// A line of CSV, with quotes where necessary.
fn csv_line(fields: &[&str]) -> String {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(fields).expect("memory takes everything");
    let line = writer.into_inner().expect("memory takes everything");
    String::from_utf8(line).expect("it was text").trim_end().to_owned()
}
