//! Tests of whole sweeps with small networks that are trained.

use super::*;
use rand_core::Rng;
use std::process::{Command, Stdio};
use std::time::Duration;
use stompp_rng::{Purpose, stream};
use stompp_train::config::Time;

/// Variable with the output folder of the process to kill.
const OUT: &str = "STOMPP_TEST_SWEEP";

/// Narrow networks, a few images of 8x8 pixels, and a hundred steps: enough for every window and for every traced evaluation.
fn tiny(mut setup: Setup) -> Setup {
    let config = &mut setup.base;
    config.data.image_size = 8;
    config.data.train_limit = Some(200);
    config.data.test_limit = Some(100);
    config.network.width = Some(4);
    config.training.batch_size = 4;
    config.training.duration = Time::Epochs(2.0);
    setup
}

fn run_real(line: &Line) -> Result<()> {
    let stop = stompp_console::signals::stop_flag().unwrap();
    line.run(tiny(line.setup()), &trainer(stop))
}

#[test]
fn every_experiment_is_trained_and_reported() {
    let test = SweepTest::new();
    let line = test.line("all");
    run_real(&line).unwrap();
    let table = fs::read_to_string(test.out().join("smoke/all/table.md")).unwrap();
    assert!(!table.contains("Not in the tables"), "{table}");
    for row in builtin::ALL
        .iter()
        .flat_map(|experiment| experiment.experiment(&line.setup()).rows)
    {
        assert!(table.contains(&row.method_title()), "{row:?}\n{table}");
    }
    let html = fs::read_to_string(test.out().join("smoke/all").join(PAGE)).unwrap();
    assert!(
        html.contains("src=\"data:image/png;base64,iVBOR"),
        "test images are shown"
    );

    // Every single experiment finds its runs finished.
    for experiment in builtin::ALL {
        let line = test.line(experiment.name);
        let nothing = |_: &RunConfig, _: &Path, _: &mut [&mut dyn Callback]| unreachable!("every run is finished");
        line.run(tiny(line.setup()), &nothing).unwrap();
        assert!(test.out().join("smoke").join(experiment.name).join(RESULTS).is_file());
    }
}

/// Not a test, but the process that the next test kills.
#[test]
#[ignore = "started by `a_sweep_that_is_killed_ends_in_the_same_results`"]
fn a_sweep_to_kill() {
    let out = std::env::var(OUT).unwrap();
    let line = format!("order --out {out}");
    run_real(&Line::parse_from(line.split_whitespace())).unwrap();
}

/// Bytes of the metrics of all runs.
fn written_bytes(test: &SweepTest) -> u64 {
    let runs = fs::read_dir(test.out().join("smoke/runs")).into_iter().flatten();
    let metrics = runs.filter_map(|run| fs::metadata(run.ok()?.path().join("metrics.jsonl")).ok());
    metrics.map(|file| file.len()).sum()
}

#[test]
fn a_sweep_that_is_killed_ends_in_the_same_results() {
    const KILLS: u32 = 5;
    let (whole, killed) = (SweepTest::new(), SweepTest::new());
    run_real(&whole.line("order")).unwrap();
    let all = written_bytes(&whole) as f64;

    let name = format!(
        "{}::a_sweep_to_kill",
        module_path!().trim_start_matches("stompp_experiments::")
    );
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", &name]).env(OUT, killed.out());
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut moments = stream(0, Purpose::new(*b"killings"), 0, 0);
    for kill in 0..KILLS {
        // At a random moment of each part of the sweep.
        let moment = (f64::from(kill) + f64::from(moments.next_u32()) / f64::from(u32::MAX)) / f64::from(KILLS + 1);
        let mut child = start();
        while (written_bytes(&killed) as f64) < all * moment {
            assert!(child.try_wait().unwrap().is_none(), "it ended before kill {kill}");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed");
    }
    assert!(start().wait().unwrap().success());
    let results = |test: &SweepTest| fs::read_to_string(test.out().join("smoke/order").join(RESULTS)).unwrap();
    assert_eq!(results(&killed), results(&whole));
}

/// A checkpoint is due after each epoch of 50 steps. An interrupted run has a checkpoint even if it stops before.
#[cfg(unix)]
#[test]
fn a_sweep_that_is_interrupted_keeps_its_last_step() {
    let test = SweepTest::new();
    let name = format!(
        "{}::a_sweep_to_kill",
        module_path!().trim_start_matches("stompp_experiments::")
    );
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", &name]).env(OUT, test.out());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while written_bytes(&test) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(!child.wait().unwrap().success(), "it was interrupted");
    let runs = fs::read_dir(test.out().join("smoke/runs")).unwrap();
    let mut begun = 0;
    for run in runs {
        let run = run.unwrap().path();
        if RunResult::exists(&run) {
            continue;
        }
        let status = stompp_train::RunStatus::read(&run).unwrap();
        assert!(status.step > 0 && !status.busy, "{}: {status:?}", run.display());
        begun += 1;
    }
    assert!(begun > 0);
    // The sweep resumes.
    run_real(&test.line("order")).unwrap();
}
