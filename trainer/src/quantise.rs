//! From a float net to an integer one. `runtime/NUMERICS.md` derives every formula here.
//!
//! ```text
//!  Subnet ─▶ float run over calibration images ─▶ Range of each map ─▶ Scale of each map ┐
//!     └──────────────── weights and bias of each channel ────────────────────────────────┴▶ Channel, taps ─▶ corrected biases
//! ```

mod convolution;
mod correction;
mod ranges;
mod squeeze;
mod swish;

use anyhow::{Result, ensure};
use runtime::{Activation, Block, Channel, Conv, HIDDEN_ZERO, Layer, Pool, Quant, Step};

use crate::dataset::Images;
use crate::files::Header;
use crate::model::{Compiled, FORMAT, Scale};
use crate::subnet::{self, Affine, Subnet};
use convolution::{Convolution, Input, Target, fixed, least_scale};
use ranges::{Range, ranges};

pub use ranges::Reach;

/// What is done so that int8 loses little.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Method {
    /// How far each map's scale reaches.
    pub reach: Reach,
    /// Whether channels get back the means that they have in float.
    pub correct_biases: bool,
}

impl Default for Method {
    fn default() -> Self {
        Self { reach: Reach::default(), correct_biases: true }
    }
}

/// The subnet in int8. The calibration images, of the net's resolution, tell how far each map's values reach.
///
/// # Errors
/// If the images are not what the net reads, or a map overflows in float.
pub(crate) fn quantise(subnet: &Subnet, calibration: &Images, method: Method) -> Result<Compiled> {
    let image = subnet.layers[0].0.input();
    let fits = (calibration.side, calibration.channels) == (image.height, image.channels);
    ensure!(
        fits,
        "the net reads {image}, the calibration images are {0}x{0}x{1}",
        calibration.side,
        calibration.channels
    );
    ensure!(!calibration.is_empty(), "there are no calibration images");
    let mut ranges = ranges(subnet, calibration, method.reach)?.into_iter();
    let mut net = Net { map: image_scale(subnet), steps: vec![], outputs: vec![], channels: vec![], taps: vec![] };
    for (i, (layer, parts)) in subnet.layers.iter().enumerate() {
        let mut next = || ranges.next().expect("a range for each map");
        match layer {
            Layer::Conv(conv) if i == 0 => net.stem(layer, conv, subnet, &mut next),
            Layer::Conv(conv) => net.dense(layer, conv.kernel, conv.activation, &parts[0], &mut next),
            Layer::Linear(linear) => net.dense(layer, 1, linear.activation, &parts[0], &mut next),
            Layer::Block(block) => net.block(block, parts, &mut next),
            Layer::Pool(pool) => net.pool(pool, next()),
            Layer::Depthwise(_) => unreachable!("{}", subnet::NO_DEPTHWISE),
        }
    }
    let Net { steps, outputs, channels, taps, .. } = net;
    let header = Header { format: FORMAT.into(), ..subnet.header.clone() };
    let mut compiled = Compiled { header, arch: subnet.arch.clone(), outputs, steps, channels, taps };
    if method.correct_biases {
        correction::correct(&mut compiled, subnet, calibration)?;
    }
    Ok(compiled)
}

/// What a pixel less 128 stands for, in units of the first channel's deviation; its mean is no whole number of
/// pixels, so the zero point here is the padding's alone.
fn image_scale(subnet: &Subnet) -> Scale {
    let normalisation = &subnet.normalisation;
    let mean = normalisation.mean.iter().sum::<f32>() / normalisation.mean.len() as f32;
    Scale { scale: 1.0 / normalisation.deviation[0], zero: (mean - 128.0).round() as i8 }
}

/// The integer net as far as it goes.
struct Net {
    /// Of the map that the next layer reads.
    map: Scale,
    steps: Vec<Step>,
    outputs: Vec<Scale>,
    channels: Vec<Channel>,
    taps: Vec<u8>,
}

/// In which taps lie.
#[derive(Clone, Copy)]
enum Order {
    /// By pairs of outputs, of windows with a kernel of that side.
    Matrix { kernel: u8 },
    /// Channel by channel.
    Filters,
}

impl Order {
    const POINTWISE: Self = Self::Matrix { kernel: 1 };
}

