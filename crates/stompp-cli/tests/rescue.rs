//! A long job whose log, images, options or patience run out: it is not lost.
#![cfg(unix)]

mod user;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use user::{assert_fails, folder, stderr, stdout, stompp};

const OPTIONS: &str = "--model resnet8 --width 4 --image-size 8 --batch-size 20 --train-limit 200 --test-limit 50 \
    --steps 60 --refresh 0.1w --threads 1";

fn command(options: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
    command.args(["train", "--out"]).arg(out);
    command.args(options.split_whitespace());
    command
}

fn train(options: &str, out: &Path) -> Output {
    command(options, out).output().unwrap()
}

fn network(out: &Path) -> Vec<u8> {
    fs::read(out.join("network.safetensors")).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// Waits until the metrics say so.
fn wait_for(child: &mut Child, out: &Path, told: impl Fn(&str) -> bool) {
    while !fs::read_to_string(out.join("metrics.jsonl")).is_ok_and(|text| told(&text)) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended early");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a run, reads one line of `log` and goes away.
fn first_line_only(mut command: Command) -> (String, Option<i32>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop((reader, child.stdout.take()));
    (line, child.wait().unwrap().code())
}

#[test]
fn a_log_that_nobody_reads_ends_no_training() {
    let folder = folder();
    let (whole, unread, full) = (
        folder.path().join("whole"),
        folder.path().join("unread"),
        folder.path().join("full"),
    );
    let undisturbed = train(OPTIONS, &whole);
    stdout(&undisturbed);
    let (line, code) = first_line_only(command(OPTIONS, &unread));
    assert!(line.starts_with("200 training and 50 test images"), "{line}");
    assert_eq!(code, Some(0));
    assert!(network(&unread) == network(&whole));
    // A full disk that the log, and the result, are written to.
    if let (Ok(log), Ok(result)) = (
        File::options().write(true).open("/dev/full"),
        File::options().write(true).open("/dev/full"),
    ) {
        let status = command(OPTIONS, &full).stderr(log).stdout(result).status().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(network(&full) == network(&whole));
    }
}

#[test]
fn a_command_that_only_prints_ends_quietly_when_nobody_reads() {
    let folder = folder();
    let run = folder.path().join("run");
    stdout(&train(OPTIONS, &run));
    let commands: [&[&str]; 3] = [&["summary"], &["eval", text(&run)], &["summary", "--model", "resnet50"]];
    for arguments in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{arguments:?}");
    }
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stompp"));
        let output = command
            .arg("summary")
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_fails(&output, 1, &["cannot write to standard output"]);
    }
}

/// An evaluation that takes long: 1,200 images after an epoch of 60, of a network that is large enough.
const LONG_EVALUATION: &str = "--model resnet20 --width 16 --image-size 32 --batch-size 20 --train-limit 60 --test-limit 1200 \
    --steps 6 --tail 0ba --method ste --threads 1";

#[test]
fn an_evaluation_is_interrupted_within_a_second_and_made_again_to_the_same_bytes() {
    let folder = folder();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    stdout(&train(LONG_EVALUATION, &whole));
    for (name, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let begun = fs::read_to_string(parts.join("metrics.jsonl")).map_or(0, |text| text.matches("\"start\"").count());
        let mut child = command(LONG_EVALUATION, &parts).stderr(Stdio::piped()).spawn().unwrap();
        // The diagnostics are told before the evaluation of the same step.
        wait_for(&mut child, &parts, |text| {
            text.matches("\"start\"").count() > begun && text.contains("\"diagnostics\"")
        });
        thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let waited = begun.elapsed();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("stopped after step 3"), "{}", stderr(&output));
        // Generous on a machine that is busy otherwise.
        assert!(waited < Duration::from_secs(3), "{waited:?}");
    }
    // Killed, it does not lose the epoch either: its checkpoint comes first.
    let mut child = command(LONG_EVALUATION, &parts).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, &parts, |text| text.matches("\"start\"").count() > 3);
    thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = train(LONG_EVALUATION, &parts);
    assert!(
        stderr(&resumed).contains("resumes after step 3"),
        "{}",
        stderr(&resumed)
    );
    assert!(network(&parts) == network(&whole));
    let evaluations = |run: &Path| {
        let result: serde_json::Value = serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap();
        result["evaluations"].clone()
    };
    assert_eq!(evaluations(&parts), evaluations(&whole));
}

