//! Checks `docs/networks.md`: its networks are valid, their comments are right, and its error messages are the actual ones.

use stompp_examples::vgg_small;
use stompp_graph::{Graph, NodeId, Op};

const PAGE: &str = include_str!("../docs/networks.md");

/// The TOML blocks of the page.
fn blocks() -> Vec<&'static str> {
    let parts = PAGE.split("```toml\n").skip(1);
    parts
        .map(|part| part.split("```").next().expect("a part before the end"))
        .collect()
}

/// The only network of the page.
fn network() -> &'static str {
    let [network] = blocks()[..] else {
        panic!("the page has {} networks", blocks().len());
    };
    network
}

/// The node name and comment of each line that has both.
fn comments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let (node, comment) = line.split_once('#')?;
        let name = node.split_once("name = \"")?.1.split('"').next()?;
        Some((name, comment.trim()))
    })
}

#[test]
fn every_block_is_a_network_for_cifar10() {
    for block in blocks() {
        let graph = Graph::from_toml(block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
        assert_eq!((graph.input_shape(), graph.output_shape()), ([3, 32, 32], [10, 1, 1]));
        assert_eq!(Graph::from_toml(&graph.to_toml()).as_ref(), Ok(&graph));
        assert!(!graph.units().is_empty(), "something freezes");
    }
}

#[test]
fn its_comments_are_right() {
    let graph = Graph::from_toml(network()).unwrap();
    let name = |id: NodeId| graph.node(id).name.as_str();
    let op = |name: &str| graph.node(graph.find(name).unwrap()).op;
    let mut units = 0;
    for (node, comment) in comments(network()) {
        if let Some(unit) = comment.strip_prefix("unit ") {
            let (number, members) = unit.split_once(": ").unwrap();
            let unit = graph.units()[number.parse::<usize>().unwrap()];
            let found = format!("{} and {}", name(unit.activation.unwrap()), name(unit.conv));
            assert_eq!((members, node), (found.as_str(), name(unit.conv)));
            units += 1;
        } else {
            match comment {
                "full precision" => assert!(matches!(op(node), Op::Conv(_)), "{node}"),
                "a shortcut" => assert_eq!(op(node), Op::Add, "{node}"),
                "a head activation" => assert_eq!(graph.head_activations(), [graph.find(node).unwrap()]),
                other => panic!("nobody checks {other:?} of {node}"),
            }
        }
    }
    assert_eq!((units, graph.units().len()), (2, 2), "each unit is pointed out");
}

/// `stride` (1) and `padding` (half the kernel) of a convolution, `stride` (the kernel) and `padding` (0) of a pool.
#[test]
fn fields_that_are_left_out_have_the_values_of_the_table() {
    let graph = Graph::from_toml(network()).unwrap();
    let Op::Conv(conv) = graph.node(graph.find("conv1").unwrap()).op else {
        panic!("it is a convolution");
    };
    assert_eq!((conv.kernel, conv.stride, conv.padding), (3, 1, 1));
    let Op::MaxPool(pool) = graph.node(graph.find("pool2").unwrap()).op else {
        panic!("it is a pool");
    };
    assert_eq!((pool.kernel, pool.stride, pool.padding), (2, 2, 0));
    let ops = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let ops: Vec<_> = ops.filter_map(|line| line.split('`').next()).collect();
    for op in [
        "conv",
        "batch_norm",
        "activation",
        "relu",
        "add",
        "max_pool",
        "average_pool",
        "global_average_pool",
        "linear",
    ] {
        assert!(ops.contains(&op), "the table has no {op}");
    }
}

/// Each message about a node occurs for a network with that mistake.
#[test]
fn its_messages_are_those_that_come() {
    let mistakes = [
        (
            "op = \"batch_norm\" },\n  { name = \"act1\"",
            "op = \"batchnorm\" },\n  { name = \"act1\"",
        ),
        (
            "\"binary_conv\", outputs = 32, kernel = 3",
            "\"binary_conv\", outputs = 32",
        ),
        ("\"linear\", outputs = 10", "\"linear\", outputs = 10, kernel = 3"),
        ("inputs = [\"bn2\", \"act1\"]", "inputs = [\"bn2\", \"act9\"]"),
        (
            "\"binary_conv\", outputs = 16, kernel = 3",
            "\"binary_conv\", outputs = 16, kernel = 3, stride = 2",
        ),
    ];
    for (right, wrong) in mistakes {
        assert_eq!(network().matches(right).count(), 1, "{right}");
        let error = Graph::from_toml(&network().replace(right, wrong))
            .unwrap_err()
            .to_string();
        // The page shortens lists with `...`.
        let told = error.split(", expected one of").next().unwrap();
        // It also does not repeat the node in each row.
        let short = told.split_once(": ").map_or(told, |(_, problem)| problem);
        assert!(
            PAGE.contains(told) || PAGE.contains(short),
            "the page does not have: {error}"
        );
    }
}

/// The measurements at the end name the number of values before the `linear`.
#[test]
fn its_sizes_are_those_of_the_networks() {
    let graph = vgg_small(16, 16, 10).unwrap();
    let values = graph.patch_entries(graph.output());
    assert!(PAGE.contains(&format!("VGG-small at width 16 on 16x16 images ({values} values)")));
    assert!(
        PAGE.contains(&format!("| {} values |", 128 * 8 * 8)),
        "128 channels at 8x8"
    );
}
