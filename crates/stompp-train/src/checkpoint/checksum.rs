//! A checksum of a whole file, stored inside the file.
//!
//! The tensor [`NAME`] is the XXH3-128 of the file with its own 16 bytes set to zero. It detects damage, but not deliberate changes.

use crate::tensors::{LoadedTensors, SavedTensor};
use safetensors::Dtype;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

pub(super) const NAME: &str = "stompp.checksum";

const LEN: usize = 16;

/// A placeholder tensor for the checksum of a file that is being built.
pub(super) fn placeholder() -> SavedTensor {
    SavedTensor::u8(NAME, vec![0; LEN])
}

/// Writes the checksum of a file into the placeholder among its tensors. `beginning` is what comes before the tensors in the file.
pub(super) fn fill(beginning: &[u8], tensors: &mut [SavedTensor]) {
    let mut hasher = Xxh3::new();
    hasher.update(beginning);
    tensors.iter().for_each(|tensor| hasher.update(&tensor.bytes));
    let sum = hasher.digest128().to_le_bytes();
    let place = tensors.iter_mut().find(|tensor| tensor.name == NAME);
    place.expect("there is a placeholder").bytes.copy_from_slice(&sum);
}

/// Verifies the checksum of a file and returns its tensors; the checksum counts as taken.
///
/// # Errors
/// Returns a message if the file is not a safetensors file with a checksum, or the checksum does not match its bytes.
pub(super) fn verify(file: &[u8]) -> Result<LoadedTensors<'_>, String> {
    let (place, loaded) = find(file)?;
    if compute(file, &place) == file[place] {
        Ok(loaded)
    } else {
        Err("its checksum does not match its contents: the file is damaged".to_owned())
    }
}

fn find(file: &[u8]) -> Result<(Range<usize>, LoadedTensors<'_>), String> {
    let mut loaded = LoadedTensors::parse(file)?;
    let sum = loaded.take(NAME, Dtype::U8, &[LEN])?;
    // The tensor is a slice of `file`.
    let start = sum.as_ptr().addr() - file.as_ptr().addr();
    Ok((start..start + LEN, loaded))
}

fn compute(file: &[u8], place: &Range<usize>) -> [u8; LEN] {
    let mut hasher = Xxh3::new();
    hasher.update(&file[..place.start]);
    hasher.update(&[0; LEN]);
    hasher.update(&file[place.end..]);
    hasher.digest128().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::to_parts;

    fn file_with_checksum() -> Vec<u8> {
        let mut tensors = [
            placeholder(),
            SavedTensor::f32("a".to_owned(), vec![3], &[1.0, 2.0, 3.0]),
        ];
        let beginning = to_parts(&mut tensors, ("note", "text".to_owned()));
        fill(&beginning, &mut tensors);
        let bytes = tensors.map(|tensor| tensor.bytes);
        [vec![beginning], bytes.to_vec()].concat().concat()
    }

    /// Flips every bit of the file, including the header. A checksum of 128 bits misses one change in 10^38.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = file_with_checksum();
        verify(&good).map(drop).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_noticed() {
        let good = file_with_checksum();
        for len in 0..good.len() {
            assert!(verify(&good[..len]).is_err(), "{len} bytes");
        }
        assert!(verify(&[&good[..], &[0]].concat()).is_err());
    }
}
