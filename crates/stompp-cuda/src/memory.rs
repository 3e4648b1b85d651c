//! Device memory that somebody owns, seen as a slice of floats.

use cudarc::driver::{DevicePtr, DevicePtrMut};
use std::marker::PhantomData;

/// Floats in the device's memory, for reading.
#[derive(Clone, Copy, Debug)]
#[repr(C)] // A kernel's argument is read where the struct begins.
pub struct Floats<'a> {
    address: u64,
    len: usize,
    owner: PhantomData<&'a f32>,
}

/// Floats in the device's memory, for writing.
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
    /// They are in memory of the device that is used, live as long as `'a`, and no host code writes to them meanwhile.
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
}

impl<'a> FloatsMut<'a> {
    /// `len` floats at `address`.
    ///
    /// # Safety
    /// As [`Floats::from_raw`], and nobody else reads or writes them as long as `'a`.
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

    /// The same floats, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> FloatsMut<'_> {
        FloatsMut {
            address: self.address,
            len: self.len,
            owner: PhantomData,
        }
    }
}

/// Panics unless the slice called `name` has the length that its shape says.
#[track_caller]
pub(crate) fn check_length(name: &str, found: usize, expected: usize) {
    assert_eq!(found, expected, "{name} has {found} floats, its shape {expected}");
}
