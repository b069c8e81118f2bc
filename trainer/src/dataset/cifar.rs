//! CIFAR-10 and CIFAR-100 in their binary version: records of one or two labels and 3 × 32 × 32 bytes, colour by
//! colour (Krizhevsky 2009).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Dataset, Images};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// One of the two datasets.
pub(super) struct Kind {
    /// Its test images, by which it is recognised.
    test: &'static str,
    train: &'static [&'static str],
    /// Of one image. The last is the one that is learned: of CIFAR-100's two that is the fine one.
    labels: usize,
    names: &'static str,
    classes: u16,
}

/// Both of them.
pub(super) const KINDS: [Kind; 2] = [
    Kind {
        test: "test_batch.bin",
        train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        labels: 1,
        names: "batches.meta.txt",
        classes: 10,
    },
    Kind { test: "test.bin", train: &["train.bin"], labels: 2, names: "fine_label_names.txt", classes: 100 },
];

impl Kind {
    /// Whether the folder holds a file of it.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.train.iter().chain([&self.test]).any(|name| folder.join(name).exists())
    }

    /// Reads all its files.
    pub fn load(&self, folder: &Path) -> Result<Dataset> {
        let train: Vec<_> = self.train.iter().map(|name| folder.join(name)).collect();
        let (train, test) = (self.images(&train)?, self.images(&[folder.join(self.test)])?);
        Dataset::without_validation(train, test, self.names(folder)).with_context(|| folder.display().to_string())
    }

    fn images(&self, paths: &[PathBuf]) -> Result<Images> {
        let mut images = Images { side: SIDE as u16, channels: 3, pixels: vec![], labels: vec![] };
        for path in paths {
            let bytes = std::fs::read(path)
                .with_context(|| format!("the dataset is not whole: cannot read {}", path.display()))?;
            self.parse(&bytes, &mut images).with_context(|| format!("{} is damaged", path.display()))?;
        }
        Ok(images)
    }

    fn parse(&self, bytes: &[u8], images: &mut Images) -> Result<()> {
        let record = self.labels + 3 * PLANE;
        ensure!(
            !bytes.is_empty() && bytes.len().is_multiple_of(record),
            "it has {} bytes, which is no number of records of {record}",
            bytes.len()
        );
        for record in bytes.chunks_exact(record) {
            let (labels, planes) = record.split_at(self.labels);
            let label = u16::from(labels[self.labels - 1]);
            ensure!(label < self.classes, "it has the label {label}, where there are {} classes", self.classes);
            images.labels.push(label);
            images.pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        }
        Ok(())
    }

    /// From the text file beside the images, where that has one for each class; else numbers.
    fn names(&self, folder: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(self.names)).unwrap_or_default();
        let names: Vec<String> = text.split_whitespace().map(Into::into).collect();
        if names.len() == usize::from(self.classes) {
            return names;
        }
        (0..self.classes).map(|class| class.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records whose red is `i`, green 100 + `i` and blue 200, and whose last label is `i`.
    fn records(labels: usize, range: std::ops::Range<u8>) -> Vec<u8> {
        let record = |i: u8| {
            let labels = if labels == 1 { vec![i] } else { vec![9, i] };
            [labels, vec![i; PLANE], vec![100 + i; PLANE], vec![200; PLANE]].concat()
        };
        range.flat_map(record).collect()
    }

    #[test]
    fn both_are_read_with_their_names_and_labels() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        for i in 1..=5 {
            write(&format!("data_batch_{i}.bin"), &records(1, 0..10));
        }
        write("test_batch.bin", &records(1, 3..5));
        let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
        write("batches.meta.txt", names.as_bytes());
        let ten = Dataset::load(folder.path()).unwrap();
        assert_eq!((ten.classes, ten.train.len() + ten.validation.len(), ten.test.len()), (10, 50, 2));
        assert_eq!((ten.names[9].as_str(), ten.test.labels()), ("truck", &[3_u16, 4][..]));
        assert_eq!(ten.test.resized(32).unwrap().image(1)[..6], [4, 104, 200, 4, 104, 200]);

        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("train.bin", &records(2, 0..99));
        write("test.bin", &records(2, 50..53));
        let hundred = Dataset::load(folder.path()).unwrap();
        assert_eq!((hundred.classes, hundred.test.labels(), &*hundred.names[7]), (100, &[50_u16, 51, 52][..], "7"));
    }

    #[test]
    fn damage_is_refused() {
        let parse =
            |bytes: &[u8]| KINDS[0].parse(bytes, &mut Images { side: 32, channels: 3, pixels: vec![], labels: vec![] });
        let whole = records(1, 0..2);
        parse(&whole).unwrap();
        assert!(parse(&whole[..whole.len() - 1]).is_err() && parse(&[]).is_err());
        assert!(parse(&records(1, 10..11)).unwrap_err().to_string().contains("label 10"));
    }
}
