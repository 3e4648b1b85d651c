//! Runs that take no time, for tests.

use std::fs;
use std::path::Path;
use stompp_train::callback::{EpochReport, TimeSplit};
use stompp_train::diagnostics::HISTOGRAM_BINS;
use stompp_train::{
    CodeVersion, DiagnosticsReport, Evaluation, MachineInfo, MetricRecord, RunConfig, RunRecord, RunResult,
    UnitDiagnostics,
};

/// The result of a run with 1000 test images.
pub(crate) fn result(top1: f64) -> RunResult {
    RunResult {
        top1,
        top1_as_it_stands: top1,
        test_loss: 1.0,
        steps: 100,
        steps_per_epoch: 50,
        train_images: 1600,
        test_images: 1000,
        units: 6,
        seconds: 2.0,
        images_per_s: 1600.0,
        warnings: Vec::new(),
        evaluations: vec![evaluation(50, top1 / 2.0), evaluation(100, top1)],
    }
}

fn evaluation(step: u64, top1: f64) -> Evaluation {
    Evaluation {
        step,
        epoch: step as f64 / 50.0,
        train_loss: 1.0,
        test_loss: 1.0,
        top1,
        top1_as_it_stands: top1,
        committed_units: 6,
        committed_fraction: 1.0,
        frozen_fraction: 1.0,
    }
}

/// The record of that run.
fn finished_run() -> RunRecord {
    RunRecord {
        started: "2026-01-30T00:00:00Z".to_owned(),
        code: CodeVersion {
            version: "0.1.0".to_owned(),
            revision: "abc".to_owned(),
            rustc: "rustc 1".to_owned(),
        },
        machine: MachineInfo {
            gpu: None,
            cpu: "a processor".to_owned(),
            cores: 2,
            threads: 1,
            os: "linux".to_owned(),
        },
        train_images: 1600,
        test_images: 1000,
        steps_per_epoch: 50,
        steps: 100,
        warm_up_steps: None,
        tail_steps: None,
        mean: [0.5; 3],
        std: [0.25; 3],
        init: None,
        parent: None,
    }
}

/// Its metrics: two epochs and two diagnostics; the first three units are committed half way.
fn metrics() -> Vec<MetricRecord> {
    let epoch = |step: u64, committed_units: usize| EpochReport {
        step,
        epoch: step as f64 / 50.0,
        train_loss: 1.0,
        train_top1: 50.0,
        images_per_s: 1000.0 + step as f64,
        committed_units,
        units: 6,
        frozen_fraction: committed_units as f64 / 6.0,
        seconds: TimeSplit::default(),
        processes: None,
    };
    let unit = |place: usize, committed: bool| UnitDiagnostics {
        name: format!("unit{place}"),
        committed,
        target: if committed { 1.0 } else { 0.25 },
        weight_frozen: if committed { 1.0 } else { 0.2 },
        activation_frozen: None,
        weight_mask_flips: 0.1 * place as f64,
        activation_mask_flips: 0.0,
        sign_flips: Some(0.1),
        weights_inside: 1.0,
        activations_inside: Some(0.5),
        gradient_norm: if committed { 0.0 } else { 0.5 },
        histogram: vec![1; HISTOGRAM_BINS],
    };
    let diagnostics = |step: u64, committed: usize| DiagnosticsReport {
        step,
        epoch: step as f64 / 50.0,
        stem_gradient_norm: 1.0,
        head_gradient_norm: 1.0,
        units: (0..6).map(|place| unit(place, place < committed)).collect(),
    };
    vec![
        MetricRecord::Epoch(epoch(50, 3)),
        MetricRecord::Diagnostics(diagnostics(50, 3)),
        MetricRecord::Epoch(epoch(100, 6)),
        MetricRecord::Diagnostics(diagnostics(100, 6)),
    ]
}

/// Writes a finished run to `dir`, each file whole or absent as the trainer's are: sweeps read directories at any time.
pub(crate) fn finish(dir: &Path, config: &RunConfig, top1: f64) {
    write_unfinished(dir, config);
    write(dir, "result.json", serde_json::to_vec(&result(top1)).unwrap());
}

/// Writes that run as it is just before its result is written.
pub(crate) fn write_unfinished(dir: &Path, config: &RunConfig) {
    fs::create_dir_all(dir).unwrap();
    write(dir, "config.toml", config.to_toml().into_bytes());
    let lines = metrics()
        .into_iter()
        .map(|metric| serde_json::to_string(&metric).unwrap() + "\n");
    write(dir, "metrics.jsonl", lines.collect::<String>().into_bytes());
    write(dir, "run.json", serde_json::to_vec(&finished_run()).unwrap());
}

fn write(dir: &Path, file: &str, bytes: Vec<u8>) {
    stompp_files::replace(&dir.join(file), &bytes).unwrap();
}
