//! Judging many subnets on the same images: each is calibrated, then run.
//!
//! Nets that begin with the same layers share the statistics and the maps of these, bit for bit: they are computed
//! once for all nets that follow one another in sorted order.

use anyhow::Result;
use runtime::Layer;
use tch::{Device, Kind, Tensor};

use super::{BATCH, CALIBRATION_IMAGES, batch, bytes, calibration_batches};
use crate::dataset::Split;
use crate::space::{Arch, Space};
use crate::supernet::{Statistics, Supernet};

/// Maps that nets share are kept up to this size.
const KEPT_BYTES: usize = 512 << 20;

/// Images at one resolution are held up to this size; larger sets are decoded anew for each net.
const HELD_BYTES: usize = 1 << 30;

/// Judges the subnets of one supernet on one set of images.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::evaluate::{Judge, NetReport};
///
/// let (space, dataset) = (made_up::space(), made_up::dataset());
/// let supernet = made_up::supernet(&space, &dataset);
/// let mut judge = Judge::new(&supernet, &dataset.train, &dataset.validation);
/// let mut reports = vec![];
/// judge.all(&[space.smallest(), space.largest()], |arch, answers| {
///     reports.push(NetReport::new(&space, arch, &answers, dataset.validation.labels()));
///     Ok(())
/// })?;
/// assert_eq!(reports.len(), 2);
/// assert_eq!(judge.one(&space.smallest())?.len(), dataset.validation.len());
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Judge<'a> {
    supernet: &'a Supernet,
    train: &'a Split,
    images: &'a Split,
    sized: Option<Sized>,
    kept: Vec<Kept>,
}

/// The images at one resolution: count × channels × height × width, bytes.
struct Sized {
    resolution: u16,
    calibration: Vec<Tensor>,
    /// Where they are not too many.
    batches: Option<Vec<Tensor>>,
}

/// A layer that the last net begins with, and what it made of the images.
struct Kept {
    layer: Layer,
    slot: usize,
    calibration: Vec<Tensor>,
    batches: Vec<Tensor>,
}

impl<'a> Judge<'a> {
    /// Statistics come from the first [`CALIBRATION_IMAGES`](super::CALIBRATION_IMAGES) of `train`; `images` are what is
    /// judged on.
    pub fn new(supernet: &'a Supernet, train: &'a Split, images: &'a Split) -> Self {
        Self { supernet, train, images, sized: None, kept: vec![] }
    }

    /// The class that each net answers for each image. The nets come in the order that shares the most.
    ///
    /// # Errors
    /// What `report` returns, or that pictures cannot be decoded; nothing more is judged then.
    pub fn all(&mut self, archs: &[Arch], mut report: impl FnMut(&Arch, Vec<u16>) -> Result<()>) -> Result<()> {
        let space = self.supernet.space();
        let mut order: Vec<&Arch> = archs.iter().collect();
        order.sort();
        for (i, arch) in order.iter().enumerate() {
            let shared = order.get(i + 1).map_or(0, |next| shared(space, arch, next));
            let answers = self.answers(arch, shared)?;
            report(arch, answers)?;
        }
        Ok(())
    }

    /// The class that a net answers for each image.
    ///
    /// # Errors
    /// If pictures cannot be decoded.
    pub fn one(&mut self, arch: &Arch) -> Result<Vec<u16>> {
        self.answers(arch, 0)
    }

