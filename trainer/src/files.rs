//! Files that other steps rely on: written whole or not at all, and refused with a reason.
//!
//! ```
//! use trainer::files::{Header, check_writable, read, read_json, write, write_json};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("new/header.json");
//! check_writable(&path)?;
//! write_json(&path, &Header::new("ofa-made-up", "3f2a", 7))?;
//! let header: Header = read_json(&path, "ofa make-up")?;
//! header.expect(&path, "ofa-made-up", "3f2a", "ofa make-up")?;
//! let error = header.expect(&path, "ofa-made-up", "91c0", "ofa make-up").unwrap_err();
//! assert!(error.to_string().ends_with("made for space 3f2a, this is 91c0; run: ofa make-up"));
//!
//! write(&path, b"half")?;
//! assert_eq!(read(&path, "ofa make-up")?, b"half");
//! assert!(read_json::<Header>(&path, "ofa make-up").is_err());
//! # Ok::<(), anyhow::Error>(())
//! ```

use std::borrow::Cow;
use std::fs::{File, FileType, OpenOptions, TryLockError};
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::names::did_you_mean;

/// What every file says of itself first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// What kind of file it is, such as `ofa-latency-table`.
    pub format: String,
    /// Version of that format.
    pub version: u32,
    /// [`crate::space::Space::hash`] of the space that it was made for.
    pub space: String,
    /// Seed of the step that made it.
    pub seed: u64,
}

impl Header {
    /// A header of `format`, version 1.
    pub fn new(format: &str, space: &str, seed: u64) -> Self {
        Self { format: format.into(), version: 1, space: space.into(), seed }
    }

    /// Refuses a file of another format or version, or made for another space than `space`.
    ///
    /// # Errors
    /// Names `path` and the command, `renew`, that makes a file that fits.
    pub fn expect(&self, path: &Path, format: &str, space: &str, renew: &str) -> Result<()> {
        let path = path.display();
        if self.format != format || self.version != 1 {
            bail!("{path} is {} version {}, not {format} version 1; run: {renew}", self.format, self.version);
        }
        if self.space != space {
            bail!("{path} was made for space {}, this is {space}; run: {renew}", self.space);
        }
        Ok(())
    }
}

