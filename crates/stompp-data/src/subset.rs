//! A smaller set by rule: **the same seed and number always choose the same images**, and a larger choice contains a
//! smaller one.

use crate::{DataError, ImageSet, order::permutation};
use stompp_rng::{Purpose, stream};

impl ImageSet {
    /// The `count` images that `seed` chooses, as balanced over the classes as the set allows.
    ///
    /// The rule (*ours*): put the images in a random order; take each class's first image in that order, then each
    /// class's second, and so on (within such a round again in that order), until there are `count`. So two classes
    /// differ by at most one unless a class has run out, and the choice of `count` contains every smaller one. The
    /// chosen images keep the order that they have in this set.
    ///
    /// # Errors
    /// [`DataError::SubsetSize`] if `count` is zero or more than the set has.
    pub fn subset(&self, count: usize, seed: u64) -> Result<ImageSet, DataError> {
        if count == 0 || count > self.len() {
            return Err(DataError::SubsetSize {
                name: self.name().to_owned(),
                has: self.len(),
                asked: count,
            });
        }
        let mut taken = vec![0u32; self.classes()];
        let mut order = permutation(self.len(), stream(seed, Purpose::SUBSET, 0, 0))
            .into_iter()
            .map(|index| {
                let round = &mut taken[self.label(index)];
                *round += 1;
                (*round, index)
            })
            .collect::<Vec<_>>();
        order.sort_by_key(|&(round, _)| round);
        let mut chosen: Vec<usize> = order[..count].iter().map(|&(_, index)| index).collect();
        chosen.sort_unstable();
        let pixels = chosen.iter().flat_map(|&index| self.image(index)).copied().collect();
        let labels = chosen.iter().map(|&index| self.labels()[index]).collect();
        ImageSet::new(
            self.name(),
            (self.height(), self.width()),
            self.classes(),
            pixels,
            labels,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// One-pixel images whose pixels spell their index.
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
