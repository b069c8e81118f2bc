//! What each step learns from: a pure function of seed and step, so that a resumed training sees what an undisturbed
//! one sees.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use crate::dataset::Images;
use crate::recipe::Augment;

/// What a generator is for. Its numbers depend on the training's seed and on this, on nothing drawn before.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The first weights.
    Weights,
    /// The order of the images in this epoch.
    Order(u64),
    /// The images of this step.
    Images(u64),
    /// The nets of this step.
    Nets(u64),
}

/// The generator of a training for one purpose.
pub(super) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let (kind, number) = match purpose {
        Purpose::Weights => (0, 0),
        Purpose::Order(epoch) => (1, epoch),
        Purpose::Images(step) => (2, step),
        Purpose::Nets(step) => (3, step),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number << 2 | kind);
    rng
}

/// The training images, drawn without repetition until all have been seen.
pub(super) struct Batches {
    images: Images,
    augment: Augment,
    batch: usize,
    seed: u64,
    device: Device,
    /// An epoch's order.
    order: Option<(u64, Vec<usize>)>,
}

/// The images of a step.
pub(super) struct Batch {
    /// Float pixels, batch × channels × side × side, at the side of the dataset.
    pixels: Tensor,
    /// Classes, i64.
    pub labels: Tensor,
}

impl Batches {
    pub fn new(images: &Images, augment: Augment, batch: usize, seed: u64, device: Device) -> Self {
        Self { images: images.clone(), augment, batch, seed, device, order: None }
    }

    /// The batch of this step, counted from the first of the training.
    pub fn get(&mut self, step: u64) -> Batch {
        let batches = (self.images.len() / self.batch) as u64;
        let positions = self.positions(step / batches, (step % batches) as usize);
        let mut rng = generator(self.seed, Purpose::Images(step));
        let mut pixels = vec![0.0; self.batch * self.images.image_len()];
        for (to, &position) in pixels.chunks_exact_mut(self.images.image_len()).zip(&positions) {
            self.vary(self.images.image(position), to, &mut rng);
        }
        let side = i64::from(self.images.side);
        let shape = [self.batch as i64, side, side, i64::from(self.images.channels)];
        let labels: Vec<i64> = positions.iter().map(|&position| i64::from(self.images.labels[position])).collect();
        Batch {
            pixels: Tensor::from_slice(&pixels).view(shape).permute([0, 3, 1, 2]).to_device(self.device),
            labels: Tensor::from_slice(&labels).to_device(self.device),
        }
    }

    fn positions(&mut self, epoch: u64, batch: usize) -> Vec<usize> {
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let mut order: Vec<usize> = (0..self.images.len()).collect();
            order.shuffle(&mut generator(self.seed, Purpose::Order(epoch)));
            self.order = Some((epoch, order));
        }
        let (_, order) = self.order.as_ref().expect("just made");
        order[batch * self.batch..][..self.batch].to_vec()
    }

    /// Writes the image, varied, into `to`, which is black.
    fn vary(&self, image: &[u8], to: &mut [f32], rng: &mut impl Rng) {
        let (side, channels) = (usize::from(self.images.side), usize::from(self.images.channels));
        let reach = i32::from(self.augment.shift);
        let [down, right] = [(); 2].map(|()| rng.random_range(-reach..=reach) as isize);
        let mirrored = rng.random_bool(0.5) && self.augment.flip;
        for (y, row) in to.chunks_exact_mut(side * channels).enumerate() {
            let Some(from) = y.checked_add_signed(-down).filter(|&y| y < side) else { continue };
            let from = &image[from * side * channels..][..side * channels];
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let Some(x) = x.checked_add_signed(-right).filter(|&x| x < side) else { continue };
                let x = if mirrored { side - 1 - x } else { x };
                let values = &from[x * channels..][..channels];
                pixel.iter_mut().zip(values).for_each(|(to, &value)| *to = f32::from(value));
            }
        }
    }
}

