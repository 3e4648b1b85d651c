//! The steps before the trainings, in order of importance.

use crate::{
    bundle::{Bundle, KERNEL_TESTS},
    machine::MachineTools,
};
use anyhow::Result;
use std::{path::Path, process::Command, time::Duration};

/// A step to run.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) limit: Duration,
    /// The command to run, or a message about what is missing for it.
    pub(crate) work: Result<Command, String>,
}

impl Step {
    fn new(name: impl Into<String>, seconds: u64, work: Result<Command, String>) -> Self {
        Self {
            name: name.into(),
            limit: Duration::from_secs(seconds),
            work,
        }
    }
}

/// Returns the steps that run a single program. They write to the folder `work`.
pub(crate) fn steps(bundle: &Bundle, machine: &MachineTools, work: &Path) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for name in bundle.tests()? {
        let mut test = bundle.program(&name);
        // Tests that need a GPU are ignored by default. All of their names contain `cuda`.
        test.args(["--include-ignored", "cuda"]);
        let step = name.trim_start_matches("test-").to_owned();
        steps.push(Step::new(step, 240, Ok(test)));
    }
    for tool in ["memcheck", "racecheck"] {
        steps.push(Step::new(tool, 180, sanitizer(bundle, machine, tool)));
    }
    steps.push(Step::new(
        "bench",
        300,
        Ok(bench(bundle, machine, &work.join("bench.json"))),
    ));
    steps.push(Step::new(
        "profile",
        120,
        Ok(profile(bundle, &work.join("profile.json"))),
    ));
    for step in &mut steps {
        step.limit = step.limit.mul_f64(bundle.scale().limits);
    }
    Ok(steps)
}

/// Runs the kernel tests under a tool of compute-sanitizer.
fn sanitizer(bundle: &Bundle, machine: &MachineTools, tool: &str) -> Result<Command, String> {
    let program = machine.compute_sanitizer.as_ref();
    let mut command = Command::new(program.ok_or("compute-sanitizer is not on PATH")?);
    command.args(["--tool", tool, "--error-exitcode", "9"]);
    command.arg(bundle.program(KERNEL_TESTS).get_program());
    command.args(["--include-ignored", "--test-threads", "1", "cuda"]);
    Ok(command)
}

/// Benchmarks a training step, and the same step in PyTorch if that is installed.
fn bench(bundle: &Bundle, machine: &MachineTools, json: &Path) -> Command {
    let mut command = bundle.program("xtask");
    command
        .args([
            "bench",
            "--device",
            "cuda",
            "--turns",
            bundle.scale().bench_turns,
            "--json",
        ])
        .arg(json);
    if machine.torch.is_some() {
        command.args(["--peer-python", "python3"]);
    }
    command
}

fn profile(bundle: &Bundle, json: &Path) -> Command {
    let mut command = bundle.program("xtask");
    command
        .args(["bench", "--device", "cuda", "--profile", "--json"])
        .arg(json);
    command
}
