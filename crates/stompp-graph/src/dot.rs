//! A picture of a graph for Graphviz.

use crate::{Conv, Graph, Op, Pool, op::DisplayShape};
use alloc::{collections::BTreeMap, format, string::String};
use core::fmt::Write;

impl Graph {
    /// Returns the graph in Graphviz's language; `dot -Tsvg` draws it. A binary convolution and the activation that freezes with it
    /// show the number of their unit, as in [`Graph::units`], and have the same color.
    pub fn to_dot(&self) -> String {
        let mut units = BTreeMap::new();
        for (number, unit) in self.units().into_iter().enumerate() {
            units.insert(unit.conv, number);
            units.extend(unit.activation.map(|activation| (activation, number)));
        }
        let mut text = String::from(
            "digraph network {\n  rankdir = TB;\n  node [shape = box, style = filled, fillcolor = white, fontname = Helvetica];\n",
        );
        for (id, node) in self.iter() {
            let unit = units.get(&id);
            let label = unit.map_or_else(String::new, |unit| format!("\\nunit {unit}"));
            let color = match (&node.op, unit) {
                (_, Some(unit)) if unit % 2 == 0 => "lightblue",
                (_, Some(_)) => "lightskyblue",
                (Op::Activation, None) => "lightyellow",
                _ => "white",
            };
            writeln!(
                text,
                "  n{} [label = \"{}\\n{} {}{label}\", fillcolor = {color}];",
                id.index(),
                node.name,
                describe(&node.op),
                DisplayShape(node.shape)
            )
            .expect("writing to a string cannot fail");
        }
        for (id, node) in self.iter() {
            for input in &node.inputs {
                writeln!(text, "  n{} -> n{};", input.index(), id.index()).expect("writing to a string cannot fail");
            }
        }
        text.push_str("}\n");
        text
    }
}

fn describe(op: &Op) -> String {
    match op {
        Op::Conv(Conv { kernel, stride, .. }) => format!("conv {kernel}x{kernel}/{stride}"),
        Op::BinaryConv(Conv { kernel, stride, .. }) => format!("binary conv {kernel}x{kernel}/{stride}"),
        Op::MaxPool(Pool { kernel, stride, .. }) => format!("max pool {kernel}x{kernel}/{stride}"),
        Op::AveragePool(Pool { kernel, stride, .. }) => format!("average pool {kernel}x{kernel}/{stride}"),
        _ => op.name().replace('_', " "),
    }
}
