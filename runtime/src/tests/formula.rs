//! Layers by their formulas, in wide integers and in floating point: what `NUMERICS.md` says, and nothing else.

use std::vec;
use std::vec::Vec;

use super::Problem;
use crate::layer::{Activation, Block, Depthwise, Layer, Shape};
use crate::quant::Channel;

impl Problem {
    /// Its output.
    pub fn formula(&self) -> Vec<i8> {
        let quant = &self.step.quant;
        let input = Map { shape: self.step.layer.input(), values: &self.input };
        match self.step.layer {
            Layer::Conv(conv) => {
                let finish = Finish::new(conv.activation, quant.output_zero, &self.taps);
                let depth = usize::from(conv.input.channels);
                let sums =
                    input.window_sums(conv.kernel, conv.stride, quant.input_zero, conv.output(), |c, kernel, i| {
                        (0..depth).map(|d| (i64::from(self.taps[(c * kernel + i) * depth + d] as i8), d)).collect()
                    });
                sums.iter().zip(self.channels.iter().cycle()).map(|(sum, c)| finish.output(*sum, c)).collect()
            }
            Layer::Linear(linear) => {
                let finish = Finish::new(linear.activation, quant.output_zero, &self.taps);
                let rows = self.taps.chunks(linear.inputs.into()).zip(&self.channels);
                rows.map(|(row, c)| finish.output(dot(row, &self.input), c)).collect()
            }
            Layer::Depthwise(Depthwise { kernel, stride, activation, .. }) => {
                let finish = Finish::new(activation, quant.output_zero, &self.taps);
                let output = self.step.layer.output();
                let sums = input.window_sums(kernel, stride, quant.input_zero, output, |c, kernel, i| {
                    vec![(i64::from(self.taps[c * kernel + i] as i8), c)]
                });
                sums.iter().zip(self.channels.iter().cycle()).map(|(sum, c)| finish.output(*sum, c)).collect()
            }
            Layer::Pool(pool) => (0..usize::from(pool.input.channels))
                .map(|c| {
                    let plane = self.input.iter().skip(c).step_by(pool.input.channels.into());
                    let sum = plane.map(|&v| i64::from(v)).sum::<i64>() + i64::from(self.channels[0].bias);
                    round(i128::from(sum as i32) * i128::from(self.channels[0].multiplier), 24, quant.output_zero)
                })
                .collect(),
            Layer::Block(block) => self.block(&block, input),
        }
    }

    /// Expand, filter, squeeze and excite, project, each into a map of its own.
    fn block(&self, block: &Block, input: Map<'_>) -> Vec<i8> {
        let quant = &self.step.quant;
        let (mut channels, mut taps) = (&self.channels[..], &self.taps[..]);
        let mut take = |count: usize, len: usize| {
            let parts = (channels.split_at(count), taps.split_at(len));
            (channels, taps) = (parts.0.1, parts.1.1);
            (parts.0.0, parts.1.0)
        };
        let (depth, activation) = (usize::from(block.expanded), block.activation);
        let table = if activation == Activation::HSwish { 256 } else { 0 };
        let zeros = match activation {
            Activation::Relu | Activation::Relu6 => [-128; 2],
            Activation::None | Activation::HSwish => quant.hidden_zeros,
        };
        let pointwise = |values: &[i8], depth: usize, channels: &[Channel], taps: &[u8], finish: Finish<'_>| {
            let pixels = values.chunks(depth);
            let outputs = pixels.flat_map(|pixel| taps.chunks(depth).zip(channels).map(move |row| (pixel, row)));
            outputs.map(|(pixel, (row, c))| finish.output(dot(row, pixel), c)).collect::<Vec<_>>()
        };
        let (expanded, padding) = if block.expands() {
            let input_depth = usize::from(block.input.channels);
            let (channels, taps) = take(depth, depth * input_depth + table);
            let finish = Finish::new(activation, zeros[0], taps);
            (pointwise(input.values, input_depth, channels, taps, finish), zeros[0])
        } else {
            (input.values.to_vec(), quant.input_zero)
        };
        let (filters, filter_taps) = take(depth, depth * usize::from(block.kernel).pow(2) + table);
        let map = Map { shape: block.expanded_map(), values: &expanded };
        let sums = map.window_sums(block.kernel, block.stride, padding, block.depthwise_map(), |c, kernel, i| {
            vec![(i64::from(filter_taps[c * kernel + i] as i8), c)]
        });
        let finish = Finish::new(activation, zeros[1], filter_taps);
        let filtered = sums.iter().zip(filters.iter().cycle());
        let mut filtered: Vec<i8> = filtered.map(|(sum, c)| finish.output(*sum, c)).collect();
        if block.squeeze > 0 {
            let squeezed = usize::from(block.squeeze);
            let (special, _) = take(2, 0);
            let (squeeze, excite) = (take(squeezed, squeezed * depth), take(depth, squeezed * depth));
            let pixels = filtered.len() / depth;
            let bits = (0..32).rfind(|bits| pixels >> bits > 0).unwrap();
            let mean = |c: usize| {
                let sum = filtered.iter().skip(c).step_by(depth).map(|&v| i64::from(v)).sum::<i64>();
                let sum = (sum + i64::from(special[0].bias)) as i32;
                round(i128::from(sum) * i128::from(special[0].multiplier), 24 + bits, -128)
            };
            let means: Vec<i8> = (0..depth).map(mean).collect();
            let relu = || Finish::new(Activation::Relu6, -128, &[]);
            let squeezes = pointwise(&means, depth, squeeze.0, squeeze.1, relu());
            let excites = pointwise(&squeezes, squeezed, excite.0, excite.1, relu());
            for (i, value) in filtered.iter_mut().enumerate() {
                let real = (i128::from(*value) - i128::from(zeros[1])) * (i128::from(excites[i % depth]) + 128);
                *value = round(real * i128::from(special[1].multiplier), 32, zeros[1]);
            }
        }
        let (projections, project_taps) = take(block.channels.into(), depth * usize::from(block.channels));
        let pixels = filtered.chunks(depth);
        let outputs =
            pixels.flat_map(|pixel| projections.iter().zip(project_taps.chunks(depth)).map(move |c| (pixel, c)));
        outputs
            .enumerate()
            .map(|(i, (pixel, (c, row)))| {
                let added = match block.residual {
                    true => {
                        (i128::from(input.values[i]) - i128::from(quant.input_zero)) * i128::from(quant.residual) * 256
                    }
                    false => 0,
                };
                requantise(dot(row, pixel), c, added, quant.output_zero)
            })
            .collect()
    }
}

