//! Search spaces: which nets there are, and what each is made of.
//!
//! A [`Space`] is read from TOML; an [`Arch`] names one of its nets; [`Space::layers`] lists what that net
//! computes. Every other walk of a network (cost, memory, latency, slicing, export) iterates over that list.

mod choices;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use rand::{Rng, RngExt};
use runtime::{Activation, Block, Conv, Layer, Linear, Pool, Shape};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::joined_bytes;

pub use choices::{Choices, Kernel, Kernels, Positive, Resolutions, Stages, Stride};

/// The spaces that the binary carries, by name.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("fashion", include_str!("../spaces/fashion.toml")),
    ("mcu", include_str!("../spaces/mcu.toml")),
    ("mobilenetv3", include_str!("../spaces/mobilenetv3.toml")),
];

/// A family of networks that share weights.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use trainer::space::Space;
///
/// let space = Space::load("fashion")?;
/// let [smallest, middle, largest] = [space.smallest(), space.middle(), space.largest()];
/// assert_eq!([&smallest, &middle, &largest].map(|arch| arch.resolution), [24, 26, 28]);
/// assert_eq!(space.layers(&largest).len(), 1 + 3 * 3 + 3, "stem, blocks, head");
/// assert!(space.distinct_layers().len() < 500 && space.subnets() > Some(1_000_000_000));
/// assert_eq!(space.narrowed(1).stages[0][0].expand, 4, "the second widest of 3, 4 and 5");
/// assert_eq!(space.slots(&smallest), [0, 1, 4, 7, 10, 11, 12], "the first block of each stage");
///
/// let mut arch = space.sample(&mut ChaCha8Rng::seed_from_u64(1));
/// space.check(&arch)?;
/// arch.stages[1][0].kernel = 9;
/// assert_eq!(space.check(&arch).unwrap_err().to_string(), "stage 1 of the space fashion has no kernel 9");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// For people; the [`Space::hash`] is what files are compared by.
    pub name: String,
    /// Length of the scores.
    pub classes: Positive,
    /// The images.
    pub input: Input,
    /// The first convolution.
    pub stem: Stem,
    /// Groups of blocks of one width, in order.
    pub stages: Stages,
    /// What turns the last map into scores.
    pub head: Head,
}

/// The images that a space's nets read: square, of one of several sizes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 1: grey; 3: red, green, blue.
    pub channels: Positive,
    /// Sides in pixels, ascending.
    pub resolutions: Resolutions,
}

/// The first convolution.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stem {
    /// Output channels.
    pub channels: Positive,
    /// Side of the window.
    pub kernel: Kernel,
    /// 1 or 2.
    pub stride: Stride,
    /// What follows.
    pub activation: Activation,
}

/// A group of blocks of one width. The first block carries the stride, the others a residual.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Output channels of its blocks.
    pub width: Positive,
    /// Of the first block.
    pub stride: Stride,
    /// Inside the blocks.
    pub activation: Activation,
    /// Whether its blocks squeeze and excite, with a quarter of the expanded channels.
    #[serde(default)]
    pub squeeze: bool,
    /// How many blocks, ascending.
    pub depth: Choices,
    /// Sides of the depthwise window, ascending.
    pub kernel: Kernels,
    /// Expanded channels per input channel, ascending; 1: no expanding convolution.
    pub expand: Choices,
}

/// 1×1 convolution, average pooling, optionally a hidden linear layer, the classifier.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Output channels of the convolution.
    pub channels: Positive,
    /// After the convolution and the hidden linear layer.
    pub activation: Activation,
    /// Length of the hidden linear layer's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Positive>,
}

/// One net of a space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// Side of the image in pixels.
    pub resolution: u16,
    /// The blocks of each stage; as many as the stage is deep.
    pub stages: Vec<Vec<BlockArch>>,
}

/// The choices of one block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockArch {
    /// Side of the depthwise window.
    pub kernel: u8,
    /// Expanded channels per input channel.
    pub expand: u8,
}

