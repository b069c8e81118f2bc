//! One net taken out of the supernet: float weights with batch norm folded in. `subnet.onnx` is its file.

use std::path::Path;

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{Activation, Layer};

use crate::dataset::Normalisation;
use crate::files::{self, Header};
use crate::onnx;
use crate::space::{Arch, Space};

/// Format name of `subnet.onnx`.
pub const FORMAT: &str = "ofa-subnet";

const MADE_BY: &str = "ofa extract";

/// Why no net of a space has a layer of this kind.
pub(crate) const NO_DEPTHWISE: &str = "spaces have depthwise convolutions inside blocks only";

/// A net on its own, in float.
///
/// ```
/// use trainer::space::Space;
/// use trainer::subnet::Subnet;
///
/// let space = Space::load("fashion")?;
/// let subnet = Subnet::random(&space, &space.smallest(), 1);
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("subnet.onnx");
/// subnet.save(&path)?;
/// assert_eq!(Subnet::load(&path)?, subnet);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Subnet {
    /// The space and the seed that it came from.
    pub header: Header,
    /// The net of the space that it is.
    pub arch: Arch,
    /// How pixels become its input.
    pub normalisation: Normalisation,
    /// Its layers with the weights of each.
    pub layers: Vec<(Layer, Vec<Affine>)>,
}

/// Weights and bias of one convolution or linear layer. A layer's come in the order that [`Layer`] documents:
/// a block's are expand (where it expands), depthwise, squeeze and excite (where it squeezes), project.
#[derive(Clone, PartialEq, Debug)]
pub struct Affine {
    /// out × kh × kw × in; depthwise: channel × kh × kw.
    pub weights: Vec<f32>,
    /// One for each output channel.
    pub bias: Vec<f32>,
}

impl Affine {
    /// The same with every output larger by `shift`.
    pub(crate) fn raised(&self, shift: f32) -> Self {
        Self { weights: self.weights.clone(), bias: self.bias.iter().map(|bias| bias + shift).collect() }
    }
}

impl Subnet {
    /// A net that has learned nothing, with He's random weights: to try out what comes after training.
    pub fn random(space: &Space, arch: &Arch, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut affine = |channels: u16, fan_in: usize, activation: Activation| {
            let gain = if activation == Activation::None { 3.0 } else { 6.0 };
            let bound = (gain / fan_in as f32).sqrt();
            Affine {
                weights: (0..usize::from(channels) * fan_in).map(|_| rng.random_range(-bound..bound)).collect(),
                bias: (0..channels).map(|_| rng.random_range(-0.5..0.5)).collect(),
            }
        };
        let mut parts = |layer: &Layer| match layer {
            Layer::Conv(conv) => {
                let window = usize::from(conv.kernel).pow(2);
                vec![affine(conv.channels, window * usize::from(conv.input.channels), conv.activation)]
            }
            Layer::Block(block) => {
                let (input, expanded) = (usize::from(block.input.channels), usize::from(block.expanded));
                let mut parts = vec![];
                if block.expands() {
                    parts.push(affine(block.expanded, input, block.activation));
                }
                parts.push(affine(block.expanded, usize::from(block.kernel).pow(2), block.activation));
                if block.squeeze != 0 {
                    parts.push(affine(block.squeeze, expanded, Activation::Relu));
                    parts.push(affine(block.expanded, block.squeeze.into(), Activation::None));
                }
                parts.push(affine(block.channels, expanded, Activation::None));
                parts
            }
            Layer::Pool(_) => vec![],
            Layer::Depthwise(_) => unreachable!("{NO_DEPTHWISE}"),
            Layer::Linear(linear) => vec![affine(linear.outputs, linear.inputs.into(), linear.activation)],
        };
        let layers = space.layers(arch);
        let channels = usize::from(space.input.channels.0);
        Self {
            header: Header::new(FORMAT, &space.hash(), seed),
            arch: arch.clone(),
            normalisation: Normalisation { mean: vec![96.0; channels], deviation: vec![64.0; channels] },
            layers: layers.iter().map(|layer| (*layer, parts(layer))).collect(),
        }
    }

    /// Reads `subnet.onnx`.
    ///
    /// # Errors
    /// One line that names the file, what is wrong with it and the command that makes it.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = files::read(path, MADE_BY)?;
        onnx::read(&bytes).with_context(|| format!("{} is no subnet (made by: {MADE_BY})", path.display()))
    }

    /// Writes `subnet.onnx`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, &onnx::write(self))
    }
}
