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
use stompp_train::{Callback, RunConfig, RunResult, TrainError};

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

    /// The command line; the experiment is table1 unless the arguments begin with a name.
    fn options(&self, arguments: &str) -> Options {
        let out = self.out();
        let named = arguments.starts_with(char::is_alphabetic);
        let experiment = if named { "" } else { "table1 " };
        let line = format!("reproduce {experiment}{arguments} --quiet --out {}", out.display());
        Line::parse_from(line.split_whitespace()).options
    }

    /// Runs the verb with runs that find what `find` says.
    fn run_as(&self, arguments: &str, find: impl Fn(&RunConfig) -> Result<f64, TrainError> + Sync) -> Result<()> {
        let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
            assert!(!RunResult::exists(dir), "a finished run is not repeated");
            if dir.starts_with(self.out()) {
                let name = dir.file_name().unwrap().to_string_lossy().into_owned();
                self.begun.lock().unwrap().push(name);
            }
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

    /// A run's directory.
    fn run_dir(&self, name: &str) -> PathBuf {
        self.out().join("smoke/runs").join(name)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.out().join("smoke/table1").join(file)).unwrap()
    }

    fn results(&self) -> Value {
        serde_json::from_str(&self.text(results::FILE)).unwrap()
    }

    fn table(&self) -> String {
        self.text("table.md")
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
    assert_eq!(results["preset"], "smoke");
    let rows = results["experiments"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[4]["row"], "ResNet-20, synthetic, 10 classes, StoMPP");
    assert_eq!((&rows[4]["mean"], &rows[4]["published"]), (&45.0.into(), &Value::Null));
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
        ("steps", 100.into()),
        ("width", 8.into()),
        ("curve", "cubic".into()),
        ("refresh", "0.1w".into()),
        ("run_dir", "runs/resnet20-synthetic10-bnn-stompp-forward-seed0".into()),
        ("revision", "abc".into()),
        ("cpu", "a processor".into()),
    ] {
        assert_eq!(cell[field], value, "{field}");
    }
    let run = bench.out().join("smoke").join(cell["run_dir"].as_str().unwrap());
    assert!(RunResult::exists(&run));

    let timings: Value = serde_json::from_str(&bench.text(results::TIMINGS)).unwrap();
    let timing = &timings["cells"][4];
    assert_eq!((&timing["cell"], &timing["seconds"]), (&cell["cell"], &2.0.into()));
    assert_eq!(timing["machine"]["cores"], 2);
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
    fs::remove_file(bench.run_dir(name).join("result.json")).unwrap();
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
        .run_dir("resnet8-synthetic10-bnn-stompp-forward-seed0")
        .join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("momentum = 0.9", "momentum = 0.5")).unwrap();
    let message = failing_message(bench.run(""));
    assert!(
        message.contains("training.momentum was 0.5, now it is 0.9"),
        "{message}"
    );
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
fn the_paper_s_own_size_has_the_published_numbers_and_imagenet_where_it_is_given() {
    let bench = Bench::new();
    let place = bench.folder.path().display().to_string();
    bench.run(&format!("--preset paper --data {place}")).unwrap();
    assert_eq!(bench.begun().len(), 20);
    let results = || -> Value {
        let file = bench.out().join("paper/table1/results.json");
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    };
    let refused = results()["refused"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 10);
    for cell in refused {
        assert!(cell["cell"].as_str().unwrap().contains("imagenet"));
        assert!(cell["reason"].as_str().unwrap().contains("--imagenet"), "{cell}");
    }
    let rows = results()["experiments"][0]["rows"].as_array().unwrap().clone();
    assert_eq!(rows.iter().filter(|row| row["published"].is_number()).count(), 9);

    let message = failing_message(bench.run(&format!("--preset paper --only imagenet --data {place}")));
    assert_eq!(message, "none of the selected runs can be run");
    bench
        .run(&format!(
            "--preset paper --only imagenet --data {place} --imagenet {place}"
        ))
        .unwrap();
    assert_eq!(bench.begun().len(), 10);
    assert!(results()["refused"].as_array().unwrap().is_empty());
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
fn what_another_process_is_at_is_left_to_it_and_looked_at_again() {
    let bench = Bench::new();
    let name = "resnet8-synthetic10-bnn-ste-clipped-seed0";
    let (tries, others) = (Mutex::new(0), bench.run_dir(name));
    let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        if dir == others {
            *tries.lock().unwrap() += 1;
            if *tries.lock().unwrap() == 1 {
                return Err(TrainError::Busy { path: dir.to_owned() });
            }
        }
        finish(dir, config, 50.0);
        Ok(())
    };
    run_with(&bench.options("--jobs 1"), &runner).unwrap();
    assert_eq!(
        *tries.lock().unwrap(),
        2,
        "it had been given up, so it was run in the end"
    );

    // As long as the other is at it, it is neither run nor a failure.
    fs::remove_file(bench.run_dir(name).join("result.json")).unwrap();
    let held = File::open(bench.run_dir(name)).unwrap();
    held.try_lock().unwrap();
    run_with(&bench.options(""), &runner).unwrap();
    assert_eq!(*tries.lock().unwrap(), 2);
    let pending = bench.results()["pending"].clone();
    assert_eq!(pending[0]["reason"], "another process is at it");
}

