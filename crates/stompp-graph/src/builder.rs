//! Building a graph node by node, with every shape checked.

use crate::{Conv, Graph, GraphError, Node, NodeId, Op, Pool, Shape};
use alloc::{collections::BTreeSet, string::String, vec, vec::Vec};

/// Largest number of entries of a node's output for one image, and of a weight.
pub(crate) const MAX_ENTRIES: usize = 1 << 30;
/// Largest side of a kernel or window.
const MAX_KERNEL: usize = 255;
/// Largest number of channels, of outputs, and of pixels along a side.
const MAX_SIZE: usize = 1 << 20;

/// Builds a [`Graph`]. Each method adds a node and returns its id, which later nodes use as their input.
///
/// # Errors
/// Every method that adds a node returns a [`GraphError`], which names the node, if the name is empty, taken or has unusual
/// characters, a size is zero or too large, an input is not in this graph, or shapes do not fit. The node is then not added.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    names: BTreeSet<String>,
}

impl GraphBuilder {
    /// Starts a graph for images of `shape` (channels, height, width). The input node is named `input`.
    pub fn new(shape: Shape) -> Self {
        let input = Node {
            name: String::from("input"),
            op: Op::Input,
            inputs: Vec::new(),
            shape,
        };
        Self {
            names: BTreeSet::from([input.name.clone()]),
            nodes: vec![input],
        }
    }

