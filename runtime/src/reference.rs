//! The layers as their formulas: plain loops, one convolution after the other, each map whole. What every other kernel
//! is compared with.

use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool, Shape};
use crate::order;
use crate::plan::Step;
use crate::quant::{Channel, HIDDEN_ZERO, Quant, Residual, narrow};
use crate::weights::Weights;

/// Runs one layer: `input` and `output` hold its two maps, `hidden` the maps in between, of
/// [`Layer::hidden_bytes`].
///
/// # Panics
/// If a slice is shorter than the layer says, or the layer is not [valid](Layer::check) and
/// [supported](Layer::is_supported).
pub fn execute(step: &Step, weights: Weights<'_>, input: &[i8], hidden: &mut [i8], output: &mut [i8]) {
    let quant = &step.quant;
    match &step.layer {
        Layer::Conv(layer) => conv(layer, quant, weights, input, output),
        Layer::Block(layer) => block(layer, quant, weights, input, hidden, output),
        Layer::Pool(layer) => pool(layer, quant, weights, input, output),
        Layer::Linear(layer) => linear(layer, quant, weights, input, output),
        Layer::Depthwise(layer) => {
            let Depthwise { input: map, kernel, stride, activation } = *layer;
            depthwise(map, (kernel, stride), activation, quant, weights, input, output);
        }
    }
}

impl Layer {
    /// Bytes of the maps inside a block that is not fused.
    pub const fn hidden_bytes(&self) -> usize {
        match self {
            Self::Block(block) => {
                let expanded = if block.expands() { block.expanded_map().len() } else { 0 };
                expanded + block.depthwise_map().len()
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

fn conv(conv: &Conv, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let floor = floor(conv.activation, quant.output_zero);
    let (channels, depth) = (weights.channels.len(), weights.taps.len() / weights.channels.len());
    let map = conv.output();
    for y in 0..map.height {
        for x in 0..map.width {
            for (c, channel) in weights.channels.iter().enumerate() {
                let mut sum = channel.bias;
                let mut i = 0;
                for ky in 0..conv.kernel {
                    for kx in 0..conv.kernel {
                        for d in 0..conv.input.channels {
                            let at = window(conv.input, (y, x, d), (ky, kx), conv.kernel, conv.stride);
                            let value = at.map_or(quant.input_zero, |at| input[at]);
                            sum = sum.wrapping_add(product(weights.taps[order::index(c, i, channels, depth)], value));
                            i += 1;
                        }
                    }
                }
                output[at(map, (y, x, c as u16))] = narrow(channel.scaled(sum), quant.output_zero).max(floor);
            }
        }
    }
}

fn block(block: &Block, quant: &Quant, mut weights: Weights<'_>, input: &[i8], hidden: &mut [i8], output: &mut [i8]) {
    let (filtered, hidden) = hidden.split_at_mut(block.depthwise_map().len());
    let (expanded, padding) = if block.expands() {
        let expand = weights.take(usize::from(block.expanded), block.expand_taps());
        let layer =
            Conv { input: block.input, channels: block.expanded, kernel: 1, stride: 1, activation: block.activation };
        let expanded = &mut hidden[..block.expanded_map().len()];
        conv(&layer, &Quant { output_zero: HIDDEN_ZERO, ..*quant }, expand, input, expanded);
        (&*expanded, HIDDEN_ZERO)
    } else {
        (input, quant.input_zero)
    };
    let filters = weights.take(usize::from(block.expanded), block.depthwise_taps());
    let inside = Quant { input_zero: padding, output_zero: HIDDEN_ZERO, residual: 0 };
    let window = (block.kernel, block.stride);
    depthwise(block.expanded_map(), window, block.activation, &inside, filters, expanded, filtered);
    let (channels, depth) = (usize::from(block.channels), usize::from(block.expanded));
    for (i, out) in output.iter_mut().enumerate() {
        let (pixel, c) = (&filtered[i / channels * depth..][..depth], i % channels);
        let tap = |d| weights.taps[order::index(c, d, channels, depth)];
        let sum = pixel
            .iter()
            .enumerate()
            .fold(weights.channels[c].bias, |sum, (d, &value)| sum.wrapping_add(product(tap(d), value)));
        let added = if block.residual { Residual::new(quant).product(input[i]) } else { 0 };
        *out = narrow(weights.channels[c].scaled(sum).wrapping_add(added), quant.output_zero);
    }
}

fn depthwise(
    map: Shape,
    (kernel, stride): (u8, u8),
    activation: Activation,
    quant: &Quant,
    weights: Weights<'_>,
    input: &[i8],
    output: &mut [i8],
) {
    let floor = floor(activation, quant.output_zero);
    let taps = usize::from(kernel) * usize::from(kernel);
    let out = map.strided(stride, map.channels);
    for y in 0..out.height {
        for x in 0..out.width {
            for c in 0..out.channels {
                let channel: &Channel = &weights.channels[usize::from(c)];
                let mut sum = channel.bias;
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let tap = weights.taps[usize::from(c) * taps + usize::from(ky * kernel + kx)];
                        let at = window(map, (y, x, c), (ky, kx), kernel, stride);
                        sum = sum.wrapping_add(product(tap, at.map_or(quant.input_zero, |at| input[at])));
                    }
                }
                output[at(out, (y, x, c))] = narrow(channel.scaled(sum), quant.output_zero).max(floor);
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

fn linear(linear: &Linear, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let layer = Conv {
        input: Shape::new(1, 1, linear.inputs),
        channels: linear.outputs,
        kernel: 1,
        stride: 1,
        activation: linear.activation,
    };
    conv(&layer, quant, weights, input, output);
}

fn at(map: Shape, (y, x, c): (u16, u16, u16)) -> usize {
    usize::from(y) * map.row() + usize::from(x) * usize::from(map.channels) + usize::from(c)
}

/// Position in the map of a tap of the window of output (y, x); `None` on padding.
fn window(map: Shape, (y, x, c): (u16, u16, u16), (ky, kx): (u8, u8), kernel: u8, stride: u8) -> Option<usize> {
    let half = u16::from(kernel / 2);
    let y = (y * u16::from(stride) + u16::from(ky)).checked_sub(half).filter(|&y| y < map.height)?;
    let x = (x * u16::from(stride) + u16::from(kx)).checked_sub(half).filter(|&x| x < map.width)?;
    Some(at(map, (y, x, c)))
}
