//! One convolution's weights, bias and output scale in integers.

use runtime::{Activation, Channel};

use super::ranges::Range;
use crate::model::Scale;
use crate::subnet::Affine;

/// Largest magnitude of a bias before the input's zero point is folded in: with 2¹⁵ products the accumulator then
/// stays below 2³¹.
const BIAS_LIMIT: f64 = (1 << 30) as f64;
/// Multipliers are at least 2¹⁴, so that their rounding costs less than 2⁻¹⁵ of a channel's value.
const LEAST_MULTIPLIER: f32 = (1 << 14) as f32;
const ONE: f32 = 4_294_967_296.0;
/// Multipliers of convolutions are below this quotient of scales.
const LARGEST_QUOTIENT: f32 = 0.499_999;

/// What a convolution reads: real = (int8 − zero) × scale, with a zero point for each channel, or one for all. Only
/// the image's are no integers.
pub(super) struct Input {
    pub(super) scale: f32,
    pub(super) zeros: Vec<f64>,
}

impl From<Scale> for Input {
    fn from(map: Scale) -> Self {
        Self { scale: map.scale, zeros: vec![map.zero.into()] }
    }
}

/// What a convolution should write.
pub(super) struct Target {
    /// How far its values reach.
    pub(super) range: Range,
    /// What follows it.
    pub(super) activation: Activation,
    /// Its scale is no smaller.
    pub(super) least: f32,
}

/// A convolution in integers.
pub(super) struct Convolution {
    pub(super) output: Scale,
    pub(super) channels: Vec<Channel>,
    pub(super) taps: Vec<i8>,
}

impl Convolution {
    pub(super) fn new(affine: &Affine, input: &Input, target: Target) -> Self {
        let fan_in = affine.weights.len() / affine.bias.len();
        let rows = affine.weights.chunks_exact(fan_in).zip(&affine.bias);
        let scale = |row: &[f32]| row.iter().fold(0.0, |most: f32, weight| most.max(weight.abs())) / 127.0;
        let steepest = rows.clone().map(|(row, _)| scale(row)).fold(0.0, f32::max);
        let least = target.least.max(input.scale * steepest / LARGEST_QUOTIENT);
        let output = target.range.scale(target.activation, least);
        let floor = LEAST_MULTIPLIER / ONE * output.scale / input.scale;
        let mut convolution = Self { output, channels: vec![], taps: vec![] };
        for (row, &bias) in rows {
            convolution.channel(row, scale(row).max(floor), bias, input);
        }
        convolution
    }

    fn channel(&mut self, row: &[f32], scale: f32, bias: f32, input: &Input) {
        let taps = row.iter().map(|weight| (weight / scale).round().clamp(-127.0, 127.0) as i8);
        let zeros = input.zeros.iter().cycle();
        let zero: f64 = taps.clone().zip(zeros).map(|(tap, zero)| f64::from(tap) * zero).sum();
        let step = f64::from(input.scale) * f64::from(scale);
        let bias = (f64::from(bias) / step).clamp(-BIAS_LIMIT, BIAS_LIMIT) - zero;
        let multiplier = fixed(step / f64::from(self.output.scale), 32);
        self.channels.push(Channel { bias: bias.round() as i32, multiplier });
        self.taps.extend(taps);
    }
}

/// A quotient of scales in units of 2^−`bits`. One too steep for a multiplier, which only a ReLU6 map can ask for, is
/// held at the largest.
pub(super) fn fixed(quotient: f64, bits: i32) -> i32 {
    (quotient * 2.0_f64.powi(bits)).round() as i32
}

/// The smallest scale of an output to which a map of scale `input` can be added, or averaged: with multipliers in
/// units of 2⁻²⁴ the quotient must be below 128.
pub(super) fn least_scale(input: f32) -> f32 {
    input / 127.0
}
