//! The functions of NCCL that this crate uses.

use crate::library::functions;
use std::ffi::{c_char, c_void};

/// A communicator or stream.
pub(super) type Opaque = *mut c_void;

/// What the processes of a group have in common: `ncclUniqueId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UniqueId(pub(super) [u8; UniqueId::LEN]);

impl UniqueId {
    /// Its length in bytes.
    pub const LEN: usize = 128;

    /// The id with these bytes; `None` if it is not [`UniqueId::LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes, to send them to other processes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

functions! {
    ["libnccl.so.2", "libnccl.so"], "STOMPP_STAND_IN_WITHOUT_NCCL";
    unique_id: ncclGetUniqueId(*mut UniqueId) -> i32;
    init: ncclCommInitRank(*mut Opaque, i32, UniqueId, i32) -> i32;
    destroy: ncclCommDestroy(Opaque) -> i32;
    abort: ncclCommAbort(Opaque) -> i32;
    async_error: ncclCommGetAsyncError(Opaque, *mut i32) -> i32;
    all_gather: ncclAllGather(u64, u64, usize, i32, Opaque, Opaque) -> i32;
    all_reduce: ncclAllReduce(u64, u64, usize, i32, i32, Opaque, Opaque) -> i32;
    send: ncclSend(u64, usize, i32, i32, Opaque, Opaque) -> i32;
    receive: ncclRecv(u64, usize, i32, i32, Opaque, Opaque) -> i32;
    group_start: ncclGroupStart() -> i32;
    group_end: ncclGroupEnd() -> i32;
    error_string: ncclGetErrorString(i32) -> *const c_char;
}
