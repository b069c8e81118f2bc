//! The kernels as their formulas: plain loops, one layer after the other, no fusion.

use crate::layer::{Activation, Block, Conv, Layer, Linear, Pool, Shape};
use crate::plan::Step;
use crate::quant::{Channel, HIDDEN_ZERO, Quant, narrow};

/// Weights of one layer, in the order that its [`Layer`] documents.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// One for each output channel of each convolution.
    pub channels: &'a [Channel],
    /// int8, as the bytes that `include_bytes!` gives.
    pub taps: &'a [u8],
}

impl<'a> Weights<'a> {
    /// Those of the next convolution: its `channels` output channels and its `taps`.
    pub(crate) fn take(&mut self, channels: usize, taps: usize) -> Self {
        let (own_channels, channels) = self.channels.split_at(channels);
        let (own_taps, taps) = self.taps.split_at(taps);
        *self = Self { channels, taps };
        Self { channels: own_channels, taps: own_taps }
    }

    /// Output channels with the taps of each.
    fn rows(self) -> impl Iterator<Item = (&'a Channel, &'a [u8])> {
        let fan_in = self.taps.len() / self.channels.len();
        self.channels.iter().zip(self.taps.chunks_exact(fan_in))
    }
}

/// Runs one layer: `input` and `output` hold its two maps, `scratch` its [`Layer::scratch_bytes`].
///
/// # Panics
/// If a slice is shorter than the layer says, or the layer is not [valid](Layer::check) and
/// [supported](Layer::is_supported).
#[inline(never)]
pub fn execute(step: &Step, weights: Weights<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let quant = &step.quant;
    match &step.layer {
        Layer::Conv(layer) => conv(layer, quant, weights, input, output),
        Layer::Block(layer) => block(layer, quant, weights, input, scratch, output),
        Layer::Pool(layer) => pool(layer, quant, weights, input, output),
        Layer::Linear(layer) => linear(layer, quant, weights, input, output),
    }
}

/// Σ tap · value, wrapping as a 32-bit register does.
#[inline(always)]
fn dot(start: i32, taps: &[u8], values: &[i8]) -> i32 {
    taps.iter().zip(values).fold(start, |sum, (&tap, &value)| sum.wrapping_add(product(tap, value)))
}

#[inline(always)]
fn product(tap: u8, value: i8) -> i32 {
    i32::from(tap as i8) * i32::from(value)
}

/// Smallest output: a ReLU cuts at the real zero, its other end is int8's own.
fn floor(activation: Activation, zero: i8) -> i8 {
    match activation {
        Activation::None => i8::MIN,
        Activation::Relu | Activation::Relu6 => zero,
        Activation::HSwish => panic!("h-swish has no kernel"),
    }
}

fn conv(conv: &Conv, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    if conv.kernel == 1 && conv.stride == 1 {
        return pointwise(conv.activation, quant, weights, conv.input.channels, input, output);
    }
    let Shape { width, channels, .. } = conv.output();
    let floor = floor(conv.activation, quant.output_zero);
    for (i, pixel) in output.chunks_exact_mut(usize::from(channels)).enumerate() {
        let window = Window::at(i, usize::from(width), conv.kernel, conv.stride, conv.input);
        for (out, (channel, taps)) in pixel.iter_mut().zip(weights.rows()) {
            let mut sum = channel.bias;
            for (position, taps) in window.positions().zip(taps.chunks_exact(usize::from(conv.input.channels))) {
                sum = match position {
                    Some(start) => dot(sum, taps, &input[start..]),
                    None => taps.iter().fold(sum, |sum, &tap| sum.wrapping_add(product(tap, quant.input_zero))),
                };
            }
            *out = narrow(channel.scaled(sum), quant.output_zero).max(floor);
        }
    }
}

#[inline(never)]
fn pointwise(activation: Activation, quant: &Quant, weights: Weights<'_>, depth: u16, input: &[i8], output: &mut [i8]) {
    let floor = floor(activation, quant.output_zero);
    let pixels = input.chunks_exact(usize::from(depth));
    for (values, out) in pixels.zip(output.chunks_exact_mut(weights.channels.len())) {
        for (out, (channel, taps)) in out.iter_mut().zip(weights.rows()) {
            *out = narrow(channel.scaled(dot(channel.bias, taps, values)), quant.output_zero).max(floor);
        }
    }
}

