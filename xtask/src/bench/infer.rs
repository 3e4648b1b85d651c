//! `cargo xtask bench --infer`: times trained networks on images, here and in ONNX Runtime and OpenVINO on the same machine.
//!
//! Weights are random, since they do not change the time. Every peer gets the network as `stompp export` writes it, and its logits are
//! compared with ours before anything is timed.

use super::{
    Options,
    peer::Peer,
    report::{Comparison, Spread},
    wait_for_peer_threads, write_json,
};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path, time::Instant};
use stompp_graph::{ActivationRule, CostSummary, Graph, TensorSpec, find_tensor};
use stompp_infer::{Network, NetworkInfo, SimdLevel, limit::multiply_accumulates_per_second, pack};
use stompp_onnx::{Dialect, export};
use stompp_resnet::{Architecture, Model};
use stompp_rng::{Purpose, stream};
use stompp_train::{CodeVersion, MachineInfo};

/// Networks and the sides of their images.
const NETWORKS: [(Model, usize); 3] = [
    (Model::Cifar { blocks: 3 }, 32),
    (Model::ResNet18, 32),
    (Model::ResNet18, 224),
];
/// Batch size and number of threads.
const LOADS: [(usize, usize); 4] = [(1, 1), (1, 2), (32, 1), (32, 2)];
/// Duration of a turn on each side, in seconds. The fastest run of a turn counts.
const TURN_S: f64 = 0.1;

/// Another engine, and the ONNX dialect that it reads.
#[derive(Clone, Copy)]
struct Runtime {
    name: &'static str,
    dialect: Dialect,
    /// Whether its logits equal ours except for rounding.
    is_exact: bool,
}

const RUNTIMES: [Runtime; 4] = [
    Runtime {
        name: "onnxruntime",
        dialect: Dialect::Standard,
        is_exact: true,
    },
    Runtime {
        name: "onnxruntime-int8",
        dialect: Dialect::Standard,
        is_exact: false,
    },
    Runtime {
        name: "openvino",
        dialect: Dialect::Standard,
        is_exact: true,
    },
    Runtime {
        name: "openvino-binary",
        dialect: Dialect::OpenVino,
        is_exact: true,
    },
];

