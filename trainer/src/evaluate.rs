//! Judging and shipping subnets of a supernet: statistics first, then accuracy, or the net on its own.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::dataset::Images;
use crate::files::Header;
use crate::space::Arch;
use crate::subnet::{self, Subnet};
use crate::supernet::{Statistics, Supernet};

/// Training images over which batch norm statistics are recomputed before a subnet is judged or shipped.
pub const CALIBRATION_IMAGES: usize = 2000;

const BATCH: usize = 1000;

/// Images as a tensor: count × channels × height × width, float pixels from 0 to 255.
pub fn pixels(images: &Images, device: Device) -> Tensor {
    let side = i64::from(images.side);
    Tensor::from_slice(&images.pixels)
        .view([-1, side, side, i64::from(images.channels)])
        .to_device(device)
        .to_kind(Kind::Float)
        .permute([0, 3, 1, 2])
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
    let images = images.resized(arch.resolution);
    let labels = Tensor::from_slice(&images.labels).to_kind(Kind::Int64).to_device(supernet.device());
    let mut correct = 0;
    for start in (0..images.len()).step_by(BATCH) {
        let count = BATCH.min(images.len() - start);
        let batch = Images {
            pixels: images.pixels[start * images.image_len()..][..count * images.image_len()].to_vec(),
            labels: vec![],
            ..images
        };
        let scores = supernet.predict(arch, &pixels(&batch, supernet.device()), statistics);
        let hits = scores.argmax(1, false).eq_tensor(&labels.narrow(0, start as i64, count as i64));
        correct += hits.sum(Kind::Int64).int64_value(&[]);
    }
    correct as f64 / images.len() as f64
}