fn dot(row: &[u8], values: &[i8]) -> i64 {
    row.iter().zip(values).map(|(&tap, &value)| i64::from(tap as i8) * i64::from(value)).sum()
}

/// What follows a sum: an activation that is a clamp, or a table.
#[derive(Clone, Copy)]
enum Finish<'a> {
    Clamp { zero: i8, floor: i8 },
    Table(&'a [u8]),
}

impl<'a> Finish<'a> {
    /// A table is at the end of `taps`.
    fn new(activation: Activation, zero: i8, taps: &'a [u8]) -> Self {
        match activation {
            Activation::HSwish => Self::Table(&taps[taps.len() - 256..]),
            Activation::None => Self::Clamp { zero, floor: i8::MIN },
            Activation::Relu | Activation::Relu6 => Self::Clamp { zero, floor: zero },
        }
    }

    fn output(self, sum: i64, channel: &Channel) -> i8 {
        match self {
            Self::Clamp { zero, floor } => requantise(sum, channel, 0, zero).max(floor),
            Self::Table(table) => table[(i32::from(requantise(sum, channel, 0, -128)) + 128) as usize] as i8,
        }
    }
}

#[derive(Clone, Copy)]
struct Map<'a> {
    shape: Shape,
    values: &'a [i8],
}

impl Map<'_> {
    fn at(&self, y: i64, x: i64, channel: usize, padding: i8) -> i64 {
        let Shape { height, width, channels } = self.shape;
        if y < 0 || x < 0 || y >= i64::from(height) || x >= i64::from(width) {
            return padding.into();
        }
        self.values[(y as usize * usize::from(width) + x as usize) * usize::from(channels) + channel].into()
    }

    /// For each output value, Σ tap · value over its window, where `taps(c, kernel², i)` lists the taps of output
    /// channel `c` at position `i` with the input channels that they read.
    fn window_sums(
        &self,
        kernel: u8,
        stride: u8,
        padding: i8,
        output: Shape,
        taps: impl Fn(usize, usize, usize) -> Vec<(i64, usize)>,
    ) -> Vec<i64> {
        let (kernel, stride, half) = (i64::from(kernel), i64::from(stride), i64::from(kernel / 2));
        let mut sums = vec![];
        for y in 0..i64::from(output.height) {
            for x in 0..i64::from(output.width) {
                for c in 0..usize::from(output.channels) {
                    let mut sum = 0;
                    for i in 0..kernel * kernel {
                        for (tap, channel) in taps(c, (kernel * kernel) as usize, i as usize) {
                            let (y, x) = (y * stride + i / kernel - half, x * stride + i % kernel - half);
                            sum += tap * self.at(y, x, channel, padding);
                        }
                    }
                    sums.push(sum);
                }
            }
        }
        sums
    }
}

/// `NUMERICS.md`: the accumulator has 32 bits, what follows is exact until its one rounding.
fn requantise(sum: i64, channel: &Channel, added: i128, zero: i8) -> i8 {
    let accumulator = (sum + i64::from(channel.bias)) as i32;
    round(i128::from(accumulator) * i128::from(channel.multiplier) + added, 32, zero)
}

/// `zero + value / 2^shift`, to the nearest; in floating point, and only on the fence in integers.
fn round(value: i128, shift: u32, zero: i8) -> i8 {
    let real = value as f64 / 2_f64.powi(shift as i32) + f64::from(zero);
    let rounded = ((value + (1 << (shift - 1))) >> shift) + i128::from(zero);
    assert!((rounded as f64 - real).abs() <= 0.5 + real.abs() * f64::EPSILON, "{rounded} is not the nearest of {real}");
    rounded.clamp(-128, 127) as i8
}
