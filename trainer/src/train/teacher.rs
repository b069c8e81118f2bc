//! What nets learn: their labels, and the scores of a net that they imitate.

use anyhow::Result;
use tch::{Kind, Tensor};

use crate::dataset::Split;
use crate::evaluate::calibrate;
use crate::recipe::{Distillation, DistillationLoss, Phase, Recipe, Teacher};
use crate::space::Arch;
use crate::supernet::{Statistics, Supernet};

/// The largest net as it was.
pub(super) struct Frozen {
    supernet: Supernet,
    arch: Arch,
    statistics: Statistics,
}

impl Frozen {
    /// The largest net as it is now; later steps don't change it.
    pub fn new(supernet: &Supernet, train: &Split) -> Result<Self> {
        Self::from(supernet.snapshot()?, train)
    }

    /// The largest net of these weights.
    pub fn from(supernet: Supernet, train: &Split) -> Result<Self> {
        let arch = supernet.space().largest();
        let statistics = calibrate(&supernet, &arch, train)?;
        Ok(Self { supernet, arch, statistics })
    }

    /// Its weights.
    pub fn supernet(&self) -> &Supernet {
        &self.supernet
    }

    /// Its scores, from pixels at any resolution.
    pub fn scores(&self, pixels: impl Fn(u16) -> Tensor) -> Tensor {
        self.supernet.predict(&self.arch, &pixels(self.arch.resolution), &self.statistics)
    }
}

/// What the nets of a phase learn.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    distillation: Option<Distillation>,
    label_smoothing: f64,
}

impl Goal {
    /// Of a phase of a recipe.
    pub fn new(phase: &Phase, recipe: &Recipe) -> Self {
        Self { distillation: phase.distillation, label_smoothing: recipe.label_smoothing }
    }

    /// Whether a step's first net is what its others imitate.
    pub fn in_place(&self) -> bool {
        self.distillation.is_some_and(|distillation| distillation.teacher == Teacher::InPlace)
    }

    /// How far scores are from the labels, and from those of the teacher where there is one.
    pub fn loss(&self, scores: &Tensor, labels: &Tensor, teacher: Option<&Tensor>) -> Tensor {
        let of_labels =
            || scores.cross_entropy_loss(labels, None::<Tensor>, tch::Reduction::Mean, -100, self.label_smoothing);
        match (&self.distillation, teacher) {
            (Some(distillation), Some(teacher)) => {
                let loss = distance(distillation, scores, teacher) * distillation.weight;
                if distillation.labels > 0.0 { loss + of_labels() * distillation.labels } else { loss }
            }
            _ => of_labels(),
        }
    }
}

/// The distance of a net's scores to its teacher's.
fn distance(distillation: &Distillation, scores: &Tensor, teacher: &Tensor) -> Tensor {
    let temperature = distillation.temperature;
    let log = |scores: &Tensor| (scores / temperature).log_softmax(1, Kind::Float);
    let expected = |values: Tensor| (log(teacher).exp() * values).sum_dim_intlist([1].as_slice(), false, Kind::Float);
    match distillation.loss {
        DistillationLoss::SoftLabels => -expected(log(scores)).mean(Kind::Float),
        DistillationLoss::Kl => expected(log(teacher) - log(scores)).mean(Kind::Float) * temperature.powi(2),
        DistillationLoss::Squares => scores.mse_loss(teacher, tch::Reduction::Mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distillation(loss: DistillationLoss, temperature: f64) -> Distillation {
        Distillation { teacher: Teacher::Frozen, loss, temperature, weight: 1.0, labels: 1.0 }
    }

    /// With two classes whose scores are 0 and ln 3, softmax is ¼ and ¾.
    #[test]
    fn distances_are_what_their_formulas_say() {
        let scores = Tensor::from_slice2(&[[0.0, 3.0_f64.ln()]]).to_kind(Kind::Float);
        let teacher = Tensor::from_slice2(&[[0.0, 0.0_f32]]);
        let distance =
            |loss, temperature| distance(&distillation(loss, temperature), &scores, &teacher).double_value(&[]);
        let soft = 0.5 * (4.0_f64.ln() + (4.0_f64 / 3.0).ln());
        assert!((distance(DistillationLoss::SoftLabels, 1.0) - soft).abs() < 1e-6);
        assert!((distance(DistillationLoss::Kl, 1.0) - (soft - 2.0_f64.ln())).abs() < 1e-6);
        assert!((distance(DistillationLoss::Squares, 1.0) - 3.0_f64.ln().powi(2) / 2.0).abs() < 1e-6);
        let [a, b] = [1.0, 3.0_f64.sqrt()].map(|odds| odds / (1.0 + 3.0_f64.sqrt()));
        let halved = -(2.0 * a).ln() - (2.0 * b).ln();
        assert!((distance(DistillationLoss::Kl, 2.0) - 4.0 * halved / 2.0).abs() < 1e-5);
    }
}
