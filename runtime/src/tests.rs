//! Every layer against its formula in wide integers and in floating point, and every kind of kernels against the
//! plain ones, bit for bit, on any shape, wherever its maps lie, and at the extremes.

#[cfg(ofa_vectors)]
use std::io::Write;
use std::vec::Vec;
use std::{assert_eq, vec};

use proptest::prelude::*;

use crate::dsp::Dsp;
use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool, Shape};
use crate::memory;
use crate::model::{Moment, Net};
use crate::order::pack;
use crate::plan::{Place, Step};
use crate::quant::{Channel, Quant};
use crate::reference::execute;
use crate::scalar::Scalar;
#[cfg(ofa_vectors)]
use crate::simd::Simd;
use crate::stream::{Kernels, run};
use crate::weights::Weights;

/// A layer with all that it computes on.
#[derive(Clone, Debug)]
struct Problem {
    step: Step,
    channels: Vec<Channel>,
    /// Row by row.
    taps: Vec<u8>,
    input: Vec<i8>,
}

impl Problem {
    /// The taps in the order of flash.
    fn packed(&self) -> Vec<u8> {
        let rows: Vec<i8> = self.taps.iter().map(|&tap| tap as i8).collect();
        let mut packed = self.taps.clone();
        let mut matrix = |outputs: u16, from: usize, to: usize| {
            if from < to {
                pack(&rows[from..to], outputs.into(), (to - from) / usize::from(outputs), &mut packed[from..to]);
            }
        };
        match self.step.layer {
            Layer::Conv(conv) => {
                let taps = conv.matrix_taps();
                pack(&rows[..taps], conv.channels.into(), conv.order().row, &mut packed[..taps]);
            }
            Layer::Linear(linear) => matrix(linear.outputs, 0, linear.matrix_taps()),
            Layer::Block(block) => {
                matrix(block.expanded, 0, block.expand_taps());
                let project = rows.len() - block.project_taps();
                let vector = usize::from(block.squeeze) * usize::from(block.expanded);
                if block.squeeze > 0 {
                    matrix(block.squeeze, project - 2 * vector, project - vector);
                    matrix(block.expanded, project - vector, project);
                }
                matrix(block.channels, project, rows.len());
            }
            Layer::Pool(_) | Layer::Depthwise(_) => {}
        }
        packed
    }

    /// By the plain kernels.
    fn output(&self) -> Vec<i8> {
        let layer = &self.step.layer;
        let mut hidden = vec![99; layer.hidden_bytes()];
        let mut output = vec![99; layer.output().len()];
        let weights = Weights { channels: &self.channels, taps: &self.packed() };
        execute(&self.step, weights, &self.input, &mut hidden, &mut output);
        output
    }

    /// In an arena of exactly the planned size, whose rest is `poison`, the input at its start or as far on as the
    /// output needs. Panics if a byte changed that belongs to neither input, output nor scratch.
    fn streamed<K: Kernels>(&self, ascending: bool, poison: i8) -> Vec<i8> {
        let layer = &self.step.layer;
        let (input, output) = (layer.input().len(), layer.output().len());
        let place = match ascending {
            false => Place::new(&[self.step], 0, 0),
            true => Place::new(&[self.step], 0, layer.lead_ascending().next_multiple_of(4) + 4),
        };
        let mut arena = vec![u32::from_le_bytes([poison as u8; 4]); (place.scratch + layer.scratch_bytes()) / 4];
        memory::bytes(&mut arena)[place.input..][..input].copy_from_slice(&self.input);
        let before = memory::bytes(&mut arena).to_vec();
        let weights = Weights { channels: &self.channels, taps: &self.packed() };
        run::<K>(&self.step, weights, &place, &mut arena);
        let after = memory::bytes(&mut arena);
        let owned = |i: usize| {
            (place.input..place.input + input).contains(&i)
                || (place.output..place.output + output).contains(&i)
                || i >= place.scratch
        };
        for i in 0..after.len() {
            assert!(owned(i) || before[i] == after[i], "{layer} wrote byte {i}, which is not its own");
        }
        after[place.output..][..output].to_vec()
    }

    fn check(&self) {
        let expected = self.output();
        #[cfg(ofa_vectors)]
        say_what_is_skipped();
        for ascending in [false, true] {
            for poison in [0, -86] {
                compare("scalar", ascending, &self.streamed::<Scalar>(ascending, poison), &expected);
                compare("dsp", ascending, &self.streamed::<Dsp>(ascending, poison), &expected);
                #[cfg(ofa_vectors)]
                compare("simd", ascending, &self.streamed::<Simd>(ascending, poison), &expected);
            }
        }
    }