fn block(block: &Block, quant: &Quant, mut weights: Weights<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    let (filtered, scratch) = scratch.split_at_mut(block.depthwise_map().len());
    let hidden = Quant { input_zero: quant.input_zero, output_zero: HIDDEN_ZERO, residual: 0 };
    let (expanded, padding) = if block.expands() {
        let expanded = &mut scratch[..block.expanded_map().len()];
        let expand = weights.take(usize::from(block.expanded), block.expand_taps());
        pointwise(block.activation, &hidden, expand, block.input.channels, input, expanded);
        (&*expanded, HIDDEN_ZERO)
    } else {
        (input, quant.input_zero)
    };
    let filters = weights.take(usize::from(block.expanded), block.depthwise_taps());
    depthwise(block, padding, filters, expanded, filtered);
    project(block, quant, weights, filtered, input, output);
}

#[inline(never)]
fn depthwise(block: &Block, padding: i8, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let map = block.expanded_map();
    let width = usize::from(block.depthwise_map().width);
    for (i, pixel) in output.chunks_exact_mut(usize::from(block.expanded)).enumerate() {
        let window = Window::at(i, width, block.kernel, block.stride, map);
        for (c, (out, (channel, taps))) in pixel.iter_mut().zip(weights.rows()).enumerate() {
            let taps = window.positions().zip(taps);
            let sum = taps.fold(channel.bias, |sum, (position, &tap)| {
                sum.wrapping_add(product(tap, position.map_or(padding, |start| input[start + c])))
            });
            *out = narrow(channel.scaled(sum), HIDDEN_ZERO);
        }
    }
}

#[inline(never)]
fn project(block: &Block, quant: &Quant, weights: Weights<'_>, filtered: &[i8], input: &[i8], output: &mut [i8]) {
    let channels = usize::from(block.channels);
    let pixels = filtered.chunks_exact(usize::from(block.expanded));
    for (i, (values, out)) in pixels.zip(output.chunks_exact_mut(channels)).enumerate() {
        for (c, (out, (channel, taps))) in out.iter_mut().zip(weights.rows()).enumerate() {
            let projected = channel.scaled(dot(channel.bias, taps, values));
            let added = if block.residual { quant.residual(input[i * channels + c]) } else { 0 };
            *out = narrow(projected.wrapping_add(added), quant.output_zero);
        }
    }
}

fn pool(pool: &Pool, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let Some(channel) = weights.channels.first() else { return };
    for (c, out) in output.iter_mut().enumerate() {
        let values = input.iter().skip(c).step_by(usize::from(pool.input.channels));
        let sum = values.fold(channel.bias, |sum, &value| sum.wrapping_add(i32::from(value)));
        *out = narrow(channel.averaged(sum), quant.output_zero);
    }
}

fn linear(linear: &Linear, quant: &Quant, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    pointwise(linear.activation, quant, weights, linear.inputs, input, output);
}

/// The input positions under one output pixel.
struct Window {
    top: i32,
    left: i32,
    kernel: i32,
    map: Shape,
}

impl Window {
    /// The window of output pixel number `i` in a map of `width`.
    fn at(i: usize, width: usize, kernel: u8, stride: u8, map: Shape) -> Self {
        let padding = i32::from(kernel / 2);
        let stride = i32::from(stride);
        Self {
            top: (i / width) as i32 * stride - padding,
            left: (i % width) as i32 * stride - padding,
            kernel: i32::from(kernel),
            map,
        }
    }

    /// Row by row, where each pixel's first channel lies; `None` on padding.
    #[inline(always)]
    fn positions(&self) -> impl Iterator<Item = Option<usize>> {
        let Shape { height, width, channels } = self.map;
        let (height, width, channels) = (i32::from(height), i32::from(width), usize::from(channels));
        (self.top..self.top + self.kernel).flat_map(move |y| {
            (self.left..self.left + self.kernel).map(move |x| {
                let inside = (0..height).contains(&y) && (0..width).contains(&x);
                inside.then(|| (y * width + x) as usize * channels)
            })
        })
    }
}
