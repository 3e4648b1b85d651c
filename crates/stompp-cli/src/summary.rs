//! `stompp summary`.

use crate::options::{Overrides, Selection};
use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use stompp_graph::Description;
use stompp_infer::Memory;
use stompp_train::{RunConfig, TrainError};

/// Show what a network costs: weights, multiply-accumulates and bytes, layer by layer
///
/// The number of classes is the data set's.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowSummary {
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    overrides: Overrides<Size>,
}

const EXAMPLES: &str = "\
Examples:
  stompp summary --model resnet18 --dataset cifar100
  stompp summary --model my_network.toml --format json
  stompp summary --model bireal20 --format dot | dot -Tsvg > bireal20.svg";

/// The options that decide a network's layers and sizes.
#[derive(Clone)]
pub(crate) struct Size;

impl Selection for Size {
    fn has(flag: &str) -> bool {
        ["dataset", "image-size", "model", "width", "setting"].contains(&flag)
    }
}

/// How a summary is written.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// A table of the layers that have weights
    #[default]
    Table,
    /// Every node with inputs, shape, unit and costs, and the RAM that running the network takes, as JSON
    Json,
    /// A picture for Graphviz, with the units numbered
    Dot,
}

/// The whole of `--format json`.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    description: Description,
    memory: Memory,
}

impl Format {
    fn write(self, config: &RunConfig) -> anyhow::Result<String> {
        Ok(match self {
            Self::Table => config.summary().map_err(TrainError::from)?.to_string(),
            Self::Json => {
                let description = config.description().map_err(TrainError::from)?;
                let graph = config.graph().map_err(TrainError::from)?;
                let memory = Memory::of(&graph, description.activations).context("the memory of the packed network")?;
                serde_json::to_string_pretty(&Whole { description, memory })
                    .expect("names and numbers have a JSON form")
            }
            Self::Dot => config.graph().map_err(TrainError::from)?.to_dot().trim_end().to_owned(),
        })
    }
}

impl ShowSummary {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        stompp_console::outln!("{}", self.format.write(&config)?);
        Ok(())
    }
}
