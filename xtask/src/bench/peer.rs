//! A peer in a Python process. Each request and each answer is a line of JSON.

use super::{
    case::{BenchNetwork, Size, Workload},
    wait_for_peer_threads,
};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use stompp_kernels::ConvShape;
use stompp_train::config::Device;

/// PyTorch's memory layouts. The faster one counts.
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
struct PeerTime {
    seconds: Vec<f64>,
    /// Peak memory since the process sent its first line.
    peak_mib: f64,
}

impl Peer {
    /// Starts PyTorch, which runs the same training steps and convolutions.
    ///
    /// # Errors
    /// The errors of [`Peer::start_script`].
    pub(crate) fn start(python: &Path, root: &Path, threads: u16, device: Device) -> Result<Self> {
        let arguments = ["--threads", &threads.to_string(), "--device", device.name()];
        let missing = "no PyTorch there, or not this device?";
        Self::start_script(python, root, "pytorch_step.py", &arguments, missing)
    }

    /// Starts a script of this repository's `benches/peers` with `python`.
    ///
    /// # Errors
    /// Returns an error if the script does not start, or does not send its first line. Its text has the likely reason, `missing`.
    pub(crate) fn start_script(
        python: &Path,
        root: &Path,
        script: &str,
        arguments: &[&str],
        missing: &str,
    ) -> Result<Self> {
        let script = root.join("benches/peers").join(script);
        let mut child = Command::new(python)
            .arg(&script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", python.display()))?;
        let requests = child.stdin.take().expect("standard input is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let hello: Hello = serde_json::from_str(&line)
            .with_context(|| format!("{} with {}: {missing}", script.display(), python.display()))?;
        Ok(Self {
            child,
            requests,
            answers,
            name: hello.peer,
        })
    }

    /// Name and version of the peer.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Runs the task twice in each layout, which does not count.
    ///
    /// # Errors
    /// The errors of [`Peer::time`].
    pub(crate) fn warm_up(&mut self, task: &PeerTask) -> Result<()> {
        for layout in LAYOUTS {
            self.ask(task, layout, 2)?;
        }
        Ok(())
    }

    /// Runs the task `times` times in each layout, and returns the shortest time in seconds.
    ///
    /// # Errors
    /// Returns an error if the process ended or its answer cannot be parsed.
    pub(crate) fn time(&mut self, task: &PeerTask, times: usize) -> Result<f64> {
        let mut fastest = f64::INFINITY;
        for layout in LAYOUTS {
            wait_for_peer_threads();
            fastest = self
                .ask(task, layout, times)?
                .seconds
                .into_iter()
                .fold(fastest, f64::min);
        }
        Ok(fastest)
    }

    fn ask(&mut self, task: &PeerTask, layout: &str, steps: usize) -> Result<PeerTime> {
        let mut request = task.request.clone();
        request["layout"] = layout.into();
        request["steps"] = steps.into();
        self.request(&task.name, &request)
    }

    /// Sends a request and returns the answer. `name` is for the error text.
    ///
    /// # Errors
    /// Returns an error if the process ended or its answer cannot be parsed.
    pub(crate) fn request<A: DeserializeOwned>(&mut self, name: &str, request: &serde_json::Value) -> Result<A> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} ended while timing {name}", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} answered {line}", self.name))
    }
}

/// Measures the peak memory of three steps on the CPU, in MiB. Each layout has a process of its own, and the smaller number counts.
///
/// # Errors
/// The errors of [`Peer::start`] and [`Peer::time`].
pub(crate) fn peak_mib(python: &Path, root: &Path, threads: u16, task: &PeerTask) -> Result<f64> {
    let mut least = f64::INFINITY;
    for layout in LAYOUTS {
        let answer = Peer::start(python, root, threads, Device::Cpu)?.ask(task, layout, 3)?;
        least = least.min(answer.peak_mib);
    }
    Ok(least)
}

/// A task for the peer.
pub(crate) struct PeerTask {
    pub(crate) name: String,
    request: serde_json::Value,
}

impl PeerTask {
    /// A training step.
    pub(crate) fn step(network: BenchNetwork, work: Workload, size: Size) -> Self {
        let (method, committed) = match work {
            Workload::Freezing(percent) => ("stompp", percent as f64 / 100.0),
            Workload::Ste => ("ste", 0.0),
        };
        Self {
            name: work.name(network),
            request: serde_json::json!({
                "model": network.model().to_string(),
                "width": size.width,
                "image_size": size.image,
                "batch": size.batch,
                "method": method,
                "committed": committed,
            }),
        }
    }

    /// A convolution, or both of its gradients.
    pub(crate) fn convolution(name: String, s: &ConvShape, backward: bool) -> Self {
        Self {
            name,
            request: serde_json::json!({
                "conv": [s.batch, s.in_channels, s.in_height, s.out_channels, s.kernel, s.stride],
                "backward": backward,
            }),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The process ends by itself when its input closes. Killing it saves waiting for the end of a step.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