impl Space {
    /// A built-in space by its name, which `@` with a factor for its widths and `:` with a number of classes may follow,
    /// or the file at that path.
    ///
    /// ```
    /// use trainer::space::Space;
    ///
    /// let space = Space::load("fashion@0.5:4")?;
    /// assert_eq!((space.stem.channels.0, space.classes.0), (8, 4));
    /// assert_eq!(space.hash(), Space::load("fashion:4")?.with_width(0.5)?.hash());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// Says which file, line and field is at fault, or which names there are.
    pub fn load(name_or_path: &str) -> Result<Self> {
        let built_in = |name: &str| BUILT_IN.iter().any(|(built_in, _)| *built_in == name);
        let (rest, classes) = name_or_path.split_once(':').map_or((name_or_path, None), |(a, b)| (a, Some(b)));
        let (name, width) = rest.split_once('@').map_or((rest, None), |(a, b)| (a, Some(b)));
        if built_in(name) && (classes.is_some() || width.is_some()) {
            let mut space = Self::load(name)?;
            if let Some(width) = width {
                let width = width.parse().ok().with_context(|| format!("{name_or_path}: {width} is no number"))?;
                space = space.with_width(width).with_context(|| name_or_path.to_owned())?;
            }
            if let Some(classes) = classes {
                let classes = classes.parse().ok().filter(|classes| (2..=4096).contains(classes));
                let classes =
                    classes.with_context(|| format!("{name_or_path}: give a number of classes from 2 to 4096"))?;
                space = space.with_classes(classes);
            }
            return Ok(space);
        }
        Self::parse(&crate::files::built_in_or_file("space", &BUILT_IN, name_or_path)?, name_or_path)
    }

