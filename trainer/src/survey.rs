//! What a predictor learns from: subnets of a supernet with their measured accuracy.

use indicatif::ProgressIterator;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::dataset::Images;
use crate::evaluate::{accuracy, calibrate};
use crate::predictor::features;
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

/// Draws `count` different archs: the smallest and the largest, nets with each single choice of the space, and
/// others drawn evenly. Fewer where the space has fewer.
pub fn draw(space: &Space, count: usize, rng: &mut impl Rng) -> Vec<Arch> {
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
pub fn judge(supernet: &Supernet, archs: Vec<Arch>, train: &Images, validation: &Images) -> Vec<Sample> {
    let style = indicatif::ProgressStyle::with_template("  judging nets {bar:24} {pos}/{len}, {eta} left")
        .expect("the template is valid");
    let judge = |arch: Arch| {
        let statistics = calibrate(supernet, &arch, train);
        let accuracy = accuracy(supernet, &arch, &statistics, validation);
        Sample { arch, accuracy }
    };
    archs.into_iter().progress_with_style(style).map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_ends_and_every_choice_are_drawn_and_no_net_twice() {
        let space = Space::load("fashion").unwrap();
        let archs = draw(&space, 40, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!((archs.len(), &archs[0], &archs[1]), (40, &space.smallest(), &space.largest()));
        let counts = archs.iter().map(|arch| features(&space, arch)).reduce(|sum, features| {
            sum.iter().zip(&features).map(|(a, b)| a + b).collect()
        });
        assert!(counts.unwrap().iter().all(|&count| count > 0.0));
        let distinct: std::collections::BTreeSet<_> = archs.iter().collect();
        assert_eq!(distinct.len(), archs.len());
    }
}
