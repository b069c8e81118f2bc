//! Square images of one size, decoded: what nets read.

use rayon::prelude::*;

use super::picture::Picture;

/// Square images with their classes.
///
/// ```
/// use trainer::dataset::Images;
///
/// let images = Images { side: 2, channels: 1, pixels: vec![1, 2, 3, 4, 5, 6, 7, 8], labels: vec![0, 1] };
/// assert_eq!((images.len(), images.image(1)), (2, &[5, 6, 7, 8][..]));
/// assert_eq!(images.first(1).pixels, [1, 2, 3, 4]);
/// assert_eq!(images.resized(4).image(0).len(), 16);
/// assert!(images.first(0).is_empty());
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Images {
    /// Pixels in a row and in a column.
    pub side: u16,
    /// Values of a pixel.
    pub channels: u16,
    /// image × row × pixel × channel.
    pub pixels: Vec<u8>,
    /// Class of each image.
    pub labels: Vec<u16>,
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
    pub(crate) fn image_len(&self) -> usize {
        usize::from(self.side) * usize::from(self.side) * usize::from(self.channels)
    }

    /// The pixels of image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.image_len()..][..self.image_len()]
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

    /// All of them at another size.
    pub fn resized(&self, side: u16) -> Self {
        if side == self.side {
            return self.clone();
        }
        let pixels = (0..self.len()).into_par_iter().flat_map_iter(|i| self.picture(i).square(side));
        Self { side, channels: self.channels, pixels: pixels.collect(), labels: self.labels.clone() }
    }

    pub(super) fn picture(&self, i: usize) -> Picture<'_> {
        let side = self.side.into();
        Picture { width: side, height: side, channels: self.channels.into(), pixels: self.image(i).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_resized_apart() {
        let pixels = (0..12 * 12).flat_map(|_| [10, 20, 30]).collect();
        let resized = Images { side: 12, channels: 3, pixels, labels: vec![0] }.resized(8);
        assert_eq!((resized.side, resized.pixels.len()), (8, 8 * 8 * 3));
        assert!(resized.pixels.chunks(3).all(|pixel| pixel == [10, 20, 30]));
    }
}
