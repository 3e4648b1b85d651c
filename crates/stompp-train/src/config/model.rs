//! The network that a run trains: a known model, or a graph in a file.

use super::{ConfigError, RunConfig, check::field};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};
use stompp_graph::{CostSummary, Graph};
use stompp_resnet::{Architecture, Model, UnknownModel};

/// The network of a configuration: a model name such as `resnet20`, or a file such as `my_network.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// One of the models of `stompp-resnet`.
    Named(Model),
    /// A graph in its text form ([`Graph::from_toml`]).
    File(PathBuf),
}

impl ModelSource {
    /// The named model; `None` for a file.
    pub fn named(&self) -> Option<Model> {
        match self {
            Self::Named(model) => Some(*model),
            Self::File(_) => None,
        }
    }
}

impl From<Model> for ModelSource {
    fn from(model: Model) -> Self {
        Self::Named(model)
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(model) => model.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The text is neither the name of a model nor a path that ends in `.toml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}, or a file with a graph, such as my_network.toml")]
pub struct UnknownModelSource(#[from] UnknownModel);

impl FromStr for ModelSource {
    type Err = UnknownModelSource;

    fn from_str(text: &str) -> Result<Self, UnknownModelSource> {
        let path = Path::new(text);
        match text.parse() {
            Ok(model) => Ok(Self::Named(model)),
            // A text without the extension `.toml` is treated as a misspelt model name.
            Err(_) if path.extension().is_some_and(|ending| ending == "toml") => Ok(Self::File(path.to_owned())),
            Err(unknown) => Err(unknown.into()),
        }
    }
}

impl RunConfig {
    /// Builds the graph of the configured network.
    ///
    /// # Errors
    /// Returns [`ConfigError::Architecture`] if the sizes are not accepted, [`ConfigError::Read`] or [`ConfigError::Graph`] if the file of
    /// the graph cannot be read or has no valid graph, and [`ConfigError::Field`] if the graph does not fit the images, the classes or
    /// the method.
    pub fn graph(&self) -> Result<Graph, ConfigError> {
        match &self.network.model {
            ModelSource::Named(_) => Ok(self.architecture()?.expect("the model is named").graph()),
            ModelSource::File(path) => {
                let graph = read(path)?;
                self.check_graph(&graph)?;
                Ok(graph)
            }
        }
    }

    /// The graph of a run that keeps it in the file `kept`, which may be absent. The configured file may have been moved since
    /// the run began, but must not have changed.
    ///
    /// # Errors
    /// Returns the errors of [`RunConfig::graph`], and [`ConfigError::Field`] if the configured file now has another graph.
    pub(crate) fn graph_of_run(&self, kept: &Path) -> Result<Graph, ConfigError> {
        let ModelSource::File(path) = &self.network.model else {
            return self.graph();
        };
        if !kept.exists() {
            return self.graph();
        }
        let graph = read(kept)?;
        self.check_graph(&graph)?;
        if path.exists() && read(path)? != graph {
            let problem = format!(
                "{} has changed since the run began; the graph of the run is in {}",
                path.display(),
                kept.display()
            );
            return Err(field("network.model", problem));
        }
        Ok(graph)
    }

    /// The model with its sizes, if it is named; `None` if the network is a graph from a file.
    ///
    /// # Errors
    /// Returns [`ConfigError::Architecture`] if the sizes are not accepted.
    pub fn architecture(&self) -> Result<Option<Architecture>, ConfigError> {
        let (network, data) = (&self.network, &self.data);
        match network.model {
            ModelSource::Named(model) => {
                let architecture = Architecture::new(model, network.width, data.classes(), data.image_size)?;
                Ok(Some(architecture))
            }
            ModelSource::File(_) => Ok(None),
        }
    }

    /// The costs of the network once it is committed, layer by layer.
    ///
    /// # Errors
    /// Returns the errors of [`RunConfig::graph`].
    pub fn summary(&self) -> Result<CostSummary, ConfigError> {
        Ok(CostSummary::new(&self.graph()?, self.binarization().activations))
    }

    /// Rejects a graph that does not fit the images, the classes or the method of the configuration.
    pub(crate) fn check_graph(&self, graph: &Graph) -> Result<(), ConfigError> {
        let [channels, height, width] = graph.input_shape();
        let side = self.data.image_size;
        if [channels, height, width] != [3, side, side] {
            let problem =
                format!("{side}: the network takes images of {channels}x{height}x{width}, expected 3x{side}x{side}");
            return Err(field("data.image_size", problem));
        }
        let [outputs, height, width] = graph.output_shape();
        let classes = self.data.classes();
        if [outputs, height, width] != [classes, 1, 1] {
            let problem = format!(
                "{}: its output is {outputs}x{height}x{width}, expected {classes}x1x1 for {classes} classes",
                self.network.model
            );
            return Err(field("network.model", problem));
        }
        if graph.units().is_empty() && self.method.name.has_plan() {
            let problem = format!(
                "{}: it has no binary convolution, so method {} has nothing to freeze",
                self.network.model, self.method.name
            );
            return Err(field("network.model", problem));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Graph, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    Graph::from_toml(&text).map_err(|source| ConfigError::Graph {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_told_apart() {
        let source = |text: &str| text.parse::<ModelSource>();
        assert_eq!(source("resnet18"), Ok(Model::ResNet18.into()));
        assert_eq!(
            source("a/resnet18.toml"),
            Ok(ModelSource::File(PathBuf::from("a/resnet18.toml")))
        );
        for text in ["resnet19", "my_network", "network.json"] {
            let error = source(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("unknown model `{text}`")), "{error}");
            assert!(error.ends_with("such as my_network.toml"), "{error}");
        }
    }

    fn config(text: &str) -> (tempfile::TempDir, RunConfig) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.toml");
        std::fs::write(&path, text).unwrap();
        let mut config = RunConfig::default();
        config.network.model = ModelSource::File(path);
        config.data.image_size = 8;
        (folder, config)
    }

    const GRAPH: &str = "version = 1
input = [3, 8, 8]
nodes = [
  { name = 'conv', op = 'conv', outputs = 4, kernel = 3 },
  { name = 'act', op = 'activation' },
  { name = 'binary', op = 'binary_conv', outputs = 4, kernel = 3 },
  { name = 'pool', op = 'global_average_pool' },
  { name = 'fc', op = 'linear', outputs = 10 },
]";

    #[test]
    fn a_graph_has_to_fit_the_images_and_the_classes() {
        let (_folder, mut config) = config(GRAPH);
        assert_eq!(config.graph().unwrap().units().len(), 1);
        config.data.image_size = 16;
        let error = config.graph().unwrap_err().to_string();
        assert_eq!(
            error,
            "data.image_size: 16: the network takes images of 3x8x8, expected 3x16x16"
        );
        config.data.image_size = 8;
        config.data.dataset = crate::config::Dataset::Synthetic100;
        let error = config.graph().unwrap_err().to_string();
        assert!(
            error.ends_with("its output is 10x1x1, expected 100x1x1 for 100 classes"),
            "{error}"
        );
    }

    #[test]
    fn a_network_without_binary_layers_cannot_freeze() {
        let (_folder, mut config) = config(&GRAPH.replace("binary_conv", "conv"));
        let error = config.graph().unwrap_err().to_string();
        assert!(error.ends_with("so method stompp has nothing to freeze"), "{error}");
        config.method.name = crate::config::Method::Float;
        config.graph().unwrap();
    }

    #[test]
    fn damage_is_told_with_the_file() {
        let (_folder, config) = config(&GRAPH.replace("fc", "conv"));
        let error = config.graph().unwrap_err().to_string();
        assert!(
            error.ends_with("net.toml: node `conv`: another node has this name"),
            "{error}"
        );
    }

    /// If the file was moved, the kept graph is used. If it changed, it is refused.
    #[test]
    fn a_run_keeps_its_graph() {
        let (folder, mut config) = config(GRAPH);
        let kept = folder.path().join("kept.toml");
        let graph = config.graph_of_run(&kept).unwrap();
        std::fs::write(&kept, graph.to_toml()).unwrap();
        assert_eq!(config.graph_of_run(&kept).unwrap(), graph);
        let ModelSource::File(path) = &config.network.model else {
            unreachable!()
        };
        std::fs::write(
            path,
            GRAPH.replace("kernel = 3 },\n  { name = 'act'", "kernel = 1 },\n  { name = 'act'"),
        )
        .unwrap();
        let error = config.graph_of_run(&kept).unwrap_err().to_string();
        assert!(error.contains("net.toml has changed since the run began"), "{error}");
        config.network.model = ModelSource::File(folder.path().join("gone.toml"));
        assert_eq!(config.graph_of_run(&kept).unwrap(), graph);
    }
}
