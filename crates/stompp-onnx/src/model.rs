//! Builds an ONNX model from nodes and constants.

use crate::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use prost::Message;

/// Version of the file format.
const IR_VERSION: i64 = 8;
/// Version of the standard operator set.
const OPSET: i64 = 13;

/// The value of an attribute.
pub(crate) enum Attribute {
    Float(f32),
    Int(usize),
    Ints(Vec<usize>),
}

/// A model under construction.
#[derive(Default)]
pub(crate) struct Model {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Domains of the nonstandard operators.
    domains: Vec<&'static str>,
}

impl Model {
    /// Adds a constant of floats, unless one with this name exists. Returns its name.
    pub(crate) fn floats(&mut self, name: impl Into<String>, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name.into(), TensorProto::FLOAT, shape, bytes)
    }

    /// Adds a constant of integers, unless one with this name exists. Returns its name.
    pub(crate) fn integers(&mut self, name: impl Into<String>, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name.into(), TensorProto::INT64, &[values.len()], bytes)
    }

    fn constant(&mut self, name: String, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        if !self.constants.iter().any(|constant| constant.name == name) {
            self.constants.push(TensorProto {
                dims: shape.iter().map(|&size| size as i64).collect(),
                data_type,
                name: name.clone(),
                raw_data,
            });
        }
        name
    }

    /// Adds a node with one output. Returns the name of the output, which is the name of the node.
    pub(crate) fn node(
        &mut self,
        op: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> String {
        self.node_in_domain("", op, name, inputs, attributes)
    }

    /// Adds a node as [`Model::node`] does, with an operator of another domain.
    pub(crate) fn node_in_domain(
        &mut self,
        domain: &'static str,
        op: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute)>,
    ) -> String {
        if !domain.is_empty() && !self.domains.contains(&domain) {
            self.domains.push(domain);
        }
        let name = name.into();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.to_owned(),
            attribute: attributes
                .into_iter()
                .map(|(name, value)| attribute(name, value))
                .collect(),
            domain: domain.to_owned(),
        });
        name
    }

    /// Encodes the model as a file. `input` and `output` are names and shapes without the batch dimension; their values are floats.
    pub(crate) fn finish(
        self,
        batch: Option<usize>,
        input: (&str, &[usize]),
        output: (&str, &[usize]),
        metadata: &[(&str, String)],
    ) -> Vec<u8> {
        let value = |(name, shape): (&str, &[usize])| ValueInfoProto {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: TensorProto::FLOAT,
                    shape: Some(TensorShapeProto {
                        dim: std::iter::once(batch)
                            .chain(shape.iter().map(|&size| Some(size)))
                            .map(dimension)
                            .collect(),
                    }),
                }),
            }),
        };
        let domain = |domain: &str, version| OperatorSetIdProto {
            domain: domain.to_owned(),
            version,
        };
        let others = self.domains.iter().map(|name| domain(name, 1));
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "stompp".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: String::new(),
            opset_import: std::iter::once(domain("", OPSET)).chain(others).collect(),
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto {
                    key: (*key).to_owned(),
                    value: value.clone(),
                })
                .collect(),
            graph: Some(GraphProto {
                name: "network".to_owned(),
                input: vec![value(input)],
                output: vec![value(output)],
                node: self.nodes,
                initializer: self.constants,
            }),
        };
        model.encode_to_vec()
    }
}

fn attribute(name: &str, value: Attribute) -> AttributeProto {
    let attribute = AttributeProto {
        name: name.to_owned(),
        ..AttributeProto::default()
    };
    match value {
        Attribute::Float(f) => AttributeProto {
            f,
            r#type: AttributeProto::FLOAT,
            ..attribute
        },
        Attribute::Int(i) => AttributeProto {
            i: i as i64,
            r#type: AttributeProto::INT,
            ..attribute
        },
        Attribute::Ints(ints) => AttributeProto {
            ints: ints.into_iter().map(|i| i as i64).collect(),
            r#type: AttributeProto::INTS,
            ..attribute
        },
    }
}

/// Converts a size to a dimension. `None` is the variable batch size.
fn dimension(size: Option<usize>) -> Dimension {
    Dimension {
        value: Some(match size {
            Some(size) => DimensionValue::DimValue(size as i64),
            None => DimensionValue::DimParam("batch".to_owned()),
        }),
    }
}
