//! One convolution's weights, bias and output scale in integers.

use runtime::{Activation, Channel};

use super::ranges::Range;
use crate::model::Scale;
use crate::subnet::Affine;

/// How far a bias may be corrected.
pub(super) const CORRECTION_LIMIT: f64 = (1 << 26) as f64;
/// Largest magnitude of a bias before it is corrected and the input's zero point is folded in: with 2¹⁵ products the
/// accumulator then stays below 2³¹.
const BIAS_LIMIT: f64 = (1 << 30) as f64 - CORRECTION_LIMIT;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use runtime::{Layer, Linear, Quant, Step, Weights, execute};

    use super::*;

    /// A linear layer with what it reads, drawn by a seed.
    struct Problem {
        affine: Affine,
        input: Scale,
        values: Vec<i8>,
        target: Target,
    }

    impl Problem {
        fn new(fan_in: usize, weights: f32, bias: f32, reach: f32, activation: Activation, seed: u64) -> Self {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let channels = 5;
            // Channels of very different magnitude, one of them dead.
            let weight = |i: usize| [1.0, 0.1, 1e-5, 0.0, 0.5][i / fan_in] * weights * rng.random_range(-1.0..1.0_f32);
            let weights = (0..channels * fan_in).map(weight).collect();
            let biases = (0..channels).map(|_| bias * rng.random_range(-1.0..1.0)).collect();
            let low = if activation == Activation::None { -reach * rng.random_range(0.0..1.0_f32) } else { 0.0 };
            Self {
                affine: Affine { weights, bias: biases },
                input: Scale { scale: rng.random_range(1e-3..0.1), zero: rng.random() },
                values: (0..fan_in).map(|_| rng.random()).collect(),
                target: Target { range: Range { low, high: reach }, activation, least: 0.0 },
            }
        }

        fn real_inputs(&self) -> impl Iterator<Item = f64> {
            let Scale { scale, zero } = self.input;
            self.values.iter().map(move |&value| f64::from(i32::from(value) - i32::from(zero)) * f64::from(scale))
        }

        /// The kernel's outputs, each with the exact output and the error that NUMERICS.md allows, in steps.
        fn outputs(self) -> Vec<(i8, f64, f64)> {
            let real: Vec<f64> = self.real_inputs().collect();
            let Self { affine, input, values, target } = self;
            let (fan_in, activation) = (values.len(), target.activation);
            let Convolution { output, channels, taps } = Convolution::new(&affine, &input.into(), target);
            let layer = Linear { inputs: fan_in as u16, outputs: channels.len() as u16, activation };
            let quant = Quant { input_zero: input.zero, output_zero: output.zero, hidden_zeros: [0; 2], residual: 0 };
            let mut packed = vec![0; taps.len()];
            runtime::pack(&taps, channels.len(), fan_in, &mut packed);
            let weights = Weights { channels: &channels, taps: &packed };
            let mut integers = vec![0; channels.len()];
            execute(&Step { layer: Layer::Linear(layer), quant }, weights, &values, &mut [], &mut integers);
            let expect = |(c, integer): (usize, i8)| {
                let row = &affine.weights[c * fan_in..][..fan_in];
                let sum: f64 = row.iter().zip(&real).map(|(weight, real)| f64::from(*weight) * real).sum();
                let (zero, scale) = (f64::from(output.zero), f64::from(output.scale));
                let multiplier = f64::from(channels[c].multiplier) / 4_294_967_296.0;
                let magnitude: f64 = real.iter().map(|real| real.abs() / f64::from(input.scale)).sum();
                let allowed = 0.5 + 1.0 / 128.0 + multiplier / 2.0 + magnitude * multiplier / 2.0;
                (integer, zero + (sum + f64::from(affine.bias[c])) / scale, allowed)
            };
            integers.into_iter().enumerate().map(expect).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        /// Weights, biases and ranges of any magnitude; biases far outside the range, so that outputs are clamped.
        #[test]
        fn the_error_is_within_the_documented_bound(
            fan_in in 1_usize..200,
            magnitudes in prop::array::uniform3(-4_i32..4),
            activation in prop::sample::select(vec![Activation::None, Activation::Relu]),
            seed: u64,
        ) {
            let [weights, bias, reach] = magnitudes.map(|exponent| 10_f32.powi(exponent));
            for (integer, exact, allowed) in Problem::new(fan_in, weights, bias, reach, activation, seed).outputs() {
                let exact = exact.clamp(-128.0, 127.0);
                let error = (f64::from(integer) - exact).abs();
                prop_assert!(error <= allowed * 1.0001, "{integer} for {exact}: more than {allowed}");
            }
        }

        #[test]
        fn multipliers_are_positive_and_fit(weights in -6_i32..6, reach in -6_i32..6, seed: u64) {
            let [weights, reach] = [weights, reach].map(|exponent| 10_f32.powi(exponent));
            for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
                let Problem { affine, input, target, .. } = Problem::new(9, weights, 1.0, reach, activation, seed);
                for channel in Convolution::new(&affine, &input.into(), target).channels {
                    prop_assert!(channel.multiplier >= 1 << 14);
                }
            }
        }
    }

    /// Weights so steep that one step of the input spans the whole output: zero and six stay where they are.
    #[test]
    fn a_relu6_is_clamped_at_six_even_where_its_multiplier_is_held() {
        let affine = Affine { weights: vec![1e4], bias: vec![0.0] };
        let target = Target { range: Range { low: 0.0, high: 6.0 }, activation: Activation::Relu6, least: 0.0 };
        let input = Scale { scale: 0.02, zero: 0 };
        let Convolution { output, channels, taps } = Convolution::new(&affine, &input.into(), target);
        assert_eq!((output, channels[0].multiplier), (Scale { scale: 6.0 / 255.0, zero: -128 }, i32::MAX));
        let out = |value: i32| runtime::narrow(i64::from(value * i32::from(taps[0])) * i64::from(i32::MAX), -128);
        assert_eq!([out(-1), out(0), out(5)], [-128, -128, 127]);
    }

    #[test]
    fn an_image_of_fractional_mean_is_folded_exactly() {
        let affine = Affine { weights: vec![1.0, -0.5], bias: vec![3.0] };
        let input = Input { scale: 0.01, zeros: vec![-40.3, 7.9] };
        let target = Target { range: Range { low: -4.0, high: 4.0 }, activation: Activation::None, least: 0.0 };
        let Convolution { channels, taps, .. } = Convolution::new(&affine, &input, target);
        assert_eq!(taps, [127, -64]);
        let exact = 3.0 / (0.01 / 127.0) - (127.0 * -40.3 + -64.0 * 7.9);
        assert!((f64::from(channels[0].bias) - exact).abs() <= 0.51, "{} {exact}", channels[0].bias);
    }
}
