//! Child processes with time limits. At the limit, the whole process group gets SIGTERM, so that a training can write its
//! checkpoint, and SIGKILL a little later.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The time budget of one call.
#[derive(Debug)]
pub(crate) struct Budget {
    start: Instant,
    end: Instant,
    grace: Duration,
    stop: Arc<AtomicBool>,
}

impl Budget {
    /// Creates a budget that ends after `total`, or as soon as `stop` is set. The last part of `total` is reserved for ending
    /// processes and writing the results.
    pub(crate) fn new(total: Duration, stop: Arc<AtomicBool>) -> Self {
        let start = Instant::now();
        let grace = (total / 6).clamp(Duration::from_millis(200), Duration::from_secs(20));
        let writing = (total / 20).min(Duration::from_secs(5));
        let end = start + total.saturating_sub(grace + writing);
        Self {
            start,
            end,
            grace,
            stop,
        }
    }

    /// The remaining time for work.
    pub(crate) fn time_left(&self) -> Duration {
        match self.stop.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => self.end.saturating_duration_since(Instant::now()),
        }
    }

    /// Time since the call began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// It ended by itself: the exit code, or 128 + the signal that killed it.
    Exited(i32),
    /// It was stopped because `enough` returned true.
    Stopped,
    /// It reached its own time limit.
    TimedOut,
    /// The time of the call ended.
    CutOff,
}

/// Runs `command` and appends its output to `log`. The process is stopped after `limit`, at the end of `budget`, or as soon as
/// `enough` returns true.
///
/// # Errors
/// Returns an error if the process cannot be started, or the log cannot be written.
pub(crate) fn run(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    budget: &Budget,
    enough: &mut dyn FnMut() -> bool,
) -> Result<ProcessEnd> {
    let mut output = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))?;
    writeln!(output, "$ {}", command_line(command))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let start = Instant::now();
    let mut child = command
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let early = loop {
        if let Some(status) = child.try_wait()? {
            // Kills processes that it has started and left running.
            signal(&child, Signal::KILL);
            return Ok(ProcessEnd::Exited(exit_code(status)));
        }
        if budget.time_left().is_zero() {
            break ProcessEnd::CutOff;
        }
        if start.elapsed() >= limit {
            break ProcessEnd::TimedOut;
        }
        if enough() {
            break ProcessEnd::Stopped;
        }
        thread::sleep(Duration::from_millis(25));
    };
    end(&mut child, budget.grace)?;
    Ok(early)
}

/// Ends a process and its group, with SIGKILL after `grace`.
fn end(child: &mut Child, grace: Duration) -> Result<()> {
    signal(child, Signal::TERM);
    let asked = Instant::now();
    while child.try_wait()?.is_none() && asked.elapsed() < grace {
        thread::sleep(Duration::from_millis(25));
    }
    signal(child, Signal::KILL);
    child.wait()?;
    Ok(())
}

/// Sends a signal to the process group of `child`, which may be empty.
fn signal(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// The command line of `command`, for the log.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The output of `command`, if it succeeds within `limit`.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Option<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .ok()?;
    let start = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if start.elapsed() >= limit {
            end(&mut child, Duration::ZERO).ok()?;
            return None;
        }
        thread::sleep(Duration::from_millis(25));
    }
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn budget(total: Duration) -> Budget {
        Budget::new(total, Arc::default())
    }

    #[test]
    fn endings_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let long = budget(Duration::from_secs(600));
        let never = &mut || false;
        let minute = Duration::from_secs(60);
        let run = |script: &str, limit, budget: &Budget, enough: &mut dyn FnMut() -> bool| {
            super::run(&mut shell(script), &log, limit, budget, enough).unwrap()
        };
        assert_eq!(run("echo seen; exit 3", minute, &long, never), ProcessEnd::Exited(3));
        assert_eq!(run("kill -9 $$", minute, &long, never), ProcessEnd::Exited(137));
        assert_eq!(
            run("sleep 60", Duration::from_millis(50), &long, never),
            ProcessEnd::TimedOut
        );
        assert_eq!(
            run("sleep 60", minute, &budget(Duration::from_millis(600)), never),
            ProcessEnd::CutOff
        );
        assert_eq!(run("sleep 60", minute, &long, &mut || true), ProcessEnd::Stopped);
        let stopped = budget(minute);
        stopped.stop.store(true, Ordering::Relaxed);
        assert_eq!(run("sleep 60", minute, &stopped, never), ProcessEnd::CutOff);
        assert!(
            fs::read_to_string(&log)
                .unwrap()
                .starts_with("$ sh -c echo seen; exit 3\nseen\n")
        );
        assert!(super::run(&mut Command::new("no/such"), &log, minute, &long, never).is_err());
    }

    /// A process may clean up after SIGTERM. If it does not end, it is killed with the processes that it has started.
    #[test]
    fn a_process_is_asked_before_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (log, told) = (folder.path().join("log"), folder.path().join("told"));
        let budget = budget(Duration::from_secs(3));
        let polite = format!(
            "trap 'echo saved > {}; exit 143' TERM; while :; do sleep 0.05; done",
            told.display()
        );
        let start = Instant::now();
        run(
            &mut shell(&polite),
            &log,
            Duration::from_millis(200),
            &budget,
            &mut || false,
        )
        .unwrap();
        assert_eq!(fs::read_to_string(&told).unwrap(), "saved\n");
        let stubborn = format!(
            "trap '' TERM; (while :; do echo x >> {}; sleep 0.05; done) & while :; do sleep 0.05; done",
            told.display()
        );
        run(
            &mut shell(&stubborn),
            &log,
            Duration::from_millis(100),
            &budget,
            &mut || false,
        )
        .unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(100));
        let after = fs::metadata(&told).unwrap().len();
        thread::sleep(Duration::from_millis(300));
        assert_eq!(
            fs::metadata(&told).unwrap().len(),
            after,
            "the child's child still writes"
        );
    }

    #[test]
    fn output_is_read_or_given_up() {
        let second = Duration::from_secs(1);
        assert_eq!(output(&mut shell("echo ' x '"), second), Some("x".to_owned()));
        assert_eq!(output(&mut shell("echo x; exit 1"), second), None);
        assert_eq!(output(&mut shell("sleep 60"), Duration::from_millis(50)), None);
        assert_eq!(output(&mut Command::new("no/such"), second), None);
    }
}
