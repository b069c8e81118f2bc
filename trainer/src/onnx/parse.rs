//! From bytes to a graph whose every part is checked, and the walk along it.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};
use onnx_protobuf::tensor_shape_proto::dimension::Value as Length;
use onnx_protobuf::type_proto::Value;
use onnx_protobuf::{AttributeProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::wire;
use crate::files::Header;

/// A graph with one input and one output.
pub(crate) struct Parsed {
    metadata: HashMap<String, String>,
    /// The input's dimensions after the batch.
    pub(crate) input: Vec<usize>,
    input_name: String,
    output_name: String,
    nodes: Vec<NodeProto>,
    tensors: HashMap<String, Tensor>,
}

/// A float tensor.
pub(crate) struct Tensor {
    pub(crate) dimensions: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Parsed {
    /// Reads a file.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        wire::check(bytes)?;
        let model = ModelProto::parse_from_bytes(bytes).map_err(|error| anyhow!("it is damaged: {error}"))?;
        let graph = model.graph.into_option().context("it is no ONNX file: it has no graph")?;
        let opset = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
        let opset = opset.map_or(0, |set| set.version);
        ensure!((13..=22).contains(&opset), "its operator set is version {opset}; 13 to 22 are supported");
        let tensors = graph.initializer.iter().map(|proto| Ok((proto.name.clone(), tensor(proto)?)));
        let mut tensors = tensors.collect::<Result<HashMap<_, _>>>()?;
        let mut nodes = graph.node;
        // Other writers keep constants in nodes.
        for node in nodes.extract_if(.., |node| node.op_type == "Constant") {
            let name = node.output.first().cloned().unwrap_or_default();
            let value = node.attribute.iter().find(|attribute| attribute.name == "value");
            let proto = value.and_then(|value| value.t.as_ref());
            let proto = proto.with_context(|| format!("the constant {name} holds no tensor"))?;
            tensors.insert(name.clone(), tensor(proto).with_context(|| format!("the constant {name}"))?);
        }
        // Before version 4 of the file format initializers had to be inputs too.
        let mut inputs = graph.input.into_iter().filter(|input| !tensors.contains_key(&input.name));
        let (Some(input), None) = (inputs.next(), inputs.next()) else { bail!("it does not have exactly one input") };
        let [output] = &graph.output[..] else { bail!("it does not have exactly one output") };
        Ok(Self {
            metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
            input: lengths(&input)?,
            input_name: input.name,
            output_name: output.name.clone(),
            nodes,
            tensors,
        })
    }

    /// What the file says of itself.
    pub(crate) fn header(&self) -> Result<Header> {
        Ok(Header {
            format: self.metadata("format")?.into(),
            version: self.number("version")?,
            space: self.metadata("space")?.into(),
            seed: self.number("seed")?,
        })
    }

    /// An entry of the file's metadata.
    pub(crate) fn metadata(&self, key: &str) -> Result<&str> {
        self.metadata.get(key).map(String::as_str).with_context(|| format!("its metadata have no `{key}`"))
    }

    fn number<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T> {
        let text = self.metadata(key)?;
        text.parse().map_err(|error| anyhow!("its metadata's `{key}` is not a number, but {text:?}: {error}"))
    }
}

/// A walk along the nodes, each of which must read what the one before it writes.
pub(crate) struct Nodes<'a> {
    graph: &'a Parsed,
    next: usize,
    value: &'a str,
}

impl<'a> Nodes<'a> {
    /// Begins at the input.
    pub(crate) fn of(graph: &'a Parsed) -> Self {
        Self { graph, next: 0, value: &graph.input_name }
    }

    /// The name of the map that the last node wrote.
    pub(crate) fn value(&self) -> &'a str {
        self.value
    }

    /// The operator of the node that is `ahead` nodes after the next one; empty after the last.
    pub(crate) fn operator(&self, ahead: usize) -> &'a str {
        self.node(ahead).map_or("", |node| &node.op_type)
    }

    /// Looks at the node that is `ahead` nodes after the next one.
    pub(crate) fn node(&self, ahead: usize) -> Option<&'a NodeProto> {
        self.graph.nodes.get(self.next + ahead)
    }

    /// Goes over the next node, which must have this operator and attributes of these names only.
    pub(crate) fn take(&mut self, operator: &str, attributes: &[&str]) -> Result<Node<'a>> {
        let Some(proto) = self.node(0) else { bail!("the graph ends where {operator} should follow") };
        let node = Node { graph: self.graph, proto };
        ensure!(proto.op_type == operator && is_standard(proto), "{node}: only {operator} is supported here");
        let [output] = &proto.output[..] else { bail!("{node} does not have exactly one output") };
        ensure!(proto.input.iter().any(|input| input == self.value), "{node} does not read {}", self.value);
        if let Some(other) = proto.attribute.iter().find(|other| !attributes.contains(&other.name.as_str())) {
            bail!("{node}: the attribute {} is not supported", other.name);
        }
        self.next += 1;
        self.value = output;
        Ok(node)
    }

    /// Checks that the walk has come to the output.
    pub(crate) fn finish(self) -> Result<()> {
        if let Some(proto) = self.node(0) {
            bail!("{}: the graph should end before it", Node { graph: self.graph, proto });
        }
        ensure!(self.value == self.graph.output_name, "the output {} is not the last map", self.graph.output_name);
        Ok(())
    }
}