/// A peer's answer after loading a network.
#[derive(Deserialize)]
struct Opened {
    logits: Vec<f32>,
    ops: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Timed {
    seconds: Vec<f64>,
}

/// The result of one network with one batch size and number of threads.
#[derive(Debug, Serialize)]
struct InferCase {
    name: String,
    /// Median seconds of a run.
    seconds: f64,
    /// Seconds that its binary multiply-accumulates would take at this processor's limit.
    limit_s: f64,
    peers: Vec<Comparison>,
}

impl fmt::Display for InferCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, limit_ms) = (1e3 * self.seconds, 1e3 * self.limit_s);
        let share = 100.0 * self.limit_s / self.seconds;
        write!(
            f,
            "{:<34} {ms:>9.3} ms, limit {limit_ms:.3} ms ({share:.0} %)",
            self.name
        )?;
        for peer in &self.peers {
            write!(f, "\n  {peer}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct InferReport {
    machine: MachineInfo,
    revision: String,
    level: &'static str,
    peer: Option<String>,
    /// Binary multiply-accumulates per second of one thread, without access to memory.
    limit_per_second: f64,
    cases: Vec<InferCase>,
}

/// A network in all formats that are timed.
struct BenchModel {
    name: String,
    graph: Graph,
    packed: Vec<u8>,
    tensors: Vec<(String, Vec<f32>)>,
}

impl BenchModel {
    fn new(model: Model, side: usize) -> Result<Self> {
        let classes = if side > 64 { 1000 } else { 10 };
        let graph = Architecture::new(model, None, classes, side)?.graph();
        let mut rng = stream(0, Purpose::INITIAL_WEIGHTS, 0, 0);
        let mut float = || rng.next_u32() as f32 / u32::MAX as f32;
        let tensor = |spec: TensorSpec| {
            // Matrices and kernels have both signs; scales and variances are positive.
            let low = if spec.shape.len() > 1 { -0.5 } else { 0.01 };
            let values = (0..spec.shape.iter().product::<usize>()).map(|_| float() + low);
            (spec.name, values.collect())
        };
        let tensors: Vec<_> = graph.tensors().into_iter().map(tensor).collect();
        let packed = pack(
            &graph,
            ActivationRule::Quantized,
            find_tensor(&tensors),
            &NetworkInfo::default(),
        )?;
        Ok(Self {
            name: format!("infer-{model}@{side}"),
            graph,
            packed,
            tensors,
        })
    }

    fn onnx(&self, dialect: Dialect) -> Result<Vec<u8>> {
        Ok(export(
            &self.graph,
            ActivationRule::Quantized,
            find_tensor(&self.tensors),
            dialect,
            &[],
        )?)
    }

    fn binary_macs(&self) -> usize {
        CostSummary::new(&self.graph, ActivationRule::Quantized)
            .total()
            .binary_macs
    }
}

/// Times all networks that `wanted` selects by name, and prints the figures.
///
/// # Errors
/// Returns a usage error if nothing is selected. Returns an error if a peer does not run, has other logits, or the file cannot be written.
pub(super) fn measure(options: &Options, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let level = SimdLevel::detect();
    let mut peer = match &options.peer_python {
        Some(python) => {
            let missing = "no onnxruntime or openvino there?";
            Some(Peer::start_script(
                python,
                workspace::root(),
                "inference.py",
                &[],
                missing,
            )?)
        }
        None => None,
    };
    let limit_per_second = multiply_accumulates_per_second(level);
    let mut report = InferReport {
        machine: MachineInfo::current(),
        revision: CodeVersion::current().revision,
        level: level.name(),
        peer: peer.as_ref().map(Peer::name),
        limit_per_second,
        cases: Vec::new(),
    };
    let folder = tempfile::tempdir()?;
    for (model, side) in NETWORKS {
        let subject = BenchModel::new(model, side)?;
        for (batch, threads) in LOADS {
            let name = format!("{}-b{batch}-t{threads}", subject.name);
            if wanted(&name) {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                let load = InferLoad {
                    subject: &subject,
                    name,
                    batch,
                    threads,
                };
                let limit_s = (batch * subject.binary_macs()) as f64 / (limit_per_second * threads as f64);
                let case = pool.install(|| load.measure(options.turns, limit_s, folder.path(), peer.as_mut()))?;
                stompp_console::errln!("{case}");
                report.cases.push(case);
                write_json(options, &report)?;
            }
        }
    }
    if report.cases.is_empty() {
        return Err(super::no_such_case(options));
    }
    let MachineInfo { cpu, os, .. } = &report.machine;
    stompp_console::outln!("{cpu}, {}, {os}; revision {}", report.level, report.revision);
    for case in &report.cases {
        stompp_console::outln!("{case}");
    }
    match &report.peer {
        Some(peer) => stompp_console::outln!(
            "{peer}. Columns: median of a run here, of the peer, and how many times faster: median, min, max."
        ),
        None => stompp_console::outln!("--peer-python PYTHON adds ONNX Runtime and OpenVINO."),
    }
    Ok(())
}

/// A network with a batch size and a number of threads.
struct InferLoad<'a> {
    subject: &'a BenchModel,
    name: String,
    batch: usize,
    threads: usize,
}

