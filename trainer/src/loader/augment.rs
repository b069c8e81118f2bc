//! How training images are varied. All of it is data: the table `[augment]` of a recipe.

use rand::{Rng, RngExt};
use serde::{Deserialize, Deserializer, Serialize};

use crate::dataset::{Picture, Window, resample};

/// Draws until a rectangle fits into its picture; then the middle square is taken.
const ATTEMPTS: usize = 10;

/// A crop's longer side over its shorter, at most.
const CROP_RATIO: f32 = 4.0 / 3.0;

/// Share of the image that an erased rectangle takes.
const ERASED: std::ops::RangeInclusive<f32> = 0.02..=0.2;

/// An erased rectangle's longer side over its shorter, at most.
const ERASED_RATIO: f32 = 3.0;

/// What is done to each training image, in this order; nothing where a field is not given.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Smallest share of the picture's area that a crop shows. A crop has any place, and up to 4:3 as its shape;
    /// 1: the middle square.
    #[serde(deserialize_with = "positive_share")]
    pub crop: f32,
    /// Largest way that the window is moved along each axis, in the picture's pixels; the edge is repeated.
    pub shift: u16,
    /// Mirrors half of the images left to right.
    pub flip: bool,
    /// Multiplies all values, by 1 and up to this more or less.
    #[serde(deserialize_with = "share")]
    pub brightness: f32,
    /// Multiplies the distance to the image's mean grey, by 1 and up to this more or less.
    #[serde(deserialize_with = "share")]
    pub contrast: f32,
    /// Multiplies the distance to the pixel's own grey, by 1 and up to this more or less. Grey images have none.
    #[serde(deserialize_with = "share")]
    pub saturation: f32,
    /// Probability that a rectangle, of a fiftieth to a fifth of the image, is filled with noise (Zhong et al. 2017).
    #[serde(deserialize_with = "share")]
    pub erase: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self { crop: 1.0, shift: 0, flip: false, brightness: 0.0, contrast: 0.0, saturation: 0.0, erase: 0.0 }
    }
}

impl Augment {
    /// A variation of the picture as a square: row × pixel × channel.
    pub(crate) fn apply(&self, picture: &Picture, side: u16, rng: &mut impl Rng) -> Vec<u8> {
        let mut window = self.window(picture, rng);
        if self.shift > 0 {
            let mut way = || rng.random_range(-i32::from(self.shift)..=i32::from(self.shift)) as f32;
            (window.x, window.y) = (window.x + way(), window.y + way());
        }
        let mirrored = self.flip && rng.random();
        let mut pixels = resample(picture, window, [side.into(); 2], mirrored);
        self.jitter(&mut pixels, picture.channels, rng);
        if self.erase > 0.0 && rng.random::<f32>() < self.erase {
            erase(&mut pixels, side.into(), picture.channels, rng);
        }
        pixels
    }

    fn window(&self, picture: &Picture, rng: &mut impl Rng) -> Window {
        if self.crop >= 1.0 {
            return Window::centre(picture);
        }
        let (across, down) = (picture.width as f32, picture.height as f32);
        for _ in 0..ATTEMPTS {
            let area = across * down * rng.random_range(self.crop..=1.0);
            let [width, height] = sides(area, CROP_RATIO, rng);
            if width <= across && height <= down {
                let (x, y) = (rng.random_range(0.0..=across - width), rng.random_range(0.0..=down - height));
                return Window { x, y, width, height };
            }
        }
        Window::centre(picture)
    }

    fn jitter(&self, pixels: &mut [u8], channels: usize, rng: &mut impl Rng) {
        let mut factor = |reach: f32| if reach > 0.0 { rng.random_range(1.0 - reach..=1.0 + reach) } else { 1.0 };
        let [brightness, contrast, saturation] = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        if (brightness, contrast, saturation) == (1.0, 1.0, 1.0) {
            return;
        }
        let mean = brightness * pixels.chunks_exact(channels).map(grey).sum::<f32>() * channels as f32;
        let mean = mean / pixels.len() as f32;
        for pixel in pixels.chunks_exact_mut(channels) {
            let own = mean + (brightness * grey(pixel) - mean) * contrast;
            for value in pixel {
                let varied = mean + (brightness * f32::from(*value) - mean) * contrast;
                *value = (own + (varied - own) * saturation + 0.5) as u8;
            }
        }
    }
}

/// How bright a pixel is (ITU-R BT.601).
fn grey(pixel: &[u8]) -> f32 {
    match *pixel {
        [red, green, blue] => 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue),
        _ => pixel.iter().map(|&value| f32::from(value)).sum::<f32>() / pixel.len() as f32,
    }
}

/// Fills a rectangle with noise.
fn erase(pixels: &mut [u8], side: usize, channels: usize, rng: &mut impl Rng) {
    let area = (side * side) as f32 * rng.random_range(ERASED);
    let [width, height] = sides(area, ERASED_RATIO, rng).map(|length| (length.round() as usize).clamp(1, side));
    let (left, top) = (rng.random_range(0..=side - width), rng.random_range(0..=side - height));
    for row in pixels.chunks_exact_mut(side * channels).skip(top).take(height) {
        rng.fill_bytes(&mut row[left * channels..][..width * channels]);
    }
}

/// Sides of a rectangle of this area, of a shape drawn evenly up to `ratio`, upright or flat.
fn sides(area: f32, ratio: f32, rng: &mut impl Rng) -> [f32; 2] {
    let ratio = rng.random_range(1.0..=ratio);
    let (long, short) = ((area * ratio).sqrt(), (area / ratio).sqrt());
    if rng.random() { [long, short] } else { [short, long] }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let share = f32::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(serde::de::Error::custom(format!("{share} is not from 0 to 1")))
}

