//! `stompp train` killed, stopped by a signal, out of room on the disk: the same command goes on, to the same result.
#![cfg(unix)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

const OPTIONS: &str = "--model resnet8 --width 4 --image-size 8 --batch-size 20 --train-limit 200 --test-limit 50 \
    --steps 200 --refresh 0.1w --threads 1 --checkpoint-every 7ba --seed 3";

fn command(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
    command.args(["train", "--out"]).arg(out);
    command.args(OPTIONS.split_whitespace());
    command
}

fn finish(out: &Path) -> Output {
    let output = command(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Starts the command and waits until the run has gone so many epochs on, by its metrics.
fn begun(out: &Path, epochs: usize) -> Child {
    let mut child = command(out).stderr(Stdio::piped()).spawn().unwrap();
    let count = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.matches("\"epoch\",").count());
    let before = count();
    while count() < before + epochs {
        assert_eq!(child.try_wait().unwrap(), None, "it ended early");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

fn network(out: &Path) -> Vec<u8> {
    fs::read(out.join("network.safetensors")).unwrap()
}

fn leftovers(out: &Path) -> usize {
    let hidden = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count()
    };
    hidden(out) + hidden(&out.join("checkpoints"))
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[test]
fn kills_change_no_bit_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let undisturbed = finish(&whole);
    for epochs in [1, 2, 3, 2] {
        let mut child = begun(&killed, epochs);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "killed before its end");
    }
    let resumed = finish(&killed);
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("resumes after step "));
    assert_eq!(resumed.stdout, undisturbed.stdout);
    assert!(network(&killed) == network(&whole));
    assert_eq!(leftovers(&killed), 0);
}

#[test]
fn a_signal_ends_the_run_after_a_whole_step_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    finish(&whole);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let child = begun(&parts, 1);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains("error: stopped after step "), "{message}");
        assert!(output.stdout.is_empty());
    }
    finish(&parts);
    assert!(network(&parts) == network(&whole));
}

/// A step of this run takes seconds, so that the first signal is still being heeded when the second comes.
#[test]
fn a_second_signal_ends_the_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let slow = "--model resnet34 --width 64 --image-size 32 --batch-size 64 --train-limit 64 --test-limit 10 --steps 2 --tail 0ba --method ste";
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
    command.args(["train", "--threads", "1", "--out"]).arg(&out);
    command.args(slow.split_whitespace()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while !fs::read_to_string(out.join("metrics.jsonl")).is_ok_and(|text| text.contains("start")) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended early");
        thread::sleep(Duration::from_millis(1));
    }
    for name in ["INT", "TERM"] {
        signal(&child, name);
        thread::sleep(Duration::from_millis(20)); // So that they do not become one.
    }
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{message}");
    assert!(
        !message.contains("stopped after step"),
        "it did not wait for the step: {message}"
    );
    let checkpoints: Vec<_> = fs::read_dir(out.join("checkpoints")).unwrap().collect();
    assert_eq!(checkpoints.len(), 1, "that of the beginning: {checkpoints:?}");
}

/// What nobody may write to: as root, too, no folder can be made there.
#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Path::new("/proc/stompp-run");
    let output = command(place).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("error: cannot create /proc/stompp-run"), "{message}");
}

/// A limit on the size of files stands for a full disk: checkpoints, of some 50 KiB, cannot be written any more.
#[test]
fn a_full_disk_leaves_the_checkpoint_before_intact() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, full) = (folder.path().join("whole"), folder.path().join("full"));
    finish(&whole);
    let child = begun(&full, 2);
    signal(&child, "TERM");
    child.wait_with_output().unwrap();
    let checkpoints = |out: &Path| {
        let entries = fs::read_dir(out.join("checkpoints")).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = checkpoints(&full);
    let limited = format!(
        "trap '' XFSZ; ulimit -f 32; exec '{}' train --out '{}' {OPTIONS}",
        env!("CARGO_BIN_EXE_stompp"),
        full.display()
    );
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("error: cannot write ") && message.contains("/checkpoints/"),
        "{message}"
    );
    // Older ones may have been removed, as the rules for keeping them say.
    let after = checkpoints(&full);
    assert!(
        after.iter().all(|file| before.contains(file)),
        "what is there is as it was"
    );
    let newest = |files: &[(PathBuf, Vec<u8>)]| files.last().map(|(path, _)| path.clone());
    assert_eq!(newest(&after), newest(&before), "the newest is there");
    finish(&full);
    assert!(network(&full) == network(&whole));
    assert_eq!(leftovers(&full), 0);
}

#[test]
fn what_may_change_and_what_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = begun(&out, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let fails = |more: &str, code: i32, part: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_stompp"))
            .args(["train", "--out"])
            .arg(&out)
            .args(OPTIONS.replace("--seed 3", more).split_whitespace())
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(part), "{message}");
    };
    fails("--seed 4", 1, "seed was 3, now it is 4");
    fails(
        "--seed 3 --method ste",
        1,
        "method.name was \"stompp\", now it is \"ste\"",
    );
    fails("--seed 3 --fresh", 1, "already holds a run");
    fails("--seed 3 --force", 2, "--fresh");
    let changed = OPTIONS.replace("--threads 1", "--threads 2").replace("7ba", "5min");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
    command.args(["train", "--quiet", "--out"]).arg(&out);
    command.args(changed.split_whitespace()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
}
