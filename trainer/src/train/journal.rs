//! What is left of a training for people to look at: `metrics.jsonl` and TensorBoard's event files.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::checkpoint::Position;
use crate::files;
use crate::tensorboard::EventFile;

/// The two, open.
pub(super) struct Journal {
    metrics: File,
    events: EventFile,
}

impl Journal {
    /// Makes the folder this training's alone: opens its `metrics.jsonl`, for [`Self::open`].
    ///
    /// # Errors
    /// If another process trains there.
    pub fn claim(folder: &Path) -> Result<File> {
        let path = folder.join("metrics.jsonl");
        let open = || -> std::io::Result<File> {
            std::fs::create_dir_all(folder)?;
            OpenOptions::new().create(true).truncate(false).write(true).open(&path)
        };
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        files::lock(&file, &path)?;
        Ok(file)
    }

    /// Opens them in a claimed folder; of an earlier journal there stays what it had said before step `step`, when
    /// `metrics.jsonl` was `length` bytes long.
    pub fn open(mut metrics: File, folder: &Path, step: u64, length: u64) -> Result<Self> {
        let cut = |metrics: &mut File| metrics.set_len(length).and_then(|()| metrics.seek(SeekFrom::End(0)));
        cut(&mut metrics).with_context(|| format!("cannot write {}", folder.join("metrics.jsonl").display()))?;
        Ok(Self { metrics, events: EventFile::create(folder, step)? })
    }

    /// Bytes in `metrics.jsonl`.
    pub fn length(&mut self) -> Result<u64> {
        Ok(self.metrics.stream_position()?)
    }

    /// What the last steps came to.
    pub fn trained(&mut self, at: &Position, phase: &str, learning_rate: f64, images_per_second: f64) -> Result<()> {
        let numbers = [
            ("loss", at.loss.unwrap_or(f64::NAN)),
            ("accuracy", at.accuracy),
            ("learning_rate", learning_rate),
            ("images_per_second", images_per_second),
        ];
        self.add(at.total, phase, "train", &numbers)
    }

    /// Validation accuracy of the largest, the middle and the smallest net.
    pub fn judged(&mut self, at: &Position, phase: &str, [largest, middle, smallest]: [f64; 3]) -> Result<()> {
        let numbers = [("largest", largest), ("middle", middle), ("smallest", smallest)];
        self.add(at.total, phase, "validation", &numbers)
    }

    fn add(&mut self, step: u64, phase: &str, group: &str, numbers: &[(&str, f64)]) -> Result<()> {
        let mut line = Map::from_iter([("step".into(), json!(step)), ("phase".into(), json!(phase))]);
        line.extend(numbers.iter().map(|&(name, number)| (format!("{group}/{name}"), json!(number))));
        // One write, so that a line is whole or missing.
        let text = format!("{}\n", Value::Object(line));
        self.metrics.write_all(text.as_bytes()).context("cannot write metrics.jsonl")?;
        let tags: Vec<_> = numbers.iter().map(|(name, _)| format!("{group}/{name}")).collect();
        let scalars: Vec<_> = tags.iter().map(String::as_str).zip(numbers.iter().map(|&(_, number)| number)).collect();
        self.events.add(step, &scalars)
    }
}
