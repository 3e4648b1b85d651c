//! Runs the functions of the fuzz targets on their corpus and on altered files of it, without a fuzzer, on stable Rust.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public in its own crate")]
mod bodies;

use std::{fs, path::Path};

/// Runs a target's function on every file of its corpus: truncated at every length, and with every single bit flipped.
fn over_the_corpus(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("a corpus").collect();
    assert!(files.len() >= 4, "{} is nearly empty", folder.display());
    for file in files {
        let mut data = fs::read(file.expect("a file").path()).expect("a file");
        for len in 0..=data.len() {
            body(&data[..len]);
        }
        for bit in 0..8 * data.len() {
            data[bit / 8] ^= 1 << (bit % 8);
            body(&data);
            data[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn configurations() {
    over_the_corpus("configuration", bodies::configuration);
}

#[test]
fn plans() {
    over_the_corpus("plan", bodies::plan);
}

#[test]
fn checkpoints() {
    over_the_corpus("checkpoint", bodies::checkpoint);
}

#[test]
fn cifar_archives() {
    over_the_corpus("cifar_archive", bodies::cifar_archive);
}

#[test]
fn images() {
    over_the_corpus("image", bodies::image);
}

#[test]
fn image_archives() {
    over_the_corpus("image_archive", bodies::image_archive);
}

#[test]
fn labels() {
    over_the_corpus("labels", bodies::labels);
}

#[test]
fn mnist() {
    over_the_corpus("mnist", bodies::mnist);
}

#[test]
fn packed_networks() {
    over_the_corpus("packed_network", bodies::packed_network);
}
