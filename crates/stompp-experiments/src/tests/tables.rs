//! Tests of tables and results.

use super::*;

#[test]
fn every_run_is_trained_once_and_reported() {
    let test = SweepTest::new();
    test.run("").unwrap();
    assert_eq!(test.begun().len(), 7);

    let results = test.results();
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
    let run = test.out().join("smoke").join(cell["run_dir"].as_str().unwrap());
    assert!(RunResult::exists(&run));

    let timings: Value = serde_json::from_str(&test.text(results_file::TIMINGS)).unwrap();
    let timing = &timings["cells"][4];
    assert_eq!((&timing["cell"], &timing["seconds"]), (&cell["cell"], &2.0.into()));
    assert_eq!(timing["machine"]["cores"], 2);
}

#[test]
fn the_paper_s_own_size_has_the_published_numbers_and_imagenet_where_it_is_given() {
    let test = SweepTest::new();
    let place = test.folder.path().display().to_string();
    test.run(&format!("--preset paper --data {place}")).unwrap();
    assert_eq!(test.begun().len(), 20);
    let results = || -> Value {
        let file = test.out().join("paper/table1/results.json");
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

    let message = failing_message(test.run(&format!("--preset paper --only imagenet --data {place}")));
    assert_eq!(message, "none of the selected runs can be run");
    test.run(&format!(
        "--preset paper --only imagenet --data {place} --imagenet {place}"
    ))
    .unwrap();
    assert_eq!(test.begun().len(), 10);
    assert!(results()["refused"].as_array().unwrap().is_empty());
}

#[test]
fn the_table_shows_means_seeds_differences_claims_and_what_differs() {
    let test = SweepTest::new();
    test.run("--seeds 2").unwrap();
    let table = test.table();
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
    let test = SweepTest::new();
    test.run("--seeds 5").unwrap();
    let table = test.table();
    assert!(!table.contains("n too small") && table.contains("| holds "), "{table}");
}

#[test]
fn what_was_not_run_is_not_compared() {
    let test = SweepTest::new();
    test.run("--only stompp").unwrap();
    let table = test.table();
    assert!(!table.contains("## Differences"), "{table}");
    assert!(table.contains("| not tested"), "{table}");
}

#[test]
fn rows_name_the_gradient_that_they_used() {
    let test = SweepTest::new();
    let surrogates = Mutex::new(BTreeSet::new());
    let find = |config: &RunConfig| {
        if config.method.name == Method::Ste {
            assert_eq!(config.method.activation_surrogate, Surrogate::Clipped);
        }
        surrogates
            .lock()
            .unwrap()
            .insert(config.method.activation_surrogate.name());
        Ok(50.0)
    };
    test.run_as("", find).unwrap();
    assert_eq!(surrogates.into_inner().unwrap(), BTreeSet::from(["clipped"]));
}
