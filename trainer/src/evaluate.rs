//! Judging and shipping subnets of a supernet: statistics first, then accuracy, or the net on its own.

mod judge;
mod report;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::dataset::{Images, Split};
use crate::files::Header;
use crate::space::Arch;
use crate::subnet::{self, Subnet};
use crate::supernet::{Statistics, Supernet};

pub use judge::Judge;
pub use report::{ClassReport, NetReport, RandomReport, Score};

/// Training images over which batch norm statistics are recomputed before a subnet is judged or shipped.
pub const CALIBRATION_IMAGES: usize = 2000;

/// Pixels of the images that go through a net at once: what bounds its memory.
const BATCH_PIXELS: usize = 1 << 21;

/// So many batches at most are statistics taken over.
const CALIBRATION_BATCHES: usize = 4;

/// Images that a net judges at once, at most: small enough for their maps to stay near the processor.
const BATCH: usize = 250;

/// Images as a tensor: count × channels × height × width, float pixels from 0 to 255.
pub(crate) fn pixels(images: &Images, device: Device) -> Tensor {
    bytes(images, device).to_kind(Kind::Float)
}

/// The same in a quarter of the memory.
fn bytes(images: &Images, device: Device) -> Tensor {
    let side = i64::from(images.side);
    let shape = [-1, side, side, i64::from(images.channels)];
    Tensor::from_slice(&images.pixels).view(shape).to_device(device).permute([0, 3, 1, 2])
}

/// Classes as a tensor.
pub(crate) fn labels(images: &Images, device: Device) -> Tensor {
    let labels: Vec<i64> = images.labels.iter().copied().map(i64::from).collect();
    Tensor::from_slice(&labels).to_device(device)
}

/// Images of this resolution that may go through a net at once.
fn batch(resolution: u16) -> usize {
    (BATCH_PIXELS / usize::from(resolution).pow(2)).max(2)
}

/// The statistics of a subnet over the first [`CALIBRATION_IMAGES`] of `train`. Where these are too large to go through
/// it at once, they are the mean of those of up to four batches.
///
/// # Errors
/// If pictures cannot be decoded.
pub(crate) fn calibrate(supernet: &Supernet, arch: &Arch, train: &Split) -> Result<Statistics> {
    let batches = calibration_batches(train, arch.resolution, supernet.device())?;
    let of_batch = |batch: &Tensor| supernet.statistics(arch, &batch.to_kind(Kind::Float));
    Ok(Statistics::mean(&batches.iter().map(of_batch).collect::<Vec<_>>()))
}

/// What statistics are taken over, as bytes.
fn calibration_batches(train: &Split, resolution: u16, device: Device) -> Result<Vec<Tensor>> {
    let batch = batch(resolution);
    let count = CALIBRATION_IMAGES.min(train.len()).min(CALIBRATION_BATCHES * batch);
    let batches = count.div_ceil(batch);
    let of_batch = |i| Ok(bytes(&train.range(i * (count / batches), count / batches).resized(resolution)?, device));
    (0..batches).map(of_batch).collect()
}

/// The subnet on its own, with statistics from `train`.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::evaluate::extract;
///
/// let (space, dataset) = (made_up::space(), made_up::dataset());
/// let supernet = made_up::supernet(&space, &dataset);
/// let subnet = extract(&supernet, &space.smallest(), &dataset.train, 1)?;
/// assert_eq!(subnet.layers.len(), space.layers(&space.smallest()).len());
/// assert_eq!(subnet.header.space, space.hash());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the space lacks the arch.
pub fn extract(supernet: &Supernet, arch: &Arch, train: &Split, seed: u64) -> Result<Subnet> {
    supernet.space().check(arch)?;
    let header = Header::new(subnet::FORMAT, &supernet.space().hash(), seed);
    supernet.extract(arch, &calibrate(supernet, arch, train)?, header)
}

/// Share of the images, of any size, whose class the subnet names.
///
/// # Errors
/// If pictures cannot be decoded.
pub(crate) fn accuracy(supernet: &Supernet, arch: &Arch, statistics: &Statistics, images: &Split) -> Result<f64> {
    let batch = batch(arch.resolution).min(BATCH);
    let mut correct = 0;
    for start in (0..images.len()).step_by(batch) {
        let images = images.range(start, batch).resized(arch.resolution)?;
        let scores = supernet.predict(arch, &pixels(&images, supernet.device()), statistics);
        let hits = scores.argmax(1, false).eq_tensor(&labels(&images, supernet.device()));
        correct += hits.sum(Kind::Int64).int64_value(&[]);
    }
    Ok(correct as f64 / images.len() as f64)
}
