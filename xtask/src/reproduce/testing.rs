//! Runs that take no time, for tests.

use std::fs;
use std::path::Path;
use stompp_train::{Code, Evaluation, Machine, RunConfig, RunRecord, RunResult};

/// What a run of 1000 test images found.
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

/// How that run came about.
fn record() -> RunRecord {
    RunRecord {
        started: "2026-01-30T00:00:00Z".to_owned(),
        code: Code {
            version: "0.1.0".to_owned(),
            revision: "abc".to_owned(),
            rustc: "rustc 1".to_owned(),
        },
        machine: Machine {
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
    }
}

/// Leaves a finished run in `dir`, each file whole or absent as the trainer's are: sweeps look at directories at any time.
pub(crate) fn finish(dir: &Path, config: &RunConfig, top1: f64) {
    fs::create_dir_all(dir).unwrap();
    let write = |file: &str, bytes: Vec<u8>| stompp_files::replace(&dir.join(file), &bytes).unwrap();
    write("config.toml", config.to_toml().into_bytes());
    write("run.json", serde_json::to_vec(&record()).unwrap());
    write("result.json", serde_json::to_vec(&result(top1)).unwrap());
}
