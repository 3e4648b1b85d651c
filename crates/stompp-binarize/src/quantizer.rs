//! The state of one quantized tensor: which of its entries are frozen, and what gradient frozen entries get.

use crate::{BinaryBackend, EvalMode, FreezingMask, Refresher, Surrogate, quantize};
use dfdx::{shapes::Shape, tensor::Tensor};
use rand::Rng;
use std::iter::repeat_n;
use stompp_nn::{DeviceError, OpResult, Recording};
use stompp_rng::StreamKey;
use stompp_schedule::{Mask, MaskError, Refreshed};

/// Which entries of a quantized tensor are frozen. The mask of one that is freezing is a [`FreezingMask`].
pub type FreezeState<M = FreezingMask> = stompp_kernels::FreezeState<M>;

/// The masked quantizer of one tensor of `entries` entries.
///
/// For an activation these are the C * H * W entries of one sample; the mask is shared over the batch and kept between
/// steps.
#[derive(Clone, Debug)]
pub struct MaskedQuantizer {
    entries: usize,
    /// Entries that freeze as one: consecutive, and a divisor of all.
    group: usize,
    surrogate: Surrogate,
    state: FreezeState,
}

impl MaskedQuantizer {
    /// An open quantizer.
    ///
    /// # Panics
    /// If `entries` is 0.
    pub fn new(entries: usize, surrogate: Surrogate) -> Self {
        assert!(entries > 0, "a quantizer needs at least one entry");
        Self {
            entries,
            group: 1,
            surrogate,
            state: FreezeState::Open,
        }
    }

    /// The same with each `group` consecutive entries freezing as one: with H * W of them, a channel of an activation.
    ///
    /// # Panics
    /// If `group` does not divide the number of entries, or a mask was drawn already.
    #[must_use]
    pub fn with_group(self, group: usize) -> Self {
        assert!(
            group > 0 && self.entries.is_multiple_of(group),
            "{group} entries do not divide {}",
            self.entries
        );
        assert_eq!(self.state, FreezeState::Open, "a mask was drawn already");
        Self { group, ..self }
    }

    /// How many entries the mask has.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The gradient rule of frozen entries.
    pub fn surrogate(&self) -> Surrogate {
        self.surrogate
    }

    /// Which entries are frozen.
    pub fn state(&self) -> &FreezeState {
        &self.state
    }

    /// Share of frozen entries, in [0, 1].
    pub fn frozen_fraction(&self) -> f64 {
        match &self.state {
            FreezeState::Open => 0.0,
            FreezeState::Freezing(mask) => mask.frozen() as f64 / mask.entries() as f64,
            FreezeState::Committed => 1.0,
        }
    }

    /// Whether no gradient at all passes: committed, and frozen entries are blocked.
    pub fn blocks_gradient(&self) -> bool {
        self.state.blocks_gradient(self.surrogate)
    }

    /// Whether every value that comes out is -1 or +1, in `mode`.
    pub fn is_binary(&self, mode: EvalMode) -> bool {
        *self.state_in(mode) == FreezeState::Committed
    }

    fn state_in(&self, mode: EvalMode) -> &FreezeState {
        match mode {
            EvalMode::Current => &self.state,
            EvalMode::Binarized => &FreezeState::Committed,
        }
    }

    /// Opens every entry.
    pub fn open(&mut self) {
        self.state = FreezeState::Open;
    }

    /// Freezes every entry.
    pub fn commit(&mut self) {
        self.state = FreezeState::Committed;
    }

    /// One step of soft refresh: each entry, or group of them, is redrawn with probability `1/r` from Bernoulli(`p`).
    ///
    /// An open quantizer starts from an empty mask, a committed one stays committed.
    ///
    /// # Errors
    /// If the mask is on a device that fails; the state is then as before.
    pub fn refresh(&mut self, p: f64, r: f64, rng: &mut impl Rng) -> Result<Refreshed, DeviceError> {
        if let FreezeState::Freezing(mask) = &self.state {
            mask.host()?;
        }
        let mut mask = match std::mem::replace(&mut self.state, FreezeState::Open) {
            FreezeState::Open => Mask::new(self.entries),
            FreezeState::Freezing(mask) => mask.into_mask()?,
            FreezeState::Committed => {
                self.state = FreezeState::Committed;
                return Ok(Refreshed::default());
            }
        };
        let refreshed = if self.group == 1 {
            mask.refresh(p, r, rng)
        } else {
            let mut groups: Mask = mask.iter().step_by(self.group).collect();
            let Refreshed { redrawn, changed } = groups.refresh(p, r, rng);
            if changed > 0 {
                mask = groups.iter().flat_map(|frozen| repeat_n(frozen, self.group)).collect();
            }
            Refreshed {
                redrawn: redrawn * self.group,
                changed: changed * self.group,
            }
        };
        self.state = FreezeState::Freezing(FreezingMask::new(mask));
        Ok(refreshed)
    }

    /// As [`MaskedQuantizer::refresh`] with the stream of `key`, by `refresher` where that is faster: the mask is the same.
    ///
    /// # Errors
    /// As [`MaskedQuantizer::refresh`].
    pub fn refresh_with(
        &mut self,
        refresher: &dyn Refresher,
        p: f64,
        r: f64,
        key: &StreamKey,
    ) -> Result<Refreshed, DeviceError> {
        if self.group == 1
            && let FreezeState::Freezing(mask) = &self.state
            && let Some((mask, refreshed)) = refresher.refresh(mask, p, r, key)
        {
            self.state = FreezeState::Freezing(mask);
            return Ok(refreshed);
        }
        self.refresh(p, r, &mut key.rng())
    }

    /// Puts a saved mask back, from the words of [`Mask::words`].
    ///
    /// # Errors
    /// If the words are not a mask of [`MaskedQuantizer::entries`] entries.
    pub fn restore(&mut self, words: Vec<u64>) -> Result<(), RestoreMaskError> {
        self.state = FreezeState::Freezing(FreezingMask::new(Mask::from_words(self.entries, words)?));
        Ok(())
    }

    /// Quantizes a batch (or a weight) as the network stands; on the tape unless [`MaskedQuantizer::blocks_gradient`].
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel fails.
    pub fn forward<S: Shape, D: BinaryBackend, T: Recording<D>>(&self, u: Tensor<S, f32, D, T>) -> OpResult<S, D, T> {
        quantize(u, &self.state, self.surrogate, self.entries)
    }

    /// Quantizes off the tape, as the network stands or as it would be deployed.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel fails.
    pub fn evaluate<S: Shape, D: BinaryBackend>(&self, u: Tensor<S, f32, D>, mode: EvalMode) -> OpResult<S, D> {
        quantize(u, self.state_in(mode), self.surrogate, self.entries)
    }
}

/// A saved mask does not belong to this quantizer.
#[derive(Debug, thiserror::Error)]
#[error("saved mask: {0}")]
pub struct RestoreMaskError(#[from] MaskError);
