//! A compiled subnet: the integer net as files for firmware (`model.rs`, `weights.bin`) and for hosts (`model.json`).

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use runtime::{Activation, Channel, Layer, Net, Quant, Shape, Step, Weights, execute};
use serde::{Deserialize, Serialize};

use crate::files::{self, Header};
use crate::space::Arch;

/// Format name of `model.json`.
pub const FORMAT: &str = "ofa-model";

const MADE_BY: &str = "ofa compile";

/// An integer net with everything that running it needs. Its input is each pixel less 128.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::compile::{Settings, compile};
/// use trainer::model::Compiled;
/// use trainer::quantise::Method;
/// use trainer::subnet::Subnet;
///
/// let space = made_up::space();
/// let subnet = Subnet::random(&space, &space.largest(), 1);
/// let settings = Settings { calibration_images: 16, seed: 0, method: Method::default(), table: None };
/// let model = compile(&subnet, &made_up::dataset(), &settings)?.model;
/// assert_eq!(model.layers(), space.layers(&model.arch));
/// assert_eq!(model.scores(made_up::images(1).image(0))?.len(), model.net()?.classes());
///
/// let folder = tempfile::tempdir()?;
/// model.save(folder.path())?;
/// assert_eq!(Compiled::load(folder.path())?.flash_bytes(), model.flash_bytes());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Compiled {
    /// The space and the seed that it came from.
    pub header: Header,
    /// The net of the space that it is.
    pub arch: Arch,
    /// Layers with their zero points.
    pub steps: Vec<Step>,
    /// What each step's output stands for; the last are the scores.
    pub outputs: Vec<Scale>,
    /// Bias and multiplier of every output channel, in the order of the steps.
    pub channels: Vec<Channel>,
    /// int8 weights in the order of the steps; the content of `weights.bin`.
    #[serde(skip)]
    pub taps: Vec<u8>,
}

/// What a map's int8 stand for: (int8 − zero) × scale.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// Real difference of one step.
    pub scale: f32,
    /// The int8 of a real 0.
    pub zero: i8,
}

