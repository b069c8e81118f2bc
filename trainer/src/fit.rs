//! Training the accuracy predictor: a small MLP from an arch's one-hot features to its accuracy.

use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Tensor, nn, no_grad};

use crate::metrics::{kendall_tau, rmse, spearman};
use crate::predictor::{Dense, Predictor, features};
use crate::space::Space;
use crate::survey::Sample;

/// One in so many samples is held out from training, to report on.
const HELD_OUT: usize = 5;
const HIDDEN: i64 = 64;
const STEPS: usize = 600;
const LEARNING_RATE: f64 = 3e-3;
const WEIGHT_DECAY: f64 = 3e-2;

/// How well the predictor does on archs that it has not seen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FitReport {
    /// Archs it was trained on.
    pub trained_on: usize,
    /// Archs held out.
    pub held_out: usize,
    /// Root mean squared error, as a share of 1.
    pub rmse: f64,
    /// Kendall's tau-b.
    pub kendall_tau: f64,
    /// Spearman's rho.
    pub spearman: f64,
    /// Lowest and highest measured accuracy of the archs held out.
    pub span: [f64; 2],
}

/// Trains on four fifths of the samples and reports on the rest. The layers map features to accuracy, with a ReLU
/// between each two.
///
/// # Errors
/// If there are too few samples to hold some out.
pub fn fit(space: &Space, samples: &[Sample], seed: u64) -> Result<(Vec<Dense>, FitReport)> {
    ensure!(samples.len() >= 2 * HELD_OUT, "{} samples are too few to train a predictor; take more", samples.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<&Sample> = samples.iter().collect();
    order.shuffle(&mut rng);
    let (held_out, seen) = order.split_at(samples.len() / HELD_OUT);
    let layers = train(space, seen, &mut rng)?;
    let archs: Vec<_> = held_out.iter().map(|sample| sample.arch.clone()).collect();
    let predicted = Predictor::new(&layers, space)?.predict(&archs)?;
    let predicted: Vec<f64> = predicted.into_iter().map(f64::from).collect();
    let actual: Vec<f64> = held_out.iter().map(|sample| sample.accuracy).collect();
    let report = FitReport {
        trained_on: seen.len(),
        held_out: held_out.len(),
        rmse: rmse(&predicted, &actual),
        kendall_tau: kendall_tau(&predicted, &actual),
        spearman: spearman(&predicted, &actual),
        span: [actual.iter().copied().fold(1.0, f64::min), actual.iter().copied().fold(0.0, f64::max)],
    };
    Ok((layers, report))
}

/// AdamW on all samples at once. The targets are standardised; their mean and deviation are folded into the last
/// layer.
fn train(space: &Space, samples: &[&Sample], rng: &mut impl Rng) -> Result<Vec<Dense>> {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|sample| sample.accuracy).sum::<f64>() / count;
    let variance = samples.iter().map(|sample| (sample.accuracy - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt().max(1e-6);
    let inputs: Vec<f32> = samples.iter().flat_map(|sample| features(space, &sample.arch)).collect();
    let inputs = Tensor::from_slice(&inputs).view([samples.len() as i64, -1]);
    let targets: Vec<f32> = samples.iter().map(|sample| ((sample.accuracy - mean) / deviation) as f32).collect();
    let targets = Tensor::from_slice(&targets).view([-1, 1]);

    let variables = VarStore::new(Device::Cpu);
    let layers: Vec<_> = [(inputs.size()[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)]
        .iter()
        .enumerate()
        .map(|(i, &(depth, width))| {
            let bound = (1.0 / depth as f32).sqrt();
            let values: Vec<f32> = (0..depth * width).map(|_| rng.random_range(-bound..bound)).collect();
            let path = variables.root() / i;
            let weight = path.var_copy("weight", &Tensor::from_slice(&values).view([width, depth]));
            (weight, path.zeros("bias", &[width]))
        })
        .collect();
    let mut optimiser = nn::adamw(0.9, 0.999, WEIGHT_DECAY).build(&variables, LEARNING_RATE)?;
    for step in 0..STEPS {
        optimiser.set_lr(LEARNING_RATE * (1.0 - step as f64 / STEPS as f64));
        let mut output = inputs.shallow_clone();
        for (i, (weight, bias)) in layers.iter().enumerate() {
            output = output.linear(weight, Some(bias));
            if i + 1 < layers.len() {
                output = output.relu();
            }
        }
        optimiser.backward_step(&output.mse_loss(&targets, tch::Reduction::Mean));
    }
    let (weight, bias) = &layers[layers.len() - 1];
    no_grad(|| {
        weight.shallow_clone().copy_(&(weight * deviation));
        bias.shallow_clone().copy_(&(bias * deviation + mean));
    });
    let dense = |(weight, bias): &(Tensor, Tensor)| {
        Ok(Dense {
            inputs: weight.size()[1] as usize,
            weights: Vec::try_from(&weight.detach().view([-1]))?,
            bias: Vec::try_from(&bias.detach())?,
        })
    };
    layers.iter().map(dense).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up accuracy that depends on the arch: the predictor must find the order of archs it has not seen.
    #[test]
    fn a_predictor_orders_archs_that_it_has_not_seen() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let judge = |arch: crate::space::Arch| {
            let macs: u64 = space.layers(&arch).iter().map(runtime::Layer::macs).sum();
            let accuracy = 0.7 + 0.03 * (macs as f64 / 4e5).ln();
            Sample { arch, accuracy }
        };
        let samples: Vec<_> = crate::survey::draw(&space, 150, &mut rng).into_iter().map(judge).collect();
        let (_, report) = fit(&space, &samples, 1).unwrap();
        assert_eq!((report.trained_on, report.held_out), (120, 30));
        assert!(report.kendall_tau > 0.75, "{report:?}");
        assert!(report.rmse < 0.5 * (report.span[1] - report.span[0]), "{report:?}");
        assert_eq!(fit(&space, &samples, 1).unwrap().1, report, "the same for a seed");
    }

    #[test]
    fn too_few_samples_are_refused() {
        let space = Space::load("fashion").unwrap();
        let samples = [Sample { arch: space.smallest(), accuracy: 0.5 }];
        assert!(fit(&space, &samples, 0).is_err());
    }
}
