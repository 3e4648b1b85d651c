//! Compares each kernel with the CPU kernel of the same name, over a grid of shapes, and tests messages between GPUs. Without a GPU, the fake driver runs them
//! (`--features cuda-stand-in`). With a GPU: `cargo test --features cuda -- --ignored cuda`.
#![cfg(feature = "cuda")]

mod common;
mod conv;
mod elements;
mod layers;
mod nccl;
mod norm;
mod refresh;
mod slices;
