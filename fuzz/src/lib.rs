//! The functions of the fuzz targets. Any input may be rejected, but none may cause a panic or use much memory.
//!
//! `tests/fuzz.rs` runs the same functions over the corpus, without a fuzzer.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use stompp_data::{
    ImageTree, Labelled, OnBadImage, SavedList, TreeOptions,
    cifar::{self, CifarLayout, Split},
    mnist,
};
use stompp_infer::Network;
use stompp_schedule::{Curve, Order, Plan, PlanSpec};
use stompp_train::{RunConfig, checkpoint_step};

/// Parses a run's configuration, and computes everything that is derived from it before data is read.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(config) = RunConfig::from_toml(text) else {
        return;
    };
    if config.check().is_err() {
        return;
    }
    assert_eq!(
        RunConfig::from_toml(&config.to_toml()).expect("what was written"),
        config
    );
    if let Ok(timeline) = config.timeline(50_000) {
        let _ = config.plan(&timeline, 16);
    }
}

/// Creates a freezing plan: units, steps, warm-up, tail and a step to query from 8 bytes each; curve and order from one byte.
pub fn plan(data: &[u8]) {
    let (numbers, rest) = data.as_chunks::<8>();
    let [units, steps, warm_up, tail, at] =
        [0, 1, 2, 3, 4].map(|i| numbers.get(i).map_or(0, |&n| u64::from_le_bytes(n)));
    let kind = usize::from(rest.first().copied().unwrap_or(0));
    let spec = PlanSpec {
        warm_up,
        tail,
        curve: Curve::ALL[kind % Curve::ALL.len()],
        order: Order::ALL[kind / 16 % Order::ALL.len()],
        ..PlanSpec::new(units as usize, steps)
    };
    if let Ok(plan) = Plan::new(spec) {
        for unit in [0, spec.units / 2, spec.units - 1] {
            let window = plan.window(unit);
            for step in [0, at, window.start, window.end, u64::MAX] {
                let _ = plan.phase(step, unit);
            }
        }
    }
}

/// Reads an archive of CIFAR's binary version. The first byte selects the kind: a zip, a gzip file, a tar inside a valid gzip file,
/// or a folder with one file of records.
pub fn cifar_archive(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let layout = [
        CifarLayout::Cifar10,
        CifarLayout::Cifar100Fine,
        CifarLayout::Cifar100Coarse,
    ][usize::from(kind / 4) % 3];
    let (name, bytes) = match kind % 4 {
        0 => ("cifar.zip", data.to_vec()),
        1 => ("cifar.tar.gz", data.to_vec()),
        2 => ("cifar.tar.gz", gzip(data)),
        _ => ("folder/test_batch.bin", data.to_vec()),
    };
    let path = scratch(name, &bytes);
    let path = if name.starts_with("folder") {
        path.parent().expect("a folder")
    } else {
        &path
    };
    assert!(
        cifar::read(path, layout).is_err(),
        "no input here is as large as a data set"
    );
}

/// Reads an image file in a tree of images. The first byte selects the extension.
pub fn image(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let name = ["a.jpeg", "a.png", "a.JPG", "a.webp"][usize::from(*kind) % 4];
    let path = scratch(&format!("images-{name}/train/one/{name}"), data);
    let folder = path.ancestors().nth(3).expect("three folders");
    if !folder.join("val").exists() {
        scratch(&format!("images-{name}/val/one/{name}"), b"");
    }
    // The tree is opened for each input, so the listing matches the file.
    let tree = ImageTree::open(folder, None).expect("two images are a tree");
    let _ = tree.train().expect("a training image").load(0);
}

/// Reads an archive of images. The first byte selects tar or zip. A damaged archive is read as far as possible.
pub fn image_archive(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let name = ["images.tar", "images.zip"][usize::from(*kind) % 2];
    let options = TreeOptions {
        on_fault: OnBadImage::Skip,
        ..TreeOptions::default()
    };
    if let Ok(tree) = ImageTree::open_with(scratch(name, data), &options) {
        for (_, set) in tree.parts() {
            for index in 0..set.len().min(3) {
                let _ = (set.image_name(index), set.load(index));
            }
        }
    }
}

