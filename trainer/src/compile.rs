//! From a subnet to the folder that firmware is built from, with a report of what was lost and what it costs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runtime::{Layer, argmax};
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Images};
use crate::files::{self, Header};
use crate::float::{FloatNet, accuracy};
use crate::model::{Compiled, flash_bytes};
use crate::onnx::map_names;
use crate::quantise::quantise;
use crate::space::Arch;
use crate::subnet::Subnet;

/// Format name of `report.json`.
pub const REPORT_FORMAT: &str = "ofa-compile-report";
/// Format name of `golden.json`.
pub const GOLDEN_FORMAT: &str = "ofa-golden";

/// Test images with their scores in `golden.json`.
const GOLDEN_IMAGES: usize = 4;
/// Images that the error of each layer is measured on.
const ERROR_IMAGES: usize = 64;

/// What a step of the compiler needs to know beside the net and the data.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Training images from which the ranges come.
    pub calibration_images: usize,
    /// Which of them.
    pub seed: u64,
    /// Ticks of a layer on a board.
    pub ticks: Option<Ticks<'a>>,
}

/// What layers take on a board.
#[derive(Clone, Copy)]
pub struct Ticks<'a> {
    /// What a tick is.
    pub unit: &'a str,
    /// Ticks of a layer, where it was measured.
    pub of: &'a dyn Fn(&Layer) -> Option<u32>,
}

/// A subnet in integers, with what is to be known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Compilation {
    /// The integer net.
    pub model: Compiled,
    /// What was lost and what it costs.
    pub report: Report,
    /// Images with the scores that every device must give.
    pub golden: Golden,
}

/// `report.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The space and the seed that the subnet came from.
    pub header: Header,
    /// The net of the space that it is.
    pub arch: Arch,
    /// On the test images.
    pub accuracy: Accuracy,
    /// Training images from which the ranges came.
    pub calibration_images: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Learned numbers.
    pub parameters: usize,
    /// The arena.
    pub sram_bytes: usize,
    /// The net's taps, channels and steps; the code is not the net's.
    pub flash_bytes: usize,
    /// Of one image, where a latency table is given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency: Option<Latency>,
    /// Each layer's share.
    pub layers: Vec<LayerReport>,
}

/// Shares of correct answers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Accuracy {
    /// Of the float net.
    pub float: f64,
    /// Of the integer net.
    pub int8: f64,
    /// How many both were judged on.
    pub images: usize,
}

/// A sum of a latency table's ticks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// What a tick is.
    pub unit: String,
    /// The sum of all layers.
    pub predicted: u64,
}

/// What one layer costs and loses.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LayerReport {
    /// The layer for people.
    pub layer: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Learned numbers.
    pub parameters: usize,
    /// Taps, channels and step.
    pub flash_bytes: usize,
    /// Input, scratch and output.
    pub arena_bytes: usize,
    /// On the board of the latency table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticks: Option<u32>,
    /// Power of the float output over that of the integer output's difference from it, which all layers before add to.
    pub snr_db: f64,
}

/// `golden.json`: images with the scores that every device must give for them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Golden {
    /// The space and the seed that the net came from.
    pub header: Header,
    /// The images.
    pub images: Vec<GoldenImage>,
}

/// An image with its scores.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GoldenImage {
    /// Its class.
    pub label: u8,
    /// Pixels less 128, row by row, channels innermost.
    pub image: Vec<i8>,
    /// What the net makes of it.
    pub scores: Vec<i8>,
}

/// Quantises a subnet, judges it on the test images and writes the report.
///
/// # Errors
/// If the dataset is not one for this net, or a layer has no integer kernel.
pub fn compile(subnet: &Subnet, dataset: &Dataset, settings: &Settings) -> Result<Compilation> {
    let (image, classes) = (subnet.layers[0].0.input(), subnet.layers[subnet.layers.len() - 1].0.output().len());
    ensure!(
        (dataset.test.channels, usize::from(dataset.classes)) == (image.channels, classes),
        "the net knows {} channel(s) and {classes} classes, the dataset has {} and {}",
        image.channels,
        dataset.test.channels,
        dataset.classes
    );
    let calibration = sample(&dataset.train, settings.calibration_images, settings.seed).resized(image.height);
    let test = dataset.test.resized(image.height);
    let model = quantise(subnet, &calibration)?;
    let accuracy = Accuracy {
        float: FloatNet::new(subnet)?.accuracy(&test)?,
        int8: accuracy(&test, |image| Ok(argmax(&model.scores(image)?)))?,
        images: test.len(),
    };
    let errors = layer_errors(subnet, &model, &calibration.first(ERROR_IMAGES))?;
    let header = |format: &str| Header { format: format.into(), ..subnet.header.clone() };
    let report = Report {
        header: header(REPORT_FORMAT),
        calibration_images: calibration.len(),
        ..cost(&model, settings.ticks, accuracy, &errors)
    };
    let golden = Golden { header: header(GOLDEN_FORMAT), images: golden_images(&model, &test)? };
    Ok(Compilation { model, report, golden })
}