/// What `nohup` asks for.
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let folder = folder();
    let out = folder.path().join("run");
    let options = OPTIONS.replace("--steps 60", "--steps 400");
    let line = format!(
        "trap '' HUP; exec '{}' train --out '{}' {options}",
        env!("CARGO_BIN_EXE_stompp"),
        out.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, &out, |text| text.contains("\"epoch\""));
    signal(&child, "HUP");
    let output = child.wait_with_output().unwrap();
    stdout(&output);
    assert!(out.join("result.json").is_file());
}

#[test]
fn an_interrupted_run_goes_on_with_its_own_options_and_a_refusal_says_what_there_is_to_do() {
    let folder = folder();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("run"));
    let options = OPTIONS.replace("--steps 60", "--steps 150 --method ste --seed 5");
    stdout(&train(&options, &whole));
    let mut child = command(&options, &out).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, &out, |text| text.contains("\"epoch\""));
    signal(&child, "TERM");
    child.wait().unwrap();

    // A run that is unfinished can be evaluated at a checkpoint, and says so.
    assert_fails(
        &stompp(&["eval", text(&out)]),
        1,
        &["unfinished", "--checkpoint", "stompp train --out"],
    );
    assert!(stdout(&stompp(&["eval", text(&out), "--checkpoint", "last"])).starts_with("top-1 "));
    assert_fails(
        &stompp(&["eval", text(&out), "--checkpoint", "7777"]),
        1,
        &["no checkpoint 7777", "0"],
    );
    assert_fails(
        &stompp(&["eval", text(folder.path())]),
        2,
        &["not the directory of a run"],
    );

    stdout(&train("--threads 2", &out));
    assert!(network(&out) == network(&whole));
    let refused = train("--steps 300", &out);
    let run = text(&out);
    let tips = [
        "training.duration was \"150ba\", now it is \"300ba\"",
        "training.duration is --steps",
        &format!("--continue {run}"),
        &format!("--init-from {run}"),
        &format!("--config {run}/config.toml"),
    ];
    assert_fails(&refused, 1, &tips);

    // And what it says works.
    let (longer, begun) = (folder.path().join("longer"), folder.path().join("begun"));
    let longer_run = stompp(&["train", "--continue", run, "--steps", "10", "--out", text(&longer)]);
    stdout(&longer_run);
    let record: serde_json::Value = serde_json::from_slice(&fs::read(longer.join("run.json")).unwrap()).unwrap();
    assert_eq!(
        (record["parent"]["path"].as_str(), record["steps"].as_u64()),
        (Some(run), Some(10))
    );
    let config = fs::read_to_string(longer.join("config.toml")).unwrap();
    assert!(
        config.contains("name = \"ste\"") && config.contains("seed = 5"),
        "{config}"
    );
    let begun_run = stompp(&[
        "train",
        "--config",
        &format!("{run}/config.toml"),
        "--init-from",
        run,
        "--width",
        "8",
        "--steps",
        "10",
        "--out",
        text(&begun),
    ]);
    assert_fails(&begun_run, 1, &["no weight among its"]);
    let begun_run = stompp(&[
        "train",
        "--config",
        &format!("{run}/config.toml"),
        "--init-from",
        run,
        "--dataset",
        "synthetic100",
        "--out",
        text(&begun),
    ]);
    let log = stderr(&begun_run);
    stdout(&begun_run);
    assert!(
        log.contains("not taken: fc.weight [100, 16]: the file has F32 [10, 16]"),
        "{log}"
    );
    assert_fails(
        &train(
            &format!("--continue {run} --init-from {run}"),
            &folder.path().join("both"),
        ),
        2,
        &["--init-from"],
    );
}

#[test]
fn the_best_checkpoint_and_a_step_can_be_evaluated() {
    let folder = folder();
    let out = folder.path().join("run");
    let options = format!("{OPTIONS} --keep-every 1 --evaluate-every 20ba --checkpoint-every 20ba");
    stdout(&train(&options, &out));
    let result: serde_json::Value = serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
    for evaluation in result["evaluations"].as_array().unwrap() {
        let step = evaluation["step"].to_string();
        let told = stompp(&["eval", text(&out), "--checkpoint", &step]);
        let expected = format!(
            "top-1 {:.2} %, loss {:.6}",
            evaluation["top1"].as_f64().unwrap(),
            evaluation["test_loss"].as_f64().unwrap()
        );
        assert!(
            stdout(&told).starts_with(&expected),
            "{} should be {expected}",
            stdout(&told)
        );
    }
    let best = stompp(&["eval", text(&out), "--checkpoint", "best"]);
    let file = out.join("checkpoints/best.safetensors");
    let by_name = stompp(&["eval", text(&out), "--checkpoint", text(&file)]);
    assert_eq!(stdout(&best), stdout(&by_name));
    // Of another run, though of the same shape.
    let other = folder.path().join("other");
    stdout(&train(&format!("{OPTIONS} --seed 1"), &other));
    let foreign = stompp(&["eval", text(&other), "--checkpoint", text(&file)]);
    assert_fails(&foreign, 1, &["belongs to another run", "seed was 0, now it is 1"]);
}