    fn formula(&self) -> Vec<i8> {
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

fn compare(kernels: &str, ascending: bool, output: &[i8], expected: &[i8]) {
    let differs = (0..expected.len()).find(|&i| output[i] != expected[i]);
    assert_eq!(differs, None, "the first value in which {kernels} differs, ascending: {ascending}");
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

#[cfg(ofa_vectors)]
fn say_what_is_skipped() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        if !Simd::is_here() {
            // Past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED the kernels of the host's vectors: this processor has none");
        }
    });
}

/// Any byte, with the ends more often than by chance.
fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let some = prop::collection::vec(any::<u8>(), len);
    let ends = prop::collection::vec(prop::sample::select(vec![0x80_u8, 0x7F]), len);
    let end = prop::sample::select(vec![0x80_u8, 0x7F, 0]).prop_map(move |byte| vec![byte; len]);
    prop_oneof![4 => some, 1 => ends, 1 => end]
}

fn channels(len: usize) -> impl Strategy<Value = Vec<Channel>> {
    let usual = (-(1 << 12)..1 << 12, 1 << 20..1 << 24);
    let extreme =
        (prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>()], prop_oneof![Just(i32::MAX), Just(0), any::<i32>()]);
    let channel = prop_oneof![8 => usual, 1 => extreme].prop_map(|(bias, multiplier)| Channel { bias, multiplier });
    prop::collection::vec(channel, len)
}

fn quant(layer: Layer) -> impl Strategy<Value = Quant> {
    let residual = matches!(layer, Layer::Block(Block { residual: true, .. }));
    let weight = prop_oneof![4 => 0..1 << 25, 1 => Just(i32::MAX), 1 => Just(i32::MIN)];
    (any::<i8>(), any::<i8>(), any::<[i8; 2]>(), weight).prop_map(
        move |(input_zero, output_zero, hidden_zeros, weight)| Quant {
            input_zero,
            output_zero,
            hidden_zeros,
            residual: if residual { weight } else { 0 },
        },
    )
}

fn problem(layer: Layer) -> impl Strategy<Value = Problem> {
    assert_eq!(layer.check(), Ok(()), "{layer}");
    // A mean of values below 2⁸ has a multiplier of at most 2²⁴ / pixels; what is far above wraps.
    let mean = match layer {
        Layer::Pool(_) => Some(0),
        Layer::Block(block) if block.squeeze > 0 => {
            Some(usize::from(block.expanded) * (1 + usize::from(block.expands())))
        }
        _ => None,
    };
    let channels = channels(layer.channels()).prop_map(move |mut channels| {
        if let Some(mean) = mean {
            channels[mean].multiplier &= (1 << 23) - 1;
        }
        channels
    });
    let parts = (quant(layer), channels, bytes(layer.taps()), bytes(layer.input().len()));
    parts.prop_map(move |(quant, channels, taps, input): (_, Vec<_>, _, Vec<u8>)| Problem {
        step: Step { layer, quant },
        channels,
        taps,
        input: input.into_iter().map(|byte| byte as i8).collect(),
    })
}

fn shapes(channels: std::ops::Range<u16>) -> impl Strategy<Value = Shape> {
    (1_u16..9, 1_u16..9, channels).prop_map(|(height, width, channels)| Shape::new(height, width, channels))
}

fn kernels() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![1_u8, 3, 5, 7, 15])
}

fn activations() -> impl Strategy<Value = Activation> {
    prop::sample::select(vec![Activation::None, Activation::Relu, Activation::Relu6, Activation::HSwish])
}

fn convs() -> impl Strategy<Value = Layer> {
    (shapes(1..7), 1_u16..9, kernels(), 1_u8..3, activations()).prop_map(
        |(input, channels, kernel, stride, activation)| {
            Layer::Conv(Conv { input, channels, kernel, stride, activation })
        },
    )
}

