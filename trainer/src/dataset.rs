//! Labelled images: IDX files (the MNIST family), gzipped or not.
//!
//! The training file is parted once and for all into training and validation images, so that no step judges a
//! net on what another has trained on.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Luma};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Share of the training file that is kept for validation.
const VALIDATION_SHARE: usize = 6;

/// Square images with their classes.
#[derive(Clone, PartialEq, Debug)]
pub struct Images {
    /// Pixels in a row and in a column.
    pub side: u16,
    /// Values of a pixel.
    pub channels: u16,
    /// image × row × pixel × channel.
    pub pixels: Vec<u8>,
    /// Class of each image.
    pub labels: Vec<u8>,
}

/// Three sets of images that share none.
#[derive(Clone, PartialEq, Debug)]
pub struct Dataset {
    /// To learn from, and to calibrate on.
    pub train: Images,
    /// To judge nets by while choosing among them.
    pub validation: Images,
    /// To report on, once the choice is made.
    pub test: Images,
    /// Labels are below this.
    pub classes: u16,
}

/// How pixels become the network's input: (pixel − mean) / deviation, both in units of pixels, for each channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of the training pixels.
    pub mean: Vec<f32>,
    /// Standard deviation of the training pixels.
    pub deviation: Vec<f32>,
}

impl Dataset {
    /// Reads the four IDX files (`train-images-idx3-ubyte` and so on, with or without `.gz`) of a folder.
    ///
    /// # Errors
    /// One line that names the file that is missing or damaged.
    pub fn load(folder: &Path) -> Result<Self> {
        let train = Images::load_idx(folder, "train")?;
        let test = Images::load_idx(folder, "t10k")?;
        ensure!(
            train.side == test.side,
            "{}: training images are {} px, test images {} px",
            folder.display(),
            train.side,
            test.side
        );
        ensure!(train.len() > VALIDATION_SHARE, "{}: only {} training images", folder.display(), train.len());
        let classes = 1 + train.labels.iter().chain(&test.labels).copied().max().map_or(0, u16::from);
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        let (validation, rest) = order.split_at(train.len() / VALIDATION_SHARE);
        Ok(Self { train: train.select(rest), validation: train.select(validation), test, classes })
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

impl Images {
    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of one image.
    pub fn image_len(&self) -> usize {
        usize::from(self.side) * usize::from(self.side) * usize::from(self.channels)
    }

    /// The pixels of image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.image_len()..][..self.image_len()]
    }

    /// The images at these positions, in this order.
    pub fn select(&self, positions: &[usize]) -> Self {
        Self {
            pixels: positions.iter().flat_map(|&i| self.image(i)).copied().collect(),
            labels: positions.iter().map(|&i| self.labels[i]).collect(),
            ..*self
        }
    }

    /// The first `count` images, or all.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            pixels: self.pixels[..count * self.image_len()].to_vec(),
            labels: self.labels[..count].to_vec(),
            ..*self
        }
    }

    /// All of them at another size (triangle filter). Training, calibration and devices see the same bytes.
    pub fn resized(&self, side: u16) -> Self {
        if side == self.side {
            return self.clone();
        }
        let plane = |image: &[u8], channel: usize| {
            let values = image.iter().skip(channel).step_by(usize::from(self.channels)).copied().collect();
            let plane = ImageBuffer::<Luma<u8>, Vec<u8>>::from_raw(self.side.into(), self.side.into(), values)
                .expect("an image has side × side pixels");
            resize(&plane, side.into(), side.into(), FilterType::Triangle).into_raw()
        };
        let pixels = self.pixels.par_chunks_exact(self.image_len()).flat_map_iter(|image| {
            let planes: Vec<_> = (0..usize::from(self.channels)).map(|channel| plane(image, channel)).collect();
            (0..usize::from(side) * usize::from(side))
                .flat_map(move |i| planes.iter().map(|plane| plane[i]).collect::<Vec<_>>())
        });
        Self { side, channels: self.channels, pixels: pixels.collect(), labels: self.labels.clone() }
    }

    /// Mean and deviation of each channel.
    pub fn normalisation(&self) -> Normalisation {
        let channels = usize::from(self.channels);
        let (mut sums, mut squares) = (vec![0_u64; channels], vec![0_u64; channels]);
        for pixel in self.pixels.chunks_exact(channels) {
            for (channel, &value) in pixel.iter().enumerate() {
                sums[channel] += u64::from(value);
                squares[channel] += u64::from(value).pow(2);
            }
        }
        let count = (self.pixels.len() / channels).max(1) as f64;
        let mean: Vec<f64> = sums.iter().map(|&sum| sum as f64 / count).collect();
        let variance = squares.iter().zip(&mean).map(|(&square, mean)| square as f64 / count - mean * mean);
        Normalisation {
            deviation: variance.map(|variance| variance.sqrt().max(1.0) as f32).collect(),
            mean: mean.iter().map(|&mean| mean as f32).collect(),
        }
    }

    fn load_idx(folder: &Path, set: &str) -> Result<Self> {
        let images = Idx::load(folder, &format!("{set}-images-idx3-ubyte"))?;
        let labels = Idx::load(folder, &format!("{set}-labels-idx1-ubyte"))?;
        let folder = folder.display();
        let (&[count, height, width], &[labelled]) = (&images.dimensions[..], &labels.dimensions[..]) else {
            bail!("{folder}: the {set} files are not images (3 dimensions) and labels (1 dimension)");
        };
        ensure!(count == labelled, "{folder}: {count} {set} images, but {labelled} labels");
        ensure!(height == width && (8..=1024).contains(&width), "{folder}: {set} images of {height}×{width} pixels");
        Ok(Self { side: width as u16, channels: 1, pixels: images.values, labels: labels.values })
    }
}

