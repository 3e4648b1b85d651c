//! Processes that add over NCCL and meet through a file, on the fake driver.
#![cfg(feature = "cuda-stand-in")]

mod user;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};
use user::{assert_fails, folder, stderr, stdout, stompp};

const OPTIONS: &str = "--device cuda --model resnet8 --width 4 --image-size 8 --batch-size 20 --train-limit 200 --test-limit 50 \
    --steps 12 --refresh 0.1w --threads 1 --slices 2";

fn train(out: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
    command.args(["train", "--out"]).arg(out);
    command.args(OPTIONS.split_whitespace()).args(options);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Trains with two processes, as a launcher would start them.
fn train_with_two(out: &Path, options: &[&str]) -> [Output; 2] {
    let started = ["0", "1"].map(|rank| {
        let mut command = train(out, options);
        command.envs([("RANK", rank), ("WORLD_SIZE", "2"), ("LOCAL_RANK", rank)]);
        command.spawn().unwrap()
    });
    started.map(|process| process.wait_with_output().unwrap())
}

#[test]
fn cuda_two_processes_write_the_bytes_of_one() {
    let folder = folder();
    let [alone, two, id] = ["alone", "two", "id"].map(|name| folder.path().join(name));
    stdout(&train(&alone, &[]).output().unwrap());
    for process in train_with_two(&two, &["--nccl-id", id.to_str().unwrap()]) {
        assert!(process.status.success(), "{}", stderr(&process));
    }
    let network = |out: &Path| fs::read(out.join("network.safetensors")).unwrap();
    assert!(network(&two) == network(&alone));
    assert!(!id.exists(), "it is removed when all have come");
}

#[test]
fn cuda_what_nccl_cannot_do_is_said() {
    let folder = folder();
    let out = folder.path().join("out");
    let id = folder.path().join("id");
    let with_id = ["--nccl-id", id.to_str().unwrap()];

    let output = stompp(&["train", "--out", out.to_str().unwrap(), "--nccl"]);
    assert_fails(&output, 2, &["use --device cuda"]);
    let output = train(&out, &["--nccl"]).output().unwrap();
    assert_fails(&output, 1, &["no launcher has started several processes", "--nccl-id"]);
    let output = train(&out, &with_id).env_remove("RANK").output().unwrap();
    assert_fails(&output, 1, &["it sets RANK, WORLD_SIZE, LOCAL_RANK"]);

    // The first of so many processes.
    let first_of = |size| {
        let mut command = train(&out, &with_id);
        command.envs([("RANK", "0"), ("WORLD_SIZE", size), ("LOCAL_RANK", "0")]);
        command
    };
    let output = first_of("2").env("STOMPP_STAND_IN_WITHOUT_NCCL", "1").output().unwrap();
    assert_fails(&output, 1, &["NCCL is not installed"]);
    assert_fails(&first_of("3").output().unwrap(), 1, &["3 processes cannot add exactly"]);
    fs::write(&id, "a network").unwrap();
    assert_fails(&first_of("2").output().unwrap(), 1, &["is another file"]);
    assert!(!out.exists());
}