    /// As [`Judge::one`]; keeps the first `keep` layers for the next net.
    fn answers(&mut self, arch: &Arch, keep: usize) -> Result<Vec<u16>> {
        let space = self.supernet.space();
        let layers: Vec<_> = space.layers(arch).into_iter().zip(space.slots(arch)).collect();
        let known = self.kept.iter().zip(&layers).take_while(|(kept, layer)| (kept.layer, kept.slot) == **layer);
        let known = known.count();
        self.kept.truncate(known);
        self.size(arch.resolution)?;
        let sized = self.sized.as_ref().expect("it was just made");
        let keep = self.affordable(&layers[..keep]);

        let mut maps: Vec<Tensor> = match self.kept.last() {
            Some(kept) => kept.calibration.iter().map(Tensor::shallow_clone).collect(),
            None => sized.calibration.iter().map(|b| self.supernet.first_map(&b.to_kind(Kind::Float))).collect(),
        };
        let mut statistics = vec![];
        for (i, (layer, slot)) in layers.iter().enumerate().skip(known) {
            let measured: Vec<_>;
            (maps, measured) = maps.iter().map(|map| self.supernet.measure_layer(layer, *slot, map)).unzip();
            if i < keep {
                let (layer, slot) = (*layer, *slot);
                let calibration = maps.iter().map(Tensor::shallow_clone).collect();
                self.kept.push(Kept { layer, slot, calibration, batches: vec![] });
            }
            statistics.push(Statistics::mean(&measured));
        }
        drop(maps);
        let mut answers = Vec::with_capacity(self.images.len());
        for b in 0..self.images.len().div_ceil(step(arch.resolution)) {
            let mut map = match known.checked_sub(1) {
                Some(last) => self.kept[last].batches[b].shallow_clone(),
                None => self.supernet.first_map(&self.batch(b, sized)?.to_kind(Kind::Float)),
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
        Ok(answers)
    }

    /// Decodes and resizes the images, where they are not of that size already.
    fn size(&mut self, resolution: u16) -> Result<()> {
        if self.sized.as_ref().is_some_and(|sized| sized.resolution == resolution) {
            return Ok(());
        }
        self.sized = None;
        let calibration = calibration_batches(self.train, resolution, self.supernet.device())?;
        let mut sized = Sized { resolution, calibration, batches: None };
        let image = usize::from(resolution).pow(2) * usize::from(self.images.channels());
        if image * self.images.len() <= HELD_BYTES {
            let count = self.images.len().div_ceil(step(resolution));
            sized.batches = Some((0..count).map(|b| self.batch(b, &sized)).collect::<Result<_>>()?);
        }
        self.sized = Some(sized);
        Ok(())
    }

    /// Images that are judged at once, as bytes.
    fn batch(&self, b: usize, sized: &Sized) -> Result<Tensor> {
        if let Some(batches) = &sized.batches {
            return Ok(batches[b].shallow_clone());
        }
        let step = step(sized.resolution);
        Ok(bytes(&self.images.range(b * step, step).resized(sized.resolution)?, self.supernet.device()))
    }

    /// How many of these layers' maps may be kept.
    fn affordable(&self, layers: &[(Layer, usize)]) -> usize {
        let count = self.images.len() + CALIBRATION_IMAGES.min(self.train.len());
        let sizes = layers.iter().scan(0, |sum, (layer, _)| {
            *sum += layer.output().len() * size_of::<f32>() * count;
            Some(*sum)
        });
        sizes.take_while(|&bytes| bytes <= KEPT_BYTES).count()
    }
}

/// Images of this resolution that are judged at once.
fn step(resolution: u16) -> usize {
    batch(resolution).min(BATCH)
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
    use crate::dataset::Images;
    use crate::evaluate::{accuracy, calibrate};

    fn noise(count: usize, rng: &mut ChaCha8Rng) -> Split {
        let pixels = (0..count * 28 * 28).map(|_| rng.random()).collect();
        let labels = (0..count).map(|_| rng.random_range(0..10)).collect();
        Images { side: 28, channels: 1, pixels, labels }.into()
    }

    /// A net that begins as the one before it, beside the same net judged alone.
    #[test]
    fn sharing_changes_no_answer() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let (train, images) = (noise(64, &mut rng), noise(300, &mut rng));
        let supernet = Supernet::new(&space, train.normalisation().unwrap(), Device::Cpu, &mut rng).unwrap();
        let mut judge = Judge::new(&supernet, &train, &images);
        for _ in 0..6 {
            let arch = space.sample(&mut rng);
            let mut kin = arch.clone();
            let last = kin.stages[2].last_mut().unwrap();
            last.expand = if last.expand == 2 { 3 } else { 2 };
            let shared = shared(&space, &arch, &kin);
            assert_eq!(shared, arch.stages.iter().map(Vec::len).sum::<usize>());
            judge.answers(&arch, shared).unwrap();
            assert_eq!(judge.kept.len(), shared);
            let answers = judge.one(&kin).unwrap();
            assert_eq!(answers, Judge::new(&supernet, &train, &images).one(&kin).unwrap());
            let right = answers.iter().zip(images.labels()).filter(|(answer, label)| answer == label);
            let statistics = calibrate(&supernet, &kin, &train).unwrap();
            let judged = accuracy(&supernet, &kin, &statistics, &images).unwrap();
            assert_eq!(judged, right.count() as f64 / images.len() as f64);
        }
    }

    #[test]
    fn all_judges_each_net_once_and_stops_at_an_error() {
        let space = Space::load("fashion").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (train, images) = (noise(32, &mut rng), noise(20, &mut rng));
        let supernet = Supernet::new(&space, train.normalisation().unwrap(), Device::Cpu, &mut rng).unwrap();
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
