//! The mask of a tensor that is freezing. It is on the host, on a device, or on both.

use dfdx::tensor::Cpu;
use std::{
    any::Any,
    fmt::Debug,
    sync::{Arc, OnceLock},
};
use stompp_nn::DeviceError;
use stompp_rng::StreamKey;
use stompp_schedule::{Mask, Refreshed};

/// A mask in a device's memory.
pub trait DeviceMask: Any + Debug + Send + Sync {
    /// Returns its words, in the format of [`Mask::words`].
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the device fails.
    fn words(&self) -> Result<Vec<u64>, DeviceError>;
}

/// Refreshes masks, on a device if that is faster.
pub trait Refresher {
    /// Returns `mask` after one step of soft refresh, and the result of the refresh. The bits must be those of [`Mask::refresh`] with the
    /// stream of `key`. `None`, the default, leaves the refresh to the host.
    fn refresh(&self, mask: &FreezingMask, p: f64, r: f64, key: &StreamKey) -> Option<(FreezingMask, Refreshed)> {
        let _ = (mask, p, r, key);
        None
    }
}

impl Refresher for Cpu {}

/// The mask of a tensor that is freezing. It is shared and immutable: a refresh creates a new one.
#[derive(Clone, Debug)]
pub struct FreezingMask(Arc<SharedMask>);

#[derive(Debug)]
struct SharedMask {
    entries: usize,
    frozen: usize,
    // At least one of the two is set.
    host: OnceLock<Mask>,
    device: OnceLock<Arc<dyn DeviceMask>>,
}

impl FreezingMask {
    /// Creates a mask on the host.
    pub fn new(mask: Mask) -> Self {
        Self(Arc::new(SharedMask {
            entries: mask.len(),
            frozen: mask.count_ones(),
            host: mask.into(),
            device: OnceLock::new(),
        }))
    }

    /// Creates a mask of `entries` entries on a device; `frozen` of them are frozen.
    pub fn on_device(entries: usize, frozen: usize, mask: Arc<dyn DeviceMask>) -> Self {
        Self(Arc::new(SharedMask {
            entries,
            frozen,
            host: OnceLock::new(),
            device: mask.into(),
        }))
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.0.entries
    }

    /// Number of frozen entries.
    pub fn frozen(&self) -> usize {
        self.0.frozen
    }

    /// Returns the mask on the host. Copies it from the device the first time.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the device fails.
    pub fn host(&self) -> Result<&Mask, DeviceError> {
        if let Some(mask) = self.0.host.get() {
            return Ok(mask);
        }
        let device = self.0.device.get().expect("a mask is on the host or on a device");
        let mask =
            Mask::from_words(self.0.entries, device.words()?).expect("a device keeps a mask's words as they are");
        Ok(self.0.host.get_or_init(|| mask))
    }

    /// Returns the mask on the device. Calls `upload` the first time.
    ///
    /// # Errors
    /// Returns the error of `upload`.
    pub fn device<E>(
        &self,
        upload: impl FnOnce(&Mask) -> Result<Arc<dyn DeviceMask>, E>,
    ) -> Result<Arc<dyn DeviceMask>, E> {
        if let Some(mask) = self.0.device.get() {
            return Ok(Arc::clone(mask));
        }
        let host = self.0.host.get().expect("a mask is on the host or on a device");
        let mask = upload(host)?;
        Ok(Arc::clone(self.0.device.get_or_init(|| mask)))
    }

    /// Converts it to a mask that can be changed. Copies it only if it is shared.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the device fails.
    pub(crate) fn into_mask(self) -> Result<Mask, DeviceError> {
        self.host()?;
        Ok(match Arc::try_unwrap(self.0) {
            Ok(held) => held.host.into_inner().expect("it was fetched a line above"),
            Err(shared) => Self(shared).host()?.clone(),
        })
    }
}

/// Compares the entries. Panics if a mask is on a device that fails.
impl PartialEq for FreezingMask {
    fn eq(&self, other: &Self) -> bool {
        let fetched = |mask: &Self| mask.host().expect("the device with the mask has failed").clone();
        Arc::ptr_eq(&self.0, &other.0) || fetched(self) == fetched(other)
    }
}

impl Eq for FreezingMask {}
