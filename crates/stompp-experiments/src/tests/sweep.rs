//! Tests of many runs: which ones begin, in which order, how many at a time, and how failures are reported.

use super::*;

#[test]
fn finished_runs_are_not_repeated_and_interrupted_ones_are() {
    let test = SweepTest::new();
    test.run("--seeds 2").unwrap();
    assert_eq!(test.begun().len(), 14);
    let before = test.results();
    test.run("--seeds 2").unwrap();
    assert_eq!(test.begun(), [""; 0]);
    assert_eq!(test.results(), before);

    let name = "resnet8-synthetic10-bnn-stompp-forward-seed1";
    fs::remove_file(test.run_dir(name).join("result.json")).unwrap();
    test.run("--seeds 2").unwrap();
    assert_eq!(test.begun(), [name]);
    assert_eq!(test.results(), before);

    // Another number of seeds is another table of the same runs.
    test.run("--seeds 1").unwrap();
    assert_eq!(test.begun(), [""; 0]);
    assert_eq!(test.results()["cells"].as_array().unwrap().len(), 7);
}

#[test]
fn a_run_of_another_configuration_stops_everything_before_it_begins() {
    let test = SweepTest::new();
    test.run("--only resnet8,stompp").unwrap();
    test.begun();
    let config = test
        .run_dir("resnet8-synthetic10-bnn-stompp-forward-seed0")
        .join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("momentum = 0.9", "momentum = 0.5")).unwrap();
    let message = failing_message(test.run(""));
    assert!(
        message.contains("training.momentum was 0.5, now it is 0.9"),
        "{message}"
    );
    assert_eq!(test.begun(), [""; 0]);
}

#[test]
fn one_failed_run_does_not_stop_the_others_and_is_named() {
    let test = SweepTest::new();
    let find = |config: &RunConfig| match (config.method.name, depth(config)) {
        (Method::StomppSte, 8) => Err(TrainError::Device("gone".to_owned())),
        (Method::Ste, 20) => panic!("out of luck"),
        _ => Ok(accuracy(config)),
    };
    let message = failing_message(test.run_as("--jobs 1", find));
    assert_eq!(test.begun().len(), 7);
    for part in [
        "2 of 7 runs failed",
        "resnet8-synthetic10-bnn-stompp-ste-clipped-forward-seed0: device: gone",
        "resnet20-synthetic10-bnn-ste-clipped-seed0: panicked: out of luck",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(test.results()["cells"].as_array().unwrap().len(), 5);
    assert_eq!(test.results()["failed"].as_array().unwrap().len(), 2);
    assert!(test.table().contains("failed: panicked: out of luck"));

    test.run("").unwrap();
    assert_eq!(test.begun().len(), 2, "only what failed is run again");
    assert_eq!(test.results()["failed"].as_array().unwrap().len(), 0);
}

#[test]
fn a_seed_comes_before_the_next_and_long_runs_before_short_ones() {
    let test = SweepTest::new();
    test.run("--seeds 2 --jobs 1").unwrap();
    let begun = test.begun();
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
    let (one, many) = (SweepTest::new(), SweepTest::new());
    one.run("--seeds 3 --jobs 1").unwrap();
    many.run("--seeds 3 --jobs 5").unwrap();
    assert_eq!(one.results(), many.results());
    let set = |test: &SweepTest| test.begun().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(&one), set(&many));
}

#[test]
fn only_runs_what_it_means_and_keeps_the_rest_of_the_table() {
    let test = SweepTest::new();
    test.run("--only resnet8").unwrap();
    assert_eq!(test.begun().len(), 3);
    test.run("--only stompp --jobs 1").unwrap();
    assert_eq!(
        test.begun(),
        [
            "resnet20-synthetic10-bnn-stompp-forward-seed0",
            "resnet20-synthetic10-bnn-stompp-reverse-seed0"
        ],
    );
    assert_eq!(test.results()["cells"].as_array().unwrap().len(), 5);
    assert_eq!(test.results()["pending"].as_array().unwrap().len(), 2);

    let error = test.run("--only resnet9").unwrap_err();
    assert!(matches!(error, ExperimentError::NoMatchingRun { .. }));
    assert!(
        error.to_string().contains("resnet20-synthetic10-bnn-ste-clipped-seed0"),
        "{error}"
    );
}

