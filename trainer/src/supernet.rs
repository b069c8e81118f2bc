//! The supernet: the weights of the largest net, of which every subnet uses a part.
//!
//! ```text
//!  depth     the first blocks of a stage
//!  width     the first channels of a block's hidden maps, once these are sorted by importance; so it is with the
//!            squeezed vector of squeeze-and-excite
//!  kernel    the centre of the larger kernel, times a learned matrix (`elastic`)
//!  statistics of batch norm belong to a subnet, not to the supernet: `Statistics` is a value of its own
//! ```
//!
//! Nothing here has a current subnet: the arch is an argument of everything.

mod depthwise;
mod elastic;
mod extract;
mod file;
mod gradient;
mod layerwise;
mod sort;
#[cfg(test)]
mod tests;
mod weights;

use anyhow::{Result, bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{Activation, Block, Layer};
use tch::nn::VarStore;
use tch::{Device, Tensor, no_grad};

use crate::dataset::{Dataset, Facts, Normalisation};
use crate::space::{Arch, Space};
pub(crate) use gradient::{Forward, Parameter};
use weights::{Attention, Dense, Norm, Unit};

/// Added to a variance before its root.
const EPSILON: f64 = 1e-5;

/// All weights of a space's nets.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use tch::{Device, Kind, Tensor};
/// use trainer::supernet::Supernet;
///
/// let (space, dataset) = (made_up::space(), made_up::dataset());
/// let normalisation = dataset.train.normalisation()?;
/// let supernet = Supernet::new(&space, normalisation, Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1))?;
/// supernet.check(&dataset)?;
/// assert!(supernet.facts().is_none(), "it has learned nothing yet");
/// let pixels = Tensor::full([4, 1, 24, 24], 128.0, (Kind::Float, Device::Cpu));
/// assert_eq!(supernet.forward(&space.smallest(), &pixels).size(), [4, 2]);
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("supernet.safetensors");
/// supernet.save(&path, 1)?;
/// let (loaded, seed) = Supernet::load(&path, Device::Cpu)?;
/// assert_eq!((loaded.space(), loaded.normalisation(), seed), (&space, supernet.normalisation(), 1));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug)]
pub struct Supernet {
    space: Space,
    normalisation: Normalisation,
    facts: Option<Facts>,
    variables: VarStore,
    units: Vec<Unit>,
}

/// Mean and variance of every batch norm of one subnet, in the order in which it computes them.
#[derive(Debug)]
pub(crate) struct Statistics(Vec<(Tensor, Tensor)>);

impl Statistics {
    /// The mean of the statistics of several batches.
    pub(crate) fn mean(batches: &[Self]) -> Self {
        let mean = |tensors: Vec<&Tensor>| Tensor::stack(&tensors, 0).mean_dim([0].as_slice(), false, None);
        let of_norm = |norm: usize| {
            let (means, variances) = batches.iter().map(|batch| (&batch.0[norm].0, &batch.0[norm].1)).unzip();
            (mean(means), mean(variances))
        };
        Self((0..batches.first().map_or(0, |batch| batch.0.len())).map(of_norm).collect())
    }
}

impl Supernet {
    /// A supernet with He-initialised weights (He et al. 2015, fan-out).
    ///
    /// # Errors
    /// If the images don't have the space's channels.
    pub fn new(space: &Space, normalisation: Normalisation, device: Device, rng: &mut impl Rng) -> Result<Self> {
        let layers = space.layers(&space.largest());
        let channels = usize::from(space.input.channels.0);
        ensure!(
            normalisation.mean.len() == channels && normalisation.deviation.len() == channels,
            "the space {} reads {channels} channels, the images have {}",
            space.name,
            normalisation.mean.len()
        );
        let variables = VarStore::new(device);
        let units = weights::units(space, &layers, &variables.root(), rng);
        Ok(Self { space: space.clone(), normalisation, facts: None, variables, units })
    }

    /// The space whose nets it holds.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// How pixels become its input.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    /// The same, knowing what images it learns from.
    pub(crate) fn with_facts(self, facts: Facts) -> Self {
        Self { facts: Some(facts), ..self }
    }

    /// What images it has learned from, if that is known.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Whether a dataset tells apart what this learned to tell apart, with as many channels.
    ///
    /// # Errors
    /// Says what differs.
    pub fn check(&self, dataset: &Dataset) -> Result<()> {
        let (reads, has) = (self.space.input.channels.0, dataset.train.channels());
        ensure!(reads == has, "the supernet reads {reads} channels, the images have {has}");
        if let Some(facts) = &self.facts
            && facts.classes != dataset.names
        {
            let list = |names: &[String]| names.join(", ");
            let (learned, has) = (list(&facts.classes), list(&dataset.names));
            bail!("the supernet learned the classes {learned}, the dataset has {has}; name the same with --data");
        }
        Ok(())
    }

    /// Where its weights are, and where inputs belong.
    pub(crate) fn device(&self) -> Device {
        self.variables.device()
    }

    /// Its weights, for an optimiser.
    pub(crate) fn variables(&self) -> &VarStore {
        &self.variables
    }

    /// The same weights in other memory.
    ///
    /// # Errors
    /// If libtorch cannot copy.
    pub(crate) fn snapshot(&self) -> Result<Self> {
        let mut copy = self.blank()?;
        copy.variables.copy(&self.variables)?;
        Ok(copy)
    }

    /// The same but for its weights.
    fn blank(&self) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let blank = Self::new(&self.space, self.normalisation.clone(), self.device(), &mut rng)?;
        Ok(Self { facts: self.facts.clone(), ..blank })
    }

    /// The same weights in the same memory, for another thread: what is written to one is seen by all.
    ///
    /// # Errors
    /// If libtorch fails.
    pub(crate) fn share(&self) -> Result<Self> {
        let shared = self.blank()?;
        let ours = self.variables.variables();
        for (name, mut variable) in shared.variables.variables() {
            variable.f_set_data(&ours[&name].detach())?;
        }
        Ok(shared)
    }

    /// Scores, batch × classes, of float pixels, batch × channels × height × width, as training sees them:
    /// normalised by the batch's own statistics.
    pub fn forward(&self, arch: &Arch, pixels: &Tensor) -> Tensor {
        self.walk(arch, pixels, &mut |map: &Tensor, norm: &Norm| norm.apply(map, None, true, 0.0))
    }

    /// The statistics of a subnet over these pixels: what it needs before it is judged or shipped.
    pub(crate) fn statistics(&self, arch: &Arch, pixels: &Tensor) -> Statistics {
        let mut measured = Vec::new();
        let mut normalise = |map: &Tensor, norm: &Norm| norm.measure(map, &mut measured);
        let _ = no_grad(|| self.walk(arch, pixels, &mut normalise));
        Statistics(measured)
    }

    /// Scores as the shipped subnet gives them: normalised by `statistics`, without gradients.
    pub(crate) fn predict(&self, arch: &Arch, pixels: &Tensor, statistics: &Statistics) -> Tensor {
        let mut measured = statistics.0.iter();
        no_grad(|| {
            self.walk(arch, pixels, &mut |map: &Tensor, norm: &Norm| norm.apply(map, measured.next(), false, 0.0))
        })
    }

    /// Pixels as the first layer reads them: normalised, channels innermost in memory.
    pub(crate) fn input(&self, pixels: &Tensor) -> Tensor {
        let vector = |values: &[f32]| Tensor::from_slice(values).view([1, -1, 1, 1]).to_device(self.device());
        let Normalisation { mean, deviation } = &self.normalisation;
        channels_last(&((pixels - vector(mean)) / vector(deviation)))
    }

    /// The net from pixels to scores.
    fn walk(&self, arch: &Arch, pixels: &Tensor, pass: &mut impl Pass) -> Tensor {
        let layers = self.space.layers(arch).into_iter().zip(self.space.slots(arch));
        layers.fold(self.input(pixels), |map, (layer, slot)| self.layer(&layer, slot, &map, pass))
    }

    /// One layer, with the weights of this slot.
    fn layer(&self, layer: &Layer, slot: usize, map: &Tensor, pass: &mut impl Pass) -> Tensor {
        match (layer, &self.units[slot]) {
            (Layer::Conv(conv), Unit::Conv { weight, norm }) => {
                let padding = i64::from(conv.kernel / 2);
                let output = convolve(map, weight, i64::from(conv.stride), padding, 1);
                // A map with one channel has no channels-last order, so the input's was lost.
                activate(conv.activation, &pass.normalise(&channels_last(&output), norm))
            }
            (Layer::Block(block), Unit::Block(weights)) => weights.run(block, map, pass),
            (Layer::Pool(_), Unit::Pool) => map.mean_dim([2, 3].as_slice(), false, None),
            (Layer::Linear(linear), Unit::Linear(Dense { weight, bias })) => {
                activate(linear.activation, &map.linear(weight, Some(bias)))
            }
            _ => unreachable!("units are made from the same walk"),
        }
    }
}

