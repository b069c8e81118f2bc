//! `summary.json`: what a demo came to.

use serde::{Deserialize, Serialize};

use crate::run::Bytes;
use crate::space::Arch;

/// The content of `summary.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Of every step.
    pub seed: u64,
    /// Name of the space.
    pub space: String,
    /// The chosen net.
    pub arch: Arch,
    /// Seconds of each step, in order.
    pub seconds: serde_json::Map<String, serde_json::Value>,
    /// Of the chosen net.
    pub accuracy: Accuracy,
    /// What it ran on.
    pub device: Device,
    /// Ticks of one image.
    pub latency: Latency,
    /// Of the arena and the variables beside it.
    pub sram_bytes: Bytes,
    /// Of net and code.
    pub flash_bytes: Bytes,
    /// The latency table that was measured.
    pub table: Table,
}

/// Shares of test images, but for `predicted`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Accuracy {
    /// The subnet in float, on all test images.
    pub float: f64,
    /// In int8 on the host, on all test images.
    pub int8_host: f64,
    /// In int8 on the device, on its images.
    pub int8_device: f64,
    /// By the predictor.
    pub predicted: f64,
}

/// What the net ran on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Name of the board.
    pub board: String,
    /// How many images.
    pub images: usize,
    /// Whether every score is the host's.
    pub logits_equal_host: bool,
}

/// Ticks of one image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// What a tick is.
    pub unit: String,
    /// The sum of the layers in the table.
    pub predicted: Option<u64>,
    /// Median of the images.
    pub measured: u64,
    /// The most that was allowed.
    pub limit: Option<u64>,
}

/// The latency table that was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// How many.
    pub layers: usize,
    /// Whether each layer's output is the host's.
    pub checksums_ok: bool,
}
