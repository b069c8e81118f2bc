//! One image of any size, and the rules by which every file becomes one.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::resample::{Window, resample};

/// A larger picture is shrunk until its short side has so many pixels: what training and evaluation start from.
pub const SHORT_SIDE: usize = 256;

/// Pixels that a file may have: a small file can promise a picture that fills the memory.
const PIXEL_LIMIT: u64 = 100_000_000;

/// Pixels that either side must have.
const LEAST_SIDE: u32 = 8;

/// An image: row × pixel × channel, one byte each.
#[derive(Clone, PartialEq, Debug)]
pub struct Picture<'a> {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1: grey; 3: red, green, blue.
    pub channels: usize,
    /// Its bytes.
    pub pixels: Cow<'a, [u8]>,
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Promise {
    /// Whether it has colours, be they all grey.
    pub colour: bool,
    /// Bytes of the picture as it will be held, for each channel.
    pub plane_bytes: u64,
}

impl Promise {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// If it is no JPEG, PNG or WebP file, or promises a picture of an unreasonable size.
    pub fn read(path: &Path) -> Result<Self> {
        let decoder = reader(path)?.into_decoder().map_err(in_short)?;
        let (width, height) = check_size(&decoder)?;
        let (short, long) = (width.min(height), width.max(height));
        let held = short.min(SHORT_SIDE as u64);
        let colour = decoder.color_type().has_color();
        Ok(Self { colour, plane_bytes: held * (long * held).div_ceil(short) })
    }
}

impl Picture<'static> {
    /// Decodes a file: upright by its EXIF orientation, 16 bits cut to 8, what is transparent laid over white, colour
    /// turned into grey or grey into three equal colours where `channels` asks for it, and shrunk to [`SHORT_SIDE`].
    ///
    /// # Errors
    /// If it is damaged, cut off, or no JPEG, PNG or WebP file.
    pub(super) fn read(path: &Path, channels: usize) -> Result<Self> {
        let reader = reader(path)?;
        let format = reader.format();
        let mut decoder = reader.into_decoder().map_err(in_short)?;
        check_size(&decoder)?;
        let orientation = decoder.orientation().map_err(in_short)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(in_short)?;
        if format == Some(ImageFormat::Jpeg) {
            check_jpeg_end(path)?;
        }
        image.apply_orientation(orientation);
        let image = over_white(image);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let pixels = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
        Ok(Self { width, height, channels, pixels: pixels.into() }.shrunk())
    }

    /// With its short side at [`SHORT_SIDE`] or below.
    fn shrunk(self) -> Self {
        let short = self.width.min(self.height);
        if short <= SHORT_SIDE {
            return self;
        }
        let scaled = |side: usize| (side * SHORT_SIDE).div_ceil(short);
        let (width, height) = (scaled(self.width), scaled(self.height));
        let pixels = resample(&self, Window::whole(&self), [width, height], false).into();
        Self { width, height, pixels, ..self }
    }
}

impl Picture<'_> {
    /// The square in its middle, as large as it can be, at this size.
    pub fn square(&self, side: u16) -> Vec<u8> {
        resample(self, Window::centre(self), [side.into(); 2], false)
    }
}

/// A reader that goes by the content, whatever the file is called.
fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>> {
    Ok(ImageReader::open(path)?.with_guessed_format()?)
}

/// The first line of what a decoder says: its causes say the same again.
fn in_short(error: ImageError) -> anyhow::Error {
    anyhow!("{}", error.to_string().lines().next().unwrap_or("it is damaged"))
}

fn check_size(decoder: &impl ImageDecoder) -> Result<(u64, u64)> {
    let (width, height) = decoder.dimensions();
    ensure!(width.min(height) >= LEAST_SIDE, "it is {width}x{height} pixels; each side needs {LEAST_SIDE} or more");
    let (width, height) = (u64::from(width), u64::from(height));
    ensure!(width * height <= PIXEL_LIMIT, "it is {width}x{height} pixels; more than {PIXEL_LIMIT} are refused");
    Ok((width, height))
}

/// The decoder fills what is missing of a JPEG file with grey, so its end is looked for here: the marker FFD9, which
/// other bytes may follow.
fn check_jpeg_end(path: &Path) -> Result<()> {
    const TAIL: u64 = 4096;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = vec![];
    std::io::Read::read_to_end(&mut file, &mut tail).context("cannot read its end")?;
    if tail.windows(2).any(|pair| pair == [0xff, 0xd9]) { Ok(()) } else { bail!("it is cut off") }
}