/// Writes a file whole or not at all: to a temporary file beside it, synced, then renamed. Missing folders are made. Where a
/// link leads, the file there is written; what is no file, such as a pipe, takes the bytes as it can.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if is_stream(path) {
            return OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        let path = &end_of_links(path);
        let folder = folder_of(path);
        std::fs::create_dir_all(folder)?;
        let mut file = temporary(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A file that whoever may read a new file of this process may read: temporary ones are their owner's alone otherwise.
fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Whether there is something at the path that is neither a file nor a folder.
fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The path itself, where there is nothing yet.
fn end_of_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Finds out now, not after hours of work, whether [`write()`] will work.
///
/// # Errors
/// If the folder of `path` cannot be made or written to.
pub fn check_writable(path: &Path) -> Result<()> {
    let probe = || -> std::io::Result<()> {
        if is_stream(path) {
            return OpenOptions::new().write(true).open(path).map(drop);
        }
        let path = &end_of_links(path);
        let folder = folder_of(path);
        std::fs::create_dir_all(folder)?;
        temporary(folder)?.close()
    };
    probe().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes an open file this process's alone until it is closed.
///
/// # Errors
/// If another process has it.
pub(crate) fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!("{} is in use by another ofa; wait for it, or end it", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Writes JSON that people can read and diff.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context("cannot serialise")?;
    text.push(b'\n');
    write(path, &text)
}

/// Reads a file; `how` says which command makes it.
///
/// # Errors
/// Names the file and the command.
pub fn read(path: &Path, how: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {} (made by: {how})", path.display()))
}

/// Reads a file, or what comes through a pipe, of at most so many bytes: for files that others wrote.
///
/// # Errors
/// One line that names the file: if it cannot be read, is longer, or is a folder or a device, which may have no end.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let about = file.metadata().with_context(cannot)?;
    ensure!(about.is_file() || is_pipe(about.file_type()), "{} is no file and no pipe", path.display());
    let mut bytes = vec![];
    if about.len() <= most {
        file.take(most + 1).read_to_end(&mut bytes).with_context(cannot)?;
    }
    let fits = about.len() <= most && bytes.len() as u64 <= most;
    ensure!(fits, "{} is longer than the {most} bytes that are read", path.display());
    Ok(bytes)
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_pipe(kind: FileType) -> bool {
    !kind.is_dir()
}

/// Reads JSON; `how` says which command makes it.
///
/// # Errors
/// One line that names the file, the line and the field.
pub fn read_json<T: DeserializeOwned>(path: &Path, how: &str) -> Result<T> {
    let bytes = read(path, how)?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| anyhow!("{}: {}: {} (made by: {how})", path.display(), error.path(), error.inner()))
}

/// The text of the built-in `kind` of that name, or of the file at that path.
///
/// # Errors
/// If it is neither: lists the names there are; or if the file cannot be read.
pub(crate) fn built_in_or_file(
    kind: &str,
    built_in: &[(&str, &'static str)],
    name_or_path: &str,
) -> Result<Cow<'static, str>> {
    if let Some((_, text)) = built_in.iter().find(|(name, _)| *name == name_or_path) {
        return Ok(Cow::Borrowed(text));
    }
    if !Path::new(name_or_path).exists() {
        let names: Vec<_> = built_in.iter().map(|(name, _)| *name).collect();
        let meant = did_you_mean(name_or_path, names.iter().copied());
        bail!(
            "there is no {kind} {name_or_path}{meant}: give the path of a TOML file, or one of: {}",
            names.join(", ")
        );
    }
    let text = std::fs::read_to_string(name_or_path).with_context(|| format!("cannot read {name_or_path}"))?;
    Ok(Cow::Owned(text))
}

/// Reads TOML; `origin` names it in errors.
///
/// # Errors
/// One line that names the origin, the line and the field.
pub(crate) fn parse_toml<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T> {
    let describe = |field: Option<String>, error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let field = field.filter(|path| path != ".").map_or(String::new(), |path| format!("{path}: "));
        anyhow!("{origin}:{line}: {field}{}", error.message().replace('\n', " "))
    };
    let document = toml::Deserializer::parse(text).map_err(|error| describe(None, &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| describe(Some(error.path().to_string()), error.inner()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_may_be_read_by_whoever_may_read_any_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
        write(&ours, b"table").unwrap();
        std::fs::write(&plain, b"table").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_link_stays_one_and_a_pipe_takes_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [link, file, pipe] = ["link", "file", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&file, b"before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        check_writable(&link).unwrap();
        write(&link, b"after").unwrap();
        assert!(link.is_symlink() && std::fs::read(&file).unwrap() == b"after");

        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        write(&pipe, b"table").unwrap();
        assert_eq!(reader.join().unwrap(), b"table");
        assert!(is_stream(&pipe), "it is still a pipe");
    }

    #[test]
    fn a_file_that_is_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let [one, other] = [(); 2].map(|()| File::create(&path).unwrap());
        lock(&one, &path).unwrap();
        assert!(
            lock(&other, &path)
                .unwrap_err()
                .to_string()
                .ends_with("metrics.jsonl is in use by another ofa; wait for it, or end it")
        );
        drop(one);
        lock(&other, &path).unwrap();
    }

    #[test]
    fn what_others_wrote_is_read_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.yaml");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let refusal = |path: &Path| read_at_most(path, 4).unwrap_err().to_string();
        assert!(refusal(&path).ends_with("table.yaml is longer than the 4 bytes that are read"));
        assert!(refusal(Path::new("/dev/zero")).ends_with("/dev/zero is no file and no pipe"));
        assert!(refusal(folder.path()).ends_with("is no file and no pipe"));
        assert!(refusal(&folder.path().join("nowhere")).starts_with("cannot read "));
        let pipe = |bytes: &'static [u8]| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let writing = std::thread::spawn(move || writer.write_all(bytes));
            let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
            let read = read_at_most(Path::new(&path), 4);
            writing.join().unwrap().unwrap();
            read
        };
        if Path::new("/proc/self/fd").exists() {
            assert_eq!(pipe(b"1234").unwrap(), b"1234");
            assert!(pipe(b"12345").unwrap_err().to_string().contains("longer than the 4 bytes"));
        }
    }
}