impl Compiled {
    /// The net, ready to run on the host.
    ///
    /// # Errors
    /// If the parts don't fit each other.
    pub fn net(&self) -> Result<Net<'_>> {
        Net::new(&self.steps, &self.channels, &self.taps).map_err(|reason| anyhow!("the model is damaged: {reason}"))
    }

    /// The scores of an image, given as pixels: what every device answers, bit for bit.
    ///
    /// # Errors
    /// As [`Compiled::net`], or if the image has another size.
    pub fn scores(&self, image: &[u8]) -> Result<Vec<i8>> {
        let net = self.net()?;
        let mut arena = vec![0; net.arena_bytes() / 4];
        place(image, &net, runtime::bytes(&mut arena))?;
        Ok(net.run(&mut arena).to_vec())
    }

    /// The output of each step for an image.
    ///
    /// # Errors
    /// As [`Compiled::scores`].
    pub(crate) fn maps(&self, image: &[u8]) -> Result<Vec<Vec<i8>>> {
        let net = self.net()?;
        let mut map = vec![0; net.input().len()];
        place(image, &net, &mut map)?;
        let mut weights = (&self.channels[..], &self.taps[..]);
        let mut maps: Vec<Vec<i8>> = vec![];
        for step in net.steps() {
            let (channels, taps) = (weights.0.split_at(step.layer.channels()), weights.1.split_at(step.layer.taps()));
            weights = (channels.1, taps.1);
            let mut output = vec![0; step.layer.output().len()];
            let mut hidden = vec![0; step.layer.hidden_bytes()];
            let own = Weights { channels: channels.0, taps: taps.0 };
            execute(step, own, maps.last().unwrap_or(&map), &mut hidden, &mut output);
            maps.push(output);
        }
        Ok(maps)
    }

    /// Its layers.
    pub fn layers(&self) -> Vec<Layer> {
        self.steps.iter().map(|step| step.layer).collect()
    }

    /// Bytes of flash that the net itself takes: taps, channels and steps.
    pub fn flash_bytes(&self) -> usize {
        flash_bytes(&self.layers())
    }

    /// Reads `model.json` and `weights.bin` of a folder.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("model.json");
        let mut compiled: Self = files::read_json(&path, MADE_BY)?;
        let space = compiled.header.space.clone();
        compiled.header.expect(&path, FORMAT, &space, MADE_BY)?;
        compiled.taps = files::read(&folder.join("weights.bin"), MADE_BY)?;
        let net = compiled.net().map_err(|error| anyhow!("{}: {error}; run: {MADE_BY}", folder.display()))?;
        if net.steps().len() != compiled.outputs.len() {
            bail!("{}: the model is damaged: a scale is missing; run: {MADE_BY}", path.display());
        }
        Ok(compiled)
    }

    /// Writes `model.json`, `weights.bin` and `model.rs` to a folder.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::write(&folder.join("weights.bin"), &self.taps)?;
        files::write(&folder.join("model.rs"), self.source()?.as_bytes())?;
        files::write(&folder.join("model.json"), &serde_json::to_vec(self)?)
    }

    /// The text of `model.rs`: values, no logic.
    fn source(&self) -> Result<String> {
        let net = self.net()?;
        let mut text = String::from("// Written by `ofa compile`: values only. The image is each pixel less 128.\n");
        let Header { space, seed, .. } = &self.header;
        let arch = serde_json::to_string(&self.arch)?;
        writeln!(text, "// space {space}, seed {seed}, arch {arch}")?;
        writeln!(
            text,
            "#[allow(unused_imports)]\nuse runtime::{{\n    Activation, Block, Channel, Conv, Depthwise, Layer, Linear, Model, Pool, Quant, RowModel, ScoreScale, Shape, Step,\n}};\n"
        )?;
        writeln!(text, "/// Values of an image.\npub const IMAGE_BYTES: usize = {};", net.input().len())?;
        writeln!(text, "/// Scores of an image.\npub const CLASSES: usize = {};", net.classes())?;
        writeln!(text, "/// Memory that one inference needs, the image included.")?;
        writeln!(text, "pub const ARENA_BYTES: usize = runtime::arena_bytes(&STEPS);")?;
        writeln!(
            text,
            "/// The net.\npub static MODEL: Model<IMAGE_BYTES, ARENA_BYTES, CLASSES> = Model::new(&STEPS, &CHANNELS, &TAPS);\n"
        )?;
        let rows = runtime::rows_arena_bytes(&self.steps);
        if rows > 0 {
            let input = net.input();
            let row = usize::from(input.width) * usize::from(input.channels);
            writeln!(text, "/// Values of a row of an image.\npub const ROW_BYTES: usize = {row};")?;
            writeln!(text, "/// Memory that one inference needs where the image comes row by row.")?;
            writeln!(text, "pub const ROWS_ARENA_BYTES: usize = runtime::rows_arena_bytes(&STEPS);")?;
            writeln!(text, "/// The net, for images that come row by row.")?;
            writeln!(
                text,
                "pub static ROWS: RowModel<ROW_BYTES, ROWS_ARENA_BYTES, CLASSES> = RowModel::new(&STEPS, &CHANNELS, &TAPS);\n"
            )?;
        }
        let Scale { scale, zero } = self.outputs.last().copied().unwrap_or(Scale { scale: 0.0, zero: 0 });
        let unit = (f64::from(scale) * 65_536.0).round() as i32;
        writeln!(text, "/// What a score stands for.")?;
        writeln!(text, "pub const SCORES: ScoreScale = ScoreScale {{ unit: {unit}, zero: {zero} }};\n")?;
        writeln!(text, "static TAPS: [u8; {}] = *include_bytes!(\"weights.bin\");\n", self.taps.len())?;
        writeln!(text, "#[rustfmt::skip]\nconst STEPS: [Step; {}] = [", self.steps.len())?;
        for Step { layer, quant } in &self.steps {
            writeln!(text, "    Step {{ layer: {}, quant: {quant:?} }},", literal(layer))?;
        }
        writeln!(text, "];\n\n#[rustfmt::skip]\nstatic CHANNELS: [Channel; {}] = [", self.channels.len())?;
        for channel in &self.channels {
            writeln!(text, "    {channel:?},")?;
        }
        text.push_str("];\n");
        Ok(text)
    }
}

