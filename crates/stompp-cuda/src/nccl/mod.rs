//! Messages between the GPUs of several processes, over NCCL, which is loaded at run time.
//!
//! Messages begin and end in host memory. On their way they are in two buffers on the device, which grow as needed. Everything is on a
//! stream of its own, so that messages do not wait for kernels, nor kernels for them.

mod api;

use crate::GpuError;
pub use api::UniqueId;
use api::{Api, Opaque};
use cudarc::driver::{
    CudaDevice,
    result::{self, stream::StreamKind},
    sys::{self as driver, CUresult},
};
use std::{
    ffi::CStr,
    fmt, mem, ptr,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// Constants from `nccl.h`.
const BYTES: i32 = 1; // ncclUint8
const FLOATS: i32 = 7; // ncclFloat32
const SUM: i32 = 0; // ncclSum
const IN_PROGRESS: i32 = 7; // ncclInProgress

/// How long a wait asks the device again and again before it sleeps in between.
const BUSY: Duration = Duration::from_micros(200);
const SLEEP: Duration = Duration::from_micros(50);

fn api() -> Result<&'static Api, GpuError> {
    static API: OnceLock<Option<Api>> = OnceLock::new();
    API.get_or_init(Api::load).as_ref().ok_or(GpuError::NoNccl)
}

impl UniqueId {
    /// Makes an id. One process does it and sends it to the others.
    ///
    /// # Errors
    /// Returns [`GpuError::NoNccl`] if NCCL is not installed, and [`GpuError::Nccl`] if it fails.
    pub fn new() -> Result<Self, GpuError> {
        let (api, mut id) = (api()?, Self([0; Self::LEN]));
        // SAFETY: NCCL writes the id.
        check(api, "ncclGetUniqueId", unsafe { (api.unique_id)(&mut id) })?;
        Ok(id)
    }
}

/// The place of a process in a group whose processes each have a GPU. Every process calls the same functions in the same order.
///
/// # Errors
/// Functions return [`GpuError::Nccl`] if this or another process fails, as far as NCCL notices, and [`GpuError::Driver`] if an allocation
/// or a copy fails. After an error the communicator cannot be used.
pub struct Communicator {
    api: &'static Api,
    handle: Opaque,
    stream: driver::CUstream,
    sent: DeviceBytes,
    received: DeviceBytes,
    rank: usize,
    size: usize,
    device: Arc<CudaDevice>,
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Communicator")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// What NCCL's functions take from a communicator.
struct Arguments {
    handle: Opaque,
    stream: Opaque,
    /// The address of the buffer with what is sent.
    sent: u64,
    received: u64,
}

/// Memory on the device.
#[derive(Debug, Default)]
struct DeviceBytes {
    address: u64,
    len: usize,
}

impl DeviceBytes {
    /// Grows to at least `len` bytes. The values are lost then.
    fn reserve(&mut self, len: usize) -> Result<(), GpuError> {
        if len <= self.len {
            return Ok(());
        }
        let len = len.next_power_of_two();
        self.free();
        // SAFETY: allocates; the size is not 0.
        self.address = unsafe { result::malloc_sync(len) }?;
        self.len = len;
        Ok(())
    }

