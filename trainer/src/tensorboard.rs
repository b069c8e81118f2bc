//! Event files that TensorBoard reads: what a training was like, as scalars over steps.
//!
//! A file is a row of records in the TFRecord format: the length of the data (u64), a masked CRC-32C of those eight
//! bytes, the data, its masked CRC-32C; all little-endian. The data is a protocol buffer, `tensorflow.Event`:
//! wall time (1, double), step (2, int64), and one of file version (3, string), summary (5) or session log (7).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};
use protobuf::CodedOutputStream;

const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// How the names of files begin that TensorBoard reads.
const PREFIX: &str = "events.out.tfevents.";

/// How those from here end.
const SUFFIX: &str = ".ofa";

/// The first event of every file.
const VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus.START`: what other files say of this step and later ones is void.
const START: i32 = 1;

/// An event file that is being written.
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Begins a file in `folder`, beside those that are there. What they say of steps from `first_step` on is void; if that
    /// is all, they are removed.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn create(folder: &Path, first_step: u64) -> Result<Self> {
        let begin = || -> Result<Self> {
            std::fs::create_dir_all(folder)?;
            if first_step == 0 {
                remove_earlier(folder)?;
            }
            // TensorBoard reads the files of a folder in the order of their names: each must come after those before.
            let seconds = since_1970() as u64;
            let name = |i: u32| folder.join(format!("{PREFIX}{seconds:010}.{i:03}{SUFFIX}"));
            let path = (0..).map(name).find(|path| !path.exists()).expect("one of them is free");
            let mut events = Self { file: File::create_new(path)? };
            events.write(&event(0, |event| event.write_string(3, VERSION))?)?;
            let start = message(|log| log.write_enum(1, START))?;
            events.write(&event(first_step, |event| event.write_bytes(7, &start))?)?;
            Ok(events)
        };
        begin().with_context(|| format!("cannot write {}", folder.display()))
    }

    /// Adds the scalars of a step.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        let summary = message(|summary| {
            for &(tag, value) in scalars {
                let value = message(|field| {
                    field.write_string(1, tag)?;
                    field.write_float(2, value as f32)
                })?;
                summary.write_bytes(1, &value)?;
            }
            Ok(())
        })?;
        self.write(&event(step, |event| event.write_bytes(5, &summary))?).context("cannot write the event file")
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        Ok(self.file.write_all(&record(data))?)
    }
}

fn remove_earlier(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn event(step: u64, what: impl FnOnce(&mut CodedOutputStream) -> protobuf::Result<()>) -> protobuf::Result<Vec<u8>> {
    message(|event| {
        event.write_double(1, since_1970())?;
        event.write_int64(2, step as i64)?;
        what(event)
    })
}

fn message(fields: impl FnOnce(&mut CodedOutputStream) -> protobuf::Result<()>) -> protobuf::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut bytes);
    fields(&mut stream)?;
    stream.flush()?;
    drop(stream);
    Ok(bytes)
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length).to_le_bytes()[..], data, &masked_crc(data).to_le_bytes()].concat()
}

/// The CRC of data that holds CRCs itself would be weak; the mask is TFRecord's.
fn masked_crc(data: &[u8]) -> u32 {
    CASTAGNOLI.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by TensorBoard's own writer, as hexadecimal digits: a record with the data `ofa`.
    #[test]
    fn a_record_is_that_of_the_original() {
        let hex: String = record(b"ofa").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, RECORD);
    }

    #[test]
    fn a_resumed_training_writes_a_file_that_sorts_after_the_first() {
        let folder = tempfile::tempdir().unwrap();
        for step in 0..3 {
            EventFile::create(folder.path(), step).unwrap().add(step, &[("loss", 0.5)]).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_training_that_begins_anew_leaves_no_curve_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join("events.out.tfevents.1.other");
        std::fs::write(&others, "").unwrap();
        for step in [0, 5, 0] {
            EventFile::create(folder.path(), step).unwrap();
        }
        assert!(others.exists() && std::fs::read_dir(folder.path()).unwrap().count() == 2);
    }

    const RECORD: &str = "0300000000000000b099490e6f66610dcb1f6f";
}
