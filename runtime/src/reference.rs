//! The layers as their formulas: plain loops, one convolution after the other, each map whole. What every other kernel
//! is compared with.

use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool, Shape};
use crate::order::Order;
use crate::plan::Step;
use crate::quant::{Channel, HIDDEN_ZERO, Quant, Residual, Zeros, narrow};
use crate::weights::{Table, Weights};

/// Runs one layer: `input` and `output` hold its two maps, `hidden` the maps in between, of
/// [`Layer::hidden_bytes`].
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// use model::{CHANNELS, STEPS, TAPS};
///
/// let weights = runtime::Weights { channels: &CHANNELS[..2], taps: &TAPS[..2] };
/// let mut output = [0; 8];
/// runtime::execute(&STEPS[0], weights, &[100, 90, 110, 100], &mut [], &mut output);
/// assert_eq!(output, [100, -100, 90, -90, 110, -110, 100, -100]);
/// ```
///
/// # Panics
/// If a slice is shorter than the layer says, or the layer is not [valid](Layer::check).
pub fn execute(step: &Step, weights: Weights<'_>, input: &[i8], hidden: &mut [i8], output: &mut [i8]) {
    let quant = &step.quant;
    match &step.layer {
        Layer::Conv(layer) => {
            conv(layer, (quant.input_zero, quant.output(layer.activation)), weights, input, output);
        }
        Layer::Block(layer) => block(layer, quant, weights, input, hidden, output),
        Layer::Pool(layer) => pool(layer, quant, weights, input, output),
        Layer::Linear(layer) => {
            linear(layer, (quant.input_zero, quant.output(layer.activation)), weights, input, output);
        }
        Layer::Depthwise(layer) => {
            let Depthwise { input: map, kernel, stride, activation } = *layer;
            let zeros = quant.output(activation);
            depthwise(map, (kernel, stride), activation, (quant.input_zero, zeros), weights, input, output);
        }
    }
}

impl Layer {
    /// Bytes of the maps and vectors inside a block that is not fused.
    pub const fn hidden_bytes(&self) -> usize {
        match self {
            Self::Block(block) => {
                let expanded = if block.expands() { block.expanded_map().len() } else { 0 };
                let (channels, squeezed) = (block.expanded as usize, block.squeeze as usize);
                let vectors = if squeezed == 0 { 0 } else { 2 * channels + squeezed };
                block.depthwise_map().len() + expanded + vectors
            }
            _ => 0,
        }
    }
}

fn product(tap: u8, value: i8) -> i32 {
    i32::from(tap as i8) * i32::from(value)
}

/// Smallest output: a ReLU cuts at the real zero, its other end is int8's own.
pub(crate) fn floor(activation: Activation, zero: i8) -> i8 {
    match activation {
        Activation::None | Activation::HSwish => i8::MIN,
        Activation::Relu | Activation::Relu6 => zero,
    }
}

/// What follows a convolution's sums.
struct Finish<'a> {
    zeros: Zeros,
    floor: i8,
    table: Option<Table<'a>>,
}

impl<'a> Finish<'a> {
    /// `weights` are what follows the convolution's own.
    fn new(activation: Activation, zeros: Zeros, mut weights: Weights<'a>) -> Self {
        Self { zeros, floor: floor(activation, zeros.sums), table: weights.take_table(activation) }
    }

    fn output(&self, channel: &Channel, sum: i32) -> i8 {
        let value = narrow(channel.scaled(sum), self.zeros.sums).max(self.floor);
        self.table.map_or(value, |table| table.value(value))
    }
}

/// `weights` are those of the matrix and its table.
fn conv(conv: &Conv, (padding, zeros): (i8, Zeros), mut weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let matrix = weights.take(conv.channels.into(), conv.matrix_taps());
    let finish = Finish::new(conv.activation, zeros, weights);
    let channels = matrix.channels.len();
    let order = conv.order();
    let map = conv.output();
    for y in 0..map.height {
        for x in 0..map.width {
            for (c, channel) in matrix.channels.iter().enumerate() {
                let mut sum = channel.bias;
                let mut i = 0;
                for ky in 0..conv.kernel {
                    for kx in 0..conv.kernel {
                        for d in 0..conv.input.channels {
                            let at = window(conv.input, (y, x, d), (ky, kx), conv.kernel, conv.stride);
                            let value = at.map_or(padding, |at| input[at]);
                            sum = sum.wrapping_add(product(matrix.taps[order.index(c, i, channels)], value));
                            i += 1;
                        }
                    }
                }
                output[at(map, (y, x, c as u16))] = finish.output(channel, sum);
            }
        }
    }
}

