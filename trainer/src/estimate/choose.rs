//! Which layers to measure where not all can be.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::Layer;

use super::positive::dot;
use super::{Columns, Prior};

/// Of a measurement and of what the model leaves out, beside the variance of what a layer's work costs.
const NOISE: f64 = 0.1;

/// The `budget` layers that tell the most about all of them: one after the other the one that lessens the summed
/// uncertainty of all layers most (a greedy I-optimal design). Which of nearly equal ones follows from the seed. Sorted.
pub fn choose(layers: &[Layer], budget: usize, seed: u64) -> Vec<Layer> {
    let columns = Columns::new(layers, &[], Prior::Macs).expect("all layers have multiplications");
    let rows = layers.iter().map(|layer| {
        let mut row = columns.row(layer).expect("all layers have multiplications");
        // What work there is and in which parts, not how much.
        row.truncate(columns.scales.len());
        let length = dot(&row, &row).sqrt().max(f64::MIN_POSITIVE);
        row.iter_mut().for_each(|value| *value /= length);
        row
    });
    let rows: Vec<_> = rows.collect();
    let mut covariance: Vec<Vec<f64>> = rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let favour: Vec<f64> = layers.iter().map(|_| rng.random_range(0.9..1.1)).collect();
    let mut left: Vec<usize> = (0..layers.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < budget && !left.is_empty() {
        let gain = |i: usize| favour[i] * dot(&covariance[i], &covariance[i]) / (covariance[i][i] + NOISE);
        let best = (0..left.len()).max_by(|a, b| gain(left[*a]).total_cmp(&gain(left[*b]))).expect("some are left");
        let best = left.swap_remove(best);
        let known = covariance[best].clone();
        let scale = 1.0 / (known[best] + NOISE);
        for (row, own) in covariance.iter_mut().zip(&known).filter(|(_, own)| **own != 0.0) {
            row.iter_mut().zip(&known).for_each(|(value, other)| *value -= scale * own * other);
        }
        chosen.push(layers[best]);
    }
    chosen.sort_unstable();
    chosen
}
