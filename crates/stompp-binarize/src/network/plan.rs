//! The steps of a training pass, computed once from the graph: which nodes are computed together, and in which order.

use stompp_graph::{Graph, NodeId, Op};

/// Where the layer of a node is: an index into the layers of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerIndex {
    /// The node has no layer.
    None,
    Conv(usize),
    BinaryConv(usize),
    Norm(usize),
    Activation(usize),
    Linear(usize),
}

/// One step of a training pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One node.
    Node(NodeId),
    /// A convolution, its batch norm, the sum with a shortcut if there is one, and an activation, as one op.
    Fused(Fused),
}

/// The nodes of a fused step. No other node reads the values between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fused {
    pub(super) conv: NodeId,
    pub(super) norm: NodeId,
    /// The sum and its other input.
    pub(super) residual: Option<(NodeId, NodeId)>,
    pub(super) activation: NodeId,
}

/// The steps of a training pass, in the graph's execution order.
pub(super) fn steps(graph: &Graph) -> Vec<Step> {
    let mut inside = vec![false; graph.nodes().len()];
    let mut fused_at = vec![None; graph.nodes().len()];
    for (id, _) in graph.iter() {
        if let Some(fused) = fused(graph, id) {
            let between = [Some(fused.conv), Some(fused.norm), fused.residual.map(|(sum, _)| sum)];
            between.into_iter().flatten().for_each(|id| inside[id.index()] = true);
            fused_at[id.index()] = Some(fused);
        }
    }
    let order = graph.execution_order().iter();
    order
        .filter(|id| !inside[id.index()])
        .map(|id| fused_at[id.index()].take().map_or(Step::Node(*id), Step::Fused))
        .collect()
}

/// The fused step that ends with `activation`, if there is one.
fn fused(graph: &Graph, activation: NodeId) -> Option<Fused> {
    let node = graph.node(activation);
    if !matches!(node.op, Op::Activation | Op::Clip | Op::Relu) {
        return None;
    }
    let before = node.inputs[0];
    if let Some((conv, norm)) = conv_and_norm(graph, before) {
        return Some(Fused {
            conv,
            norm,
            residual: None,
            activation,
        });
    }
    let sum = graph.node(before);
    if sum.op != Op::Add || !is_read_once(graph, before) || sum.inputs[0] == sum.inputs[1] {
        return None;
    }
    let [first, second] = [sum.inputs[0], sum.inputs[1]];
    [(first, second), (second, first)]
        .into_iter()
        .find_map(|(branch, residual)| {
            let (conv, norm) = conv_and_norm(graph, branch)?;
            Some(Fused {
                conv,
                norm,
                residual: Some((before, residual)),
                activation,
            })
        })
}

/// The convolution and the batch norm `norm`, if `norm` is a batch norm with one reader and is the only reader of a convolution.
fn conv_and_norm(graph: &Graph, norm: NodeId) -> Option<(NodeId, NodeId)> {
    let node = graph.node(norm);
    if node.op != Op::BatchNorm || !is_read_once(graph, norm) {
        return None;
    }
    let conv = node.inputs[0];
    let is_conv = matches!(graph.node(conv).op, Op::Conv(_) | Op::BinaryConv(_));
    (is_conv && is_read_once(graph, conv)).then_some((conv, norm))
}

/// Whether exactly one node reads `id`, and it is not the network's output.
pub(super) fn is_read_once(graph: &Graph, id: NodeId) -> bool {
    graph.consumers(id).len() == 1 && graph.output() != id
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_graph::{Conv, GraphBuilder};

    /// A stem, a block with an identity shortcut, a head.
    fn residual() -> Graph {
        let mut g = GraphBuilder::new([3, 8, 8]);
        let x = g.conv("conv1", g.input(), Conv::k3(4)).unwrap();
        let x = g.batch_norm("bn1", x).unwrap();
        let a = g.activation("act1", x).unwrap();
        let y = g.binary_conv("conv2", a, Conv::k3(4)).unwrap();
        let y = g.batch_norm("bn2", y).unwrap();
        let y = g.add("add", y, a).unwrap();
        let y = g.activation("act2", y).unwrap();
        let y = g.global_average_pool("pool", y).unwrap();
        let y = g.linear("fc", y, 10).unwrap();
        g.finish(y).unwrap()
    }

    fn names(graph: &Graph) -> Vec<Vec<&str>> {
        let name = |id: NodeId| graph.node(id).name.as_str();
        steps(graph)
            .iter()
            .map(|step| match step {
                Step::Node(id) => vec![name(*id)],
                Step::Fused(fused) => {
                    let mut names = vec![name(fused.conv), name(fused.norm)];
                    names.extend(
                        fused
                            .residual
                            .iter()
                            .flat_map(|(sum, other)| [name(*sum), name(*other)]),
                    );
                    names.push(name(fused.activation));
                    names
                }
            })
            .collect()
    }

    #[test]
    fn a_residual_block_is_one_step_a_convolution() {
        let expected = [
            vec!["input"],
            vec!["conv1", "bn1", "act1"],
            vec!["conv2", "bn2", "add", "act1", "act2"],
            vec!["pool"],
            vec!["fc"],
        ];
        assert_eq!(names(&residual()), expected);
    }

    /// A value that a second node reads must exist as a tensor.
    #[test]
    fn what_two_nodes_read_is_not_fused() {
        let mut g = GraphBuilder::new([4, 8, 8]);
        let a = g.activation("act1", g.input()).unwrap();
        let y = g.binary_conv("conv1", a, Conv::k3(4)).unwrap();
        let y = g.batch_norm("bn1", y).unwrap();
        let y = g.add("add1", y, g.input()).unwrap();
        let a = g.activation("act2", y).unwrap();
        let z = g.binary_conv("conv2", a, Conv::k3(4)).unwrap();
        let z = g.batch_norm("bn2", z).unwrap();
        let z = g.add("add2", z, y).unwrap();
        let graph = g.finish(z).unwrap();
        let expected = ["input", "act1", "conv1", "bn1", "add1", "act2", "conv2", "bn2", "add2"];
        assert_eq!(names(&graph), expected.map(|name| vec![name]));
    }

    #[test]
    fn the_branch_of_a_sum_is_found_on_either_side() {
        let mut g = GraphBuilder::new([4, 8, 8]);
        let a = g.activation("act1", g.input()).unwrap();
        let y = g.binary_conv("conv1", a, Conv::k3(4)).unwrap();
        let y = g.batch_norm("bn1", y).unwrap();
        let y = g.add("add1", a, y).unwrap();
        let y = g.activation("act2", y).unwrap();
        let graph = g.finish(y).unwrap();
        let expected = [
            vec!["input"],
            vec!["act1"],
            vec!["conv1", "bn1", "add1", "act1", "act2"],
        ];
        assert_eq!(names(&graph), expected);
    }
}