fn blocks() -> impl Strategy<Value = Layer> {
    let expanded = prop_oneof![Just(0_u16), 1_u16..14, Just(8), Just(12)];
    let squeeze = prop_oneof![3 => Just(0_u16), 1 => 1_u16..9];
    let all = (shapes(1..9), expanded, kernels(), 1_u8..3, squeeze, 1_u16..9, any::<bool>(), activations());
    all.prop_map(|(input, expanded, kernel, stride, squeeze, channels, residual, activation)| {
        let residual = residual && stride == 1;
        Layer::Block(Block {
            input,
            // 0 stands for a block that doesn't expand.
            expanded: if expanded == 0 { input.channels } else { expanded },
            kernel,
            stride,
            squeeze,
            channels: if residual { input.channels } else { channels },
            residual,
            activation,
        })
    })
}

fn depthwises() -> impl Strategy<Value = Layer> {
    (shapes(1..14), kernels(), 1_u8..3, activations()).prop_map(|(input, kernel, stride, activation)| {
        Layer::Depthwise(Depthwise { input, kernel, stride, activation })
    })
}

fn pools() -> impl Strategy<Value = Layer> {
    shapes(1..20).prop_map(|input| Layer::Pool(Pool { input }))
}

fn linears() -> impl Strategy<Value = Layer> {
    (1_u16..70, 1_u16..20, activations())
        .prop_map(|(inputs, outputs, activation)| Layer::Linear(Linear { inputs, outputs, activation }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2048)))]

    #[test]
    fn layers_are_their_formulas(problem in layers().prop_flat_map(problem)) {
        prop_assert_eq!(problem.output(), problem.formula());
    }

    #[test]
    fn streamed_layers_are_the_plain_ones(problem in layers().prop_flat_map(problem)) {
        problem.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn an_observed_net_computes_the_same(sample in nets()) {
        let net = sample.net();
        let mut arena = vec![0; net.arena_bytes() / 4];
        memory::bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
        let scores = net.run(&mut arena).to_vec();
        memory::bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
        let mut seen = vec![];
        let observed = net.run_with(&mut arena, |moment, i, layer| seen.push((moment, i, *layer))).to_vec();
        prop_assert_eq!(observed, scores);
        let layers = net.steps().iter().map(|step| step.layer).enumerate();
        let expected = layers.flat_map(|(i, layer)| [(Moment::Before, i, layer), (Moment::After, i, layer)]);
        prop_assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(512)))]

    #[test]
    fn whole_nets_are_their_layers(problems in chains().prop_flat_map(|net| net.into_iter().map(problem).collect::<Vec<_>>())) {
        check_net(&problems);
    }
}

/// `OFA_CASES`, or the usual number.
pub(crate) fn cases(usual: u32) -> u32 {
    match std::env::var("OFA_CASES") {
        Ok(cases) => cases.parse().expect("OFA_CASES is a number"),
        Err(_) => usual,
    }
}

/// Layers of which each reads what the one before it writes.
fn chains() -> impl Strategy<Value = Vec<Layer>> {
    let part = (0..5_u8, kernels(), 1_u8..3, 1_u16..20, prop_oneof![Just(0_u16), 1_u16..24]);
    (shapes(1..9), prop::collection::vec(part, 3..9), any::<bool>()).prop_map(|(mut input, parts, classifies)| {
        let mut layers = vec![];
        for (kind, kernel, stride, channels, expanded) in parts {
            let residual = kind == 0;
            let layer = match kind {
                0..3 => Layer::Block(Block {
                    input,
                    expanded: if expanded == 0 { input.channels } else { expanded },
                    kernel,
                    stride: if residual { 1 } else { stride },
                    squeeze: 0,
                    channels: if residual { input.channels } else { channels },
                    residual,
                    activation: Activation::Relu6,
                }),
                3 => Layer::Conv(Conv { input, channels, kernel, stride, activation: Activation::Relu }),
                _ => Layer::Depthwise(Depthwise { input, kernel, stride, activation: Activation::None }),
            };
            input = layer.output();
            layers.push(layer);
        }
        if classifies {
            layers.push(Layer::Pool(Pool { input }));
            let activation = Activation::None;
            layers.push(Layer::Linear(Linear { inputs: input.channels, outputs: 10, activation }));
        }
        layers
    })
}

