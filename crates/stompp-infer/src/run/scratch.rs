//! The memory that a run needs.

use super::ScratchSizes;
use crate::error::RunError;
use alloc::vec::Vec;

/// Memory for running one image at a time: buffers for values and for tasks.
/// [`Network::scratch_bytes`](crate::Network::scratch_bytes) returns its size.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) sizes: ScratchSizes,
    pub(crate) bits: Vec<Vec<u8>>,
    pub(crate) floats: Vec<Vec<f32>>,
    pub(crate) staged: Vec<u8>,
    pub(crate) table: Vec<u32>,
    pub(crate) padded: Vec<f32>,
    pub(crate) tasks: Vec<TaskMemory>,
    /// The network's output, for callers that provide no buffer.
    #[cfg(feature = "std")]
    pub(crate) logits: Vec<f32>,
}

/// Memory of one task.
#[derive(Debug)]
pub(crate) struct TaskMemory {
    pub(crate) words: Vec<u64>,
    pub(crate) offsets: Vec<u16>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) patches: Vec<f32>,
    pub(crate) sums: Vec<f32>,
    pub(crate) block: Vec<f32>,
}

impl Scratch {
    /// Allocates memory of these sizes for `tasks` tasks.
    pub(crate) fn new(sizes: &ScratchSizes, tasks: usize) -> Result<Self, RunError> {
        let error = || RunError::Memory(sizes.total(tasks));
        let mut of_tasks = Vec::new();
        for _ in 0..tasks {
            of_tasks.push(TaskMemory {
                words: zeros(sizes.words).ok_or_else(error)?,
                offsets: zeros(sizes.offsets).ok_or_else(error)?,
                bytes: zeros(sizes.bytes).ok_or_else(error)?,
                patches: zeros(sizes.patches).ok_or_else(error)?,
                sums: zeros(sizes.sums).ok_or_else(error)?,
                block: zeros(sizes.block).ok_or_else(error)?,
            });
        }
        Ok(Self {
            bits: sizes
                .bits
                .iter()
                .map(|len| zeros(*len))
                .collect::<Option<_>>()
                .ok_or_else(error)?,
            floats: sizes
                .floats
                .iter()
                .map(|len| zeros(*len))
                .collect::<Option<_>>()
                .ok_or_else(error)?,
            staged: zeros(sizes.staged).ok_or_else(error)?,
            table: zeros(sizes.table).ok_or_else(error)?,
            padded: zeros(sizes.padded).ok_or_else(error)?,
            tasks: of_tasks,
            #[cfg(feature = "std")]
            logits: zeros(sizes.logits).ok_or_else(error)?,
            sizes: sizes.clone(),
        })
    }
}

/// Returns `len` zeros, or `None` if the memory cannot be allocated.
fn zeros<T: Clone + Default>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}
