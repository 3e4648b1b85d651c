//! The whole verb, with runs that take no time.

use super::preset::{Preset, Scale};
use super::testing::finish;
use super::*;
use clap::Parser;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use stompp_train::config::{Method, StraightThrough};
use stompp_train::{Callback, RunConfig, TrainError};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A folder for results, and which runs were begun in it.
struct Bench {
    folder: tempfile::TempDir,
    begun: Mutex<Vec<String>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            begun: Mutex::new(Vec::new()),
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn options(&self, arguments: &str) -> Options {
        let out = self.out();
        let line = format!("reproduce table1 --quiet --out {} {arguments}", out.display());
        Line::parse_from(line.split_whitespace()).options
    }

    /// Runs the verb with runs that find what `find` says.
    fn run_as(&self, arguments: &str, find: impl Fn(&RunConfig) -> Result<f64, TrainError> + Sync) -> Result<()> {
        let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
            assert!(!dir.exists(), "a run begins in a new directory");
            if dir.starts_with(self.out()) {
                let name = dir.file_name().unwrap().to_string_lossy().into_owned();
                self.begun.lock().unwrap().push(name);
            }
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("config.toml"), config.to_toml()).unwrap();
            finish(dir, config, find(config)?);
            Ok(())
        };
        run_with(&self.options(arguments), &runner)
    }

    /// Runs the verb; accuracy follows method and depth.
    fn run(&self, arguments: &str) -> Result<()> {
        self.run_as(arguments, |config| Ok(accuracy(config)))
    }

    /// The runs begun since the last call.
    fn begun(&self) -> Vec<String> {
        std::mem::take(&mut self.begun.lock().unwrap())
    }

    fn results(&self) -> Value {
        serde_json::from_slice(&fs::read(self.out().join(results::FILE)).unwrap()).unwrap()
    }

    fn table(&self) -> String {
        fs::read_to_string(self.out().join(report::FILE)).unwrap()
    }
}

fn accuracy(config: &RunConfig) -> f64 {
    let gain = match config.method.name {
        Method::Float | Method::Ste => 0.0,
        Method::Stompp => config.network.model.depth() as f64 / 4.0,
        Method::StomppSte => config.network.model.depth() as f64 / 2.0,
    };
    40.0 + gain + config.seed as f64 / 2.0
}

fn failing_message(outcome: Result<()>) -> String {
    format!("{:#}", outcome.unwrap_err())
}

