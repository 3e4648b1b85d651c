//! Exports the network of a run for other tools.

use crate::{SavedRun, TrainError, files, tensors, tensors::SavedTensor};
use dfdx::tensor::Cpu;
use std::{collections::HashSet, path::Path};
use stompp_graph::{ActivationRule, Graph, Op, TensorRole, find_tensor};
use stompp_infer::NetworkInfo;
use stompp_onnx::{Dialect, export};

/// The file format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// A safetensors file with torchvision's names. Binary weights are -1 and +1.
    Safetensors,
    /// ONNX in the given dialect.
    Onnx(Dialect),
}

/// The metadata key for the description of a safetensors export.
const NOTE: &str = "stompp_network";

impl SavedRun {
    /// The bytes of an export file: the deploy network in `format`, with its classes, preprocessing and origin.
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::pack`], with [`TrainError::Export`] instead of [`TrainError::Pack`]. Values that are not finite
    /// are no error; they are exported unchanged.
    pub fn export(&self, format: ExportFormat) -> Result<Vec<u8>, TrainError> {
        let network = self.binary_network(&Cpu::default())?;
        let activations = network.binarization().activations;
        let (graph, info) = (network.graph(), self.info("")?);
        let dialect = match format {
            ExportFormat::Safetensors => {
                let mut saved = tensors::network_tensors(&network);
                harden(graph, &mut saved);
                return Ok(tensors::to_bytes(&saved, Some((NOTE, note(&info, activations)))));
            }
            ExportFormat::Onnx(dialect) => dialect,
        };
        let values = tensors::network_values(&network);
        let floats = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let metadata = [
            ("classes", info.classes.join("\n")),
            ("mean", floats(&info.mean)),
            ("std", floats(&info.std)),
            ("preprocessing", info.preprocessing),
            ("revision", info.revision),
            ("parent", info.parent),
        ];
        export(graph, activations, find_tensor(&values), dialect, &metadata).map_err(|source| TrainError::Export {
            path: self.dir().to_owned(),
            source,
        })
    }

    /// Writes the bytes of [`SavedRun::export`] to the new file `path`, atomically. Returns the size of the file in bytes.
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::export`], and [`TrainError::Io`] if the file exists or cannot be written.
    pub fn write_export(&self, format: ExportFormat, path: &Path) -> Result<usize, TrainError> {
        let file = self.export(format)?;
        files::write_new(path, &file)?;
        Ok(file.len())
    }
}

/// The description in the metadata of a safetensors export.
fn note(info: &NetworkInfo, activations: ActivationRule) -> String {
    let activation = match activations {
        ActivationRule::Quantized => "sign, +1 at 0",
        ActivationRule::Relu => "relu",
        ActivationRule::Clip => "clip to [-1, 1]",
    };
    let content = "binary network: weights of binary convolutions are -1 and +1, batch norms have running statistics; every \
                   activation of the network is that of the field activation";
    serde_json::json!({
        "content": content,
        "activation": activation,
        "classes": info.classes,
        "mean": info.mean,
        "std": info.std,
        "preprocessing": info.preprocessing,
        "revision": info.revision,
        "parent": info.parent,
    })
    .to_string()
}

/// Replaces the latent weights of binary convolutions by their signs.
fn harden(graph: &Graph, saved: &mut [SavedTensor]) {
    let specs = graph.tensors();
    let binary: HashSet<&str> = specs
        .iter()
        .filter(|spec| matches!(graph.node(spec.node).op, Op::BinaryConv(_)) && spec.role == TensorRole::Weight)
        .map(|spec| spec.name.as_str())
        .collect();
    for tensor in saved.iter_mut().filter(|tensor| binary.contains(tensor.name.as_str())) {
        for value in tensor.bytes.as_chunks_mut().0 {
            let sign: f32 = if f32::from_le_bytes(*value) >= 0.0 { 1.0 } else { -1.0 };
            *value = sign.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunConfig, train};
    use safetensors::SafeTensors;

    fn run(method: &str) -> (tempfile::TempDir, SavedRun) {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "data = {{ train_limit = 20, test_limit = 10, image_size = 8 }}
             network = {{ model = 'bireal8', width = 4 }}
             method = {{ name = '{method}' }}
             training = {{ duration = '1ep', batch_size = 10 }}"
        );
        let out = folder.path().join("run");
        train(&RunConfig::from_toml(&config).unwrap(), &out, &mut []).unwrap();
        let run = SavedRun::open(&out).unwrap();
        (folder, run)
    }

    fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn hard_weights_are_signs_and_the_file_says_so() {
        let (_folder, run) = run("ste");
        let latent = files::read(&run.weights().unwrap()).unwrap();
        let hard = run.export(ExportFormat::Safetensors).unwrap();
        assert_eq!(
            hard,
            run.export(ExportFormat::Safetensors).unwrap(),
            "the same bytes again"
        );
        let note = |file: &[u8], name: &str| {
            let (_, header) = SafeTensors::read_metadata(file).unwrap();
            header.metadata().clone().unwrap()[name].clone()
        };
        assert!(note(&latent, "content").starts_with("weights as they were trained"));
        let note: serde_json::Value = serde_json::from_str(&note(&hard, NOTE)).unwrap();
        assert!(note["content"].as_str().unwrap().starts_with("binary network"));
        assert_eq!(
            (note["classes"][3].as_str(), note["activation"].as_str()),
            (Some("class 3"), Some("sign, +1 at 0"))
        );
        let (latent, hard) = (
            SafeTensors::deserialize(&latent).unwrap(),
            SafeTensors::deserialize(&hard).unwrap(),
        );
        let graph = run.graph().unwrap();
        for spec in graph.tensors() {
            let (before, after) = (floats(&latent, &spec.name), floats(&hard, &spec.name));
            assert_eq!(hard.tensor(&spec.name).unwrap().shape(), spec.shape);
            match graph.node(spec.node).op {
                Op::BinaryConv(_) => {
                    assert!(before.iter().any(|value| value.abs() < 1.0));
                    let sign = |value: &f32| if *value >= 0.0 { 1.0 } else { -1.0 };
                    assert_eq!(after, before.iter().map(sign).collect::<Vec<_>>(), "{}", spec.name);
                }
                _ => assert_eq!(before, after, "{}", spec.name),
            }
        }
        // Files of earlier versions say nothing about themselves.
        let network = run.deployed(&Cpu::default()).unwrap();
        let silent = tensors::to_bytes(&tensors::network_tensors(&network), None);
        files::replace(&run.weights().unwrap(), &silent).unwrap();
        let again = run.deployed(&Cpu::default()).unwrap();
        assert_eq!(tensors::network_tensors(&again), tensors::network_tensors(&network));
    }

    #[test]
    fn files_are_new_and_networks_binary() {
        let (folder, mut run) = run("ste");
        let path = folder.path().join("net.onnx");
        let bytes = run.write_export(ExportFormat::Onnx(Dialect::Standard), &path).unwrap();
        assert_eq!(bytes as u64, std::fs::metadata(&path).unwrap().len());
        let error = run
            .write_export(ExportFormat::Safetensors, &path)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("cannot write {}", path.display())),
            "{error}"
        );
        run.config.method.name = crate::config::Method::Float;
        let error = run.export(ExportFormat::Safetensors).unwrap_err();
        assert!(matches!(error, TrainError::NotBinary { .. }), "{error}");
    }
}