/// Bytes of flash that a net of these layers takes on a device: taps, channels and steps.
///
/// ```
/// use trainer::model::{arena_bytes, flash_bytes, rows_arena_bytes, unfused_bytes};
/// use trainer::space::Space;
///
/// let space = Space::load("fashion")?;
/// let [small, large] = [space.smallest(), space.largest()].map(|arch| space.layers(&arch));
/// assert!(flash_bytes(&small) < flash_bytes(&large));
/// assert!(arena_bytes(&large) < unfused_bytes(&large));
/// assert!(rows_arena_bytes(&large).is_some_and(|bytes| bytes < arena_bytes(&large)));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn flash_bytes(layers: &[Layer]) -> usize {
    let weights = |layer: &Layer| layer.taps() + layer.channels() * size_of::<Channel>() + size_of::<Step>();
    layers.iter().map(weights).sum()
}

/// Bytes of SRAM that a net of these layers runs in, as the planner places them.
pub fn arena_bytes(layers: &[Layer]) -> usize {
    runtime::arena_bytes(&steps(layers))
}

/// Bytes that the first two of these layers run in as one; `None` where they cannot.
pub(crate) fn joined_bytes(layers: &[Layer]) -> Option<usize> {
    runtime::joined_bytes(&steps(layers))
}

/// [`arena_bytes`] where the image comes row by row; `None` of nets that cannot take it so.
pub fn rows_arena_bytes(layers: &[Layer]) -> Option<usize> {
    Some(runtime::rows_arena_bytes(&steps(layers))).filter(|&bytes| bytes > 0)
}

fn steps(layers: &[Layer]) -> Vec<Step> {
    let quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 };
    layers.iter().map(|&layer| Step { layer, quant }).collect()
}

/// Bytes that would be alive at once if these layers ran one convolution after the other, each reading one whole map and
/// writing another: what [`arena_bytes`] is compared with.
pub fn unfused_bytes(layers: &[Layer]) -> usize {
    layers.iter().map(Layer::unfused_bytes).max().unwrap_or(0)
}

/// Puts an image where the net reads it: each pixel less 128.
fn place(image: &[u8], net: &Net, arena: &mut [i8]) -> Result<()> {
    ensure!(image.len() == net.input().len(), "the net reads {}, the image has {} values", net.input(), image.len());
    arena[..image.len()].copy_from_slice(&less_128(image));
    Ok(())
}

/// Pixels as a net reads them.
pub(crate) fn less_128(pixels: &[u8]) -> Vec<i8> {
    pixels.iter().map(|&pixel| (pixel ^ 0x80) as i8).collect()
}

fn literal(layer: &Layer) -> String {
    let activation = |activation: Activation| format!("Activation::{activation:?}");
    let shape = |shape: Shape| format!("Shape::new({}, {}, {})", shape.height, shape.width, shape.channels);
    match layer {
        Layer::Conv(conv) => format!(
            "Layer::Conv(Conv {{ input: {}, channels: {}, kernel: {}, stride: {}, activation: {} }})",
            shape(conv.input),
            conv.channels,
            conv.kernel,
            conv.stride,
            activation(conv.activation)
        ),
        Layer::Block(block) => format!(
            "Layer::Block(Block {{ input: {}, expanded: {}, kernel: {}, stride: {}, squeeze: {}, channels: {}, residual: {}, activation: {} }})",
            shape(block.input),
            block.expanded,
            block.kernel,
            block.stride,
            block.squeeze,
            block.channels,
            block.residual,
            activation(block.activation)
        ),
        Layer::Depthwise(depthwise) => format!(
            "Layer::Depthwise(Depthwise {{ input: {}, kernel: {}, stride: {}, activation: {} }})",
            shape(depthwise.input),
            depthwise.kernel,
            depthwise.stride,
            activation(depthwise.activation)
        ),
        Layer::Pool(pool) => format!("Layer::Pool(Pool {{ input: {} }})", shape(pool.input)),
        Layer::Linear(linear) => format!(
            "Layer::Linear(Linear {{ inputs: {}, outputs: {}, activation: {} }})",
            linear.inputs,
            linear.outputs,
            activation(linear.activation)
        ),
    }
}
