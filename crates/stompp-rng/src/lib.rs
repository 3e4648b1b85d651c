#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// What a stream is used for: eight bytes that are part of its key.
///
/// The constants are the ones this project uses; another project adds its own with [`Purpose::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Purpose([u8; 8]);

impl Purpose {
    /// Initial weights; indices: (parameter number, 0).
    pub const INITIAL_WEIGHTS: Self = Self::new(*b"initwght");
    /// Order of the training records; indices: (epoch, 0).
    pub const DATA_ORDER: Self = Self::new(*b"dataordr");
    /// Augmentation of one record; indices: (epoch, record index).
    pub const AUGMENTATION: Self = Self::new(*b"augmentn");
    /// Choice of a subset of a data set; indices: (0, 0).
    pub const SUBSET: Self = Self::new(*b"subset\0\0");
    /// Images of the synthetic data set; indices: (split, record index).
    pub const SYNTHETIC: Self = Self::new(*b"synthetc");
    /// Refresh of a unit's weight mask; indices: (unit, step).
    pub const WEIGHT_MASK: Self = Self::new(*b"maskwght");
    /// Refresh of a unit's activation mask; indices: (unit, step).
    pub const ACTIVATION_MASK: Self = Self::new(*b"maskactv");

    /// Creates a purpose from eight bytes.
    pub const fn new(name: [u8; 8]) -> Self {
        Self(name)
    }
}

/// The key of a stream, for a device that draws the numbers itself, such as a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey([u8; 32]);

impl StreamKey {
    /// Creates the key for `purpose` under `seed`, at indices `a` and `b` (for example epoch and record).
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0u8; 32];
        key[0..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose.0);
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24..32].copy_from_slice(&b.to_le_bytes());
        Self(key)
    }

    /// Creates the stream, at its beginning.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// The 256 bits of ChaCha8's key; nonce and block counter begin at 0.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

/// Creates the stream for `purpose` under `seed`, at indices `a` and `b` (for example epoch and record).
pub fn stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    StreamKey::new(seed, purpose, a, b).rng()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;
    use std::collections::HashSet;

    #[test]
    fn every_part_of_the_key_matters() {
        let draws: HashSet<u64> = [
            stream(0, Purpose::DATA_ORDER, 0, 0),
            stream(1, Purpose::DATA_ORDER, 0, 0),
            stream(0, Purpose::AUGMENTATION, 0, 0),
            stream(0, Purpose::DATA_ORDER, 1, 0),
            stream(0, Purpose::DATA_ORDER, 0, 1),
        ]
        .into_iter()
        .map(|mut rng| rng.next_u64())
        .collect();
        assert_eq!(draws.len(), 5);
    }

    #[test]
    fn the_bits_never_change() {
        // ChaCha8 keystream of the all-zero key and nonce: the first bytes of the published test vector
        // (draft-strombergson-chacha-test-vectors, TC1, 8 rounds, 256-bit key): 3e 00 ef 2f 89 5f 40 d6.
        let mut rng = stream(0, Purpose::new([0; 8]), 0, 0);
        assert_eq!(
            rng.next_u64().to_le_bytes(),
            [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]
        );
    }
}