    /// The input node: the images.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Shape of a node's output for one image.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    /// Adds a convolution in full precision, without bias.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Conv(conv), vec![x])
    }

    /// Adds a convolution whose weight freezes, without bias.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn binary_conv(&mut self, name: &str, x: NodeId, conv: Conv) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::BinaryConv(conv), vec![x])
    }

    /// Adds batch normalization of each channel.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::BatchNorm, vec![x])
    }

    /// Adds the network's activation function, see [`Op::Activation`].
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn activation(&mut self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Activation, vec![x])
    }

    /// Adds `max(x, 0)`.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn relu(&mut self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Relu, vec![x])
    }

    /// Adds `clip(x, -1, 1)`.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn clip(&mut self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Clip, vec![x])
    }

    /// Adds the sum `a + b`. In a residual block `b` is the shortcut, which is computed first.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Add, vec![a, b])
    }

    /// Adds the maximum over windows.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn max_pool(&mut self, name: &str, x: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::MaxPool(pool), vec![x])
    }

    /// Adds the mean over windows. The padding must be 0.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn average_pool(&mut self, name: &str, x: NodeId, pool: Pool) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::AveragePool(pool), vec![x])
    }

    /// Adds the mean over height and width.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn global_average_pool(&mut self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::GlobalAveragePool, vec![x])
    }

    /// Adds a fully connected layer with bias. An input with height and width is flattened, channels outermost.
    ///
    /// # Errors
    /// See [`GraphBuilder`].
    pub fn linear(&mut self, name: &str, x: NodeId, outputs: usize) -> Result<NodeId, GraphError> {
        self.add_node(name, Op::Linear { outputs }, vec![x])
    }

    /// Finishes the graph, with `output` as its output node.
    ///
    /// # Errors
    /// Returns a [`GraphError`] if `output` is not in this graph or does not depend on every node, or if the input's shape has a
    /// zero or is too large.
    pub fn finish(self, output: NodeId) -> Result<Graph, GraphError> {
        let input = &self.nodes[0];
        for side in input.shape {
            check_size(&input.name, "a side of the image", side, MAX_SIZE)?;
        }
        check_entries(&input.name, "its output", &input.shape)?;
        if output.0 >= self.nodes.len() {
            return Err(GraphError::UnknownInput {
                node: String::from("output"),
                input: output.0,
            });
        }
        let mut used = vec![false; self.nodes.len()];
        used[output.0] = true;
        for index in (0..self.nodes.len()).rev() {
            if !used[index] {
                return Err(GraphError::Unused {
                    node: self.nodes[index].name.clone(),
                    output: self.nodes[output.0].name.clone(),
                });
            }
            for input in &self.nodes[index].inputs {
                used[input.0] = true;
            }
        }
        Ok(Graph::new(self.nodes, output))
    }

    /// Checks a node and adds it.
    pub(crate) fn add_node(&mut self, name: &str, op: Op, inputs: Vec<NodeId>) -> Result<NodeId, GraphError> {
        self.check_name(name)?;
        for input in &inputs {
            if input.0 >= self.nodes.len() {
                return Err(GraphError::UnknownInput {
                    node: name.into(),
                    input: input.0,
                });
            }
        }
        let shape = self.output_shape(name, op, &inputs)?;
        check_entries(name, "its output", &shape)?;
        self.names.insert(name.into());
        self.nodes.push(Node {
            name: name.into(),
            op,
            inputs,
            shape,
        });
        Ok(NodeId(self.nodes.len() - 1))
    }

    fn check_name(&self, name: &str) -> Result<(), GraphError> {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let reason = if name.is_empty() {
            "a name cannot be empty"
        } else if !name.chars().all(usual) {
            "a name has letters, digits, `.`, `_` and `-` only"
        } else if self.names.contains(name) {
            "another node has this name"
        } else {
            return Ok(());
        };
        Err(GraphError::Name {
            node: name.into(),
            reason,
        })
    }

    fn output_shape(&self, name: &str, op: Op, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let shape @ [channels, ..] = self.shape(inputs[0]);
        Ok(match op {
            Op::Input | Op::BatchNorm | Op::Activation | Op::Relu | Op::Clip => shape,
            Op::Conv(conv) | Op::BinaryConv(conv) => {
                check_size(name, "the number of output channels", conv.outputs, MAX_SIZE)?;
                let [_, height, width] = self.slide(name, inputs[0], conv.windows())?;
                check_entries(name, "its weight", &[conv.outputs, channels, conv.kernel, conv.kernel])?;
                [conv.outputs, height, width]
            }
            Op::MaxPool(pool) => {
                if pool.padding > pool.kernel / 2 {
                    return Err(GraphError::Size {
                        node: name.into(),
                        what: "the padding",
                        value: pool.padding,
                        expected: "at most half of the window",
                    });
                }
                self.slide(name, inputs[0], pool)?
            }
            Op::AveragePool(pool) => {
                if pool.padding != 0 {
                    return Err(GraphError::Size {
                        node: name.into(),
                        what: "the padding",
                        value: pool.padding,
                        expected: "0",
                    });
                }
                self.slide(name, inputs[0], pool)?
            }
            Op::Add => {
                let other = self.shape(inputs[1]);
                if shape != other {
                    return Err(GraphError::ShapesDiffer {
                        node: name.into(),
                        left: self.nodes[inputs[0].0].name.clone(),
                        left_shape: shape,
                        right: self.nodes[inputs[1].0].name.clone(),
                        right_shape: other,
                    });
                }
                shape
            }
            Op::GlobalAveragePool => [channels, 1, 1],
            Op::Linear { outputs } => {
                check_size(name, "the number of outputs", outputs, MAX_SIZE)?;
                check_entries(name, "its weight", &[outputs, shape.iter().product()])?;
                [outputs, 1, 1]
            }
        })
    }

    /// The output shape of `windows` that slide over `input`. It keeps the channels.
    fn slide(&self, name: &str, input: NodeId, windows: Pool) -> Result<Shape, GraphError> {
        check_size(name, "the kernel", windows.kernel, MAX_KERNEL)?;
        check_size(name, "the stride", windows.stride, MAX_SIZE)?;
        if windows.padding >= windows.kernel {
            return Err(GraphError::Size {
                node: name.into(),
                what: "the padding",
                value: windows.padding,
                expected: "less than the kernel",
            });
        }
        let shape @ [channels, height, width] = self.shape(input);
        match (windows.count(height), windows.count(width)) {
            (Some(height), Some(width)) => Ok([channels, height, width]),
            _ => Err(GraphError::TooSmall {
                node: name.into(),
                input: self.nodes[input.0].name.clone(),
                shape,
                kernel: windows.kernel,
                padding: windows.padding,
            }),
        }
    }
}

fn check_size(node: &str, what: &'static str, value: usize, most: usize) -> Result<(), GraphError> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(GraphError::Size {
        node: node.into(),
        what,
        value,
        expected: if most == MAX_KERNEL { "1 to 255" } else { "1 to 1048576" },
    })
}

fn check_entries(node: &str, what: &'static str, sizes: &[usize]) -> Result<(), GraphError> {
    let entries = sizes
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul(*size));
    match entries {
        Some(entries) if entries <= MAX_ENTRIES => Ok(()),
        _ => Err(GraphError::TooLarge {
            node: node.into(),
            what,
        }),
    }
}
