//! Reads the reference vectors: one `.npz` per mode, and `summary.json`, which describes the modes.
//!
//! They were computed by an independent float64 PyTorch implementation; `tests/vectors/README.txt` describes them.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};
use stompp_binarize::{ActivationRule, Binarization, Granularity, Surrogate};
use stompp_resnet::Architecture;

/// The vectors of one mode.
#[derive(Debug)]
pub struct Reference {
    /// Name of the mode, such as `stompp_partial`.
    pub name: String,
    /// The binarization of the mode.
    pub binarization: Binarization,
    arrays: BTreeMap<String, Vec<f64>>,
    shapes: BTreeMap<String, Vec<usize>>,
}

#[derive(Deserialize)]
struct Mode {
    #[serde(rename = "kind/masks/ste_act/ste_w/free_act")]
    rules: [String; 5],
}

/// The folder of vectors: `STOMPP_VECTORS` if set, else the folder in this repository.
pub fn folder() -> PathBuf {
    std::env::var_os("STOMPP_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"), PathBuf::from)
}

/// Reads every mode in `folder`.
///
/// # Panics
/// Panics if a file is missing or cannot be parsed.
pub fn read_all(folder: &Path) -> Vec<Reference> {
    let summary = folder.join("summary.json");
    let text = std::fs::read_to_string(&summary).unwrap_or_else(|error| panic!("{}: {error}", summary.display()));
    let modes: BTreeMap<String, Mode> = serde_json::from_str(&text).expect("summary.json");
    modes
        .into_iter()
        .map(|(name, mode)| Reference::read(folder, name, &mode))
        .collect()
}

impl Reference {
    fn read(folder: &Path, name: String, mode: &Mode) -> Self {
        let path = folder.join(format!("{name}.npz"));
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).expect("an npz archive");
        let (mut arrays, mut shapes) = (BTreeMap::new(), BTreeMap::new());
        for index in 0..archive.len() {
            let member = archive.by_index(index).expect("a readable member");
            let key = member.name().expect("a name").trim_end_matches(".npy").to_owned();
            if key == "nograd" {
                continue; // names, not numbers; the gradients themselves are zeros
            }
            let array = npyz::NpyFile::new(member).expect("an array");
            shapes.insert(key.clone(), array.shape().iter().map(|&n| n as usize).collect());
            arrays.insert(key, numbers(array));
        }
        Self {
            name,
            binarization: binarization(&mode.rules),
            arrays,
            shapes,
        }
    }

    /// Returns an array, flat, in C order.
    ///
    /// # Panics
    /// Panics if there is no array of that name.
    pub fn array(&self, name: &str) -> &[f64] {
        self.arrays
            .get(name)
            .unwrap_or_else(|| panic!("{}: no array `{name}`", self.name))
    }

    /// Returns an array, or `None` if there is no array of that name.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.arrays.get(name).map(Vec::as_slice)
    }

    /// Returns the shape of an array.
    ///
    /// # Panics
    /// Panics if there is no array of that name.
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.shapes[name]
    }

    /// Names of the arrays that begin with `prefix`, without the prefix.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.arrays.keys().filter_map(move |key| key.strip_prefix(prefix))
    }

    /// Derives the network from the arrays. A block begins a stage if it is the first block or has a shortcut convolution.
    ///
    /// # Panics
    /// Panics if the arrays do not describe a network.
    pub fn architecture(&self) -> Architecture {
        let mut stages = Vec::new();
        for block in 0.. {
            if self.get(&format!("param/blocks.{block}.conv1.weight")).is_none() {
                break;
            }
            let begins = block == 0 || self.get(&format!("param/blocks.{block}.down.0.weight")).is_some();
            if begins {
                stages.push(0);
            }
            *stages.last_mut().expect("the first block begins a stage") += 1;
        }
        let (width, classes) = (self.shape("param/conv0.weight")[0], self.shape("param/fc.weight")[0]);
        Architecture::with_stages(stages, width, classes, self.shape("x")[2]).expect("a network")
    }

    /// Converts our name of a tensor (as in torchvision's `state_dict`) to that of the reference.
    pub fn tensor_name(&self, ours: &str) -> String {
        let mut parts: Vec<&str> = ours.split('.').collect();
        let block_number;
        match parts[0] {
            "conv1" => parts[0] = "conv0",
            "bn1" => parts[0] = "bn0",
            layer if layer.starts_with("layer") => {
                block_number = self.block_number(layer, parts[1]).to_string();
                parts.splice(0..2, ["blocks", &block_number]);
                if parts[2] == "downsample" {
                    parts[2] = "down";
                }
            }
            _ => {}
        }
        parts.join(".")
    }

    /// Returns the reference's names of a unit's activation mask and weight mask, from the name of its convolution.
    pub fn mask_names(&self, convolution: &str) -> (String, String) {
        let parts: Vec<&str> = convolution.split('.').collect();
        let (stage, block): (usize, usize) = (stage_index(parts[0]), parts[1].parse().expect("a block index"));
        let here = format!("s{stage}b{block}");
        match parts[2] {
            "conv1" => {
                let before = match (stage, block) {
                    (0, 0) => "stem.a".to_owned(),
                    (_, 0) => format!("s{}b{}.a2", stage - 1, self.stages()[stage - 1] - 1),
                    _ => format!("s{stage}b{}.a2", block - 1),
                };
                (before, format!("{here}.w1"))
            }
            "conv2" => (format!("{here}.a1"), format!("{here}.w2")),
            other => panic!("the reference has no convolution `{other}`"),
        }
    }

    /// Returns the reference's name of the mask after the last block.
    pub fn final_mask_name(&self) -> String {
        let stages = self.stages();
        format!("s{}b{}.a2", stages.len() - 1, stages[stages.len() - 1] - 1)
    }

    fn stages(&self) -> Vec<usize> {
        let mut stages: Vec<usize> = Vec::new();
        for node in self.architecture().graph().nodes() {
            let Some(block) = node.name.strip_suffix(".conv1") else {
                continue;
            };
            let stage = stage_index(block.split('.').next().expect("a stage"));
            stages.resize(stages.len().max(stage + 1), 0);
            stages[stage] += 1;
        }
        stages
    }

    fn block_number(&self, layer: &str, index: &str) -> usize {
        self.stages()[..stage_index(layer)].iter().sum::<usize>() + index.parse::<usize>().expect("a block index")
    }
}

