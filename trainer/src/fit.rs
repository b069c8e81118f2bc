//! Training the accuracy predictor: an ensemble of small networks from an arch's one-hot features to its accuracy.
//!
//! ```text
//!  samples ─┬─▶ 5 folds ─▶ an ensemble for each, trained on the other four ─▶ error on samples not seen
//!           │          └─▶ the same on fewer samples ─▶ learning curve
//!           └─▶ all ─▶ the predictor
//! ```
//!
//! Members differ in where their training begins, so they disagree where the samples say little. Their disagreement is
//! scaled to the errors seen on samples held out.

mod member;
mod sums;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::metrics::{kendall_tau, rmse, spearman};
use crate::predictor::{Dense, Prediction, features};
use crate::space::Space;
use crate::survey::Sample;
use member::{HIDDEN, Member, Row};
use sums::Sums;

/// One in so many samples is held out in turn.
const FOLDS: usize = 5;
const MEMBERS: usize = 10;
/// The learning curve begins with so many samples and doubles them.
const SHORTEST: usize = 20;

/// How well the predictor does on archs that it has not seen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FitReport {
    /// Archs that the predictor is trained on.
    pub trained_on: usize,
    /// Archs held out: all of them, a fifth at a time from predictors trained on the others.
    pub held_out: usize,
    /// Root mean squared error, as a share of 1.
    pub rmse: f64,
    /// Kendall's tau-b.
    pub kendall_tau: f64,
    /// Spearman's rho.
    pub spearman: f64,
    /// Lowest and highest measured accuracy of the archs held out.
    pub span: [f64; 2],
    /// Share of the archs held out whose accuracy is within one and within two deviations of the prediction.
    pub within: [f64; 2],
    /// The same errors from predictors trained on fewer archs; the last is trained on four fifths of all.
    pub curve: Vec<CurvePoint>,
    /// For each sample, what was foretold by the predictor that had not seen it.
    #[serde(skip)]
    pub foretold: Vec<Prediction>,
}

/// How well a predictor does that is trained on so many archs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct CurvePoint {
    /// Archs it is trained on.
    pub samples: usize,
    /// Root mean squared error, as a share of 1.
    pub rmse: f64,
    /// Kendall's tau-b.
    pub kendall_tau: f64,
}

/// Trains on the samples and reports on each from predictors that have not seen it. The layers map features to the
/// accuracy that each member foretells, with a ReLU between them.
///
/// # Errors
/// If there are too few samples to hold some out.
pub fn fit(space: &Space, samples: &[Sample], seed: u64) -> Result<(Vec<Dense>, FitReport)> {
    ensure!(samples.len() >= 2 * FOLDS, "{} samples are too few to train a predictor; take more", samples.len());
    let problem = Problem::new(space, samples, seed);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let folds: Vec<(Vec<usize>, Vec<usize>)> = (0..FOLDS)
        .map(|fold| {
            let part = |held: bool| order.iter().enumerate().filter(move |(i, _)| (i % FOLDS == fold) == held);
            (part(true).map(|(_, &sample)| sample).collect(), part(false).map(|(_, &sample)| sample).collect())
        })
        .collect();
    // What ensembles that are trained on the first `count` samples of the other folds say of each sample.
    let foretold = |count: usize| {
        let mut said = vec![Said::default(); samples.len()];
        for (held, seen) in &folds {
            let ensemble = problem.ensemble(&seen[..count.min(seen.len())]);
            held.iter().for_each(|&sample| said[sample] = ensemble.say(&problem.rows[sample]));
        }
        said
    };
    let actual: Vec<f64> = samples.iter().map(|sample| sample.accuracy).collect();
    let accuracies = |said: &[Said]| said.iter().map(|said| said.accuracy).collect::<Vec<_>>();
    let point = |samples: usize, said: &[Said]| CurvePoint {
        samples,
        rmse: rmse(&accuracies(said), &actual),
        kendall_tau: kendall_tau(&accuracies(said), &actual),
    };
    let most = samples.len() - samples.len() / FOLDS;
    let lengths = std::iter::successors(Some(SHORTEST), |length| Some(2 * length)).take_while(|&length| length < most);
    let mut curve: Vec<_> = lengths.map(|length| point(length, &foretold(length))).collect();
    let said = foretold(most);
    curve.push(point(most, &said));

    let errors = || said.iter().zip(&actual).map(|(said, actual)| (said.accuracy - actual).abs());
    let ratios = errors().zip(&said).map(|(error, said)| (error / said.spread.max(f64::MIN_POSITIVE)).powi(2));
    let scale = (ratios.sum::<f64>() / samples.len() as f64).sqrt();
    let within = [1.0, 2.0].map(|deviations| {
        let within = errors().zip(&said).filter(|(error, said)| *error <= deviations * scale * said.spread).count();
        within as f64 / samples.len() as f64
    });
    let all: Vec<usize> = (0..samples.len()).collect();
    let layers = problem.ensemble(&all).layers(&problem.sums, scale);
    let report = FitReport {
        trained_on: samples.len(),
        held_out: samples.len(),
        rmse: curve[curve.len() - 1].rmse,
        kendall_tau: curve[curve.len() - 1].kendall_tau,
        spearman: spearman(&accuracies(&said), &actual),
        span: [actual.iter().copied().fold(1.0, f64::min), actual.iter().copied().fold(0.0, f64::max)],
        within,
        curve,
        foretold: said.iter().map(|said| said.prediction(scale)).collect(),
    };
    Ok((layers, report))
}

