//! Bad input as large as it can be made, in a process that is not given 1 GiB: refused by name, in little memory.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "not every test says everything")]
mod user;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
};
use user::{assert_fails, folder, stderr};

/// Runs the command with at most 1 GiB of addresses, the program itself included.
fn stompp(arguments: &[&str]) -> Output {
    let limited = format!("ulimit -v 1048576; exec '{}' \"$@\"", env!("CARGO_BIN_EXE_stompp"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "stompp"]).args(arguments);
    command.env("MALLOC_ARENA_MAX", "1").output().unwrap()
}

/// A small network, trained for a moment.
const SMALL: &str = "--threads 1 --model resnet8 --width 4 --image-size 8 --batch-size 2 --steps 8";

fn train(dataset: &str, data: &Path, out: &Path) -> Output {
    let [data, out] = [data, out].map(|path| path.to_str().unwrap());
    let mut arguments = vec!["train", "--dataset", dataset, "--data", data, "--out", out];
    arguments.extend(SMALL.split_whitespace());
    stompp(&arguments)
}

fn zeros(bytes: u64) -> impl std::io::Read {
    std::io::Read::take(std::io::repeat(0), bytes)
}

/// A zlib stream of so many zeros.
fn compressed(bytes: u64) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut zeros(bytes), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// A PNG of 20,000 x 20,000 pixels, 1.2 GB of zeros, that is whole.
fn png() -> Vec<u8> {
    const SIDE: u32 = 20_000;
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        png.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let start = png.len();
        png.extend_from_slice(kind);
        png.extend_from_slice(data);
        let check = crc32fast::hash(&png[start..]);
        png.extend_from_slice(&check.to_be_bytes());
    };
    let mut header = [SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &compressed(u64::from(SIDE) * (3 * u64::from(SIDE) + 1)));
    chunk(b"IEND", &[]);
    png
}

#[test]
fn a_huge_image() {
    let (folder, png) = (folder(), png());
    for image in ["train/a/x.png", "train/b/x.png", "val/a/y.png", "val/b/y.png"] {
        let path = folder.path().join("data").join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &png).unwrap();
    }
    let output = train("folder", &folder.path().join("data"), &folder.path().join("run"));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    let error = text.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(
        error.starts_with("error: image ") && error.ends_with("x.png: Image size exceeds limit"),
        "{error}"
    );
}

#[test]
fn an_archive_that_expands_to_gigabytes() {
    let folder = folder();
    let path = folder.path().join("cifar.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default()
        .compression_level(Some(1))
        .large_file(true);
    archive
        .start_file("cifar-10-batches-bin/test_batch.bin", options)
        .unwrap();
    std::io::copy(&mut zeros(1_500_000_000), &mut archive).unwrap();
    archive.finish().unwrap();
    assert_fails(
        &train("cifar10", &path, &folder.path().join("run")),
        1,
        &["cifar.zip", "test_batch.bin"],
    );

    let path = folder.path().join("cifar.tar.gz");
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    std::io::copy(&mut zeros(1_500_000_000), &mut gzip).unwrap();
    gzip.finish().unwrap();
    assert_fails(
        &train("cifar10", &path, &folder.path().join("run")),
        1,
        &["cifar.tar.gz"],
    );
}

#[test]
fn a_checkpoint_with_a_huge_header_and_one_that_is_huge() {
    let folder = folder();
    let run = folder.path().join("run");
    let again = || {
        let mut arguments = vec![
            "train",
            "--train-limit",
            "20",
            "--test-limit",
            "10",
            "--out",
            run.to_str().unwrap(),
        ];
        arguments.extend(SMALL.split_whitespace());
        stompp(&arguments)
    };
    let first = again();
    assert!(first.status.success(), "it runs within the limit: {}", stderr(&first));
    fs::remove_file(run.join("result.json")).unwrap();
    let newest = run.join("checkpoints/step-0000000000008.safetensors");
    // A header of as many bytes as a length can say.
    fs::write(&newest, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    assert_fails(&again(), 1, &["step-0000000000008.safetensors"]);
    // A file of 3 GiB, none of which is on the disk.
    fs::File::create(&newest).unwrap().set_len(3 << 30).unwrap();
    assert_fails(
        &again(),
        1,
        &["step-0000000000008.safetensors", "3221225472 bytes, expected at most"],
    );
}

#[test]
fn a_configuration_with_absurd_numbers() {
    let folder = folder();
    let path = folder.path().join("config.toml");
    let mut file = fs::File::create(&path).unwrap();
    writeln!(
        file,
        "[network]\nmodel = 'resnet1202'\nwidth = 1000000000\n[training]\nbatch_size = 1000000000"
    )
    .unwrap();
    let out = folder.path().join("run");
    let output = stompp(&[
        "train",
        "--config",
        path.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    let code = output.status.code().unwrap();
    assert!([1, 2].contains(&code), "{}", stderr(&output));
    assert!(
        stderr(&output).starts_with("error: ") && !stderr(&output).contains("memory allocation"),
        "{}",
        stderr(&output)
    );
}
