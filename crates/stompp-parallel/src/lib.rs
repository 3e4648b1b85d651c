#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **A sum has the same bits in every process.** With [`Reduction::Exact`], it also has the bits that one process gets that adds the
//!   values of all processes in pairs: `(a + b) + (c + d)` for four processes.
//! - **Every process calls the same functions in the same order.** The sums of [`Collective::start_sum`] are in an order of their own,
//!   so that a small sum does not wait for a large one.
//! - **A process that is lost never lets the others wait for ever.** They get a [`CollectiveError`], or are ended by the MPI runtime.
//! - This crate knows no tensors, networks or files.
#![forbid(unsafe_code)]

mod collective;
mod error;
mod lane;
mod launch;
mod local;
#[cfg(feature = "nccl")]
mod meeting;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod solo;
mod sum;
mod transport;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
#[cfg(feature = "nccl")]
pub use self::nccl::Nccl;
pub use collective::{Collective, PendingSum, Reduction};
pub use error::CollectiveError;
pub use launch::{launched_processes, processes_on_these_cores, rank_on_this_machine};
pub use local::LocalGroup;
pub use solo::Solo;
