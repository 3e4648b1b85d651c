//! `stompp summary`.

use crate::options::{Overrides, Selection};
use clap::{Args, ValueEnum};
use serde::Serialize;
use stompp_graph::{ActivationRule, CostSummary, Description, Graph};
use stompp_infer::{MemoryUse, PackError};
use stompp_train::{RunConfig, TrainError};

/// Show the costs of a network: weights, multiply-accumulates and bytes, layer by layer
///
/// The data set determines the number of classes.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Summary {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    overrides: Overrides<SizeOptions>,
}

const EXAMPLES: &str = "\
Examples:
  stompp summary --model resnet18 --dataset cifar100
  stompp summary --model my_network.toml --format json
  stompp summary --model bireal20 --format dot | dot -Tsvg > bireal20.svg";

/// The options that affect a network's layers and sizes.
#[derive(Clone)]
pub(crate) struct SizeOptions;

impl Selection for SizeOptions {
    fn has(flag: &str) -> bool {
        ["dataset", "image-size", "model", "width", "setting"].contains(&flag)
    }
}

/// The output format of a summary.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// A table of the layers with weights
    #[default]
    Table,
    /// Every node with inputs, shape, unit and costs, and the RAM for running the network, as JSON
    Json,
    /// A graph for Graphviz, with numbered units
    Dot,
}

/// The output of `--format json`.
#[derive(Serialize)]
struct JsonSummary {
    #[serde(flatten)]
    description: Description,
    memory: MemoryUse,
}

impl Format {
    fn write(self, graph: &Graph, activations: ActivationRule) -> Result<String, PackError> {
        Ok(match self {
            Self::Table => CostSummary::new(graph, activations).to_string(),
            Self::Json => {
                let whole = JsonSummary {
                    description: Description::new(graph, activations),
                    memory: MemoryUse::new(graph, activations)?,
                };
                serde_json::to_string_pretty(&whole).expect("names and numbers have a JSON form")
            }
            Self::Dot => graph.to_dot().trim_end().to_owned(),
        })
    }
}

impl Summary {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        let graph = config.graph().map_err(TrainError::from)?;
        let text = self.format.write(&graph, config.binarization().activations)?;
        stompp_console::outln!("{text}");
        Ok(())
    }
}
