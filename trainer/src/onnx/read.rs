//! The subnet in a graph, recognised by its operators, shapes and attributes, whatever its nodes are called.

use anyhow::{Context, Result, bail, ensure};
use runtime::{Activation, Block, Conv, Layer, Linear, Pool, Shape};

use super::parse::{Node, Nodes, Parsed};
use crate::dataset::Normalisation;
use crate::space::Arch;
use crate::subnet::{Affine, Subnet};

const CONV_ATTRIBUTES: [&str; 6] = ["kernel_shape", "strides", "pads", "group", "dilations", "auto_pad"];

/// Reads what [`super::write`] writes, from this or another writer.
///
/// # Errors
/// One line that names the node at fault.
pub fn read(bytes: &[u8]) -> Result<Subnet> {
    let graph = Parsed::new(bytes)?;
    let header = graph.header()?;
    ensure!(
        header.format == crate::subnet::FORMAT && header.version == 1,
        "it is {} version {}, not {} version 1",
        header.format,
        header.version,
        crate::subnet::FORMAT
    );
    let arch: Arch = serde_json::from_str(graph.metadata("arch")?).context("its metadata's `arch` is damaged")?;
    let &[channels, height, width] = &graph.input[..] else { bail!("its input is not channel × row × pixel") };
    let image = Shape::new(short(height)?, short(width)?, short(channels)?);
    let mut walk = Walk { nodes: Nodes::of(&graph), map: image, layers: vec![] };
    let normalisation = walk.normalisation()?;
    walk.conv()?;
    while !walk.is_head() {
        walk.block()?;
    }
    walk.head()?;
    while walk.nodes.operator(0) == "Gemm" {
        walk.linear()?;
    }
    walk.nodes.finish()?;
    let subnet = Subnet { header, arch, normalisation, layers: walk.layers };
    check_arch(&subnet, image)?;
    Ok(subnet)
}

/// Whether the metadata speak of this graph, as far as that can be seen without the space.
fn check_arch(subnet: &Subnet, image: Shape) -> Result<()> {
    let Subnet { arch, layers, .. } = subnet;
    let resolution = arch.resolution;
    ensure!(
        (image.height, image.width) == (resolution, resolution),
        "its arch has resolution {resolution}, its input is {image}"
    );
    let kernels = layers.iter().filter_map(|(layer, _)| match layer {
        Layer::Block(block) => Some(block.kernel),
        _ => None,
    });
    ensure!(kernels.eq(arch.stages.iter().flatten().map(|block| block.kernel)), "its arch has other blocks");
    Ok(())
}

struct Walk<'a> {
    nodes: Nodes<'a>,
    /// What the last layer wrote.
    map: Shape,
    layers: Vec<(Layer, Vec<Affine>)>,
}

/// A convolution as the file has it.
struct Convolution {
    channels: u16,
    kernel: u8,
    stride: u8,
    /// Depthwise; true as well for one channel to one.
    grouped: bool,
    affine: Affine,
}

impl<'a> Walk<'a> {
    fn normalisation(&mut self) -> Result<Normalisation> {
        let channels = usize::from(self.map.channels);
        let mut constants = |operator| {
            let node = self.nodes.take(operator, &[])?;
            let constant = node.weights(1)?;
            let fits = constant.dimensions == [1, channels, 1, 1] && node.inputs() == 2;
            ensure!(fits, "{node}: its constant is {:?}, not one for each channel", constant.dimensions);
            Ok(constant.values.clone())
        };
        let (mean, deviation) = (constants("Sub")?, constants("Div")?);
        ensure!(mean.iter().all(|mean| (0.0..=255.0).contains(mean)), "the images' mean is not from 0 to 255");
        ensure!(deviation.iter().all(|&deviation| deviation > 0.0), "the images' deviation is not positive");
        Ok(Normalisation { mean, deviation })
    }

    /// Whether the next convolution is the last.
    fn is_head(&self) -> bool {
        let pool = if self.nodes.operator(1) == "GlobalAveragePool" { 1 } else { 2 };
        // A squeeze pools as well, but with a convolution after it.
        let pooled = self.nodes.operator(pool) == "GlobalAveragePool" && self.nodes.operator(pool + 1) != "Conv";
        pooled || self.nodes.operator(0) != "Conv"
    }

