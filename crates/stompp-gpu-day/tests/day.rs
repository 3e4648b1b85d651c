//! Whole calls on bundles of shell scripts: time limits, failures, second calls, data that is not there yet.

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A `stompp train` that takes 20 ms an epoch and goes on where it was stopped.
const STOMPP: &str = r#"
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2 ;;
        --steps) steps=${2%ep} ;;
    esac
    shift
done
mkdir -p "$out"
case $out in
    */speed) echo '{"images_per_s": 50000}' > "$out/result.json"; exit 0 ;;
esac
epoch=$(cat "$out/epoch" 2>/dev/null || echo 0)
trap 'echo $epoch > "$out/epoch"; exit 143' TERM
while [ "$epoch" -lt "$steps" ]; do
    sleep 0.02
    epoch=$((epoch + 1))
    if [ $((epoch % 5)) = 0 ] || [ "$epoch" = "$steps" ]; then
        echo "{\"kind\":\"evaluation\",\"step\":$epoch,\"epoch\":$epoch.0,\"train_loss\":1.0,\"test_loss\":1.5,\"top1\":$epoch.5,\
\"top1_as_it_stands\":$epoch.25,\"committed_units\":0,\"committed_fraction\":0.0,\"frozen_fraction\":0.0}" >> "$out/metrics.jsonl"
    fi
done
echo '{}' > "$out/result.json"
"#;

/// A bundle, an output folder, and tools that the machine may have.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["bundle/bin", "tools", "data"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        stage.built("first");
        stage.program("bundle/bin/stompp", STOMPP);
        stage.program("bundle/bin/xtask", r#"echo "bench $*""#);
        stage.program("bundle/bin/test-stompp-cuda-kernels", "echo kernels");
        stage.program("bundle/bin/test-tests-vectors", "echo vectors");
        // What is on the machine that runs this test does not matter.
        stage.program("tools/python3", "exit 1");
        stage.program("tools/nvidia-smi", "echo 'A GPU, 580.1, 80000 MiB'");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn built(&self, built: &str) {
        let about =
            format!(r#"{{"revision": "abc", "built": "{built}", "stand_in": true, "compute_capability": "9.0"}}"#);
        fs::write(self.path("bundle/bundle.json"), about).unwrap();
    }

    /// The files of a data set of 100 images each.
    fn data(&self, names: impl IntoIterator<Item = &'static str>, bytes: usize) {
        for name in names {
            fs::write(self.path("data").join(name), vec![0; bytes]).unwrap();
        }
    }

    fn call(&self, minutes: f64, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gpu-day"))
            .args(["--minutes", &minutes.to_string(), "--bundle"])
            .arg(self.path("bundle"))
            .arg("--out")
            .arg(self.path("out"))
            .args(more)
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("tools").display()))
            .output()
            .unwrap()
    }

    fn with_data(&self, minutes: f64, more: &[&str]) -> Output {
        let data = self.path("data").display().to_string();
        self.call(minutes, &[&["--data", &data], more].concat())
    }

    fn summary(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("out/results/summary.json")).unwrap()).unwrap()
    }
}

const RECORDS: usize = 100 * 3073;
const TRAIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

fn status<'a>(summary: &'a Value, step: &str) -> &'a str {
    let steps = summary["steps"].as_array().unwrap();
    let found = steps.iter().find(|found| found["name"] == step);
    found.map_or("absent", |found| found["status"].as_str().unwrap())
}

fn reason(summary: &Value, step: &str) -> String {
    let steps = summary["steps"].as_array().unwrap();
    let found = steps.iter().find(|found| found["name"] == step).unwrap();
    found["reason"].as_str().unwrap_or_default().to_owned()
}

fn log(stage: &Stage) -> String {
    fs::read_to_string(stage.path("out/results/logs.txt")).unwrap()
}