#[test]
fn sweeps_of_several_processes_end_in_one_result() {
    let bench = Bench::new();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let sweeps = [0, 1, 2].map(|_| {
            scope.spawn(|| {
                let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
                    fs::create_dir_all(dir).unwrap();
                    let lock = File::open(dir).unwrap();
                    if lock.try_lock().is_err() {
                        return Err(TrainError::Busy { path: dir.to_owned() });
                    }
                    if !RunResult::exists(dir) {
                        finish(dir, config, accuracy(config));
                    }
                    Ok(())
                };
                run_with(&bench.options("--seeds 2 --jobs 2"), &runner)
            })
        });
        sweeps.into_iter().map(|sweep| sweep.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let alone = Bench::new();
    alone.run("--seeds 2").unwrap();
    assert_eq!(bench.text(results::FILE), alone.text(results::FILE));
}

#[test]
fn a_run_that_ends_without_a_result_has_failed() {
    let bench = Bench::new();
    let message = failing_message(run_with(&bench.options("--only resnet8,ste"), &|_, _, _| Ok(())));
    assert!(message.contains("ended without a result"), "{message}");
}

#[test]
fn shards_are_disjoint_and_merge_to_the_whole() {
    let (whole, target) = (Bench::new(), Bench::new());
    whole.run("--seeds 2").unwrap();
    let parts = [Bench::new(), Bench::new(), Bench::new()];
    let mut begun = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        part.run(&format!("--seeds 2 --shard {}/3", place + 1)).unwrap();
        let some = part.begun();
        assert!((4..=5).contains(&some.len()), "{some:?}");
        begun.extend(some);
    }
    begun.sort();
    let mut all = whole.begun();
    all.sort();
    assert_eq!(begun, all);

    let folders: Vec<_> = parts.iter().map(|part| part.out().display().to_string()).collect();
    target.run(&format!("--seeds 2 --merge {}", folders.join(" "))).unwrap();
    assert_eq!(target.begun(), [""; 0], "nothing is run");
    assert_eq!(target.text(results::FILE), whole.text(results::FILE));
    // Once more changes nothing; a run with another result is refused by name.
    target.run(&format!("--seeds 2 --merge {}", folders[0])).unwrap();
    let other = Bench::new();
    other.run_as("--seeds 2 --only resnet8,ste", |_| Ok(1.0)).unwrap();
    let message = failing_message(target.run(&format!("--seeds 2 --merge {}", other.out().display())));
    assert!(message.contains("same run with different results"), "{message}");
    let message = failing_message(target.run("--merge does/not/exist"));
    assert!(message.contains("has no runs of preset smoke"), "{message}");
}

