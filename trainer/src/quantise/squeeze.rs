//! Squeeze-and-excite in integers: the mean's bias and multiplier, two matrices, and the factor of the product.

use runtime::{Activation, Block, Channel, HIDDEN_ZERO};

use super::convolution::{Input, Target, fixed, least_scale};
use super::ranges::Range;
use super::{Net, Scale};
use crate::subnet::Affine;

/// The hard sigmoid is min(max(x + 3, 0), 6) / 6.
const SHIFT: f32 = 3.0;
const SIX: Range = Range { low: 0.0, high: 6.0 };

impl Net {
    /// Adds squeeze and excite of the filtered `map`, and returns the scale of the map times its factors.
    pub(super) fn attention(
        &mut self,
        block: &Block,
        [squeeze, excite]: [&Affine; 2],
        map: Scale,
        next: &mut impl FnMut() -> Range,
    ) -> Scale {
        let pixels = block.depthwise_map().len() / usize::from(block.expanded);
        let (mean, means) = mean(map, next(), pixels);
        let squeezed = Target { range: next(), activation: Activation::Relu, least: 0.0 };
        let scaled = scaled(map, next());
        let multiplier = fixed(f64::from(map.scale) / (255.0 * f64::from(scaled.scale)), 32);
        self.channels.extend([mean, Channel { bias: 0, multiplier }]);
        let vector = self.add(super::Order::POINTWISE, squeeze, &means, squeezed);
        let excited = Target { range: SIX, activation: Activation::Relu6, least: 0.0 };
        self.add(super::Order::POINTWISE, &excite.raised(SHIFT), &vector.into(), excited);
        scaled
    }
}

/// How the sum of a channel of that many pixels becomes its mean, and what the mean's int8 stand for: −128 for the low
/// end of the range.
fn mean(map: Scale, range: Range, pixels: usize) -> (Channel, Input) {
    let scale = ((range.high - range.low) / 255.0).max(least_scale(map.scale));
    let sum_scale = f64::from(map.scale) / pixels as f64;
    let bias = -(pixels as f64) * f64::from(map.zero) - f64::from(range.low) / sum_scale;
    let multiplier = fixed(sum_scale / f64::from(scale), 24 + pixels.ilog2() as i32);
    let zero = f64::from(HIDDEN_ZERO) - f64::from(range.low) / f64::from(scale);
    (Channel { bias: bias.round() as i32, multiplier }, Input { scale, zeros: vec![zero] })
}

/// The scale of the map times factors of at most 1, with the map's own zero point.
fn scaled(map: Scale, range: Range) -> Scale {
    let zero = f32::from(map.zero);
    let reach = |end: f32, steps: f32| if steps > 0.0 { end / steps } else { 0.0 };
    let scale = reach(range.high, 127.0 - zero).max(reach(-range.low, zero + 128.0));
    Scale { scale: scale.clamp(least_scale(map.scale), map.scale), ..map }
}
