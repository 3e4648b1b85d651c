//! Tests of `--archive`: runs are archived in small files, and archived runs are not trained again.

use super::*;
use crate::testing::write_unfinished;

/// Adds the option `--archive` with the test's archive.
fn kept(test: &SweepTest, arguments: &str) -> String {
    format!("{arguments} --archive {}", archive(test).display())
}

fn archive(test: &SweepTest) -> PathBuf {
    test.folder.path().join("archive")
}

fn files(test: &SweepTest) -> BTreeSet<String> {
    let files = fs::read_dir(archive(test).join("smoke")).into_iter().flatten();
    files
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// The lines of the tables in a text.
fn rows(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('|')).collect()
}

#[test]
fn runs_are_kept_and_not_repeated_where_their_directories_are_gone() {
    let test = SweepTest::new();
    test.run(&kept(&test, "--only resnet8 --seeds 2")).unwrap();
    let begun = test.begun();
    let names: BTreeSet<_> = begun.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(files(&test), names);
    let (before, table) = (test.results(), test.table());

    fs::remove_dir_all(test.out()).unwrap();
    test.run(&kept(&test, "--only resnet8 --seeds 2")).unwrap();
    assert_eq!(test.begun(), [""; 0]);
    assert_eq!(test.results(), before);
    assert_eq!(rows(&test.table()), rows(&table));

    test.run(&kept(&test, "--seeds 2")).unwrap();
    assert_eq!(test.begun().len(), 8, "the others are run");
    assert_eq!(files(&test).len(), 14);
}

#[test]
fn runs_are_kept_while_others_are_still_to_be_run() {
    let test = SweepTest::new();
    let kept_before = Mutex::new(Vec::new());
    let find = |config: &RunConfig| {
        kept_before.lock().unwrap().push(files(&test).len());
        Ok(accuracy(config))
    };
    test.run_as(&kept(&test, "--jobs 1 --seeds 3"), find).unwrap();
    // A run may begin while earlier runs are still being archived.
    let counts = kept_before.into_inner().unwrap();
    assert!(counts.last() > Some(&(counts.len() / 2)), "{counts:?}");
}

#[test]
fn runs_that_were_there_before_are_kept_too() {
    let test = SweepTest::new();
    test.run("").unwrap();
    test.begun();
    test.run(&kept(&test, "")).unwrap();
    assert_eq!((test.begun().len(), files(&test).len()), (0, 7));
}

#[test]
fn a_run_of_another_configuration_in_the_archive_stops_everything() {
    let test = SweepTest::new();
    test.run(&kept(&test, "")).unwrap();
    test.begun();
    fs::remove_dir_all(test.out()).unwrap();
    let file = archive(&test).join("smoke/resnet8-synthetic10-bnn-stompp-forward-seed0.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"momentum\": 0.9", "\"momentum\": 0.5")).unwrap();
    let message = failing_message(test.run(&kept(&test, "")));
    assert!(
        message.contains("momentum was 0.5") && message.contains(&file.display().to_string()),
        "{message}"
    );
    assert_eq!(test.begun(), [""; 0]);
}

#[test]
fn a_divergence_is_a_result_and_is_not_repeated() {
    let test = SweepTest::new();
    let begun = Mutex::new(0);
    let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        *begun.lock().unwrap() += 1;
        if config.method.name != Method::Ste {
            finish(dir, config, accuracy(config));
            return Ok(());
        }
        write_unfinished(dir, config);
        Err(TrainError::NonFinite {
            what: "gradient",
            step: 781,
            value: f64::NAN,
            layer: "stem.bn".to_owned(),
            last_good: None,
        })
    };
    let options = test.line(&kept(&test, ""));
    test.run_by(&options, &train).unwrap();
    let shows_divergences = |test: &SweepTest| {
        let results = test.results();
        let diverged = results["diverged"].as_array().unwrap();
        assert_eq!(diverged.len(), 2);
        assert_eq!(diverged[0]["step"], 781);
        let table = test.table();
        for words in [
            "| 1 diverged ",
            "`resnet20-synthetic10-bnn-ste-clipped-seed0`: diverged at step 781: the gradient became NaN, first in",
        ] {
            let text = table.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words.trim()), "{words}\n{table}");
        }
    };
    shows_divergences(&test);
    assert_eq!(*begun.lock().unwrap(), 7);
    fs::remove_dir_all(test.out()).unwrap();
    test.run_by(&options, &train).unwrap();
    shows_divergences(&test);
    assert_eq!(*begun.lock().unwrap(), 7, "nothing is run again");
}
