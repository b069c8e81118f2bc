//! What an arch's features add up to: how deep, how wide, with how large kernels, in each stage and in all.
//!
//! Most of an arch's accuracy goes with these, so members read them beside the features and need fewer samples. They
//! are linear in the features: in the predictor's file they are part of the first layer's weights, which read the
//! features alone.

use crate::space::Space;

/// Of each sum over the samples. More than the features' own, so that a member turns to the sums first.
const DEVIATION: f32 = 2.0;

/// Sums as a linear function of the features: each has the mean 0 and the same deviation over the samples.
pub(super) struct Sums {
    /// feature × sum.
    weights: Vec<Vec<f32>>,
    offsets: Vec<f32>,
}

impl Sums {
    /// `rows`: for each sample the positions of the ones among its features.
    pub fn new(space: &Space, rows: &[Vec<usize>]) -> Self {
        let mut weights = raw(space);
        let count = rows.len() as f32;
        let mut offsets = vec![0.0; weights[0].len()];
        for (sum, offset) in offsets.iter_mut().enumerate() {
            let values = || rows.iter().map(|row| row.iter().map(|&feature| weights[feature][sum]).sum::<f32>());
            let mean = values().sum::<f32>() / count;
            let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
            let scale = if deviation > 1e-3 { DEVIATION / deviation } else { 0.0 };
            weights.iter_mut().for_each(|weights| weights[sum] *= scale);
            *offset = -scale * mean;
        }
        Self { weights, offsets }
    }

    /// The sums of a sample with these ones.
    pub fn of(&self, ones: &[usize]) -> Vec<f32> {
        let mut sums = self.offsets.clone();
        for &feature in ones {
            sums.iter_mut().zip(&self.weights[feature]).for_each(|(sum, weight)| *sum += weight);
        }
        sums
    }

    /// What weights on the sums amount to: a weight on each feature, and a bias.
    pub fn fold(&self, weights: &[f32]) -> (Vec<f32>, f32) {
        let dot = |sums: &[f32]| sums.iter().zip(weights).map(|(sum, weight)| sum * weight).sum();
        (self.weights.iter().map(|sums| dot(sums)).collect(), dot(&self.offsets))
    }
}

/// feature × sum: depth, kernels and expand ratios of each stage, then of all stages, then the resolution. A choice
/// counts from −1, the first of its list, to 1, the last; the only one counts 0.
fn raw(space: &Space) -> Vec<Vec<f32>> {
    let stages = space.stages.0.len();
    let count = 3 * (stages + 1) + 1;
    let ranks = |choices: usize| {
        let last = choices as f32 - 1.0;
        (0..choices).map(move |i| if choices == 1 { 0.0 } else { 2.0 * i as f32 / last - 1.0 })
    };
    let mut weights = vec![];
    for (s, stage) in space.stages.0.iter().enumerate() {
        let mut add = |values: [f32; 3]| {
            let mut sums = vec![0.0; count];
            sums[3 * s..3 * s + 3].copy_from_slice(&values);
            sums[3 * stages..3 * stages + 3].copy_from_slice(&values);
            weights.push(sums);
        };
        for _ in 0..stage.max_depth() {
            ranks(stage.kernel.0.len()).for_each(|rank| add([1.0, rank, 0.0]));
            ranks(stage.expand.0.len()).for_each(|rank| add([0.0, 0.0, rank]));
        }
    }
    for rank in ranks(space.input.resolutions.0.len()) {
        let mut sums = vec![0.0; count];
        sums[count - 1] = rank;
        weights.push(sums);
    }
    weights
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::predictor::features;

    fn ones(space: &Space, arch: &crate::space::Arch) -> Vec<usize> {
        features(space, arch).iter().enumerate().filter(|(_, one)| **one > 0.0).map(|(i, _)| i).collect()
    }

    #[test]
    fn the_ends_of_the_space_are_the_ends_of_every_sum() {
        for name in ["fashion", "mobilenetv3"] {
            let space = Space::load(name).unwrap();
            let weights = raw(&space);
            assert_eq!(weights.len(), features(&space, &space.smallest()).len(), "{name}");
            let sum = |arch: &crate::space::Arch| {
                let mut sums = vec![0.0; weights[0].len()];
                for feature in ones(&space, arch) {
                    sums.iter_mut().zip(&weights[feature]).for_each(|(sum, weight)| *sum += weight);
                }
                sums
            };
            for (stage, spec) in space.stages.0.iter().enumerate() {
                let depth = spec.max_depth() as f32;
                let most = |choices: usize| if choices > 1 { depth } else { 0.0 };
                let expected = [depth, most(spec.kernel.0.len()), most(spec.expand.0.len())];
                assert_eq!(sum(&space.largest())[3 * stage..][..3], expected, "{name}");
            }
            assert_eq!(sum(&space.smallest()).last(), Some(&-1.0), "{name}");
            assert_eq!(sum(&space.largest()).last(), Some(&1.0), "{name}");
        }
    }

    #[test]
    fn folded_weights_say_the_same() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let rows: Vec<_> = (0..50).map(|_| ones(&space, &space.sample(&mut rng))).collect();
        let sums = Sums::new(&space, &rows);
        let weights: Vec<f32> = (0..sums.offsets.len()).map(|i| i as f32 - 5.0).collect();
        let (folded, bias) = sums.fold(&weights);
        for row in &rows {
            let direct: f32 = sums.of(row).iter().zip(&weights).map(|(sum, weight)| sum * weight).sum();
            let through: f32 = bias + row.iter().map(|&feature| folded[feature]).sum::<f32>();
            assert!((direct - through).abs() < 1e-3, "{direct} {through}");
        }
    }
}