    fn free(&mut self) {
        if self.len > 0 {
            // SAFETY: this struct allocated it, and frees it once. An error means that the device is gone, with all memory.
            let _ = unsafe { result::free_sync(self.address) };
            self.len = 0;
        }
    }
}

impl Communicator {
    /// Joins the group of `size` processes with the same `id`, as process `rank`, with GPU number `gpu` of this process. Waits for all
    /// others.
    ///
    /// # Errors
    /// Returns [`GpuError::NoNccl`] if NCCL is not installed, and see [`Communicator`].
    ///
    /// # Panics
    /// Panics if `rank` is not below `size`.
    pub fn join(id: UniqueId, rank: usize, size: usize, gpu: usize) -> Result<Self, GpuError> {
        assert!(rank < size, "process {rank} of {size}");
        let (api, device) = (api()?, CudaDevice::new(gpu)?);
        device.bind_to_thread()?;
        let stream = result::stream::create(StreamKind::NonBlocking)?;
        let mut handle = ptr::null_mut();
        // SAFETY: NCCL writes the handle. The device is the current one of this thread.
        let status = unsafe { (api.init)(&mut handle, size as i32, id, rank as i32) };
        let mut communicator = Self {
            api,
            handle,
            stream,
            sent: DeviceBytes::default(),
            received: DeviceBytes::default(),
            rank,
            size,
            device,
        };
        if let Err(error) = check(api, "ncclCommInitRank", status) {
            communicator.leave(true);
            return Err(error);
        }
        Ok(communicator)
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Sends `message` to all processes, which send as many bytes. Returns all messages, one after the other.
    ///
    /// # Errors
    /// See [`Communicator`].
    pub fn all_gather(&mut self, message: &[u8]) -> Result<Vec<u8>, GpuError> {
        let mut all = vec![0; message.len() * self.size];
        if message.is_empty() {
            return Ok(all);
        }
        self.guarded(|this| {
            this.upload(message, all.len())?;
            // SAFETY: both buffers are as long as NCCL needs them, and live until the stream has been waited for.
            this.call("ncclAllGather", |api, c| unsafe {
                (api.all_gather)(c.sent, c.received, message.len(), BYTES, c.handle, c.stream)
            })?;
            this.download(&mut all)
        })?;
        Ok(all)
    }

    /// Sends the next `lengths[rank]` bytes of `bytes` to each process. Returns what the processes sent to this one, by rank, one after the
    /// other: `received[rank]` bytes.
    ///
    /// # Errors
    /// See [`Communicator`].
    ///
    /// # Panics
    /// Panics if there are not two lengths for each process, or `bytes` has another length.
    pub fn all_to_all(&mut self, bytes: &[u8], lengths: &[usize], received: &[usize]) -> Result<Vec<u8>, GpuError> {
        assert!(
            lengths.len() == self.size && received.len() == self.size,
            "two lengths for each process"
        );
        assert_eq!(bytes.len(), lengths.iter().sum::<usize>(), "bytes to send");
        let mut all = vec![0; received.iter().sum()];
        self.guarded(|this| {
            this.upload(bytes, all.len())?;
            // SAFETY: takes no arguments.
            this.call("ncclGroupStart", |api, _| unsafe { (api.group_start)() })?;
            let queued = this.send_and_receive(lengths, received);
            // Also after an error: the thread's group must not stay open.
            // SAFETY: takes no arguments.
            this.call("ncclGroupEnd", |api, _| unsafe { (api.group_end)() })?;
            queued?;
            this.download(&mut all)
        })?;
        Ok(all)
    }

    /// Queues the messages of [`Communicator::all_to_all`].
    fn send_and_receive(&mut self, lengths: &[usize], received: &[usize]) -> Result<(), GpuError> {
        let (mut sent_so_far, mut received_so_far) = (0, 0);
        for (rank, (&sent, &received)) in lengths.iter().zip(received).enumerate() {
            let rank = rank as i32;
            if sent > 0 {
                // SAFETY: the part is in the buffer, which lives until the stream has been waited for.
                self.call("ncclSend", |api, c| unsafe {
                    (api.send)(c.sent + sent_so_far, sent, BYTES, rank, c.handle, c.stream)
                })?;
            }
            if received > 0 {
                // SAFETY: as above.
                self.call("ncclRecv", |api, c| unsafe {
                    (api.receive)(c.received + received_so_far, received, BYTES, rank, c.handle, c.stream)
                })?;
            }
            sent_so_far += sent as u64;
            received_so_far += received as u64;
        }
        Ok(())
    }

    /// Replaces `values` by their sum over all processes, in the order that NCCL chooses.
    ///
    /// # Errors
    /// See [`Communicator`].
    pub fn sum(&mut self, values: &mut [f32]) -> Result<(), GpuError> {
        if values.is_empty() {
            return Ok(());
        }
        self.guarded(|this| {
            this.upload(values, size_of_val(values))?;
            // SAFETY: both buffers are long enough for the floats, and live until the stream has been waited for.
            this.call("ncclAllReduce", |api, c| unsafe {
                (api.all_reduce)(c.sent, c.received, values.len(), FLOATS, SUM, c.handle, c.stream)
            })?;
            this.download(values)
        })
    }

    /// Does `work`. After its first error of any kind the communicator is aborted: what other processes wait for will never come, and what
    /// is on the stream may never end. Every later call is an error.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, GpuError>) -> Result<T, GpuError> {
        if self.handle.is_null() {
            return Err(GpuError::Nccl {
                function: "an earlier call",
                status: 0,
                message: "it failed, and the group of processes was left".to_owned(),
            });
        }
        let result = work(self);
        if result.is_err() {
            self.leave(true);
        }
        result
    }