#[test]
fn an_evaluation_is_told_in_full() {
    let folder = folder();
    let out = folder.path().join("run");
    stdout(&train(OPTIONS, &out));
    let (json, csv) = (folder.path().join("eval.json"), folder.path().join("answers.csv"));
    let told = stompp(&["eval", text(&out), "--json", text(&json), "--predictions", text(&csv)]);
    let line = stdout(&told).to_owned();
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(
        line.starts_with(&format!("top-1 {:.2} %", report["top1"].as_f64().unwrap())),
        "{line}"
    );
    assert!(report["top5"].as_f64() >= report["top1"].as_f64());
    let confusion = report["confusion"].as_array().unwrap();
    let row = |class: usize| confusion[class].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
    assert_eq!((0..10).flat_map(row).sum::<u64>(), 50);
    let right: u64 = (0..10).map(|class| row(class).nth(class).unwrap()).sum();
    assert!((report["top1"].as_f64().unwrap() - 2.0 * right as f64).abs() < 1e-9);
    let table = fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 51);
    assert_eq!(table.lines().next(), Some("image,label,answer,correct,probability"));
    assert_eq!(table.matches(",true,").count() as u64, right);
    // Nothing is written over.
    assert_fails(
        &stompp(&["eval", text(&out), "--json", text(&json)]),
        1,
        &["eval.json already exists"],
    );
}

#[test]
fn what_other_programs_call_it_is_understood_or_told() {
    let folder = folder();
    let out = folder.path().join("run");
    let aliases = OPTIONS.replace("--batch-size", "--batch").replace("--model", "--arch");
    stdout(&train(&format!("{aliases} --lr 0.05"), &out));
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(
        config.contains("learning_rate = 0.05") && config.contains("batch_size = 20"),
        "{config}"
    );
    for (typed, tip) in [
        ("--epochs 3", "--steps 20ep"),
        ("--resume", "stompp train --out RUN"),
        ("--workers=4", "--threads"),
        ("--pretrained x", "--init-from"),
    ] {
        let output = train(typed, &folder.path().join("none"));
        assert_fails(&output, 2, &[typed.split([' ', '=']).next().unwrap(), tip]);
        assert!(!stderr(&output).contains("color-jitter"), "{}", stderr(&output));
    }
    for (command, tip) in [
        ("classify", "stompp predict RUN IMAGE"),
        ("deploy", "stompp pack RUN"),
        ("download", "stompp data fetch NAME"),
    ] {
        assert_fails(&stompp(&[command, "x"]), 2, &[command, tip]);
    }
}

/// A loss that grew without leaving the finite numbers.
#[test]
fn a_result_that_nobody_should_trust_is_warned_of() {
    let folder = folder();
    let output = train(
        &format!("{OPTIONS} --method float --learning-rate 10000"),
        &folder.path().join("run"),
    );
    stdout(&output);
    assert!(stderr(&output).contains("warning: "), "{}", stderr(&output));
    let again = train("", &folder.path().join("run"));
    assert!(stderr(&again).contains("warning: "), "{}", stderr(&again));
}

/// Small images by class.
fn images(folder: &Path, each: u32) {
    for part in ["train", "val"] {
        for (class, name) in ["ant", "bee"].into_iter().enumerate() {
            let place = folder.join(part).join(name);
            fs::create_dir_all(&place).unwrap();
            for index in 0..each {
                let image = image::RgbImage::from_fn(12, 12, |x, y| {
                    let mut pixel = [(x * 9 + index) as u8, (y * 8) as u8, (index * 5) as u8];
                    pixel[class] = 255;
                    image::Rgb(pixel)
                });
                image.save(place.join(format!("{index:03}.png"))).unwrap();
            }
        }
    }
}