impl Batch {
    /// Float pixels at another side: the triangle filter of [`Images::resized`], but for its rounding to bytes.
    pub fn pixels(&self, side: u16) -> Tensor {
        let side = i64::from(side);
        if self.pixels.size()[2] == side {
            return self.pixels.shallow_clone();
        }
        self.pixels.internal_upsample_bilinear2d_aa([side, side], false, None, None)
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn images() -> Images {
        let pixels = (0..40 * 12 * 12 * 3).map(|i| (i % 251) as u8).collect();
        Images { side: 12, channels: 3, pixels, labels: (0..40).collect() }
    }

    fn batches(augment: Augment) -> Batches {
        Batches::new(&images(), augment, 16, 7, Device::Cpu)
    }

    #[test]
    fn a_batch_depends_on_nothing_but_seed_and_step() {
        let augment = Augment { flip: true, shift: 2 };
        let mut forwards = batches(augment);
        let in_order: Vec<_> = (0..6).map(|step| forwards.get(step)).collect();
        for step in [5, 0, 3] {
            let again = batches(augment).get(step);
            assert_eq!(again.pixels, in_order[step as usize].pixels);
            assert_eq!(again.labels, in_order[step as usize].labels);
        }
    }

    #[test]
    fn an_epoch_repeats_no_image() {
        let mut batches = batches(Augment::default());
        let labels = |batch: Batch| Vec::<i64>::try_from(&batch.labels).unwrap();
        let epoch: Vec<i64> = (0..2).flat_map(|step| labels(batches.get(step))).collect();
        let distinct: std::collections::BTreeSet<_> = epoch.iter().collect();
        assert_eq!((epoch.len(), distinct.len()), (32, 32));
        assert_ne!(labels(batches.get(2)), epoch[..16], "the next epoch has another order");
    }

    #[test]
    fn an_image_is_mirrored_and_moved_whole() {
        let source = images();
        let vary = |augment, seed| {
            let mut to = vec![0.0; source.image_len()];
            batches(augment).vary(source.image(0), &mut to, &mut ChaCha8Rng::seed_from_u64(seed));
            to
        };
        let plain: Vec<f32> = source.image(0).iter().map(|&value| f32::from(value)).collect();
        assert_eq!(vary(Augment::default(), 1), plain);
        let mirrored: Vec<f32> =
            plain.chunks(36).flat_map(|row| row.chunks(3).rev().flatten().copied().collect::<Vec<_>>()).collect();
        let flipped: Vec<_> = (0..20).map(|seed| vary(Augment { flip: true, shift: 0 }, seed)).collect();
        assert!(flipped.contains(&plain) && flipped.contains(&mirrored));
        assert!(flipped.iter().all(|image| *image == plain || *image == mirrored));
        let moved = vary(Augment { flip: false, shift: 1 }, 3);
        let moves = [-1, 0, 1].into_iter().flat_map(|down| [-1, 0, 1].map(|right| (down, right)));
        let fits = |(down, right): (i32, i32)| {
            (1..11).all(|y| {
                (1..11).all(|x| moved[((y + down) * 12 + x + right) as usize * 3] == plain[(y * 12 + x) as usize * 3])
            })
        };
        assert_eq!(moves.filter(|&by| fits(by)).count(), 1);
    }

    #[test]
    fn resized_batches_are_what_judged_images_are() {
        let batch = batches(Augment::default()).get(0);
        let labels = Vec::<i64>::try_from(&batch.labels).unwrap();
        let resized = images().resized(8);
        let chosen = resized.select(&labels.iter().map(|&label| label as usize).collect::<Vec<_>>());
        let difference = (batch.pixels(8) - crate::evaluate::pixels(&chosen, Device::Cpu)).abs().max();
        assert!(difference.to_kind(Kind::Double).double_value(&[]) <= 1.0, "{difference}");
    }
}
