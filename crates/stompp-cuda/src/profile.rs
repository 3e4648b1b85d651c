//! Times of single kernels and library calls, by the GPU's own clock: an event before each, and one after it.

use crate::{Gpu, GpuError};
use cudarc::driver::{
    CudaDevice,
    result::event,
    sys::{CUevent, CUevent_flags},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What one kernel, or one library call on one shape, has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// The kernel's name, or the library, the product and its shape.
    pub name: String,
    /// How often it ran.
    pub calls: usize,
    /// Milliseconds of all calls together. An event takes a microsecond or two, which short kernels have in their time.
    pub milliseconds: f64,
}

/// Work whose time is being taken.
#[derive(Debug)]
pub struct ProfileSpan {
    name: String,
    start: Event,
}

/// What is being profiled; `None` outside of a profile.
#[derive(Debug, Default)]
pub(crate) struct Profile(Mutex<Option<Vec<(ProfileSpan, Event)>>>);

impl Profile {
    fn spans(&self) -> std::sync::MutexGuard<'_, Option<Vec<(ProfileSpan, Event)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event of the driver.
#[derive(Debug)]
pub(crate) struct Event(CUevent);

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// One that the device reaches after everything that was queued so far.
    pub(crate) fn now(device: &Arc<CudaDevice>) -> Result<Self, GpuError> {
        device.bind_to_thread()?;
        let event = Self(event::create(CUevent_flags::CU_EVENT_DEFAULT)?);
        // SAFETY: made in the line above, on the stream that everything runs on.
        unsafe { event::record(event.0, *device.cu_stream()) }?;
        Ok(event)
    }

    /// Milliseconds from this event to a later one, both of which the device has reached.
    pub(crate) fn until(&self, later: &Self) -> Result<f32, GpuError> {
        // SAFETY: both were made and recorded by `now`, on the same stream.
        Ok(unsafe { event::elapsed(self.0, later.0) }?)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `now`, and this is its end. An error would come too late.
        let _ = unsafe { event::destroy(self.0) };
    }
}

impl Gpu {
    /// Begins a profile; one that was not ended is dropped.
    pub fn start_profile(&self) {
        *self.profile.spans() = Some(Vec::new());
    }

    /// Ends the profile and waits for the device. Returns a row for each name, in the order of their first calls; empty without a
    /// profile.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn end_profile(&self) -> Result<Vec<KernelTime>, GpuError> {
        let spans = self.profile.spans().take().unwrap_or_default();
        self.device.synchronize()?;
        let (mut rows, mut places) = (Vec::<KernelTime>::new(), HashMap::new());
        for (ProfileSpan { name, start }, end) in spans {
            let milliseconds = f64::from(start.until(&end)?);
            let place = *places.entry(name.clone()).or_insert(rows.len());
            match rows.get_mut(place) {
                Some(row) => {
                    row.calls += 1;
                    row.milliseconds += milliseconds;
                }
                None => rows.push(KernelTime {
                    name,
                    calls: 1,
                    milliseconds,
                }),
            }
        }
        Ok(rows)
    }

    /// Begins to time what is queued next, if a profile is on; `name` says what it is.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn start_span(&self, name: impl FnOnce() -> String) -> Result<Option<ProfileSpan>, GpuError> {
        if self.profile.spans().is_none() {
            return Ok(None);
        }
        let start = Event::now(&self.device)?;
        Ok(Some(ProfileSpan { name: name(), start }))
    }

    /// Ends what [`Gpu::start_span`] began.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn end_span(&self, span: Option<ProfileSpan>) -> Result<(), GpuError> {
        let Some(span) = span else { return Ok(()) };
        let end = Event::now(&self.device)?;
        if let Some(spans) = self.profile.spans().as_mut() {
            spans.push((span, end));
        }
        Ok(())
    }
}
