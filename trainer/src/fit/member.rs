//! One member of a predictor: features, a hidden layer with ReLU, a number.
//!
//! Features are zeros and ones, so a row lists its ones. Plain loops in a fixed order: the same bits on any
//! number of threads.

use rand::{Rng, RngExt};

/// Length of the hidden layer.
pub(super) const HIDDEN: usize = 32;
const STEPS: usize = 200;
const LEARNING_RATE: f32 = 1e-2;
const WEIGHT_DECAY: f32 = 2.0;
/// Of the gradient's mean and of its square's (Kingma and Ba 2015).
const MEMORY: [f32; 2] = [0.9, 0.999];

/// What members read of a sample.
pub(super) struct Row {
    /// Positions of the ones among its features.
    pub ones: Vec<usize>,
    /// Its [`super::sums::Sums`].
    pub sums: Vec<f32>,
}

/// A trained member.
pub(super) struct Member {
    /// feature × hidden.
    pub hidden: Vec<[f32; HIDDEN]>,
    /// sum × hidden.
    pub sums: Vec<[f32; HIDDEN]>,
    pub hidden_bias: [f32; HIDDEN],
    pub output: [f32; HIDDEN],
    pub output_bias: f32,
}

impl Member {
    /// AdamW (Loshchilov and Hutter 2019) on all samples, with their targets, at once; the rate falls to 0. The targets
    /// should be standardised.
    pub fn train(features: usize, samples: &[(&Row, f32)], rng: &mut impl Rng) -> Self {
        let sums = samples[0].0.sums.len();
        let mut member = Self::new(features, sums, rng);
        let mut moments = vec![[0.0; 2]; member.parameters().count()];
        let mut corrections = [1.0; 2];
        for step in 0..STEPS {
            let mut gradient = Self::zero(features, sums);
            for (row, target) in samples {
                let hidden = member.hidden(row);
                let error = 2.0 * (member.output(&hidden) - target) / samples.len() as f32;
                gradient.output_bias += error;
                let mut back = [0.0; HIDDEN];
                for i in 0..HIDDEN {
                    gradient.output[i] += error * hidden[i];
                    back[i] = if hidden[i] > 0.0 { error * member.output[i] } else { 0.0 };
                    gradient.hidden_bias[i] += back[i];
                }
                for &feature in &row.ones {
                    let gradient = &mut gradient.hidden[feature];
                    (0..HIDDEN).for_each(|i| gradient[i] += back[i]);
                }
                for (gradient, sum) in gradient.sums.iter_mut().zip(&row.sums) {
                    (0..HIDDEN).for_each(|i| gradient[i] += sum * back[i]);
                }
            }
            let rate = LEARNING_RATE * (1.0 - step as f32 / STEPS as f32);
            (0..2).for_each(|i| corrections[i] *= MEMORY[i]);
            let [mean_scale, square_scale] = corrections.map(|correction| 1.0 / (1.0 - correction));
            let parameters = member.parameters().zip(gradient.parameters()).zip(&mut moments);
            for ((parameter, gradient), [mean, square]) in parameters {
                *mean = MEMORY[0] * *mean + (1.0 - MEMORY[0]) * *gradient;
                *square = MEMORY[1] * *square + (1.0 - MEMORY[1]) * *gradient * *gradient;
                *parameter -= rate * WEIGHT_DECAY * *parameter;
                *parameter -= rate * (*mean * mean_scale) / ((*square * square_scale).sqrt() + 1e-8);
            }
        }
        member
    }

    /// What it says of a sample.
    pub fn predict(&self, row: &Row) -> f32 {
        self.output(&self.hidden(row))
    }

    fn new(features: usize, sums: usize, rng: &mut impl Rng) -> Self {
        let mut member = Self::zero(features, sums);
        let mut draw = |inputs: usize, values: &mut dyn Iterator<Item = &mut f32>| {
            let bound = (1.0 / inputs as f32).sqrt();
            values.for_each(|value| *value = rng.random_range(-bound..bound));
        };
        draw(features + sums, &mut member.hidden.iter_mut().chain(&mut member.sums).flatten());
        draw(HIDDEN, &mut member.output.iter_mut());
        member
    }

    fn zero(features: usize, sums: usize) -> Self {
        let none = [0.0; HIDDEN];
        Self { hidden: vec![none; features], sums: vec![none; sums], hidden_bias: none, output: none, output_bias: 0.0 }
    }

    fn parameters(&mut self) -> impl Iterator<Item = &mut f32> {
        let vectors = [&mut self.hidden_bias, &mut self.output];
        self.hidden.iter_mut().chain(&mut self.sums).chain(vectors).flatten().chain([&mut self.output_bias])
    }

    fn hidden(&self, row: &Row) -> [f32; HIDDEN] {
        let mut sum = self.hidden_bias;
        for &feature in &row.ones {
            let weights = &self.hidden[feature];
            (0..HIDDEN).for_each(|i| sum[i] += weights[i]);
        }
        for (weights, value) in self.sums.iter().zip(&row.sums) {
            (0..HIDDEN).for_each(|i| sum[i] += value * weights[i]);
        }
        sum.map(|value| value.max(0.0))
    }

    fn output(&self, hidden: &[f32; HIDDEN]) -> f32 {
        self.output_bias + hidden.iter().zip(&self.output).map(|(hidden, weight)| hidden * weight).sum::<f32>()
    }
}
