//! A checksum over a whole file that is kept inside it.
//!
//! The tensor [`NAME`] holds XXH3-128 of the file with its own 16 bytes zero. It tells damage, not intent.

use crate::tensors::{Loaded, Saved};
use safetensors::Dtype;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

pub(super) const NAME: &str = "stompp.checksum";

const LEN: usize = 16;

/// The place of the checksum in a file that is being made.
pub(super) fn placeholder() -> Saved {
    Saved::u8(NAME, vec![0; LEN])
}

/// Fills the placeholder of a finished file.
pub(super) fn seal(file: &mut [u8]) {
    let (place, _) = find(file).expect("the file was just made, with a placeholder");
    let sum = sum(file, &place);
    file[place].copy_from_slice(&sum);
}

/// The tensors of a sealed file, the checksum's taken.
///
/// # Errors
/// Says what is wrong if this is no such file or its checksum is not that of its bytes.
pub(super) fn open(file: &[u8]) -> Result<Loaded<'_>, String> {
    let (place, loaded) = find(file)?;
    if sum(file, &place) == file[place] {
        Ok(loaded)
    } else {
        Err("its checksum does not fit its contents: the file is damaged".to_owned())
    }
}

fn find(file: &[u8]) -> Result<(Range<usize>, Loaded<'_>), String> {
    let mut loaded = Loaded::parse(file)?;
    let sum = loaded.take(NAME, Dtype::U8, &[LEN])?;
    // The tensor is a part of `file`.
    let start = sum.as_ptr().addr() - file.as_ptr().addr();
    Ok((start..start + LEN, loaded))
}

fn sum(file: &[u8], place: &Range<usize>) -> [u8; LEN] {
    let mut hasher = Xxh3::new();
    hasher.update(&file[..place.start]);
    hasher.update(&[0; LEN]);
    hasher.update(&file[place.end..]);
    hasher.digest128().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::to_bytes;

    fn sealed() -> Vec<u8> {
        let tensors = [Saved::f32("a".to_owned(), vec![3], &[1.0, 2.0, 3.0]), placeholder()];
        let mut file = to_bytes(&tensors, Some(("note", "text".to_owned())));
        seal(&mut file);
        file
    }

    /// Every bit of the file, header and all: 8 flips a byte; a checksum of 128 bits misses one in 10^38.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sealed();
        open(&good).map(drop).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_noticed() {
        let good = sealed();
        for len in 0..good.len() {
            assert!(open(&good[..len]).is_err(), "{len} bytes");
        }
        assert!(open(&[&good[..], &[0]].concat()).is_err());
    }
}
