//! Subsets of a set: **the same seed and number always select the same images**, and a larger subset contains every
//! smaller one.

use crate::{DataError, order::permutation};
use stompp_rng::{Purpose, stream};

/// A set of labelled images that can be divided into subsets.
pub trait Labelled: Sized {
    /// The name of the set, for messages.
    fn name(&self) -> &str;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// The label of each image, below [`classes`](Self::classes).
    fn labels(&self) -> &[u16];

    /// Returns the set of the images at `indices`, in this order.
    ///
    /// # Panics
    /// Panics if `indices` is empty, or an index is out of range.
    fn select(&self, indices: &[usize]) -> Self;

    /// Number of images of each class.
    fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for &label in self.labels() {
            counts[usize::from(label)] += 1;
        }
        counts
    }

    /// Returns `count` images selected by `seed`, balanced over the classes as far as possible.
    ///
    /// The rule (*ours*): put the images in a random order. Take each class's first image in that order, then each
    /// class's second, and so on (within such a round again in that order), until there are `count`. So the counts of
    /// two classes differ by at most one unless a class has run out, and a subset contains every smaller one. The
    /// selected images keep their order in this set.
    ///
    /// # Errors
    /// Returns [`DataError::SubsetSize`] if `count` is zero or more than the set has.
    fn subset(&self, count: usize, seed: u64) -> Result<Self, DataError> {
        let mut chosen = ranking(self, seed);
        if count == 0 || count > chosen.len() {
            return Err(size_error(self, count));
        }
        chosen.truncate(count);
        chosen.sort_unstable();
        Ok(self.select(&chosen))
    }

    /// Splits the set into the images of [`subset`](Self::subset), which are held out, and all others.
    ///
    /// # Errors
    /// Returns [`DataError::SubsetSize`] if either part would be empty.
    fn hold_out(&self, count: usize, seed: u64) -> Result<(Self, Self), DataError> {
        let mut held = ranking(self, seed);
        if count == 0 || count >= held.len() {
            return Err(size_error(self, count));
        }
        let mut others = held.split_off(count);
        held.sort_unstable();
        others.sort_unstable();
        Ok((self.select(&held), self.select(&others)))
    }
}

/// The indices of all images, in the order of selection.
fn ranking(set: &impl Labelled, seed: u64) -> Vec<usize> {
    let labels = set.labels();
    let mut taken = vec![0u32; set.classes()];
    let mut order = permutation(labels.len(), stream(seed, Purpose::SUBSET, 0, 0))
        .into_iter()
        .map(|index| {
            let round = &mut taken[usize::from(labels[index])];
            *round += 1;
            (*round, index)
        })
        .collect::<Vec<_>>();
    order.sort_by_key(|&(round, _)| round);
    order.into_iter().map(|(_, index)| index).collect()
}

fn size_error(set: &impl Labelled, asked: usize) -> DataError {
    DataError::SubsetSize {
        name: set.name().to_owned(),
        has: set.labels().len(),
        asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageSet;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// One-pixel images whose pixels encode their index.
    fn set(labels: Vec<u16>) -> ImageSet {
        let pixels = (0..labels.len() as u32)
            .flat_map(|index| index.to_le_bytes().into_iter().take(3))
            .collect();
        ImageSet::new("test", (1, 1), 7, pixels, labels).unwrap()
    }

    fn members(set: &ImageSet) -> Vec<&[u8]> {
        (0..set.len()).map(|index| set.image(index)).collect()
    }

    #[test]
    fn empty_and_oversized_subsets_are_refused() {
        let set = set(vec![0, 1, 2]);
        assert_eq!(
            set.subset(4, 0).unwrap_err().to_string(),
            "image set test has 3 images; a subset of 4 cannot be taken from it"
        );
        assert!(set.subset(0, 0).is_err());
        assert_eq!(set.subset(3, 0).unwrap(), set);
    }

    #[test]
    fn the_seed_chooses() {
        let set = set((0..700).map(|index| index % 7).collect());
        assert_eq!(set.subset(70, 1).unwrap(), set.subset(70, 1).unwrap());
        assert_ne!(set.subset(70, 1).unwrap(), set.subset(70, 2).unwrap());
    }

    #[test]
    fn what_is_held_out_and_the_rest_are_the_whole() {
        let set = set((0..70).map(|index| index % 7).collect());
        let (held, rest) = set.hold_out(14, 3).unwrap();
        assert_eq!(held, set.subset(14, 3).unwrap());
        assert_eq!((held.class_counts(), rest.class_counts()), (vec![2; 7], vec![8; 7]));
        let mut all = [members(&held), members(&rest)].concat();
        all.sort_unstable();
        let mut expected = members(&set);
        expected.sort_unstable();
        assert_eq!(all, expected);
        assert_ne!(set.hold_out(14, 4).unwrap().0, held);
        assert!(set.hold_out(70, 3).is_err() && set.hold_out(0, 3).is_err());
    }

    proptest! {
        #[test]
        fn subsets_are_balanced_and_nested(
            labels in prop::collection::vec(0u16..7, 2..200), seed: u64, share in 0.0f64..1.0,
        ) {
            let set = set(labels);
            let count = 1 + ((set.len() - 1) as f64 * share) as usize;
            let small = set.subset(count, seed).unwrap();
            prop_assert_eq!(small.len(), count);

            let (has, chosen) = (set.class_counts(), small.class_counts());
            let most = *chosen.iter().max().unwrap();
            for (has, chosen) in has.into_iter().zip(chosen) {
                prop_assert!(chosen + 1 >= most || chosen == has);
            }

            let originals: HashSet<(&[u8], usize)> = (0..set.len()).map(|i| (set.image(i), set.label(i))).collect();
            prop_assert!((0..count).all(|i| originals.contains(&(small.image(i), small.label(i)))));
            if count < set.len() {
                let larger = set.subset(count + 1, seed).unwrap();
                let larger: HashSet<&[u8]> = members(&larger).into_iter().collect();
                prop_assert!(members(&small).iter().all(|image| larger.contains(image)));
            }
        }
    }
}
