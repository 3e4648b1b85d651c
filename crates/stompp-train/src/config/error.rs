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

impl ConfigError {
    /// The field that is wrong, with its section; `None` if it is a file, or several fields together.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::Architecture(ArchitectureError::Size { what, .. }) => match *what {
                "width" => Some("network.width"),
                "number of classes" => Some("data.classes"),
                "image size" => Some("data.image_size"),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{DataConfig, Dataset, RunConfig};

    /// `stompp-resnet` names its sizes in words; each word stands for a field.
    #[test]
    fn sizes_of_a_network_are_fields() {
        let field = |change: fn(&mut RunConfig)| {
            let mut config = RunConfig::default();
            change(&mut config);
            config.architecture().expect_err("a size is wrong").field()
        };
        assert_eq!(field(|c| c.network.width = Some(0)), Some("network.width"));
        assert_eq!(field(|c| c.data.image_size = 1), Some("data.image_size"));
        let classes = |c: &mut RunConfig| {
            c.data = DataConfig {
                dataset: Dataset::Folder,
                classes: Some(1),
                ..DataConfig::default()
            };
        };
        assert_eq!(field(classes), Some("data.classes"));
    }
}
