//! `supernet.safetensors`: the weights, and in its metadata a header, the space and the normalisation.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::SeedableRng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::Supernet;
use crate::dataset::Normalisation;
use crate::files::{self, Header};
use crate::space::Space;

const FORMAT: &str = "ofa-supernet";
const MADE_BY: &str = "ofa train";

/// The key of the metadata's only entry: [`About`] as JSON.
const ENTRY: &str = "ofa";

/// What the file says of itself.
#[derive(Serialize, Deserialize)]
struct About {
    header: Header,
    space: Space,
    normalisation: Normalisation,
}

impl Supernet {
    /// Writes weights and metadata; `seed` is the seed of the training.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, seed: u64) -> Result<()> {
        let header = Header::new(FORMAT, &self.space.hash(), seed);
        let about = About { header, space: self.space.clone(), normalisation: self.normalisation.clone() };
        // One entry alone: several would come in another order each time, and files of equal supernets would differ.
        let metadata = HashMap::from([(ENTRY.to_string(), serde_json::to_string(&about)?)]);
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
        let metadata = metadata.metadata().as_ref().and_then(|metadata| metadata.get(ENTRY));
        let About { header, space, normalisation } =
            serde_json::from_str(metadata.context("its metadata is missing")?).context("its metadata")?;
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