/// Trains on the samples without holding any out: how far the members disagree is not scaled to errors.
///
/// # Panics
/// If there are no samples.
pub(crate) fn ensemble(space: &Space, samples: &[Sample], seed: u64) -> Vec<Dense> {
    let problem = Problem::new(space, samples, seed);
    problem.ensemble(&(0..samples.len()).collect::<Vec<_>>()).layers(&problem.sums, 1.0)
}

/// All samples, as members read them.
struct Problem {
    features: usize,
    sums: Sums,
    rows: Vec<Row>,
    accuracies: Vec<f64>,
    seed: u64,
}

/// Trained members and what they were trained to: the accuracy less its mean, in deviations.
struct Ensemble {
    members: Vec<Member>,
    mean: f64,
    deviation: f64,
}

/// Mean and standard deviation of what the members say of a sample.
#[derive(Clone, Copy, Default)]
struct Said {
    accuracy: f64,
    spread: f64,
}

impl Problem {
    fn new(space: &Space, samples: &[Sample], seed: u64) -> Self {
        let all = |sample: &Sample| features(space, &sample.arch);
        let ones = |sample| all(sample).iter().enumerate().filter(|(_, one)| **one > 0.0).map(|(i, _)| i).collect();
        let ones: Vec<Vec<usize>> = samples.iter().map(ones).collect();
        let sums = Sums::new(space, &ones);
        Self {
            features: all(&samples[0]).len(),
            rows: ones.into_iter().map(|ones| Row { sums: sums.of(&ones), ones }).collect(),
            sums,
            accuracies: samples.iter().map(|sample| sample.accuracy).collect(),
            seed,
        }
    }

    /// Trained on these samples.
    fn ensemble(&self, seen: &[usize]) -> Ensemble {
        let count = seen.len() as f64;
        let mean = seen.iter().map(|&sample| self.accuracies[sample]).sum::<f64>() / count;
        let variance = seen.iter().map(|&sample| (self.accuracies[sample] - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt().max(1e-6);
        let target = |sample: usize| ((self.accuracies[sample] - mean) / deviation) as f32;
        let targets: Vec<_> = seen.iter().map(|&sample| (&self.rows[sample], target(sample))).collect();
        let train = |member: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(1 + member as u64);
            Member::train(self.features, &targets, &mut rng)
        };
        Ensemble { members: (0..MEMBERS).into_par_iter().map(train).collect(), mean, deviation }
    }
}

impl Said {
    fn prediction(&self, scale: f64) -> Prediction {
        Prediction { accuracy: self.accuracy as f32, deviation: (scale * self.spread) as f32 }
    }
}

impl Ensemble {
    fn say(&self, row: &Row) -> Said {
        let said: Vec<f64> = self.members.iter().map(|member| f64::from(member.predict(row))).collect();
        let mean = said.iter().sum::<f64>() / said.len() as f64;
        let squares = said.iter().map(|said| (said - mean).powi(2)).sum::<f64>();
        Said {
            accuracy: self.mean + self.deviation * mean,
            spread: self.deviation * (squares / (said.len() - 1) as f64).sqrt(),
        }
    }

