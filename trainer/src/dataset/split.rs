//! Images for one purpose, decoded when they are asked for unless they are few.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use rayon::prelude::*;

use super::{Images, Normalisation, Picture};

/// Pictures over which mean and deviation are taken, where they are not held in memory.
const MEASURED: usize = 2000;

/// One in so many files may be undecodable.
pub(super) const DAMAGED_SHARE: usize = 50;

/// Labelled pictures of any size. A copy shares their memory.
///
/// ```
/// use trainer::dataset::{Images, Split};
///
/// let split = Split::from(Images { side: 1, channels: 1, pixels: vec![10, 20, 30], labels: vec![0, 1, 0] });
/// assert_eq!((split.len(), split.channels(), split.labels()), (3, 1, &[0, 1, 0][..]));
/// assert_eq!(split.normalisation()?.mean, [20.0]);
/// assert_eq!(split.first(2).resized(2)?.pixels, [10, 10, 10, 10, 20, 20, 20, 20]);
/// assert!(split.first(0).is_empty());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split {
    source: Arc<Source>,
    /// Of the source's pictures.
    positions: Vec<u32>,
    /// Class of each.
    labels: Vec<u16>,
    /// Values of a pixel.
    channels: u16,
}

/// Where pictures are.
#[derive(Debug)]
pub(super) enum Source {
    /// In memory, all of one size.
    Squares(Images),
    /// In memory, of any size.
    Pictures(Vec<Picture<'static>>),
    /// In files.
    Files { paths: Vec<PathBuf>, damaged: Mutex<BTreeSet<u32>> },
}

impl Split {
    /// All of a source's pictures, with their classes.
    pub(super) fn new(source: Source, labels: Vec<u16>, channels: u16) -> Self {
        let positions = (0..labels.len() as u32).collect();
        Self { source: Arc::new(source), positions, labels, channels }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class of each picture.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Values of a pixel.
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// The pictures at these positions, in this order.
    pub(crate) fn select(&self, positions: &[usize]) -> Self {
        Self {
            source: self.source.clone(),
            positions: positions.iter().map(|&i| self.positions[i]).collect(),
            labels: positions.iter().map(|&i| self.labels[i]).collect(),
            channels: self.channels,
        }
    }

    /// At most `count` pictures from `start` on.
    pub(crate) fn range(&self, start: usize, count: usize) -> Self {
        let end = self.len().min(start.saturating_add(count));
        self.select(&(start.min(end)..end).collect::<Vec<_>>())
    }

    /// The first `count` pictures, or all.
    pub fn first(&self, count: usize) -> Self {
        self.range(0, count)
    }

    /// The middle squares of all pictures at this size, decoded, in memory: how nets are judged.
    ///
    /// # Errors
    /// If more files than one in 50 cannot be decoded.
    pub fn resized(&self, side: u16) -> Result<Images> {
        let squares = (0..self.len()).into_par_iter().map(|i| {
            let (picture, label) = self.picture(i)?;
            Ok((picture.square(side), label))
        });
        let squares = squares.collect::<Result<Vec<_>>>()?;
        let labels = squares.iter().map(|(_, label)| *label).collect();
        let pixels = squares.into_par_iter().flat_map_iter(|(pixels, _)| pixels).collect();
        Ok(Images { side, channels: self.channels, pixels, labels })
    }

    /// Picture `i` with its class. In the place of a file that turns out to be damaged stands the next that is not:
    /// always the same.
    ///
    /// # Errors
    /// If more files than one in 50 cannot be decoded.
    pub(crate) fn picture(&self, i: usize) -> Result<(Picture<'_>, u16)> {
        let (paths, damaged) = match &*self.source {
            Source::Squares(images) => {
                let picture = images.picture(self.positions[i] as usize);
                return Ok((picture.widened(self.channels.into()), self.labels[i]));
            }
            Source::Pictures(pictures) => {
                let Picture { width, height, channels, pixels } = &pictures[self.positions[i] as usize];
                let picture =
                    Picture { width: *width, height: *height, channels: *channels, pixels: (**pixels).into() };
                return Ok((picture.widened(self.channels.into()), self.labels[i]));
            }
            Source::Files { paths, damaged } => (paths, damaged),
        };
        for i in (i..self.len()).chain(0..i) {
            let path = &paths[self.positions[i] as usize];
            match Picture::read(path, self.channels.into()) {
                Ok(picture) => return Ok((picture, self.labels[i])),
                Err(error) => {
                    let mut damaged = damaged.lock().unwrap_or_else(PoisonError::into_inner);
                    if damaged.insert(self.positions[i]) {
                        eprintln!("skipped {}: {error:#}", path.display());
                    }
                    if damaged.len() * DAMAGED_SHARE > paths.len() {
                        bail!(
                            "{} of {} files cannot be decoded, the last is {}: {error:#}",
                            damaged.len(),
                            paths.len(),
                            path.display()
                        );
                    }
                }
            }
        }
        bail!("there is no picture to take")
    }

    /// Mean and deviation of each channel, over all pictures where they are held in memory, else over the first 2000.
    ///
    /// # Errors
    /// As [`Split::resized`].
    pub fn normalisation(&self) -> Result<Normalisation> {
        let measured = if matches!(*self.source, Source::Files { .. }) { self.len().min(MEASURED) } else { self.len() };
        let channels = usize::from(self.channels);
        let add = |mut sums: Vec<[u64; 2]>, i: usize| -> Result<_> {
            let (picture, _) = self.picture(i)?;
            for pixel in picture.pixels.chunks_exact(channels) {
                for (sums, &value) in sums.iter_mut().zip(pixel) {
                    sums[0] += u64::from(value);
                    sums[1] += u64::from(value).pow(2);
                }
            }
            sums[channels][0] += (picture.width * picture.height) as u64;
            Ok(sums)
        };
        let join =
            |a: Vec<[u64; 2]>, b: Vec<[u64; 2]>| Ok(a.iter().zip(b).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]).collect());
        // After the channels comes the number of pixels.
        let empty = || vec![[0; 2]; channels + 1];
        let sums = (0..measured).into_par_iter().try_fold(empty, add).try_reduce(empty, join)?;
        let count = sums[channels][0].max(1) as f64;
        let of_channel = |&[sum, squares]: &[u64; 2]| {
            let mean = sum as f64 / count;
            (mean as f32, (squares as f64 / count - mean * mean).max(0.0).sqrt().max(1.0) as f32)
        };
        let (mean, deviation) = sums[..channels].iter().map(of_channel).unzip();
        Ok(Normalisation { mean, deviation })
    }