/// `layer1` is stage 0.
fn stage_index(layer: &str) -> usize {
    layer
        .trim_start_matches("layer")
        .parse::<usize>()
        .expect("a stage number")
        - 1
}

fn numbers<R: std::io::Read>(array: npyz::NpyFile<R>) -> Vec<f64> {
    let kind = array.dtype().descr();
    match kind.as_str() {
        "'<f4'" => array
            .into_vec::<f32>()
            .expect("f32")
            .into_iter()
            .map(f64::from)
            .collect(),
        "'<f8'" => array.into_vec::<f64>().expect("f64"),
        "'<i8'" => array
            .into_vec::<i64>()
            .expect("i64")
            .into_iter()
            .map(|n| n as f64)
            .collect(),
        "'|u1'" => array.into_vec::<u8>().expect("u8").into_iter().map(f64::from).collect(),
        other => panic!("an array of dtype {other}"),
    }
}

fn binarization([kind, _masks, activation, weight, open]: &[String; 5]) -> Binarization {
    let surrogate = |name: &str| match name {
        "none" => Surrogate::Blocked,
        "identity" => Surrogate::Identity,
        "clip" => Surrogate::Clipped,
        other => panic!("unknown rule for frozen entries `{other}`"),
    };
    let activations = match (kind.as_str(), open.as_str()) {
        ("bnn", _) => ActivationRule::Quantized,
        ("bwn", "relu") => ActivationRule::Relu,
        ("bwn", "clip") => ActivationRule::Clip,
        other => panic!("unknown network {other:?}"),
    };
    Binarization {
        activations,
        granularity: Granularity::Entry,
        activation_surrogate: surrogate(activation),
        weight_surrogate: surrogate(weight),
    }
}
