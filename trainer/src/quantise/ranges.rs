//! How far the values of each map reach, and the scale that follows.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use runtime::{Activation, HIDDEN_ZERO};

use crate::dataset::Images;
use crate::float::FloatNet;
use crate::model::Scale;
use crate::onnx::map_names;
use crate::subnet::Subnet;

/// The values of a map that int8 distinguishes. Zero is among them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Range {
    low: f32,
    high: f32,
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

/// The range of each map of [`map_names`], layer by layer, over all images: where rounding and clipping together cost
/// the least squared error.
pub(super) fn ranges(subnet: &Subnet, images: &Images) -> Result<Vec<Range>> {
    let names = map_names(subnet).concat();
    let net = FloatNet::with_results(subnet, &names)?;
    let extremes = over_images(
        &net,
        images,
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
    let histograms = over_images(&net, images, empty, Histogram::add, |histogram, other| histogram.join(&other))?;
    Ok(histograms.iter().map(|histogram| histogram.least_error()).collect())
}

/// Shows each image's maps to a copy of `empty`, and joins the copies.
fn over_images<T: Clone + Send + Sync>(
    net: &FloatNet,
    images: &Images,
    empty: Vec<T>,
    see: impl Fn(&mut T, &[f32]) + Sync,
    join: impl Fn(&mut T, T) + Sync,
) -> Result<Vec<T>> {
    let see_image = |mut maps: Vec<T>, i: usize| {
        net.run(images.image(i), |map, values| see(&mut maps[map], values))?;
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