/// What differs between training, measuring statistics and predicting.
trait Pass {
    /// What batch norm does.
    fn normalise(&mut self, map: &Tensor, norm: &Norm) -> Tensor;

    /// A depthwise convolution; `kernel` is channels × 1 × side × side.
    fn depthwise(&mut self, map: &Tensor, kernel: Tensor, stride: u8) -> Tensor {
        let size = kernel.size();
        convolve(map, &kernel, i64::from(stride), size[3] / 2, size[0])
    }
}

impl<F: FnMut(&Tensor, &Norm) -> Tensor> Pass for F {
    fn normalise(&mut self, map: &Tensor, norm: &Norm) -> Tensor {
        self(map, norm)
    }
}

impl weights::BlockWeights {
    fn run(&self, block: &Block, input: &Tensor, pass: &mut impl Pass) -> Tensor {
        let hidden = i64::from(block.expanded);
        let mut map = input.shallow_clone();
        if let (true, Some((weight, norm))) = (block.expands(), &self.expand) {
            let output = pointwise(&map, &weight.narrow(0, 0, hidden));
            map = activate(block.activation, &pass.normalise(&output, &norm.first(hidden)));
        }
        let kernel = self.depthwise.kernel(block.kernel, hidden);
        let output = pass.depthwise(&map, kernel, block.stride);
        map = activate(block.activation, &pass.normalise(&output, &self.depthwise_norm.first(hidden)));
        if let Some(attention) = &self.attention {
            map = attention.apply(block, &map);
        }
        let output = pointwise(&map, &self.project.narrow(1, 0, hidden));
        map = pass.normalise(&output, &self.project_norm);
        if block.residual { map + input } else { map }
    }
}

