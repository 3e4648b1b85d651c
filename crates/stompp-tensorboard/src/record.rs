//! TFRecord framing: length (8 bytes, little-endian), its checksum, the bytes, their checksum.

/// Bytes before the content of a record.
const HEAD: usize = 12;
/// Bytes after the content.
const FOOT: usize = 4;

/// Returns `bytes` as a record of the file.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(HEAD + bytes.len() + FOOT);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(bytes);
    record.extend_from_slice(&masked_crc(bytes).to_le_bytes());
    record
}

/// The complete records at the beginning of a file, each with its end position in the file.
pub(crate) fn records(file: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let record = first_record(&file[start..])?;
        start += HEAD + record.len() + FOOT;
        Some((record, start))
    })
}

/// The record at the beginning of `file`, if it is complete.
fn first_record(file: &[u8]) -> Option<&[u8]> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*check) != masked_crc(length) {
        return None;
    }
    let (record, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (check, _) = rest.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*check) == masked_crc(record)).then_some(record)
}

/// CRC-32C, rotated and offset as TFRecord requires: the data of a record may itself contain checksums.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_damage_ends_them() {
        let file = [framed(b"one"), framed(b""), framed(b"three")].concat();
        let read = |file: &[u8]| {
            records(file)
                .map(|(record, end)| (record.to_vec(), end))
                .collect::<Vec<_>>()
        };
        let whole = read(&file);
        assert_eq!(
            whole,
            [(b"one".to_vec(), 19), (vec![], 35), (b"three".to_vec(), file.len())]
        );
        for end in 0..file.len() {
            let expected = whole.iter().filter(|(_, until)| *until <= end).count();
            assert_eq!(read(&file[..end]), whole[..expected], "cut at {end}");
        }
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 4;
            let intact = whole.iter().filter(|(_, until)| *until <= place).count();
            assert_eq!(read(&damaged), whole[..intact], "damaged at {place}");
        }
    }
}
