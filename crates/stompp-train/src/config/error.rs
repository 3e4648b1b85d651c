//! What can be wrong with a configuration.
//!
//! Messages are whole: they end with what the system or a library said. That part is a field spelled `r#source`, which keeps
//! `thiserror` from offering it a second time as the error's source.

use std::{io, path::PathBuf};
use stompp_resnet::ArchitectureError;

/// A configuration that cannot be run; every variant names the field or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A configuration file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        r#source: io::Error,
    },
    /// Not TOML, an unknown field, or a value that its field does not take.
    #[error("{0}")]
    Toml(toml::de::Error),
    /// The same, in a file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        r#source: toml::de::Error,
    },
    /// A file holds no graph.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        r#source: Box<stompp_graph::TextError>,
    },
    /// There is no such network.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A value outside what can be run.
    #[error("{field}: {problem}")]
    Field {
        /// The field, with its section.
        field: &'static str,
        /// The value and what was expected.
        problem: String,
    },
}
