//! From a float net to an integer one. `runtime/NUMERICS.md` derives every formula here.
//!
//! ```text
//!  Subnet ─▶ float run over calibration images ─▶ Range of each map ─▶ Scale of each map ┐
//!     └──────────────── weights and bias of each channel ────────────────────────────────┴▶ Channel, taps
//! ```

mod convolution;
mod ranges;

use anyhow::{Result, ensure};
use runtime::{Activation, Block, Channel, Conv, Layer, Pool, Quant, Step};

use crate::dataset::Images;
use crate::files::Header;
use crate::model::{Compiled, FORMAT, Scale};
use crate::subnet::{self, Affine, Subnet};
use convolution::{Convolution, Input, Target, fixed, least_scale};
use ranges::{Range, ranges};

/// The subnet in int8. The calibration images, of the net's resolution, tell how far each map's values reach.
///
/// # Errors
/// If a layer has no integer kernel, or the images are not what the net reads.
pub fn quantise(subnet: &Subnet, calibration: &Images) -> Result<Compiled> {
    for (layer, _) in &subnet.layers {
        ensure!(layer.is_supported(), "the runtime has no integer kernel for this layer yet: {layer}");
    }
    let image = subnet.layers[0].0.input();
    let fits = (calibration.side, calibration.channels) == (image.height, image.channels);
    ensure!(
        fits,
        "the net reads {image}, the calibration images are {0}x{0}x{1}",
        calibration.side,
        calibration.channels
    );
    ensure!(!calibration.is_empty(), "there are no calibration images");
    let mut ranges = ranges(subnet, calibration)?.into_iter();
    let mut net = Net { map: image_scale(subnet), steps: vec![], outputs: vec![], channels: vec![], taps: vec![] };
    for (i, (layer, parts)) in subnet.layers.iter().enumerate() {
        let mut next = || ranges.next().expect("a range for each map");
        match layer {
            Layer::Conv(conv) if i == 0 => net.stem(layer, conv, subnet, next()),
            Layer::Conv(conv) => net.dense(layer, conv.kernel, conv.activation, &parts[0], next()),
            Layer::Linear(linear) => net.dense(layer, 1, linear.activation, &parts[0], next()),
            Layer::Block(block) => net.block(block, parts, &mut next),
            Layer::Pool(pool) => net.pool(pool, next()),
            Layer::Depthwise(_) => unreachable!("{}", subnet::NO_DEPTHWISE),
        }
    }
    let Net { steps, outputs, channels, taps, .. } = net;
    let header = Header { format: FORMAT.into(), ..subnet.header.clone() };
    Ok(Compiled { header, arch: subnet.arch.clone(), outputs, steps, channels, taps })
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

impl Net {
    /// The first convolution: each channel's mean and deviation go into its weights and bias.
    fn stem(&mut self, layer: &Layer, conv: &Conv, subnet: &Subnet, range: Range) {
        let (affine, normalisation) = (&subnet.layers[0].1[0], &subnet.normalisation);
        let channels = normalisation.mean.len();
        let ratio = |i: usize| normalisation.deviation[0] / normalisation.deviation[i % channels];
        let weights = affine.weights.iter().enumerate().map(|(i, weight)| weight * ratio(i)).collect();
        let affine = Affine { weights, bias: affine.bias.clone() };
        let zeros = normalisation.mean.iter().map(|&mean| f64::from(mean) - 128.0).collect();
        let input = Input { scale: self.map.scale, zeros };
        let output =
            self.matrix(&affine, conv.kernel, &input, Target { range, activation: conv.activation, least: 0.0 });
        self.push(layer, output, 0);
    }

    fn dense(&mut self, layer: &Layer, kernel: u8, activation: Activation, affine: &Affine, range: Range) {
        let output = self.matrix(affine, kernel, &self.map.into(), Target { range, activation, least: 0.0 });
        self.push(layer, output, 0);
    }

    fn block(&mut self, block: &Block, parts: &[Affine], next: &mut impl FnMut() -> Range) {
        let (project, hidden) = parts.split_last().expect("a block has two convolutions or more");
        let (filters, expand) = hidden.split_last().expect("a block has two convolutions or more");
        let mut map = self.map;
        let mut target = || Target { range: next(), activation: block.activation, least: 0.0 };
        for affine in expand {
            map = self.matrix(affine, 1, &map.into(), target());
        }
        map = self.filters(filters, &map.into(), target());
        // The input is added in units of 2⁻²⁴ of the output's scale.
        let least = if block.residual { least_scale(self.map.scale) } else { 0.0 };
        let target = Target { range: next(), activation: Activation::None, least };
        let output = self.matrix(project, 1, &map.into(), target);
        let residual = if block.residual { fixed(f64::from(self.map.scale) / f64::from(output.scale), 24) } else { 0 };
        self.push(&Layer::Block(*block), output, residual);
    }

    fn pool(&mut self, pool: &Pool, range: Range) {
        let pixels = i32::from(pool.input.height) * i32::from(pool.input.width);
        let output = range.scale(Activation::None, least_scale(self.map.scale));
        let quotient = f64::from(self.map.scale) / (f64::from(pixels) * f64::from(output.scale));
        self.channels.push(Channel { bias: -pixels * i32::from(self.map.zero), multiplier: fixed(quotient, 24) });
        self.push(&Layer::Pool(*pool), output, 0);
    }

    /// Adds the weights of a convolution with that kernel, or of a linear layer, and returns the scale of what it
    /// writes.
    fn matrix(&mut self, affine: &Affine, kernel: u8, input: &Input, target: Target) -> Scale {
        let Convolution { output, channels, taps } = Convolution::new(affine, input, target);
        let start = self.taps.len();
        self.taps.resize(start + taps.len(), 0);
        let row = taps.len() / channels.len() / usize::from(kernel);
        runtime::pack(&taps, channels.len(), row, &mut self.taps[start..]);
        self.channels.extend(channels);
        output
    }

    /// The same of a depthwise convolution.
    fn filters(&mut self, affine: &Affine, input: &Input, target: Target) -> Scale {
        let Convolution { output, channels, taps } = Convolution::new(affine, input, target);
        self.channels.extend(channels);
        self.taps.extend(taps.iter().map(|&tap| tap as u8));
        output
    }

    fn push(&mut self, layer: &Layer, output: Scale, residual: i32) {
        let quant = Quant { input_zero: self.map.zero, output_zero: output.zero, residual };
        self.steps.push(Step { layer: *layer, quant });
        self.outputs.push(output);
        self.map = output;
    }
}

#[cfg(test)]
mod tests;
