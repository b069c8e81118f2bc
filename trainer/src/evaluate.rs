//! Judging and shipping subnets of a supernet: statistics first, then accuracy, or the net on its own.

mod judge;
mod report;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::dataset::Images;
use crate::files::Header;
use crate::space::Arch;
use crate::subnet::{self, Subnet};
use crate::supernet::{Statistics, Supernet};

pub use judge::Judge;
pub use report::{ClassReport, NetReport, RandomReport, Score};

/// Training images over which batch norm statistics are recomputed before a subnet is judged or shipped.
pub const CALIBRATION_IMAGES: usize = 2000;

/// Images that a net judges at once: small enough for its maps to stay near the processor.
const BATCH: i64 = 250;

/// Images as a tensor: count × channels × height × width, float pixels from 0 to 255.
pub fn pixels(images: &Images, device: Device) -> Tensor {
    bytes(images, device).to_kind(Kind::Float)
}

/// The same in a quarter of the memory.
fn bytes(images: &Images, device: Device) -> Tensor {
    let side = i64::from(images.side);
    let shape = [-1, side, side, i64::from(images.channels)];
    Tensor::from_slice(&images.pixels).view(shape).to_device(device).permute([0, 3, 1, 2])
}

/// The statistics of a subnet over the first [`CALIBRATION_IMAGES`] of `train`, which may have any size.
pub fn calibrate(supernet: &Supernet, arch: &Arch, train: &Images) -> Statistics {
    let images = train.first(CALIBRATION_IMAGES).resized(arch.resolution);
    supernet.statistics(arch, &pixels(&images, supernet.device()))
}

/// The subnet on its own, with statistics from `train`.
///
/// # Errors
/// If the space lacks the arch.
pub fn extract(supernet: &Supernet, arch: &Arch, train: &Images, seed: u64) -> Result<Subnet> {
    supernet.space().check(arch)?;
    let header = Header::new(subnet::FORMAT, &supernet.space().hash(), seed);
    supernet.extract(arch, &calibrate(supernet, arch, train), header)
}

/// Share of the images, of any size, whose class the subnet names.
pub fn accuracy(supernet: &Supernet, arch: &Arch, statistics: &Statistics, images: &Images) -> f64 {
    let labels = Tensor::from_slice(&images.labels).to_kind(Kind::Int64).to_device(supernet.device());
    let batches = bytes(&images.resized(arch.resolution), supernet.device()).split(BATCH, 0);
    let correct = batches.iter().zip(labels.split(BATCH, 0)).map(|(batch, labels)| {
        let scores = supernet.predict(arch, &batch.to_kind(Kind::Float), statistics);
        scores.argmax(1, false).eq_tensor(&labels).sum(Kind::Int64).int64_value(&[])
    });
    correct.sum::<i64>() as f64 / images.len() as f64
}