/// Every kind of kernels, in an arena of exactly the planned size, against one layer after the other.
fn check_net(problems: &[Problem]) {
    let steps: Vec<Step> = problems.iter().map(|problem| problem.step).collect();
    let channels: Vec<Channel> = problems.iter().flat_map(|problem| problem.channels.clone()).collect();
    let taps: Vec<u8> = problems.iter().flat_map(Problem::packed).collect();
    let net = Net::new(&steps, &channels, &taps).expect("each layer reads what the one before it writes");
    let image = &problems[0].input;
    let expected = problems.iter().fold(image.clone(), |input, problem| Problem { input, ..problem.clone() }.output());
    for poison in [0, -86] {
        compare("scalar", false, &whole::<Scalar>(&net, image, poison), &expected);
        compare("dsp", false, &whole::<Dsp>(&net, image, poison), &expected);
        #[cfg(ofa_vectors)]
        compare("simd", false, &whole::<Simd>(&net, image, poison), &expected);
    }
}

fn whole<K: Kernels>(net: &Net<'_>, image: &[i8], poison: i8) -> Vec<i8> {
    let mut arena = vec![u32::from_le_bytes([poison as u8; 4]); net.arena_bytes() / 4];
    memory::bytes(&mut arena)[..image.len()].copy_from_slice(image);
    net.run_on::<K>(&mut arena).to_vec()
}

#[test]
fn an_arena_that_is_too_short_gives_no_scores() {
    let steps = [Step {
        layer: Layer::Pool(Pool { input: Shape::new(2, 2, 4) }),
        quant: Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 },
    }];
    let channels = [Channel { bias: 0, multiplier: 1 << 22 }];
    let net = Net::new(&steps, &channels, &[]).expect("a pooling layer is a net");
    let mut arena = vec![0; net.arena_bytes() / 4];
    assert_eq!(net.run(&mut arena).len(), 4);
    arena.pop();
    assert!(net.run(&mut arena).is_empty());
    assert!(net.run_with(&mut arena, |_, _, _| panic!("nothing runs")).is_empty());
}

#[test]
fn the_widest_row_has_windows_to_its_end() {
    let layer = Layer::Depthwise(Depthwise {
        input: Shape::new(1, u16::MAX, 1),
        kernel: 15,
        stride: 1,
        activation: Activation::None,
    });
    let problem = Problem {
        step: Step { layer, quant: Quant { input_zero: 3, output_zero: -5, residual: 0, hidden_zeros: [0; 2] } },
        channels: vec![Channel { bias: 100, multiplier: 1 << 20 }],
        taps: (0..layer.taps()).map(|i| (i * 37) as u8).collect(),
        input: (0..layer.input().len()).map(|i| (i * 11) as i8).collect(),
    };
    assert!(problem.output() == problem.formula());
    problem.check();
}

fn layers() -> impl Strategy<Value = Layer> {
    prop_oneof![2 => convs(), 3 => blocks(), 2 => depthwises(), 1 => pools(), 1 => linears()]
}

/// A whole net with any weights, and an image.
#[derive(Clone, Debug)]
pub(crate) struct AnyNet {
    steps: Vec<Step>,
    channels: Vec<Channel>,
    taps: Vec<u8>,
    pub image: Vec<i8>,
}

impl AnyNet {
    pub fn net(&self) -> Net<'_> {
        Net::new(&self.steps, &self.channels, &self.taps).unwrap()
    }
}

/// A dense convolution of any size, then up to three blocks, pooling and a classifier.
pub(crate) fn nets() -> impl Strategy<Value = AnyNet> {
    (convs(), prop::collection::vec((1_u16..14, kernels(), 1_u8..3, 1_u16..9, any::<bool>()), 0..4)).prop_flat_map(
        |(stem, blocks)| {
            let mut layers = vec![stem];
            let mut input = stem.output();
            for (expanded, kernel, stride, channels, residual) in blocks {
                let residual = residual && stride == 1;
                let channels = if residual { input.channels } else { channels };
                let activation = Activation::Relu6;
                let block = Block { input, expanded, kernel, stride, squeeze: 0, channels, residual, activation };
                input = block.output();
                layers.push(Layer::Block(block));
            }
            layers.push(Layer::Pool(Pool { input }));
            let linear = Linear { inputs: input.channels, outputs: 5, activation: Activation::None };
            layers.push(Layer::Linear(linear));
            let image = bytes(stem.input().len());
            (layers.into_iter().map(problem).collect::<Vec<_>>(), image).prop_map(|(problems, image)| AnyNet {
                steps: problems.iter().map(|problem| problem.step).collect(),
                channels: problems.iter().flat_map(|problem| problem.channels.clone()).collect(),
                taps: problems.iter().flat_map(Problem::packed).collect(),
                image: image.into_iter().map(|byte| byte as i8).collect(),
            })
        },
    )
}
