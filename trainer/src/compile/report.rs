//! What a compilation lost and what it costs.

use anyhow::Result;
use runtime::Layer;
use serde::{Deserialize, Serialize};

use crate::dataset::Images;
use crate::files::Header;
use crate::float::FloatNet;
use crate::model::{Compiled, flash_bytes};
use crate::onnx::output_names;
use crate::space::Arch;
use crate::subnet::Subnet;
use crate::table::LatencyTable;

/// Format name of `report.json`.
pub const REPORT_FORMAT: &str = "ofa-compile-report";

/// Images that the error of each layer is measured on.
const ERROR_IMAGES: usize = 64;

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
    /// The sum of all layers, the first two as they run.
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
    /// Input, scratch and output of the layer alone.
    pub arena_bytes: usize,
    /// On the board of the latency table. Where stem and first block run as one, the block's are what both take beyond the
    /// stem alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ticks: Option<u32>,
    /// Power of the float output over that of the integer output's difference from it, which all layers before add to.
    pub snr_db: f64,
}

impl Report {
    /// The report of a compiled subnet; the layers' errors are measured on the first of the calibration images.
    pub(super) fn new(
        subnet: &Subnet,
        model: &Compiled,
        accuracy: Accuracy,
        calibration: &Images,
        table: Option<&LatencyTable>,
    ) -> Result<Self> {
        let layers = model.layers();
        let errors = layer_errors(subnet, model, &calibration.first(ERROR_IMAGES))?;
        let layer = |(layer, snr_db): (&Layer, f64)| LayerReport {
            layer: layer.to_string(),
            macs: layer.macs(),
            parameters: layer.parameters(),
            flash_bytes: flash_bytes(&[*layer]),
            arena_bytes: layer.arena_bytes(),
            ticks: table.and_then(|table| table.ticks(layer)),
            snr_db,
        };
        let mut reports: Vec<_> = layers.iter().zip(errors).map(layer).collect();
        if let Some(together) = table.and_then(|table| table.opening_ticks(&layers)) {
            reports[1].ticks = Some(together.saturating_sub(reports[0].ticks.unwrap_or(0)));
        }
        Ok(Self {
            header: Header { format: REPORT_FORMAT.into(), ..subnet.header.clone() },
            arch: model.arch.clone(),
            accuracy,
            calibration_images: calibration.len(),
            macs: layers.iter().map(Layer::macs).sum(),
            parameters: layers.iter().map(Layer::parameters).sum(),
            sram_bytes: runtime::arena_bytes(&model.steps),
            flash_bytes: model.flash_bytes(),
            latency: table.map(|table| latency(&layers, table)).transpose()?,
            layers: reports,
        })
    }
}

fn latency(layers: &[Layer], table: &LatencyTable) -> Result<Latency> {
    Ok(Latency { unit: table.provenance.unit.clone(), predicted: table.latency(layers)? })
}

/// For each layer's output, power over power of the error, in decibels.
fn layer_errors(subnet: &Subnet, model: &Compiled, images: &Images) -> Result<Vec<f64>> {
    let outputs = output_names(subnet);
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
