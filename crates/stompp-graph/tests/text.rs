//! The text form: round trips, and the messages of refused texts.
#![cfg(feature = "std")]

use proptest::prelude::*;
use stompp_graph::{Conv, Graph, GraphBuilder, NodeId, Pool};

/// A graph of random nodes that read random earlier ones; nodes that do not fit are left out, and unread nodes are added up.
fn random_graph(choices: &[(u8, u16, u16, usize)]) -> Graph {
    let mut g = GraphBuilder::new([4, 9, 8]);
    let mut nodes = vec![g.input()];
    for (number, &(op, first, second, size)) in choices.iter().enumerate() {
        let pick = |at: u16| nodes[usize::from(at) % nodes.len()];
        let (x, y) = (pick(first), pick(second));
        let name = format!("n{number}");
        let conv = Conv::new(4, 1 + size % 3).with_stride(1 + size % 2);
        let node = match op % 9 {
            0 => g.conv(&name, x, conv),
            1 => g.binary_conv(&name, x, conv.with_padding(0)),
            2 => g.batch_norm(&name, x),
            3 => g.activation(&name, x),
            4 => g.add(&name, x, y),
            5 => g.max_pool(&name, x, Pool::new(2 + size % 2).with_padding(size % 2)),
            6 => g.average_pool(&name, x, Pool::new(2)),
            7 => g.relu(&name, x),
            _ => g.clip(&name, x),
        };
        nodes.extend(node);
    }
    // All unread nodes, converted to one shape.
    let heads: Vec<NodeId> = nodes
        .iter()
        .enumerate()
        .map(|(number, x)| {
            let x = g.global_average_pool(&format!("p{number}"), *x).unwrap();
            g.linear(&format!("l{number}"), x, 3).unwrap()
        })
        .collect();
    let mut sum = heads[0];
    for (number, head) in heads[1..].iter().enumerate() {
        sum = g.add(&format!("s{number}"), sum, *head).unwrap();
    }
    g.finish(sum).unwrap()
}

proptest! {
    #[test]
    fn a_text_gives_the_graph_back(choices in proptest::collection::vec(any::<(u8, u16, u16, usize)>(), 0..30)) {
        let graph = random_graph(&choices);
        prop_assert_eq!(Graph::from_toml(&graph.to_toml()).unwrap(), graph);
    }

    #[test]
    fn execution_order_is_topological(choices in proptest::collection::vec(any::<(u8, u16, u16, usize)>(), 0..30)) {
        let graph = random_graph(&choices);
        let mut done = std::collections::HashSet::new();
        for id in graph.execution_order() {
            prop_assert!(graph.node(*id).inputs.iter().all(|input| done.contains(input)));
            prop_assert!(done.insert(*id));
        }
        prop_assert_eq!(done.len(), graph.nodes().len());
    }

    #[test]
    fn damaged_texts_are_refused_without_a_panic(cut in 0_usize..400, byte in any::<u8>()) {
        let text = random_graph(&[(0, 0, 0, 1), (3, 1, 0, 0), (1, 2, 0, 2)]).to_toml();
        let cut = cut % text.len();
        let _ = Graph::from_toml(&text[..cut]);
        let mut bytes = text.into_bytes();
        bytes[cut] = byte;
        let _ = Graph::from_toml(&String::from_utf8_lossy(&bytes));
    }
}

/// One line of nodes in a graph of 3x8x8 images.
fn refused(nodes: &str) -> String {
    let text = format!("version = 1\ninput = [3, 8, 8]\nnodes = [{nodes}]");
    Graph::from_toml(&text).unwrap_err().to_string()
}

#[test]
fn refusals_name_the_node_and_the_field() {
    let cases = [
        (
            "{ name = 'a', op = 'convolution' }",
            "node `a`: unknown op `convolution`, expected one of conv, binary_conv, batch_norm, activation, relu, clip, add, max_pool, \
             average_pool, global_average_pool, linear",
        ),
        (
            "{ name = 'a', op = 'conv', kernel = 3 }",
            "node `a`: conv needs `outputs`",
        ),
        ("{ name = 'a', op = 'max_pool' }", "node `a`: max_pool needs `kernel`"),
        (
            "{ name = 'a', op = 'batch_norm', outputs = 3 }",
            "node `a`: batch_norm takes no `outputs`",
        ),
        (
            "{ name = 'a', op = 'average_pool', kernel = 2, padding = 1 }",
            "node `a`: average_pool takes no `padding`",
        ),
        ("{ name = 'a', op = 'add' }", "node `a`: add needs `inputs`"),
        (
            "{ name = 'a', op = 'relu', inputs = ['input', 'input'] }",
            "node `a`: relu takes no `inputs`",
        ),
        (
            "{ name = 'a', op = 'relu', input = 'b' }",
            "node `a`: there is no node `b` before it",
        ),
        (
            "{ name = 'a', op = 'conv', outputs = 4, kernel = 300 }",
            "node `a`: the kernel is 300, expected 1 to 255",
        ),
    ];
    for (nodes, expected) in cases {
        assert_eq!(refused(nodes), expected);
    }
    let unknown = refused("{ name = 'a', op = 'relu', dilation = 2 }");
    assert!(unknown.contains("dilation"), "{unknown}");
}

#[test]
fn other_versions_are_refused() {
    let error = Graph::from_toml("version = 2\ninput = [3, 8, 8]\nnodes = []").unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 2 of the text form is not known; this program reads version 1"
    );
}

/// The text in a run directory. It may change only together with its version.
#[test]
fn the_text_reads_like_this() {
    let text = "\
version = 1
input = [3, 8, 8]
output = \"fc\"
nodes = [
  { name = \"conv1\", op = \"conv\", input = \"input\", outputs = 4, kernel = 3, stride = 2, padding = 1 },
  { name = \"bn1\", op = \"batch_norm\", input = \"conv1\" },
  { name = \"act1\", op = \"activation\", input = \"bn1\" },
  { name = \"conv2\", op = \"binary_conv\", input = \"act1\", outputs = 4, kernel = 1, stride = 1, padding = 0 },
  { name = \"add\", op = \"add\", inputs = [\"conv2\", \"act1\"] },
  { name = \"pool\", op = \"max_pool\", input = \"add\", kernel = 2, stride = 2, padding = 0 },
  { name = \"fc\", op = \"linear\", input = \"pool\", outputs = 10 },
]
";
    assert_eq!(Graph::from_toml(text).unwrap().to_toml(), text);
}