    /// Leaves the group, if that has not been done.
    fn leave(&mut self, abort: bool) {
        let handle = mem::replace(&mut self.handle, ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: the handle is used no more. After an error, `destroy` could wait for ever. Errors at the end change nothing.
            let _ = unsafe {
                match abort {
                    true => (self.api.abort)(handle),
                    false => (self.api.destroy)(handle),
                }
            };
        }
    }

    /// Copies what will be sent to the device. The other buffer becomes at least `received` bytes long.
    fn upload<T: Copy>(&mut self, values: &[T], received: usize) -> Result<(), GpuError> {
        self.device.bind_to_thread()?;
        self.sent.reserve(size_of_val(values))?;
        self.received.reserve(received)?;
        if !values.is_empty() {
            // SAFETY: the buffer is long enough; the caller keeps the values until it has waited for the stream in `download`.
            unsafe { result::memcpy_htod_async(self.sent.address, values, self.stream) }?;
        }
        Ok(())
    }

    /// Copies what was received from the device, after waiting for it.
    fn download<T: Copy>(&mut self, values: &mut [T]) -> Result<(), GpuError> {
        // A copy to memory that is not pinned does not return before it is done. Errors could not be noticed meanwhile.
        self.wait()?;
        if !values.is_empty() {
            // SAFETY: the buffer has at least as many bytes, and every pattern of bits is a value of the types in use (u8 and f32). The
            // wait below ends before the values can be used.
            unsafe { result::memcpy_dtoh_async(values, self.received.address, self.stream) }?;
        }
        self.wait()
    }

    /// Calls a function of NCCL.
    fn call(&mut self, function: &'static str, call: impl FnOnce(&Api, &Arguments) -> i32) -> Result<(), GpuError> {
        let arguments = Arguments {
            handle: self.handle,
            stream: self.stream.cast(),
            sent: self.sent.address,
            received: self.received.address,
        };
        check(self.api, function, call(self.api, &arguments))
    }

    /// Waits for the stream, and looks for errors of other processes meanwhile: without them it would wait for ever.
    fn wait(&mut self) -> Result<(), GpuError> {
        let begun = Instant::now();
        loop {
            // SAFETY: the stream was created by this struct.
            match unsafe { driver::cuStreamQuery(self.stream) } {
                CUresult::CUDA_SUCCESS => return Ok(()),
                CUresult::CUDA_ERROR_NOT_READY => {}
                error => return Ok(error.result()?),
            }
            let mut status = 0;
            // SAFETY: NCCL writes the status.
            self.call("ncclCommGetAsyncError", |api, c| unsafe {
                (api.async_error)(c.handle, &mut status)
            })?;
            if status != 0 && status != IN_PROGRESS {
                return check(self.api, "another process", status);
            }
            if begun.elapsed() > BUSY {
                thread::sleep(SLEEP);
            } else {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        // Nothing can be done about errors at the end.
        let _ = self.device.bind_to_thread();
        self.leave(false);
        self.sent.free();
        self.received.free();
        // SAFETY: created by this struct, and used no more.
        let _ = unsafe { result::stream::destroy(self.stream) };
    }
}

/// Returns an error unless `status` is 0, which is NCCL's success.
fn check(api: &Api, function: &'static str, status: i32) -> Result<(), GpuError> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: NCCL returns a static text for every number.
    let message = unsafe { CStr::from_ptr((api.error_string)(status)) };
    Err(GpuError::Nccl {
        function,
        status,
        message: message.to_string_lossy().into_owned(),
    })
}
