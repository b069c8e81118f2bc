//! Any window of a picture at any size, by a triangle filter: what training, calibration and devices all look through.

use super::picture::Picture;

/// A rectangle of a picture, in its pixels. It may reach beyond the edge, which is repeated there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Window {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Extent to the right.
    pub width: f32,
    /// Extent downwards.
    pub height: f32,
}

impl Window {
    /// All of the picture.
    pub fn whole(picture: &Picture) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width as f32, height: picture.height as f32 }
    }

    /// The largest square in the middle, on whole pixels.
    pub fn centre(picture: &Picture) -> Self {
        let side = picture.width.min(picture.height);
        let start = |length: usize| ((length - side) / 2) as f32;
        Self { x: start(picture.width), y: start(picture.height), width: side as f32, height: side as f32 }
    }
}

/// What the window shows, at `width` × `height` pixels, mirrored left to right if asked for: row × pixel × channel.
/// A smaller result is the weighted mean of the pixels that it covers, so nothing flickers.
pub fn resample(picture: &Picture, window: Window, [width, height]: [usize; 2], mirrored: bool) -> Vec<u8> {
    let channels = picture.channels;
    let columns = Axis::new(window.x, window.width, width, picture.width);
    let rows = Axis::new(window.y, window.height, height, picture.height);
    let (first, last) = rows.span();

    let mut narrow = vec![0.0_f32; (last + 1 - first) * width * channels];
    for (row, narrow) in narrow.chunks_exact_mut(width * channels).enumerate() {
        let row = &picture.pixels[(first + row) * picture.width * channels..][..picture.width * channels];
        for (i, sums) in narrow.chunks_exact_mut(channels).enumerate() {
            for (position, weight) in columns.taps(if mirrored { width - 1 - i } else { i }) {
                for (sum, &value) in sums.iter_mut().zip(&row[position * channels..][..channels]) {
                    *sum += weight * f32::from(value);
                }
            }
        }
    }
    let mut pixels = Vec::with_capacity(height * width * channels);
    let mut sums = vec![0.0_f32; width * channels];
    for i in 0..height {
        sums.fill(0.5);
        for (position, weight) in rows.taps(i) {
            let row = &narrow[(position - first) * width * channels..][..width * channels];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        pixels.extend(sums.iter().map(|&sum| sum as u8));
    }
    pixels
}

/// For each position of the result the positions of the picture that it is made from, with weights that add up to 1.
struct Axis {
    taps: usize,
    positions: Vec<usize>,
    weights: Vec<f32>,
}

impl Axis {
    /// From `length` pixels after `start`, of `limit` in the picture, to `count`.
    fn new(start: f32, length: f32, count: usize, limit: usize) -> Self {
        let step = length / count as f32;
        let reach = step.max(1.0);
        let taps = 2 * reach.ceil() as usize + 1;
        let (mut positions, mut weights) = (Vec::with_capacity(count * taps), Vec::with_capacity(count * taps));
        for i in 0..count {
            let centre = start + (i as f32 + 0.5) * step - 0.5;
            let first = (centre - reach).ceil();
            let distances = (0..taps).map(|tap| ((first + tap as f32 - centre) / reach).abs());
            let unscaled: Vec<f32> = distances.map(|distance| (1.0 - distance).max(0.0)).collect();
            let sum: f32 = unscaled.iter().sum();
            weights.extend(unscaled.iter().map(|weight| weight / sum));
            positions.extend((0..taps).map(|tap| (first + tap as f32).clamp(0.0, (limit - 1) as f32) as usize));
        }
        Self { taps, positions, weights }
    }

    fn taps(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = i * self.taps..(i + 1) * self.taps;
        let taps = self.positions[range.clone()].iter().copied().zip(self.weights[range].iter().copied());
        taps.filter(|&(_, weight)| weight > 0.0)
    }

    /// The first and the last position.
    fn span(&self) -> (usize, usize) {
        let used = || self.positions.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0);
        let first = used().map(|(position, _)| *position).min().unwrap_or(0);
        (first, used().map(|(position, _)| *position).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Picture<'static> {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [(10 * x) as u8, (10 * y) as u8]));
        Picture { width, height, channels: 2, pixels: pixels.collect() }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = ramp(9, 7);
        assert_eq!(resample(&picture, Window::whole(&picture), [9, 7], false), *picture.pixels);
        let twice = |mirrored| {
            let pixels = resample(&picture, Window::whole(&picture), [9, 7], mirrored).into();
            Picture { pixels, ..picture.clone() }
        };
        assert_eq!(resample(&twice(true), Window::whole(&picture), [9, 7], true), *picture.pixels);
        assert_eq!(resample(&twice(true), Window::whole(&picture), [9, 7], false)[..4], [80, 0, 70, 0]);
    }

    #[test]
    fn half_the_size_is_the_mean_and_flat_stays_flat() {
        let picture = ramp(12, 12);
        let half = resample(&picture, Window::whole(&picture), [6, 6], false);
        // Inside the edges a triangle over a ramp is its middle: between pixels 4 and 5 of ten each.
        assert_eq!(half[(2 * 6 + 2) * 2..][..2], [45, 45]);
        let flat = Picture { pixels: vec![77; 12 * 12 * 2].into(), ..picture };
        for size in [[5, 9], [12, 30], [1, 1]] {
            assert!(resample(&flat, Window::whole(&flat), size, false).iter().all(|&value| value == 77), "{size:?}");
        }
    }

    #[test]
    fn a_window_shows_its_part_and_beyond_the_edge_the_edge() {
        let picture = ramp(8, 8);
        let part = Window { x: 2.0, y: 3.0, width: 4.0, height: 4.0 };
        assert_eq!(resample(&picture, part, [4, 4], false)[..4], [20, 30, 30, 30]);
        let beyond = Window { x: -3.0, y: 5.0, width: 8.0, height: 8.0 };
        let shifted = resample(&picture, beyond, [8, 8], false);
        assert_eq!(shifted[..10], [0, 50, 0, 50, 0, 50, 0, 50, 10, 50]);
        assert_eq!(shifted[shifted.len() - 2..], [40, 70]);
    }

    #[test]
    fn the_centre_of_a_wide_picture_is_its_middle_square() {
        let picture = ramp(13, 8);
        assert_eq!(picture.square(8)[..4], [20, 0, 30, 0]);
        assert_eq!(Window::centre(&picture), Window { x: 2.0, y: 0.0, width: 8.0, height: 8.0 });
    }
}
