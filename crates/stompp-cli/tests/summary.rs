//! `stompp summary`: what a network costs, in each format, for names and for files.

mod user;

use serde_json::Value;
use user::{assert_fails, folder, stdout, stompp};

const NETWORK: &str = "version = 1
input = [3, 8, 8]
nodes = [
  { name = 'conv1', op = 'conv', outputs = 16, kernel = 3 },
  { name = 'bn1', op = 'batch_norm' },
  { name = 'act1', op = 'activation' },
  { name = 'conv2', op = 'binary_conv', outputs = 16, kernel = 3, stride = 2 },
  { name = 'bn2', op = 'batch_norm' },
  { name = 'act2', op = 'activation' },
  { name = 'pool', op = 'global_average_pool' },
  { name = 'fc', op = 'linear', outputs = 10 },
]
";

/// The summary of the network above.
fn of_file(format: &str) -> String {
    let folder = folder();
    let file = folder.path().join("net.toml");
    std::fs::write(&file, NETWORK).unwrap();
    let file = file.to_str().unwrap();
    let output = stompp(&["summary", "--model", file, "--image-size", "8", "--format", format]);
    stdout(&output).to_owned()
}

fn json(arguments: &[&str]) -> Value {
    let mut all = vec!["summary", "--format", "json"];
    all.extend(arguments);
    serde_json::from_str(stdout(&stompp(&all))).unwrap()
}

#[test]
fn a_summary_needs_no_data() {
    let arguments = ["summary", "--model", "resnet8", "--width", "4", "--dataset", "cifar100"];
    let output = stompp(&arguments);
    assert!(stdout(&output).contains("layer3.0.downsample.0"));
    let mut lines = stdout(&output).lines();
    assert!(lines.any(|line| line.starts_with("fc ") && line.contains("100x1x1")));
    let named = stompp(&[&arguments[..], &["--format", "table"]].concat());
    assert_eq!(stdout(&named), stdout(&output), "the table is the default");
}

/// Numbers by hand: conv2 has 16 * 16 * 9 weights and 4 * 4 outputs a channel; a bit a weight; bn2 is a 2-byte threshold a channel.
#[test]
fn json_has_nodes_shapes_units_and_costs() {
    let found: Value = serde_json::from_str(&of_file("json")).unwrap();
    assert_eq!(found["activations"], "quantized");
    assert_eq!(found["input"], serde_json::json!([3, 8, 8]));
    assert_eq!(
        (&found["output"], found["nodes"].as_array().unwrap().len()),
        (&"fc".into(), 9)
    );
    let expected = serde_json::json!({
        "name": "conv2", "op": "binary_conv", "inputs": ["act1"], "shape": [16, 4, 4],
        "kernel": 3, "stride": 2, "padding": 1, "unit": 0,
        "binary_weights": 2304, "float_weights": 0, "binary_macs": 36864, "float_macs": 0,
        "float_bytes": 9216, "packed_bytes": 288,
    });
    assert_eq!(found["nodes"][4], expected);
    assert_eq!(found["nodes"][3]["unit"], 0, "act1 freezes with conv2");
    assert_eq!(found["nodes"][5]["packed_bytes"], 32);
    assert_eq!(found["head_activations"], serde_json::json!(["act2"]));
    // conv1 432, two batch norms of 64, fc 170.
    assert_eq!(found["total"]["float_weights"], 432 + 128 + 170);
    let nodes = found["nodes"].as_array().unwrap().iter();
    let sum: u64 = nodes.map(|node| node["packed_bytes"].as_u64().unwrap()).sum();
    assert_eq!(found["total"]["packed_bytes"], sum);
}

/// By hand: the image is 3 * 8 * 8 floats, the result 10. Scratch: conv1's 16 * 8 * 8 signs are 128 bytes, conv2's 16 * 4 * 4 signs 32, the
/// mean 16 floats, the result 10; a task has conv1's patch of 27 floats and its 16 sums, or those of fc, 16 and 10.
#[test]
fn json_has_the_memory_that_a_run_takes() {
    let found: Value = serde_json::from_str(&of_file("json")).unwrap();
    let scratch = 128 + 32 + 4 * (16 + 10) + 4 * 10 + 4 * (27 + 16);
    let expected = serde_json::json!({"scratch_bytes": scratch, "image_bytes": 768, "logits_bytes": 40});
    assert_eq!(found["memory"], expected);
}

#[test]
fn json_takes_names_and_the_setting() {
    let bnn = json(&["--model", "bireal20"]);
    assert_eq!(
        bnn["total"]["binary_weights"],
        json(&["--model", "resnet20"])["total"]["binary_weights"]
    );
    let bwn = json(&["--model", "bireal20", "--setting", "bwn"]);
    assert_eq!(
        (&bwn["activations"], &bwn["total"]["binary_macs"]),
        (&"relu".into(), &0.into())
    );
    assert_ne!(bnn["total"]["binary_macs"], 0);
}

#[test]
fn dot_is_a_picture_of_every_node() {
    let picture = of_file("dot");
    assert!(
        picture.starts_with("digraph network {") && picture.ends_with("}\n"),
        "{picture}"
    );
    assert!(
        picture.contains("conv2\\nbinary conv 3x3/2 16x4x4\\nunit 0"),
        "{picture}"
    );
    assert_eq!(picture.matches(" -> ").count(), 8);
    let named = stompp(&["summary", "--model", "resnet8", "--format", "dot"]);
    assert!(stdout(&named).contains("layer3.0.conv2"));
}

#[test]
fn other_formats_and_broken_files_are_refused() {
    assert_fails(
        &stompp(&["summary", "--format", "svg"]),
        2,
        &["svg", "table", "json", "dot"],
    );
    let folder = folder();
    let file = folder.path().join("net.toml");
    std::fs::write(&file, NETWORK.replace("'batch_norm'", "'batchnorm'")).unwrap();
    for format in ["table", "json", "dot"] {
        let output = stompp(&["summary", "--model", file.to_str().unwrap(), "--format", format]);
        assert_fails(&output, 2, &["net.toml", "bn1", "batchnorm"]);
    }
}