/// An array of bytes in the IDX format of the MNIST database: two zero bytes, the type 8, the number of
/// dimensions, their lengths as big-endian u32, the values.
struct Idx {
    dimensions: Vec<usize>,
    values: Vec<u8>,
}

impl Idx {
    fn load(folder: &Path, name: &str) -> Result<Self> {
        let plain = folder.join(name);
        let zipped = folder.join(format!("{name}.gz"));
        let (path, bytes) = if plain.exists() {
            let bytes = std::fs::read(&plain).with_context(|| format!("cannot read {}", plain.display()))?;
            (plain, bytes)
        } else {
            let file = std::fs::File::open(&zipped).with_context(|| {
                format!("no dataset: {} (run ./ofa setup, or name a folder of IDX files with --data)", zipped.display())
            })?;
            let mut bytes = Vec::new();
            let read = GzDecoder::new(std::io::BufReader::new(file)).read_to_end(&mut bytes);
            read.with_context(|| format!("{} is damaged; fetch it again: ./ofa setup", zipped.display()))?;
            (zipped, bytes)
        };
        Self::parse(bytes).with_context(|| format!("{} is damaged; fetch it again: ./ofa setup", path.display()))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        let Some((&[0, 0, 8, rank], mut rest)) = bytes.split_first_chunk() else {
            bail!("it is no IDX file of bytes");
        };
        let mut dimensions = Vec::new();
        for _ in 0..rank {
            let Some((length, after)) = rest.split_first_chunk() else { bail!("its header is cut off") };
            dimensions.push(u32::from_be_bytes(*length) as usize);
            rest = after;
        }
        let product = dimensions.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        ensure!(product == Some(rest.len()), "its header promises {dimensions:?} values, but {} follow", rest.len());
        let values = rest.to_vec();
        Ok(Self { dimensions, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(side: u16, pixels: Vec<u8>) -> Images {
        let labels = vec![0; pixels.len() / usize::from(side * side)];
        Images { side, channels: 1, pixels, labels }
    }

    #[test]
    fn idx_files_of_any_damage_are_refused_without_a_panic() {
        let whole = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[7, 8, 9]].concat();
        assert_eq!(Idx::parse(whole.clone()).unwrap().values, [7, 8, 9]);
        for length in 0..whole.len() {
            assert!(Idx::parse(whole[..length].to_vec()).is_err(), "cut to {length} bytes");
        }
        assert!(Idx::parse([0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255].into()).is_err());
    }

    #[test]
    fn a_flat_image_stays_flat_when_resized() {
        let resized = images(28, vec![77; 2 * 28 * 28]).resized(20);
        assert_eq!((resized.len(), resized.pixels.len()), (2, 2 * 20 * 20));
        assert!(resized.pixels.iter().all(|&pixel| pixel == 77));
    }

    #[test]
    fn channels_are_resized_and_normalised_apart() {
        let pixels = (0..12 * 12).flat_map(|_| [10, 20, 30]).collect();
        let resized = Images { side: 12, channels: 3, pixels, labels: vec![0] }.resized(8);
        assert_eq!(resized.image(0)[..6], [10, 20, 30, 10, 20, 30]);
        assert_eq!(resized.normalisation().mean, [10.0, 20.0, 30.0]);
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_pixels() {
        let Normalisation { mean, deviation } = images(8, [[0, 200]; 32].concat()).normalisation();
        assert_eq!((mean[0], deviation[0]), (100.0, 100.0));
    }
}
