//! Runs a compiled net on a board, beside the same net on this host and beside what was predicted.

use anyhow::{Context, Result, ensure};
use runtime::{Layer, argmax};
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::dataset::Images;
use crate::device::share_out;
use crate::firmware::{self, Binary, Code, Size};
use crate::link::{Inferred, Link};
use crate::model::{Compiled, flash_bytes, less_128};
use crate::table::{LatencyTable, median};

/// What a board made of a net.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunReport {
    /// Its name.
    pub board: String,
    /// How many it ran.
    pub images: usize,
    /// Whether each score of each image is the host's.
    pub logits_equal_host: bool,
    /// The first score that is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<Difference>,
    /// Share of the images whose class is right, on the board.
    pub accuracy_device: f64,
    /// Of one image.
    pub latency: Latency,
    /// The arena and variables, without the stack.
    pub sram_bytes: Bytes,
    /// The arena's share of it.
    pub arena_bytes: usize,
    /// What the stack takes on top of it, at its deepest: measured.
    pub stack_bytes: usize,
    /// Code, constants and the net.
    pub flash_bytes: Bytes,
    /// The net's share of that, by layer.
    pub layers: Vec<LayerBytes>,
    /// The code, of that, by where it is from; the largest first.
    pub code: Vec<Code>,
}

/// A score that differs between board and host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Position of the image.
    pub image: usize,
    /// Position of the score.
    pub class: usize,
    /// The board's.
    pub device: i8,
    /// The host's.
    pub host: i8,
}

/// Ticks of one image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Latency {
    /// What a tick is.
    pub unit: String,
    /// The sum of the layers in the table.
    pub predicted: Option<u64>,
    /// Median of the images.
    pub measured: u32,
    /// The fastest image.
    pub min: u32,
    /// The slowest image.
    pub max: u32,
}

/// Memory, as predicted and as the linker made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bytes {
    /// From the net and the latency table.
    pub predicted: Option<usize>,
    /// From the ELF file.
    pub linked: usize,
}

/// What a layer takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LayerBytes {
    /// For people.
    pub layer: String,
    /// Of flash: taps, channels and step.
    pub flash_bytes: usize,
    /// Of the arena: input, scratch and output.
    pub arena_bytes: usize,
}

impl LayerBytes {
    fn new(layer: &Layer) -> Self {
        Self { layer: layer.to_string(), flash_bytes: flash_bytes(&[*layer]), arena_bytes: layer.arena_bytes() }
    }
}

/// Runs the net on the images, with predictions if there is a table. On `boards` boards at once, or as many as this
/// host can emulate where that is 0; `done` is called after each image.
///
/// ```no_run
/// use trainer::board::Board;
/// use trainer::dataset::Dataset;
/// use trainer::model::Compiled;
/// use trainer::run::run;
///
/// let model = Compiled::load("out/model".as_ref())?;
/// let images = Dataset::named(None, 1)?.test.first(20).resized(model.arch.resolution)?;
/// let report = run(&Board::load("mps2-an386")?, &model, &images, None, 0, &|| ())?;
/// assert!(report.logits_equal_host);
/// println!("{} {}", report.latency.measured, report.latency.unit);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the firmware cannot be built (a net that doesn't fit the board is such a case), the board cannot be started or
/// breaks down, or the images are not what the net reads.
pub fn run(
    board: &Board,
    model: &Compiled,
    images: &Images,
    table: Option<&LatencyTable>,
    boards: usize,
    done: &(dyn Fn() + Sync),
) -> Result<RunReport> {
    let net = model.net()?;
    let input = net.input();
    ensure!(!images.is_empty(), "there are no images to run");
    ensure!(
        (images.side, images.side, images.channels) == (input.height, input.width, input.channels),
        "the net reads images of {input}, these are {}x{}x{}",
        images.side,
        images.side,
        images.channels
    );
    let layers = model.layers();
    let predicted = table.map(|table| table.latency(&layers)).transpose()?;
    let firmware = firmware::build(board, Binary::Runner(model))?;

    let quantised: Vec<Vec<i8>> = (0..images.len()).map(|i| less_128(images.image(i))).collect();
    let classes = net.classes();
    // Of one image, as no data makes the stack deeper, and an emulated board looks through megabytes for its end.
    let with_stack: Vec<_> = quantised.iter().enumerate().map(|(i, image)| (i == 0, image)).collect();
    let work = |link: &mut Link, (with_stack, image): &(bool, &Vec<i8>)| {
        let inferred = link.infer(image, classes).context("cannot run an image")?;
        let stack_bytes = if *with_stack { link.stack_bytes().context("cannot ask for the stack")? } else { 0 };
        Ok((inferred, stack_bytes as usize))
    };
    let (inferred, stacks): (Vec<_>, Vec<_>) =
        share_out(board, &firmware, boards, &with_stack, work, done)?.into_iter().unzip();
    let stack_bytes: usize = stacks.into_iter().sum();
    let Size { flash_bytes: linked, sram_bytes } = firmware.size;
    ensure!(
        sram_bytes + stack_bytes < board.ram_bytes as usize,
        "the stack has met the variables: these take {sram_bytes} of {} bytes of SRAM, and it took all others",
        board.ram_bytes
    );

    let mut first_difference = None;
    for (image, device) in inferred.iter().enumerate() {
        let host = model.scores(images.image(image))?;
        let mut pairs = host.into_iter().zip(device.scores.iter().copied()).enumerate();
        let difference = pairs.find(|(_, (host, device))| host != device);
        if let Some((class, (host, device))) = difference {
            first_difference = Some(Difference { image, class, device, host });
            break;
        }
    }
    let ticks: Vec<u32> = inferred.iter().map(|Inferred { ticks, .. }| *ticks).collect();
    let right = inferred
        .iter()
        .zip(&images.labels)
        .filter(|(Inferred { scores, .. }, label)| argmax(scores) == usize::from(**label));
    let cost = table.and_then(|table| table.firmware);
    Ok(RunReport {
        board: board.name.clone(),
        images: images.len(),
        logits_equal_host: first_difference.is_none(),
        first_difference,
        accuracy_device: right.count() as f64 / images.len() as f64,
        latency: Latency {
            unit: board.unit.clone(),
            predicted,
            measured: median(&ticks),
            min: ticks.iter().copied().min().unwrap_or(0),
            max: ticks.iter().copied().max().unwrap_or(0),
        },
        sram_bytes: Bytes { predicted: cost.map(|cost| cost.static_bytes + net.arena_bytes()), linked: sram_bytes },
        arena_bytes: net.arena_bytes(),
        stack_bytes,
        flash_bytes: Bytes { predicted: cost.map(|cost| cost.code_bytes + model.flash_bytes()), linked },
        layers: layers.iter().map(LayerBytes::new).collect(),
        code: firmware.code,
    })
}
