//! What is asked of the verb, and what it refuses.

use super::*;
use crate::reproduce::row::model;

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

/// As ImageNet's: a table with CIFAR-10 alone has its rows of CIFAR-10.
#[test]
fn rows_whose_images_are_missing_are_left_out_by_name() {
    let bench = Bench::new();
    let data = bench.folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&data).unwrap();
    let record = [&[0u8; 1][..], &[7; 3072]].concat();
    for file in [
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ] {
        fs::write(data.join(format!("{file}.bin")), &record).unwrap();
    }
    // Looks for the images as the trainer does.
    let find = |config: &RunConfig| match config.data.dataset {
        Dataset::Cifar10 => Ok(50.0),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            Err(stompp_train::train(config, &folder.path().join("run"), &mut []).unwrap_err())
        }
    };
    bench
        .run_as(&format!("--preset paper --data {}", data.display()), find)
        .unwrap();
    let begun = bench.begun();
    assert!(
        !begun.is_empty() && begun.iter().all(|name| name.contains("cifar10-")),
        "{begun:?}"
    );
    let table = fs::read_to_string(bench.out().join("paper/table1/table.md")).unwrap();
    assert!(
        table.contains("its images are not there") && table.contains("it needs --imagenet"),
        "{table}"
    );

    // None at all is an error, which names what is missing.
    let bench = Bench::new();
    let empty = bench.folder.path().display().to_string();
    let fails = |config: &RunConfig| {
        let folder = tempfile::tempdir().unwrap();
        Err(stompp_train::train(config, &folder.path().join("run"), &mut []).unwrap_err())
    };
    let message = failing_message(bench.run_as(&format!("--preset paper --data {empty}"), fails));
    assert!(message.contains("data_batch_1.bin"), "{message}");
    assert!(!bench.out().exists());
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
            .push((model(config).depth(), dir.starts_with(bench.out())));
        finish(dir, config, 50.0);
        Ok(())
    };
    bench.run_by(&options, &runner).unwrap();
    let begun = begun.into_inner().unwrap();
    // Once for the images, twice for the time: elsewhere, and before all others.
    assert_eq!(begun[..3], [(18, false), (18, false), (50, false)]);
    assert!(begun[3..].iter().all(|(_, inside)| *inside));
    assert_eq!(begun.len(), 3 + 10);
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
fn what_the_trainer_leaves_is_a_finished_run_of_its_cell() {
    let folder = tempfile::tempdir().unwrap();
    let scale = Scale::new(Preset::Smoke);
    let config = cost::few_steps(experiments::ALL[0].cells(&scale)[0].config().unwrap());
    let dir = folder.path().join("run");
    let result = stompp_train::train(&config, &dir, &mut []).unwrap();
    let run_dir::RunState::Finished(record) = run_dir::inspect(&dir, &config).unwrap() else {
        panic!("the run is finished");
    };
    assert_eq!(record.result, result);
    assert_eq!(result.test_images, 32);
}