fn positive_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let share = share(deserializer)?;
    if share > 0.0 { Ok(share) } else { Err(serde::de::Error::custom("0 leaves nothing of a picture")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Colours that tell where they come from: red its column, green its row, each times ten; blue is 100.
    fn picture(width: usize, height: usize) -> Picture<'static> {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [(10 * x) as u8, (10 * y) as u8, 100]));
        Picture { width, height, channels: 3, pixels: pixels.collect() }
    }

    fn many(augment: Augment, picture: &Picture, side: u16) -> Vec<Vec<u8>> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        (0..400).map(|_| augment.apply(picture, side, &mut rng)).collect()
    }

    #[test]
    fn nothing_is_the_middle_square() {
        let picture = picture(20, 12);
        assert!(many(Augment::default(), &picture, 9).iter().all(|pixels| *pixels == picture.square(9)));
    }

    #[test]
    fn flip_mirrors_half_of_the_images() {
        let picture = picture(8, 8);
        let all = many(Augment { flip: true, ..Default::default() }, &picture, 8);
        let mirrored = all.iter().filter(|pixels| pixels[0] == 70 && pixels[21] == 0).count();
        assert_eq!(mirrored + all.iter().filter(|pixels| **pixels == *picture.pixels).count(), 400);
        assert!((160..240).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn shift_moves_by_whole_pixels_as_far_as_it_says() {
        let all = many(Augment { shift: 2, ..Default::default() }, &picture(16, 16), 16);
        // Pixel 8, 8 shows where the window has moved to.
        let mut ways: Vec<_> =
            all.iter().map(|pixels| [pixels[(8 * 16 + 8) * 3], pixels[(8 * 16 + 8) * 3 + 1]]).collect();
        ways.sort_unstable();
        ways.dedup();
        assert_eq!(ways.len(), 25);
        assert_eq!((ways[0], ways[24]), ([60, 60], [100, 100]));
    }

    #[test]
    fn crops_show_at_least_their_share_and_stay_inside() {
        let picture = picture(24, 18);
        let augment = Augment { crop: 0.3, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let windows: Vec<_> = (0..1000).map(|_| augment.window(&picture, &mut rng)).collect();
        for Window { x, y, width, height } in &windows {
            assert!(*x >= 0.0 && *y >= 0.0 && x + width <= 24.001 && y + height <= 18.001);
            let (area, ratio) = (width * height / (24.0 * 18.0), width / height);
            assert!((0.299..=1.0).contains(&area) && (0.749..=1.334).contains(&ratio), "{area} {ratio}");
        }
        let least = windows.iter().map(|window| window.width * window.height).fold(f32::MAX, f32::min);
        assert!(least < 0.35 * 24.0 * 18.0, "the smallest of 1000 is nearly as small as it may be: {least}");
    }

    #[test]
    fn brightness_contrast_and_saturation_change_what_they_say() {
        let flat = Picture { width: 8, height: 8, channels: 3, pixels: [40, 80, 120].repeat(64).into() };
        let pixel = |augment, picture: &Picture| {
            many(augment, picture, 8).iter().map(|pixels| pixels[..3].to_vec()).collect::<Vec<_>>()
        };
        let brighter = pixel(Augment { brightness: 0.5, ..Default::default() }, &flat);
        let reds: Vec<_> = brighter.iter().map(|pixel| pixel[0]).collect();
        assert!(reds.iter().all(|red| (20..=60).contains(red)) && reds.contains(&22) && reds.contains(&58));
        assert!(brighter.iter().all(|pixel| pixel[2].abs_diff(3 * pixel[0]) <= 2), "{brighter:?}");
        // A picture of one colour has no contrast but that between its channels; its mean grey stays.
        let saturated = pixel(Augment { saturation: 1.0, ..Default::default() }, &flat);
        assert!(saturated.iter().all(|pixel| (grey(pixel) - grey(&[40, 80, 120])).abs() < 2.0));
        assert!(saturated.iter().any(|pixel| pixel[2] - pixel[0] < 20));
        let halves = Picture { pixels: [[50; 96], [150; 96]].concat().into(), ..flat };
        let contrasted = many(Augment { contrast: 0.4, ..Default::default() }, &halves, 8);
        assert!(contrasted.iter().all(|pixels| (i32::from(pixels[0]) + i32::from(pixels[191]) - 200).abs() <= 1));
        assert!(contrasted.iter().any(|pixels| pixels[0] > 65) && contrasted.iter().any(|pixels| pixels[0] < 35));
    }

    #[test]
    fn erasing_spoils_a_rectangle_of_some_images() {
        let flat = Picture { width: 20, height: 20, channels: 1, pixels: vec![7; 400].into() };
        let all = many(Augment { erase: 0.25, ..Default::default() }, &flat, 20);
        let spoilt: Vec<_> = all
            .iter()
            .map(|pixels| pixels.iter().filter(|value| **value != 7).count())
            .filter(|&count| count > 0)
            .collect();
        assert!((70..130).contains(&spoilt.len()), "{}", spoilt.len());
        assert!(spoilt.iter().all(|&count| count <= 90) && spoilt.iter().any(|&count| count > 50), "{spoilt:?}");
    }

    #[test]
    fn a_table_says_only_what_it_changes_and_no_more() {
        let parse = |text| crate::files::parse_toml::<Augment>(text, "recipe.toml");
        let expected = Augment { flip: true, crop: 0.5, ..Default::default() };
        assert_eq!(parse("flip = true\ncrop = 0.5").unwrap(), expected);
        assert_eq!(parse("erase = 2").unwrap_err().to_string(), "recipe.toml:1: erase: 2 is not from 0 to 1");
        assert!(parse("crop = 0.0").is_err() && parse("shift = -1").is_err() && parse("rotate = 3").is_err());
    }
}
