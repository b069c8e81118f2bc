//! Labelled images of every kind that is read: IDX files, CIFAR's binary files, folders of JPEG, PNG and WebP files.
//!
//! ```text
//!  folder ─▶ idx | cifar | folder ─▶ Dataset: train, validation, test (Split: pictures of any size, held or in files)
//!                                        ├─▶ resized (Images: squares) ─▶ judging, calibration, devices
//!                                        └─▶ loader ─▶ training
//! ```
//!
//! What training learns from never judges a net: the parts are the same in every run, whatever its seed. Whatever is
//! seen of a picture is seen through `resample`, so that all steps see the same bytes.

mod cifar;
mod folder;
mod idx;
mod images;
mod picture;
mod resample;
mod split;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use images::Images;
pub(crate) use picture::Picture;
pub(crate) use resample::{Window, resample};
pub use split::Split;

/// One in so many training images is kept for validation, where a dataset brings none for that.
const VALIDATION_SHARE: usize = 6;

/// One in so many training images is kept for the test, where a dataset brings none for that.
const TEST_SHARE: usize = 6;

/// As many as a space can have.
const CLASSES: usize = 4096;

/// Three sets of images that share none.
///
/// ```
/// use trainer::dataset::{Dataset, Images, Split};
///
/// let grey = Split::from(Images { side: 1, channels: 1, pixels: vec![10, 90], labels: vec![0, 1] });
/// let dataset = Dataset::new(grey.clone(), grey.clone(), grey, vec!["dark".into(), "bright".into()])?;
/// assert_eq!((dataset.facts().train, dataset.facts().classes.len()), (2, 2));
/// assert_eq!(dataset.widened(3).train.resized(1)?.image(1), [90; 3]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    /// To learn from, and to calibrate on.
    pub train: Split,
    /// To judge nets by while choosing among them.
    pub validation: Split,
    /// To report on, once the choice is made.
    pub test: Split,
    /// Labels are below this.
    pub classes: u16,
    /// Of the classes, in the order of the labels.
    pub names: Vec<String>,
}

/// How pixels become the network's input: (pixel − mean) / deviation, both in units of pixels, for each channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of the training pixels.
    pub mean: Vec<f32>,
    /// Standard deviation of the training pixels.
    pub deviation: Vec<f32>,
}

/// What is to be known of the images behind a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// How many images there are to learn from.
    pub train: usize,
    /// How many to choose by.
    pub validation: usize,
    /// How many to report on.
    pub test: usize,
}

impl Dataset {
    /// Reads the dataset that a folder holds, whichever of these it is:
    ///
    /// - `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-…`: the MNIST family, with or without `.gz`;
    /// - `data_batch_1.bin` … `test_batch.bin`, or `train.bin` and `test.bin`: CIFAR-10, or CIFAR-100's fine classes;
    /// - `train/CLASS/*`, `validation/CLASS/*`, `test/CLASS/*` with `.jpg`, `.jpeg`, `.png`, `.webp` files;
    /// - `CLASS/*` with such files.
    ///
    /// Test images that are missing are a sixth of the training images, then validation images a sixth of the rest;
    /// of an image folder, that share of each class. One coloured image makes all of a folder's three-coloured. Damaged
    /// files are named on stderr and left out, as long as they are not more than one in 50. What decoded takes no more
    /// than a gibibyte is held in memory, the rest decoded whenever it is used.
    ///
    /// ```
    /// use trainer::dataset::Dataset;
    ///
    /// let folder = tempfile::tempdir()?;
    /// for class in ["cat", "dog"] {
    ///     std::fs::create_dir(folder.path().join(class))?;
    ///     for i in 0..12 {
    ///         image::GrayImage::new(32, 24).save(folder.path().join(class).join(format!("{i}.png")))?;
    ///     }
    /// }
    /// let dataset = Dataset::load(folder.path())?;
    /// assert_eq!(dataset.names, ["cat", "dog"]);
    /// assert_eq!(dataset.train.len() + dataset.validation.len() + dataset.test.len(), 24);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// One line that names the file or folder at fault.
    pub fn load(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        ensure!(folder.is_dir(), "no dataset: {shown} is no folder (run ./ofa setup, or name a folder with --data)");
        let idx = ["", ".gz"].iter().any(|end| folder.join(format!("{}{end}", idx::TRAINING_IMAGES)).exists());
        let cifar = cifar::KINDS.iter().find(|kind| kind.is_in(folder));
        match cifar {
            _ if idx => idx::load(folder),
            Some(cifar) => cifar.load(folder),
            None if folder::is_one(folder)? => folder::load(folder),
            None => bail!(
                "no dataset: {shown} holds neither {} nor CIFAR's .bin files nor train/CLASS/*.jpg nor CLASS/*.jpg \
                 (.png, .webp)",
                idx::TRAINING_IMAGES
            ),
        }
    }

    /// A dataset of these parts, once they are found to fit each other.
    ///
    /// # Errors
    /// If there are fewer than two classes, more than 4096, or no images in a part.
    pub fn new(train: Split, validation: Split, test: Split, names: Vec<String>) -> Result<Self> {
        ensure!(names.len() > 1, "one class alone leaves nothing to learn");
        ensure!(names.len() <= CLASSES, "{} classes; up to {CLASSES} are supported", names.len());
        for (split, name) in [(&train, "training"), (&validation, "validation"), (&test, "test")] {
            ensure!(!split.is_empty(), "there are no {name} images");
        }
        Ok(Self { train, validation, test, classes: names.len() as u16, names })
    }

    /// The validation images are parted from the training images.
    fn without_validation(train: Images, test: Images, names: Vec<String>) -> Result<Self> {
        ensure!(train.len() > VALIDATION_SHARE, "only {} training images", train.len());
        let train = Split::from(train);
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        let (validation, rest) = order.split_at(train.len() / VALIDATION_SHARE);
        Self::new(train.select(rest), train.select(validation), test.into(), names)
    }

    /// For nets that read this many channels: grey becomes three equal colours where they read three. Colours are
    /// left as they are, for a net that reads grey to refuse.
    pub fn widened(self, channels: u16) -> Self {
        let Self { train, validation, test, .. } = self;
        let [train, validation, test] = [train, validation, test].map(|split| split.widened(channels));
        Self { train, validation, test, ..self }
    }

    /// What is to be known of it.
    pub fn facts(&self) -> Facts {
        Facts {
            classes: self.names.clone(),
            train: self.train.len(),
            validation: self.validation.len(),
            test: self.test.len(),
        }
    }

    /// The images that `--data` names, or the usual ones, [widened](Self::widened) to so many channels.
    ///
    /// ```no_run
    /// use trainer::dataset::Dataset;
    ///
    /// let dataset = Dataset::named(None, 3)?;
    /// assert_eq!(dataset.train.channels(), 3, "grey Fashion-MNIST as three equal colours");
    /// assert!(Dataset::default_folder().ends_with("fashion-mnist"));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn named(data: Option<PathBuf>, channels: u16) -> Result<Self> {
        Ok(Self::load(&data.unwrap_or_else(Self::default_folder))?.widened(channels))
    }

    /// Where `--data` points when it is not given: Fashion-MNIST in the cache that the script `ofa` fills.
    pub fn default_folder() -> PathBuf {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = variable("OFA_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("ofa")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/ofa")))
            .unwrap_or_default();
        cache.join("fashion-mnist")
    }
}