    /// The members side by side as one network, their distances from their mean times `scale`.
    fn layers(&self, sums: &Sums, scale: f64) -> Vec<Dense> {
        let count = self.members.len();
        let mut first = Dense { inputs: self.members[0].hidden.len(), weights: vec![], bias: vec![] };
        for member in &self.members {
            for i in 0..HIDDEN {
                let of_sums: Vec<f32> = member.sums.iter().map(|weights| weights[i]).collect();
                let (of_sums, bias) = sums.fold(&of_sums);
                first.weights.extend(member.hidden.iter().zip(of_sums).map(|(weights, more)| weights[i] + more));
                first.bias.push(member.hidden_bias[i] + bias);
            }
        }
        // Output o is the mean of all members, plus `scale` times the distance of member o from it.
        let share = |output: usize, member: usize| {
            let own = if output == member { scale } else { 0.0 };
            self.deviation * (own + (1.0 - scale) / count as f64)
        };
        let outputs = |output: usize| {
            let members = self.members.iter().enumerate();
            members
                .flat_map(move |(m, member)| member.output.map(|weight| (share(output, m) * f64::from(weight)) as f32))
        };
        let bias = |output: usize| {
            let members = self.members.iter().enumerate();
            self.mean + members.map(|(m, member)| share(output, m) * f64::from(member.output_bias)).sum::<f64>()
        };
        let last = Dense {
            inputs: count * HIDDEN,
            weights: (0..count).flat_map(outputs).collect(),
            bias: (0..count).map(|output| bias(output) as f32).collect(),
        };
        vec![first, last]
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::predictor::Predictor;
    use crate::space::Arch;

    /// Accuracies that depend on the arch, and on luck.
    fn samples(space: &Space, count: usize, luck: f64) -> Vec<Sample> {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let archs = crate::survey::draw(space, count, &mut rng);
        let mut judge = |arch: Arch| {
            let macs: u64 = space.layers(&arch).iter().map(runtime::Layer::macs).sum();
            let accuracy = 0.7 + 0.03 * (macs as f64 / 4e5).ln() + luck * rng.random_range(-1.0..1.0);
            Sample { arch, accuracy }
        };
        archs.into_iter().map(&mut judge).collect()
    }

    #[test]
    fn a_predictor_orders_archs_that_it_has_not_seen() {
        let space = Space::load("fashion").unwrap();
        let samples = samples(&space, 150, 0.0);
        let (layers, report) = fit(&space, &samples, 1).unwrap();
        assert_eq!((report.trained_on, report.held_out), (150, 150));
        assert!(report.kendall_tau > 0.8, "{report:?}");
        assert!(report.rmse < 0.25 * (report.span[1] - report.span[0]), "{report:?}");
        assert_eq!(report.curve.iter().map(|point| point.samples).collect::<Vec<_>>(), [20, 40, 80, 120]);
        assert!(report.curve[0].rmse > 1.5 * report.curve[3].rmse, "{report:?}");
        assert_eq!(fit(&space, &samples, 1).unwrap(), (layers, report), "the same for a seed");
    }

    #[test]
    fn the_file_says_what_the_members_say() {
        let space = Space::load("fashion").unwrap();
        let samples = samples(&space, 40, 0.01);
        let problem = Problem::new(&space, &samples, 3);
        let ensemble = problem.ensemble(&(0..20).collect::<Vec<_>>());
        let predictor = Predictor::new(&ensemble.layers(&problem.sums, 1.7), &space).unwrap();
        let archs: Vec<_> = samples.iter().map(|sample| sample.arch.clone()).collect();
        let mut spread = 0.0;
        for (row, said) in problem.rows.iter().zip(predictor.predict_interval(&archs).unwrap()) {
            let expected = ensemble.say(row).prediction(1.7);
            assert!((said.accuracy - expected.accuracy).abs() < 1e-5, "{said:?} {expected:?}");
            assert!((said.deviation - expected.deviation).abs() < 1e-5, "{said:?} {expected:?}");
            spread += said.deviation / 40.0;
        }
        assert!(spread > 0.0005, "{spread}");
    }

    /// Two thirds and nineteen in twenty, if errors are normal.
    #[test]
    fn deviations_are_those_of_the_errors() {
        let space = Space::load("fashion").unwrap();
        let (_, report) = fit(&space, &samples(&space, 120, 0.02), 5).unwrap();
        assert!((0.55..0.8).contains(&report.within[0]), "{:?}", report.within);
        assert!((0.9..=1.0).contains(&report.within[1]), "{:?}", report.within);
    }

    #[test]
    fn too_few_samples_are_refused() {
        let space = Space::load("fashion").unwrap();
        let samples = [Sample { arch: space.smallest(), accuracy: 0.5 }];
        assert!(fit(&space, &samples, 0).is_err());
    }
}
