//! `supernet.safetensors`: the weights, and in its metadata a header, the space and the normalisation.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::SeedableRng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor, no_grad};

use super::Supernet;
use crate::dataset::Normalisation;
use crate::files::{self, Header};
use crate::space::Space;

const FORMAT: &str = "ofa-supernet";
const MADE_BY: &str = "ofa train";

impl Supernet {
    /// Writes weights and metadata; `seed` is the seed of the training.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, seed: u64) -> Result<()> {
        let header = Header::new(FORMAT, &self.space.hash(), seed);
        let metadata = HashMap::from([
            ("header".to_string(), serde_json::to_string(&header)?),
            ("space".to_string(), serde_json::to_string(&self.space)?),
            ("normalisation".to_string(), serde_json::to_string(&self.normalisation)?),
        ]);
        let mut tensors = Vec::new();
        for (name, tensor) in self.variables.variables() {
            let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
            let shape: Vec<usize> = tensor.size().iter().map(|&length| length as usize).collect();
            let values: Vec<f32> = Vec::try_from(&tensor.view([-1]))?;
            tensors.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
        }
        tensors.sort();
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
        let views = views.collect::<Result<Vec<_>>>()?;
        files::write(path, &safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads what [`Supernet::save`] wrote, and the seed of the training.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn load(path: &Path, device: Device) -> Result<(Self, u64)> {
        let bytes = files::read(path, MADE_BY)?;
        Self::parse(&bytes, path, device).with_context(|| format!("{} is damaged; run: {MADE_BY}", path.display()))
    }

    fn parse(bytes: &[u8], path: &Path, device: Device) -> Result<(Self, u64)> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let metadata = metadata.metadata().as_ref().context("it has no metadata")?;
        let header: Header = entry(metadata, "header")?;
        let space: Space = entry(metadata, "space")?;
        let normalisation: Normalisation = entry(metadata, "normalisation")?;
        header.expect(path, FORMAT, &space.hash(), MADE_BY)?;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let supernet = Self::new(&space, normalisation, device, &mut rng)?;
        let stored = SafeTensors::deserialize(bytes)?;
        let variables = supernet.variables.variables();
        ensure!(stored.len() == variables.len(), "{} tensors instead of {}", stored.len(), variables.len());
        for (name, variable) in variables {
            let tensor = stored.tensor(&name).map_err(|error| anyhow!("tensor {name}: {error}"))?;
            let shape: Vec<i64> = tensor.shape().iter().map(|&length| length as i64).collect();
            if tensor.dtype() != Dtype::F32 || shape != variable.size() {
                bail!("tensor {name} is {:?} {shape:?}, not F32 {:?}", tensor.dtype(), variable.size());
            }
            let value = Tensor::f_from_data_size(tensor.data(), &shape, Kind::Float)?;
            no_grad(|| variable.shallow_clone().f_copy_(&value))?;
        }
        Ok((supernet, header.seed))
    }
}

fn entry<T: DeserializeOwned>(metadata: &HashMap<String, String>, key: &str) -> Result<T> {
    let text = metadata.get(key).with_context(|| format!("its metadata lacks {key}"))?;
    serde_json::from_str(text).with_context(|| format!("{key} in its metadata"))
}
