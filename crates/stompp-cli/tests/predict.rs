//! `stompp pack` and `stompp predict` as a user meets them.

mod user;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use user::{assert_fails, folder, stderr, stdout, stompp};

/// Trains ResNet-8 of width 4 on generated images that are in `dir`, in CIFAR's layout.
fn trained(dir: &Path, method: &str) -> String {
    let images = dir.join("images");
    let images = images.to_str().unwrap();
    stdout(&stompp(&[
        "data",
        "write",
        images,
        "--train-limit",
        "60",
        "--test-limit",
        "50",
    ]));
    let run = dir.join("run").to_str().unwrap().to_owned();
    let mut arguments = vec![
        "train",
        "--out",
        &run,
        "--dataset",
        "cifar10",
        "--data",
        images,
        "--method",
        method,
    ];
    arguments
        .extend("--model resnet8 --width 4 --image-size 16 --batch-size 20 --steps 6 --tail 0ba --quiet".split(' '));
    stdout(&stompp(&arguments));
    run
}

fn packed(run: &str, dir: &Path) -> String {
    let file = dir.join("net.stompp").to_str().unwrap().to_owned();
    stdout(&stompp(&["pack", run, "--out", &file, "--licence", "MIT"]));
    file
}

/// The first test image as a PNG.
fn picture(dir: &Path, name: &str) -> String {
    let records = fs::read(dir.join("images/test_batch.bin")).unwrap();
    let pixels = image::RgbImage::from_fn(32, 32, |x, y| {
        image::Rgb(std::array::from_fn(|channel| {
            records[1 + channel * 1024 + (y * 32 + x) as usize]
        }))
    });
    let path = dir.join(name);
    pixels.save(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_packed_file_has_the_promised_size() {
    let dir = folder();
    let run = trained(dir.path(), "stompp");
    let file = dir.path().join("net.stompp");
    let file = file.to_str().unwrap();
    let output = stompp(&["pack", &run, "--out", file]);
    let summary = stompp(&["summary", "--model", "resnet8", "--width", "4", "--image-size", "16"]);
    let total = stdout(&summary).lines().find(|line| line.starts_with("total")).unwrap();
    let promised: usize = total.split_whitespace().last().unwrap().parse().unwrap();
    let size = fs::metadata(file).unwrap().len() as usize;
    let expected = format!(
        "{file}: {size} bytes, of which {} are the header and {promised} the network; `stompp summary` promised {promised}\n",
        size - promised
    );
    assert_eq!(stdout(&output), expected);
    assert_fails(&stompp(&["pack", &run, "--out", file]), 1, &["cannot write", file]);
    let best = dir.path().join("best.stompp");
    let best = ["pack", &run, "--checkpoint", "best", "--out", best.to_str().unwrap()];
    stdout(&stompp(&best));
    let gone = ["pack", &run, "--checkpoint", "7", "--out", "no.stompp"];
    assert_fails(&stompp(&gone), 1, &["has no checkpoint 7; there are: "]);
    assert_fails(&stompp(&["pack", "nowhere", "--out", "no.stompp"]), 2, &["nowhere"]);
}

#[test]
fn a_network_that_is_not_binary_is_not_packed() {
    let dir = folder();
    let run = trained(dir.path(), "float");
    let output = stompp(&["pack", &run, "--out", dir.path().join("n").to_str().unwrap()]);
    assert_fails(&output, 2, &["method float", "not binary"]);
}

#[test]
fn answers_are_those_of_eval() {
    let dir = folder();
    let run = trained(dir.path(), "stompp");
    let net = packed(&run, dir.path());
    let csv = dir.path().join("answers.csv");
    stdout(&stompp(&["eval", &run, "--predictions", csv.to_str().unwrap()]));
    let evaluated = fs::read_to_string(csv).unwrap();
    let expected: Vec<&str> = evaluated
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(2).unwrap())
        .collect();
    assert_eq!(expected.len(), 50);
    let images = dir.path().join("images/test_batch.bin");
    let images = images.to_str().unwrap();
    for (network, threads) in [(&run, "1"), (&net, "1"), (&net, "3")] {
        let output = stompp(&["predict", network, images, "--csv", "--threads", threads]);
        let mut lines = stdout(&output).lines();
        assert_eq!(lines.next(), Some("image,rank,class,name,probability"));
        let answers: Vec<&str> = lines.map(|line| line.split(',').nth(3).unwrap()).collect();
        assert_eq!(answers, expected);
        assert!(stderr(&output).starts_with("50 images in ") && stderr(&output).ends_with(" images/s\n"));
    }
    let infer = stompp(&["infer", &net, images, "--csv"]);
    assert_eq!(
        stdout(&infer),
        stdout(&stompp(&["predict", &run, images, "--csv"])),
        "the alias"
    );
}

#[test]
fn a_picture_gets_classes_and_probabilities() {
    let dir = folder();
    let run = trained(dir.path(), "ste");
    let net = packed(&run, dir.path());
    let png = picture(dir.path(), "a.png");
    let json = stompp(&["predict", &net, &png, "--json", "--top-k", "12"]);
    let answer: serde_json::Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(answer["image"], png.as_str());
    let top = answer["top"].as_array().unwrap();
    assert_eq!(top.len(), 10, "as many as there are");
    let probabilities: Vec<f64> = top.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5 && probabilities.is_sorted_by(|a, b| a >= b));
    let csv = stompp(&["predict", &net, &png, "--csv", "--top-k", "2"]);
    let name = top[1]["name"].as_str().unwrap();
    let second = format!("{png},2,{},{name},{:.6}", top[1]["class"], probabilities[1]);
    assert_eq!(stdout(&csv).lines().nth(2), Some(second.as_str()));
    let table = stompp(&["predict", &net, &png]);
    let (first, probability) = (
        top[0]["name"].as_str().unwrap(),
        format!("{:.1} %", 100.0 * probabilities[0]),
    );
    let line = stdout(&table).lines().nth(1).unwrap();
    assert!(
        line.starts_with(&png) && line.contains(first) && line.ends_with(&probability),
        "{line}"
    );

    let mut child = Command::new(env!("CARGO_BIN_EXE_stompp"))
        .args(["predict", &net, "-", "--json", "--top-k", "12"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&png).unwrap()).unwrap();
    let from_pipe = child.wait_with_output().unwrap();
    let expected = stdout(&json).replace(&png, "from standard input");
    assert_eq!(stdout(&from_pipe), expected);
}

