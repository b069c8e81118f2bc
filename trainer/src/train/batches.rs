//! What each step learns from.

use std::sync::Arc;

use anyhow::Result;
use tch::{Device, Tensor};

use crate::dataset::{Images, Split};
use crate::evaluate::{labels, pixels};
use crate::loader::{Augment, Loader, LoaderSettings};

/// The training images, varied, batch by batch.
pub(super) struct Batches {
    loader: Loader,
    device: Device,
}

/// The images of a step.
pub(super) struct Batch {
    /// At the largest resolution of the space.
    images: Arc<Images>,
    device: Device,
    /// Classes, i64.
    pub labels: Tensor,
}

/// What a training's batches depend on.
#[derive(Clone, Copy)]
pub(super) struct BatchSettings {
    /// Images in each.
    pub batch: usize,
    /// How the images are varied.
    pub augment: Augment,
    /// Of order and augmentation.
    pub seed: u64,
    /// Largest resolution of the space.
    pub side: u16,
    /// Where they belong.
    pub device: Device,
}

impl Batches {
    /// The batches from this step on, counted from the first of the training.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn new(train: &Split, settings: BatchSettings, first_step: u64) -> Result<Self> {
        let BatchSettings { batch, augment, seed, side, device } = settings;
        let settings = LoaderSettings { batch, augment, seed, workers: LoaderSettings::threads() };
        let loader = Loader::new(train, settings, move |_| side, usize::try_from(first_step)?)?;
        Ok(Self { loader, device })
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// As [`Loader::next`].
    pub fn next(&mut self) -> Result<Batch> {
        let images = self.loader.next()?;
        Ok(Batch { labels: labels(&images, self.device), images: images.into(), device: self.device })
    }

    /// As [`Loader::waited`].
    pub fn waited(&self) -> f64 {
        self.loader.waited()
    }
}

impl Batch {
    /// The same images, not a copy.
    pub fn shallow_clone(&self) -> Self {
        let Self { images, device, labels } = self;
        Self { images: images.clone(), device: *device, labels: labels.shallow_clone() }
    }

    /// Whether the processor computes with them.
    pub fn on_cpu(&self) -> bool {
        self.device == Device::Cpu
    }

    /// Float pixels, batch × channels × side × side, as judges see them.
    pub fn pixels(&self, side: u16) -> Tensor {
        pixels(&self.images.resized(side), self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let pixels = (0..40 * 12 * 12 * 3).map(|i| (i % 251) as u8).collect();
        Images { side: 12, channels: 3, pixels, labels: (0..40).collect() }
    }

    fn batches(augment: Augment, first_step: u64) -> Batches {
        let settings = BatchSettings { batch: 16, augment, seed: 7, side: 12, device: Device::Cpu };
        Batches::new(&images().into(), settings, first_step).unwrap()
    }

    #[test]
    fn batches_from_a_later_step_are_those_of_the_whole_training() {
        let augment = Augment { flip: true, shift: 2, ..Augment::default() };
        let mut whole = batches(augment, 0);
        let in_order: Vec<_> = (0..6).map(|_| whole.next().unwrap()).collect();
        for step in [5, 0, 3] {
            let again = batches(augment, step).next().unwrap();
            assert_eq!(again.images, in_order[step as usize].images);
            assert_eq!(again.labels, in_order[step as usize].labels);
        }
    }

    #[test]
    fn resized_batches_are_what_judged_images_are() {
        let batch = batches(Augment::default(), 0).next().unwrap();
        let labels = Vec::<i64>::try_from(&batch.labels).unwrap();
        let positions: Vec<_> = labels.iter().map(|&label| label as usize).collect();
        let chosen = crate::dataset::Split::from(images()).select(&positions).resized(8).unwrap();
        assert_eq!(batch.pixels(8), pixels(&chosen, Device::Cpu));
    }
}