/// Reads a list of labels of a flat `val` (lines, a `.csv`, or the official ground truth with its `meta.mat`), or a saved index in the
/// old or new format. The first byte selects which.
pub fn labels(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let folder = scratch_folder().join("flat");
    for image in ["train/one/a.png", "train/two/b.png", "val/c.png", "val/d.png"] {
        let path = folder.join(image);
        if !path.exists() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a scratch folder");
            fs::write(path, b"").expect("a scratch file");
        }
    }
    let list = match kind % 4 {
        0 => scratch("labels/lines.txt", data),
        1 => scratch("labels/table.csv", data),
        2 => {
            scratch("official/meta.mat", data);
            scratch("official/numbers.txt", b"1\n2\n")
        }
        _ if kind % 8 == 3 => scratch("labels/images.json", data),
        _ => scratch("labels/images.jsonl.gz", &gzip(data)),
    };
    let tree = match kind % 4 {
        3 => {
            let index = Some(SavedList::File(&list));
            ImageTree::open_with(
                folder,
                &TreeOptions {
                    index,
                    ..TreeOptions::default()
                },
            )
        }
        _ => ImageTree::open(folder, Some(&list)),
    };
    if let Ok(tree) = tree {
        let _ = tree.changes(SavedList::File(&list));
        assert_eq!(tree.val().expect("two images").len(), 2);
    }
}

/// A valid gzip of `data`.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut whole = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    whole.write_all(data).expect("memory takes everything");
    whole.finish().expect("memory takes everything")
}

/// Writes a file with this content, in memory if the system has `/dev/shm`.
fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let path = scratch_folder().join(name);
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir_all(folder).expect("a scratch folder");
    }
    fs::write(&path, content).expect("a scratch file");
    path
}

/// A folder for the current thread.
fn scratch_folder() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = {
            let memory = Path::new("/dev/shm");
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a scratch folder")
        };
    }
    FOLDER.with(|folder| folder.path().to_owned())
}

/// Reads MNIST's files. The first byte selects which one is fuzzed, images or labels, plain or gzipped.
pub fn mnist(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let (images, labels) = (
        [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28],
        [0, 0, 8, 1, 0, 0, 0, 1, 7],
    );
    let mut image = images.to_vec();
    image.resize(16 + 28 * 28, 9);
    let (images, labels) = match kind % 2 {
        0 => (data.to_vec(), labels.to_vec()),
        _ => (image, data.to_vec()),
    };
    scratch("mnist/t10k-images-idx3-ubyte", &images);
    let path = scratch("mnist/t10k-labels-idx1-ubyte", &labels);
    if let Ok(set) = mnist::read_split(path.parent().expect("a folder"), "mnist", Split::Test) {
        assert_eq!((set.height(), set.classes()), (mnist::SIDE, mnist::CLASSES));
    }
}

/// Reads a checkpoint.
pub fn checkpoint(data: &[u8]) {
    let _ = checkpoint_step(Path::new("fuzzed"), data);
}

/// Reads a packed network. Its checksum is corrected first, so that the rest is parsed. The network runs if it needs little memory.
pub fn packed_network(data: &[u8]) {
    let mut file = data.to_vec();
    let key = b"\"checksum\":\"";
    if let Some(at) = file.windows(key.len()).position(|window| window == key) {
        let digits = at + key.len()..at + key.len() + 16;
        if let Some(place) = file.get_mut(digits.clone()) {
            place.fill(b'0');
            let checksum = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&file));
            file[digits].copy_from_slice(checksum.as_bytes());
        }
    }
    if let Ok(network) = Network::from_bytes(&file)
        && network.scratch_bytes() < 1 << 20
        && network.outputs() < 1 << 16
        && network.input_shape().iter().product::<usize>() < 1 << 16
    {
        let image = vec![0.5; network.input_shape().iter().product()];
        network.classify(&image).expect("the image has the network's size");
    }
}