    fn head(&mut self) -> Result<()> {
        self.conv()?;
        let pooled = self.nodes.take("GlobalAveragePool", &[])?;
        let flat = self.nodes.take("Flatten", &["axis"])?;
        ensure!(flat.int("axis", 1)? == 1, "{flat}: only axis 1 is supported");
        self.push(pooled, Layer::Pool(Pool { input: self.map }), vec![])
    }

    fn conv(&mut self) -> Result<()> {
        let (node, Convolution { channels, kernel, stride, grouped, affine }) = self.convolution()?;
        ensure!(!grouped || self.map.channels == 1, "{node}: a depthwise convolution is supported inside a block only");
        let activation = self.activation()?;
        let conv = Conv { input: self.map, channels, kernel, stride, activation };
        self.push(node, Layer::Conv(conv), vec![affine])
    }

    fn block(&mut self) -> Result<()> {
        let (input, start) = (self.map, self.nodes.value());
        let mut parts = vec![];
        let (mut node, mut conv) = self.convolution()?;
        let mut expanding = None;
        if !conv.grouped {
            ensure!((conv.kernel, conv.stride) == (1, 1), "{node}: only a 1×1 convolution can begin a block");
            ensure!(
                conv.channels != input.channels,
                "{node}: an expanding convolution that adds no channels is not supported"
            );
            expanding = Some(self.activation()?);
            self.map.channels = conv.channels;
            parts.push(conv.affine);
            (node, conv) = self.convolution()?;
            ensure!(conv.grouped, "{node}: a depthwise convolution should be here");
        }
        let Convolution { channels: expanded, kernel, stride, affine, .. } = conv;
        let depthwise = node;
        let activation = self.activation()?;
        ensure!(
            expanding.is_none_or(|expanding| expanding == activation),
            "{depthwise}: the activations of a block differ"
        );
        parts.push(affine);
        let squeeze = self.squeeze(expanded, &mut parts)?;
        let (node, project) = self.pointwise()?;
        let projected = self.nodes.value();
        let residual = self.nodes.operator(0) == "Add";
        if residual {
            self.nodes.take("Add", &[])?.reads(&[projected, start])?;
        }
        let channels = project.channels;
        parts.push(project.affine);
        let block = Block { input, expanded, kernel, stride, squeeze, channels, residual, activation };
        self.push(node, Layer::Block(block), parts)
    }

    /// Squeeze-and-excite, where there is one: the channels that it squeezes to.
    fn squeeze(&mut self, expanded: u16, parts: &mut Vec<Affine>) -> Result<u16> {
        if self.nodes.operator(0) != "GlobalAveragePool" {
            return Ok(0);
        }
        let filtered = self.nodes.value();
        self.nodes.take("GlobalAveragePool", &[])?;
        let (node, squeeze) = self.pointwise()?;
        ensure!(self.activation()? == Activation::Relu, "{node}: a ReLU should follow the squeeze");
        self.map.channels = squeeze.channels;
        let (node, excite) = self.pointwise()?;
        ensure!(excite.channels == expanded, "{node}: it excites {} of {expanded} channels", excite.channels);
        self.map.channels = expanded;
        let sigmoid = self.nodes.take("HardSigmoid", &["alpha", "beta"])?;
        let slope = (sigmoid.float("alpha", 0.2)?, sigmoid.float("beta", 0.5)?);
        ensure!(slope == (1.0 / 6.0, 0.5), "{sigmoid}: only alpha 1/6 and beta 0.5 are supported");
        let scale = self.nodes.value();
        self.nodes.take("Mul", &[])?.reads(&[filtered, scale])?;
        parts.extend([squeeze.affine, excite.affine]);
        Ok(squeeze.channels)
    }

