//! `stompp summary`.

use crate::options::{Overrides, Selection};
use clap::{Args, ValueEnum};
use stompp_train::{RunConfig, TrainError, config::ConfigError};

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
    /// Every node with inputs, shape, unit and costs, as JSON
    Json,
    /// A picture for Graphviz, with the units numbered
    Dot,
}

impl Format {
    fn write(self, config: &RunConfig) -> Result<String, ConfigError> {
        Ok(match self {
            Self::Table => config.summary()?.to_string(),
            Self::Json => {
                serde_json::to_string_pretty(&config.description()?).expect("names and numbers have a JSON form")
            }
            Self::Dot => config.graph()?.to_dot().trim_end().to_owned(),
        })
    }
}

impl ShowSummary {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        stompp_console::outln!("{}", self.format.write(&config).map_err(TrainError::from)?);
        Ok(())
    }
}
