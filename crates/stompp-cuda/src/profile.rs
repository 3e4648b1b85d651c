//! Measures single kernels and library calls with GPU events before and after each.

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

/// The total time of one kernel, or of one library call with one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Name of the kernel, or the library, its operation and the shape.
    pub name: String,
    /// Number of calls.
    pub calls: usize,
    /// Total time of all calls in milliseconds. The time of each call includes one or two microseconds for the events.
    pub milliseconds: f64,
}

/// Work that is being timed, from [`Gpu::start_span`] to [`Gpu::end_span`].
#[derive(Debug)]
pub struct ProfileSpan {
    name: String,
    start: Event,
}

/// The spans of the current profile; `None` if no profile is active.
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

// SAFETY: a handle of the driver may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// Records an event after all work that is queued so far.
    pub(crate) fn now(device: &Arc<CudaDevice>) -> Result<Self, GpuError> {
        device.bind_to_thread()?;
        let event = Self(event::create(CUevent_flags::CU_EVENT_DEFAULT)?);
        // SAFETY: the event was created above, and the stream belongs to the device.
        unsafe { event::record(event.0, *device.cu_stream()) }?;
        Ok(event)
    }

    /// Returns the milliseconds from this event to a later one. The device must have reached both.
    pub(crate) fn until(&self, later: &Self) -> Result<f32, GpuError> {
        // SAFETY: `now` created and recorded both on the same stream.
        Ok(unsafe { event::elapsed(self.0, later.0) }?)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `now` created the event, and it is not used after this. Errors are ignored on drop.
        let _ = unsafe { event::destroy(self.0) };
    }
}

impl Gpu {
    /// Starts a profile. Discards a profile that is still active.
    pub fn start_profile(&self) {
        *self.profile.spans() = Some(Vec::new());
    }

    /// Ends the profile and waits for the device. Returns one row for each name, in the order of the first calls. Returns no rows if no
    /// profile is active.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the driver fails.
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

    /// Starts to time the work that is queued next. Returns `None` if no profile is active. `name` returns the name of the work.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the driver fails.
    pub fn start_span(&self, name: impl FnOnce() -> String) -> Result<Option<ProfileSpan>, GpuError> {
        if self.profile.spans().is_none() {
            return Ok(None);
        }
        let start = Event::now(&self.device)?;
        Ok(Some(ProfileSpan { name: name(), start }))
    }

    /// Ends a span of [`Gpu::start_span`].
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the driver fails.
    pub fn end_span(&self, span: Option<ProfileSpan>) -> Result<(), GpuError> {
        let Some(span) = span else { return Ok(()) };
        let end = Event::now(&self.device)?;
        if let Some(spans) = self.profile.spans().as_mut() {
            spans.push((span, end));
        }
        Ok(())
    }
}
