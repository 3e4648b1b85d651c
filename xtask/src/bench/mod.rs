//! `cargo xtask bench`: times a training step as the network freezes, here and in PyTorch.
//!
//! First it times single convolutions, dense and on bits. Then it times a step with 0, 25, 50, 75 and 100 % of the units committed and one
//! unit half way through its window. With `--peer-python` the same steps run in PyTorch, in turns with ours (A B A B). PyTorch runs each
//! step in both of its memory layouts, and the faster one counts. A turn is three steps, and the fastest one counts. *Schedule* is the mean
//! step over a whole forward plan, with linear interpolation between the measured points. Last it measures the peak memory of a step.
//!
//! With `--infer`, it times trained networks instead, and compares them with ONNX Runtime and OpenVINO.

mod case;
mod infer;
mod kernels;
mod memory;
mod peer;
#[cfg(feature = "cuda")]
mod profile;
mod report;

use crate::{usage::UsageError, workspace};
use anyhow::{Context, Result};
use case::{BenchNetwork, Case, Workload};
use clap::Args;
use dfdx::tensor::Synchronize;
use memory::MemoryCase;
use peer::{Peer, PeerTask};
use report::{Comparison, Report};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use stompp_binarize::BinaryBackend;
use stompp_nn::cpu;
use stompp_train::config::Device;

/// Shares of committed units at which a step is timed, in percent.
const COMMITTED: [usize; 5] = [0, 25, 50, 75, 100];

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Time inference of trained networks instead, and that of ONNX Runtime and OpenVINO, with one and two threads
    #[arg(long, conflicts_with_all = ["device", "threads", "profile"])]
    infer: bool,
    /// A Python with PyTorch (with --infer: onnxruntime and openvino), to run the same there, in turns with ours
    #[arg(long, value_name = "PYTHON")]
    peer_python: Option<PathBuf>,
    /// Device of both sides. On a GPU single convolutions and memory are left out; TF32 is allowed on both sides
    #[arg(long, value_name = "NAME", default_value_t = Device::Cpu)]
    device: Device,
    /// Number of threads of both sides
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Number of turns. Each turn times every step on each side
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    turns: u16,
    /// Time only cases with this text in their name, such as `resnet20-step-50` or `conv-`
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also write the figures to this file, after each case
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the ten most expensive kernels of each step instead, by the GPU's own clock (needs --device cuda)
    #[arg(long, conflicts_with = "peer_python")]
    profile: bool,
    /// Only print the memory that steps need in this process. The benchmark starts itself with this option
    #[arg(long, hide = true, value_name = "CASE")]
    memory_of: Option<String>,
}

/// Times steps and prints the figures.
///
/// # Errors
/// Returns a [`UsageError`] if `--only` selects no case. Returns an error if the peer does not run or the file cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(options.threads))
        .build()?;
    pool.install(|| match &options.memory_of {
        Some(case) => memory::measure_this_process(case),
        None => measure(options),
    })
}

fn measure(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let (threads, device) = (options.threads, options.device);
    if options.infer {
        return infer::measure(options, &wanted);
    }
    if options.profile {
        return profile(options, &wanted);
    }
    let mut peer = match &options.peer_python {
        Some(python) => Some(Peer::start(python, workspace::root(), threads, device)?),
        None => None,
    };
    let mut report = Report::new(peer.as_ref().map(Peer::name));
    if device == Device::Cpu {
        report.comparisons = kernels::measure(&wanted, options.turns, peer.as_mut())?;
    } else {
        report.machine.gpu = Some(gpu_words()?);
    }
    for (network, works) in cases(device, &wanted) {
        let mut measured = Vec::new();
        for work in works {
            let comparison = match device {
                Device::Cpu => compare(cpu(), options, network, work, peer.as_mut())?,
                Device::Cuda => compare_on_gpu(options, network, work, peer.as_mut())?,
            };
            stompp_console::errln!("{comparison}");
            report.comparisons.push(comparison.clone());
            measured.push((work, comparison));
            write_json(options, &report)?;
        }
        report.comparisons.extend(report::schedules(network, &measured));
    }
    for case in MemoryCase::all() {
        if device == Device::Cpu && wanted(&case.name()) {
            let memory = case.measure(options.threads, options.peer_python.as_deref())?;
            stompp_console::errln!("{memory}");
            report.memory.push(memory);
        }
    }
    if report.comparisons.is_empty() && report.memory.is_empty() {
        return Err(no_such_case(options));
    }
    stompp_console::outln!("{report}");
    write_json(options, &report)
}

