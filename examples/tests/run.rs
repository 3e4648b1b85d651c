//! Runs every example, and checks that its network is better than chance and that its source is short.

use std::{path::Path, process::Command};

/// Runs an example. Returns the last accuracy that it prints, in percent.
fn top1(program: &str, arguments: &[&Path]) -> f64 {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (_, after) = text
        .rsplit_once("top-1 ")
        .unwrap_or_else(|| panic!("no accuracy in {text}"));
    let number = after
        .split('%')
        .next()
        .unwrap()
        .rsplit(' ')
        .find(|word| !word.is_empty())
        .unwrap();
    number.parse().unwrap_or_else(|_| panic!("no accuracy in {after}"))
}

#[test]
fn own_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let first = top1(env!("CARGO_BIN_EXE_own_network"), &[&out]);
    assert!(first > 20.0, "{first}");
    for file in ["model.toml", "metrics.jsonl", "network.safetensors", "result.json"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert_eq!(
        top1(env!("CARGO_BIN_EXE_own_network"), &[&out]),
        first,
        "a finished run is its result"
    );
    let grey = folder.path().join("grey.ppm");
    std::fs::write(&grey, [&b"P6 16 16 255 "[..], &[128; 3 * 16 * 16]].concat()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_predict"))
        .args([&out, &grey])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let percents = text
        .lines()
        .map(|line| line.split_whitespace().rev().nth(1).unwrap().parse::<f64>().unwrap());
    let sum: f64 = percents.sum();
    assert!(text.lines().count() == 5 && sum > 49.5 && sum < 100.3, "{text}");
}

#[test]
fn own_loop() {
    let top1 = top1(env!("CARGO_BIN_EXE_own_loop"), &[]);
    assert!(top1 > 20.0, "{top1}");
}

#[test]
fn own_data() {
    let top1 = top1(env!("CARGO_BIN_EXE_own_data"), &[]);
    assert!(top1 > 80.0, "{top1}");
}

#[test]
fn own_schedule() {
    let top1 = top1(env!("CARGO_BIN_EXE_own_schedule"), &[]);
    assert!(top1 > 20.0, "{top1}");
}

#[test]
fn own_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_own_experiment"));
        let output = program.arg(&out).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        (String::from_utf8(output.stdout).unwrap(), errors)
    };
    let (text, progress) = run();
    for row in [
        "| STE (clipped), momentum 0.8 ",
        "| StoMPP, momentum 0.8 ",
        "| StoMPP beats STE ",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    assert_eq!(progress.matches(": begins").count(), 4, "{progress}");
    let report = out.join("short/freezing");
    let page = std::fs::read_to_string(report.join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(report.join("table.md").is_file());
    let results = std::fs::read(report.join("results.json")).unwrap();

    // A second call trains nothing. If one result is missing, that run continues, with the same bits.
    assert_eq!(run().1, "");
    let name = "resnet8-synthetic10-bnn-stompp-forward-m0.8-seed1";
    std::fs::remove_file(out.join("short/runs").join(name).join("result.json")).unwrap();
    let (_, progress) = run();
    assert!(
        progress.contains(name) && progress.matches(": begins").count() == 1,
        "{progress}"
    );
    assert!(std::fs::read(report.join("results.json")).unwrap() == results);
}

#[test]
fn examples_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let elsewhere = ["schedule_with_candle", "schedule_with_burn"].map(|name| folder.join(name).join("src/main.rs"));
    let bins = std::fs::read_dir(folder.join("src/bin")).unwrap();
    for path in bins.map(|entry| entry.unwrap().path()).chain(elsewhere) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 80, "{} has {lines} lines", path.display());
    }
}