impl Attention {
    /// Each channel of the map times h-sigmoid(excite(relu(squeeze(its mean)))), where h-sigmoid(x) is
    /// min(max(x + 3, 0), 6) / 6.
    fn apply(&self, block: &Block, map: &Tensor) -> Tensor {
        let [squeeze, excite] = self.first(block);
        let mean = map.mean_dim([2, 3].as_slice(), false, None);
        let squeezed = mean.linear(&squeeze.weight, Some(&squeeze.bias)).relu();
        let scale = squeezed.linear(&excite.weight, Some(&excite.bias)).hardsigmoid();
        map * scale.unsqueeze(2).unsqueeze(3)
    }
}

impl Norm {
    fn first(&self, channels: i64) -> Self {
        Self { weight: self.weight.narrow(0, 0, channels), bias: self.bias.narrow(0, 0, channels) }
    }

    /// Normalises by the map's own statistics and appends these to `measured`.
    fn measure(&self, map: &Tensor, measured: &mut Vec<(Tensor, Tensor)>) -> Tensor {
        let statistics = (self.bias.zeros_like(), self.bias.ones_like());
        let output = self.apply(map, Some(&statistics), true, 1.0);
        measured.push(statistics);
        output
    }

    fn apply(&self, map: &Tensor, statistics: Option<&(Tensor, Tensor)>, training: bool, momentum: f64) -> Tensor {
        let (mean, variance) = statistics.map(|(mean, variance)| (mean, variance)).unzip();
        map.batch_norm(Some(&self.weight), Some(&self.bias), mean, variance, training, momentum, EPSILON, true)
    }
}

fn convolve(map: &Tensor, weight: &Tensor, stride: i64, padding: i64, groups: i64) -> Tensor {
    map.conv2d(weight, None::<Tensor>, stride, padding, 1, groups)
}

/// A 1×1 convolution. Where a gradient will be wanted on a CPU it is a product of matrices, whose weight gradient is one
/// too: libtorch's for convolutions takes up to five times as long.
fn pointwise(map: &Tensor, weight: &Tensor) -> Tensor {
    if !map.requires_grad() || map.device() != Device::Cpu {
        return convolve(map, weight, 1, 0, 1);
    }
    let weight = weight.squeeze_dim(3).squeeze_dim(2);
    map.permute([0, 2, 3, 1]).matmul(&weight.tr()).permute([0, 3, 1, 2])
}

fn activate(activation: Activation, map: &Tensor) -> Tensor {
    match activation {
        Activation::None => map.shallow_clone(),
        Activation::Relu => map.relu(),
        Activation::Relu6 => map.relu6(),
        Activation::HSwish => map.hardswish(),
    }
}

/// The same map with its channels innermost in memory, where libtorch's convolutions are fastest on CPUs.
fn channels_last(map: &Tensor) -> Tensor {
    map.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