    fn linear(&mut self) -> Result<()> {
        let node = self.nodes.take("Gemm", &["transB", "transA", "alpha", "beta"])?;
        let plain = node.int("transB", 0)? == 1 && node.int("transA", 0)? == 0;
        ensure!(plain, "{node}: only transB = 1 and transA = 0 are supported");
        let scaled = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?) != (1.0, 1.0);
        ensure!(!scaled, "{node}: only alpha = beta = 1 is supported");
        let weights = node.weights(1)?;
        let inputs = self.map.channels;
        let &[outputs, depth] = &weights.dimensions[..] else { bail!("{node}: its weights are not out × in") };
        ensure!(depth == usize::from(inputs), "{node} has {depth} inputs, the vector before it {inputs}");
        let affine = affine(node, weights.values.clone(), outputs)?;
        let outputs = short(outputs)?;
        let activation = self.activation()?;
        self.push(node, Layer::Linear(Linear { inputs, outputs, activation }), vec![affine])
    }

    fn pointwise(&mut self) -> Result<(Node<'a>, Convolution)> {
        let (node, conv) = self.convolution()?;
        ensure!((conv.kernel, conv.stride) == (1, 1), "{node}: a 1×1 convolution should be here");
        ensure!(!conv.grouped || self.map.channels == 1, "{node}: a convolution over all channels should be here");
        Ok((node, conv))
    }

    /// The next node, a convolution of a map with the channels of `self.map`.
    fn convolution(&mut self) -> Result<(Node<'a>, Convolution)> {
        let node = self.nodes.take("Conv", &CONV_ATTRIBUTES)?;
        let weights = node.weights(1)?;
        let &[channels, depth, side, width] = &weights.dimensions[..] else {
            bail!("{node}: its weights are not out × in × row × pixel");
        };
        ensure!(side == width && side % 2 == 1 && side <= 15, "{node}: a window of {side}×{width} is not supported");
        let (kernel, half, whole) = (side as u8, side as i64 / 2, side as i64);
        ensure!(
            node.ints("kernel_shape")?.is_none_or(|shape| shape == [whole; 2]),
            "{node}: its kernel_shape is wrong"
        );
        ensure!(node.ints("dilations")?.is_none_or(|steps| steps == [1; 2]), "{node}: dilation is not supported");
        ensure!(
            node.ints("pads")?.unwrap_or(&[0; 4]) == [half; 4],
            "{node}: only padding by half a window is supported"
        );
        let stride = match node.ints("strides")?.unwrap_or(&[1; 2]) {
            [1, 1] => 1,
            [2, 2] => 2,
            strides => bail!("{node}: strides {strides:?} are not supported"),
        };
        let inputs = usize::from(self.map.channels);
        let grouped = match usize::try_from(node.int("group", 1)?) {
            Ok(group) if group == inputs && depth == 1 && channels == inputs => true,
            Ok(1) if depth == inputs => false,
            _ => bail!("{node}: it is neither dense nor depthwise over the {inputs} channels before it"),
        };
        let pixels = side * side;
        let values = weights.values.chunks_exact(depth * pixels);
        let transposed =
            values.flat_map(|taps| (0..pixels).flat_map(move |p| (0..depth).map(move |i| taps[i * pixels + p])));
        let affine = affine(node, transposed.collect(), channels)?;
        Ok((node, Convolution { channels: short(channels)?, kernel, stride, grouped, affine }))
    }

    /// What follows a convolution.
    fn activation(&mut self) -> Result<Activation> {
        match self.nodes.operator(0) {
            "Relu" => self.nodes.take("Relu", &[]).map(|_| Activation::Relu),
            "HardSwish" => self.nodes.take("HardSwish", &[]).map(|_| Activation::HSwish),
            "Clip" => {
                let clip = self.nodes.take("Clip", &[])?;
                let bound = |i| Ok::<_, anyhow::Error>(clip.constant(i)?.map(|bound| bound.values.clone()));
                let bounds = (bound(1)?, bound(2)?);
                ensure!(bounds == (Some(vec![0.0]), Some(vec![6.0])), "{clip}: only from 0 to 6 is supported");
                Ok(Activation::Relu6)
            }
            _ => Ok(Activation::None),
        }
    }

    fn push(&mut self, node: Node<'_>, layer: Layer, parts: Vec<Affine>) -> Result<()> {
        layer.check().with_context(|| format!("{node}: {layer}"))?;
        self.map = layer.output();
        self.layers.push((layer, parts));
        Ok(())
    }
}

fn affine(node: Node<'_>, weights: Vec<f32>, channels: usize) -> Result<Affine> {
    ensure!(node.inputs() <= 3, "{node} has more inputs than weights and bias");
    let bias = match node.constant(2)? {
        None => vec![0.0; channels],
        Some(bias) => {
            ensure!(bias.dimensions == [channels], "{node}: its bias is {:?}, not {channels}", bias.dimensions);
            bias.values.clone()
        }
    };
    Ok(Affine { weights, bias })
}

fn short(length: usize) -> Result<u16> {
    u16::try_from(length).ok().filter(|&length| length > 0).with_context(|| format!("a map of length {length}"))
}