/// The steps of `device` that `wanted` selects by name, network by network.
fn cases(device: Device, wanted: &dyn Fn(&str) -> bool) -> Vec<(BenchNetwork, Vec<Workload>)> {
    let works = |network: BenchNetwork| {
        let works = COMMITTED.map(Workload::Freezing).into_iter().chain([Workload::Ste]);
        works.filter(|work| wanted(&work.name(network))).collect()
    };
    let networks = BenchNetwork::for_device(device).iter();
    networks.map(|network| (*network, works(*network))).collect()
}

fn no_such_case(options: &Options) -> anyhow::Error {
    UsageError::new(format!(
        "--only {}: no such case; there are resnet18-step-0, -25, -50, -75, -100, resnet18-ste, the same of resnet50, and on the CPU of \
         resnet20, resnet34 and resnet18@224, resnet18-memory-0, -50 and the like, conv-forward-3x3-64-64@32 and the like, \
         conv-backward-..., xnor-...; with --infer infer-resnet20@32-b1-t1, -b32-t2, infer-resnet18@32-..., infer-resnet18@224-...",
        options.only.as_deref().unwrap_or_default()
    ))
    .into()
}

/// Writes the figures to the file of `--json`. Does nothing without it.
fn write_json(options: &Options, figures: &impl Serialize) -> Result<()> {
    let Some(path) = &options.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)? + "\n";
    stompp_files::replace(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

/// Profiles each step that `wanted` selects.
#[cfg(feature = "cuda")]
fn profile(options: &Options, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    if options.device != Device::Cuda {
        return Err(UsageError::new("--profile: only kernels on a GPU are timed; add --device cuda".to_owned()).into());
    }
    let mut profiles = Vec::new();
    for (network, works) in cases(options.device, wanted) {
        for work in works {
            profiles.push(profile::measure(cuda()?, network, work)?);
            write_json(options, &profiles)?;
        }
    }
    if profiles.is_empty() {
        return Err(no_such_case(options));
    }
    Ok(())
}

#[cfg(not(feature = "cuda"))]
fn profile(_: &Options, _: &dyn Fn(&str) -> bool) -> Result<()> {
    gpu_words().map(drop)
}

/// Number of steps or calls of a turn. The fastest one counts. The first one wakes threads and fills the caches that the other side
/// emptied, which does not happen in training.
const IN_A_ROW: usize = 3;

/// Waits until the other side's threads sleep. PyTorch's threads spin for a while after their work, and would take half of the machine from
/// the next measurement.
fn wait_for_peer_threads() {
    std::thread::sleep(Duration::from_millis(50));
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<dfdx::tensor::Cuda> {
    use stompp_nn::cuda::{GpuSettings, open};
    Ok(open(GpuSettings::default())?)
}

/// Name and versions of the GPU.
#[cfg(feature = "cuda")]
fn gpu_words() -> Result<String> {
    cuda()?;
    Ok(stompp_nn::cuda::gpu()?.versions().to_string())
}

#[cfg(feature = "cuda")]
fn compare_on_gpu(
    options: &Options,
    network: BenchNetwork,
    work: Workload,
    peer: Option<&mut Peer>,
) -> Result<Comparison> {
    compare(cuda()?, options, network, work, peer)
}

#[cfg(not(feature = "cuda"))]
fn gpu_words() -> Result<String> {
    Err(
        UsageError::new("--device cuda: xtask was built without it (--features cuda, see docs/cuda.md)".to_owned())
            .into(),
    )
}

#[cfg(not(feature = "cuda"))]
fn compare_on_gpu(_: &Options, _: BenchNetwork, _: Workload, _: Option<&mut Peer>) -> Result<Comparison> {
    gpu_words().map(|_| unreachable!("there is no GPU in this build"))
}

/// Times both sides in turns, after a warm-up that does not count.
fn compare<D: BinaryBackend + Synchronize>(
    device: D,
    options: &Options,
    network: BenchNetwork,
    work: Workload,
    mut peer: Option<&mut Peer>,
) -> Result<Comparison> {
    let (turns, size) = (options.turns, network.size(options.device));
    let mut case = Case::new(device, network, work, size)?;
    let task = PeerTask::step(network, work, size);
    case.step()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    if let Some(peer) = &mut peer {
        peer.warm_up(&task)?;
    }
    for _ in 0..turns {
        wait_for_peer_threads();
        let mut fastest = f64::INFINITY;
        for _ in 0..IN_A_ROW {
            fastest = fastest.min(case.step()?);
        }
        ours.push(fastest);
        if let Some(peer) = &mut peer {
            theirs.push(peer.time(&task, IN_A_ROW)?);
        }
    }
    Ok(Comparison::new(work.name(network), ours, theirs))
}
