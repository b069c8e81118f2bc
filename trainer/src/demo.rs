//! All steps in a row, each timed: from a dataset to the subnet on the board, predicted beside measured.

mod summary;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::Device;

use crate::board::Board;
use crate::compile::{self, compile};
use crate::dataset::Dataset;
use crate::evaluate::{accuracy, calibrate, extract};
use crate::files;
use crate::measure::{self, measure};
use crate::predictor::Predictor;
use crate::progress::with_progress;
use crate::quantise::Method;
use crate::recipe::Recipe;
use crate::report::{self, Summary};
use crate::run::run as run_on_board;
use crate::search::{Costs, Limits, Problem, search};
use crate::space::{Arch, Space};
use crate::survey::{self, Subject};
use crate::train::{Earlier, Keep, StopSignal, Training, train};
use summary::{Net, Seconds, summary, table};

/// How far the limits of the search are on the way from what the smallest net costs to what the largest costs.
const LATENCY_SHARE: f64 = 0.35;
const SRAM_SHARE: f64 = 0.5;

/// Nets drawn at most until one meets the limits.
const DRAWS: usize = 10_000;

/// The name of a recipe that takes minutes.
pub fn recipe(space: &Space) -> &'static str {
    if space.name == "mcu" { "mcu-demo" } else { "demo" }
}

/// What the demo runs on.
pub struct Demo {
    /// The nets; with as many classes as the images have.
    pub space: Space,
    /// How they are trained.
    pub recipe: Recipe,
    /// The images.
    pub dataset: Dataset,
    /// What the net is for.
    pub board: Board,
    /// Where to train.
    pub device: Device,
    /// Where all files go.
    pub out: PathBuf,
    /// Of every step.
    pub seed: u64,
    /// Nets to judge for the predictor.
    pub samples: usize,
    /// Validation images to judge each on, at most.
    pub validation_images: usize,
    /// Test images to run on the board.
    pub device_images: usize,
}

