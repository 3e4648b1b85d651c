//! A training that can be killed: one process, or several that `mpirun` started.

use super::case::{Case, EVALUATE_EVERY};
use anyhow::{Context, Result, ensure};
use rand_core::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The exit code of `mpirun` if a process was killed: 128 and the number of SIGKILL.
const KILLED: i32 = 128 + 9;

/// A running training.
#[derive(Debug)]
pub(super) struct Training {
    /// The process, or `mpirun`.
    child: Child,
    processes: usize,
    /// What `mpirun` has started, once all were there.
    started: Vec<Pid>,
}

/// Why a training ended before it was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// A process was killed, and the others were ended.
    Killed,
    /// A process was killed. Then `mpirun` crashed, and the others ended by themselves. Open MPI 4.1 does that now and then.
    LauncherCrashed,
}

/// How long processes may live on without `mpirun`.
const ORPHANS: Duration = Duration::from_secs(30);

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
        Ok(Self {
            child,
            processes,
            started: Vec::new(),
        })
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
        self.started = loop {
            let started = self.children()?;
            if started.len() == self.processes || self.child.try_wait()?.is_some() {
                break started;
            }
            thread::sleep(Duration::from_millis(5));
        };
        thread::sleep(moment);
        if let Some(process) = self.started.get(random.next_u32() as usize % self.processes) {
            // It may have ended by itself.
            let _ = kill_process(*process, Signal::KILL);
        }
        Ok(())
    }

    /// The processes that `mpirun` has started so far.
    fn children(&self) -> Result<Vec<Pid>> {
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

    /// How the training ended with this status; `None` if not because a process was killed.
    ///
    /// # Errors
    /// Returns an error if `mpirun` crashed and a process did not end.
    pub(super) fn death(&self, status: ExitStatus) -> Result<Option<Death>> {
        match (self.processes, status.code()) {
            (1, None) | (2.., Some(KILLED)) => Ok(Some(Death::Killed)),
            (2.., None) if !self.started.is_empty() => {
                let end = Instant::now() + ORPHANS;
                while self.started.iter().any(|process| is_alive(*process)) {
                    ensure!(
                        Instant::now() < end,
                        "mpirun crashed ({status}), and a process lives on"
                    );
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(Some(Death::LauncherCrashed))
            }
            _ => Ok(None),
        }
    }
}

/// Whether the process has not ended. One that nobody has waited for has ended.
fn is_alive(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    // The state follows the name of the program, which is in parentheses.
    status.is_ok_and(|status| !matches!(status.rsplit(") ").next(), Some(state) if state.starts_with(['Z', 'X'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Pid::from_child(&child);
        assert!(is_alive(process));
        child.kill().unwrap();
        while is_alive(process) {
            thread::sleep(Duration::from_millis(1));
        }
        // Also before it is waited for.
        assert!(Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(!is_alive(process));
    }
}
