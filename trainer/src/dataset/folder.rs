//! Folders of image files: `train|validation|test/CLASS/*`, or `CLASS/*` alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::picture::{Picture, Promise};
use super::split::{DAMAGED_SHARE, Source, Split};
use super::{Dataset, TEST_SHARE, VALIDATION_SHARE};
use crate::progress::with_progress;

/// Below so many bytes all pictures are decoded once and held in memory.
const HELD_BYTES: u64 = 1 << 30;

const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Damaged files that are named, each on a line.
const NAMED: usize = 5;

/// The files of each class, in the order of their paths.
type Listing = BTreeMap<String, Vec<PathBuf>>;

/// Whether this is such a folder, by its first sight.
pub(super) fn is_one(folder: &Path) -> Result<bool> {
    if folder.join("train").is_dir() {
        return Ok(true);
    }
    for (_, path) in folders(folder)? {
        if !images(&path)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads all three splits; those that are missing are parted from the training images.
pub(super) fn load(folder: &Path) -> Result<Dataset> {
    load_within(folder, HELD_BYTES)
}

/// The same, with another limit of what is held in memory.
pub(super) fn load_within(folder: &Path, held_bytes: u64) -> Result<Dataset> {
    let (mut train, validation, test) = if folder.join("train").is_dir() {
        for (name, path) in folders(folder)? {
            let known = ["train", "validation", "test"].contains(&name.as_str());
            ensure!(known, "{} is none of train, validation and test", path.display());
        }
        let split = |name: &str| Some(folder.join(name)).filter(|path| path.is_dir()).map(|path| list(&path));
        (list(&folder.join("train"))?, split("validation").transpose()?, split("test").transpose()?)
    } else {
        (list(folder)?, None, None)
    };
    ensure!(train.len() > 1, "{}: one class alone leaves nothing to learn", folder.display());
    for (name, split) in [("validation", &validation), ("test", &test)] {
        let Some(split) = split else { continue };
        let path = folder.join(name);
        if let Some(missing) = train.keys().find(|class| !split.contains_key(*class)) {
            bail!("{} lacks the class {missing}, which train has", path.display());
        }
        if let Some(unknown) = split.keys().find(|class| !train.contains_key(*class)) {
            bail!("{} has the class {unknown}, which train lacks", path.display());
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut part = |one_in| part(&mut train, one_in, &mut rng);
    let test = test.map_or_else(|| part(TEST_SHARE), Ok)?;
    let validation = validation.map_or_else(|| part(VALIDATION_SHARE), Ok)?;
    let names = train.keys().cloned().collect();
    read([train, validation, test], names, held_bytes).with_context(|| folder.display().to_string())
}

/// Takes a share of each class, at least one image.
fn part(train: &mut Listing, one_in: usize, rng: &mut ChaCha8Rng) -> Result<Listing> {
    let part = |(class, paths): (&String, &mut Vec<PathBuf>)| {
        ensure!(
            paths.len() > 1,
            "the class {class} has too few images to part them into training, validation and test images"
        );
        paths.shuffle(rng);
        let taken = paths.split_off(paths.len() - (paths.len() / one_in).max(1));
        Ok((class.clone(), taken))
    };
    train.iter_mut().map(part).collect()
}

/// Looks at every file, and decodes all where they fit into memory.
fn read(listings: [Listing; 3], names: Vec<String>, held_bytes: u64) -> Result<Dataset> {
    let mut files: Vec<(usize, PathBuf, u16)> = vec![];
    for (split, listing) in listings.into_iter().enumerate() {
        let classes = listing.into_values().enumerate();
        let mut of_split: Vec<_> =
            classes.flat_map(|(class, paths)| paths.into_iter().map(move |path| (split, path, class as u16))).collect();
        // Whoever takes the first of them is to see all classes.
        of_split.shuffle(&mut ChaCha8Rng::seed_from_u64(split as u64));
        files.extend(of_split);
    }
    let count = files.len();
    let mut damaged = Damaged { files: vec![], of: count };
    let promises = with_progress("look at", count, |done| {
        let look = |(_, path, _): &(usize, PathBuf, u16)| {
            done();
            Promise::read(path)
        };
        files.par_iter().map(look).collect::<Vec<_>>()
    });
    let mut good = vec![];
    let (mut colour, mut plane_bytes) = (false, 0);
    for (file, promise) in files.into_iter().zip(promises) {
        match promise {
            Ok(promise) => {
                colour |= promise.colour;
                plane_bytes += promise.plane_bytes;
                good.push(file);
            }
            Err(error) => damaged.files.push((file.1, error)),
        }
    }
    damaged.check()?;
    let channels: u16 = if colour { 3 } else { 1 };
    let held = plane_bytes * u64::from(channels) <= held_bytes;
    let mut sources = [(); 3].map(|()| (vec![], vec![], vec![]));
    if held {
        let pictures = with_progress("decode", good.len(), |done| {
            let decode = |(_, path, _): &(usize, PathBuf, u16)| {
                done();
                Picture::read(path, channels.into())
            };
            good.par_iter().map(decode).collect::<Vec<_>>()
        });
        for ((split, path, label), picture) in good.into_iter().zip(pictures) {
            match picture {
                Ok(picture) => {
                    sources[split].0.push(picture);
                    sources[split].2.push(label);
                }
                Err(error) => damaged.files.push((path, error)),
            }
        }
        damaged.check()?;
    } else {
        for (split, path, label) in good {
            sources[split].1.push(path);
            sources[split].2.push(label);
        }
    }
    damaged.name();
    for ((_, _, labels), split) in sources.iter().zip(["training", "validation", "test"]) {
        if let Some(class) = (0..names.len()).find(|&class| !labels.contains(&(class as u16))) {
            bail!("none of the {split} images of the class {} can be decoded", names[class]);
        }
    }
    let [train, validation, test] = sources.map(|(pictures, paths, labels)| {
        let source = if held { Source::Pictures(pictures) } else { Source::Files { paths, damaged: Mutex::default() } };
        Split::new(source, labels, channels)
    });
    Dataset::new(train, validation, test, names)
}

/// Files that cannot be decoded.
struct Damaged {
    files: Vec<(PathBuf, anyhow::Error)>,
    of: usize,
}

impl Damaged {
    /// Refuses more than one in [`DAMAGED_SHARE`].
    fn check(&self) -> Result<()> {
        if let Some((path, error)) = self.files.first()
            && self.files.len() * DAMAGED_SHARE > self.of
        {
            let count = self.files.len();
            bail!("{count} of {} files cannot be decoded, the first is {}: {error:#}", self.of, path.display());
        }
        Ok(())
    }

    /// Says on stderr which are left out.
    fn name(&self) {
        for (path, error) in self.files.iter().take(NAMED) {
            eprintln!("skipped {}: {error:#}", path.display());
        }
        if !self.files.is_empty() {
            eprintln!("skipped {} of {} files", self.files.len(), self.of);
        }
    }
}

/// The classes of a folder with their images.
fn list(folder: &Path) -> Result<Listing> {
    let mut listing = Listing::new();
    for (class, path) in folders(folder)? {
        let images = images(&path)?;
        ensure!(!images.is_empty(), "{} holds no images ({})", path.display(), EXTENSIONS.join(", "));
        listing.insert(class, images);
    }
    ensure!(!listing.is_empty(), "{} holds no folders of images, one for each class", folder.display());
    Ok(listing)
}

/// The folders in a folder, with their names, but for hidden ones.
fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folders = entries(folder)?.into_iter().filter(|(_, path)| path.is_dir());
    Ok(folders.filter(|(name, _)| !name.starts_with('.')).collect())
}

/// The image files in a folder, by their extension.
fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_image = |path: &PathBuf| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension)) && path.is_file()
    };
    let files = entries(folder)?.into_iter().filter(|(name, _)| !name.starts_with('.')).map(|(_, path)| path);
    Ok(files.filter(is_image).collect())
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let read = || -> std::io::Result<Vec<_>> {
        let entry = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        std::fs::read_dir(folder)?.map(entry).collect()
    };
    let mut entries = read().with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort();
    Ok(entries)
}
