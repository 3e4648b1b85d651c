//! Peak memory of a training step, each case in a process of its own.

use super::{
    case::{BenchNetwork, Case, Size, Workload},
    peer::{self, PeerTask},
    report::MemoryComparison,
};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::{path::Path, process::Command};

/// Shares of committed units at which memory is measured, in percent.
pub(super) const COMMITTED: [usize; 2] = [0, 50];

/// ResNet-18 with 128 images a step.
const SIZE: Size = Size {
    width: 64,
    image: 32,
    batch: 128,
};

/// Number of steps. After two steps, all memory that is kept between steps is allocated.
const STEPS: usize = 3;

pub(super) fn name(committed: usize) -> String {
    format!("{}-memory-{committed}", BenchNetwork::ResNet18.model())
}

/// Measures ResNet-18 with `committed` percent of its units committed, here and in the peer.
///
/// # Errors
/// Returns an error if a process cannot be started, fails, or prints no number.
pub(super) fn measure(committed: usize, threads: u16, peer_python: Option<&Path>) -> Result<MemoryComparison> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "--threads", &threads.to_string()])
        .args(["--memory-of", &committed.to_string()])
        .output()
        .context("starting a process to measure memory in")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Ok(ours_mib) = text.trim().parse() else {
        bail!("measuring memory: {}", String::from_utf8_lossy(&output.stderr));
    };
    let task = PeerTask::step(BenchNetwork::ResNet18, Workload::Freezing(committed), SIZE);
    let peer_mib = peer_python
        .map(|python| peer::peak_mib(python, workspace::root(), threads, &task))
        .transpose()?;
    Ok(MemoryComparison {
        name: name(committed),
        ours_mib,
        peer_mib,
    })
}

/// Runs steps in this process, and prints the difference between its peak memory and its memory before, in MiB.
///
/// # Errors
/// Returns an error if the system does not report its memory, or if a step fails.
pub(super) fn measure_this_process(committed: usize) -> Result<()> {
    let before = status_mib("VmRSS")?;
    let mut case = Case::new(
        stompp_nn::cpu(),
        BenchNetwork::ResNet18,
        Workload::Freezing(committed),
        SIZE,
    )?;
    for _ in 0..STEPS {
        case.step()?;
    }
    stompp_console::outln!("{:.1}", status_mib("VmHWM")? - before);
    Ok(())
}

fn status_mib(field: &str) -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status").context("memory is measured on Linux only")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    Ok(kib.with_context(|| format!("no {field} in /proc/self/status"))? / 1024.0)
}
