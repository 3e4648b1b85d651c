//! The text form of a graph: TOML, one line per node.

use crate::{Conv, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Pool};
use serde::Deserialize;
use std::{collections::HashMap, fmt::Write};

/// The version of the text form that this crate writes and reads.
const VERSION: u64 = 1;
/// Largest number of nodes in a text, far above that of the deepest ResNet.
const MAX_NODES: usize = 100_000;

/// A text is not a valid graph.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is not TOML, or has an unknown field.
    #[error("{0}")]
    Syntax(String),
    /// It was written for another version of the text form.
    #[error("version {0} of the text form is not known; this program reads version {VERSION}")]
    Version(u64),
    /// It has too many nodes.
    #[error("{0} nodes are too many: at most {MAX_NODES}")]
    TooManyNodes(usize),
    /// A node's op is unknown.
    #[error("node `{node}`: unknown op `{op}`, expected one of {}", OPS.join(", "))]
    Op {
        /// The node.
        node: String,
        /// What was written.
        op: String,
    },
    /// A node lacks a field, or has a field that its op does not have.
    #[error("node `{node}`: {op} {problem} `{field}`")]
    Field {
        /// The node.
        node: String,
        /// Its op.
        op: &'static str,
        /// `needs` or `takes no`.
        problem: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A node reads a node that is not defined before it.
    #[error("node `{node}`: there is no node `{input}` before it")]
    Input {
        /// The node.
        node: String,
        /// The name of the missing node.
        input: String,
    },
    /// The nodes do not form a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The names of the ops in texts.
const OPS: [&str; 11] = [
    "conv",
    "binary_conv",
    "batch_norm",
    "activation",
    "relu",
    "clip",
    "add",
    "max_pool",
    "average_pool",
    "global_average_pool",
    "linear",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphText {
    version: u64,
    input: [usize; 3],
    output: Option<String>,
    nodes: Vec<NodeText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeText {
    name: String,
    op: String,
    input: Option<String>,
    inputs: Option<[String; 2]>,
    outputs: Option<usize>,
    kernel: Option<usize>,
    stride: Option<usize>,
    padding: Option<usize>,
}

impl Graph {
    /// Reads the text form: TOML with one table for each node.
    ///
    /// A node reads the node named by `input`, by default the previous one. `stride` defaults to 1 (for pools: the kernel) and
    /// `padding` to half of the kernel (for pools: 0). The network's `output` defaults to the last node.
    ///
    /// ```
    /// use stompp_graph::Graph;
    ///
    /// let graph = Graph::from_toml(
    ///     "version = 1
    ///      input = [3, 8, 8]
    ///      nodes = [
    ///        { name = 'conv1', op = 'conv', outputs = 4, kernel = 3 },
    ///        { name = 'act1', op = 'activation' },
    ///        { name = 'conv2', op = 'binary_conv', outputs = 4, kernel = 3 },
    ///        { name = 'bn2', op = 'batch_norm' },
    ///        { name = 'add2', op = 'add', inputs = ['bn2', 'act1'] },
    ///        { name = 'pool', op = 'global_average_pool' },
    ///        { name = 'fc', op = 'linear', outputs = 10 },
    ///      ]",
    /// )?;
    /// assert_eq!(Graph::from_toml(&graph.to_toml())?, graph);
    /// # Ok::<(), stompp_graph::TextError>(())
    /// ```
    ///
    /// # Errors
    /// Returns a [`TextError`], which names the wrong line, or the wrong node and field.
    pub fn from_toml(text: &str) -> Result<Self, TextError> {
        let graph: GraphText = toml::from_str(text).map_err(|error| TextError::Syntax(error.to_string()))?;
        if graph.version != VERSION {
            return Err(TextError::Version(graph.version));
        }
        if graph.nodes.len() > MAX_NODES {
            return Err(TextError::TooManyNodes(graph.nodes.len()));
        }
        let mut builder = GraphBuilder::new(graph.input);
        let mut last = builder.input();
        let mut known = HashMap::from([(String::from("input"), last)]);
        for node in graph.nodes {
            let (op, inputs) = node.resolve(last, &known)?;
            last = builder.add_node(&node.name, op, inputs)?;
            known.insert(node.name, last);
        }
        let output = match graph.output {
            None => last,
            Some(name) => *known.get(&name).ok_or_else(|| TextError::Input {
                node: "output".to_owned(),
                input: name,
            })?,
        };
        Ok(builder.finish(output)?)
    }

    /// Returns the text form, with every field written out.
    pub fn to_toml(&self) -> String {
        let [channels, height, width] = self.input_shape();
        let mut text = format!(
            "version = {VERSION}\ninput = [{channels}, {height}, {width}]\noutput = \"{}\"\nnodes = [\n",
            self.node(self.output()).name
        );
        for node in &self.nodes()[1..] {
            writeln!(text, "  {{ {} }},", self.node_fields(node)).expect("writing to a string cannot fail");
        }
        text.push_str("]\n");
        text
    }

    fn node_fields(&self, node: &Node) -> String {
        let name = |id: &NodeId| &self.node(*id).name;
        let mut text = format!("name = \"{}\", op = \"{}\"", node.name, node.op.name());
        match &node.inputs[..] {
            [one] => write!(text, ", input = \"{}\"", name(one)),
            [one, other, ..] => write!(text, ", inputs = [\"{}\", \"{}\"]", name(one), name(other)),
            [] => Ok(()),
        }
        .expect("writing to a string cannot fail");
        match node.op {
            Op::Conv(conv) | Op::BinaryConv(conv) => {
                let Conv {
                    outputs,
                    kernel,
                    stride,
                    padding,
                } = conv;
                write!(
                    text,
                    ", outputs = {outputs}, kernel = {kernel}, stride = {stride}, padding = {padding}"
                )
            }
            Op::MaxPool(Pool {
                kernel,
                stride,
                padding,
            }) => {
                write!(text, ", kernel = {kernel}, stride = {stride}, padding = {padding}")
            }
            Op::AveragePool(Pool { kernel, stride, .. }) => write!(text, ", kernel = {kernel}, stride = {stride}"),
            Op::Linear { outputs } => write!(text, ", outputs = {outputs}"),
            _ => Ok(()),
        }
        .expect("writing to a string cannot fail");
        text
    }
}

impl NodeText {
    /// Returns its op and inputs. `last` is the previous node in the text.
    fn resolve(&self, last: NodeId, known: &HashMap<String, NodeId>) -> Result<(Op, Vec<NodeId>), TextError> {
        let op_name = OPS.into_iter().find(|op| *op == self.op).ok_or_else(|| TextError::Op {
            node: self.name.clone(),
            op: self.op.clone(),
        })?;
        let fields = Fields {
            node: &self.name,
            op: op_name,
        };
        let conv = || {
            let (outputs, kernel) = (
                fields.require("outputs", self.outputs)?,
                fields.require("kernel", self.kernel)?,
            );
            let usual = Conv::new(outputs, kernel);
            Ok::<_, TextError>(Conv {
                stride: self.stride.unwrap_or(usual.stride),
                padding: self.padding.unwrap_or(usual.padding),
                ..usual
            })
        };
        let pool = || {
            let usual = Pool::new(fields.require("kernel", self.kernel)?);
            Ok::<_, TextError>(Pool {
                stride: self.stride.unwrap_or(usual.stride),
                padding: self.padding.unwrap_or(usual.padding),
                ..usual
            })
        };
        let op = match op_name {
            "conv" => Op::Conv(conv()?),
            "binary_conv" => Op::BinaryConv(conv()?),
            "batch_norm" => Op::BatchNorm,
            "activation" => Op::Activation,
            "relu" => Op::Relu,
            "clip" => Op::Clip,
            "add" => Op::Add,
            "max_pool" => Op::MaxPool(pool()?),
            "average_pool" => Op::AveragePool(pool()?),
            "global_average_pool" => Op::GlobalAveragePool,
            _ => Op::Linear {
                outputs: fields.require("outputs", self.outputs)?,
            },
        };
        let (outputs, windows, padding) = match op {
            Op::Conv(_) | Op::BinaryConv(_) => (true, true, true),
            Op::MaxPool(_) => (false, true, true),
            Op::AveragePool(_) => (false, true, false),
            Op::Linear { .. } => (true, false, false),
            _ => (false, false, false),
        };
        fields.refuse("outputs", self.outputs.is_some() && !outputs)?;
        fields.refuse("kernel", self.kernel.is_some() && !windows)?;
        fields.refuse("stride", self.stride.is_some() && !windows)?;
        fields.refuse("padding", self.padding.is_some() && !padding)?;
        let find = |input: &String| {
            known.get(input).copied().ok_or_else(|| TextError::Input {
                node: self.name.clone(),
                input: input.clone(),
            })
        };
        let inputs = if op == Op::Add {
            fields.refuse("input", self.input.is_some())?;
            let [a, b] = self.inputs.as_ref().ok_or_else(|| fields.error("needs", "inputs"))?;
            vec![find(a)?, find(b)?]
        } else {
            fields.refuse("inputs", self.inputs.is_some())?;
            vec![self.input.as_ref().map_or(Ok(last), find)?]
        };
        Ok((op, inputs))
    }
}

/// Checks the fields of one node.
struct Fields<'a> {
    node: &'a str,
    op: &'static str,
}

impl Fields<'_> {
    fn error(&self, problem: &'static str, field: &'static str) -> TextError {
        TextError::Field {
            node: self.node.to_owned(),
            op: self.op,
            problem,
            field,
        }
    }

    fn require(&self, field: &'static str, value: Option<usize>) -> Result<usize, TextError> {
        value.ok_or_else(|| self.error("needs", field))
    }

    fn refuse(&self, field: &'static str, is_unexpected: bool) -> Result<(), TextError> {
        if is_unexpected {
            return Err(self.error("takes no", field));
        }
        Ok(())
    }
}