#[test]
fn a_bad_image_is_left_out_or_removed_and_the_run_goes_on() {
    let folder = folder();
    let data = folder.path().join("data");
    images(&data, 120);
    let bad = data.join("train/bee/007.png");
    let good = fs::read(&bad).unwrap();
    fs::write(&bad, b"no image").unwrap();
    let options = format!(
        "--dataset folder --data {} --model resnet8 --width 4 --image-size 8 --batch-size 100 --steps 4 --tail 0ba --method ste \
         --threads 1",
        data.display()
    );
    let out = |name: &str| folder.path().join(name);
    for name in ["skipped", "removed", "repaired"] {
        assert_fails_anyhow(&train(&options, &out(name)), "--on-bad-image skip");
    }
    // With the rule that rescues it, also where nothing else is repeated.
    let skipped = train("--on-bad-image skip", &out("skipped"));
    stdout(&skipped);
    assert!(
        stderr(&skipped).contains("data.on_bad_image was \"fail\", now it is \"skip\""),
        "{}",
        stderr(&skipped)
    );
    let metrics = fs::read_to_string(out("skipped").join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("data.on_bad_image was"), "it is told in the metrics");
    assert!(
        fs::read_to_string(out("skipped").join("config.toml"))
            .unwrap()
            .contains("on_bad_image = \"skip\"")
    );

    // The file is gone: the list is another one.
    fs::remove_file(&bad).unwrap();
    let refused = train(&options, &out("removed"));
    assert_fails_anyhow(&refused, "--reindex");
    let removed = train(&format!("{options} --reindex"), &out("removed"));
    stdout(&removed);
    let metrics = fs::read_to_string(out("removed").join("metrics.jsonl")).unwrap();
    for told in [
        "1 gone (bee/007.png)",
        "240 to train on and 240 to test on then, 239 and 240 now",
    ] {
        assert!(metrics.contains(told), "{metrics}");
    }

    // As many files, but another one.
    fs::write(data.join("train/bee/zzz.png"), &good).unwrap();
    assert_fails_anyhow(
        &train(&options, &out("repaired")),
        "1 gone (bee/007.png), 1 new (bee/zzz.png)",
    );
    fs::remove_file(data.join("train/bee/zzz.png")).unwrap();
    fs::write(&bad, &good).unwrap();
    stdout(&train(&options, &out("repaired")));
}

/// Asserts that a training failed with a message that says `part`, whatever was told before.
fn assert_fails_anyhow(output: &Output, part: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(
        stderr(output).contains("error: ") && stderr(output).contains(part),
        "{}",
        stderr(output)
    );
}

/// What an evaluation does not need may be gone.
#[test]
fn only_the_test_images_are_needed_to_evaluate() {
    let folder = folder();
    let out = |name: &str| folder.path().join(name);
    let scored = |run: &Path, more: &[&str]| {
        let arguments = [&["eval", text(run)], more].concat();
        stdout(&stompp(&arguments)).to_owned()
    };
    let common =
        "--model resnet8 --width 4 --image-size 8 --batch-size 20 --steps 4 --tail 0ba --method ste --threads 1";

    let data = out("data");
    images(&data, 30);
    let run = out("files");
    let told = train(&format!("--dataset folder --data {} {common}", data.display()), &run);
    fs::remove_dir_all(data.join("train")).unwrap();
    assert_eq!(scored(&run, &[]), stdout(&told));

    // A flat val, whose list of labels moves.
    let flat = out("flat");
    images(&flat, 30);
    let mut labels = String::new();
    for class in ["ant", "bee"] {
        for index in 0..30 {
            let name = format!("{class}-{index}.png");
            fs::rename(
                flat.join(format!("val/{class}/{index:03}.png")),
                flat.join("val").join(&name),
            )
            .unwrap();
            labels += &format!("{name} {class}\n");
        }
        fs::remove_dir(flat.join("val").join(class)).unwrap();
    }
    let (list, moved) = (out("labels.txt"), out("moved.txt"));
    fs::write(&list, labels).unwrap();
    let run = out("flat-run");
    let options = format!(
        "--dataset folder --data {} --labels {} {common}",
        flat.display(),
        list.display()
    );
    let told = train(&options, &run);
    fs::rename(&list, &moved).unwrap();
    assert_eq!(scored(&run, &["--labels", text(&moved)]), stdout(&told));

    // CIFAR's test file alone.
    let (cifar, run) = (out("cifar"), out("cifar-run"));
    stdout(&stompp(&[
        "data",
        "write",
        text(&cifar),
        "--train-limit",
        "100",
        "--test-limit",
        "40",
    ]));
    let told = train(&format!("--dataset cifar10 --data {} {common}", cifar.display()), &run);
    for batch in 1..=5 {
        fs::remove_file(cifar.join(format!("data_batch_{batch}.bin"))).unwrap();
    }
    assert_eq!(scored(&run, &[]), stdout(&told));
    // Images that are held out are training images, and are asked for.
    let run = out("held-out");
    stdout(&train(&format!("--holdout 20 --train-limit 60 {common}"), &run));
    assert!(scored(&run, &[]).ends_with("20 test images\n"));
}
