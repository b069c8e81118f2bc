//! Stochastic gradient descent with Nesterov's momentum, as libtorch has it, with its state in the open: a resumed
//! training needs it.

use tch::{Device, Kind, Tensor, no_grad};

use crate::supernet::Parameter;

/// Largest norm of a step's gradient; a longer one is shortened to it.
const GRADIENT_NORM: f64 = 5.0;

/// The optimiser of a supernet's parameters.
pub(super) struct Sgd {
    parameters: Vec<Parameter>,
    /// Of all parameters in a row.
    velocity: Tensor,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    /// At rest.
    pub fn new(parameters: Vec<Parameter>, momentum: f64, weight_decay: f64) -> Self {
        let length: usize = parameters.iter().map(|parameter| parameter.tensor.numel()).sum();
        let device = parameters.first().map_or(Device::Cpu, |parameter| parameter.tensor.device());
        let velocity = Tensor::zeros([length as i64], (Kind::Float, device));
        Self { parameters, velocity, momentum, weight_decay }
    }

    /// What it moves.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The velocities of all parameters in a row, not a copy: its whole state.
    pub fn velocity(&self) -> &Tensor {
        &self.velocity
    }

    /// Stands still.
    pub fn rest(&mut self) {
        let _ = self.velocity.zero_();
    }

    /// One step against a gradient, in the order of the parameters.
    pub fn step(&mut self, gradient: &Gradient, learning_rate: f64) {
        no_grad(|| {
            let zeros = |parameter: &Parameter| parameter.tensor.zeros_like().view([-1]);
            let flat = self.parameters.iter().zip(&gradient.0).map(|(parameter, gradient)| {
                gradient.as_ref().map_or_else(|| zeros(parameter), |gradient| gradient.reshape([-1]))
            });
            let mut gradient = Tensor::cat(&flat.collect::<Vec<_>>(), 0);
            let norm = gradient.norm().double_value(&[]);
            if norm > GRADIENT_NORM {
                let _ = gradient.g_mul_scalar_(GRADIENT_NORM / norm);
            }
            if self.weight_decay > 0.0 {
                let decay = self.parameters.iter().map(|parameter| {
                    if parameter.decays { parameter.tensor.detach().view([-1]) } else { zeros(parameter) }
                });
                gradient += Tensor::cat(&decay.collect::<Vec<_>>(), 0) * self.weight_decay;
            }
            let _ = self.velocity.g_mul_scalar_(self.momentum).g_add_(&gradient);
            let step = (gradient + &self.velocity * self.momentum) * -learning_rate;
            let mut start = 0;
            for Parameter { tensor, .. } in &self.parameters {
                let length = tensor.numel() as i64;
                let _ = tensor.shallow_clone().g_add_(&step.narrow(0, start, length).view_as(tensor));
                start += length;
            }
        });
    }
}

/// The gradient of each parameter, where there is one.
#[derive(Default)]
pub(super) struct Gradient(Vec<Option<Tensor>>);

impl Gradient {
    /// Adds that of one more loss.
    pub fn add(&mut self, more: Vec<Option<Tensor>>) {
        if self.0.is_empty() {
            self.0 = more;
            return;
        }
        for (sum, more) in self.0.iter_mut().zip(more) {
            *sum = match (sum.take(), more) {
                (Some(sum), Some(more)) => Some(sum + more),
                (sum, more) => sum.or(more),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::{OptimizerConfig, VarStore, sgd};

    use super::*;

    /// Against libtorch's own, over a few steps, with a gradient long enough to be clipped.
    #[test]
    fn it_is_libtorchs() {
        let start = Tensor::from_slice(&[1.0_f32, -2.0, 3.0]);
        let store = VarStore::new(Device::Cpu);
        let theirs = store.root().var_copy("decays", &start);
        let free = store.root().set_group(1).var_copy("free", &start);
        let mut optimiser = sgd(0.9, 0.0, 0.0, true).build(&store, 0.1).unwrap();
        optimiser.set_weight_decay_group(0, 0.01);
        let [ours, ours_free] = [(); 2].map(|()| start.copy().set_requires_grad(true));
        let parameter = |tensor: &Tensor, decays| Parameter { tensor: tensor.shallow_clone(), decays };
        let mut own = Sgd::new(vec![parameter(&ours, true), parameter(&ours_free, false)], 0.9, 0.01);
        for factor in [10.0, 0.1, 0.3] {
            let loss = |a: &Tensor, b: &Tensor| (a.pow_tensor_scalar(2) * factor + b).sum(Kind::Float);
            optimiser.backward_step_clip_norm(&loss(&theirs, &free), GRADIENT_NORM);
            let mut gradient = Gradient::default();
            let gradients = Tensor::run_backward(&[loss(&ours, &ours_free)], &[&ours, &ours_free], false, false);
            gradient.add(gradients.into_iter().map(Some).collect());
            own.step(&gradient, 0.1);
        }
        for (ours, theirs) in [(ours, theirs), (ours_free, free)] {
            assert!((&ours - &theirs).abs().max().double_value(&[]) < 1e-6, "{ours} {theirs}");
        }
    }
}