impl Compilation {
    /// Writes `model.rs`, `weights.bin`, `model.json`, `golden.json` and, last, `report.json`. Until all of them are
    /// written whole, none appears; what a report says is true of the files beside it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        const FILES: [&str; 5] = ["weights.bin", "model.rs", "model.json", "golden.json", "report.json"];
        let place = || -> Result<()> {
            std::fs::create_dir_all(folder)?;
            let temporary = tempfile::tempdir_in(folder)?;
            self.model.save(temporary.path())?;
            files::write(&temporary.path().join("golden.json"), &serde_json::to_vec(&self.golden)?)?;
            files::write_json(&temporary.path().join("report.json"), &self.report)?;
            match std::fs::remove_file(folder.join("report.json")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
                _ => {}
            }
            for file in FILES {
                std::fs::rename(temporary.path().join(file), folder.join(file))?;
            }
            Ok(())
        };
        place().with_context(|| format!("cannot write {}", folder.display()))
    }
}

/// Some of the images, drawn by a seed.
fn sample(images: &Images, count: usize, seed: u64) -> Images {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    images.select(&rand::seq::index::sample(&mut rng, images.len(), count.min(images.len())).into_vec())
}

fn cost(model: &Compiled, ticks: Option<Ticks>, accuracy: Accuracy, errors: &[f64]) -> Report {
    let layers = model.layers();
    let ticks_of = |layer: &Layer| ticks.and_then(|ticks| (ticks.of)(layer));
    let total: Option<u64> = layers.iter().map(|layer| ticks_of(layer).map(u64::from)).sum();
    let layer = |(layer, &snr_db): (&Layer, &f64)| LayerReport {
        layer: layer.to_string(),
        macs: layer.macs(),
        parameters: layer.parameters(),
        flash_bytes: flash_bytes(&[*layer]),
        arena_bytes: layer.arena_bytes(),
        ticks: ticks_of(layer),
        snr_db,
    };
    Report {
        header: model.header.clone(),
        arch: model.arch.clone(),
        accuracy,
        calibration_images: 0,
        macs: layers.iter().map(Layer::macs).sum(),
        parameters: layers.iter().map(Layer::parameters).sum(),
        sram_bytes: runtime::arena_bytes(&model.steps),
        flash_bytes: model.flash_bytes(),
        latency: ticks.zip(total).map(|(ticks, predicted)| Latency { unit: ticks.unit.into(), predicted }),
        layers: layers.iter().zip(errors).map(layer).collect(),
    }
}

/// For each layer's output, power over power of the error, in decibels.
fn layer_errors(subnet: &Subnet, model: &Compiled, images: &Images) -> Result<Vec<f64>> {
    let outputs: Vec<String> = map_names(subnet).into_iter().filter_map(|mut names| names.pop()).collect();
    let net = FloatNet::with_results(subnet, &outputs)?;
    let mut powers = vec![[0.0; 2]; outputs.len()];
    for i in 0..images.len() {
        let maps = model.maps(images.image(i))?;
        net.run(images.image(i), |layer, planes| {
            let (map, scale) = (&maps[layer], model.outputs[layer]);
            let channels = usize::from(model.steps[layer].layer.output().channels);
            let pixels = map.len() / channels;
            for (i, &int8) in map.iter().enumerate() {
                let float = f64::from(planes[i % channels * pixels + i / channels]);
                let real = f64::from(i32::from(int8) - i32::from(scale.zero)) * f64::from(scale.scale);
                powers[layer][0] += float * float;
                powers[layer][1] += (float - real) * (float - real);
            }
        })?;
    }
    // A layer without any error, or without any signal, is as good as it can be: JSON has no infinity.
    let decibels = |[signal, error]: [f64; 2]| {
        if error == 0.0 { 150.0 } else { (10.0 * (signal / error).log10()).clamp(-150.0, 150.0) }
    };
    Ok(powers.into_iter().map(decibels).collect())
}

fn golden_images(model: &Compiled, test: &Images) -> Result<Vec<GoldenImage>> {
    let golden = |i: usize| {
        let image = test.image(i);
        Ok(GoldenImage {
            label: test.labels[i],
            image: image.iter().map(|pixel| (pixel ^ 0x80) as i8).collect(),
            scores: model.scores(image)?,
        })
    };
    (0..test.len().min(GOLDEN_IMAGES)).map(golden).collect()
}
