use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::float::FloatNet;
use crate::space::Space;

/// Smooth random images: noise alone averages to the same grey everywhere.
fn images(side: u16, channels: u16, count: usize, seed: u64) -> Images {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let small = 8;
    let labels = vec![0; count];
    let pixels = (0..count * small * small * usize::from(channels)).map(|_| rng.random()).collect();
    Images { side: small as u16, channels, pixels, labels }.resized(side)
}

/// The correlation between float scores and the int8 scores' real values over all images, each class less its mean:
/// what the images, not the biases, make of the scores.
fn correlation(subnet: &Subnet, compiled: &Compiled, images: &Images) -> f64 {
    let net = FloatNet::new(subnet).unwrap();
    let scale = compiled.outputs[compiled.outputs.len() - 1];
    let real = |int8: i8| f64::from(i32::from(int8) - i32::from(scale.zero)) * f64::from(scale.scale);
    let of_all = |scores: &dyn Fn(&[u8]) -> Vec<f64>| {
        let mut scores: Vec<Vec<f64>> = (0..images.len()).map(|i| scores(images.image(i))).collect();
        for class in 0..scores[0].len() {
            let mean = scores.iter().map(|scores| scores[class]).sum::<f64>() / scores.len() as f64;
            scores.iter_mut().for_each(|scores| scores[class] -= mean);
        }
        scores.concat()
    };
    let float = of_all(&|image| net.scores(image).unwrap().into_iter().map(f64::from).collect());
    let int8 = of_all(&|image| compiled.scores(image).unwrap().into_iter().map(real).collect());
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&float, &int8) / (product(&float, &float) * product(&int8, &int8)).sqrt()
}

#[test]
fn int8_scores_are_close_to_float_scores() {
    let spaces = [
        Space::load("fashion").unwrap(),
        // Odd maps at every stride, colour, ReLU, a block that does not expand, two linear layers.
        Space::parse(include_str!("odd.toml"), "odd").unwrap(),
        Space::parse(include_str!("squeeze.toml"), "squeeze").unwrap(),
    ];
    for space in &spaces {
        for seed in 0..6 {
            let arch = space.sample(&mut ChaCha8Rng::seed_from_u64(seed));
            let mut subnet = Subnet::random(space, &arch, seed);
            for (i, mean) in subnet.normalisation.mean.iter_mut().enumerate() {
                *mean += 11.3 * i as f32;
            }
            let (side, channels) = (arch.resolution, space.input.channels.0);
            let compiled = quantise(&subnet, &images(side, channels, 32, seed), Method::default()).unwrap();
            let correlation = correlation(&subnet, &compiled, &images(side, channels, 32, seed + 100));
            // Its layers are as close to float as those of the others, but its scores differ less between images.
            let least = if space.name == "squeeze" { 0.92 } else { 0.97 };
            assert!(correlation > least, "{} {seed}: {correlation}", space.name);
        }
    }
}

/// The mean of each score over the images: in float, and what int8 stands for.
fn mean_scores(subnet: &Subnet, compiled: &Compiled, images: &Images) -> Vec<[f64; 2]> {
    let net = FloatNet::new(subnet).unwrap();
    let Scale { scale, zero } = compiled.outputs[compiled.outputs.len() - 1];
    let count = images.len() as f64;
    let mut means = vec![[0.0; 2]; net.scores(images.image(0)).unwrap().len()];
    for i in 0..images.len() {
        let int8 = compiled.scores(images.image(i)).unwrap();
        for ((mean, float), int8) in means.iter_mut().zip(net.scores(images.image(i)).unwrap()).zip(int8) {
            mean[0] += f64::from(float) / count;
            mean[1] += f64::from(i32::from(int8) - i32::from(zero)) * f64::from(scale) / count;
        }
    }
    means
}

#[test]
fn corrected_biases_give_every_class_its_mean() {
    let space = Space::load("fashion").unwrap();
    for seed in 0..4 {
        let arch = space.sample(&mut ChaCha8Rng::seed_from_u64(seed));
        let subnet = Subnet::random(&space, &arch, seed);
        let images = images(arch.resolution, 1, 48, seed);
        let worst = |correct_biases| {
            let method = Method { correct_biases, ..Method::default() };
            let compiled = quantise(&subnet, &images, method).unwrap();
            let scale = f64::from(compiled.outputs[compiled.outputs.len() - 1].scale);
            let off = |[float, int8]: [f64; 2]| (float - int8).abs() / scale;
            mean_scores(&subnet, &compiled, &images).into_iter().map(off).fold(0.0, f64::max)
        };
        let (plain, corrected) = (worst(false), worst(true));
        assert!(corrected < 0.2 && corrected < plain / 2.0, "{seed}: {plain} steps, {corrected} when corrected");
    }
}
