//! What a finite set of images leaves uncertain: no predictor can be closer to an accuracy than the accuracy is to
//! the truth.
//!
//! Two errors, because the nets are judged on the same images. One net's accuracy, p over n images, is off by the
//! binomial standard error √(p(1−p)/n). But what is hard for one net is hard for the others, so much of that error
//! is common to all; the order of nets suffers only from the rest. Of two nets the difference of accuracies has the
//! variance (d − (p−q)²)/n, where d is the share of the images that just one of them gets right; half of it is the
//! error of a net beside the others.

use std::f64::consts::TAU;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Judged;
use crate::metrics::kendall_tau;

/// Draws of the simulation.
const DRAWS: usize = 200;

/// How uncertain the accuracies of a survey are.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Noise {
    /// On so many images.
    pub images: usize,
    /// Nets.
    pub nets: usize,
    /// Standard deviation of the nets' accuracies, as a share of 1.
    pub deviation: f64,
    /// Of one net's accuracy by itself.
    pub alone: Limit,
    /// Of one net's accuracy beside the other nets'.
    pub beside: Limit,
}

/// An error and what it does to the order of the nets.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Limit {
    /// As a share of 1.
    pub standard_error: f64,
    /// Kendall's tau between true and measured accuracies, simulated: what a predictor reaches that knows the truth.
    pub tau: f64,
}

impl Noise {
    /// Of nets judged on the same images.
    pub(super) fn of(judged: &[Judged], seed: u64) -> Self {
        let (nets, images) = (judged.len(), judged[0].right.len());
        let (count, n) = (nets as f64, images as f64);
        let accuracies: Vec<f64> = judged.iter().map(Judged::accuracy).collect();
        let mean = accuracies.iter().sum::<f64>() / count;
        let variance = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let alone = accuracies.iter().map(|accuracy| accuracy * (1.0 - accuracy) / n).sum::<f64>() / count;
        // The share of images on which two nets differ, averaged over all pairs of nets.
        let differ = (0..images).map(|image| {
            let right = judged.iter().filter(|judged| judged.right[image]).count() as f64;
            right * (count - right) / (count * (count - 1.0) / 2.0)
        });
        let differ = differ.sum::<f64>() / n;
        let beside = (differ - 2.0 * variance).max(0.0) / 2.0 / n;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut limit = |error: f64| Limit {
            standard_error: error.sqrt(),
            tau: simulated_tau(&accuracies, mean, variance, error, &mut rng),
        };
        Self { images, nets, deviation: variance.sqrt(), alone: limit(alone), beside: limit(beside) }
    }
}

/// Mean tau between accuracies and the same with an error of this variance. The measured accuracies spread wider
/// than the true ones by just that variance: they are first drawn together. 0 where all the spread is error.
fn simulated_tau(measured: &[f64], mean: f64, variance: f64, error: f64, rng: &mut impl Rng) -> f64 {
    if error >= variance {
        return 0.0;
    }
    let shrink = (1.0 - error / variance).sqrt();
    let truth: Vec<f64> = measured.iter().map(|accuracy| mean + shrink * (accuracy - mean)).collect();
    let draws = (0..DRAWS).map(|_| {
        let noisy: Vec<f64> = truth.iter().map(|truth| truth + error.sqrt() * gaussian(rng)).collect();
        kendall_tau(&truth, &noisy)
    });
    draws.sum::<f64>() / DRAWS as f64
}

/// From the standard normal distribution (Box and Muller 1958).
fn gaussian(rng: &mut impl Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Space;

    const IMAGES: usize = 2000;

    /// Nets that are right on an image where its difficulty, common to all, and a luck of their own allow it.
    fn survey(skills: &[f64], common: f64, rng: &mut ChaCha8Rng) -> Vec<Judged> {
        let arch = Space::load("fashion").unwrap().smallest();
        let difficulties: Vec<f64> = (0..IMAGES).map(|_| gaussian(rng)).collect();
        let own = (1.0 - common * common).sqrt();
        let mut judge = |skill: &f64| Judged {
            arch: arch.clone(),
            right: difficulties.iter().map(|difficulty| common * difficulty + own * gaussian(rng) < *skill).collect(),
        };
        skills.iter().map(&mut judge).collect()
    }

    /// What the formulas say, beside the same nets judged again and again on other images.
    #[test]
    fn errors_are_those_of_judging_again_on_other_images() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let skills: Vec<f64> = (0..30).map(|_| 1.2 + 0.1 * gaussian(&mut rng)).collect();
        for common in [0.0, 0.9] {
            let surveys: Vec<_> = (0..100).map(|_| survey(&skills, common, &mut rng)).collect();
            let accuracies: Vec<Vec<f64>> =
                surveys.iter().map(|survey| survey.iter().map(Judged::accuracy).collect()).collect();
            let mean = |values: &mut dyn Iterator<Item = f64>| {
                let values: Vec<f64> = values.collect();
                values.iter().sum::<f64>() / values.len() as f64
            };
            // Of each net the variance over the surveys, of its accuracy and of its distance from the survey's mean.
            let variance = |distance: &dyn Fn(&[f64], usize) -> f64| {
                mean(&mut (0..skills.len()).map(|net| {
                    let centre = mean(&mut accuracies.iter().map(|survey| distance(survey, net)));
                    mean(&mut accuracies.iter().map(|survey| (distance(survey, net) - centre).powi(2)))
                }))
            };
            let alone = variance(&|survey, net| survey[net]).sqrt();
            let beside = variance(&|survey, net| survey[net] - mean(&mut survey.iter().copied())).sqrt();
            let noise = Noise::of(&surveys[0], 1);
            assert!((noise.alone.standard_error / alone - 1.0).abs() < 0.15, "{alone} {noise:?}");
            assert!((noise.beside.standard_error / beside - 1.0).abs() < 0.15, "{beside} {noise:?}");
            // The same nets on other images agree less than with the truth.
            let truth: Vec<f64> = (0..skills.len()).map(|net| mean(&mut accuracies.iter().map(|s| s[net]))).collect();
            let tau = mean(&mut accuracies.iter().map(|survey| kendall_tau(&truth, survey)));
            assert!((noise.beside.tau - tau).abs() < 0.06, "{tau} {noise:?}");
        }
    }

    #[test]
    fn nets_that_differ_by_chance_alone_have_no_order() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let noise = Noise::of(&survey(&[1.0; 30], 0.0, &mut rng), 1);
        assert!(noise.alone.tau < 0.5, "{noise:?}");
    }
}
