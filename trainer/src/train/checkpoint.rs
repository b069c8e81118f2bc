//! What a training that was killed goes on from.
//!
//! All randomness is a function of the seed and the step, so the state is: weights, velocity of the optimiser, the
//! frozen teacher's weights, and the position. A checkpoint is a safetensors file with these; it also holds what the
//! training is of, so that it goes on as what it was or not at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};

use crate::files;

/// Checkpoints kept: if the machine dies while it writes the newest to disk, there is another.
const KEPT: usize = 2;

/// Time between two checkpoints, as a multiple of what the last one cost: less than 2 % of the training.
const INTERVAL: u32 = 60;

/// Where a training is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Position {
    /// Index of the phase.
    pub phase: usize,
    /// Steps done in it.
    pub step: usize,
    /// Steps done in all phases.
    pub total: u64,
    /// Mean loss of the last steps, once there were some.
    pub loss: Option<f64>,
    /// Mean accuracy of the last steps.
    pub accuracy: f64,
    /// Length of `metrics.jsonl` in bytes.
    pub metrics: u64,
}

/// A state to write, or one that was read.
pub(super) struct State {
    pub position: Position,
    /// By name.
    pub tensors: Vec<(String, Tensor)>,
}

/// The checkpoints of one training.
pub(super) struct Checkpoints {
    folder: PathBuf,
    /// What the training is of.
    identity: Value,
    at_least: Duration,
    begun: Instant,
    last: Instant,
    last_cost: Duration,
    cost: Duration,
}

impl Checkpoints {
    /// For a training of `identity`, in a folder of its own; `at_least` so much time from one to the next.
    pub fn new(folder: &Path, identity: Value, at_least: Duration) -> Self {
        let (begun, last_cost, cost) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        Self { folder: folder.to_path_buf(), identity, at_least, begun, last: begun, last_cost, cost }
    }

    /// Whether it is time for the next.
    pub fn due(&self) -> bool {
        self.last.elapsed() >= self.at_least.max(self.last_cost * INTERVAL)
    }

    /// Share of the time since the beginning that went into writing them.
    pub fn share(&self) -> f64 {
        self.cost.as_secs_f64() / self.begun.elapsed().as_secs_f64().max(1e-9)
    }

    /// Writes one, whole or not at all, then removes those that are no longer needed.
    ///
    /// # Errors
    /// If the disk is full or the folder cannot be written. The checkpoints before are still there.
    pub fn write(&mut self, state: &State) -> Result<()> {
        let start = Instant::now();
        let path = self.folder.join(format!("checkpoint-{:09}.safetensors", state.position.total));
        files::write(&path, &serialise(state, &self.identity)?)?;
        for old in existing(&self.folder)?.into_iter().skip(KEPT) {
            std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        self.last = Instant::now();
        self.last_cost = self.last - start;
        self.cost += self.last_cost;
        Ok(())
    }

    /// Removes all: the training is done.
    pub fn clear(&self) -> Result<()> {
        for path in existing(&self.folder)? {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The newest that is not damaged, or `None` where there is none at all.
    ///
    /// # Errors
    /// If it is of another training, or all of them are damaged.
    pub fn read(&self) -> Result<Option<State>> {
        let mut damaged = None;
        for path in existing(&self.folder)? {
            let parsed = files::read(&path, "ofa train").and_then(|bytes| parse(&bytes));
            match parsed {
                Ok((identity, state)) => {
                    self.check(&path, &identity)?;
                    return Ok(Some(state));
                }
                Err(error) => damaged = Some(error.context(format!("{} is damaged", path.display()))),
            }
        }
        damaged.map_or(Ok(None), |error| Err(error.context("no checkpoint can be read; begin again with --restart")))
    }

    fn check(&self, path: &Path, identity: &Value) -> Result<()> {
        if *identity == self.identity {
            return Ok(());
        }
        let (Value::Object(ours), Value::Object(theirs)) = (&self.identity, identity) else {
            bail!("{} is damaged: it does not say what it is of", path.display());
        };
        let differs: Vec<_> =
            ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).map(|(key, _)| key.as_str()).collect();
        bail!(
            "{} is of a training that differs in: {}; resume with what it began with, or begin again with --restart",
            path.display(),
            differs.join(", ")
        )
    }
}

/// The checkpoints in a folder, the newest first.
pub(super) fn existing(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("checkpoint-") && name.ends_with(".safetensors") {
            found.push(path);
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

fn serialise(state: &State, identity: &Value) -> Result<Vec<u8>> {
    let metadata = HashMap::from([
        ("identity".to_string(), identity.to_string()),
        ("position".to_string(), serde_json::to_string(&state.position)?),
    ]);
    let mut tensors = Vec::new();
    for (name, tensor) in &state.tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        let shape: Vec<usize> = tensor.size().iter().map(|&length| length as usize).collect();
        let mut bytes = vec![0; tensor.numel() * 4];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        tensors.push((name, shape, bytes));
    }
    let views =
        tensors.iter().map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))?)
}