    /// Reads TOML; `origin` names it in errors.
    ///
    /// ```
    /// use trainer::space::{BUILT_IN, Space};
    ///
    /// let text = BUILT_IN[0].1.replace("depth = [1, 2, 3]", "depth = [3, 2]");
    /// let error = Space::parse(&text, "mine.toml").unwrap_err().to_string();
    /// assert!(error.starts_with("mine.toml:") && error.contains("depth"), "{error}");
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// One line with the line and the field at fault.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let space: Self = crate::files::parse_toml(text, origin)?;
        space.check_layers().with_context(|| origin.to_owned())?;
        Ok(space)
    }

    fn check_layers(&self) -> Result<()> {
        for arch in [self.smallest(), self.largest()] {
            for layer in self.layers(&arch) {
                layer.check().with_context(|| layer.to_string())?;
            }
        }
        Ok(())
    }

    /// The same nets with all widths, those of stem and head too, times a factor, each rounded to a multiple of 8 as
    /// MobileNet's code rounds. Its name says so.
    ///
    /// # Errors
    /// If the factor is not from 0.1 to 4, or a layer grows too large.
    pub fn with_width(&self, factor: f64) -> Result<Self> {
        if !(0.1..=4.0).contains(&factor) {
            bail!("a width of {factor} is not from 0.1 to 4");
        }
        let mut space = Self { name: format!("{}@{factor}", self.name), ..self.clone() };
        let widths = space.stages.0.iter_mut().map(|stage| &mut stage.width);
        for width in widths.chain([&mut space.stem.channels, &mut space.head.channels]).chain(&mut space.head.features)
        {
            let exact = f64::from(width.0) * factor;
            let rounded = (((exact + 4.0) / 8.0).floor() * 8.0).max(8.0);
            let rounded = if rounded < 0.9 * exact { rounded + 8.0 } else { rounded };
            *width = Positive::try_from(rounded as u16).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        }
        space.check_layers()?;
        Ok(space)
    }

    /// What `--space` takes for it, if it comes from a built-in space: its name, with the number of its classes where the
    /// name alone stands for another; otherwise the name that its file gives it.
    ///
    /// ```
    /// use trainer::space::Space;
    ///
    /// for (name, argument) in [("mcu", "mcu"), ("mcu:10", "mcu"), ("mcu@0.5:7", "mcu@0.5:7")] {
    ///     assert_eq!(Space::load(name)?.argument(), argument);
    /// }
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn argument(&self) -> String {
        let named = Self::load(&self.name).ok().filter(|named| named.classes != self.classes);
        match named {
            Some(named) if named.with_classes(self.classes.0).hash() == self.hash() => {
                format!("{}:{}", self.name, self.classes.0)
            }
            _ => self.name.clone(),
        }
    }

    /// The same nets for another number of classes.
    pub(crate) fn with_classes(&self, classes: u16) -> Self {
        Self { classes: Positive(classes), ..self.clone() }
    }

    /// Identifies the space in every file made for it: 16 hexadecimal digits of SHA-256 over its content, the
    /// name and the TOML's layout left out.
    pub fn hash(&self) -> String {
        let content = (&self.classes, &self.input, &self.stem, &self.stages, &self.head);
        let json = serde_json::to_vec(&content).expect("numbers and strings serialise");
        Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a net computes, layer by layer: the only walk of a network.
    pub fn layers(&self, arch: &Arch) -> Vec<Layer> {
        let stem = Conv {
            input: Shape::new(arch.resolution, arch.resolution, self.input.channels.0),
            channels: self.stem.channels.0,
            kernel: self.stem.kernel.0,
            stride: self.stem.stride.0,
            activation: self.stem.activation,
        };
        let mut layers = vec![Layer::Conv(stem)];
        let mut map = stem.output();
        for (stage, blocks) in self.stages.0.iter().zip(&arch.stages) {
            for (i, block) in blocks.iter().enumerate() {
                let block = stage.block(map, i, block);
                map = block.output();
                layers.push(Layer::Block(block));
            }
        }
        let activation = self.head.activation;
        let head = Conv { input: map, channels: self.head.channels.0, kernel: 1, stride: 1, activation };
        layers.push(Layer::Conv(head));
        layers.push(Layer::Pool(Pool { input: head.output() }));
        let mut inputs = self.head.channels.0;
        if let Some(Positive(outputs)) = self.head.features {
            layers.push(Layer::Linear(Linear { inputs, outputs, activation }));
            inputs = outputs;
        }
        layers.push(Layer::Linear(Linear { inputs, outputs: self.classes.0, activation: Activation::None }));
        layers
    }

    /// For each of a net's layers, the position of the same layer in the largest net: whose weights it uses.
    pub fn slots(&self, arch: &Arch) -> Vec<usize> {
        let mut slots = vec![0];
        let mut next = 1;
        for (stage, blocks) in self.stages.0.iter().zip(&arch.stages) {
            slots.extend(next..next + blocks.len());
            next += stage.max_depth();
        }
        let head = self.layers(arch).len() - slots.len();
        slots.extend(next..next + head);
        slots
    }

    /// Every distinct layer of every net, sorted: what a latency table holds.
    pub fn distinct_layers(&self) -> Vec<Layer> {
        let layers: BTreeSet<_> = self.even_nets().iter().flatten().copied().collect();
        layers.into_iter().collect()
    }

    /// Every distinct pair of a stem and the first block behind it that run as one, sorted: what a latency table holds
    /// beside the layers.
    pub fn openings(&self) -> Vec<[Layer; 2]> {
        let nets = self.even_nets();
        let pairs = nets.iter().filter(|net| joined_bytes(net).is_some()).map(|net| [net[0], net[1]]);
        pairs.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The layers of nets in which all blocks agree: they show every layer behind every stem, as a block depends on its own
    /// choices, its position and the resolution alone.
    fn even_nets(&self) -> Vec<Vec<Layer>> {
        let mut nets = vec![];
        for &resolution in &self.input.resolutions.0 {
            let most = |choices: fn(&Stage) -> usize| self.stages.0.iter().map(choices).max().unwrap_or(0);
            for k in 0..most(|stage| stage.kernel.0.len()) {
                for e in 0..most(|stage| stage.expand.0.len()) {
                    let arch = self.arch(resolution, |stage| {
                        let block = BlockArch {
                            kernel: stage.kernel.0[k.min(stage.kernel.0.len() - 1)],
                            expand: stage.expand.0[e.min(stage.expand.0.len() - 1)],
                        };
                        vec![block; stage.max_depth()]
                    });
                    nets.push(self.layers(&arch));
                }
            }
        }
        nets
    }

    /// How many nets there are, or `None` above 2¹²⁸.
    pub fn subnets(&self) -> Option<u128> {
        self.stages.0.iter().try_fold(self.input.resolutions.0.len() as u128, |product, stage| {
            let block = (stage.kernel.0.len() * stage.expand.0.len()) as u128;
            let stage = stage
                .depth
                .0
                .iter()
                .try_fold(0_u128, |sum, &depth| sum.checked_add(block.checked_pow(u32::from(depth))?))?;
            product.checked_mul(stage)
        })
    }

    /// The net with the first of every list of choices.
    pub fn smallest(&self) -> Arch {
        self.arch(self.input.resolutions.0[0], |stage| {
            vec![BlockArch { kernel: stage.kernel.0[0], expand: stage.expand.0[0] }; usize::from(stage.depth.0[0])]
        })
    }

    /// The net with the last of every list of choices.
    pub fn largest(&self) -> Arch {
        let last = self.input.resolutions.0.len() - 1;
        self.arch(self.input.resolutions.0[last], |stage| vec![stage.largest_block(); stage.max_depth()])
    }

    /// The net with the middle one of every list of choices, the larger of two.
    pub fn middle(&self) -> Arch {
        let middle = |choices: &[u8]| choices[choices.len() / 2];
        let resolutions = &self.input.resolutions.0;
        self.arch(resolutions[resolutions.len() / 2], |stage| {
            let block = BlockArch { kernel: middle(&stage.kernel.0), expand: middle(&stage.expand.0) };
            vec![block; usize::from(middle(&stage.depth.0))]
        })
    }

    /// The largest net with the expand ratios that are `steps` below the widest, or the narrowest there are.
    pub fn narrowed(&self, steps: usize) -> Arch {
        let mut arch = self.largest();
        for (stage, blocks) in self.stages.0.iter().zip(&mut arch.stages) {
            let ratio = stage.expand.0[(stage.expand.0.len() - 1).saturating_sub(steps)];
            blocks.iter_mut().for_each(|block| block.expand = ratio);
        }
        arch
    }

    /// A net drawn evenly: resolution, then the depth of each stage, then kernel and expand ratio of each block.
    pub fn sample(&self, rng: &mut impl Rng) -> Arch {
        let resolution = pick(&self.input.resolutions.0, rng);
        self.arch(resolution, |stage| {
            let depth = pick(&stage.depth.0, rng);
            (0..depth).map(|_| stage.sample_block(rng)).collect()
        })
    }

    /// Whether the space has this net.
    ///
    /// # Errors
    /// Says which choice the space lacks.
    pub fn check(&self, arch: &Arch) -> Result<()> {
        if !self.input.resolutions.0.contains(&arch.resolution) {
            bail!("the space {} has no resolution {}", self.name, arch.resolution);
        }
        if arch.stages.len() != self.stages.0.len() {
            bail!("the space {} has {} stages, the arch {}", self.name, self.stages.0.len(), arch.stages.len());
        }
        for (i, (stage, blocks)) in self.stages.0.iter().zip(&arch.stages).enumerate() {
            if !stage.depth.0.iter().any(|&depth| usize::from(depth) == blocks.len()) {
                bail!("stage {i} of the space {} has no depth {}", self.name, blocks.len());
            }
            for block in blocks {
                if !stage.kernel.0.contains(&block.kernel) {
                    bail!("stage {i} of the space {} has no kernel {}", self.name, block.kernel);
                }
                if !stage.expand.0.contains(&block.expand) {
                    bail!("stage {i} of the space {} has no expand ratio {}", self.name, block.expand);
                }
            }
        }
        Ok(())
    }

    fn arch(&self, resolution: u16, mut blocks: impl FnMut(&Stage) -> Vec<BlockArch>) -> Arch {
        Arch { resolution, stages: self.stages.0.iter().map(&mut blocks).collect() }
    }
}

impl Stage {
    /// The block at `position` that reads `input`.
    fn block(&self, input: Shape, position: usize, arch: &BlockArch) -> Block {
        let stride = if position == 0 { self.stride.0 } else { 1 };
        let expanded = match arch.expand {
            1 => input.channels,
            ratio => round_to_8(input.channels * u16::from(ratio)),
        };
        Block {
            input,
            expanded,
            kernel: arch.kernel,
            stride,
            squeeze: if self.squeeze { round_to_8(expanded / 4) } else { 0 },
            channels: self.width.0,
            residual: stride == 1 && input.channels == self.width.0,
            activation: self.activation,
        }
    }

    /// Its deepest choice.
    pub(crate) fn max_depth(&self) -> usize {
        usize::from(self.depth.0[self.depth.0.len() - 1])
    }

    /// The last kernel and the last expand ratio.
    pub(crate) fn largest_block(&self) -> BlockArch {
        BlockArch { kernel: self.kernel.0[self.kernel.0.len() - 1], expand: self.expand.0[self.expand.0.len() - 1] }
    }

    /// A kernel and an expand ratio drawn evenly.
    pub(crate) fn sample_block(&self, rng: &mut impl Rng) -> BlockArch {
        BlockArch { kernel: pick(&self.kernel.0, rng), expand: pick(&self.expand.0, rng) }
    }
}

/// One of the choices, each as likely as the others.
pub(crate) fn pick<T: Copy>(choices: &[T], rng: &mut impl Rng) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// To the nearest multiple of 8 that is not more than a tenth smaller (the paper's code, and MobileNet's).
fn round_to_8(channels: u16) -> u16 {
    let rounded = ((channels + 4) / 8 * 8).max(8);
    if u32::from(rounded) * 10 < u32::from(channels) * 9 { rounded + 8 } else { rounded }
}
