//! The kernels as their formulas: plain loops, one layer after the other, no fusion.

use core::array;

use crate::layer::{Activation, Block, Conv, KERNEL_LIMIT, Layer, Linear, Pool, Shape};
use crate::plan::Step;
use crate::quant::{Channel, HIDDEN_ZERO, Quant, narrow};

/// Of a depthwise window.
const MOST_TAPS: usize = KERNEL_LIMIT as usize * KERNEL_LIMIT as usize;

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

/// Σ tap · (value − zero) over as many values as there are taps, wrapping as a 32-bit register does; four at a time,
/// as the counting of a loop costs as much as two products.
#[inline(always)]
fn dot(start: i32, taps: &[u8], values: &[i8], zero: i8) -> i32 {
    let add = |sum: i32, (&tap, &value): (&u8, &i8)| {
        sum.wrapping_add(i32::from(tap as i8) * (i32::from(value) - i32::from(zero)))
    };
    let (tap_fours, taps_left) = taps.as_chunks::<4>();
    let (value_fours, values_left) = values[..taps.len()].as_chunks::<4>();
    let fours = tap_fours.iter().zip(value_fours);
    let sum = fours.fold(start, |sum, (taps, values)| taps.iter().zip(values).fold(sum, add));
    taps_left.iter().zip(values_left).fold(sum, add)
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
    let floor = floor(conv.activation, quant.output_zero);
    let (kernel, depth) = (usize::from(conv.kernel), usize::from(conv.input.channels));
    let (height, width) = (usize::from(conv.input.height), usize::from(conv.input.width));
    let channels = usize::from(conv.channels);
    let output_row = usize::from(conv.output().width) * channels;
    for (c, (channel, taps)) in weights.rows().enumerate() {
        let start = taps.iter().fold(channel.bias, |sum, &tap| sum.wrapping_add(product(tap, quant.input_zero)));
        for (y, row) in output.chunks_exact_mut(output_row).enumerate() {
            let rows = Overlap::new(y, conv.kernel, conv.stride, height);
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let columns = Overlap::new(x, conv.kernel, conv.stride, width);
                let mut sum = start;
                for i in 0..rows.len {
                    let taps = &taps[((rows.skipped + i) * kernel + columns.skipped) * depth..][..columns.len * depth];
                    let values = &input[((rows.start + i) * width + columns.start) * depth..];
                    sum = dot(sum, taps, values, quant.input_zero);
                }
                pixel[c] = narrow(channel.scaled(sum), quant.output_zero).max(floor);
            }
        }
    }
}

#[inline(never)]
fn pointwise(activation: Activation, quant: &Quant, weights: Weights<'_>, depth: u16, input: &[i8], output: &mut [i8]) {
    let floor = floor(activation, quant.output_zero);
    let pixels = input.chunks_exact(usize::from(depth));
    for (values, out) in pixels.zip(output.chunks_exact_mut(weights.channels.len())) {
        for (out, (channel, taps)) in out.iter_mut().zip(weights.rows()) {
            *out = narrow(channel.scaled(dot(channel.bias, taps, values, 0)), quant.output_zero).max(floor);
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

/// Four channels at a time, as their sums fit into registers.
fn depthwise(block: &Block, padding: i8, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    if block.expanded.is_multiple_of(4) {
        depthwise_by::<4>(block, padding, weights, input, output);
    } else {
        depthwise_by::<1>(block, padding, weights, input, output);
    }
}

/// As many channels at a time as there are lanes, which divide the number of channels. Their sums start as if all of
/// the window were padding.
fn depthwise_by<const LANES: usize>(block: &Block, padding: i8, weights: Weights<'_>, input: &[i8], output: &mut [i8]) {
    let kernel = usize::from(block.kernel);
    let map = block.expanded_map();
    let (height, width, groups) = (usize::from(map.height), usize::from(map.width), usize::from(map.channels) / LANES);
    let Shape { height: rows, width: columns, .. } = block.depthwise_map();
    let (input, output) = (input.as_chunks::<LANES>().0, output.as_chunks_mut::<LANES>().0);
    let mut rest = weights;
    for group in 0..groups {
        let Weights { channels, taps: own } = rest.take(LANES, LANES * kernel * kernel);
        let mut taps = [[0; LANES]; MOST_TAPS];
        for (lane, own) in own.chunks_exact(kernel * kernel).enumerate() {
            own.iter().zip(&mut taps).for_each(|(&tap, taps)| taps[lane] = tap);
        }
        let start = array::from_fn(|lane| channels[lane].bias);
        let start = taps[..kernel * kernel].iter().fold(start, |sums, taps| add(sums, taps, &[padding; LANES], 0));
        for y in 0..usize::from(rows) {
            let window_rows = Overlap::new(y, block.kernel, block.stride, height);
            for x in 0..usize::from(columns) {
                let window_columns = Overlap::new(x, block.kernel, block.stride, width);
                let mut sums = start;
                for row in 0..window_rows.len {
                    let tap = (window_rows.skipped + row) * kernel + window_columns.skipped;
                    let mut at = ((window_rows.start + row) * width + window_columns.start) * groups + group;
                    for taps in &taps[tap..][..window_columns.len] {
                        sums = add(sums, taps, &input[at], padding);
                        at += groups;
                    }
                }
                output[(y * usize::from(columns) + x) * groups + group] =
                    array::from_fn(|lane| narrow(channels[lane].scaled(sums[lane]), HIDDEN_ZERO));
            }
        }
    }
}

/// Adds tap · (value − zero) in each lane.
#[inline(always)]
fn add<const LANES: usize>(sums: [i32; LANES], taps: &[u8; LANES], values: &[i8; LANES], zero: i8) -> [i32; LANES] {
    array::from_fn(|lane| {
        let value = i32::from(values[lane]) - i32::from(zero);
        sums[lane].wrapping_add(i32::from(taps[lane] as i8) * value)
    })
}

#[inline(never)]
fn project(block: &Block, quant: &Quant, weights: Weights<'_>, filtered: &[i8], input: &[i8], output: &mut [i8]) {
    let channels = usize::from(block.channels);
    let pixels = filtered.chunks_exact(usize::from(block.expanded));
    for (i, (values, out)) in pixels.zip(output.chunks_exact_mut(channels)).enumerate() {
        for (c, (out, (channel, taps))) in out.iter_mut().zip(weights.rows()).enumerate() {
            let projected = channel.scaled(dot(channel.bias, taps, values, 0));
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

/// The part of a window that lies inside the map, in one direction.
struct Overlap {
    /// Taps before it.
    skipped: usize,
    /// First position of the map.
    start: usize,
    /// Positions.
    len: usize,
}

impl Overlap {
    /// Of the window that output number `i` has over a map of `size`.
    #[inline(always)]
    fn new(i: usize, kernel: u8, stride: u8, size: usize) -> Self {
        let first = i * usize::from(stride);
        let half = usize::from(kernel / 2);
        let skipped = half.saturating_sub(first);
        let start = first.saturating_sub(half);
        let end = (first + half + 1).min(size);
        Self { skipped, start, len: end - start }
    }
}
