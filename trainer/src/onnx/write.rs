//! A subnet as a graph.

use runtime::{Activation, Block, Conv, Layer};

use super::build::{Attribute, Graph};
use crate::subnet::{self, Affine, Subnet};

/// The subnet as an ONNX file. Its input `image` is raw pixels, batch × channel × row × pixel; its output `scores`
/// is batch × class.
///
/// # Panics
/// If the weights are not as many as the layers need.
pub fn write(subnet: &Subnet) -> Vec<u8> {
    let header = &subnet.header;
    let image = subnet.layers[0].0.input();
    let channels = usize::from(image.channels);
    let mut graph = Graph::new("subnet", "image", &[channels, image.height.into(), image.width.into()]);
    graph.constant("mean", &[1, channels, 1, 1], &subnet.normalisation.mean);
    graph.constant("deviation", &[1, channels, 1, 1], &subnet.normalisation.deviation);
    graph.constant("zero", &[], &[0.0]);
    graph.constant("six", &[], &[6.0]);
    graph.node("Sub", &["image", "mean"], "centred", vec![]);
    graph.node("Div", &["centred", "deviation"], "normalised", vec![]);

    let mut map = "normalised".to_owned();
    for ((layer, parts), names) in subnet.layers.iter().zip(map_names(subnet)) {
        let output = &names[names.len() - 1];
        match layer {
            Layer::Conv(layer) => conv(&mut graph, layer, &parts[0], &map, output),
            Layer::Block(layer) => block(&mut graph, layer, parts, &map, &names),
            Layer::Pool(_) => {
                let pooled = format!("{output}.pooled");
                graph.node("GlobalAveragePool", &[&map], &pooled, vec![]);
                graph.node("Flatten", &[&pooled], output, vec![Attribute::Int("axis", 1)]);
            }
            Layer::Depthwise(_) => unreachable!("{}", subnet::NO_DEPTHWISE),
            Layer::Linear(layer) => {
                let shape = [layer.outputs.into(), layer.inputs.into()];
                let [weights, bias] = constants(&mut graph, output, &shape, &parts[0].weights, &parts[0].bias);
                activated(&mut graph, layer.activation, output, |graph, output| {
                    graph.node("Gemm", &[&map, &weights, &bias], output, vec![Attribute::Int("transB", 1)]);
                });
            }
        }
        map.clone_from(output);
    }
    let classes = subnet.layers[subnet.layers.len() - 1].0.output().len();
    let arch = serde_json::to_string(&subnet.arch).expect("an arch is numbers");
    graph.finish("scores", &[classes], header, &[("arch", arch)])
}

/// For each layer the names in the file of the maps that int8 has too: a block's hidden maps, then the layer's output.
pub(crate) fn map_names(subnet: &Subnet) -> Vec<Vec<String>> {
    let last = subnet.layers.len() - 1;
    let names = |(i, (layer, _)): (usize, &(Layer, _))| {
        let mut names = vec![];
        if let Layer::Block(block) = layer {
            names.extend(block.expands().then(|| format!("layer{i}.expanded")));
            names.push(format!("layer{i}.filtered"));
        }
        names.push(if i == last { "scores".into() } else { format!("layer{i}") });
        names
    };
    subnet.layers.iter().enumerate().map(names).collect()
}

/// The name of each layer's output.
pub(crate) fn output_names(subnet: &Subnet) -> Vec<String> {
    map_names(subnet).into_iter().filter_map(|mut names| names.pop()).collect()
}

fn conv(graph: &mut Graph, conv: &Conv, affine: &Affine, input: &str, output: &str) {
    let window = Window { kernel: conv.kernel, stride: conv.stride, group: 1 };
    let depth = conv.input.channels.into();
    activated(graph, conv.activation, output, |graph, output| convolve(graph, window, depth, affine, input, output));
}

