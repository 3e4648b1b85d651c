//! Borrowed slices of floats in device memory.

use cudarc::driver::{DevicePtr, DevicePtrMut};
use std::{marker::PhantomData, ops::Range};

/// A slice of floats in device memory, for reading.
#[derive(Clone, Copy, Debug)]
#[repr(C)] // The address must be the first field: the driver reads a kernel's argument from the start of the struct.
pub struct Floats<'a> {
    address: u64,
    len: usize,
    owner: PhantomData<&'a f32>,
}

/// A slice of floats in device memory, for writing.
#[derive(Debug)]
#[repr(C)]
pub struct FloatsMut<'a> {
    address: u64,
    len: usize,
    owner: PhantomData<&'a mut f32>,
}

impl<'a> Floats<'a> {
    /// `len` floats at `address`.
    ///
    /// # Safety
    /// The floats must be in memory of the device in use and valid during `'a`. They must not be written to during `'a`, except by the
    /// kernels of this crate.
    pub unsafe fn from_raw(address: u64, len: usize) -> Self {
        Self {
            address,
            len,
            owner: PhantomData,
        }
    }

    /// All of `memory`.
    pub fn new(memory: &'a impl DevicePtr<f32>) -> Self {
        Self {
            address: *memory.device_ptr(),
            len: memory.len(),
            owner: PhantomData,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// The images `images` of a tensor of (N, ...), where each image has `floats` floats.
    pub(crate) fn of_images(&self, images: &Range<usize>, floats: usize) -> Self {
        let (start, len) = part(self.len, images, floats);
        Self {
            address: self.address + 4 * start as u64,
            len,
            owner: PhantomData,
        }
    }
}

impl<'a> FloatsMut<'a> {
    /// `len` floats at `address`.
    ///
    /// # Safety
    /// The floats must be in memory of the device in use and valid during `'a`. No other code may read or write them during `'a`.
    pub unsafe fn from_raw(address: u64, len: usize) -> Self {
        Self {
            address,
            len,
            owner: PhantomData,
        }
    }

    /// All of `memory`.
    pub fn new(memory: &'a mut impl DevicePtrMut<f32>) -> Self {
        let len = memory.len();
        Self {
            address: *memory.device_ptr_mut(),
            len,
            owner: PhantomData,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Borrows the same floats for a shorter time.
    pub(crate) fn reborrow(&mut self) -> FloatsMut<'_> {
        FloatsMut {
            address: self.address,
            len: self.len,
            owner: PhantomData,
        }
    }

    /// The images `images` of a tensor of (N, ...), where each image has `floats` floats.
    pub(crate) fn of_images(&mut self, images: &Range<usize>, floats: usize) -> FloatsMut<'_> {
        let (start, len) = part(self.len, images, floats);
        FloatsMut {
            address: self.address + 4 * start as u64,
            len,
            owner: PhantomData,
        }
    }
}

/// First float and number of floats of `images`.
#[track_caller]
fn part(all: usize, images: &Range<usize>, floats: usize) -> (usize, usize) {
    assert!(
        images.start <= images.end && images.end * floats <= all,
        "{images:?} of {all} floats"
    );
    (images.start * floats, images.len() * floats)
}

/// Panics unless the slice called `name` has the length that its shape says.
#[track_caller]
pub(crate) fn check_length(name: &str, found: usize, expected: usize) {
    assert_eq!(found, expected, "{name} has {found} floats, its shape needs {expected}");
}
