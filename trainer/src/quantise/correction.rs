//! Bias correction (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
//! section 4.2, with images): rounding and clipping shift the mean of a channel, and its bias takes the shift back.

use anyhow::Result;
use rayon::prelude::*;
use runtime::{Activation, Layer, Linear, Net, Step, Weights};

use crate::dataset::Images;
use crate::float::FloatNet;
use crate::model::{Compiled, Scale, less_128};
use crate::onnx::output_names;
use crate::quantise::convolution::CORRECTION_LIMIT;
use crate::subnet::Subnet;

/// One step of a multiplier, as a share of an output step.
const ONE: f64 = 4_294_967_296.0;

/// Moves the biases of the layers that end without an activation until each of their channels has, over the images,
/// the mean that it has in float. From the first layer to the last: each reads what those before it, corrected, make.
///
/// # Errors
/// If tract fails.
pub(super) fn correct(compiled: &mut Compiled, subnet: &Subnet, images: &Images) -> Result<()> {
    let float = float_means(subnet, images)?;
    let mut maps: Vec<Vec<i8>> = (0..images.len()).map(|i| less_128(images.image(i))).collect();
    let (mut channels, mut taps) = (0, 0);
    for (i, step) in compiled.steps.iter().enumerate() {
        let layer = step.layer;
        let (all, weights) = (channels..channels + layer.channels(), taps..taps + layer.taps());
        (channels, taps) = (all.end, weights.end);
        let weights = &compiled.taps[weights];
        let run = |channels: &[_], maps: &[Vec<i8>]| run(step, Weights { channels, taps: weights }, maps);
        let mut output = run(&compiled.channels[all.clone()], &maps)?;
        if ends_in_sums(&layer) {
            let last = all.end - usize::from(layer.output().channels)..all.end;
            let means = means(&output, last.len());
            let Scale { scale, zero } = compiled.outputs[i];
            for ((channel, int8), float) in compiled.channels[last].iter_mut().zip(means).zip(&float[i]) {
                let shift = float / f64::from(scale) - (int8 - f64::from(zero));
                let shift = shift * ONE / f64::from(channel.multiplier);
                channel.bias += shift.clamp(-CORRECTION_LIMIT, CORRECTION_LIMIT).round() as i32;
            }
            output = run(&compiled.channels[all], &maps)?;
        }
        maps = output;
    }
    Ok(())
}

/// Whether a layer's output is sums with a bias for each channel.
fn ends_in_sums(layer: &Layer) -> bool {
    matches!(layer, Layer::Block(_) | Layer::Linear(Linear { activation: Activation::None, .. }))
}

/// Of each layer's output in float, the mean of each channel.
fn float_means(subnet: &Subnet, images: &Images) -> Result<Vec<Vec<f64>>> {
    let net = FloatNet::with_results(subnet, &output_names(subnet))?;
    let of_image = |i: usize| -> Result<Vec<Vec<f64>>> {
        let mut means = vec![];
        net.run(images.image(i), |layer, planes| {
            let channels = usize::from(subnet.layers[layer].0.output().channels);
            let plane = planes.len() / channels;
            let mean = |plane: &[f32]| plane.iter().copied().map(f64::from).sum::<f64>() / plane.len() as f64;
            means.push(planes.chunks_exact(plane).map(mean).collect());
        })?;
        Ok(means)
    };
    let mut all = (0..images.len()).into_par_iter().map(of_image).collect::<Result<Vec<_>>>()?.into_iter();
    // One after the other, so that the order of additions does not depend on threads.
    let mut sums = all.next().expect("there are calibration images");
    for means in all {
        sums.iter_mut().flatten().zip(means.iter().flatten()).for_each(|(sum, mean)| *sum += mean);
    }
    sums.iter_mut().flatten().for_each(|sum| *sum /= images.len() as f64);
    Ok(sums)
}

/// A step's output for each of its inputs.
fn run(step: &Step, weights: Weights<'_>, maps: &[Vec<i8>]) -> Result<Vec<Vec<i8>>> {
    let steps = std::slice::from_ref(step);
    let net = Net::new(steps, weights.channels, weights.taps).map_err(anyhow::Error::msg)?;
    let of_map = |map: &Vec<i8>| {
        let mut arena = vec![0; net.arena_bytes() / 4];
        runtime::bytes(&mut arena)[..map.len()].copy_from_slice(map);
        net.run(&mut arena).to_vec()
    };
    Ok(maps.par_iter().map(of_map).collect())
}

/// The mean of each channel over all maps, in int8.
fn means(maps: &[Vec<i8>], channels: usize) -> Vec<f64> {
    let mut sums = vec![0_i64; channels];
    for map in maps {
        for pixel in map.chunks_exact(channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += i64::from(value));
        }
    }
    let count = maps.iter().map(Vec::len).sum::<usize>() / channels;
    sums.into_iter().map(|sum| sum as f64 / count as f64).collect()
}
