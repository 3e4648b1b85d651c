//! The graph in the header of a packed file: one short text that can be parsed without `std`.
//!
//! The format is `C H W;output N;name op inputs sizes;...`. Nodes are numbered from 1; the input is 0.

use crate::error::OpenError;
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;
use stompp_graph::{Conv, Graph, GraphBuilder, NodeId, Op, Pool};

/// Writes `graph` as text.
pub(crate) fn write(graph: &Graph) -> String {
    let [channels, height, width] = graph.input_shape();
    let mut text = format!("{channels} {height} {width};output {}", graph.output().index());
    for node in &graph.nodes()[1..] {
        let mut put = |part: &dyn core::fmt::Display| write!(text, "{part}").expect("a string takes everything");
        put(&format_args!(";{} {}", node.name, node.op.name()));
        node.inputs.iter().for_each(|id| put(&format_args!(" {}", id.index())));
        match node.op {
            Op::Conv(c) | Op::BinaryConv(c) => {
                put(&format_args!(" {} {} {} {}", c.outputs, c.kernel, c.stride, c.padding))
            }
            Op::MaxPool(p) => put(&format_args!(" {} {} {}", p.kernel, p.stride, p.padding)),
            Op::AveragePool(p) => put(&format_args!(" {} {}", p.kernel, p.stride)),
            Op::Linear { outputs } => put(&format_args!(" {outputs}")),
            _ => {}
        }
    }
    text
}

/// Parses the graph in `text`.
pub(crate) fn read(text: &str) -> Result<Graph, OpenError> {
    let mut lines = text.split(';');
    let mut words = Words::new(lines.next().unwrap_or_default());
    let shape = [words.number()?, words.number()?, words.number()?];
    words.end()?;
    let mut words = Words::new(lines.next().unwrap_or_default());
    if words.word()? != "output" {
        return Err(words.error());
    }
    let output = words.number()?;
    words.end()?;
    let mut g = GraphBuilder::new(shape);
    let mut ids = Vec::from([g.input()]);
    for line in lines {
        let mut words = Words::new(line);
        let (name, op) = (words.word()?, words.word()?);
        let x = words.node(&ids)?;
        let id = match op {
            "conv" => g.conv(name, x, words.conv()?),
            "binary_conv" => g.binary_conv(name, x, words.conv()?),
            "batch_norm" => g.batch_norm(name, x),
            "activation" => g.activation(name, x),
            "relu" => g.relu(name, x),
            "clip" => g.clip(name, x),
            "add" => g.add(name, x, words.node(&ids)?),
            "max_pool" => {
                let pool = Pool::new(words.number()?)
                    .with_stride(words.number()?)
                    .with_padding(words.number()?);
                g.max_pool(name, x, pool)
            }
            "average_pool" => g.average_pool(name, x, Pool::new(words.number()?).with_stride(words.number()?)),
            "global_average_pool" => g.global_average_pool(name, x),
            "linear" => g.linear(name, x, words.number()?),
            _ => return Err(words.error()),
        }?;
        words.end()?;
        ids.push(id);
    }
    match ids.get(output) {
        Some(&output) => Ok(g.finish(output)?),
        None => Err(Words::new("output").error()),
    }
}

/// The words of one node.
struct Words<'a> {
    line: &'a str,
    rest: core::str::Split<'a, char>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            line,
            rest: line.split(' '),
        }
    }

    fn error(&self) -> OpenError {
        OpenError::Metadata {
            key: "graph",
            problem: format!("`{}` is not understood", self.line),
        }
    }

    fn word(&mut self) -> Result<&'a str, OpenError> {
        self.rest.next().ok_or_else(|| self.error())
    }

    fn number(&mut self) -> Result<usize, OpenError> {
        self.word()?.parse().map_err(|_| self.error())
    }

    fn node(&mut self, ids: &[NodeId]) -> Result<NodeId, OpenError> {
        let index = self.number()?;
        ids.get(index).copied().ok_or_else(|| self.error())
    }

    fn conv(&mut self) -> Result<Conv, OpenError> {
        Ok(Conv {
            outputs: self.number()?,
            kernel: self.number()?,
            stride: self.number()?,
            padding: self.number()?,
        })
    }

    fn end(&mut self) -> Result<(), OpenError> {
        match self.rest.next() {
            None => Ok(()),
            Some(_) => Err(self.error()),
        }
    }
}
