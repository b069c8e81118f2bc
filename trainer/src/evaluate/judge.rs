//! Judging many subnets on the same images: each is calibrated, then run.
//!
//! Nets that begin with the same layers share the statistics and the maps of these, bit for bit: they are computed
//! once for all nets that follow one another in sorted order.

use anyhow::Result;
use runtime::Layer;
use tch::{Device, Kind, Tensor};

use super::{BATCH, CALIBRATION_IMAGES, bytes};
use crate::dataset::Images;
use crate::space::{Arch, Space};
use crate::supernet::Supernet;

/// Maps that nets share are kept up to this size.
const KEPT_BYTES: usize = 512 << 20;

/// Judges the subnets of one supernet on one set of images.
pub struct Judge<'a> {
    supernet: &'a Supernet,
    calibration: Images,
    images: &'a Images,
    sized: Option<Sized>,
    kept: Vec<Kept>,
}

/// The images at one resolution: count × channels × height × width, bytes.
struct Sized {
    resolution: u16,
    calibration: Tensor,
    batches: Vec<Tensor>,
}

/// A layer that the last net begins with, and what it made of the images.
struct Kept {
    layer: Layer,
    slot: usize,
    calibration: Tensor,
    batches: Vec<Tensor>,
}

impl<'a> Judge<'a> {
    /// Statistics come from the first [`CALIBRATION_IMAGES`] of `train`; `images` are what is judged on. Both may have
    /// any size.
    pub fn new(supernet: &'a Supernet, train: &Images, images: &'a Images) -> Self {
        Self { supernet, calibration: train.first(CALIBRATION_IMAGES), images, sized: None, kept: vec![] }
    }

    /// The class that each net answers for each image. The nets come in the order that shares the most.
    ///
    /// # Errors
    /// What `report` returns; nothing more is judged then.
    pub fn all(&mut self, archs: &[Arch], mut report: impl FnMut(&Arch, Vec<u16>) -> Result<()>) -> Result<()> {
        let space = self.supernet.space();
        let mut order: Vec<&Arch> = archs.iter().collect();
        order.sort();
        for (i, arch) in order.iter().enumerate() {
            let shared = order.get(i + 1).map_or(0, |next| shared(space, arch, next));
            let answers = self.answers(arch, shared);
            report(arch, answers)?;
        }
        Ok(())
    }

    /// The class that a net answers for each image.
    pub fn one(&mut self, arch: &Arch) -> Vec<u16> {
        self.answers(arch, 0)
    }

    /// As [`Judge::one`]; keeps the first `keep` layers for the next net.
    fn answers(&mut self, arch: &Arch, keep: usize) -> Vec<u16> {
        let space = self.supernet.space();
        let layers: Vec<_> = space.layers(arch).into_iter().zip(space.slots(arch)).collect();
        let known = self.kept.iter().zip(&layers).take_while(|(kept, layer)| (kept.layer, kept.slot) == **layer);
        let known = known.count();
        self.kept.truncate(known);
        self.size(arch.resolution);
        let sized = self.sized.as_ref().expect("it was just made");
        let keep = self.affordable(&layers[..keep]);

        let mut map = match self.kept.last() {
            Some(kept) => kept.calibration.shallow_clone(),
            None => self.supernet.first_map(&sized.calibration.to_kind(Kind::Float)),
        };
        let mut statistics = vec![];
        for (i, (layer, slot)) in layers.iter().enumerate().skip(known) {
            let (output, measured) = self.supernet.measure_layer(layer, *slot, &map);
            map = output;
            if i < keep {
                let (layer, slot, calibration) = (*layer, *slot, map.shallow_clone());
                self.kept.push(Kept { layer, slot, calibration, batches: vec![] });
            }
            statistics.push(measured);
        }
        let mut answers = Vec::with_capacity(self.images.len());
        for (b, batch) in sized.batches.iter().enumerate() {
            let mut map = match known.checked_sub(1) {
                Some(last) => self.kept[last].batches[b].shallow_clone(),
                None => self.supernet.first_map(&batch.to_kind(Kind::Float)),
            };
            for (i, (layer, slot)) in layers.iter().enumerate().skip(known) {
                map = self.supernet.predict_layer(layer, *slot, &map, &statistics[i - known]);
                if i < keep {
                    self.kept[i].batches.push(map.shallow_clone());
                }
            }
            let classes = map.argmax(1, false).to_device(Device::Cpu);
            answers.extend(classes.iter::<i64>().expect("classes are integers").map(|class| class as u16));
        }
        answers
    }

