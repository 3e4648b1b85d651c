//! The mask as a data structure: its bits, its tail, restoring it, and what a refresh reports.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Infallible, SeedableRng, TryRng};
use stompp_schedule::{Mask, MaskError, Phase, Plan, PlanSpec, RefreshRate, Refreshed};

/// The guarantee of the type for the bits past the last entry.
fn tail_is_zero(mask: &Mask) -> bool {
    let bits = mask.words().len() * 64;
    (mask.len()..bits).all(|i| mask.words()[i / 64] >> (i % 64) & 1 == 0) && bits - mask.len() < 64
}

proptest! {
    #[test]
    fn bits_are_entries(entries in prop::collection::vec(any::<bool>(), 0..300)) {
        let mask: Mask = entries.iter().copied().collect();
        prop_assert!(tail_is_zero(&mask));
        prop_assert_eq!(mask.len(), entries.len());
        prop_assert_eq!(mask.is_empty(), entries.is_empty());
        prop_assert!(mask.iter().eq(entries.iter().copied()));
        for (i, &entry) in entries.iter().enumerate() {
            prop_assert_eq!(mask.words()[i / 64] >> (i % 64) & 1 == 1, entry);
        }
        let frozen = entries.iter().filter(|&&entry| entry).count();
        prop_assert_eq!(mask.count_ones(), frozen);
        prop_assert_eq!(mask.fraction(), frozen as f64 / entries.len().max(1) as f64);
    }

    #[test]
    fn restoring_gives_the_same_mask(entries in prop::collection::vec(any::<bool>(), 0..300)) {
        let mask: Mask = entries.into_iter().collect();
        prop_assert_eq!(Mask::from_words(mask.len(), mask.words().to_vec()), Ok(mask));
    }

    #[test]
    fn restoring_refuses_bits_past_the_end(len in 1usize..300, bit in 0u32..64) {
        let mut words = Mask::new(len).words().to_vec();
        let last = words.len() - 1;
        words[last] = 1 << bit;
        let past = last * 64 + bit as usize >= len;
        match Mask::from_words(len, words) {
            Ok(mask) => prop_assert!(!past && mask.count_ones() == 1),
            Err(error) => {
                prop_assert!(past);
                prop_assert_eq!(error, MaskError::TailBits { len, last: 1 << bit });
            }
        }
    }

    #[test]
    fn restoring_refuses_another_length(len in 0usize..300, found in 0usize..8) {
        let expected = len.div_ceil(64);
        let restored = Mask::from_words(len, vec![0; found]);
        if found == expected {
            prop_assert_eq!(restored, Ok(Mask::new(len)));
        } else {
            prop_assert_eq!(restored, Err(MaskError::WordCount { len, expected, found }));
        }
    }

    #[test]
    fn filling(entries in prop::collection::vec(any::<bool>(), 0..300)) {
        let mut mask: Mask = entries.into_iter().collect();
        mask.fill(true);
        prop_assert_eq!(mask.count_ones(), mask.len());
        prop_assert!(tail_is_zero(&mask));
        mask.fill(false);
        prop_assert_eq!(&mask, &Mask::new(mask.len()));
    }

    #[test]
    fn a_refresh_reports_what_it_did(
        entries in prop::collection::vec(any::<bool>(), 0..300), p in 0.0..=1.0f64, r in 1.0..50.0f64, seed: u64
    ) {
        let before: Mask = entries.into_iter().collect();
        let mut after = before.clone();
        let done = after.refresh(p, r, &mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(tail_is_zero(&after));
        prop_assert_eq!(after.len(), before.len());
        let changed = before.iter().zip(after.iter()).filter(|(before, after)| before != after).count();
        prop_assert_eq!(done.changed, changed);
        prop_assert!(done.changed <= done.redrawn && done.redrawn <= before.len());
    }

    #[test]
    fn extremes(len in 0usize..300, seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut mask = Mask::new(len);
        // Towards 0: an open mask stays open, as at the first step of every window.
        prop_assert_eq!(mask.refresh(0.0, 3.0, rng).changed, 0);
        // Everything redrawn, to 1 and to 0.
        prop_assert_eq!(mask.refresh(1.0, 1.0, rng), Refreshed { redrawn: len, changed: len });
        prop_assert_eq!(mask.count_ones(), len);
        // Towards 1 a frozen mask stays frozen.
        prop_assert_eq!(mask.refresh(1.0, 3.0, rng).changed, 0);
        prop_assert_eq!(mask.refresh(0.0, 1.0, rng), Refreshed { redrawn: len, changed: len });
        // Skips longer than any mask.
        for r in [1e18, 1e300, f64::MAX] {
            prop_assert_eq!(mask.refresh(1.0, r, rng), Refreshed::default());
        }
    }
}

#[test]
fn errors_name_what_was_expected() {
    assert_eq!(
        Mask::from_words(65, vec![0]).unwrap_err().to_string(),
        "a mask of 65 entries is 2 words, got 1"
    );
    assert_eq!(
        Mask::from_words(3, vec![0b1000]).unwrap_err().to_string(),
        "bits past the last of 3 mask entries are set: last word 0x0000000000000008"
    );
}

#[test]
#[should_panic(expected = "entry 5 of a mask with 5 entries")]
fn no_such_entry() {
    Mask::new(5).get(5);
}

#[test]
#[should_panic(expected = "p must be in [0, 1], got NaN")]
fn no_such_probability() {
    Mask::new(5).refresh(f64::NAN, 2.0, &mut SplitMix64(0));
}

#[test]
#[should_panic(expected = "r must be finite and at least 1, got 0.5")]
fn no_such_rate() {
    Mask::new(5).refresh(0.5, 0.5, &mut SplitMix64(0));
}

/// A generator of five lines, so that another language can draw the same words.
struct SplitMix64(u64);

impl TryRng for SplitMix64 {
    type Error = Infallible;

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// From
///
/// ```python
/// def refresh(mask, p, r, rng):  # rng: an iterator over SplitMix64's words
///     unit = lambda: (next(rng) >> 11) * 2.0**-53
///     ln_q = math.log1p(-1 / r) if r > 1 else -math.inf
///     i = redrawn = changed = 0
///     while (k := math.floor(math.log(1 - unit()) / ln_q)) < len(mask) - i:
///         i += k
///         new = int(unit() < p)
///         redrawn += 1
///         changed += mask[i] != new
///         mask[i] = new
///         i += 1
///     return redrawn, changed
/// ```
#[test]
fn the_bits_never_change() {
    let mut rng = SplitMix64(42);
    let mut mask = Mask::new(150);
    for (p, r, redrawn, changed, words) in [
        (0.5, 1.0, 150, 67, [0xe237a682a6de15a3, 0xa0d8980347f90126, 0x3f0423]),
        (0.25, 3.0, 51, 23, [0xa207a086a25e3603, 0xa0d2080357f90022, 0x1f04b3]),
        (0.9, 20.0, 10, 4, [0xa207a086a25e36a3, 0xa0d2080757f98022, 0x1f04b3]),
    ] {
        assert_eq!(mask.refresh(p, r, &mut rng), Refreshed { redrawn, changed });
        assert_eq!(mask.words(), words);
    }
}

#[test]
fn entries_are_written_as_numbers() {
    let mask: Mask = (0..70).map(|index| index % 3 == 0).collect();
    let (mut bytes, mut floats) = ([7_u8; 70], [7.0_f32; 70]);
    mask.write_u8(&mut bytes);
    mask.write_f32(&mut floats);
    for index in 0..70 {
        assert_eq!(bytes[index], u8::from(index % 3 == 0));
        assert_eq!(floats[index], f32::from(bytes[index]));
    }
}

#[test]
#[should_panic(expected = "a mask of 70 entries into 69 elements")]
fn the_output_has_an_element_for_each_entry() {
    Mask::new(70).write_u8(&mut [0; 69]);
}

/// `advance` does the same as following the plan by hand.
#[test]
fn a_mask_follows_a_plan() {
    let plan = Plan::new(PlanSpec {
        warm_up: 3,
        tail: 5,
        ..PlanSpec::new(2, 60)
    })
    .unwrap();
    let rate = RefreshRate::from_window_fraction(0.2).unwrap();
    let (mut one, mut other) = (ChaCha8Rng::seed_from_u64(1), ChaCha8Rng::seed_from_u64(1));
    let (mut advanced, mut by_hand) = (Mask::new(200), Mask::new(200));
    for step in 0..=60 {
        let refreshed = advanced.advance(&plan, step, 1, rate, &mut one);
        match plan.phase(step, 1) {
            Phase::Open => assert_eq!(advanced.count_ones(), 0),
            Phase::Freezing { p } => {
                let expected = by_hand.refresh(p, rate.resolve(plan.window(1)), &mut other);
                assert_eq!((refreshed, &advanced), (expected, &by_hand));
            }
            Phase::Committed => assert_eq!(advanced.fraction(), 1.0),
        }
    }
}
