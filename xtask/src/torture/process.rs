//! A training that can be killed: one process, or several that `mpirun` started.

use super::case::{Case, EVALUATE_EVERY};
use anyhow::{Context, Result};
use rand_core::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// The exit code of `mpirun` if a process was killed: 128 and the number of SIGKILL.
const KILLED: i32 = 128 + 9;

/// A running training.
#[derive(Debug)]
pub(super) struct Training {
    /// The process, or `mpirun`.
    child: Child,
    processes: usize,
}

impl Training {
    /// Starts a run of `case` in the folder `out`, with `processes` processes and batches of `slices` slices.
    pub(super) fn start(stompp: &Path, case: &Case, out: &Path, [processes, slices]: [usize; 2]) -> Result<Self> {
        let mut command = if processes == 1 {
            Command::new(stompp)
        } else {
            let mut command = Command::new("mpirun");
            // Open MPI refuses to be started by root, as containers do it.
            command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
            command
                .args(["--oversubscribe", "-n", &processes.to_string()])
                .arg(stompp);
            command
        };
        command.args(["train", "--out"]).arg(out).args(case.arguments());
        command.args(["--evaluate-every", &format!("{EVALUATE_EVERY}ba")]);
        if slices > 1 {
            command.args(["--slices", &slices.to_string()]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, processes })
    }

    /// The log, once.
    pub(super) fn take_log(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Kills the process, or a random one of several, `moment` after it was started. Does nothing if it has ended.
    pub(super) fn kill_after(&mut self, moment: Duration, random: &mut impl Rng) -> Result<()> {
        if self.processes == 1 {
            thread::sleep(moment);
            return Ok(self.child.kill()?);
        }
        let started = loop {
            let started = self.started()?;
            if started.len() == self.processes || self.child.try_wait()?.is_some() {
                break started;
            }
            thread::sleep(Duration::from_millis(5));
        };
        thread::sleep(moment);
        if let Some(process) = started.get(random.next_u32() as usize % self.processes) {
            // It may have ended by itself.
            let _ = kill_process(*process, Signal::KILL);
        }
        Ok(())
    }

    /// The processes that `mpirun` has started so far.
    fn started(&self) -> Result<Vec<Pid>> {
        let id = self.child.id();
        let Ok(children) = fs::read_to_string(format!("/proc/{id}/task/{id}/children")) else {
            return Ok(Vec::new()); // mpirun has ended.
        };
        let numbers = children.split_whitespace().map(str::parse::<i32>);
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        Ok(numbers.into_iter().filter_map(Pid::from_raw).collect())
    }

    /// Waits for the end.
    pub(super) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Whether the training ended with this status because a process was killed.
    pub(super) fn was_killed(&self, status: ExitStatus) -> bool {
        match self.processes {
            1 => status.code().is_none(),
            _ => status.code() == Some(KILLED),
        }
    }
}