#[test]
fn what_cannot_be_read_is_named_and_counted() {
    let dir = folder();
    let run = trained(dir.path(), "ste");
    let net = packed(&run, dir.path());
    let photos = dir.path().join("photos");
    fs::create_dir(&photos).unwrap();
    picture(dir.path(), "photos/a.png");
    let whole = fs::read(photos.join("a.png")).unwrap();
    fs::write(photos.join("b.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(photos.join("c.txt"), "text").unwrap();
    let photos = photos.to_str().unwrap();
    let output = stompp(&["predict", &net, photos, "gone.png", "--csv"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).lines().count(),
        2,
        "the good one is answered"
    );
    for part in [
        "note: ",
        "1 files are not images by their names: c.txt",
        "left out: image ",
        "b.png: ",
        "left out: cannot read gone.png: ",
        "1 image in ",
        "error: 2 of 3 images could not be read",
    ] {
        assert!(message.contains(part), "{message:?} should say {part:?}");
    }
    let usage = stompp(&["predict", &net]);
    assert_eq!(usage.status.code(), Some(2));
    let other = stompp(&["predict", &format!("{run}/network.safetensors"), photos]);
    assert_fails(&other, 1, &["network.safetensors", "not a packed network"]);
    let both = stompp(&["predict", &net, photos, "--checkpoint", "best"]);
    assert_fails(&both, 1, &["--checkpoint is for runs"]);
}

#[test]
fn every_format_is_exported_once() {
    let dir = folder();
    let run = trained(dir.path(), "ste");
    for format in ["safetensors", "onnx", "onnx-bipolar", "openvino"] {
        let file = dir.path().join(format);
        let arguments = ["export", &run, "--format", format, "--out", file.to_str().unwrap()];
        let output = stompp(&arguments);
        let bytes = fs::metadata(&file).unwrap().len();
        assert_eq!(stdout(&output), format!("{}: {bytes} bytes\n", file.display()));
        assert_fails(&stompp(&arguments), 1, &["cannot write", format]);
    }
    let unknown = stompp(&["export", &run, "--format", "tflite", "--out", "x"]);
    assert_fails(&unknown, 2, &["tflite", "onnx-bipolar"]);
}
