//! What `torch.save` writes, in both its forms: an object as a pickle, and the storages that the object refers to.
//!
//! ```text
//! since 1.6    a zip archive: folder/data.pkl, folder/byteorder, folder/data/KEY …
//! before it    five pickles: magic number, version, system, object, keys;
//!              then for each of the keys the number of its values (u64) and the values
//! ```

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::archive::Archive;
use super::pickle::{self, Pickle, Value};

/// The pickle of 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 15] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
const VERSION: i64 = 1001;

/// A file of `torch.save`.
pub(super) struct Saved<'a> {
    pub object: Pickle<'a>,
    /// Values of float32, little endian, by key.
    pub storages: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Saved<'a> {
    /// # Errors
    /// One line that says what is wrong with the file.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        if Archive::is(file) {
            Self::archive(file)
        } else if file.starts_with(&MAGIC) {
            Self::pickles(file)
        } else {
            bail!("it is no file of torch.save, or one of PyTorch before 0.1.10")
        }
    }

    fn archive(file: &'a [u8]) -> Result<Self> {
        let archive = Archive::parse(file)?;
        let (folder, pickle) = archive.ending("data.pkl").context("it has no data.pkl")?;
        let big = archive.get(&format!("{folder}byteorder")).is_some_and(|order| order != b"little");
        ensure!(!big, "its values are not little endian");
        Ok(Self { object: pickle::read(pickle, 0)?, storages: archive.within(&format!("{folder}data/")) })
    }

    fn pickles(file: &'a [u8]) -> Result<Self> {
        let version = pickle::read(file, MAGIC.len())?;
        ensure!(matches!(version.root(), Value::Int(VERSION)), "its version is not {VERSION}");
        let system = pickle::read(file, version.end)?;
        let little = system.item(system.root(), "little_endian");
        ensure!(matches!(little, Some(Value::Bool(true))), "its values are not little endian");
        let object = pickle::read(file, system.end)?;
        let keys = pickle::read(file, object.end)?;
        let Value::List(list) = keys.root() else { bail!("it has no list of storages") };
        let (mut storages, mut rest) = (HashMap::new(), &file[keys.end..]);
        for key in list {
            let &Value::Text(key) = keys.get(*key) else { bail!("a storage has no name") };
            let storage;
            (storage, rest) = counted(rest).with_context(|| format!("its storage {key:?} is cut off"))?;
            storages.insert(key, storage);
        }
        Ok(Self { object, storages })
    }
}

/// The bytes of a storage behind its number of values, and what is behind them.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(4)?)
}