impl Net {
    /// The first convolution: each channel's mean and deviation go into its weights and bias.
    fn stem(&mut self, layer: &Layer, conv: &Conv, subnet: &Subnet, next: &mut impl FnMut() -> Range) {
        let (affine, normalisation) = (&subnet.layers[0].1[0], &subnet.normalisation);
        let channels = normalisation.mean.len();
        let ratio = |i: usize| normalisation.deviation[0] / normalisation.deviation[i % channels];
        let weights = affine.weights.iter().enumerate().map(|(i, weight)| weight * ratio(i)).collect();
        let affine = Affine { weights, bias: affine.bias.clone() };
        let zeros = normalisation.mean.iter().map(|&mean| f64::from(mean) - 128.0).collect();
        let input = Input { scale: self.map.scale, zeros };
        let order = Order::Matrix { kernel: conv.kernel };
        let output = self.convolution(order, &affine, &input, conv.activation, next);
        self.push(layer, output, [HIDDEN_ZERO; 2], 0);
    }

    fn dense(
        &mut self,
        layer: &Layer,
        kernel: u8,
        activation: Activation,
        affine: &Affine,
        next: &mut impl FnMut() -> Range,
    ) {
        let output = self.convolution(Order::Matrix { kernel }, affine, &self.map.into(), activation, next);
        self.push(layer, output, [HIDDEN_ZERO; 2], 0);
    }

    fn block(&mut self, block: &Block, parts: &[Affine], next: &mut impl FnMut() -> Range) {
        let (project, hidden) = parts.split_last().expect("a block has two convolutions or more");
        let (hidden, attention) = hidden.split_at(1 + usize::from(block.expands()));
        let (filters, expand) = hidden.split_last().expect("a block has two convolutions or more");
        let mut map = self.map;
        let mut zeros = [HIDDEN_ZERO; 2];
        for affine in expand {
            map = self.convolution(Order::POINTWISE, affine, &map.into(), block.activation, next);
            zeros[0] = map.zero;
        }
        map = self.convolution(Order::Filters, filters, &map.into(), block.activation, next);
        zeros[1] = map.zero;
        if let [squeeze, excite] = attention {
            map = self.attention(block, [squeeze, excite], map, next);
        }
        // The input is added in units of 2⁻²⁴ of the output's scale.
        let least = if block.residual { least_scale(self.map.scale) } else { 0.0 };
        let target = Target { range: next(), activation: Activation::None, least };
        let output = self.add(Order::POINTWISE, project, &map.into(), target);
        let residual = if block.residual { fixed(f64::from(self.map.scale) / f64::from(output.scale), 24) } else { 0 };
        self.push(&Layer::Block(*block), output, zeros, residual);
    }

    fn pool(&mut self, pool: &Pool, range: Range) {
        let pixels = i32::from(pool.input.height) * i32::from(pool.input.width);
        let output = range.scale(Activation::None, least_scale(self.map.scale));
        let quotient = f64::from(self.map.scale) / (f64::from(pixels) * f64::from(output.scale));
        self.channels.push(Channel { bias: -pixels * i32::from(self.map.zero), multiplier: fixed(quotient, 24) });
        self.push(&Layer::Pool(*pool), output, [HIDDEN_ZERO; 2], 0);
    }

    /// Adds a convolution with what follows it, and returns the scale of what is left then.
    fn convolution(
        &mut self,
        order: Order,
        affine: &Affine,
        input: &Input,
        activation: Activation,
        next: &mut impl FnMut() -> Range,
    ) -> Scale {
        if activation != Activation::HSwish {
            return self.add(order, affine, input, Target { range: next(), activation, least: 0.0 });
        }
        let sums = next();
        let above = Range { low: 0.0, high: sums.high - sums.low };
        let target = Target { range: above, activation: Activation::Relu, least: 0.0 };
        let Scale { scale, .. } = self.add(order, &affine.raised(-sums.low), input, target);
        let output = next().scale(activation, 0.0);
        self.taps.extend(swish::table(sums.low, scale, output).map(|value| value as u8));
        output
    }

    /// Adds weights, and returns the scale of the sums that they make.
    fn add(&mut self, order: Order, affine: &Affine, input: &Input, target: Target) -> Scale {
        let Convolution { output, channels, taps } = Convolution::new(affine, input, target);
        let start = self.taps.len();
        match order {
            Order::Filters => self.taps.extend(taps.iter().map(|&tap| tap as u8)),
            Order::Matrix { kernel } => {
                self.taps.resize(start + taps.len(), 0);
                let row = taps.len() / channels.len() / usize::from(kernel);
                runtime::pack(&taps, channels.len(), row, &mut self.taps[start..]);
            }
        }
        self.channels.extend(channels);
        output
    }

    fn push(&mut self, layer: &Layer, output: Scale, hidden_zeros: [i8; 2], residual: i32) {
        let quant = Quant { input_zero: self.map.zero, output_zero: output.zero, hidden_zeros, residual };
        self.steps.push(Step { layer: *layer, quant });
        self.outputs.push(output);
        self.map = output;
    }
}

#[cfg(test)]
mod tests;
