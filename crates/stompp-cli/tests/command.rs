//! The command as a user meets it: what it prints, what it writes, how it fails.

mod user;

use std::{fs, path::Path, process::Output};
use user::{assert_fails, folder, stderr, stdout, stompp};

/// Trains ResNet-8 of width 4 for six steps on 60 generated images of 8x8 pixels, with more arguments.
fn train(out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["train", "--out", out.to_str().unwrap()];
    arguments.extend("--model resnet8 --width 4 --image-size 8 --batch-size 20 --steps 6 --tail 0ba".split(' '));
    if !more.contains(&"--train-limit") {
        arguments.extend(["--train-limit", "60", "--test-limit", "50"]);
    }
    arguments.extend(more);
    stompp(&arguments)
}

#[test]
fn eval_prints_what_train_printed() {
    let folder = folder();
    for method in ["float", "ste", "stompp", "stompp-ste"] {
        let out = folder.path().join(method);
        let trained = train(&out, &["--method", method, "--threads", "2"]);
        let evaluated = stompp(&["eval", out.to_str().unwrap(), "--threads", "1"]);
        assert_eq!(stdout(&trained), stdout(&evaluated));
        let result: serde_json::Value = serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
        let top1 = format!("top-1 {:.2} %", result["top1"].as_f64().unwrap());
        assert!(stdout(&trained).starts_with(&top1), "{}", stdout(&trained));
    }
}

#[test]
fn progress_is_plain_lines_where_there_is_no_terminal() {
    let folder = folder();
    let output = train(&folder.path().join("a"), &[]);
    let progress = stderr(&output);
    assert!(progress.contains("60 training and 50 test images; 6 steps of 20 images, 3 an epoch; 6 units"));
    assert!(progress.contains("epoch 1.0000  step 3/6  loss "));
    assert!(progress.contains("committed 2/6") && progress.contains("images/s") && progress.contains("ETA "));
    assert!(progress.contains("test after step 6: top-1 "));
    assert!(!progress.contains(['\r', '\u{1b}']), "no control characters");
    assert_eq!(stdout(&output).lines().count(), 1);

    let quiet = train(&folder.path().join("b"), &["--quiet"]);
    assert_eq!((stdout(&quiet), stderr(&quiet)), (stdout(&output), ""));
}

#[test]
fn options_override_the_configuration_file() {
    let folder = folder();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    stdout(&train(&first, &["--seed", "3", "--method", "ste"]));
    let config = first.join("config.toml");
    let output = stompp(&[
        "train",
        "--config",
        config.to_str().unwrap(),
        "--steps",
        "4000ba",
        "--steps",
        "3",
        "--out",
        second.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2), "an option given twice is a mistake");
    let output = stompp(&[
        "train",
        "--config",
        config.to_str().unwrap(),
        "--steps",
        "3",
        "--out",
        second.to_str().unwrap(),
    ]);
    stdout(&output);
    let (before, after) = (
        fs::read_to_string(config).unwrap(),
        fs::read_to_string(second.join("config.toml")).unwrap(),
    );
    assert!(
        before.contains("seed = 3") && before.contains("duration = \"6ba\""),
        "{before}"
    );
    assert_eq!(after, before.replace("6ba", "3ba"));
}

#[test]
fn a_written_set_trains_as_the_generated_one() {
    let folder = folder();
    let shapes = folder.path().join("shapes");
    let shapes = shapes.to_str().unwrap();
    let write = ["data", "write", shapes, "--train-limit", "60", "--test-limit", "50"];
    stdout(&stompp(&write));
    let generated = train(&folder.path().join("a"), &[]);
    let read = train(&folder.path().join("b"), &["--dataset", "cifar10", "--data", shapes]);
    assert_eq!(stdout(&read), stdout(&generated));

    assert_fails(&stompp(&write), 1, &[shapes, "already exists"]);

    let generated_run = folder.path().join("a");
    let elsewhere = stompp(&["eval", generated_run.to_str().unwrap(), "--data", shapes]);
    assert_fails(&elsewhere, 2, &["data.path", "synthetic10"]);

    // The run finds its data from anywhere, and elsewhere when told.
    let run = folder.path().join("b");
    let moved = folder.path().join("moved");
    fs::rename(shapes, &moved).unwrap();
    let run = run.to_str().unwrap();
    assert_fails(&stompp(&["eval", run]), 1, &[shapes]);
    assert_eq!(
        stdout(&stompp(&["eval", run, "--data", moved.to_str().unwrap()])),
        stdout(&generated)
    );
}

