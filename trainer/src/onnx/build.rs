//! Building a graph node by node.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::tensor_shape_proto::dimension::Value as Length;
use onnx_protobuf::type_proto::{Tensor, Value};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

use crate::files::Header;

/// Of the operators: the last version that tract is tested against is 18.
const OPSET: i64 = 17;
/// Of the file, as old as that operator set.
const IR_VERSION: i64 = 8;

/// A graph under construction. The first dimension of its maps is the batch, of any length.
pub(crate) struct Graph(GraphProto);

/// A node's setting.
pub(crate) enum Attribute {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
}

impl Graph {
    /// A graph that reads one map.
    pub(crate) fn new(name: &str, input: &str, shape: &[usize]) -> Self {
        Self(GraphProto { name: name.into(), input: vec![map(input, shape)], ..Default::default() })
    }

    /// Adds an initializer.
    pub(crate) fn constant(&mut self, name: &str, dimensions: &[usize], values: &[f32]) {
        debug_assert_eq!(dimensions.iter().product::<usize>(), values.len(), "{name}");
        self.0.initializer.push(TensorProto {
            name: name.into(),
            dims: dimensions.iter().map(|&length| length as i64).collect(),
            data_type: DataType::FLOAT as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        });
    }

    /// Adds a node that bears the name of its output.
    pub(crate) fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: Vec<Attribute>) {
        self.0.node.push(NodeProto {
            op_type: operator.into(),
            name: output.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute: attributes.into_iter().map(Attribute::into_proto).collect(),
            ..Default::default()
        });
    }

    /// The file whose result is the map `output`.
    pub(crate) fn finish(mut self, output: &str, shape: &[usize], header: &Header, more: &[(&str, String)]) -> Vec<u8> {
        self.0.output = vec![map(output, shape)];
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        let header = [
            entry("format", &header.format),
            entry("version", &header.version.to_string()),
            entry("space", &header.space),
            entry("seed", &header.seed.to_string()),
        ];
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "ofa".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            opset_import: vec![OperatorSetIdProto { version: OPSET, ..Default::default() }],
            metadata_props: header.into_iter().chain(more.iter().map(|(key, value)| entry(key, value))).collect(),
            graph: Some(self.0).into(),
            ..Default::default()
        };
        model.write_to_bytes().expect("writing to memory does not fail below 2 GiB")
    }
}

impl Attribute {
    fn into_proto(self) -> AttributeProto {
        let attribute = |name: &str, kind: AttributeType| AttributeProto {
            name: name.into(),
            type_: kind.into(),
            ..Default::default()
        };
        match self {
            Self::Int(name, i) => AttributeProto { i, ..attribute(name, AttributeType::INT) },
            Self::Ints(name, ints) => AttributeProto { ints, ..attribute(name, AttributeType::INTS) },
            Self::Float(name, f) => AttributeProto { f, ..attribute(name, AttributeType::FLOAT) },
        }
    }
}

/// The description of a map with a batch of any length.
fn map(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dimension = |value| Dimension { value: Some(value), ..Default::default() };
    let lengths = shape.iter().map(|&length| Length::DimValue(length as i64));
    let shape = TensorShapeProto {
        dim: std::iter::once(Length::DimParam("batch".into())).chain(lengths).map(dimension).collect(),
        ..Default::default()
    };
    let tensor = Tensor { elem_type: DataType::FLOAT as i32, shape: Some(shape).into(), ..Default::default() };
    let kind = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(kind).into(), ..Default::default() }
}