/// Runs every step, says a line for each and a table at the end, and leaves `summary.json` and `report.html` beside the
/// files.
///
/// ```no_run
/// use tch::Device;
/// use trainer::board::Board;
/// use trainer::dataset::Dataset;
/// use trainer::demo::{Demo, recipe, run};
/// use trainer::recipe::Recipe;
/// use trainer::space::Space;
///
/// let space = Space::load("fashion")?;
/// let demo = Demo {
///     recipe: Recipe::load(recipe(&space))?,
///     dataset: Dataset::named(None, space.input.channels.0)?,
///     space,
///     board: Board::load("mps2-an386")?,
///     device: Device::Cpu,
///     out: "out".into(),
///     seed: 0,
///     samples: 100,
///     validation_images: 1000,
///     device_images: 20,
/// };
/// let summary = run(&demo, |line| println!("{line}"))?;
/// assert!(summary.device.logits_equal_host);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// What a step returns; or if the device's scores are not the host's.
pub fn run(demo: &Demo, mut say: impl FnMut(&str)) -> Result<Summary> {
    let Demo { dataset, board, out, seed, .. } = demo;
    let space = &demo.space.with_classes(dataset.classes);
    let path = |name: &str| out.join(name);
    files::check_writable(&path("summary.json"))?;
    say(&format!(
        "ofa demo: space {} with {} classes, board {}, seed {seed}, into {}",
        space.name,
        space.classes.0,
        board.name,
        out.display()
    ));
    // What any step is redone with alone.
    files::write(&path("space.toml"), toml::to_string(space)?.as_bytes())?;
    let mut seconds = Seconds::new(&mut say);

    let supernet = seconds.time("train", || {
        let mut ends = String::new();
        let training = Training { space, recipe: &demo.recipe, dataset, device: demo.device, seed: *seed, given: None };
        // For its metrics: a training of minutes needs no checkpoints.
        let folder = path("supernet.training");
        let stop = StopSignal::default();
        let keep = Keep { folder: &folder, earlier: Earlier::Remove, at_least: Duration::MAX, stop };
        let supernet = train(&training, Some(&keep), |phase| {
            ends = format!("largest net {:.1} %, smallest {:.1} %", phase.largest * 100.0, phase.smallest * 100.0);
        })?;
        supernet.save(&path("supernet.safetensors"), *seed)?;
        Ok((supernet, format!("{} steps; on validation images: {ends}", demo.recipe.steps(dataset.train.len()))))
    })?;

    let predictor = seconds.time("predictor", || {
        let validation = dataset.validation.first(demo.validation_images);
        let out = path("predictor.onnx");
        let subject = Subject { supernet: &supernet, train: &dataset.train, validation: &validation };
        let survey = survey::run(subject, demo.samples, *seed, &out)?;
        survey.save(&out)?;
        let report = &survey.report;
        let line = format!(
            "{} nets judged; on {} held out, spanning {:.1} to {:.1} %: RMSE {:.2} points, tau {:.2}",
            survey.samples.len(),
            report.held_out,
            report.span[0] * 100.0,
            report.span[1] * 100.0,
            report.rmse * 100.0,
            report.kendall_tau
        );
        Ok((Predictor::load(&path("predictor.onnx"), space)?, line))
    })?;

    let table = seconds.time("measure", || {
        let layers = space.distinct_layers();
        let settings = measure::Settings { seed: *seed, runs: 3, boards: 0 };
        let table = with_progress("measure", layers.len(), |done| measure(board, space, &layers, settings, done))?;
        table.save(&path(&format!("latency/{}.json", board.name)))?;
        Ok((table, format!("{} layers, every checksum equals the host's", layers.len())))
    })?;

    let costs = Costs::from_table(space, &table)?;
    let limits = limits(space, &costs)?;
    let found = seconds.time("search", || {
        let problem = Problem::new(space, &predictor, &costs, limits);
        let found = search(&problem, *seed)?;
        files::write_json(&path("front.json"), &found.front(space, *seed, &costs))?;
        files::write_json(&path("arch.json"), &found.choice(&problem, *seed))?;
        let limits: Vec<_> = limits.iter().map(|(quantity, limit)| format!("{quantity}={limit}")).collect();
        let line = format!("the best of {} nets looked at, within {}", found.evaluated, limits.join(", "));
        Ok((found, line))
    })?;
    let arch = &found.best.arch;

    let subnet = seconds.time("extract", || {
        let subnet = extract(&supernet, arch, &dataset.train, *seed)?;
        subnet.save(&path("subnet.onnx"))?;
        Ok((subnet, "subnet.onnx".into()))
    })?;

    let compiled = seconds.time("compile", || {
        let settings =
            compile::Settings { calibration_images: 512, seed: *seed, method: Method::default(), table: Some(&table) };
        let compiled = compile(&subnet, dataset, &settings)?;
        compiled.save(&path("model"))?;
        let accuracy = &compiled.report.accuracy;
        let line = format!(
            "float {:.2} %, int8 {:.2} % of {} test images",
            accuracy.float * 100.0,
            accuracy.int8 * 100.0,
            accuracy.images
        );
        Ok((compiled, line))
    })?;

    let ran = seconds.time("run", || {
        let images = dataset.test.first(demo.device_images).resized(arch.resolution)?;
        let run = |done: &(dyn Fn() + Sync)| run_on_board(board, &compiled.model, &images, Some(&table), 0, done);
        let report = with_progress("run", images.len(), run)?;
        let equal = if report.logits_equal_host { "every score equals the host's" } else { "scores DIFFER" };
        Ok((report, format!("{} test images on {}: {equal}", images.len(), board.name)))
    })?;

    let net = |name, arch: &Arch| -> Result<Net> {
        let predicted = predictor.predict(std::slice::from_ref(arch))?[0];
        let judged = accuracy(&supernet, arch, &calibrate(&supernet, arch, &dataset.train)?, &dataset.test)?;
        Net::new(name, space, arch, &costs, predicted.into(), judged)
    };
    let nets = [
        net("chosen", arch)?,
        net("largest", &space.largest())?,
        net("random", &random(space, &costs, &limits, *seed)?)?,
    ];
    let summary = summary(demo, &found, &limits, table.layers.len(), &compiled.report, &ran, seconds.all());
    files::write_json(&path("summary.json"), &summary)?;
    say(&format!("\n{}", self::table(&summary, &nets)));
    files::write(&path("report.html"), report::report(out)?.as_bytes())?;
    say(&format!("\n{}\n{}", path("summary.json").display(), path("report.html").display()));
    if !ran.logits_equal_host {
        bail!("the scores on {} are not this host's; ofa run names the first", board.name);
    }
    Ok(summary)
}

/// Round numbers between what the smallest and what the largest net costs.
fn limits(space: &Space, costs: &Costs) -> Result<Limits> {
    let cost =
        |arch| costs.of(&space.layers(&arch)).context("the board refuses a layer of the smallest or largest net");
    let (smallest, largest) = (cost(space.smallest())?, cost(space.largest())?);
    let between =
        |[least, most]: [u64; 2], share: f64| round(least + (most.saturating_sub(least) as f64 * share) as u64);
    let latency = smallest.latency.zip(largest.latency);
    Ok(Limits {
        latency: latency.map(|(least, most)| between([least, most], LATENCY_SHARE)),
        sram: Some(between([smallest.sram_bytes, largest.sram_bytes], SRAM_SHARE)),
        ..Limits::default()
    })
}

/// To two digits, upwards.
fn round(number: u64) -> u64 {
    number.next_multiple_of(10_u64.pow(number.max(1).ilog10().saturating_sub(1)))
}

/// The first net drawn evenly that meets the limits.
fn random(space: &Space, costs: &Costs, limits: &Limits, seed: u64) -> Result<Arch> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = (0..DRAWS).map(|_| space.sample(&mut rng));
    draws
        .find(|arch| limits.excess(costs.of(&space.layers(arch)).as_ref()) <= 1.0)
        .with_context(|| format!("of {DRAWS} nets drawn evenly none meets the limits"))
}
