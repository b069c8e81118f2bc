//! A training step's two halves: scores, then the gradient of a loss of them.
//!
//! Depthwise kernels of 5×5 and 7×7 are hidden from libtorch's own backward pass, which gives the gradient of their
//! output instead; their weight gradient is computed beside it (`depthwise`), and goes on through the crops and
//! matrices of the elastic kernel as that of Σ kernel · gradient.

use runtime::Layer;
use tch::{Kind, Tensor};

use super::depthwise::{Problem, is_fast, weight_gradients};
use super::weights::Norm;
use super::{Pass, Supernet, convolve};
use crate::space::Arch;

/// One weight tensor of a supernet.
#[derive(Debug)]
pub struct Parameter {
    /// The weights themselves, not a copy.
    pub tensor: Tensor,
    /// Whether weight decay acts on it: not on batch norm, biases and kernel matrices.
    pub decays: bool,
}

impl Parameter {
    /// The same weights, not a copy.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self { tensor: self.tensor.shallow_clone(), decays: self.decays }
    }
}

/// Scores of a net, and what their gradient needs.
#[derive(Debug)]
pub struct Forward {
    /// batch × classes, before softmax.
    pub scores: Tensor,
    hidden: Vec<Hidden>,
}

/// A depthwise convolution whose kernel the backward pass does not see.
#[derive(Debug)]
struct Hidden {
    input: Tensor,
    kernel: Tensor,
    output: Tensor,
    stride: u8,
}

impl Supernet {
    /// All weights, always in this order.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let variables = self.variables.variables_.lock().expect("nothing panics while it holds the variables");
        let parameters = variables.trainable_variables.iter();
        parameters.map(|var| Parameter { tensor: var.tensor.shallow_clone(), decays: var.group == 0 }).collect()
    }

    /// The scores of [`Supernet::forward`], for a gradient by [`Forward::gradient`].
    pub(crate) fn forward_for_gradient(&self, arch: &Arch, pixels: &Tensor) -> Forward {
        let mut pass = Hiding { hidden: Vec::new() };
        let scores = self.walk(arch, pixels, &mut pass);
        Forward { scores, hidden: pass.hidden }
    }

    /// The output of one layer, with the weights of this slot, for a gradient of its own.
    pub(crate) fn layer_for_gradient(&self, layer: &Layer, slot: usize, map: &Tensor) -> Forward {
        let mut pass = Hiding { hidden: Vec::new() };
        let scores = self.layer(layer, slot, map, &mut pass);
        Forward { scores, hidden: pass.hidden }
    }
}

impl Forward {
    /// The gradient of `loss`, a function of the scores, for each of the parameters; `None` for those that the net
    /// does not use.
    pub(crate) fn gradient(self, loss: &Tensor, parameters: &[Parameter]) -> Vec<Option<Tensor>> {
        let Self { scores, hidden } = self;
        drop(scores);
        let outputs = hidden.iter().map(|hidden| &hidden.output);
        let inputs: Vec<_> = parameters.iter().map(|parameter| &parameter.tensor).chain(outputs).collect();
        let mut gradients = Tensor::run_backward(&[loss], &inputs, false, false);
        let of_outputs = gradients.split_off(parameters.len());
        let mut gradients: Vec<_> =
            gradients.into_iter().map(|gradient| gradient.defined().then_some(gradient)).collect();
        if hidden.is_empty() {
            return gradients;
        }
        let problems: Vec<_> = hidden
            .iter()
            .zip(&of_outputs)
            .map(|(Hidden { input, kernel, stride, .. }, gradient)| Problem {
                input,
                gradient,
                kernel: kernel.size()[3] as u8,
                stride: *stride,
            })
            .collect();
        let of_kernels = weight_gradients(&problems);
        let terms =
            hidden.iter().zip(&of_kernels).map(|(hidden, gradient)| (&hidden.kernel * gradient).sum(Kind::Float));
        let sum: Tensor = terms.sum();
        let tensors: Vec<_> = parameters.iter().map(|parameter| &parameter.tensor).collect();
        for (gradient, more) in gradients.iter_mut().zip(Tensor::run_backward(&[sum], &tensors, false, false)) {
            if more.defined() {
                *gradient = Some(gradient.take().map_or(more.shallow_clone(), |gradient| gradient + more));
            }
        }
        gradients
    }
}

/// The pass of training: batch norm by the batch's own statistics.
struct Hiding {
    hidden: Vec<Hidden>,
}

impl Pass for Hiding {
    fn normalise(&mut self, map: &Tensor, norm: &Norm) -> Tensor {
        norm.apply(map, None, true, 0.0)
    }

    fn depthwise(&mut self, map: &Tensor, kernel: Tensor, stride: u8) -> Tensor {
        let [channels, _, _, side] = kernel.size()[..] else { unreachable!("a kernel has four dimensions") };
        if !is_fast(side as u8, map.device()) || !map.requires_grad() {
            return convolve(map, &kernel, i64::from(stride), side / 2, channels);
        }
        let output = convolve(map, &kernel.detach(), i64::from(stride), side / 2, channels);
        self.hidden.push(Hidden { input: map.shallow_clone(), kernel, output: output.shallow_clone(), stride });
        output
    }
}
