#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod proto;
mod record;

use prost::Message;
use proto::{Event, EventKind, HistogramProto, SummaryProto, ValueProto};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

/// The version that TensorBoard writes and expects in a file's first record.
const VERSION: &str = "brain.Event:2";

/// A histogram of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    proto: HistogramProto,
}

impl Histogram {
    /// Creates a histogram of `[low, high]` with one bin per count; all bins have the same width. The numbers themselves are not
    /// known, so the sums use the middle of each bin.
    pub fn from_bins(low: f64, high: f64, counts: &[u64]) -> Self {
        let width = (high - low) / counts.len().max(1) as f64;
        let bins = counts.iter().zip(0u32..);
        let middle = |place: u32| low + width * (f64::from(place) + 0.5);
        let total = |power: i32| -> f64 {
            let terms = bins
                .clone()
                .map(|(&count, place)| count as f64 * middle(place).powi(power));
            terms.sum()
        };
        Self {
            proto: HistogramProto {
                min: low,
                max: high,
                num: total(0),
                sum: total(1),
                sum_squares: total(2),
                bucket_limit: bins
                    .clone()
                    .map(|(_, place)| low + width * f64::from(place + 1))
                    .collect(),
                bucket: counts.iter().map(|&count| count as f64).collect(),
            },
        }
    }
}

fn is_at_or_before(event: &Event, step: u64) -> bool {
    u64::try_from(event.step).is_ok_and(|at| at <= step)
}

/// An event file that is being written.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Creates a file. Replaces an existing one. Times are in seconds since 1970, as in TensorBoard.
    ///
    /// # Errors
    /// Returns the I/O error if the file cannot be written.
    pub fn create(path: &Path, time: f64) -> io::Result<Self> {
        let mut events = Self {
            file: File::create(path)?,
        };
        events.write(&Event {
            wall_time: time,
            step: 0,
            what: Some(EventKind::FileVersion(VERSION.to_owned())),
        })?;
        Ok(events)
    }

    /// Opens a file to continue it after `step`. Removes all events from the first one of a later step on, and an incomplete record at
    /// the end. Creates the file if it is missing or not an event file.
    ///
    /// # Errors
    /// Returns the I/O error if the file cannot be read or written.
    pub fn resume(path: &Path, step: u64, time: f64) -> io::Result<Self> {
        Self::resume_where(path, time, |event| is_at_or_before(event, step))
    }

    /// As [`EventFile::resume`], but also removes the events of `step` itself from the first one with the scalar `tag` on.
    ///
    /// # Errors
    /// As [`EventFile::resume`].
    pub fn resume_before(path: &Path, step: u64, tag: &str, time: f64) -> io::Result<Self> {
        let has_tag = |event: &Event| match &event.what {
            Some(EventKind::Summary(summary)) => summary.value.iter().any(|value| value.tag == tag),
            _ => false,
        };
        let at_step = |event: &Event| u64::try_from(event.step) == Ok(step);
        Self::resume_where(path, time, |event| {
            is_at_or_before(event, step) && !(at_step(event) && has_tag(event))
        })
    }

    /// Keeps the events before the first one for which `keep` returns `false`, and continues after them.
    fn resume_where(path: &Path, time: f64, keep: impl Fn(&Event) -> bool) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut kept = 0;
        for (record, end) in record::records(&bytes) {
            match Event::decode(record) {
                Ok(event) if keep(&event) => kept = end,
                _ => break,
            }
        }
        if kept == 0 {
            return Self::create(path, time);
        }
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(kept as u64)?;
        Ok(Self { file })
    }

    /// Appends the numbers of one step, each with its tag. TensorBoard groups tags by the part before a `/`.
    ///
    /// # Errors
    /// Returns the I/O error if the file cannot be written.
    pub fn scalars(&mut self, step: u64, time: f64, numbers: &[(&str, f64)]) -> io::Result<()> {
        let values = numbers.iter().map(|(tag, number)| ValueProto {
            tag: (*tag).to_owned(),
            simple_value: Some(*number as f32),
            histo: None,
        });
        self.summary(step, time, values.collect())
    }

    /// Appends a histogram of one step.
    ///
    /// # Errors
    /// Returns the I/O error if the file cannot be written.
    pub fn histogram(&mut self, step: u64, time: f64, tag: &str, histogram: &Histogram) -> io::Result<()> {
        let value = ValueProto {
            tag: tag.to_owned(),
            simple_value: None,
            histo: Some(histogram.proto.clone()),
        };
        self.summary(step, time, vec![value])
    }

    fn summary(&mut self, step: u64, time: f64, value: Vec<ValueProto>) -> io::Result<()> {
        self.write(&Event {
            wall_time: time,
            step: i64::try_from(step).unwrap_or(i64::MAX),
            what: Some(EventKind::Summary(SummaryProto { value })),
        })
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.file.write_all(&record::framed(&event.encode_to_vec()))
    }
}