#[test]
fn what_another_process_is_at_is_left_to_it_and_looked_at_again() {
    let test = SweepTest::new();
    let name = "resnet8-synthetic10-bnn-ste-clipped-seed0";
    let (tries, others) = (Mutex::new(0), test.run_dir(name));
    let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        if dir == others {
            *tries.lock().unwrap() += 1;
            if *tries.lock().unwrap() == 1 {
                return Err(TrainError::Busy { path: dir.to_owned() });
            }
        }
        finish(dir, config, 50.0);
        Ok(())
    };
    test.run_by(&test.line("--jobs 1"), &train).unwrap();
    assert_eq!(
        *tries.lock().unwrap(),
        2,
        "it had been given up, so it was run in the end"
    );

    // While another process is training it, it is not run and is no failure.
    fs::remove_file(test.run_dir(name).join("result.json")).unwrap();
    let held = File::open(test.run_dir(name)).unwrap();
    held.try_lock().unwrap();
    test.run_by(&test.line(""), &train).unwrap();
    assert_eq!(*tries.lock().unwrap(), 2);
    let pending = test.results()["pending"].clone();
    assert_eq!(pending[0]["reason"], "another process is at it");
}

#[test]
fn sweeps_of_several_processes_end_in_one_result() {
    let test = SweepTest::new();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let sweeps = [0, 1, 2].map(|_| {
            scope.spawn(|| {
                let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
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
                test.run_by(&test.line("--seeds 2 --jobs 2"), &train)
            })
        });
        sweeps.into_iter().map(|sweep| sweep.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let alone = SweepTest::new();
    alone.run("--seeds 2").unwrap();
    assert_eq!(test.text(RESULTS), alone.text(RESULTS));
}

#[test]
fn a_run_that_ends_without_a_result_has_failed() {
    let test = SweepTest::new();
    let message = failing_message(test.run_by(&test.line("--only resnet8,ste"), &|_, _, _| Ok(())));
    assert!(message.contains("ended without a result"), "{message}");
}

#[test]
fn shards_are_disjoint_and_merge_to_the_whole() {
    let (whole, target) = (SweepTest::new(), SweepTest::new());
    whole.run("--seeds 2").unwrap();
    let parts = [SweepTest::new(), SweepTest::new(), SweepTest::new()];
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
    assert_eq!(target.text(RESULTS), whole.text(RESULTS));
    // A second merge changes nothing. A run with another result is an error that names it.
    target.run(&format!("--seeds 2 --merge {}", folders[0])).unwrap();
    let other = SweepTest::new();
    other.run_as("--seeds 2 --only resnet8,ste", |_| Ok(1.0)).unwrap();
    let message = failing_message(target.run(&format!("--seeds 2 --merge {}", other.out().display())));
    assert!(message.contains("same run with different results"), "{message}");
    let message = failing_message(target.run("--merge does/not/exist"));
    assert!(message.contains("has no runs of preset smoke"), "{message}");
}

#[test]
fn the_parts_for_a_scheduler_train_every_run_once_after_the_run_it_begins_with() {
    let whole = SweepTest::new();
    whole.run("pretrained --seeds 2").unwrap();
    let mut all = whole.begun();
    all.sort();
    // A run a part, several runs a part, and everything in one.
    for (max_parts, lengths) in [(100, vec![16, 12]), (5, vec![5, 5]), (1, vec![1, 1])] {
        let test = SweepTest::new();
        let line = test.line("pretrained --seeds 2");
        let parts = line.open(line.setup()).unwrap().parts(max_parts);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        for shard in parts.iter().flatten() {
            test.run(&format!("pretrained --seeds 2 --shard {shard}")).unwrap();
        }
        let mut begun = test.begun();
        begun.sort();
        assert_eq!(begun, all, "at most {max_parts} parts");
        assert!(
            line.open(line.setup()).unwrap().parts(max_parts).is_empty(),
            "all is done"
        );
        let results = |test: &SweepTest| fs::read(test.out().join("smoke/pretrained").join(RESULTS)).unwrap();
        assert_eq!(results(&test), results(&whole));
    }
}

#[test]
fn parts_have_only_the_selected_runs_that_have_not_ended() {
    let test = SweepTest::new();
    let parts = |arguments: &str| {
        let line = test.line(arguments);
        let lists = line.open(line.setup()).unwrap().parts(100);
        lists.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(parts("pretrained --only resnet8"), [4, 3]);
    test.run("pretrained --only resnet8,float").unwrap();
    assert_eq!(parts("pretrained --only resnet8"), [6], "their weights are there");
    test.run("pretrained --only resnet8").unwrap();
    assert_eq!(parts("pretrained --only resnet8"), [0; 0]);
    let held = test.run_dir("resnet8-synthetic10-bnn-float-seed0");
    fs::remove_file(held.join("result.json")).unwrap();
    let held = File::open(held).unwrap();
    held.try_lock().unwrap();
    assert_eq!(
        parts("pretrained --only resnet8"),
        [1],
        "what is being trained may be stopped"
    );
}

/// The runs of the experiment `pretrained` that begin with the weights of others.
fn pretrained(names: &[String]) -> Vec<&String> {
    names.iter().filter(|name| name.contains("-pretrained-")).collect()
}

#[test]
fn a_pretrained_run_begins_with_the_weights_of_its_float_run() {
    let test = SweepTest::new();
    test.run("pretrained --jobs 3").unwrap();
    let begun = test.begun();
    let position = |name: &str| begun.iter().position(|other| other == name).unwrap();
    assert_eq!((begun.len(), pretrained(&begun).len()), (14, 6));
    for name in pretrained(&begun) {
        let float = if name.starts_with("bireal") {
            "bireal8"
        } else {
            "resnet8"
        };
        let float = format!("{float}-synthetic10-bnn-float-seed0");
        assert!(position(&float) < position(name), "{begun:?}");
        let config = RunConfig::load(&test.run_dir(name).join("config.toml")).unwrap();
        assert_eq!(config.training.init_from, Some(test.run_dir(&float)));
    }
    test.run("pretrained").unwrap();
    assert_eq!(test.begun(), [""; 0]);

    // The folder of the results may be moved.
    let moved = test.folder.path().join("moved");
    fs::rename(test.out(), &moved).unwrap();
    let line = format!("pretrained --out {}", moved.display());
    let nothing = |_: &RunConfig, _: &Path, _: &mut [&mut dyn Callback]| unreachable!("every run is finished");
    test.run_by(&Line::parse_from(line.split_whitespace()), &nothing)
        .unwrap();
}

#[test]
fn a_pretrained_run_without_weights_is_skipped_with_the_reason() {
    let reason = "it begins with the weights of resnet8-synthetic10-bnn-float-seed0, which is not trained in";
    let test = SweepTest::new();
    let message = failing_message(test.run("pretrained --only resnet8,pretrained"));
    assert!(message.contains("none of the selected runs can be run"), "{message}");
    assert_eq!(test.begun(), [""; 0]);

    let find = |config: &RunConfig| match config.method.name {
        Method::Float if config.network.model.to_string() == "resnet8" => Err(TrainError::Device("gone".to_owned())),
        _ => Ok(accuracy(config)),
    };
    let message = failing_message(test.run_as("pretrained", find));
    assert!(message.contains("1 of 14 runs failed"), "{message}");
    let results = fs::read_to_string(test.out().join("smoke/pretrained").join(RESULTS)).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    let skipped = results["refused"].as_array().unwrap();
    assert_eq!(skipped.len(), 3, "those of ResNet-8");
    for skipped in skipped {
        assert!(skipped["reason"].as_str().unwrap().starts_with(reason), "{skipped}");
    }
    test.begun();
    test.run("pretrained").unwrap();
    assert_eq!(test.begun().len(), 4, "the float run, then those that begin with it");
}

#[test]
fn a_pretrained_run_is_archived_without_the_folder_of_its_float_run() {
    let test = SweepTest::new();
    let archive = test.folder.path().join("archive");
    let line = format!("pretrained --archive {}", archive.display());
    test.run(&line).unwrap();
    assert_eq!(test.begun().len(), 14);
    let file = archive.join("smoke/resnet8-synthetic10-bnn-stompp-forward-few-3ep-pretrained-seed0.json");
    let text = fs::read_to_string(file).unwrap();
    assert!(
        text.contains(r#""init_from": "resnet8-synthetic10-bnn-float-seed0""#),
        "{text}"
    );
    fs::remove_dir_all(test.out()).unwrap();
    test.run(&line).unwrap();
    assert_eq!(test.begun(), [""; 0]);
}