fn block(graph: &mut Graph, block: &Block, parts: &[Affine], input: &str, names: &[String]) {
    let pointwise = Window { kernel: 1, stride: 1, group: 1 };
    let expanded = usize::from(block.expanded);
    let mut names = names.iter();
    let mut parts = parts.iter();
    let mut next = || (parts.next().expect("a block's weights"), names.next());
    let mut map = input;
    if block.expands() {
        let (affine, Some(output)) = next() else { unreachable!("an expanding block has three maps") };
        activated(graph, block.activation, output, |graph, output| {
            convolve(graph, pointwise, block.input.channels.into(), affine, map, output);
        });
        map = output;
    }
    let (affine, Some(filtered)) = next() else { unreachable!("a block has two maps") };
    let window = Window { kernel: block.kernel, stride: block.stride, group: expanded };
    activated(graph, block.activation, filtered, |graph, output| convolve(graph, window, 1, affine, map, output));
    let output = names.next().expect("a block has an output");
    let mut map = filtered.clone();
    if block.squeeze != 0 {
        let [pooled, squeezed, excited, scale] =
            ["pooled", "squeezed", "excited", "scale"].map(|part| format!("{output}.{part}"));
        graph.node("GlobalAveragePool", &[&map], &pooled, vec![]);
        let affine = parts.next().expect("a block's weights");
        activated(graph, Activation::Relu, &squeezed, |graph, output| {
            convolve(graph, pointwise, expanded, affine, &pooled, output);
        });
        let affine = parts.next().expect("a block's weights");
        convolve(graph, pointwise, block.squeeze.into(), affine, &squeezed, &excited);
        let slope = vec![Attribute::Float("alpha", 1.0 / 6.0), Attribute::Float("beta", 0.5)];
        graph.node("HardSigmoid", &[&excited], &scale, slope);
        let scaled = format!("{output}.scaled");
        graph.node("Mul", &[&map, &scale], &scaled, vec![]);
        map = scaled;
    }
    let affine = parts.next().expect("a block's weights");
    if block.residual {
        let projected = format!("{output}.projected");
        convolve(graph, pointwise, expanded, affine, &map, &projected);
        graph.node("Add", &[&projected, input], output, vec![]);
    } else {
        convolve(graph, pointwise, expanded, affine, &map, output);
    }
}

#[derive(Clone, Copy)]
struct Window {
    kernel: u8,
    stride: u8,
    group: usize,
}

/// A convolution with half a window of padding; `depth`: input channels of one output channel.
fn convolve(graph: &mut Graph, window: Window, depth: usize, affine: &Affine, input: &str, output: &str) {
    let Window { kernel, stride, group } = window;
    let side = usize::from(kernel);
    let shape = [affine.bias.len(), depth, side, side];
    // From out × kh × kw × in to out × in × kh × kw.
    let (taps, pixels) = (affine.weights.as_slice(), side * side);
    let transposed: Vec<f32> = taps
        .chunks_exact(depth * pixels)
        .flat_map(|taps| (0..depth).flat_map(move |i| (0..pixels).map(move |pixel| taps[pixel * depth + i])))
        .collect();
    let [weights, bias] = constants(graph, output, &shape, &transposed, &affine.bias);
    let (side, padding, stride) = (i64::from(kernel), i64::from(kernel / 2), i64::from(stride));
    let attributes = vec![
        Attribute::Ints("kernel_shape", vec![side; 2]),
        Attribute::Ints("strides", vec![stride; 2]),
        Attribute::Ints("pads", vec![padding; 4]),
        Attribute::Int("group", group as i64),
    ];
    graph.node("Conv", &[input, &weights, &bias], output, attributes);
}

/// Adds weights and bias, and returns their names.
fn constants(graph: &mut Graph, output: &str, shape: &[usize], weights: &[f32], bias: &[f32]) -> [String; 2] {
    let names = ["weights", "bias"].map(|part| format!("{output}.{part}"));
    graph.constant(&names[0], shape, weights);
    graph.constant(&names[1], &[bias.len()], bias);
    names
}

/// What `inner` writes, then the activation, which writes `output`.
fn activated(graph: &mut Graph, activation: Activation, output: &str, inner: impl FnOnce(&mut Graph, &str)) {
    let (operator, bounds): (_, &[&str]) = match activation {
        Activation::None => return inner(graph, output),
        Activation::Relu => ("Relu", &[]),
        Activation::Relu6 => ("Clip", &["zero", "six"]),
        Activation::HSwish => ("HardSwish", &[]),
    };
    let linear = format!("{output}.linear");
    inner(graph, &linear);
    let inputs: Vec<&str> = std::iter::once(linear.as_str()).chain(bounds.iter().copied()).collect();
    graph.node(operator, &inputs, output, vec![]);
}
