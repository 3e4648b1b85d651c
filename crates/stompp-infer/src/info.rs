//! The metadata of a packed file: everything except the graph and the weights.

use crate::error::{OpenError, PackError};
use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use stompp_graph::ActivationRule;

/// The version of the format.
pub(crate) const VERSION: &str = "1";
/// The value of the metadata's `format`.
pub(crate) const FORMAT: &str = "stompp packed network";
const RULES: [(ActivationRule, &str); 3] = [
    (ActivationRule::Quantized, "quantized"),
    (ActivationRule::Relu, "relu"),
    (ActivationRule::Clip, "clip"),
];

/// Describes a packed network to its users. Every field may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkInfo {
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// Mean of each channel. It is subtracted from an image with values in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel. The difference is divided by it.
    pub std: Vec<f32>,
    /// Describes in words how to convert an image file to the network's input.
    pub preprocessing: String,
    /// Revision of the training program.
    pub revision: String,
    /// Licence of the weights.
    pub licence: String,
    /// The training run that the weights come from.
    pub parent: String,
}

impl NetworkInfo {
    /// Returns the entries of the header's metadata.
    pub(crate) fn metadata(
        &self,
        graph: String,
        outputs: usize,
        activations: ActivationRule,
    ) -> Result<Vec<(&'static str, String)>, PackError> {
        if !self.classes.is_empty() && self.classes.len() != outputs {
            let problem = format!("there are {} for {outputs} outputs", self.classes.len());
            return Err(PackError::Classes(problem));
        }
        if let Some(name) = self.classes.iter().find(|name| name.contains('\n') || name.is_empty()) {
            return Err(PackError::Classes(format!("{name:?} is empty or has a line break")));
        }
        let floats = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let rule = RULES
            .iter()
            .find(|(rule, _)| *rule == activations)
            .map_or("", |(_, name)| name);
        Ok(Vec::from([
            ("activation", rule.to_owned()),
            ("classes", self.classes.join("\n")),
            ("graph", graph),
            ("licence", self.licence.clone()),
            ("mean", floats(&self.mean)),
            ("parent", self.parent.clone()),
            ("preprocessing", self.preprocessing.clone()),
            ("revision", self.revision.clone()),
            ("std", floats(&self.std)),
        ]))
    }

    /// Reads the entries back, with the activation rule.
    pub(crate) fn read(metadata: &BTreeMap<String, String>) -> Result<(Self, ActivationRule), OpenError> {
        let text = |key| metadata.get(key).cloned().unwrap_or_default();
        let floats = |key: &'static str| {
            let numbers = text(key);
            let numbers = numbers.split_ascii_whitespace().map(|word| {
                word.parse::<f32>().map_err(|_| OpenError::Metadata {
                    key,
                    problem: format!("`{word}` is not a number"),
                })
            });
            numbers.collect::<Result<Vec<_>, _>>()
        };
        let rule = text("activation");
        let Some((activations, _)) = RULES.iter().find(|(_, name)| *name == rule) else {
            return Err(OpenError::Metadata {
                key: "activation",
                problem: format!("`{rule}` is not known"),
            });
        };
        let classes = text("classes");
        let info = Self {
            classes: classes
                .split('\n')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            mean: floats("mean")?,
            std: floats("std")?,
            preprocessing: text("preprocessing"),
            revision: text("revision"),
            licence: text("licence"),
            parent: text("parent"),
        };
        Ok((info, *activations))
    }
}
