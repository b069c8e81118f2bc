//! The entries of a zip archive that are stored as they are: as PyTorch writes them.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

/// "PK\5\6": the record at the archive's end.
const END: [u8; 4] = [0x50, 0x4b, 5, 6];
const END_BYTES: usize = 22;
/// "PK\1\2": an entry of the directory.
const ENTRY: [u8; 4] = [0x50, 0x4b, 1, 2];
const ENTRY_BYTES: usize = 46;
/// "PK\3\4": what is before an entry's bytes.
const LOCAL: [u8; 4] = [0x50, 0x4b, 3, 4];
const LOCAL_BYTES: usize = 30;

/// The bytes of each entry, by name.
pub(super) struct Archive<'a>(HashMap<&'a str, &'a [u8]>);

impl<'a> Archive<'a> {
    /// Whether this begins as an archive does.
    pub fn is(file: &[u8]) -> bool {
        file.starts_with(&LOCAL)
    }

    /// # Errors
    /// If the file is cut off or damaged, or an entry is compressed.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        let cut = "the archive is cut off or damaged";
        let end = file.windows(4).rposition(|window| window == END).context(cut)?;
        let end = part(file, end, END_BYTES).context(cut)?;
        let (count, mut at) = (u16_at(end, 10), u32_at(end, 16));
        let (mut entries, mut length) = (HashMap::new(), 0);
        for _ in 0..count {
            let entry = part(file, at, ENTRY_BYTES).filter(|entry| entry.starts_with(&ENTRY)).context(cut)?;
            let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(entry, at));
            let name_bytes = part(file, at + ENTRY_BYTES, name).context(cut)?;
            at += ENTRY_BYTES + name + extra + comment;
            let name = std::str::from_utf8(name_bytes).context(cut)?;
            ensure!(u16_at(entry, 10) == 0, "its entry {name:?} is compressed, which torch.save never does");
            let local = u32_at(entry, 42);
            let head = part(file, local, LOCAL_BYTES).filter(|head| head.starts_with(&LOCAL)).context(cut)?;
            let start = local + LOCAL_BYTES + u16_at(head, 26) + u16_at(head, 28);
            let bytes = part(file, start, u32_at(entry, 20)).context(cut)?;
            // Else a small file may have many entries of many bytes, the same ones.
            length += bytes.len();
            ensure!(length <= file.len(), "its entries overlap");
            if crc32fast::hash(bytes) as usize != u32_at(entry, 16) {
                bail!("its entry {name:?} is damaged");
            }
            entries.insert(name, bytes);
        }
        Ok(Self(entries))
    }

    /// The entry whose name ends so, behind the one folder that there is, and that folder.
    pub fn ending(&self, end: &str) -> Option<(&'a str, &'a [u8])> {
        self.0.iter().find_map(|(name, bytes)| Some((name.strip_suffix(end)?, *bytes)))
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.get(name).copied()
    }

    /// The entries of a folder, by their names in it.
    pub fn within(&self, folder: &str) -> HashMap<&'a str, &'a [u8]> {
        self.0.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(folder)?, *bytes))).collect()
    }
}

fn part(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}