impl InferLoad<'_> {
    fn measure(&self, turns: u16, limit_s: f64, folder: &Path, mut peer: Option<&mut Peer>) -> Result<InferCase> {
        let network = Network::from_bytes(&self.subject.packed)?;
        let image: usize = network.input_shape().iter().product();
        // The script of the peer uses the same images.
        let images: Vec<f32> = (0..self.batch * image).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let mut logits = vec![0.0; self.batch * network.outputs()];
        network.logits_of_batch(&images, &mut logits)?;
        if let Some(peer) = &mut peer {
            for runtime in RUNTIMES {
                self.open(peer, runtime, folder, &logits[..network.outputs()])?;
            }
        }
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); RUNTIMES.len()];
        for _ in 0..turns {
            wait_for_peer_threads();
            let (mut fastest, start) = (f64::INFINITY, Instant::now());
            while start.elapsed().as_secs_f64() < TURN_S {
                let start = Instant::now();
                network.logits_of_batch(&images, &mut logits)?;
                fastest = fastest.min(start.elapsed().as_secs_f64());
            }
            ours.push(fastest);
            for (runtime, theirs) in RUNTIMES.iter().zip(&mut theirs) {
                if let Some(peer) = &mut peer {
                    wait_for_peer_threads();
                    let request = serde_json::json!({"run": self.name, "runtime": runtime.name, "seconds": TURN_S});
                    let Timed { seconds } = peer.request(&self.name, &request)?;
                    theirs.push(seconds.into_iter().fold(f64::INFINITY, f64::min));
                }
            }
        }
        let compared = RUNTIMES.iter().zip(theirs).filter(|(_, theirs)| !theirs.is_empty());
        let peers = compared.map(|(runtime, theirs)| Comparison::new(runtime.name.to_owned(), ours.clone(), theirs));
        Ok(InferCase {
            peers: peers.collect(),
            seconds: Spread::new(ours).median,
            name: self.name.clone(),
            limit_s,
        })
    }

    /// Makes the peer load the network, and checks that it computes the same logits.
    fn open(&self, peer: &mut Peer, runtime: Runtime, folder: &Path, ours: &[f32]) -> Result<()> {
        let file = folder.join(format!("{}-{:?}.onnx", self.subject.name, runtime.dialect));
        if !file.exists() {
            std::fs::write(&file, self.subject.onnx(runtime.dialect)?)?;
        }
        let request = serde_json::json!({
            "open": self.name,
            "runtime": runtime.name,
            "file": file,
            "batch": self.batch,
            "threads": self.threads,
        });
        let opened: Opened = peer.request(&self.name, &request)?;
        let difference = relative_difference(ours, &opened.logits).context("another number of logits")?;
        ensure!(
            !runtime.is_exact || difference < 0.02,
            "{}: the logits of {} differ by {difference} of their size",
            self.name,
            runtime.name
        );
        ensure!(
            runtime.dialect != Dialect::OpenVino || opened.ops.keys().any(|op| op.contains("Binary")),
            "{}: OpenVINO runs no convolution on bits: {:?}",
            self.name,
            opened.ops
        );
        Ok(())
    }
}

/// The Euclidean distance of two vectors, relative to the length of `ours`; `None` if they have different numbers of elements.
fn relative_difference(ours: &[f32], theirs: &[f32]) -> Option<f32> {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
    (ours.len() == theirs.len()).then(|| difference / length(&mut ours.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_logits_are_noticed() {
        let difference = |theirs: &[f32]| relative_difference(&[3.0, 4.0], theirs);
        assert_eq!(difference(&[3.0, 4.0]), Some(0.0));
        assert_eq!(difference(&[3.0, -1.0]), Some(1.0));
        assert_eq!(difference(&[3.0]), None);
    }

    /// What the peers read is a whole model of the network that runs here.
    #[test]
    fn the_subject_is_the_same_network_in_all_forms() -> Result<()> {
        let subject = BenchModel::new(Model::Cifar { blocks: 3 }, 32)?;
        assert_eq!(Network::from_bytes(&subject.packed)?.graph(), &subject.graph);
        assert_eq!(subject.binary_macs(), 40_108_032);
        for runtime in RUNTIMES {
            assert!(subject.onnx(runtime.dialect)?.len() > 4 * 270_000, "{}", runtime.name);
        }
        Ok(())
    }
}