fn block(block: &Block, quant: &Quant, mut weights: Weights<'_>, input: &[i8], hidden: &mut [i8], output: &mut [i8]) {
    let (filtered, hidden) = hidden.split_at_mut(block.depthwise_map().len());
    let activation = block.activation;
    let [expanded_zeros, filtered_zeros] = quant.hidden(activation);
    let (expanded, vectors) = hidden.split_at_mut(if block.expands() { block.expanded_map().len() } else { 0 });
    let (expanded, padding) = if block.expands() {
        let taps = block.expand_taps() + activation.table_taps();
        let expand = weights.take(usize::from(block.expanded), taps);
        let layer = Conv { input: block.input, channels: block.expanded, kernel: 1, stride: 1, activation };
        conv(&layer, (quant.input_zero, expanded_zeros), expand, input, expanded);
        (&*expanded, expanded_zeros.map)
    } else {
        (input, quant.input_zero)
    };
    let taps = block.depthwise_taps() + activation.table_taps();
    let filters = weights.take(usize::from(block.expanded), taps);
    let window = (block.kernel, block.stride);
    depthwise(block.expanded_map(), window, activation, (padding, filtered_zeros), filters, expanded, filtered);
    if block.squeeze != 0 {
        let vectors = &mut vectors[..2 * usize::from(block.expanded) + usize::from(block.squeeze)];
        attention(block, filtered_zeros.map, &mut weights, filtered, vectors);
    }
    let (channels, depth) = (usize::from(block.channels), usize::from(block.expanded));
    let order = Order { depth, row: depth };
    for (i, out) in output.iter_mut().enumerate() {
        let (pixel, c) = (&filtered[i / channels * depth..][..depth], i % channels);
        let tap = |d| weights.taps[order.index(c, d, channels)];
        let sum = pixel
            .iter()
            .enumerate()
            .fold(weights.channels[c].bias, |sum, (d, &value)| sum.wrapping_add(product(tap(d), value)));
        let added = if block.residual { Residual::new(quant).product(input[i]) } else { 0 };
        *out = narrow(weights.channels[c].scaled(sum).wrapping_add(added), quant.output_zero);
    }
}

/// Squeeze-and-excite of the filtered map, in its place: each channel times
/// hard sigmoid(excite · ReLU(squeeze · the mean of each channel)). The three vectors lie in `vectors`.
fn attention(block: &Block, zero: i8, weights: &mut Weights<'_>, map: &mut [i8], vectors: &mut [i8]) {
    let (expanded, squeezed) = (usize::from(block.expanded), usize::from(block.squeeze));
    let (means, vectors) = vectors.split_at_mut(expanded);
    let (squeezes, excites) = vectors.split_at_mut(squeezed);
    let (mean, factor) = (weights.take_channel(), weights.take_channel());
    let pixels = map.len() / expanded;
    for (c, out) in means.iter_mut().enumerate() {
        let values = map.iter().skip(c).step_by(expanded);
        let sum = values.fold(mean.bias, |sum, &value| sum.wrapping_add(i32::from(value)));
        *out = narrow(mean.mean(sum, pixels.ilog2()), HIDDEN_ZERO);
    }
    let mut matrix = |activation: Activation, input: &[i8], output: &mut [i8]| {
        let zeros = Zeros { map: HIDDEN_ZERO, sums: HIDDEN_ZERO };
        let layer = Linear { inputs: input.len() as u16, outputs: output.len() as u16, activation };
        linear(&layer, (HIDDEN_ZERO, zeros), weights.take(output.len(), layer.matrix_taps()), input, output);
    };
    matrix(Activation::Relu, means, squeezes);
    matrix(Activation::Relu6, squeezes, excites);
    for (i, value) in map.iter_mut().enumerate() {
        let excited = i32::from(excites[i % expanded]) - i32::from(HIDDEN_ZERO);
        let product = (i32::from(*value) - i32::from(zero)) * excited;
        *value = narrow(i64::from(product) * i64::from(factor.multiplier), zero);
    }
}

fn depthwise(
    map: Shape,
    (kernel, stride): (u8, u8),
    activation: Activation,
    (padding, zeros): (i8, Zeros),
    mut weights: Weights<'_>,
    input: &[i8],
    output: &mut [i8],
) {
    let filters = weights.take(map.channels.into(), map.channels as usize * usize::from(kernel).pow(2));
    let finish = Finish::new(activation, zeros, weights);
    let taps = usize::from(kernel) * usize::from(kernel);
    let out = map.strided(stride, map.channels);
    for y in 0..out.height {
        for x in 0..out.width {
            for c in 0..out.channels {
                let channel: &Channel = &filters.channels[usize::from(c)];
                let mut sum = channel.bias;
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let tap = filters.taps[usize::from(c) * taps + usize::from(ky * kernel + kx)];
                        let at = window(map, (y, x, c), (ky, kx), kernel, stride);
                        sum = sum.wrapping_add(product(tap, at.map_or(padding, |at| input[at])));
                    }
                }
                output[at(out, (y, x, c))] = finish.output(channel, sum);
            }
        }
    }
}

fn pool(pool: &Pool, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    for (c, out) in output.iter_mut().enumerate() {
        let values = input.iter().skip(c).step_by(usize::from(pool.input.channels));
        let sum = values.fold(weights.channels[0].bias, |sum, &value| sum.wrapping_add(i32::from(value)));
        *out = narrow(weights.channels[0].averaged(sum), quant.output_zero);
    }
}

fn linear(linear: &Linear, zeros: (i8, Zeros), weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let layer = Conv {
        input: Shape::new(1, 1, linear.inputs),
        channels: linear.outputs,
        kernel: 1,
        stride: 1,
        activation: linear.activation,
    };
    conv(&layer, zeros, weights, input, output);
}

fn at(map: Shape, (y, x, c): (u16, u16, u16)) -> usize {
    usize::from(y) * map.row() + usize::from(x) * usize::from(map.channels) + usize::from(c)
}

/// Position in the map of a tap of the window of output (y, x); `None` on padding.
fn window(map: Shape, (y, x, c): (u16, u16, u16), (ky, kx): (u8, u8), kernel: u8, stride: u8) -> Option<usize> {
    // In 32 bits: the window of the last pixel of a row of 65,535 ends beyond 16.
    let inside = |i: u16, k: u8, size: u16| {
        let i = (u32::from(i) * u32::from(stride) + u32::from(k)).checked_sub(u32::from(kernel / 2))?;
        u16::try_from(i).ok().filter(|&i| i < size)
    };
    Some(at(map, (inside(y, ky, map.height)?, inside(x, kx, map.width)?, c)))
}