#[test]
fn a_machine_without_anything_is_reported_and_the_rest_runs() {
    let stage = Stage::new();
    let output = stage.call(1.0, &[]);
    assert!(output.status.success(), "{output:?}");
    let summary = stage.summary();
    for step in ["stompp-cuda-kernels", "tests-vectors", "bench", "profile", "speed"] {
        assert_eq!(status(&summary, step), "passed", "{step}");
    }
    for step in ["memcheck", "racecheck"] {
        assert_eq!(status(&summary, step), "skipped", "{step}");
    }
    assert_eq!(
        (status(&summary, "training"), reason(&summary, "training")),
        ("skipped", "no --data".to_owned())
    );
    assert_eq!(summary["machine"]["gpu"], "A GPU, 580.1, 80000 MiB");
    assert_eq!(summary["machine"]["torch"], Value::Null);
    assert!(!log(&stage).contains("--peer-python"));
    // Most important first.
    let names: Vec<&str> = summary["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["stompp-cuda-kernels", "tests-vectors", "memcheck"]);
}

#[test]
fn tools_that_are_there_are_used() {
    let stage = Stage::new();
    stage.program("tools/python3", "echo PyTorch 2.11");
    stage.program(
        "tools/compute-sanitizer",
        r#"echo "sanitizer $1 $2 $3 $4"; shift 4; exec "$@""#,
    );
    assert!(stage.call(1.0, &[]).status.success());
    let (summary, log) = (stage.summary(), log(&stage));
    assert_eq!(
        (status(&summary, "memcheck"), status(&summary, "racecheck")),
        ("passed", "passed")
    );
    assert!(
        log.contains("sanitizer --tool racecheck --error-exitcode 9\nkernels"),
        "{log}"
    );
    assert!(log.contains("--peer-python python3"));
}

#[test]
fn a_failure_is_recorded_and_runs_again_only_from_another_bundle() {
    let stage = Stage::new();
    let count = stage.path("count");
    stage.program(
        "bundle/bin/test-stompp-cuda-kernels",
        &format!("echo x >> {}; echo 'kernel add: wrong'; exit 101", count.display()),
    );
    let output = stage.call(1.0, &[]);
    assert_eq!(output.status.code(), Some(1));
    let summary = stage.summary();
    assert_eq!(status(&summary, "stompp-cuda-kernels"), "failed");
    assert_eq!(reason(&summary, "stompp-cuda-kernels"), "exit code 101");
    assert_eq!(status(&summary, "tests-vectors"), "passed", "the next one ran");
    assert!(log(&stage).contains("kernel add: wrong"));
    assert_eq!(stage.call(1.0, &[]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n", "not again");
    stage.built("second");
    stage.program("bundle/bin/test-stompp-cuda-kernels", "exit 0");
    assert!(stage.call(1.0, &[]).status.success());
    assert_eq!(status(&stage.summary(), "stompp-cuda-kernels"), "passed");
    assert_eq!(stage.summary()["calls"].as_array().unwrap().len(), 3);
}

#[test]
fn the_end_of_the_time_cuts_off_and_the_next_call_goes_on() {
    let stage = Stage::new();
    stage.program("bundle/bin/test-tests-vectors", "sleep 60");
    let start = Instant::now();
    let output = stage.call(0.05, &[]);
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "three seconds, and some for starting"
    );
    assert!(output.status.success(), "being cut off is no failure: {output:?}");
    let summary = stage.summary();
    assert_eq!(status(&summary, "stompp-cuda-kernels"), "passed");
    for step in ["tests-vectors", "bench", "profile", "speed"] {
        assert_eq!(status(&summary, step), "cut-off", "{step}");
    }
    stage.program("bundle/bin/test-tests-vectors", "exit 0");
    assert!(stage.call(1.0, &[]).status.success());
    let summary = stage.summary();
    for step in ["tests-vectors", "bench", "profile", "speed"] {
        assert_eq!(status(&summary, step), "passed", "{step}");
    }
    assert!(summary["calls"][1]["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn data_may_arrive_file_by_file() {
    let stage = Stage::new();
    stage.data(TRAIN, RECORDS);
    stage.data(["test_batch.bin"], RECORDS / 2);
    stage.data(["data_batch_3.bin"], 0);
    assert!(stage.with_data(1.0, &["--epochs", "5"]).status.success());
    let why = reason(&stage.summary(), "training");
    assert!(why.ends_with("data_batch_3.bin, test_batch.bin"), "{why}");
    stage.data(["data_batch_3.bin", "test_batch.bin"], RECORDS);
    assert!(stage.with_data(1.0, &["--epochs", "5"]).status.success());
    assert_eq!(status(&stage.summary(), "training"), "passed");
}

#[test]
fn methods_train_in_turns_and_go_on_in_the_next_call() {
    let stage = Stage::new();
    stage.data(TRAIN.into_iter().chain(["test_batch.bin"]), RECORDS);
    // One epoch takes 20 ms and more; 60 epochs by four methods do not fit into three seconds.
    assert!(stage.with_data(0.05, &["--epochs", "60"]).status.success());
    let summary = stage.summary();
    assert_eq!(status(&summary, "training"), "cut-off");
    let epoch = |summary: &Value, method: usize| {
        let evaluations = summary["training"]["methods"][method]["evaluations"]
            .as_array()
            .unwrap()
            .clone();
        evaluations.last().map_or(0.0, |last| last["epoch"].as_f64().unwrap())
    };
    let epochs: Vec<f64> = (0..4).map(|method| epoch(&summary, method)).collect();
    assert!(epochs[0] >= 5.0, "{epochs:?}");
    assert!(
        epochs.iter().all(|epoch| epochs[0] - epoch <= 5.0),
        "in turns: {epochs:?}"
    );
    assert_eq!(summary["training"]["common_epoch"].as_f64().unwrap(), epochs[3]);

    let other = stage.with_data(1.0, &["--epochs", "50"]);
    assert_eq!(other.status.code(), Some(2), "a plan depends on its length");
    assert!(String::from_utf8_lossy(&other.stderr).contains("--epochs 50"));

    assert!(stage.with_data(1.0, &[]).status.success());
    let summary = stage.summary();
    assert_eq!(
        (status(&summary, "training"), &summary["training"]["common_epoch"]),
        ("passed", &60.into())
    );
    let methods = summary["training"]["methods"].as_array().unwrap();
    assert!(methods.iter().all(|method| method["finished"] == true), "{methods:?}");
    let metrics = fs::read_to_string(stage.path("out/results/metrics.jsonl")).unwrap();
    assert_eq!(
        metrics.matches(r#""run":"stompp-ste""#).count(),
        12,
        "an evaluation each five epochs, none twice"
    );
    let files = fs::read_dir(stage.path("out/results")).unwrap().count();
    assert!(files <= 8, "{files} files to bring back");
}

#[test]
fn a_method_that_fails_does_not_hold_up_the_others() {
    let stage = Stage::new();
    stage.data(TRAIN.into_iter().chain(["test_batch.bin"]), RECORDS);
    let diverges = format!(r#"case "$*" in *identity*) echo "not finite"; exit 1 ;; esac{STOMPP}"#);
    stage.program("bundle/bin/stompp", &diverges);
    assert_eq!(stage.with_data(1.0, &["--epochs", "10"]).status.code(), Some(1));
    let summary = stage.summary();
    assert_eq!(reason(&summary, "training"), "ste-identity ended with exit code 1");
    let finished: Vec<bool> = (0..4)
        .map(|method| summary["training"]["methods"][method]["finished"] == true)
        .collect();
    assert_eq!(finished, [true, false, true, true]);
    assert!(log(&stage).contains("not finite"));
}

/// The length is chosen from the measured speed: 5 epochs of 500 images at 50,000 a second are short against a process's start.
#[test]
fn the_length_is_measured_and_then_kept() {
    let stage = Stage::new();
    stage.data(TRAIN.into_iter().chain(["test_batch.bin"]), RECORDS);
    assert!(stage.with_data(0.2, &[]).status.success());
    let training = &stage.summary()["training"];
    assert!([5, 10].contains(&training["epochs"].as_u64().unwrap()), "{training}");
    assert!(training["epoch_seconds"].as_f64().unwrap() > 0.0);
    let chosen = training["epochs"].clone();
    assert!(stage.with_data(1.0, &[]).status.success());
    assert_eq!(stage.summary()["training"]["epochs"], chosen);
}

#[test]
fn wrong_usage_is_told_apart() {
    let stage = Stage::new();
    let output = stage.call(1.0, &["--data", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!Path::new(&stage.path("out")).exists(), "nothing was begun");
    assert_eq!(stage.call(0.0, &[]).status.code(), Some(2));
}
