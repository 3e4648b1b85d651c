//! Comparison with the files of TensorBoard's own writer, and interruptions.

use std::{fs, path::PathBuf};
use stompp_tensorboard::{EventFile, Histogram};

/// The output of `tensorboard.summary.writer.record_writer.RecordWriter` (TensorBoard 2.20, Python) for the same three events, in hex.
const GOLDEN: &str = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c2d000000000000003c418afb0900000000\
                      0000044010072a200a0b0a046c6f737315000010400a110a0a746f702d312f74657374150000fc414a4dcd5d6500000000000000ebd05a69\
                      090000000000000c4010082a580a560a01772a5109000000000000f0bf11000000000000f03f19000000000000104021000000000000f0bf\
                      29000000000000f03f32100000000000000000000000000000f03f3a100000000000000840000000000000f03f15e74006";

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("events.out.tfevents.test")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_tensorboard_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(&path(&folder), 1.5).unwrap();
    events.scalars(7, 2.5, &[("loss", 2.25), ("top-1/test", 31.5)]).unwrap();
    events
        .histogram(8, 3.5, "w", &Histogram::from_bins(-1.0, 1.0, &[3, 1]))
        .unwrap();
    assert_eq!(hex(&fs::read(path(&folder)).unwrap()), GOLDEN);
}

fn told(steps: &[u64]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(&path(&folder), 0.0).unwrap();
    steps
        .iter()
        .for_each(|step| events.scalars(*step, 1.0, &[("loss", 1.0)]).unwrap());
    fs::read(path(&folder)).unwrap()
}

#[test]
fn a_file_that_is_taken_up_tells_every_step_once() {
    let whole = told(&[1, 2, 3, 4]);
    let until = |steps: &[u64]| told(steps).len();
    for (cut, step, kept) in [
        (whole.len(), 2, until(&[1, 2])),
        (whole.len(), 9, whole.len()),
        (whole.len() - 1, 9, until(&[1, 2, 3])),
        (until(&[1, 2]) + 5, 1, until(&[1])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(&folder), &whole[..cut]).unwrap();
        let mut events = EventFile::resume(&path(&folder), step, 9.0).unwrap();
        events.scalars(5, 1.0, &[("loss", 1.0)]).unwrap();
        let added = until(&[5]) - until(&[]);
        let bytes = fs::read(path(&folder)).unwrap();
        assert_eq!(bytes.len(), kept + added, "cut at {cut}, step {step}");
        assert_eq!(bytes[..kept], whole[..kept]);
    }
}

#[test]
fn what_is_missing_or_no_event_file_is_begun() {
    for content in [None, Some(&b"notes"[..]), Some(&[][..])] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(content) = content {
            fs::write(path(&folder), content).unwrap();
        }
        drop(EventFile::resume(&path(&folder), 3, 0.0).unwrap());
        assert_eq!(fs::read(path(&folder)).unwrap(), told(&[]));
    }
}