    /// Resizes the images, where they are not of that size already.
    fn size(&mut self, resolution: u16) {
        if self.sized.as_ref().is_some_and(|sized| sized.resolution == resolution) {
            return;
        }
        self.sized = None;
        let bytes = |images: &Images| bytes(&images.resized(resolution), self.supernet.device());
        let batches = bytes(self.images).split(BATCH, 0);
        self.sized = Some(Sized { resolution, calibration: bytes(&self.calibration), batches });
    }

    /// How many of these layers' maps may be kept.
    fn affordable(&self, layers: &[(Layer, usize)]) -> usize {
        let count = self.images.len() + self.calibration.len();
        let sizes = layers.iter().scan(0, |sum, (layer, _)| {
            *sum += layer.output().len() * size_of::<f32>() * count;
            Some(*sum)
        });
        sizes.take_while(|&bytes| bytes <= KEPT_BYTES).count()
    }
}

/// With how many equal layers two nets begin.
fn shared(space: &Space, a: &Arch, b: &Arch) -> usize {
    let layers = |arch| space.layers(arch).into_iter().zip(space.slots(arch));
    layers(a).zip(layers(b)).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::evaluate::{accuracy, calibrate};

    fn noise(count: usize, rng: &mut ChaCha8Rng) -> Images {
        let pixels = (0..count * 28 * 28).map(|_| rng.random()).collect();
        Images { side: 28, channels: 1, pixels, labels: (0..count).map(|_| rng.random_range(0..10)).collect() }
    }

    /// A net that begins as the one before it, beside the same net judged alone.
    #[test]
    fn sharing_changes_no_answer() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let (train, images) = (noise(64, &mut rng), noise(300, &mut rng));
        let supernet = Supernet::new(&space, train.normalisation(), Device::Cpu, &mut rng).unwrap();
        let mut judge = Judge::new(&supernet, &train, &images);
        for _ in 0..6 {
            let arch = space.sample(&mut rng);
            let mut kin = arch.clone();
            let last = kin.stages[2].last_mut().unwrap();
            last.expand = if last.expand == 2 { 3 } else { 2 };
            let shared = shared(&space, &arch, &kin);
            assert_eq!(shared, arch.stages.iter().map(Vec::len).sum::<usize>());
            judge.answers(&arch, shared);
            assert_eq!(judge.kept.len(), shared);
            let answers = judge.one(&kin);
            assert_eq!(answers, Judge::new(&supernet, &train, &images).one(&kin));
            let right = answers.iter().zip(&images.labels).filter(|(answer, label)| **answer == u16::from(**label));
            let statistics = calibrate(&supernet, &kin, &train);
            assert_eq!(accuracy(&supernet, &kin, &statistics, &images), right.count() as f64 / images.len() as f64);
        }
    }

    #[test]
    fn all_judges_each_net_once_and_stops_at_an_error() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (train, images) = (noise(32, &mut rng), noise(20, &mut rng));
        let supernet = Supernet::new(&space, train.normalisation(), Device::Cpu, &mut rng).unwrap();
        let mut archs: Vec<_> = (0..5).map(|_| space.sample(&mut rng)).collect();
        let mut judged = vec![];
        let mut judge = Judge::new(&supernet, &train, &images);
        judge
            .all(&archs, |arch, _| {
                judged.push(arch.clone());
                Ok(())
            })
            .unwrap();
        archs.sort();
        assert_eq!(judged, archs);
        let mut count = 0;
        let full = judge.all(&archs, |_, _| {
            count += 1;
            anyhow::bail!("the disk is full")
        });
        assert_eq!((full.unwrap_err().to_string().as_str(), count), ("the disk is full", 1));
    }
}
