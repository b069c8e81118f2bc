//! IDX files (the MNIST family), gzipped or not.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;

use super::{Dataset, Images};

/// What the names of the files with training images begin with.
pub(super) const TRAINING_IMAGES: &str = "train-images-idx3-ubyte";

/// Reads the four files (`train-images-idx3-ubyte` and so on, with or without `.gz`) of a folder.
pub(super) fn load(folder: &Path) -> Result<Dataset> {
    let (train, test) = (images(folder, "train")?, images(folder, "t10k")?);
    ensure!(
        train.side == test.side,
        "{}: training images are {} px, test images {} px",
        folder.display(),
        train.side,
        test.side
    );
    let classes = 1 + train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
    let names = (0..classes).map(|class| class.to_string()).collect();
    Dataset::without_validation(train, test, names).with_context(|| folder.display().to_string())
}

fn images(folder: &Path, set: &str) -> Result<Images> {
    let images = Idx::load(folder, &format!("{set}-images-idx3-ubyte"))?;
    let labels = Idx::load(folder, &format!("{set}-labels-idx1-ubyte"))?;
    let folder = folder.display();
    let (&[count, height, width], &[labelled]) = (&images.dimensions[..], &labels.dimensions[..]) else {
        bail!("{folder}: the {set} files are not images (3 dimensions) and labels (1 dimension)");
    };
    ensure!(count == labelled, "{folder}: {count} {set} images, but {labelled} labels");
    ensure!(count > 0, "{folder}: there are no {set} images");
    ensure!(height == width && (8..=1024).contains(&width), "{folder}: {set} images of {height}×{width} pixels");
    let labels = labels.values.into_iter().map(u16::from).collect();
    Ok(Images { side: width as u16, channels: 1, pixels: images.values, labels })
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
            let file = std::fs::File::open(&zipped)
                .with_context(|| format!("the dataset is not whole: cannot read {}", zipped.display()))?;
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

    #[test]
    fn files_of_any_damage_are_refused_without_a_panic() {
        let whole = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[7, 8, 9]].concat();
        assert_eq!(Idx::parse(whole.clone()).unwrap().values, [7, 8, 9]);
        for length in 0..whole.len() {
            assert!(Idx::parse(whole[..length].to_vec()).is_err(), "cut to {length} bytes");
        }
        assert!(Idx::parse([0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255].into()).is_err());
    }
}
