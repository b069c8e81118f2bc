//! The tensors of the largest net, unit by unit of its walk, and their first values.

use rand::{Rng, RngExt};
use runtime::{Block, Conv, Layer, Linear};
use tch::Tensor;
use tch::nn::Path;

use super::elastic::Depthwise;
use crate::space::Space;

/// Weights of one layer of the largest net.
#[derive(Debug)]
pub(super) enum Unit {
    /// out × in × kh × kw.
    Conv {
        weight: Tensor,
        norm: Norm,
    },
    Block(BlockWeights),
    Pool,
    Linear(Dense),
}

/// Weights of an inverted residual block.
#[derive(Debug)]
pub(super) struct BlockWeights {
    /// hidden × in × 1 × 1, where the block can expand.
    pub expand: Option<(Tensor, Norm)>,
    pub depthwise: Depthwise,
    pub depthwise_norm: Norm,
    /// Where the block squeezes and excites.
    pub attention: Option<Attention>,
    /// out × hidden × 1 × 1.
    pub project: Tensor,
    pub project_norm: Norm,
}

/// Squeeze-and-excite (Hu et al. 2018, as MobileNetV3 has it).
#[derive(Debug)]
pub(super) struct Attention {
    /// squeezed × hidden.
    pub squeeze: Dense,
    /// hidden × squeezed.
    pub excite: Dense,
}

/// Scale and shift that follow a batch's normalisation, one for each channel.
#[derive(Debug)]
pub(super) struct Norm {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// out × in, and one bias for each output.
#[derive(Debug)]
pub(super) struct Dense {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// The units of the largest net's `layers`, registered under `path`.
pub(super) fn units(space: &Space, layers: &[Layer], path: &Path, rng: &mut impl Rng) -> Vec<Unit> {
    let mut kernels = space.stages.0.iter().flat_map(|stage| std::iter::repeat_n(&stage.kernel.0, stage.max_depth()));
    let mut unit = |(slot, layer): (usize, &Layer)| {
        let path = path / slot;
        match layer {
            Layer::Conv(Conv { input, channels, kernel, .. }) => {
                let (out, depth, kernel) = (i64::from(*channels), i64::from(input.channels), i64::from(*kernel));
                Unit::Conv {
                    weight: convolution(&path, "conv", [out, depth, kernel, kernel], rng),
                    norm: norm(&path, "norm", out),
                }
            }
            Layer::Block(block) => {
                let kernels = kernels.next().expect("a stage for every block");
                Unit::Block(block_weights(block, kernels, &path, rng))
            }
            Layer::Pool(_) => Unit::Pool,
            Layer::Depthwise(_) => unreachable!("{}", crate::subnet::NO_DEPTHWISE),
            Layer::Linear(Linear { inputs, outputs, .. }) => {
                let (inputs, outputs) = (i64::from(*inputs), i64::from(*outputs));
                Unit::Linear(dense(&path, [outputs, inputs], rng))
            }
        }
    };
    layers.iter().enumerate().map(&mut unit).collect()
}

fn block_weights(block: &Block, kernels: &[u8], path: &Path, rng: &mut impl Rng) -> BlockWeights {
    let (input, hidden, out) = (i64::from(block.input.channels), i64::from(block.expanded), i64::from(block.channels));
    let kernel = i64::from(block.kernel);
    BlockWeights {
        expand: block
            .expands()
            .then(|| (convolution(path, "expand", [hidden, input, 1, 1], rng), norm(path, "expand_norm", hidden))),
        depthwise: Depthwise::new(convolution(path, "depthwise", [hidden, 1, kernel, kernel], rng), kernels, path),
        depthwise_norm: norm(path, "depthwise_norm", hidden),
        attention: (block.squeeze != 0).then(|| {
            let squeezed = i64::from(block.squeeze);
            Attention {
                squeeze: dense(&(path / "squeeze"), [squeezed, hidden], rng),
                excite: dense(&(path / "excite"), [hidden, squeezed], rng),
            }
        }),
        project: convolution(path, "project", [out, hidden, 1, 1], rng),
        project_norm: norm(path, "project_norm", out),
    }
}

/// The variables under this path that weight decay leaves alone.
pub(super) fn unpenalised<'a>(path: &Path<'a>) -> Path<'a> {
    path.set_group(1)
}

fn norm(path: &Path, name: &str, channels: i64) -> Norm {
    let path = unpenalised(&(path / name));
    Norm {
        weight: path.var_copy("weight", &Tensor::ones([channels], tch::kind::FLOAT_CPU)),
        bias: path.var_copy("bias", &Tensor::zeros([channels], tch::kind::FLOAT_CPU)),
    }
}

impl Attention {
    /// What a block of this width uses: the first channels of both.
    pub fn first(&self, block: &Block) -> [Dense; 2] {
        let (hidden, squeezed) = (i64::from(block.expanded), i64::from(block.squeeze));
        let part = |dense: &Dense, outputs, inputs| Dense {
            weight: dense.weight.narrow(0, 0, outputs).narrow(1, 0, inputs),
            bias: dense.bias.narrow(0, 0, outputs),
        };
        [part(&self.squeeze, squeezed, hidden), part(&self.excite, hidden, squeezed)]
    }
}

/// out × in, with biases of 0.
fn dense(path: &Path, [outputs, inputs]: [i64; 2], rng: &mut impl Rng) -> Dense {
    let weight = uniform(&[outputs, inputs], (3.0 / inputs as f32).sqrt(), rng);
    Dense {
        weight: path.var_copy("weight", &weight),
        bias: unpenalised(path).var_copy("bias", &Tensor::zeros([outputs], tch::kind::FLOAT_CPU)),
    }
}

/// out × in × kh × kw; for a depthwise kernel `in` is 1, and an output channel then has one input only.
fn convolution(path: &Path, name: &str, size: [i64; 4], rng: &mut impl Rng) -> Tensor {
    let [out, depth, height, width] = size;
    let fan_out = if depth == 1 && height > 1 { height * width } else { out * height * width };
    path.var_copy(name, &uniform(&size, (6.0 / fan_out as f32).sqrt(), rng))
}

fn uniform(size: &[i64], bound: f32, rng: &mut impl Rng) -> Tensor {
    let values: Vec<f32> = (0..size.iter().product()).map(|_| rng.random_range(-bound..bound)).collect();
    Tensor::from_slice(&values).view(size)
}
