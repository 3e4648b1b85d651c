//! Profiles of a step on a GPU: the kernels and library calls of a few steps, timed one by one by the GPU's own clock.

use super::case::{BenchNetwork, Case, Workload};
use anyhow::Result;
use dfdx::tensor::Cuda;
use serde::Serialize;
use std::fmt;
use stompp_nn::cuda::{KernelTime, gpu};
use stompp_train::config::Device;

/// Number of steps before the ones that count. The first step chooses algorithms.
const WARM_UP: usize = 3;

/// Number of steps that count.
const STEPS: usize = 3;

/// Number of rows to print. The file has all rows.
const ROWS: usize = 10;

/// The times of one step.
#[derive(Debug, Serialize)]
pub(super) struct StepProfile {
    name: String,
    /// The fastest step without profiling.
    step_ms: f64,
    /// The time of all kernels and calls together.
    kernels_ms: f64,
    /// Number of kernels and calls.
    launches: f64,
    /// Most expensive first.
    rows: Vec<Row>,
    /// The milliseconds of every algorithm that was tried for the convolutions that this step met first. Convolutions of signs use the
    /// fastest one, others the order NCHW.
    choices: Vec<String>,
}

/// One kernel, or one library call on one shape: means per step.
#[derive(Debug, Serialize)]
struct Row {
    kernel: String,
    ms: f64,
    calls: f64,
}

/// Profiles a step and prints the result.
///
/// # Errors
/// Returns an error if a step fails.
pub(super) fn measure(device: Cuda, network: BenchNetwork, work: Workload) -> Result<StepProfile> {
    let known = gpu()?.algorithm_choices().len();
    let mut case = Case::new(device, network, work, network.size(Device::Cuda))?;
    let mut fastest = f64::INFINITY;
    for _ in 0..WARM_UP {
        fastest = fastest.min(case.step()?);
    }
    gpu()?.start_profile();
    for _ in 0..STEPS {
        case.step()?;
    }
    let times = gpu()?.end_profile()?;
    gpu()?.time_layouts()?;
    let mut profile = StepProfile::new(work.name(network), fastest, times);
    profile.choices = gpu()?.algorithm_choices()[known..]
        .iter()
        .map(ToString::to_string)
        .collect();
    stompp_console::outln!("{profile}");
    Ok(profile)
}

impl StepProfile {
    /// Makes the profile from the times of `STEPS` steps. `step_s` is the time of a step without profiling, in seconds.
    fn new(name: String, step_s: f64, times: Vec<KernelTime>) -> Self {
        let steps = STEPS as f64;
        let row = |time: KernelTime| Row {
            kernel: time.name,
            ms: time.milliseconds / steps,
            calls: time.calls as f64 / steps,
        };
        let mut rows: Vec<Row> = times.into_iter().map(row).collect();
        rows.sort_by(|a, b| b.ms.total_cmp(&a.ms).then_with(|| a.kernel.cmp(&b.kernel)));
        Self {
            name,
            step_ms: 1e3 * step_s,
            kernels_ms: rows.iter().map(|row| row.ms).sum(),
            launches: rows.iter().map(|row| row.calls).sum(),
            rows,
            choices: Vec::new(),
        }
    }
}

impl fmt::Display for StepProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            step_ms,
            kernels_ms,
            launches,
            rows,
            choices,
        } = self;
        writeln!(
            f,
            "{name}: {step_ms:.2} ms a step; {launches:.0} launches and calls, {kernels_ms:.2} ms together"
        )?;
        for Row { kernel, ms, calls } in rows.iter().take(ROWS) {
            writeln!(
                f,
                "{ms:>9.3} ms {:>5.1} % {calls:>7.1} x {kernel}",
                100.0 * ms / kernels_ms
            )?;
        }
        choices.iter().try_for_each(|choice| writeln!(f, "  {choice}"))
    }
}
