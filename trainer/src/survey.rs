//! What a predictor learns from: subnets of a supernet with their measured accuracy.

use std::path::Path;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dataset::Split;
use crate::evaluate::{accuracy, calibrate};
use crate::files::{self, Header};
use crate::fit::{FitReport, fit};
use crate::predictor::{self, Dense, features};
use crate::progress::with_progress;
use crate::space::{Arch, Space};
use crate::supernet::Supernet;

/// One subnet, judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The subnet.
    pub arch: Arch,
    /// Its share of correct answers on the validation images.
    pub accuracy: f64,
}

/// A trained predictor with what it was trained on.
#[derive(Clone, PartialEq, Debug)]
pub struct Survey {
    /// Identifies space and seed.
    pub header: Header,
    /// The subnets, judged.
    pub samples: Vec<Sample>,
    /// The predictor.
    pub layers: Vec<Dense>,
    /// How good it is.
    pub report: FitReport,
}

/// Draws nets, judges them on the validation images and trains a predictor.
///
/// # Errors
/// If there are too few nets to train on, or pictures cannot be decoded.
pub fn run(supernet: &Supernet, train: &Split, validation: &Split, count: usize, seed: u64) -> Result<Survey> {
    let space = supernet.space();
    let archs = draw(space, count, &mut ChaCha8Rng::seed_from_u64(seed));
    let samples = judge(supernet, archs, train, validation)?;
    let (layers, report) = fit(space, &samples, seed)?;
    Ok(Survey { header: Header::new(predictor::FORMAT, &space.hash(), seed), samples, layers, report })
}

impl Survey {
    /// Writes the predictor to `path`, and beside it as `.json` the samples with the report.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        #[derive(Serialize)]
        struct Report<'a> {
            header: &'a Header,
            report: &'a FitReport,
            samples: &'a [Sample],
        }
        let Self { header, samples, layers, report } = self;
        files::write_json(&path.with_extension("json"), &Report { header, report, samples })?;
        let numbers = [("rmse", report.rmse), ("kendall_tau", report.kendall_tau), ("spearman", report.spearman)];
        files::write(path, &predictor::write_mlp(layers, header, &numbers))
    }
}

/// Draws `count` different archs: the smallest and the largest, nets with each single choice of the space, and
/// others drawn evenly. Fewer where the space has fewer.
pub(crate) fn draw(space: &Space, count: usize, rng: &mut impl Rng) -> Vec<Arch> {
    let mut archs = vec![space.smallest(), space.largest()];
    let mut covered = vec![false; features(space, &archs[0]).len()];
    let mut add = |arch: Arch, archs: &mut Vec<Arch>| {
        for (covered, feature) in covered.iter_mut().zip(features(space, &arch)) {
            *covered |= feature > 0.0;
        }
        archs.push(arch);
        covered.iter().position(|covered| !covered)
    };
    archs.dedup();
    let mut missing = Some(0);
    for arch in std::mem::take(&mut archs) {
        missing = add(arch, &mut archs);
    }
    // A space with as many nets as are asked for is exhausted only by chance: so many draws may find nothing new.
    let mut fruitless = 0;
    while archs.len() < count && fruitless < 10_000 {
        let arch = space.sample(rng);
        let useful = missing.is_none_or(|feature| features(space, &arch)[feature] > 0.0);
        if useful && !archs.contains(&arch) {
            missing = add(arch, &mut archs);
            fruitless = 0;
        } else {
            fruitless += 1;
        }
    }
    archs
}

/// Judges each arch with statistics of its own.
fn judge(supernet: &Supernet, archs: Vec<Arch>, train: &Split, validation: &Split) -> Result<Vec<Sample>> {
    with_progress("judge", archs.len(), |done| {
        let judge = |arch: Arch| {
            let statistics = calibrate(supernet, &arch, train)?;
            let accuracy = accuracy(supernet, &arch, &statistics, validation)?;
            done();
            Ok(Sample { arch, accuracy })
        };
        archs.into_iter().map(judge).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_every_choice_are_drawn_and_no_net_twice() {
        let space = Space::load("fashion").unwrap();
        let archs = draw(&space, 40, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!((archs.len(), &archs[0], &archs[1]), (40, &space.smallest(), &space.largest()));
        let counts = archs
            .iter()
            .map(|arch| features(&space, arch))
            .reduce(|sum, features| sum.iter().zip(&features).map(|(a, b)| a + b).collect());
        assert!(counts.unwrap().iter().all(|&count| count > 0.0));
        let distinct: std::collections::BTreeSet<_> = archs.iter().collect();
        assert_eq!(distinct.len(), archs.len());
    }
}
