//! Peak memory of a training step, each case in a process of its own.

use super::{
    case::{BenchNetwork, Case, Size, Workload},
    peer::{self, PeerTask},
    report::MemoryComparison,
};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::{path::Path, process::Command};
use stompp_train::config::Device;

/// Number of steps. After two steps, all memory that is kept between steps is allocated.
const STEPS: usize = 3;

/// A network and the share of its units that are committed, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryCase {
    network: BenchNetwork,
    committed: usize,
}

impl MemoryCase {
    /// All cases.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let networks = [
            BenchNetwork::ResNet18,
            BenchNetwork::ResNet34,
            BenchNetwork::ResNet50,
            BenchNetwork::ResNet18Large,
        ];
        networks
            .into_iter()
            .flat_map(|network| [0, 50].map(|committed| Self { network, committed }))
    }

    pub(super) fn name(self) -> String {
        format!("{}-memory-{}", self.network.name(), self.committed)
    }

    /// The size of a step: as it is timed, but ResNet-18 has 128 images.
    fn size(self) -> Size {
        let size = self.network.size(Device::Cpu);
        let batch = match self.network {
            BenchNetwork::ResNet18 => 128,
            _ => size.batch,
        };
        Size { batch, ..size }
    }

    /// Measures it here and in the peer.
    ///
    /// # Errors
    /// Returns an error if a process cannot be started, fails, or prints no number.
    pub(super) fn measure(self, threads: u16, peer_python: Option<&Path>) -> Result<MemoryComparison> {
        let output = Command::new(std::env::current_exe()?)
            .args(["bench", "--threads", &threads.to_string()])
            .args(["--memory-of", &self.name()])
            .output()
            .context("starting a process to measure memory in")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Ok(ours_mib) = text.trim().parse() else {
            bail!("measuring memory: {}", String::from_utf8_lossy(&output.stderr));
        };
        let task = PeerTask::step(self.network, Workload::Freezing(self.committed), self.size());
        let peer_mib = peer_python
            .map(|python| peer::peak_mib(python, workspace::root(), threads, &task))
            .transpose()?;
        Ok(MemoryComparison {
            name: self.name(),
            ours_mib,
            peer_mib,
        })
    }
}

/// Runs steps of the case with this name in this process, and prints the difference between its peak memory and its memory before, in
/// MiB.
///
/// # Errors
/// Returns an error if there is no such case, if the system does not report its memory, or if a step fails.
pub(super) fn measure_this_process(name: &str) -> Result<()> {
    let wanted = MemoryCase::all().find(|case| case.name() == name);
    let wanted = wanted.with_context(|| format!("--memory-of {name}: no such case"))?;
    let before = status_mib("VmRSS")?;
    let work = Workload::Freezing(wanted.committed);
    let mut case = Case::new(stompp_nn::cpu(), wanted.network, work, wanted.size())?;
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
