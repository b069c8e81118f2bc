//! Layers and nets of any size with any content.

use std::vec::Vec;
use std::{assert_eq, vec};

use proptest::prelude::*;

use super::Problem;
use crate::join::Joined;
use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool, Shape};
use crate::model::Net;
use crate::plan::Step;
use crate::quant::{Channel, Quant};

/// Maps have fewer rows and columns than this, and chains fewer layers. Miri takes a minute for what a processor does in
/// a moment.
const FEW: u16 = if cfg!(miri) { 5 } else { 9 };

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

pub(super) fn problem(layer: Layer) -> impl Strategy<Value = Problem> {
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
    (1..FEW, 1..FEW, channels).prop_map(|(height, width, channels)| Shape::new(height, width, channels))
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

/// Blocks that hold a ring, on maps that are wide too.
pub(crate) fn rings() -> impl Strategy<Value = Layer> {
    let widths = 1..if cfg!(miri) { 6_u16 } else { 41 };
    let activations = prop::sample::select(vec![Activation::None, Activation::Relu, Activation::Relu6]);
    (blocks(), widths, activations).prop_map(|(layer, width, activation)| {
        let Layer::Block(block) = layer else { unreachable!("it is a block") };
        Layer::Block(Block { input: Shape { width, ..block.input }, squeeze: 0, activation, ..block })
    })
}

/// The same, all of which expand.
pub(super) fn expanding() -> impl Strategy<Value = Layer> {
    (rings(), 1_u16..40).prop_map(|(layer, more)| {
        let Layer::Block(block) = layer else { unreachable!("it is a block") };
        Layer::Block(Block { expanded: block.input.channels + more, ..block })
    })
}

/// Blocks of the space `mcu` whose ring alone is about half of what they take layer by layer.
pub(super) fn scarce() -> impl Strategy<Value = Layer> {
    let block = |size, depth, expanded, kernel, stride, channels| {
        let (input, activation) = (Shape::new(size, size, depth), Activation::Relu6);
        Layer::Block(Block { input, expanded, kernel, stride, squeeze: 0, channels, residual: false, activation })
    };
    prop::sample::select(vec![
        block(24, 8, 24, 7, 2, 16),
        block(24, 8, 32, 7, 2, 16),
        block(12, 16, 96, 5, 2, 24),
        block(12, 16, 96, 7, 2, 24),
    ])
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

pub(crate) fn layers() -> impl Strategy<Value = Layer> {
    prop_oneof![2 => convs(), 3 => blocks(), 2 => depthwises(), 1 => pools(), 1 => linears()]
}

/// Layers of which each reads what the one before it writes.
pub(super) fn chains() -> impl Strategy<Value = Vec<Layer>> {
    let part = (0..5_u8, kernels(), 1_u8..3, 1_u16..20, prop_oneof![Just(0_u16), 1_u16..24]);
    (shapes(1..9), prop::collection::vec(part, 3..usize::from(FEW)), any::<bool>()).prop_map(
        |(mut input, parts, classifies)| {
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
        },
    )
}

/// A stem and a block that takes its rows as they are made. Often the map between the two is their largest.
pub(super) fn openings() -> impl Strategy<Value = [Layer; 2]> {
    // Some rows are so long that their windows are gathered in parts.
    let widths = prop_oneof![4 => 1..2 * FEW - 2, 1 => 17..6 * FEW];
    let image = (1..2 * FEW - 2, widths, 1_u16..7).prop_map(|(height, width, depth)| Shape::new(height, width, depth));
    let channels = prop_oneof![1_u16..9, 8_u16..25];
    let stem = (image, channels, prop::sample::select(vec![3_u8, 3, 5, 7]), 1_u8..3, activations());
    let expanded = prop_oneof![3 => Just(0_u16), 1 => 1_u16..14, 1 => Just(8), 1 => Just(12)];
    let activation = prop::sample::select(vec![Activation::None, Activation::Relu6]);
    let block = (expanded, kernels(), 1_u8..3, prop_oneof![1_u16..9, 1_u16..3], activation);
    (stem, block).prop_filter_map("a block that takes rows", |(stem, block)| {
        let (input, channels, kernel, stride, activation) = stem;
        let conv = Conv { input, channels, kernel, stride, activation };
        let (expanded, kernel, stride, channels, activation) = block;
        let input = conv.output();
        let expanded = if expanded == 0 { input.channels } else { expanded };
        let block = Block { input, expanded, kernel, stride, squeeze: 0, channels, residual: false, activation };
        let quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 };
        let layers = [Layer::Conv(conv), Layer::Block(block)];
        Joined::of(&layers.map(|layer| Step { layer, quant })).map(|_| layers)
    })
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
    /// Of layers, each of which reads what the one before it writes.
    pub(super) fn new(problems: &[Problem], image: Vec<i8>) -> Self {
        Self {
            steps: problems.iter().map(|problem| problem.step).collect(),
            channels: problems.iter().flat_map(|problem| problem.channels.clone()).collect(),
            taps: problems.iter().flat_map(Problem::packed).collect(),
            image,
        }
    }

    pub fn net(&self) -> Net<'_> {
        Net::new(&self.steps, &self.channels, &self.taps).unwrap()
    }
}

/// A dense convolution of any size, or a stem and a block that may run as one; then up to three blocks, pooling and a
/// classifier.
pub(crate) fn nets() -> impl Strategy<Value = AnyNet> {
    net_problems().prop_map(|problems| AnyNet::new(&problems, problems[0].input.clone()))
}

pub(super) fn net_problems() -> impl Strategy<Value = Vec<Problem>> {
    let first = prop_oneof![convs().prop_map(|stem| vec![stem]), openings().prop_map(Vec::from)];
    (first, prop::collection::vec((1_u16..14, kernels(), 1_u8..3, 1_u16..9, any::<bool>()), 0..4)).prop_flat_map(
        |(mut layers, blocks)| {
            let mut input = layers[layers.len() - 1].output();
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
            layers.into_iter().map(problem).collect::<Vec<_>>()
        },
    )
}
