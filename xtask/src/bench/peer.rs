//! The PyTorch process, one request and one answer a line.

use super::case::{Network, Work};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// PyTorch's memory layouts; the faster counts.
const LAYOUTS: [&str; 2] = ["channels_last", "nchw"];

pub(crate) struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    name: String,
}

#[derive(Deserialize)]
struct Hello {
    peer: String,
}

#[derive(Deserialize)]
struct Answer {
    seconds: Vec<f64>,
}

impl Peer {
    /// Starts the script of this repository with `python`.
    ///
    /// # Errors
    /// If it does not start, or does not say hello: most likely that Python has no PyTorch.
    pub(crate) fn start(python: &Path, root: &Path, threads: u16) -> Result<Self> {
        let script = root.join("benches/peers/pytorch_step.py");
        let mut child = Command::new(python)
            .arg(&script)
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", python.display()))?;
        let requests = child.stdin.take().expect("standard input is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let hello: Hello = serde_json::from_str(&line)
            .with_context(|| format!("{} with {}: no PyTorch there?", script.display(), python.display()))?;
        Ok(Self {
            child,
            requests,
            answers,
            name: hello.peer,
        })
    }

    /// What it is, and its version.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Steps each layout a few times without counting.
    ///
    /// # Errors
    /// As [`Peer::step`].
    pub(crate) fn warm_up(&mut self, network: Network, work: Work) -> Result<()> {
        for layout in LAYOUTS {
            self.ask(network, work, layout, 2)?;
        }
        Ok(())
    }

    /// Seconds of one step in the faster layout.
    ///
    /// # Errors
    /// If the process ended or answered something else.
    pub(crate) fn step(&mut self, network: Network, work: Work) -> Result<f64> {
        let mut fastest = f64::INFINITY;
        for layout in LAYOUTS {
            fastest = self.ask(network, work, layout, 1)?.into_iter().fold(fastest, f64::min);
        }
        Ok(fastest)
    }

    fn ask(&mut self, network: Network, work: Work, layout: &str, steps: usize) -> Result<Vec<f64>> {
        let (method, committed) = match work {
            Work::Freezing(percent) => ("stompp", percent as f64 / 100.0),
            Work::Ste => ("ste", 0.0),
        };
        let request = serde_json::json!({
            "model": network.model().to_string(),
            "width": network.model().default_width(),
            "image_size": network.image_size(),
            "batch": network.batch(),
            "method": method,
            "committed": committed,
            "layout": layout,
            "steps": steps,
        });
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} ended while timing {}", self.name, work.name(network));
        }
        let answer: Answer = serde_json::from_str(&line).with_context(|| format!("{} answered {line}", self.name))?;
        Ok(answer.seconds)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input closes; killing it only saves waiting for a step that nobody wants.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