#[test]
fn every_cell_is_run_once_and_told() {
    let bench = Bench::new();
    bench.run("").unwrap();
    assert_eq!(bench.begun().len(), 7);

    let results = bench.results();
    assert_eq!(
        (&results["experiment"], &results["preset"]),
        (&"table1".into(), &"smoke".into())
    );
    let cells = results["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 7);
    let cell = &cells[4];
    for (field, value) in [
        ("network", Value::from("resnet20")),
        ("dataset", "synthetic10".into()),
        ("setting", "bnn".into()),
        ("method", "stompp".into()),
        ("order", "forward".into()),
        ("activation_surrogate", Value::Null),
        ("seed", 0.into()),
        ("top1", 45.0.into()),
        ("published", Value::Null),
        ("seconds", 2.0.into()),
        ("images_per_s", 1600.0.into()),
        ("steps", 100.into()),
        ("width", 8.into()),
        ("run_dir", "smoke/resnet20-synthetic10-bnn-stompp-forward-seed0".into()),
    ] {
        assert_eq!(cell[field], value, "{field}");
    }
    assert_eq!(
        (&cell["revision"], &cell["machine"]["cores"]),
        (&"abc".into(), &2.into())
    );
    assert!(
        bench
            .out()
            .join(cell["run_dir"].as_str().unwrap())
            .join("result.json")
            .is_file()
    );
}

#[test]
fn finished_runs_are_not_repeated_and_interrupted_ones_are() {
    let bench = Bench::new();
    bench.run("--seeds 2").unwrap();
    assert_eq!(bench.begun().len(), 14);
    let before = bench.results();
    bench.run("--seeds 2").unwrap();
    assert_eq!(bench.begun(), [""; 0]);
    assert_eq!(bench.results(), before);

    let name = "resnet8-synthetic10-bnn-stompp-forward-seed1";
    fs::remove_file(bench.out().join("smoke").join(name).join("result.json")).unwrap();
    bench.run("--seeds 2").unwrap();
    assert_eq!(bench.begun(), [name]);
    assert_eq!(bench.results(), before);

    // Another number of seeds is another table of the same runs.
    bench.run("--seeds 1").unwrap();
    assert_eq!(bench.begun(), [""; 0]);
    assert_eq!(bench.results()["cells"].as_array().unwrap().len(), 7);
}

#[test]
fn a_run_of_another_configuration_stops_everything_before_it_begins() {
    let bench = Bench::new();
    bench.run("--only resnet8,stompp").unwrap();
    bench.begun();
    let config = bench
        .out()
        .join("smoke/resnet8-synthetic10-bnn-stompp-forward-seed0/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("momentum = 0.9", "momentum = 0.5")).unwrap();
    let message = failing_message(bench.run(""));
    assert!(message.contains("training.momentum: 0.5 there, 0.9 now"), "{message}");
    assert_eq!(bench.begun(), [""; 0]);
}

#[test]
fn one_failed_run_does_not_stop_the_others_and_is_named() {
    let bench = Bench::new();
    let find = |config: &RunConfig| match (config.method.name, config.network.model.depth()) {
        (Method::StomppSte, 8) => Err(TrainError::Device("gone".to_owned())),
        (Method::Ste, 20) => panic!("out of luck"),
        _ => Ok(accuracy(config)),
    };
    let message = failing_message(bench.run_as("--jobs 1", find));
    assert_eq!(bench.begun().len(), 7);
    for part in [
        "2 of 7 runs failed",
        "resnet8-synthetic10-bnn-stompp-ste-clipped-forward-seed0: device: gone",
        "resnet20-synthetic10-bnn-ste-clipped-seed0: panicked: out of luck",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(bench.results()["cells"].as_array().unwrap().len(), 5);
    assert_eq!(bench.results()["failed"].as_array().unwrap().len(), 2);
    assert!(bench.table().contains("failed: panicked: out of luck"));

    bench.run("").unwrap();
    assert_eq!(bench.begun().len(), 2, "only what failed is run again");
    assert_eq!(bench.results()["failed"].as_array().unwrap().len(), 0);
}

#[test]
fn a_seed_comes_before_the_next_and_long_runs_before_short_ones() {
    let bench = Bench::new();
    bench.run("--seeds 2 --jobs 1").unwrap();
    let begun = bench.begun();
    let kinds: Vec<_> = begun
        .iter()
        .map(|name| (name.split('-').next().unwrap(), name.rsplit('-').next().unwrap()))
        .collect();
    let expected = [
        vec![("resnet20", "seed0"); 4],
        vec![("resnet8", "seed0"); 3],
        vec![("resnet20", "seed1"); 4],
        vec![("resnet8", "seed1"); 3],
    ];
    assert_eq!(kinds, expected.concat());
}

#[test]
fn several_runs_at_a_time_give_the_same_results() {
    let (one, many) = (Bench::new(), Bench::new());
    one.run("--seeds 3 --jobs 1").unwrap();
    many.run("--seeds 3 --jobs 5").unwrap();
    assert_eq!(one.results(), many.results());
    assert_eq!(one.table(), many.table());
    let set = |bench: &Bench| bench.begun().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(&one), set(&many));
}

#[test]
fn only_runs_what_it_means_and_keeps_the_rest_of_the_table() {
    let bench = Bench::new();
    bench.run("--only resnet8").unwrap();
    assert_eq!(bench.begun().len(), 3);
    bench.run("--only stompp --jobs 1").unwrap();
    assert_eq!(
        bench.begun(),
        [
            "resnet20-synthetic10-bnn-stompp-forward-seed0",
            "resnet20-synthetic10-bnn-stompp-reverse-seed0"
        ],
    );
    assert_eq!(bench.results()["cells"].as_array().unwrap().len(), 5);
    assert_eq!(bench.results()["pending"].as_array().unwrap().len(), 2);

    let error = bench.run("--only resnet9").unwrap_err();
    assert!(error.is::<UsageError>());
    assert!(
        error.to_string().contains("resnet20-synthetic10-bnn-ste-clipped-seed0"),
        "{error}"
    );
}

#[test]
fn a_dry_run_leaves_nothing() {
    let bench = Bench::new();
    bench.run("--dry-run").unwrap();
    assert_eq!(bench.begun(), [""; 0]);
    assert!(!bench.out().exists());
}

#[test]
fn presets_that_need_data_ask_for_it() {
    let bench = Bench::new();
    for preset in ["small", "paper"] {
        let error = bench.run(&format!("--preset {preset}")).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(error.to_string().contains("needs --data"), "{error}");
    }
    let message = failing_message(bench.run("--preset small --data does/not/exist"));
    assert!(message.contains("does/not/exist"), "{message}");
    assert!(!bench.out().exists(), "nothing is left behind");
}

#[test]
fn images_that_cannot_be_read_stop_everything_before_anything_is_written() {
    let bench = Bench::new();
    let data = bench.folder.path().display().to_string();
    let outcome = bench.run_as(&format!("--preset small --data {data}"), |_| {
        Err(TrainError::Device("no images there".to_owned()))
    });
    assert_eq!(failing_message(outcome), "device: no images there");
    assert!(!bench.out().exists());
}

#[test]
fn paper_cells_are_timed_first_and_imagenet_is_refused_by_name() {
    let bench = Bench::new();
    let data = bench.folder.path().display().to_string();
    bench.run(&format!("--preset paper --data {data}")).unwrap();
    assert_eq!(bench.begun().len(), 20);
    let results = bench.results();
    let refused: Vec<_> = results["refused"].as_array().unwrap().iter().collect();
    assert_eq!(refused.len(), 10);
    assert!(
        refused
            .iter()
            .all(|cell| cell["cell"].as_str().unwrap().contains("imagenet"))
    );
    assert!(
        bench
            .table()
            .contains("`resnet50-imagenet-bnn-ste-identity-seed0`: not run: ImageNet cannot be read yet")
    );
    let published: Vec<_> = results["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| &cell["published"])
        .collect();
    assert_eq!(published.iter().filter(|value| value.is_number()).count(), 6);

    let message = failing_message(bench.run(&format!("--preset paper --only imagenet --data {data} --seeds 2")));
    assert_eq!(message, "none of the selected runs can be run");
}

#[test]
fn the_cost_of_the_paper_is_told_before_it_begins() {
    let bench = Bench::new();
    let data = bench.folder.path().display().to_string();
    let mut options = bench.options(&format!("--preset paper --data {data} --only cifar10"));
    options.quiet = false;
    let begun = Mutex::new(Vec::new());
    let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        begun
            .lock()
            .unwrap()
            .push((config.network.model.depth(), dir.starts_with(bench.out())));
        finish(dir, config, 50.0);
        Ok(())
    };
    run_with(&options, &runner).unwrap();
    let begun = begun.into_inner().unwrap();
    // Once for the images, twice for the time: elsewhere, and before all others.
    assert_eq!(begun[..3], [(18, false), (18, false), (50, false)]);
    assert!(begun[3..].iter().all(|(_, inside)| *inside));
    assert_eq!(begun.len(), 3 + 10);
}

#[test]
fn two_sweeps_do_not_share_a_folder() {
    let bench = Bench::new();
    files::create_folder(&bench.out()).unwrap();
    let held = lock(&bench.out()).unwrap();
    let message = failing_message(bench.run(""));
    assert!(message.contains("another `reproduce` is writing to"), "{message}");
    drop(held);
    bench.run("").unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new();
    fs::write(bench.out(), "a file").unwrap();
    let message = failing_message(bench.run(""));
    assert!(message.contains(&bench.out().display().to_string()), "{message}");
    assert_eq!(fs::read_to_string(bench.out()).unwrap(), "a file");
}

#[test]
fn the_table_shows_means_seeds_gains_and_what_differs() {
    let bench = Bench::new();
    bench.run("--seeds 2").unwrap();
    let table = bench.table();
    let normal: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "| ResNet-20 | synthetic, 10 classes | StoMPP | 45.2 | 45.0 / 45.5 | 2 | 1.6 | unknown |",
        "| ResNet-20 | synthetic, 10 classes | StoMPP, reverse order (ablation) | 45.2 | 45.0 / 45.5 | 2 | 1.6 | unknown |",
        "| ResNet-8 | synthetic, 10 classes | STE (clipped) | +2.0 | 2.2 | +4.0 | 2.2 | unknown |",
        "| ResNet-20 | synthetic, 10 classes | STE (clipped) | +5.0 | 2.2 | +10.0 | 2.2 | unknown |",
        "| ResNet-50 | STE (identity) | 51.5 | 26.7 | 30.8 |",
        "| ResNet-18 | StoMPP minus STE | +3.1 | +4.7 | +1.3 |",
    ] {
        assert!(normal.iter().any(|shown| shown == line), "{line}\n{table}");
    }
    for words in [
        "1600 to train on and 1000 to test on",
        "16x16 pixels",
        "ResNet-8, ResNet-20 of width 8",
        "100 steps",
        "code: abc",
        "a processor, 2 cores",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

#[test]
fn what_the_trainer_leaves_is_a_finished_run_of_its_cell() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale {
        preset: Preset::Smoke,
        data: None,
        seeds: 1,
    };
    let config = cost::few_steps(table1::TABLE1.cells(&scale)[0].config().unwrap());
    let dir = folder.path().join("run");
    let result = stompp_train::train(&config, &dir, &mut []).unwrap();
    let run_dir::RunState::Finished(record) = run_dir::inspect(&dir, &config).unwrap() else {
        panic!("the run is finished");
    };
    assert_eq!(record.result, result);
    assert_eq!(result.test_images, 32);
}

#[test]
fn a_network_without_a_baseline_has_no_gain() {
    let bench = Bench::new();
    bench.run("--only stompp").unwrap();
    assert!(
        bench
            .table()
            .lines()
            .all(|line| line.starts_with('|') || line.chars().count() <= 100)
    );
    assert!(!bench.table().contains("Gain over STE"), "{}", bench.table());
}

#[test]
fn rows_name_the_gradient_that_they_used() {
    let bench = Bench::new();
    let surrogates = Mutex::new(BTreeSet::new());
    let find = |config: &RunConfig| {
        if config.method.name == Method::Ste {
            assert_eq!(config.method.activation_surrogate, StraightThrough::Clipped);
        }
        surrogates
            .lock()
            .unwrap()
            .insert(config.method.activation_surrogate.name());
        Ok(50.0)
    };
    bench.run_as("", find).unwrap();
    assert_eq!(surrogates.into_inner().unwrap(), BTreeSet::from(["clipped"]));
}

#[test]
fn the_figure_has_a_panel_for_each_network_and_a_line_for_each_run() {
    let bench = Bench::new();
    bench.run("").unwrap();
    let svg = fs::read_to_string(bench.out().join(figure::FILE)).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for words in ["ResNet-8, synthetic", "ResNet-20, synthetic", "epoch", "top-1, %"] {
        assert!(svg.contains(words), "{words}");
    }
    // Two lines for a freezing run (as it stands, deployed), one for the baseline, and one each in a legend.
    let runs = bench.results()["cells"].as_array().unwrap().len();
    let baselines = 2;
    let lines = svg.matches("<polyline").count();
    assert!(lines >= 2 * runs - baselines + runs, "{lines} lines for {runs} runs");
}
