//! The mask: which entries of a tensor are frozen, one bit each.

use alloc::vec::Vec;
use core::fmt;

pub(crate) const WORD_BITS: usize = u64::BITS as usize;

/// One bit per entry: 1 is *frozen*, committed to its hard value; 0 is *open*, still continuous.
///
/// Entry `i` is bit `i % 64` (counted from the least significant) of word `i / 64`. **Bits past the last entry are
/// zero, always**, so words can be counted, compared and saved as they are.
///
/// ```
/// use stompp_schedule::Mask;
///
/// let mask: Mask = [true, false, true].into_iter().collect();
/// assert_eq!(mask.words(), [0b101]);
/// assert_eq!(Mask::from_words(3, mask.words().to_vec()), Ok(mask));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    len: usize,
    words: Vec<u64>,
}

impl Mask {
    /// Creates a mask of `len` open entries.
    pub fn new(len: usize) -> Self {
        Self {
            len,
            words: alloc::vec![0; len.div_ceil(WORD_BITS)],
        }
    }

    /// Creates a mask of `len` entries from its [`words`](Self::words).
    ///
    /// # Errors
    ///
    /// Returns [`MaskError::WordCount`] if there are not `len.div_ceil(64)` words, and [`MaskError::TailBits`] if a bit past
    /// the last entry is set.
    pub fn from_words(len: usize, words: Vec<u64>) -> Result<Self, MaskError> {
        let expected = len.div_ceil(WORD_BITS);
        if words.len() != expected {
            return Err(MaskError::WordCount {
                len,
                expected,
                found: words.len(),
            });
        }
        match words.last() {
            Some(&last) if last & !last_word(len) != 0 => Err(MaskError::TailBits { len, last }),
            _ => Ok(Self { len, words }),
        }
    }

    /// The bits, 64 entries to a word; `len.div_ceil(64)` words.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries at all.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether entry `index` is frozen.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Mask::len`].
    pub fn get(&self, index: usize) -> bool {
        assert!(index < self.len, "entry {index} of a mask with {} entries", self.len);
        self.words[index / WORD_BITS] >> (index % WORD_BITS) & 1 == 1
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + '_ {
        (0..self.len).map(|index| self.get(index))
    }

    /// Number of frozen entries.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The frozen fraction, in `[0, 1]`; 0 for a mask without entries.
    pub fn fraction(&self) -> f64 {
        if self.is_empty() {
            0.0
        } else {
            self.count_ones() as f64 / self.len as f64
        }
    }

    /// Makes every entry frozen (the commit) or open.
    pub fn fill(&mut self, frozen: bool) {
        self.words.fill(if frozen { u64::MAX } else { 0 });
        if frozen && let Some(last) = self.words.last_mut() {
            *last = last_word(self.len);
        }
    }

    /// Writes 1 for each frozen entry and 0 for each open one.
    ///
    /// # Panics
    ///
    /// If `out` does not have [`Mask::len`] elements.
    pub fn write_u8(&self, out: &mut [u8]) {
        self.write(out, 0, 1);
    }

    /// Writes 1.0 for each frozen entry and 0.0 for each open one.
    ///
    /// # Panics
    ///
    /// If `out` does not have [`Mask::len`] elements.
    pub fn write_f32(&self, out: &mut [f32]) {
        self.write(out, 0.0, 1.0);
    }

    fn write<T: Copy>(&self, out: &mut [T], open: T, frozen: T) {
        assert_eq!(
            out.len(),
            self.len,
            "a mask of {} entries into {} elements",
            self.len,
            out.len()
        );
        for (out, bit) in out.iter_mut().zip(self.iter()) {
            *out = if bit { frozen } else { open };
        }
    }

    /// Sets entry `index`, which must exist. Returns whether its value changed.
    pub(crate) fn set(&mut self, index: usize, frozen: bool) -> bool {
        debug_assert!(index < self.len);
        let (word, shift) = (&mut self.words[index / WORD_BITS], index % WORD_BITS);
        let changed = (*word >> shift & 1) ^ u64::from(frozen);
        *word ^= changed << shift;
        changed == 1
    }
}

/// The last word of a mask of `len` entries that are all frozen. The result for `len` 0 is not used: such a mask has no words.
const fn last_word(len: usize) -> u64 {
    u64::MAX >> ((WORD_BITS - len % WORD_BITS) % WORD_BITS)
}

impl FromIterator<bool> for Mask {
    fn from_iter<I: IntoIterator<Item = bool>>(entries: I) -> Self {
        let mut mask = Self::new(0);
        for frozen in entries {
            let (index, shift) = (mask.len, mask.len % WORD_BITS);
            if shift == 0 {
                mask.words.push(0);
            }
            mask.words[index / WORD_BITS] |= u64::from(frozen) << shift;
            mask.len += 1;
        }
        mask
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} of {} frozen)", self.count_ones(), self.len)
    }
}

/// Saved words do not form a mask of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaskError {
    /// Too few words or too many.
    WordCount {
        /// Entries asked for.
        len: usize,
        /// Words that `len` entries need.
        expected: usize,
        /// Words given.
        found: usize,
    },
    /// A bit past the last entry is set.
    TailBits {
        /// Entries asked for.
        len: usize,
        /// The last word given.
        last: u64,
    },
}

impl fmt::Display for MaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WordCount { len, expected, found } => {
                write!(f, "a mask of {len} entries is {expected} words, got {found}")
            }
            Self::TailBits { len, last } => {
                write!(
                    f,
                    "bits past the last of {len} mask entries are set: last word {last:#018x}"
                )
            }
        }
    }
}

impl core::error::Error for MaskError {}