#[test]
fn what_was_asked_wrongly_is_named_with_code_2() {
    let folder = folder();
    let out = folder.path().join("run");
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--modle", "resnet8"], &["--modle"]),
        (&["--setting", "vgg"], &["vgg", "bnn, bwn"]),
        (&["--method", "adam"], &["adam", "float, ste, stompp, stompp-ste"]),
        (&["--refresh", "0.5"], &["--refresh", "0.5", "at least 1"]),
        (&["--warm-up", "5 steps"], &["--warm-up", "5 steps", "20ep"]),
        (&["--threads", "0"], &["--threads", "0"]),
        (&["--momentum", "1.5"], &["training.momentum", "1.5"]),
        (&["--warm-up", "100%"], &["training.duration", "6 steps"]),
        (
            &["--dataset", "cifar10"],
            &["cifar10", "https://www.cs.toronto.edu/~kriz/cifar.html", "synthetic10"],
        ),
        (&["--data", "x"], &["data.path", "synthetic10"]),
        (&["--config", "no/such.toml"], &["no/such.toml"]),
    ];
    for (arguments, parts) in cases {
        assert_fails(&train(&out, arguments), 2, parts);
        assert!(!out.exists(), "{arguments:?} left something");
    }
    let too_few = train(&out, &["--train-limit", "19", "--test-limit", "50"]);
    assert_fails(&too_few, 2, &["training.batch_size", "20", "19"]);
    // Too few steps for the units: what decides how many there are is said.
    let arguments =
        "train --model resnet8 --width 4 --image-size 8 --steps 1ep --train-limit 500 --test-limit 50 --out";
    let arguments: Vec<_> = arguments.split(' ').chain(out.to_str()).collect();
    let too_short = ["--steps", "1ep (batches of 256, 1 an epoch)", "each of 6 windows"];
    assert_fails(&stompp(&arguments), 2, &too_short);
    assert_fails(&stompp(&["train"]), 2, &["--out"]);
    assert_fails(
        &stompp(&["train", "--out", "x", "--model", "vgg16"]),
        2,
        &["--model", "vgg16", "resnet18"],
    );
    assert_fails(&stompp(&["fly"]), 2, &["fly"]);

    let file = folder.path().join("wrong.toml");
    fs::write(&file, "[training]\nbatchsize = 3\n").unwrap();
    let wrong = train(&out, &["--config", file.to_str().unwrap()]);
    assert_fails(&wrong, 2, &["wrong.toml", "batchsize", "batch_size"]);
}

/// An error about an option has the name that was typed and the field of the configuration, wherever it is found.
#[test]
fn errors_name_the_option_as_typed_and_its_field() {
    let folder = folder();
    let out = folder.path().join("run");
    let file = folder.path().join("options.toml");
    fs::write(&file, "[training]\nbatch = 3\n").unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["--lr", "0"], "error: --lr (training.learning_rate): 0: "),
        (
            &["--lr", "fast"],
            "'fast' for '--lr (training.learning_rate)': expected a number",
        ),
        (&["--method", "adam"], "'adam' for '--method (method.name)'"),
        (
            &["--warm-up", "5 steps"],
            "'5 steps' for '--warm-up (method.warm_up)': ",
        ),
        (
            &["--clip-gradients", "0"],
            "error: --clip-gradients (training.clip_gradients): 0: ",
        ),
        (
            &["--color-jitter", "0.4"],
            "error: --color-jitter (data.color_jitter): data set synthetic10 ",
        ),
        (
            &["--checkpoint-every", "0ba"],
            "error: --checkpoint-every (checkpoints.every): 0ba ",
        ),
        (&["--duration", "5ep"], "tip: --steps sets training.duration"),
        (
            &["--config", file.to_str().unwrap()],
            "tip: --batch-size is the field training.batch_size",
        ),
    ];
    for (arguments, part) in cases {
        assert_fails(&train(&out, arguments), 2, &[part]);
    }
}

#[test]
fn what_fails_is_named_with_code_1() {
    let folder = folder();
    let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let out = folder.path().join("run");
    let cifar = |path: &str| train(&out, &["--dataset", "cifar10", "--data", path]);

    assert_fails(&cifar(&inside("nowhere")), 1, &["nowhere"]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_fails(&cifar(&inside("empty")), 1, &["empty", "data_batch_1.bin"]);

    let shapes = inside("shapes");
    stdout(&stompp(&[
        "data",
        "write",
        &shapes,
        "--train-limit",
        "60",
        "--test-limit",
        "50",
    ]));
    let file = Path::new(&shapes).join("data_batch_2.bin");
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert_fails(&cifar(&shapes), 1, &["data_batch_2.bin", "record 11", "cut off"]);
    let mut bad = good;
    bad[3073 * 4] = 10;
    fs::write(&file, bad).unwrap();
    assert_fails(&cifar(&shapes), 1, &["data_batch_2.bin", "record 4", "10"]);

    let file = inside("file");
    fs::write(&file, "").unwrap();
    assert_fails(&train(Path::new(&file).join("run").as_path(), &[]), 1, &[&file]);
    assert!(!out.exists());

    stdout(&train(&out, &[]));
    assert_fails(
        &train(&out, &["--fresh"]),
        1,
        &["already holds a run", out.to_str().unwrap()],
    );
    let diverged = train(
        &folder.path().join("b"),
        &["--learning-rate", "3e38", "--method", "float"],
    );
    assert_eq!(diverged.status.code(), Some(1));
    assert!(stderr(&diverged).contains("diverged"), "{}", stderr(&diverged));

    fs::remove_file(out.join("network.safetensors")).unwrap();
    assert_fails(&stompp(&["eval", out.to_str().unwrap()]), 1, &["network.safetensors"]);
    assert_fails(&stompp(&["eval", &inside("nowhere")]), 2, &["nowhere"]);
}

/// A cause that is part of its error's message is not printed a second time.
#[test]
fn causes_are_told_once() {
    let folder = folder();
    let missing = folder.path().join("missing.toml");
    let out = folder.path().join("run");
    let arguments = [
        "train",
        "--config",
        missing.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let output = stompp(&arguments);
    assert_eq!(stderr(&output).matches("os error").count(), 1, "{}", stderr(&output));

    std::fs::write(&missing, "[method]\nnam = 'ste'\n").unwrap();
    let output = stompp(&arguments);
    assert_eq!(
        stderr(&output).matches("unknown field `nam`").count(),
        1,
        "{}",
        stderr(&output)
    );

    let gone = folder.path().join("gone");
    let output = stompp(&[
        "train",
        "--dataset",
        "cifar10",
        "--data",
        gone.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(stderr(&output).matches("os error").count(), 1, "{}", stderr(&output));
}
