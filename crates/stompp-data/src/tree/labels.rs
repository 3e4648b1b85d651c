//! Labels of images that are not in folders of classes, from a list in one of three forms.

use super::matlab;
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::store::ending;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Larger lists are not read; ImageNet's longest has 10 MiB.
const MOST_BYTES: u64 = 64 << 20;

/// The file beside the official ground truth that says what its numbers mean.
const OFFICIAL_NAMES: &str = "meta.mat";

/// A list of labels, read and checked against the classes.
pub(super) struct Labels {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// One for each image, in the order of their names.
    InOrder(Vec<u16>),
    /// By the image's name without folder and ending.
    ByName(HashMap<String, u16>),
}

impl Labels {
    pub(super) fn read(path: &Path, classes: &[String]) -> Result<Self, DataError> {
        let text = read_text(path)?;
        let table = Table { path, classes };
        let kind = if ending(path) == "csv" {
            Kind::ByName(table.rows(csv_rows(path, &text)?, true)?)
        } else {
            let rows: Vec<(usize, Vec<&str>)> = (1..)
                .zip(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()))
                .filter(|(_, words)| !words.is_empty())
                .collect();
            if rows.iter().all(|(_, words)| words.len() == 1) {
                Kind::InOrder(table.numbers(&rows)?)
            } else {
                let rows = rows
                    .into_iter()
                    .map(|(line, words)| (line, words.into_iter().map(str::to_owned).collect()));
                Kind::ByName(table.rows(rows.collect(), false)?)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
        })
    }

    /// The labels of these images, which are sorted by name.
    pub(super) fn of<'a>(&self, images: impl ExactSizeIterator<Item = &'a str>) -> Result<Vec<u16>, DataError> {
        match &self.kind {
            Kind::InOrder(labels) if labels.len() == images.len() => Ok(labels.clone()),
            Kind::InOrder(labels) => Err(wrong(
                &self.path,
                format!("has {} labels for {} images", labels.len(), images.len()),
            )),
            Kind::ByName(labels) => images
                .map(|image| {
                    let label = labels.get(stem(image)).copied();
                    label.ok_or_else(|| wrong(&self.path, format!("has no label for image {image}")))
                })
                .collect(),
        }
    }
}

/// What a list is read against.
struct Table<'a> {
    path: &'a Path,
    classes: &'a [String],
}

impl Table<'_> {
    /// Rows of an image's name and its class, each with its line. The first may be a header.
    fn rows(&self, rows: Vec<(usize, Vec<String>)>, header: bool) -> Result<HashMap<String, u16>, DataError> {
        let mut labels = HashMap::new();
        for (row, (line, words)) in rows.into_iter().enumerate() {
            let (Some(image), Some(class)) = (words.first(), words.get(1)) else {
                return Err(wrong(
                    self.path,
                    format!("line {line}: expected an image and its class"),
                ));
            };
            // Kaggle's list goes on with boxes.
            let class = class.split_whitespace().next().unwrap_or_default();
            match self.label(class) {
                Some(label) => {
                    if labels
                        .insert(stem(image).to_owned(), label)
                        .is_some_and(|other| other != label)
                    {
                        return Err(wrong(
                            self.path,
                            format!("line {line}: image {image} has another class before"),
                        ));
                    }
                }
                None if header && row == 0 => {}
                None => return Err(self.unknown(line, class)),
            }
        }
        Ok(labels)
    }

    /// A class by its name, or by its number from 0 among the sorted names.
    fn label(&self, class: &str) -> Option<u16> {
        let by_name = self.classes.binary_search_by(|known| known.as_str().cmp(class)).ok();
        let label = by_name.or_else(|| class.parse().ok().filter(|&label| label < self.classes.len()))?;
        Some(label as u16)
    }

    /// The official ground truth: numbers whose meaning stands in another file.
    fn numbers(&self, rows: &[(usize, Vec<&str>)]) -> Result<Vec<u16>, DataError> {
        let meaning = self.path.with_file_name(OFFICIAL_NAMES);
        let bytes = read_bytes(&meaning)?;
        let names = matlab::synsets(&bytes).map_err(|problem| wrong(&meaning, problem))?;
        let label = |(line, words): &(usize, Vec<&str>)| {
            let number = words[0];
            let name = number.parse().ok().and_then(|number: u32| names.get(&number));
            let name = name.ok_or_else(|| {
                let problem = format!("line {line}: {number} is no class of {}", meaning.display());
                wrong(self.path, problem)
            })?;
            self.label(name).ok_or_else(|| self.unknown(*line, name))
        };
        rows.iter().map(label).collect()
    }

    fn unknown(&self, line: usize, class: &str) -> DataError {
        wrong(self.path, format!("line {line}: class {class} has no training images"))
    }
}

fn wrong(path: &Path, problem: String) -> DataError {
    DataError::Tree {
        path: path.to_owned(),
        problem,
    }
}

/// A name without folders and ending.
fn stem(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

fn csv_rows(path: &Path, text: &str) -> Result<Vec<(usize, Vec<String>)>, DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| wrong(path, error.to_string()))?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        Ok((line, record.iter().map(str::to_owned).collect()))
    };
    reader.records().map(row).collect()
}

fn read_text(path: &Path) -> Result<String, DataError> {
    String::from_utf8(read_bytes(path)?).map_err(|_| wrong(path, "expected text in UTF-8".to_owned()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let error = || read_error(DataFile::on_disk(path));
    let bytes = fs::metadata(path).map_err(error())?.len();
    if bytes > MOST_BYTES {
        return Err(DataError::TooLarge {
            file: DataFile::on_disk(path),
            bytes,
            limit: MOST_BYTES,
        });
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(error())?;
    file.take(MOST_BYTES).read_to_end(&mut content).map_err(error())?;
    Ok(content)
}
