//! Lines of work that is done, on the disk one by one: killed at any moment, the work goes on where it stopped.
//!
//! A line is the CRC-32 of the JSON that follows it, in eight hexadecimal digits. The first line says what the work is,
//! each other one holds a result. A last line that was cut off is dropped; damage elsewhere is refused.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;

/// An open journal; no other process can open it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

/// What a journal is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a, I> {
    /// Its first line: results of other work belong to another journal.
    pub identity: &'a I,
    /// What is wrong with a journal of another identity, such as `it is of another supernet`.
    pub other: &'a str,
    /// What to do about a damaged one, such as `remove it to judge its nets anew`.
    pub remedy: &'a str,
}

impl Journal {
    /// Opens the journal of this identity, or begins one, and reads the results that it has.
    ///
    /// # Errors
    /// One line that names the file and what to do.
    pub fn open<I, T, R>(path: &Path, about: &About<'_, I>, result: impl Fn(T) -> Result<R>) -> Result<(Self, Vec<R>)>
    where
        I: Serialize + DeserializeOwned + PartialEq,
        T: DeserializeOwned,
    {
        let named = || path.display().to_string();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.with_context(|| format!("cannot write {}", named()))?;
        files::lock(&file, path)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", named()))?;
        let (whole, results) =
            read(&bytes, about, result).with_context(|| format!("{} is damaged; {}", named(), about.remedy))?;
        let mut journal = Self { file, path: path.into() };
        journal.cut(whole)?;
        if whole == 0 {
            journal.append(about.identity)?;
            sync_folder(path)?;
        }
        Ok((journal, results))
    }

    /// Adds a result; it is on the disk when this returns.
    ///
    /// # Errors
    /// If the disk is full, say.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(line)?;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let write = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        write.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Drops what follows these bytes.
    fn cut(&mut self, length: usize) -> Result<()> {
        let cut = self.file.set_len(length as u64).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.map(drop).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Makes the name of a new file outlast a loss of power.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.with_context(|| format!("cannot write {}", path.display()))
}

/// The results of a journal, and how many of its bytes are whole lines.
fn read<I, T, R>(bytes: &[u8], about: &About<'_, I>, result: impl Fn(T) -> Result<R>) -> Result<(usize, Vec<R>)>
where
    I: DeserializeOwned + PartialEq,
    T: DeserializeOwned,
{
    let mut lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    // Only the line that was being written can be torn, whichever of its pages had reached the disk.
    lines.pop_if(|last| !last.ends_with(b"\n") || json(last).is_err());
    let whole = lines.iter().map(|line| line.len()).sum();
    let mut lines = lines.into_iter().enumerate();
    let Some((_, first)) = lines.next() else { return Ok((0, vec![])) };
    ensure!(parse::<I>(first).context("line 1")? == *about.identity, "line 1: {}", about.other);
    let results = lines.map(|(i, line)| parse(line).and_then(&result).with_context(|| format!("line {}", i + 1)));
    Ok((whole, results.collect::<Result<_>>()?))
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    Ok(serde_json::from_str(json(line)?)?)
}

fn json(line: &[u8]) -> Result<&str> {
    let (sum, json) = str::from_utf8(line)?.trim_end().split_once(' ').context("there is no checksum")?;
    ensure!(sum == format!("{:08x}", crc32fast::hash(json.as_bytes())), "its checksum is wrong");
    Ok(json)
}
