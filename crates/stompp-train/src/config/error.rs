//! The errors of a configuration. For `r#source` see `../error.rs`.

use std::{io, path::PathBuf};
use stompp_resnet::ArchitectureError;

/// An error in a configuration. Every variant names the field or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A configuration file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// The text is not TOML, has an unknown field, or has a value that its field does not accept.
    #[error("{0}")]
    Toml(toml::de::Error),
    /// As [`ConfigError::Toml`], for the text of a file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem and its position.
        r#source: toml::de::Error,
    },
    /// A file has no valid graph.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// The problem.
        r#source: Box<stompp_graph::TextError>,
    },
    /// A model cannot have the configured sizes.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A field has a value that cannot be run.
    #[error("{field}: {problem}")]
    Field {
        /// The field, with its section.
        field: &'static str,
        /// The value and the expected values.
        problem: String,
    },
}

impl ConfigError {
    /// The field that is wrong, with its section. `None` if a file is wrong, or several fields together.
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

    /// `stompp-resnet` names its sizes in words; each word is mapped to a field.
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
