//! Judged nets in a [journal](crate::journal): its first line says what is judged on what, each other one holds a net.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Judged, Subject};
use crate::dataset::Split;
use crate::evaluate::CALIBRATION_IMAGES;
use crate::files::Header;
use crate::journal::{self, About};
use crate::space::{Arch, Space};
use crate::supernet::Supernet;

const FORMAT: &str = "ofa-survey";

/// Images that are decoded at once to be hashed.
const HASHED_AT_ONCE: usize = 1000;

/// What is judged on what: nets of another supernet, or judged on other images, belong to another journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    header: Header,
    /// SHA-256 of the weights, of the images that statistics come from, of those judged on; images at the size at which
    /// the largest net sees them.
    supernet: String,
    calibration: String,
    images: String,
    /// Images that are judged on.
    count: usize,
}

impl Identity {
    /// # Errors
    /// If libtorch cannot hand out the weights, or pictures cannot be decoded.
    pub fn new(subject: Subject, seed: u64) -> Result<Self> {
        let Subject { supernet, train, validation } = subject;
        let side = supernet.space().largest().resolution;
        let of_images = |images: &Split| -> Result<String> {
            let mut hash = Sha256::new();
            hash.update([side.to_le_bytes(), images.channels().to_le_bytes()].concat());
            for start in (0..images.len()).step_by(HASHED_AT_ONCE) {
                hash.update(&images.range(start, HASHED_AT_ONCE).resized(side)?.pixels);
            }
            images.labels().iter().for_each(|label| hash.update(label.to_le_bytes()));
            Ok(digits(hash))
        };
        Ok(Self {
            header: Header::new(FORMAT, &supernet.space().hash(), seed),
            supernet: of_weights(supernet)?,
            calibration: of_images(&train.first(CALIBRATION_IMAGES))?,
            images: of_images(validation)?,
            count: validation.len(),
        })
    }

    /// Eight hexadecimal digits that tell journals apart.
    pub fn name(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(self).expect("numbers and strings serialise"));
        digits(hash)[..8].into()
    }
}

fn of_weights(supernet: &Supernet) -> Result<String> {
    let mut variables: Vec<_> = supernet.variables().variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new();
    for (name, tensor) in variables {
        let values: Vec<f32> = Vec::try_from(&tensor.detach().to_device(tch::Device::Cpu).contiguous().view([-1]))?;
        hash.update(format!("{name} {:?}", tensor.size()));
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Ok(digits(hash))
}

/// The first 16 hexadecimal digits.
fn digits(hash: Sha256) -> String {
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The journal of a survey.
pub(super) struct Journal(journal::Journal);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    arch: Arch,
    /// A bit for each image, the first the highest of the first byte: whether the net's answer is right.
    right: String,
}

impl Journal {
    /// Opens the journal of this identity, or begins one, and reads the nets that it has.
    ///
    /// # Errors
    /// One line that names the file and what to do.
    pub fn open(path: &Path, identity: &Identity, space: &Space) -> Result<(Self, Vec<Judged>)> {
        let about = About { identity, other: "it is of another supernet", remedy: "remove it to judge its nets anew" };
        let (journal, judged) = journal::Journal::open(path, &about, |entry| judged(entry, identity, space))?;
        Ok((Self(journal), judged))
    }

    /// Adds a net; it is on the disk when this returns.
    ///
    /// # Errors
    /// If the disk is full, say.
    pub fn add(&mut self, judged: &Judged) -> Result<()> {
        let right = judged.right.chunks(8).map(|bits| {
            let byte = bits.iter().enumerate().fold(0_u8, |byte, (i, &bit)| byte | u8::from(bit) << (7 - i));
            format!("{byte:02x}")
        });
        self.0.append(&Entry { arch: judged.arch.clone(), right: right.collect() })
    }
}

fn judged(Entry { arch, right }: Entry, identity: &Identity, space: &Space) -> Result<Judged> {
    space.check(&arch)?;
    let bytes = right.as_bytes().chunks(2).map(|digits| Ok(u8::from_str_radix(str::from_utf8(digits)?, 16)?));
    let bytes = bytes.collect::<Result<Vec<_>>>()?;
    ensure!(bytes.len() == identity.count.div_ceil(8), "it is about {} images", 8 * bytes.len());
    let right = (0..identity.count).map(|i| bytes[i / 8] >> (7 - i % 8) & 1 == 1).collect();
    Ok(Judged { arch, right })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn identity(space: &Space) -> Identity {
        let text = String::from;
        let header = Header::new(FORMAT, &space.hash(), 1);
        Identity { header, supernet: text("a"), calibration: text("b"), images: text("c"), count: 13 }
    }

    fn some_judged(space: &Space) -> Vec<Judged> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut judged = || Judged { arch: space.sample(&mut rng), right: (0..13).map(|_| rng.random()).collect() };
        (0..5).map(|_| judged()).collect()
    }

    #[test]
    fn a_journal_cut_anywhere_goes_on_and_ends_the_same() {
        let (space, folder) = (Space::load("fashion").unwrap(), tempfile::tempdir().unwrap());
        let (path, identity, all) = (folder.path().join("journal"), identity(&space), some_judged(&space));
        let write = || {
            let (mut journal, known) = Journal::open(&path, &identity, &space).unwrap();
            assert_eq!(known, all[..known.len()]);
            all[known.len()..].iter().for_each(|judged| journal.add(judged).unwrap());
            known.len()
        };
        assert_eq!(write(), 0);
        let undisturbed = std::fs::read(&path).unwrap();
        for length in 0..undisturbed.len() {
            std::fs::write(&path, &undisturbed[..length]).unwrap();
            let lines = undisturbed[..length].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(write(), lines.saturating_sub(1), "cut to {length} bytes");
            assert!(std::fs::read(&path).unwrap() == undisturbed, "cut to {length} bytes");
        }
    }

    #[test]
    fn damage_and_other_supernets_are_refused_by_line() {
        let (space, folder) = (Space::load("fashion").unwrap(), tempfile::tempdir().unwrap());
        let (path, identity) = (folder.path().join("journal"), identity(&space));
        let (mut journal, _) = Journal::open(&path, &identity, &space).unwrap();
        some_judged(&space).iter().for_each(|judged| journal.add(judged).unwrap());
        let refusal = |identity: &Identity| format!("{:#}", Journal::open(&path, identity, &space).err().unwrap());
        assert!(refusal(&identity).contains("in use by another ofa"));
        drop(journal);
        let other = Identity { supernet: "z".into(), ..identity.clone() };
        assert!(refusal(&other).contains("line 1: it is of another supernet"));
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        bytes[second + 30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal(&identity).contains("line 2: its checksum is wrong"), "{}", refusal(&identity));
    }
}