    /// The same pictures with this many channels, where it is grey that becomes three equal colours; else unchanged.
    pub(super) fn widened(self, channels: u16) -> Self {
        if (self.channels, channels) == (1, 3) { Self { channels, ..self } } else { self }
    }
}

impl From<Images> for Split {
    fn from(images: Images) -> Self {
        let (labels, channels) = (images.labels.clone(), images.channels);
        Self::new(Source::Squares(images), labels, channels)
    }
}

impl<'a> Picture<'a> {
    /// Grey as three equal colours, where three channels are asked for.
    fn widened(self, channels: usize) -> Self {
        if (self.channels, channels) != (1, 3) {
            return self;
        }
        let pixels = self.pixels.iter().flat_map(|&grey| [grey; 3]).collect();
        Self { channels, pixels, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greys(greys: &[u8]) -> Split {
        let pixels = greys.iter().flat_map(|&grey| [grey; 64]).collect();
        let labels = (0..greys.len() as u16).collect();
        Images { side: 8, channels: 1, pixels, labels }.into()
    }

    #[test]
    fn a_selection_keeps_pictures_and_classes_together() {
        let chosen = greys(&[10, 20, 30, 40]).select(&[3, 1, 2]).range(1, 9);
        assert_eq!((chosen.len(), chosen.labels()), (2, &[1_u16, 2][..]));
        let images = chosen.resized(9).unwrap();
        assert_eq!(
            (images.side, images.image(0)[0], images.image(1)[80], &images.labels[..]),
            (9, 20, 30, &[1, 2][..])
        );
    }

    #[test]
    fn grey_is_widened_and_nothing_else() {
        let split = greys(&[10, 20]).widened(3);
        let images = split.resized(8).unwrap();
        assert_eq!((images.channels, images.pixels.len()), (3, 2 * 64 * 3));
        assert_eq!(split.normalisation().unwrap().mean, [15.0, 15.0, 15.0]);
        assert_eq!(split.widened(1).channels(), 3);
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_pixels() {
        let Normalisation { mean, deviation } = greys(&[0, 200, 0, 200]).normalisation().unwrap();
        assert_eq!((mean[0], deviation[0]), (100.0, 100.0));
    }
}