fn parse(bytes: &[u8]) -> Result<(Value, State)> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let metadata = metadata.metadata().as_ref().context("it has no metadata")?;
    let entry = |key: &str| metadata.get(key).with_context(|| format!("its metadata lacks {key}"));
    let identity = serde_json::from_str(entry("identity")?)?;
    let position = serde_json::from_str(entry("position")?)?;
    let mut tensors = Vec::new();
    for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
        ensure!(view.dtype() == Dtype::F32, "tensor {name} is {:?}, not F32", view.dtype());
        let shape: Vec<i64> = view.shape().iter().map(|&length| length as i64).collect();
        tensors.push((name, Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?));
    }
    Ok((identity, State { position, tensors }))
}

impl State {
    /// Copies the tensor of that name into `to`.
    ///
    /// # Errors
    /// If there is none, or it has another shape.
    pub fn restore(&self, name: &str, to: &Tensor) -> Result<()> {
        let (_, tensor) =
            self.tensors.iter().find(|(of, _)| of == name).ok_or_else(|| anyhow!("the checkpoint lacks {name}"))?;
        ensure!(tensor.size() == to.size(), "{name} is {:?} in the checkpoint, not {:?}", tensor.size(), to.size());
        no_grad(|| to.shallow_clone().f_copy_(tensor))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(total: u64) -> State {
        let position = Position { phase: 1, step: 2, total, loss: Some(0.25), accuracy: 0.5, metrics: 9 };
        State { position, tensors: vec![("a".into(), Tensor::from_slice(&[1.0_f32, total as f32]))] }
    }

    fn checkpoints(folder: &Path, seed: u64) -> Checkpoints {
        Checkpoints::new(folder, json!({"seed": seed, "recipe": "r"}), Duration::ZERO)
    }

    #[test]
    fn two_are_kept_and_the_newest_whole_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = checkpoints(folder.path(), 1);
        assert!(checkpoints.read().unwrap().is_none());
        for total in [5, 90, 1000] {
            checkpoints.write(&state(total)).unwrap();
        }
        let files = existing(folder.path()).unwrap();
        assert_eq!(files.len(), 2);
        let read = checkpoints.read().unwrap().unwrap();
        assert_eq!((&read.position, &read.tensors), (&state(1000).position, &state(1000).tensors));
        std::fs::write(&files[0], &std::fs::read(&files[0]).unwrap()[..40]).unwrap();
        assert_eq!(checkpoints.read().unwrap().unwrap().position.total, 90);
        std::fs::write(&files[1], b"").unwrap();
        let error = format!("{:#}", checkpoints.read().err().unwrap());
        assert!(error.contains("--restart") && error.contains("checkpoint-000000090"), "{error}");
        checkpoints.clear().unwrap();
        assert!(checkpoints.read().unwrap().is_none());
    }

    /// Means of pixels have more digits than a hasty reader of numbers keeps.
    #[test]
    fn any_number_that_tells_trainings_apart_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let means: Vec<f64> = (1..1000).map(|i| f64::from(255.0 / i as f32)).collect();
        let open = || Checkpoints::new(folder.path(), json!({"mean": means}), Duration::ZERO);
        open().write(&state(5)).unwrap();
        assert!(open().read().unwrap().is_some());
    }

    #[test]
    fn that_of_another_training_is_refused_by_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        checkpoints(folder.path(), 1).write(&state(5)).unwrap();
        let error = checkpoints(folder.path(), 2).read().err().unwrap().to_string();
        assert!(error.contains("differs in: seed;"), "{error}");
    }
}
