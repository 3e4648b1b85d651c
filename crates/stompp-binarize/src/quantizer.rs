//! The state of one quantized tensor: which of its entries are frozen, and which gradient frozen entries get.

use crate::{BinaryBackend, EvalMode, FreezingMask, Refresher, Surrogate, quantize};
use dfdx::{shapes::Shape, tensor::Tensor};
use rand::Rng;
use std::iter::repeat_n;
use stompp_nn::{DeviceError, OpResult, Recording};
use stompp_rng::StreamKey;
use stompp_schedule::{Mask, MaskError, Refreshed};

/// Which entries of a quantized tensor are frozen. While it is freezing, its mask is a [`FreezingMask`].
pub type FreezeState<M = FreezingMask> = stompp_kernels::FreezeState<M>;

/// The masked quantizer of one tensor of `entries` entries.
///
/// For an activation these are the C * H * W entries of one sample; the mask is shared over the batch and kept between
/// steps.
#[derive(Clone, Debug)]
pub struct MaskedQuantizer {
    entries: usize,
    /// Number of consecutive entries that freeze together; a divisor of `entries`.
    group: usize,
    surrogate: Surrogate,
    state: FreezeState,
}

impl MaskedQuantizer {
    /// Creates an open quantizer.
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

    /// Makes every `group` consecutive entries freeze together. With H * W entries, a group is a channel of an activation.
    ///
    /// # Panics
    /// If `group` does not divide the number of entries, or the quantizer is not open.
    #[must_use]
    pub fn with_group(self, group: usize) -> Self {
        assert!(
            group > 0 && self.entries.is_multiple_of(group),
            "{group} entries do not divide {}",
            self.entries
        );
        assert_eq!(self.state, FreezeState::Open, "the quantizer is not open");
        Self { group, ..self }
    }

    /// Number of entries of the mask.
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

    /// Whether no gradient passes: everything is committed, and the gradient of frozen entries is blocked.
    pub fn blocks_gradient(&self) -> bool {
        self.state.blocks_gradient(self.surrogate)
    }

    /// Whether every output is -1 or +1 in `mode`.
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

    /// Does one step of soft refresh: redraws each entry, or group of entries, with probability `1/r` from Bernoulli(`p`).
    ///
    /// An open quantizer starts from a mask of zeros; a committed one stays committed.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the mask is on a device that fails. The state is then unchanged.
    ///
    /// # Panics
    /// As [`Mask::refresh`].
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

    /// As [`MaskedQuantizer::refresh`] with the stream of `key`. `refresher` draws the mask if that is faster; the mask is the same.
    ///
    /// # Errors
    /// As [`MaskedQuantizer::refresh`].
    ///
    /// # Panics
    /// As [`Mask::refresh`].
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

    /// Restores a saved mask from its [`Mask::words`].
    ///
    /// # Errors
    /// Returns a [`RestoreMaskError`] if the words are not a mask of [`MaskedQuantizer::entries`] entries.
    pub fn restore(&mut self, words: Vec<u64>) -> Result<(), RestoreMaskError> {
        self.state = FreezeState::Freezing(FreezingMask::new(Mask::from_words(self.entries, words)?));
        Ok(())
    }

    /// Quantizes a batch (or a weight) in the current state. The result is on the tape unless [`MaskedQuantizer::blocks_gradient`].
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// If the mask covers neither `u` nor one of its samples.
    pub fn forward<S: Shape, D: BinaryBackend, T: Recording<D>>(&self, u: Tensor<S, f32, D, T>) -> OpResult<S, D, T> {
        quantize(u, &self.state, self.surrogate, self.entries)
    }

    /// Quantizes off the tape, in the current or the binarized state.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// If the mask covers neither `u` nor one of its samples.
    pub fn evaluate<S: Shape, D: BinaryBackend>(&self, u: Tensor<S, f32, D>, mode: EvalMode) -> OpResult<S, D> {
        quantize(u, self.state_in(mode), self.surrogate, self.entries)
    }
}

/// A saved mask does not belong to this quantizer.
#[derive(Debug, thiserror::Error)]
#[error("saved mask: {0}")]
pub struct RestoreMaskError(#[from] MaskError);
