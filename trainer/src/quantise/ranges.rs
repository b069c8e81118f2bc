//! How far the values of each map reach, and the scale that follows.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use runtime::{Activation, Block, HIDDEN_ZERO, Layer};

use crate::dataset::Images;
use crate::float::FloatNet;
use crate::model::Scale;
use crate::onnx::map_names;
use crate::quantise::swish;
use crate::subnet::Subnet;

/// How much of its values a map's scale reaches; more reach is a coarser step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// To where rounding and clipping together cost the least squared error.
    #[default]
    LeastError,
    /// To the smallest and the largest.
    Extremes,
    /// All but one of ten thousand at either end.
    Percentile,
}

/// The values of a map that int8 distinguishes. Zero is among them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Range {
    const EMPTY: Self = Self { low: 0.0, high: 0.0 };

    /// The scale of a map that follows this activation, no smaller than `least`. A real zero is an int8 exactly.
    pub(super) fn scale(self, activation: Activation, least: f32) -> Scale {
        const TINY: f32 = 1e-9;
        let least = least.max(TINY);
        match activation {
            Activation::None | Activation::HSwish => {
                let scale = ((self.high - self.low) / 255.0).max(least);
                Scale { scale, zero: (-128.0 - self.low / scale).round() as i8 }
            }
            Activation::Relu => Scale { scale: (self.high / 255.0).max(least), zero: HIDDEN_ZERO },
            // Above 6/255 int8's own end would no longer clamp at 6.
            Activation::Relu6 => Scale { scale: (self.high / 255.0).max(least).min(6.0 / 255.0), zero: HIDDEN_ZERO },
        }
    }

    fn joined(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// A map whose range is asked for.
struct Map {
    /// In the subnet's file.
    name: String,
    /// Smaller values make no difference to what follows.
    floor: f32,
}

impl Map {
    fn new(name: String) -> Self {
        Self { name, floor: f32::NEG_INFINITY }
    }
}

/// The maps that int8 has, in the order in which it is made: [`map_names`], before each that follows h-swish what h-swish
/// reads, and behind a block's filtered map, where it squeezes and excites, its mean, the squeezed vector and the map
/// times its factors.
fn maps(subnet: &Subnet) -> Vec<Map> {
    let mut maps = vec![];
    for ((layer, _), mut names) in subnet.layers.iter().zip(map_names(subnet)) {
        let output = names.pop().expect("a layer has an output");
        let activated = |maps: &mut Vec<Map>, name: String, activation: Activation| {
            if activation == Activation::HSwish {
                maps.push(Map { name: format!("{name}.linear"), floor: swish::FLOOR });
            }
            maps.push(Map::new(name));
        };
        match layer {
            Layer::Block(Block { activation, squeeze, .. }) => {
                names.into_iter().for_each(|name| activated(&mut maps, name, *activation));
                if *squeeze != 0 {
                    maps.extend(["pooled", "squeezed", "scaled"].map(|part| Map::new(format!("{output}.{part}"))));
                }
                maps.push(Map::new(output));
            }
            Layer::Conv(conv) => activated(&mut maps, output, conv.activation),
            Layer::Linear(linear) => activated(&mut maps, output, linear.activation),
            Layer::Pool(_) | Layer::Depthwise(_) => maps.push(Map::new(output)),
        }
    }
    maps
}

/// The range of each map that int8 has, in the order in which [`super::Net`] asks for them, over all images.
pub(super) fn ranges(subnet: &Subnet, images: &Images, reach: Reach) -> Result<Vec<Range>> {
    let maps = maps(subnet);
    let names: Vec<String> = maps.iter().map(|map| map.name.clone()).collect();
    let floors: Vec<f32> = maps.iter().map(|map| map.floor).collect();
    let net = FloatNet::with_results(subnet, &names)?;
    let extremes = over_images(
        &net,
        images,
        &floors,
        vec![Range::EMPTY; names.len()],
        |range, values| {
            let fold = |f: fn(f32, f32) -> f32| values.iter().copied().fold(0.0, f);
            *range = range.joined(Range { low: fold(f32::min), high: fold(f32::max) });
        },
        |range, other| *range = range.joined(other),
    )?;
    for (name, Range { low, high }) in names.iter().zip(&extremes) {
        ensure!((high - low).is_finite(), "the map {name} overflows in float");
    }
    let empty = extremes.into_iter().map(Histogram::new).collect();
    let histograms =
        over_images(&net, images, &floors, empty, Histogram::add, |histogram, other| histogram.join(&other))?;
    Ok(histograms.iter().map(|histogram| histogram.range(reach)).collect())
}

/// Shows each image's maps, raised to their floors, to a copy of `empty`, and joins the copies.
fn over_images<T: Clone + Send + Sync>(
    net: &FloatNet,
    images: &Images,
    floors: &[f32],
    empty: Vec<T>,
    see: impl Fn(&mut T, &[f32]) + Sync,
    join: impl Fn(&mut T, T) + Sync,
) -> Result<Vec<T>> {
    let see_image = |mut maps: Vec<T>, i: usize| {
        net.run(images.image(i), |map, values| {
            let raised: Vec<f32> = values.iter().map(|value| value.max(floors[map])).collect();
            see(&mut maps[map], &raised);
        })?;
        Ok(maps)
    };
    let join = |mut maps: Vec<T>, others: Vec<T>| {
        maps.iter_mut().zip(others).for_each(|(map, other)| join(map, other));
        Ok(maps)
    };
    (0..images.len()).into_par_iter().try_fold(|| empty.clone(), see_image).try_reduce(|| empty.clone(), join)
}

/// How often a map's values, but for zeros, fall into each of many bins from the smallest to the largest.
#[derive(Clone)]
struct Histogram {
    extremes: Range,
    counts: Vec<u64>,
}

const BINS: usize = 4096;

impl Histogram {
    fn new(extremes: Range) -> Self {
        Self { extremes, counts: vec![0; BINS] }
    }

    fn width(&self) -> f32 {
        (self.extremes.high - self.extremes.low) / BINS as f32
    }

    fn add(&mut self, values: &[f32]) {
        let width = self.width();
        // A zero is exact in any range.
        for value in values.iter().filter(|&&value| value != 0.0) {
            let bin = (value - self.extremes.low) / width;
            self.counts[(bin as usize).min(BINS - 1)] += 1;
        }
    }

    fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    fn range(&self, reach: Reach) -> Range {
        match reach {
            Reach::LeastError => self.least_error(),
            Reach::Extremes => self.extremes,
            Reach::Percentile => self.percentile(),
        }
    }

    /// Without one of ten thousand values at either end.
    fn percentile(&self) -> Range {
        let rare = self.counts.iter().sum::<u64>() / 10_000;
        let full = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut sum = 0;
            counts.take_while(|&&count| (sum += count, sum <= rare).1).count() as f32
        };
        let (below, above) = (full(&mut self.counts.iter()), full(&mut self.counts.iter().rev()));
        let Range { low, high } = self.extremes;
        Range { low: (low + below * self.width()).min(0.0), high: (high - above * self.width()).max(0.0) }
    }

    /// The range with the least sum of squared errors: each end in turn moves inwards while the other is held.
    fn least_error(&self) -> Range {
        const STEPS: u8 = 80;
        let mut best = (self.error(self.extremes), self.extremes);
        for _ in 0..3 {
            for step in 1..=STEPS {
                let shrunk = |end: f32| end * (1.0 - f32::from(step) / f32::from(STEPS + 1));
                let Range { low, high } = best.1;
                let full = self.extremes;
                for range in [Range { low, high: shrunk(full.high) }, Range { low: shrunk(full.low), high }] {
                    let error = self.error(range);
                    if error < best.0 {
                        best = (error, range);
                    }
                }
            }
        }
        best.1
    }

    /// The sum of squared errors when the values are rounded to 256 steps of this range and clipped to it.
    fn error(&self, range: Range) -> f64 {
        let rounding = (f64::from(range.high - range.low) / 255.0).powi(2) / 12.0;
        let error = |(bin, &count): (usize, &u64)| {
            let value = self.extremes.low + (bin as f32 + 0.5) * self.width();
            let clipped = f64::from(value - value.clamp(range.low, range.high));
            count as f64 * (clipped.powi(2) + rounding)
        };
        self.counts.iter().enumerate().map(error).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least_error(values: &[f32]) -> Range {
        let fold = |f: fn(f32, f32) -> f32| values.iter().copied().fold(0.0, f);
        let mut histogram = Histogram::new(Range { low: fold(f32::min), high: fold(f32::max) });
        histogram.add(values);
        histogram.least_error()
    }

    #[test]
    fn a_flat_map_keeps_its_range_and_a_rare_giant_is_left_out() {
        let values: Vec<f32> = (-1000..=2000).map(|i| i as f32 / 1000.0).collect();
        let Range { low, high } = least_error(&values);
        assert!(low < -0.97 && high > 1.95, "{low} {high}");
        // Clipping it costs about 1, a step that is a third wider 300,100 × ((4/255)² − (3/255)²) / 12 = 2.7.
        let many = [values.repeat(100), vec![3.0]].concat();
        let Range { low, high } = least_error(&many);
        assert!(low < -0.97 && (1.9..2.5).contains(&high), "{low} {high}");
        // Among few values it is worth its steps.
        let few = [values, vec![3.0]].concat();
        assert!(least_error(&few).high > 2.5);
    }

    /// Most values behind a ReLU are zeros, which no scale rounds: they must not buy a finer scale with clipping.
    #[test]
    fn zeros_do_not_count() {
        let values: Vec<f32> = (0..=1000).map(|i| i as f32 / 1000.0).collect();
        let with_zeros = [&values[..], &[0.0; 100_000]].concat();
        assert_eq!(least_error(&with_zeros), least_error(&values));
    }

    #[test]
    fn a_percentile_leaves_out_one_of_ten_thousand_at_either_end() {
        let values: Vec<f32> = (-10_000..=10_000).map(|i| i as f32 / 10_000.0).collect();
        let extremes = Range { low: -1.0, high: 8.0 };
        let range = |giants: usize, reach| {
            let mut histogram = Histogram::new(extremes);
            histogram.add(&[&values[..], &vec![8.0; giants]].concat());
            histogram.range(reach)
        };
        let Range { low, high } = range(2, Reach::Percentile);
        assert!((-1.0..-0.99).contains(&low) && (0.99..1.01).contains(&high), "{low} {high}");
        assert_eq!(range(3, Reach::Percentile).high, 8.0, "three of twenty thousand are not rare");
        assert_eq!(range(2, Reach::Extremes), extremes);
    }

    #[test]
    fn a_map_of_zeros_has_a_scale() {
        let range = least_error(&[0.0; 10]);
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let Scale { scale, zero } = range.scale(activation, 0.0);
            assert!(scale > 0.0 && zero == -128);
        }
    }
}