#[test]
fn every_experiment_runs_and_shares_its_runs_with_the_others() {
    let bench = Bench::new();
    let mut begun = BTreeSet::new();
    for experiment in experiments::ALL {
        bench.run(experiment.name).unwrap();
        for name in bench.begun() {
            assert!(begun.insert(name.clone()), "{name} is run once");
        }
        let folder = bench.out().join("smoke").join(experiment.name);
        let table = fs::read_to_string(folder.join("table.md")).unwrap();
        assert!(
            table.contains(experiment.title) && table.contains(experiment.question),
            "{table}"
        );
        assert!(!table.contains("Not in the tables"), "{table}");
    }
    bench.run("all").unwrap();
    assert_eq!(bench.begun(), [""; 0]);
    let table = fs::read_to_string(bench.out().join("smoke/all/table.md")).unwrap();
    assert!(
        experiments::ALL
            .iter()
            .all(|experiment| table.contains(experiment.title))
    );

    let alone = Bench::new();
    alone.run("all").unwrap();
    assert_eq!(alone.begun().into_iter().collect::<BTreeSet<_>>(), begun);
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
fn the_table_shows_means_seeds_differences_claims_and_what_differs() {
    let bench = Bench::new();
    bench.run("--seeds 2").unwrap();
    let table = bench.table();
    let normal: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "| ResNet-20 | synthetic, 10 classes | StoMPP | 45.2 | 0.4 | 2 | 45.0 / 45.5 | 1.6 | unknown |",
        "| ResNet-20 | synthetic, 10 classes | StoMPP, reverse order | 45.2 | 0.4 | 2 | 45.0 / 45.5 | 1.6 | unknown |",
        "| ResNet-8 | synthetic, 10 classes | StoMPP | STE (clipped) | +2.0 | +2.0 to +2.0 (n too small) | 2 | unknown |",
        "| ResNet-20 | synthetic, 10 classes | StoMPP+STE (clipped) | STE (clipped) | +10.0 | +10.0 to +10.0 (n too small) | 2 | unknown |",
        "| StoMPP does better than STE (clipped) (ResNet-8, synthetic, 10 classes) | seen, too few seeds to tell | +2.0 [+2.0, +2.0], n = 2 |",
        "| ResNet-50 | CIFAR-10 | STE (identity) | 51.5 |",
        "| ResNet-18 | CIFAR-100 | StoMPP minus STE (identity) | +4.7 |",
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
        "cargo xtask reproduce table1 --preset smoke --seeds 2",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

#[test]
fn five_seeds_let_a_claim_hold() {
    let bench = Bench::new();
    bench.run("--seeds 5").unwrap();
    let table = bench.table();
    assert!(!table.contains("n too small") && table.contains("| holds "), "{table}");
}

#[test]
fn what_the_trainer_leaves_is_a_finished_run_of_its_cell() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale {
        preset: Preset::Smoke,
        data: None,
        imagenet: None,
        seeds: 1,
    };
    let config = cost::few_steps(experiments::ALL[0].cells(&scale)[0].config().unwrap());
    let dir = folder.path().join("run");
    let result = stompp_train::train(&config, &dir, &mut []).unwrap();
    let run_dir::RunState::Finished(record) = run_dir::inspect(&dir, &config).unwrap() else {
        panic!("the run is finished");
    };
    assert_eq!(record.result, result);
    assert_eq!(result.test_images, 32);
}

#[test]
fn what_was_not_run_is_not_compared() {
    let bench = Bench::new();
    bench.run("--only stompp").unwrap();
    let table = bench.table();
    assert!(!table.contains("## Differences"), "{table}");
    assert!(table.contains("| not tested"), "{table}");
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