fn is_standard(node: &NodeProto) -> bool {
    node.domain.is_empty() || node.domain == "ai.onnx"
}

/// A node that the walk has gone over.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    graph: &'a Parsed,
    proto: &'a NodeProto,
}

impl<'a> Node<'a> {
    /// Checks that it reads these maps, in any order, and nothing else.
    pub(crate) fn reads(&self, maps: &[&str]) -> Result<()> {
        let mut inputs: Vec<&str> = self.proto.input.iter().map(String::as_str).collect();
        let mut maps = maps.to_vec();
        inputs.sort_unstable();
        maps.sort_unstable();
        ensure!(inputs == maps, "{self} reads {} instead of {}", inputs.join(", "), maps.join(", "));
        Ok(())
    }

    /// The constant that is input number `i`, if it has one.
    pub(crate) fn constant(&self, i: usize) -> Result<Option<&'a Tensor>> {
        match self.proto.input.get(i).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => self
                .graph
                .tensors
                .get(name)
                .map(Some)
                .with_context(|| format!("{self}: its input {name} is not a constant")),
        }
    }

    /// The constant that is input number `i`.
    pub(crate) fn weights(&self, i: usize) -> Result<&'a Tensor> {
        self.constant(i)?.with_context(|| format!("{self} has no input {i}"))
    }

    /// How many inputs it has.
    pub(crate) fn inputs(&self) -> usize {
        self.proto.input.len()
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.attribute(name, AttributeType::INT)?.map_or(default, |attribute| attribute.i))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.attribute(name, AttributeType::INTS)?.map(|attribute| &attribute.ints[..]))
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.attribute(name, AttributeType::FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    fn attribute(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>> {
        let attribute = self.proto.attribute.iter().find(|attribute| attribute.name == name);
        let fits = attribute.is_none_or(|attribute| attribute.type_.enum_value() == Ok(kind));
        ensure!(fits, "{self}: the attribute {name} has the wrong type");
        Ok(attribute)
    }
}

impl Display for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let output = self.proto.output.first();
        let name = if self.proto.name.is_empty() { output.map_or("", String::as_str) } else { &self.proto.name };
        write!(f, "node {name:?} ({})", self.proto.op_type)
    }
}

fn tensor(proto: &TensorProto) -> Result<Tensor> {
    let name = &proto.name;
    ensure!(proto.data_location.enum_value() == Ok(DataLocation::DEFAULT), "the tensor {name} lies in another file");
    ensure!(proto.data_type == DataType::FLOAT as i32, "the tensor {name} is not float32");
    let dimensions = proto.dims.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<Vec<_>>>();
    let dimensions = dimensions.with_context(|| format!("the tensor {name} has a negative dimension"))?;
    let values: Vec<f32> = if proto.raw_data.is_empty() {
        proto.float_data.clone()
    } else {
        proto.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let length = dimensions.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    let bytes = proto.raw_data.len();
    let complete = length == Some(values.len()) && (bytes == 0 || bytes == 4 * values.len());
    ensure!(complete, "the tensor {name} of {dimensions:?} has {} values", values.len());
    ensure!(values.iter().all(|value| value.is_finite()), "the tensor {name} has a value that is not finite");
    Ok(Tensor { dimensions, values })
}

/// The dimensions of a float tensor after the batch.
fn lengths(info: &ValueInfoProto) -> Result<Vec<usize>> {
    let name = &info.name;
    let Some(Value::TensorType(tensor)) = info.type_.as_ref().and_then(|kind| kind.value.as_ref()) else {
        bail!("the input {name} is no tensor");
    };
    ensure!(tensor.elem_type == DataType::FLOAT as i32, "the input {name} is not float32");
    let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let length = |value: &Option<Length>| match value {
        Some(Length::DimValue(length)) => usize::try_from(*length).ok(),
        _ => None,
    };
    let lengths = dimensions.iter().skip(1).map(|dimension| length(&dimension.value)).collect::<Option<Vec<_>>>();
    lengths.with_context(|| format!("the input {name} has no fixed size"))
}
