//! The reader of CIFAR records: returns checked images.

use super::CifarLayout;
use crate::DataError;
use crate::error::DataFile;
use std::io::{self, Read};

/// Limit of a file's declared size. The largest official file has 147 MiB.
pub(super) const MAX_BYTES: u64 = 512 << 20;

/// The images of one file.
#[derive(Default)]
pub(super) struct Records {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u16>,
}

/// Reads a whole file of records with a declared size of `bytes`.
///
/// The declared size is checked before anything is read. Memory grows only with the bytes actually read.
pub(super) fn read_records(
    file: &DataFile,
    layout: CifarLayout,
    bytes: u64,
    mut input: impl Read,
) -> Result<Records, DataError> {
    let count = record_count(file, layout, bytes)?;
    let labels = layout.label_bytes();
    let mut record = vec![0; layout.record_bytes()];
    let mut records = Records::default();
    for index in 0..count {
        input.read_exact(&mut record).map_err(|source| DataError::Record {
            file: file.clone(),
            record: index,
            source,
        })?;
        let (found, pixels) = record.split_at(labels.len());
        for (&label, expected) in found.iter().zip(labels) {
            if usize::from(label) >= expected.classes {
                let (kind, classes) = (expected.kind, expected.classes);
                return Err(DataError::LabelOutOfRange {
                    file: file.clone(),
                    record: index,
                    kind,
                    label,
                    classes,
                });
            }
        }
        records.labels.push(u16::from(found[layout.label_position()]));
        records.pixels.extend_from_slice(pixels);
    }
    // Reading to the end also makes an archive check its checksum.
    match is_at_end(&mut input) {
        Ok(true) => Ok(records),
        Ok(false) => Err(DataError::LongerThanDeclared {
            file: file.clone(),
            bytes,
        }),
        Err(source) => Err(DataError::Read {
            file: file.clone(),
            source,
        }),
    }
}

fn record_count(file: &DataFile, layout: CifarLayout, bytes: u64) -> Result<u64, DataError> {
    let record_bytes = layout.record_bytes();
    let (count, rest) = (bytes / record_bytes as u64, bytes % record_bytes as u64);
    if bytes > MAX_BYTES {
        Err(DataError::TooLarge {
            file: file.clone(),
            bytes,
            limit: MAX_BYTES,
        })
    } else if bytes == 0 {
        Err(DataError::Empty {
            file: file.clone(),
            record_bytes,
        })
    } else if rest != 0 {
        Err(DataError::TruncatedRecord {
            file: file.clone(),
            record: count,
            bytes: rest,
            record_bytes,
        })
    } else {
        Ok(count)
    }
}

fn is_at_end(input: &mut impl Read) -> io::Result<bool> {
    loop {
        match input.read(&mut [0]) {
            Ok(read) => return Ok(read == 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(layout: CifarLayout, declared: usize, content: &[u8]) -> String {
        let file = DataFile::from_path("a.bin");
        read_records(&file, layout, declared as u64, content)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn golden_record() {
        // Two records in which each byte encodes its place, asymmetric in channel, row and column.
        let place = |channel: usize, row: usize, column: usize| (channel * 100 + row * 3 + column * 5) as u8;
        let mut bytes = vec![];
        for labels in [[19, 7], [3, 99]] {
            bytes.extend(labels);
            bytes.extend((0..3072).map(|i| place(i / 1024, i / 32 % 32, i % 32)));
        }
        for (layout, expected) in [
            (CifarLayout::Cifar100Fine, [7, 99]),
            (CifarLayout::Cifar100Coarse, [19, 3]),
        ] {
            let records = read_records(&DataFile::from_path("a.bin"), layout, 6148, &bytes[..]).unwrap();
            assert_eq!(records.labels, expected);
            assert_eq!(records.pixels.len(), 2 * 3072);
            for image in records.pixels.chunks(3072) {
                assert_eq!(
                    [image[0], image[1], image[32], image[1024], image[3071]],
                    [0, 5, 3, 100, 192]
                );
            }
        }
    }

    #[test]
    fn declared_sizes_are_checked_before_reading() {
        assert_eq!(
            message(CifarLayout::Cifar10, 0, &[]),
            "a.bin is empty; expected records of 3073 bytes"
        );
        assert_eq!(
            message(CifarLayout::Cifar10, 3 * 3073 - 1, &[]),
            "a.bin: record 2 is cut off after 3072 of 3073 bytes"
        );
        assert_eq!(
            message(CifarLayout::Cifar10, 3073 << 30, &[]),
            "a.bin is 3299608625152 bytes large; refused, the limit is 536870912"
        );
    }

    #[test]
    fn declared_sizes_must_be_true() {
        let bytes = vec![0; 2 * 3073];
        let early = message(CifarLayout::Cifar10, 3 * 3073, &bytes);
        assert!(early.starts_with("a.bin: cannot read record 2: "), "{early}");
        assert_eq!(
            message(CifarLayout::Cifar10, 3073, &bytes),
            "a.bin is longer than its declared 3073 bytes"
        );
    }

    #[test]
    fn labels_out_of_range_are_named() {
        let mut bytes = vec![0; 3 * 3074];
        bytes[2 * 3074] = 20;
        assert_eq!(
            message(CifarLayout::Cifar100Fine, bytes.len(), &bytes),
            "a.bin: record 2 has coarse label 20, expected 0 to 19"
        );
        bytes[3074 + 1] = 100;
        assert_eq!(
            message(CifarLayout::Cifar100Coarse, bytes.len(), &bytes),
            "a.bin: record 1 has fine label 100, expected 0 to 99"
        );
    }
}
