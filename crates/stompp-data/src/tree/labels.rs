//! Labels from a list in one of three formats, for images that are not in class folders.

use super::layout::ClassNames;
use super::matlab;
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::store::{Member, Store, extension};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Limit of the size of a list. ImageNet's longest has 10 MiB.
const MOST_BYTES: u64 = 64 << 20;

/// The file beside the official ground truth that maps its numbers to classes.
const OFFICIAL_NAMES: &str = "meta.mat";

/// A parsed list of labels.
pub(super) struct Labels {
    path: PathBuf,
    kind: LabelList,
}

enum LabelList {
    /// A class for each image, in the order of their names.
    InOrder(Vec<Row>),
    /// Each with an image's name without folder and extension.
    ByName {
        rows: Vec<(String, Row)>,
        /// Whether the first row may be a header.
        header: bool,
    },
}

/// A class, and its line in the list.
struct Row {
    line: usize,
    class: String,
}

impl Labels {
    /// Reads a list from a file.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        Self::parse(path.to_owned(), read_bytes(path)?)
    }

    /// Reads a list that is stored with the images.
    pub(super) fn read_member(store: &Store, member: Member<'_>) -> Result<Self, DataError> {
        let content = store.read(member)?;
        Self::parse(store.path().join(member.name), content.bytes)
    }

    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self, DataError> {
        let text = text_of(&path, bytes)?;
        let kind = if extension(&path) == "csv" {
            let rows = named_rows(&path, csv_rows(&path, &text)?)?;
            LabelList::ByName { rows, header: true }
        } else {
            let lines = (1..).zip(text.lines()).map(|(line, text)| {
                let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                (line, words)
            });
            let rows: Vec<_> = lines.filter(|(_, words)| !words.is_empty()).collect();
            if rows.iter().all(|(_, words)| words.len() == 1) {
                LabelList::InOrder(official_rows(&path, &rows)?)
            } else {
                let rows = named_rows(&path, rows)?;
                LabelList::ByName { rows, header: false }
            }
        };
        Ok(Self { path, kind })
    }

    /// The classes in the list, sorted. Used if the classes are not known otherwise.
    pub(super) fn classes(&self) -> Vec<String> {
        let rows: Vec<&Row> = match &self.kind {
            LabelList::InOrder(rows) => rows.iter().collect(),
            LabelList::ByName { rows, header } => rows.iter().skip(usize::from(*header)).map(|(_, row)| row).collect(),
        };
        let classes: BTreeSet<String> = rows.into_iter().map(|row| row.class.clone()).collect();
        classes.into_iter().collect()
    }

    /// Returns the labels of `images`, which are sorted by name.
    pub(super) fn for_images(&self, images: &[&str], known: &ClassNames<'_>) -> Result<Vec<u16>, DataError> {
        let label = |row: &Row| {
            let by_number = || {
                row.class
                    .parse()
                    .ok()
                    .filter(|&label: &usize| label < known.classes.len())
            };
            let label = known
                .named(&row.class)
                .or_else(|| by_number().map(|label| label as u16));
            label.ok_or_else(|| self.error(format!("line {}: class {} {}", row.line, row.class, known.otherwise)))
        };
        match &self.kind {
            LabelList::InOrder(rows) if rows.len() == images.len() => rows.iter().map(label).collect(),
            LabelList::InOrder(rows) => {
                Err(self.error(format!("has {} labels for {} images", rows.len(), images.len())))
            }
            LabelList::ByName { rows, header } => {
                let mut labels = HashMap::new();
                for (place, (image, row)) in rows.iter().enumerate() {
                    let label = match label(row) {
                        Err(_) if *header && place == 0 => continue,
                        label => label?,
                    };
                    if labels.insert(stem(image), label).is_some_and(|other| other != label) {
                        let problem = format!("line {}: image {image} already has another class", row.line);
                        return Err(self.error(problem));
                    }
                }
                let of = |image: &&str| {
                    let label = labels.get(stem(image)).copied();
                    label.ok_or_else(|| self.error(format!("has no label for image {image}")))
                };
                images.iter().map(of).collect()
            }
        }
    }

    fn error(&self, problem: String) -> DataError {
        label_error(&self.path, problem)
    }
}

/// Converts lines to pairs of an image's name and its class.
fn named_rows(path: &Path, rows: Vec<(usize, Vec<String>)>) -> Result<Vec<(String, Row)>, DataError> {
    let named = |(line, words): (usize, Vec<String>)| {
        let mut words = words.into_iter();
        let (Some(image), Some(class)) = (words.next(), words.next()) else {
            return Err(label_error(
                path,
                format!("line {line}: expected an image and its class"),
            ));
        };
        // In Kaggle's list, boxes follow the class.
        let class = class.split_whitespace().next().unwrap_or_default().to_owned();
        Ok((image, Row { line, class }))
    };
    rows.into_iter().map(named).collect()
}

/// Parses the official ground truth: numbers that `meta.mat` maps to classes.
fn official_rows(path: &Path, rows: &[(usize, Vec<String>)]) -> Result<Vec<Row>, DataError> {
    let meaning = path.with_file_name(OFFICIAL_NAMES);
    let bytes = read_bytes(&meaning)?;
    let names = matlab::synsets(&bytes).map_err(|problem| label_error(&meaning, problem))?;
    let named = |(line, words): &(usize, Vec<String>)| {
        let number = &words[0];
        let name = number.parse().ok().and_then(|number: u32| names.get(&number));
        let name = name.ok_or_else(|| {
            label_error(
                path,
                format!("line {line}: {number} is not a class of {}", meaning.display()),
            )
        })?;
        Ok(Row {
            line: *line,
            class: name.clone(),
        })
    };
    rows.iter().map(named).collect()
}

fn label_error(path: &Path, problem: String) -> DataError {
    DataError::Tree {
        path: path.to_owned(),
        problem,
    }
}

/// A name without folders and extension.
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
        let record = record.map_err(|error| label_error(path, error.to_string()))?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        Ok((line, record.iter().map(str::to_owned).collect()))
    };
    reader.records().map(row).collect()
}

/// Decodes UTF-8, or UTF-16 with a byte order mark, as Windows programs write it. A byte order mark is removed.
fn text_of(path: &Path, mut bytes: Vec<u8>) -> Result<String, DataError> {
    let pairs =
        |of: fn([u8; 2]) -> u16| -> Vec<u16> { bytes[2..].as_chunks().0.iter().map(|&pair| of(pair)).collect() };
    let text = match bytes[..] {
        [0xef, 0xbb, 0xbf, ..] => String::from_utf8(bytes.split_off(3)).ok(),
        [0xff, 0xfe, ..] => String::from_utf16(&pairs(u16::from_le_bytes)).ok(),
        [0xfe, 0xff, ..] => String::from_utf16(&pairs(u16::from_be_bytes)).ok(),
        _ => String::from_utf8(bytes).ok(),
    };
    text.ok_or_else(|| label_error(path, "expected text in UTF-8".to_owned()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let error = || read_error(DataFile::from_path(path));
    let bytes = fs::metadata(path).map_err(error())?.len();
    if bytes > MOST_BYTES {
        return Err(DataError::TooLarge {
            file: DataFile::from_path(path),
            bytes,
            limit: MOST_BYTES,
        });
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(error())?;
    file.take(MOST_BYTES).read_to_end(&mut content).map_err(error())?;
    Ok(content)
}
