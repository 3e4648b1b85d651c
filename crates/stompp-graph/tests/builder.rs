//! The nodes that the builder accepts, and the messages of those that it refuses.

use stompp_graph::{Conv, GraphBuilder, GraphError, NodeId, Op, Pool, TensorRole};

type Refusal = fn(&mut GraphBuilder, NodeId) -> Result<NodeId, GraphError>;

/// Refused nodes, with the whole message.
#[test]
fn refusals_name_the_node_and_the_shapes() {
    let cases: [(Refusal, &str); 13] = [
        (|g, x| g.conv("", x, Conv::k3(4)), "node ``: a name cannot be empty"),
        (
            |g, x| g.conv("my conv", x, Conv::k3(4)),
            "node `my conv`: a name has letters, digits, `.`, `_` and `-` only",
        ),
        (
            |g, x| g.batch_norm("conv1", x),
            "node `conv1`: another node has this name",
        ),
        (
            |g, x| g.batch_norm("input", x),
            "node `input`: another node has this name",
        ),
        (
            |g, x| g.conv("c", x, Conv::k3(0)),
            "node `c`: the number of output channels is 0, expected 1 to 1048576",
        ),
        (
            |g, x| g.conv("c", x, Conv::new(4, 0).with_padding(0)),
            "node `c`: the kernel is 0, expected 1 to 255",
        ),
        (
            |g, x| g.conv("c", x, Conv::k3(4).with_stride(0)),
            "node `c`: the stride is 0, expected 1 to 1048576",
        ),
        (
            |g, x| g.conv("c", x, Conv::k1(4).with_padding(1)),
            "node `c`: the padding is 1, expected less than the kernel",
        ),
        (
            |g, x| g.binary_conv("c", x, Conv::new(4, 11).with_padding(1)),
            "node `c`: its input `conv1` is 8x6x5, too small for a 11x11 window with padding 1",
        ),
        (
            |g, x| g.add("sum", x, g.input()),
            "node `sum`: cannot add `conv1` (8x6x5) and `input` (3x6x5)",
        ),
        (
            |g, x| g.max_pool("p", x, Pool::new(3).with_padding(2)),
            "node `p`: the padding is 2, expected at most half of the window",
        ),
        (
            |g, x| g.average_pool("p", x, Pool::new(3).with_padding(1)),
            "node `p`: the padding is 1, expected 0",
        ),
        (
            |g, x| g.linear("fc", x, 1 << 20).and_then(|x| g.linear("fc2", x, 1 << 20)),
            "node `fc2`: its weight would have more than 1073741824 entries",
        ),
    ];
    for (refused, expected) in cases {
        let mut g = GraphBuilder::new([3, 6, 5]);
        let x = g.conv("conv1", g.input(), Conv::k3(8)).unwrap();
        assert_eq!(refused(&mut g, x).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_refused_node_is_not_added() {
    let mut g = GraphBuilder::new([3, 4, 4]);
    g.conv("c", g.input(), Conv::new(4, 9).with_padding(0)).unwrap_err();
    let x = g.conv("c", g.input(), Conv::k3(4)).unwrap();
    assert_eq!(g.finish(x).unwrap().nodes().len(), 2);
}

#[test]
fn the_output_depends_on_every_node() {
    let mut g = GraphBuilder::new([3, 4, 4]);
    let x = g.conv("used", g.input(), Conv::k3(4)).unwrap();
    g.batch_norm("forgotten", x).unwrap();
    let error = g.finish(x).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `forgotten`: the output `used` does not depend on it"
    );
}

#[test]
fn an_input_of_another_graph_is_refused() {
    let mut other = GraphBuilder::new([3, 4, 4]);
    let x = other.conv("c1", other.input(), Conv::k3(4)).unwrap();
    let foreign = other.conv("c2", x, Conv::k3(4)).unwrap();
    let mut g = GraphBuilder::new([3, 4, 4]);
    let error = g.batch_norm("bn", foreign).unwrap_err();
    assert_eq!(error.to_string(), "node `bn`: this graph has no node number 2 to read");
    let error = g.finish(foreign).unwrap_err();
    assert!(matches!(error, GraphError::UnknownInput { .. }), "{error}");
}

#[test]
fn images_have_pixels_and_channels() {
    for shape in [[0, 4, 4], [3, 0, 4], [3, 4, 0], [1 << 21, 1, 1], [3, 1 << 20, 1 << 20]] {
        let g = GraphBuilder::new(shape);
        let x = g.input();
        g.finish(x).unwrap_err();
    }
}

/// The shapes of PyTorch's `Conv2d`, `MaxPool2d`, `AvgPool2d` and `Linear` for these sizes.
#[test]
fn shapes_are_pytorchs() {
    let mut g = GraphBuilder::new([3, 17, 10]);
    let x = g
        .conv("conv", g.input(), Conv::new(8, 5).with_stride(2).with_padding(1))
        .unwrap();
    assert_eq!(g.shape(x), [8, 8, 4]);
    let x = g
        .max_pool("max", x, Pool::new(3).with_stride(2).with_padding(1))
        .unwrap();
    assert_eq!(g.shape(x), [8, 4, 2]);
    let x = g.average_pool("average", x, Pool::new(2)).unwrap();
    assert_eq!(g.shape(x), [8, 2, 1]);
    let x = g.linear("fc", x, 5).unwrap();
    assert_eq!(g.shape(x), [5, 1, 1]);
    let graph = g.finish(x).unwrap();
    let tensors: Vec<_> = graph.tensors().into_iter().map(|t| (t.name, t.shape)).collect();
    assert_eq!(
        tensors,
        [
            ("conv.weight".to_owned(), vec![8, 3, 5, 5]),
            ("fc.weight".to_owned(), vec![5, 16]),
            ("fc.bias".to_owned(), vec![5]),
        ]
    );
}

#[test]
fn a_batch_norm_has_four_tensors() {
    let mut g = GraphBuilder::new([3, 4, 4]);
    let x = g.batch_norm("bn", g.input()).unwrap();
    let roles: Vec<_> = g
        .finish(x)
        .unwrap()
        .tensors()
        .iter()
        .map(|t| (t.role, t.shape[0]))
        .collect();
    let expected = [
        TensorRole::Weight,
        TensorRole::Bias,
        TensorRole::RunningMean,
        TensorRole::RunningVar,
    ];
    assert_eq!(roles, expected.map(|role| (role, 3)));
}

/// One activation feeds two convolutions, another one reaches its convolution through a maximum pool, the last one feeds none.
#[test]
fn an_activation_freezes_with_the_first_convolution_that_it_feeds() {
    let mut g = GraphBuilder::new([4, 8, 8]);
    let a = g.activation("shared", g.input()).unwrap();
    let first = g.binary_conv("first", a, Conv::k3(4)).unwrap();
    let second = g.binary_conv("second", a, Conv::k1(4)).unwrap();
    let x = g.add("sum", first, second).unwrap();
    let b = g.activation("pooled", x).unwrap();
    let b = g.max_pool("pool", b, Pool::new(2)).unwrap();
    let x = g.binary_conv("third", b, Conv::k3(4)).unwrap();
    let x = g.binary_conv("fourth", x, Conv::k3(4)).unwrap();
    let x = g.activation("head", x).unwrap();
    let graph = g.finish(x).unwrap();
    let name = |id: NodeId| graph.node(id).name.as_str();
    let units: Vec<_> = graph
        .units()
        .iter()
        .map(|unit| (name(unit.conv), unit.activation.map(name)))
        .collect();
    assert_eq!(
        units,
        [
            ("first", Some("shared")),
            ("second", None),
            ("third", Some("pooled")),
            ("fourth", None),
        ]
    );
    assert_eq!(graph.head_activations(), [graph.find("head").unwrap()]);
    let source = |name| {
        graph
            .binary_source(graph.find(name).unwrap())
            .map(|id| graph.node(id).name.as_str())
    };
    assert_eq!(
        (source("pool"), source("third"), source("shared")),
        (Some("pooled"), None, Some("shared"))
    );
}

/// A block's shortcut comes before its convolutions, whatever the order in which the nodes were added.
#[test]
fn shortcuts_are_computed_first() {
    let mut g = GraphBuilder::new([4, 8, 8]);
    let a = g.activation("act", g.input()).unwrap();
    let y = g.binary_conv("conv", a, Conv::k3(8).with_stride(2)).unwrap();
    let y = g.batch_norm("bn", y).unwrap();
    let s = g.conv("downsample", a, Conv::k1(8).with_stride(2)).unwrap();
    let y = g.add("add", y, s).unwrap();
    let graph = g.finish(y).unwrap();
    let order: Vec<_> = graph
        .execution_order()
        .iter()
        .map(|id| graph.node(*id).name.as_str())
        .collect();
    assert_eq!(order, ["input", "act", "downsample", "conv", "bn", "add"]);
    assert_eq!(graph.consumers(graph.find("act").unwrap()).len(), 2);
    assert_eq!(graph.node(graph.input()).op, Op::Input);
}

#[test]
fn the_picture_shows_nodes_edges_and_units() {
    let mut g = GraphBuilder::new([4, 8, 8]);
    let a = g.activation("act", g.input()).unwrap();
    let y = g.binary_conv("conv", a, Conv::k3(8).with_stride(2)).unwrap();
    let graph = g.finish(y).unwrap();
    let expected = "\
digraph network {
  rankdir = TB;
  node [shape = box, style = filled, fillcolor = white, fontname = Helvetica];
  n0 [label = \"input\\ninput 4x8x8\", fillcolor = white];
  n1 [label = \"act\\nactivation 4x8x8\\nunit 0\", fillcolor = lightblue];
  n2 [label = \"conv\\nbinary conv 3x3/2 8x4x4\\nunit 0\", fillcolor = lightblue];
  n0 -> n1;
  n1 -> n2;
}
";
    assert_eq!(graph.to_dot(), expected);
}