/// Without transparency.
fn over_white(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let mut image = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let alpha = u32::from(pixel[3]);
        for value in &mut pixel.0[..3] {
            *value = ((u32::from(*value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    DynamicImage::ImageRgba8(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba};

    fn read(image: impl Into<DynamicImage>, name: &str, channels: usize) -> Picture<'static> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.into().save(&path).unwrap();
        Picture::read(&path, channels).unwrap()
    }

    #[test]
    fn sixteen_bits_are_cut_to_eight() {
        let grey = ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([0x8000]));
        assert_eq!(read(grey, "a.png", 1).pixels[0], 0x80);
        let colour = ImageBuffer::<Rgb<u16>, _>::from_pixel(8, 8, Rgb([0xffff, 0x0101, 0]));
        assert_eq!(read(colour, "a.png", 3).pixels[..3], [255, 1, 0]);
    }

    #[test]
    fn grey_becomes_three_equal_colours_and_colour_grey() {
        let grey = GrayImage::from_pixel(8, 9, Luma([70]));
        assert_eq!(read(grey, "a.png", 3).pixels[..3], [70, 70, 70]);
        let colour = RgbImage::from_pixel(8, 9, Rgb([90, 90, 90]));
        let Picture { width, height, channels, pixels } = read(colour, "a.png", 1);
        assert_eq!((width, height, channels, pixels.len(), pixels[0]), (8, 9, 1, 72, 90));
    }

    #[test]
    fn what_is_transparent_lies_over_white() {
        let glass = ImageBuffer::from_pixel(8, 8, Rgba([0_u8, 100, 200, 0]));
        assert_eq!(read(glass, "a.png", 3).pixels[..3], [255, 255, 255]);
        let half = ImageBuffer::from_pixel(8, 8, Rgba([0_u8, 255, 100, 51]));
        assert_eq!(read(half, "a.webp", 3).pixels[..3], [204, 255, 224]);
    }

    #[test]
    fn a_large_picture_is_shrunk_to_its_short_side() {
        let wide = RgbImage::from_pixel(1024, 512, Rgb([1, 2, 3]));
        let picture = read(wide, "a.png", 3);
        assert_eq!((picture.width, picture.height), (512, 256));
        assert_eq!(picture.pixels[picture.pixels.len() - 3..], [1, 2, 3]);
    }

    #[test]
    fn the_head_foretells_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for (width, height, name) in [(300, 20, "a.jpg"), (777, 401, "b.png"), (256, 300, "c.webp")] {
            let path = folder.path().join(name);
            RgbImage::from_pixel(width, height, Rgb([1, 2, 3])).save(&path).unwrap();
            let promise = Promise::read(&path).unwrap();
            assert!(promise.colour);
            assert_eq!(promise.plane_bytes as usize * 3, Picture::read(&path, 3).unwrap().pixels.len(), "{name}");
        }
    }

    #[test]
    fn damage_of_every_kind_is_refused_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let noise = |x: u32, y: u32| Rgb([(x * 37 % 256) as u8, (y * 91 % 256) as u8, (x * y % 256) as u8]);
        for name in ["a.jpg", "a.png", "a.webp"] {
            let path = folder.path().join(name);
            RgbImage::from_fn(40, 40, noise).save(&path).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for length in [0, 1, 10, whole.len() / 4, whole.len() / 2, whole.len() - 8] {
                std::fs::write(&path, &whole[..length]).unwrap();
                assert!(Picture::read(&path, 3).is_err(), "{name} cut to {length} of {} bytes", whole.len());
            }
            for position in (0..whole.len()).step_by(7) {
                let mut damaged = whole.clone();
                damaged[position] ^= 0x5a;
                std::fs::write(&path, damaged).unwrap();
                // Damage that no checksum covers may go unnoticed.
                let _ = Picture::read(&path, 3);
            }
        }
        let path = folder.path().join("a.jpg");
        RgbImage::from_pixel(7, 40, Rgb([0, 0, 0])).save(&path).unwrap();
        assert!(Picture::read(&path, 3).unwrap_err().to_string().contains("7x40"));
    }
}
