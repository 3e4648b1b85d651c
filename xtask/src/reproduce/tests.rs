//! Tests of the command line: its options, its errors, and one sweep.

use super::*;
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stompp_train::config::Time;
use stompp_train::{Callback, RunConfig};

#[derive(Parser)]
pub(super) struct Line {
    #[command(flatten)]
    pub(super) options: Options,
}

fn options(out: &Path, arguments: &str) -> Options {
    let line = format!("reproduce table1 {arguments} --out {}", out.display());
    Line::parse_from(line.split_whitespace()).options
}

/// A folder that does not exist yet.
fn out() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    (folder, out)
}

/// Runs the command, which trains nothing.
fn without_training(out: &Path, arguments: &str) -> Result<()> {
    let train = |_: &RunConfig, _: &Path, _: &mut [&mut dyn Callback]| unreachable!("nothing is trained");
    let options = options(out, arguments);
    run_with(&options, options.setup()?, &train)
}

#[test]
fn a_dry_run_leaves_nothing() {
    let (_folder, out) = out();
    for name in ["--dry-run", "--status"] {
        without_training(&out, name).unwrap();
        assert!(!out.exists());
    }
}

#[test]
fn presets_that_need_data_ask_for_it() {
    let (_folder, out) = out();
    for preset in ["small", "paper"] {
        let error = without_training(&out, &format!("--preset {preset}")).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(error.to_string().contains("needs --data"), "{error}");
    }
    let error = without_training(&out, "--preset small --data does/not/exist").unwrap_err();
    assert!(format!("{error:#}").contains("does/not/exist"), "{error:#}");
    assert!(!out.exists(), "nothing is left behind");
}

#[test]
fn a_pattern_without_runs_is_a_usage_error_that_names_the_runs() {
    let (_folder, out) = out();
    let error = without_training(&out, "--only resnet9").unwrap_err();
    assert!(error.is::<UsageError>());
    let message = error.to_string();
    assert!(
        message.starts_with("--only resnet9 matches none of the runs:\n"),
        "{message}"
    );
    assert!(
        message.contains("  resnet20-synthetic10-bnn-ste-clipped-seed0\n"),
        "{message}"
    );
}

#[test]
fn a_sweep_is_trained_reported_and_not_repeated() {
    let (_folder, out) = out();
    let options = options(&out, "--only resnet8,ste --jobs 1");
    let mut setup = options.setup().unwrap();
    (setup.base.data.train_limit, setup.base.data.test_limit) = (Some(40), Some(20));
    setup.base.data.image_size = 8;
    setup.base.network.width = Some(4);
    setup.base.training.duration = Time::Epochs(1.0);
    run_with(&options, setup.clone(), &trainer(Arc::default())).unwrap();
    let text = fs::read_to_string(out.join("smoke/table1/table.md")).unwrap();
    for part in [
        "| ResNet-8 ",
        "again: `cargo xtask reproduce table1 --preset smoke --seeds 1`",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let train = |_: &RunConfig, _: &Path, _: &mut [&mut dyn Callback]| unreachable!("it is finished");
    run_with(&options, setup.clone(), &train).unwrap();
    let slurm = self::options(&out, "--only resnet8,ste --slurm");
    run_with(&slurm, setup, &train).unwrap();
    assert!(!out.join("smoke/table1/slurm.sh").exists(), "nothing is left to train");
}
