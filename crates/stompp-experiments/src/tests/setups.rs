//! Tests of the options of sweeps and their errors.

use super::*;
use stompp_train::config::{ModelSource, Setting};

#[test]
fn images_that_cannot_be_read_stop_everything_before_anything_is_written() {
    let test = SweepTest::new();
    let data = test.folder.path().display().to_string();
    let outcome = test.run_as(&format!("--preset small --data {data}"), |_| {
        Err(TrainError::Device("no images there".to_owned()))
    });
    assert_eq!(failing_message(outcome), "device: no images there");
    assert!(!test.out().exists());
}

/// As ImageNet's: a table with CIFAR-10 alone has its rows of CIFAR-10.
#[test]
fn rows_whose_images_are_missing_are_left_out_by_name() {
    let test = SweepTest::new();
    let data = test.folder.path().join("cifar-10-batches-bin");
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
    // Looks for the images like the trainer.
    let find = |config: &RunConfig| match config.data.dataset {
        Dataset::Cifar10 => Ok(50.0),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            Err(stompp_train::train(config, &folder.path().join("run"), &mut []).unwrap_err())
        }
    };
    test.run_as(&format!("--preset paper --data {}", data.display()), find)
        .unwrap();
    let begun = test.begun();
    assert!(
        !begun.is_empty() && begun.iter().all(|name| name.contains("cifar10-")),
        "{begun:?}"
    );
    let table = fs::read_to_string(test.out().join("paper/table1/table.md")).unwrap();
    assert!(
        table.contains("its images are not there") && table.contains("it needs --imagenet"),
        "{table}"
    );

    // If no images are there, the error names what is missing.
    let test = SweepTest::new();
    let empty = test.folder.path().display().to_string();
    let fails = |config: &RunConfig| {
        let folder = tempfile::tempdir().unwrap();
        Err(stompp_train::train(config, &folder.path().join("run"), &mut []).unwrap_err())
    };
    let message = failing_message(test.run_as(&format!("--preset paper --data {empty}"), fails));
    assert!(message.contains("data_batch_1.bin"), "{message}");
    assert!(!test.out().exists());
}

#[test]
fn the_cost_of_the_paper_is_measured_before_it_begins() {
    let test = SweepTest::new();
    let data = test.folder.path().display().to_string();
    let line = test.line(&format!("--preset paper --data {data} --only cifar10"));
    let begun = Mutex::new(Vec::new());
    let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        begun.lock().unwrap().push((depth(config), dir.starts_with(test.out())));
        finish(dir, config, 50.0);
        Ok(())
    };
    let mut sweep = line.open(line.setup()).unwrap();
    sweep.skip_missing_images(&train).unwrap();
    assert_eq!(sweep.estimate_cost(&train).unwrap().len(), 2);
    sweep.train(&train).unwrap();
    let begun = begun.into_inner().unwrap();
    // Once for the images, twice for the time: elsewhere, and before all others.
    assert_eq!(begun[..3], [(18, false), (18, false), (50, false)]);
    assert!(begun[3..].iter().all(|(_, inside)| *inside));
    assert_eq!(begun.len(), 3 + 10);
}

#[test]
fn every_experiment_runs_and_shares_its_runs_with_the_others() {
    let test = SweepTest::new();
    let mut begun = BTreeSet::new();
    for experiment in builtin::ALL {
        test.run(experiment.name).unwrap();
        for name in test.begun() {
            assert!(begun.insert(name.clone()), "{name} is run once");
        }
        let folder = test.out().join("smoke").join(experiment.name);
        let table = fs::read_to_string(folder.join("table.md")).unwrap();
        assert!(
            table.contains(experiment.title) && table.contains(experiment.question),
            "{table}"
        );
        assert!(!table.contains("Not in the tables"), "{table}");
    }
    test.run("all").unwrap();
    assert_eq!(test.begun(), [""; 0]);
    let table = fs::read_to_string(test.out().join("smoke/all/table.md")).unwrap();
    assert!(builtin::ALL.iter().all(|experiment| table.contains(experiment.title)));

    let alone = SweepTest::new();
    alone.run("all").unwrap();
    assert_eq!(alone.begun().into_iter().collect::<BTreeSet<_>>(), begun);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let test = SweepTest::new();
    fs::write(test.out(), "a file").unwrap();
    let message = failing_message(test.run(""));
    assert!(message.contains(&test.out().display().to_string()), "{message}");
    assert_eq!(fs::read_to_string(test.out()).unwrap(), "a file");
}

