//! `--archive`: what runs found is kept in small files, and runs that are there count as done.

use super::*;
use crate::reproduce::testing::leave_unfinished;

/// The arguments that keep runs in the bench's archive.
fn kept(bench: &Bench, arguments: &str) -> String {
    format!("{arguments} --archive {}", archive(bench).display())
}

fn archive(bench: &Bench) -> PathBuf {
    bench.folder.path().join("archive")
}

fn files(bench: &Bench) -> BTreeSet<String> {
    let files = fs::read_dir(archive(bench).join("smoke")).into_iter().flatten();
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
    let bench = Bench::new();
    bench.run(&kept(&bench, "--only resnet8 --seeds 2")).unwrap();
    let begun = bench.begun();
    let names: BTreeSet<_> = begun.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(files(&bench), names);
    let (before, table) = (bench.results(), bench.table());

    fs::remove_dir_all(bench.out()).unwrap();
    bench.run(&kept(&bench, "--only resnet8 --seeds 2")).unwrap();
    assert_eq!(bench.begun(), [""; 0]);
    assert_eq!(bench.results(), before);
    assert_eq!(rows(&bench.table()), rows(&table));

    bench.run(&kept(&bench, "--seeds 2")).unwrap();
    assert_eq!(bench.begun().len(), 8, "the others are run");
    assert_eq!(files(&bench).len(), 14);
}

#[test]
fn runs_are_kept_while_others_are_still_to_be_run() {
    let bench = Bench::new();
    let kept_before = Mutex::new(Vec::new());
    let find = |config: &RunConfig| {
        kept_before.lock().unwrap().push(files(&bench).len());
        Ok(accuracy(config))
    };
    bench.run_as(&kept(&bench, "--jobs 1 --seeds 3"), find).unwrap();
    // A run may begin while the ones before it are being written.
    let counts = kept_before.into_inner().unwrap();
    assert!(counts.last() > Some(&(counts.len() / 2)), "{counts:?}");
}

#[test]
fn runs_that_were_there_before_are_kept_too() {
    let bench = Bench::new();
    bench.run("").unwrap();
    bench.begun();
    bench.run(&kept(&bench, "")).unwrap();
    assert_eq!((bench.begun().len(), files(&bench).len()), (0, 7));
}

#[test]
fn a_run_of_another_configuration_in_the_archive_stops_everything() {
    let bench = Bench::new();
    bench.run(&kept(&bench, "")).unwrap();
    bench.begun();
    fs::remove_dir_all(bench.out()).unwrap();
    let file = archive(&bench).join("smoke/resnet8-synthetic10-bnn-stompp-forward-seed0.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"momentum\": 0.9", "\"momentum\": 0.5")).unwrap();
    let message = failing_message(bench.run(&kept(&bench, "")));
    assert!(
        message.contains("momentum was 0.5") && message.contains(&file.display().to_string()),
        "{message}"
    );
    assert_eq!(bench.begun(), [""; 0]);
}

#[test]
fn a_divergence_is_a_result_and_is_not_repeated() {
    let bench = Bench::new();
    let begun = Mutex::new(0);
    let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
        *begun.lock().unwrap() += 1;
        if config.method.name != Method::Ste {
            finish(dir, config, accuracy(config));
            return Ok(());
        }
        leave_unfinished(dir, config);
        Err(TrainError::NonFinite {
            what: "gradient",
            step: 781,
            value: f64::NAN,
            layer: "stem.bn".to_owned(),
            last_good: None,
        })
    };
    let options = bench.options(&kept(&bench, ""));
    bench.run_by(&options, &runner).unwrap();
    let told = |bench: &Bench| {
        let results = bench.results();
        let diverged = results["diverged"].as_array().unwrap();
        assert_eq!(diverged.len(), 2);
        assert_eq!(diverged[0]["step"], 781);
        let table = bench.table();
        for words in [
            "| 1 diverged ",
            "`resnet20-synthetic10-bnn-ste-clipped-seed0`: diverged at step 781: the gradient became NaN, first in",
        ] {
            let text = table.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words.trim()), "{words}\n{table}");
        }
    };
    told(&bench);
    assert_eq!(*begun.lock().unwrap(), 7);
    fs::remove_dir_all(bench.out()).unwrap();
    bench.run_by(&options, &runner).unwrap();
    told(&bench);
    assert_eq!(*begun.lock().unwrap(), 7, "nothing is run again");
}