#[test]
fn what_the_trainer_writes_is_a_finished_run() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(Preset::Smoke);
    let config = crate::sweep::cost::trial_config(builtin::ALL[0].experiment(&setup).runs[0].config().unwrap());
    let dir = folder.path().join("run");
    let result = stompp_train::train(&config, &dir, &mut []).unwrap();
    let run_dir::RunDirState::Finished(finished) = run_dir::inspect(&dir, &config).unwrap() else {
        panic!("the run is finished");
    };
    assert_eq!(finished.result, result);
    assert_eq!(result.test_images, 32);
}

/// A report of your own has neither published numbers nor a section on the paper.
#[test]
fn an_experiment_of_your_own_shares_nothing_with_the_paper() {
    let test = SweepTest::new();
    let setup = Setup {
        name: "own".to_owned(),
        seeds: 2,
        ..Setup::new(Preset::Smoke)
    };
    let images = Images::Set(Dataset::Synthetic10);
    let row = Row::product(
        Setting::Bnn,
        &["resnet8".parse::<ModelSource>().unwrap()],
        images,
        &[MethodVariant::Ste(Surrogate::Clipped)],
    )
    .remove(0);
    let momentum = |momentum: f64| {
        let word = format!("m{momentum}");
        row.with_override(Override::custom(
            &word,
            &format!("momentum {momentum}"),
            move |config| {
                config.training.momentum = momentum;
            },
        ))
    };
    let rows = vec![momentum(0.5), momentum(0.9)];
    let experiment = Experiment::new("momentum", "Momentum <&>", rows, &setup);
    let names: Vec<_> = experiment.runs.iter().map(RunSpec::name).collect();
    let expected = [
        "resnet8-synthetic10-bnn-ste-clipped-m0.5-seed0",
        "resnet8-synthetic10-bnn-ste-clipped-seed0", // 0.9 is the default.
        "resnet8-synthetic10-bnn-ste-clipped-m0.5-seed1",
        "resnet8-synthetic10-bnn-ste-clipped-seed1",
    ];
    assert_eq!(names, expected);

    let options = SweepOptions {
        quiet: true,
        ..SweepOptions::new(test.out())
    };
    let mut sweep = Sweep::open(vec![experiment], setup, options).unwrap();
    let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        finish(dir, config, 100.0 * config.training.momentum);
        Ok(())
    };
    let tables = sweep.run(&train).unwrap();
    assert!(tables.contains("STE (clipped), momentum 0.5 "), "{tables}");
    assert!(!tables.contains("paper") && !tables.contains("published)"), "{tables}");
    let folder = test.out().join("own/momentum");
    assert_eq!(sweep.report_folder(), folder);
    let html = fs::read_to_string(folder.join(PAGE)).unwrap();
    assert!(html.contains("<title>Momentum &lt;&amp;&gt;</title>"), "{html}");
    let results: Value = serde_json::from_slice(&fs::read(folder.join(RESULTS)).unwrap()).unwrap();
    assert_eq!(
        (&results["preset"], &results["published_source"]),
        (&"own".into(), &Value::Null)
    );
}

#[test]
fn two_different_runs_with_one_name_are_refused() {
    let test = SweepTest::new();
    let setup = Setup::new(Preset::Smoke);
    let experiments = [1, 2].map(|batch_size| {
        let overrides = Override::custom("same", "same", move |config| config.training.batch_size = batch_size);
        let images = Images::Set(Dataset::Synthetic10);
        let networks = ["resnet8".parse::<ModelSource>().unwrap()];
        let rows = Row::product(Setting::Bnn, &networks, images, &[MethodVariant::Float]);
        Experiment::new("x", "x", vec![rows[0].with_override(overrides)], &setup)
    });
    let error = Sweep::open(experiments.to_vec(), setup, SweepOptions::new(test.out())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two runs with different configurations are called resnet8-synthetic10-bnn-float-same-seed0"
    );
    assert!(!test.out().exists());
}

#[test]
fn names_that_are_paths_are_refused() {
    let test = SweepTest::new();
    let setup = Setup::new(Preset::Smoke);
    for name in ["", "../x", "a b"] {
        let experiment = Experiment::new(name, "x", Vec::new(), &setup);
        let error = Sweep::open(vec![experiment], setup.clone(), SweepOptions::new(test.out())).unwrap_err();
        assert!(
            error.to_string().contains(&format!("`{name}` cannot be the name")),
            "{error}"
        );
    }
}
