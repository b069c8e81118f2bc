//! A subnet on its own: its slice of the weights, with batch norm folded in.

use anyhow::{Context, Result};
use runtime::Layer;
use tch::{Device, Kind, Tensor, no_grad};

use super::weights::{Dense, Norm, Unit};
use super::{EPSILON, Statistics, Supernet};
use crate::files::Header;
use crate::space::Arch;
use crate::subnet::{Affine, Subnet};

impl Supernet {
    /// The net of this arch with these statistics, which computes what [`Supernet::predict`] does.
    ///
    /// # Errors
    /// If libtorch cannot hand out its values.
    pub(crate) fn extract(&self, arch: &Arch, statistics: &Statistics, header: Header) -> Result<Subnet> {
        let layers = self.space.layers(arch);
        let mut statistics = statistics.0.iter();
        let mut fold = |weight: &Tensor, norm: &Norm| {
            let (mean, variance) = statistics.next().context("statistics of another arch")?;
            let scale = &norm.weight / (variance + EPSILON).sqrt();
            affine(&(weight * scale.view([-1, 1, 1, 1])), &(&norm.bias - mean * &scale))
        };
        let parts = layers.iter().zip(self.space.slots(arch)).map(|(layer, slot)| {
            no_grad(|| match (layer, &self.units[slot]) {
                (Layer::Conv(_), Unit::Conv { weight, norm }) => Ok(vec![fold(weight, norm)?]),
                (Layer::Block(block), Unit::Block(weights)) => {
                    let hidden = i64::from(block.expanded);
                    let mut parts = Vec::new();
                    if let (true, Some((weight, norm))) = (block.expands(), &weights.expand) {
                        parts.push(fold(&weight.narrow(0, 0, hidden), &norm.first(hidden))?);
                    }
                    let kernel = weights.depthwise.kernel(block.kernel, hidden);
                    parts.push(fold(&kernel, &weights.depthwise_norm.first(hidden))?);
                    if let Some(attention) = &weights.attention {
                        for Dense { weight, bias } in attention.first(block) {
                            parts.push(affine(&weight, &bias)?);
                        }
                    }
                    parts.push(fold(&weights.project.narrow(1, 0, hidden), &weights.project_norm)?);
                    Ok(parts)
                }
                (Layer::Pool(_), Unit::Pool) => Ok(vec![]),
                (Layer::Linear(_), Unit::Linear(Dense { weight, bias })) => Ok(vec![affine(weight, bias)?]),
                _ => unreachable!("units are made from the same walk"),
            })
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Subnet {
            header,
            arch: arch.clone(),
            normalisation: self.normalisation.clone(),
            layers: layers.into_iter().zip(parts).collect(),
        })
    }
}

/// From libtorch's order, out × in × kh × kw, to out × kh × kw × in.
fn affine(weight: &Tensor, bias: &Tensor) -> Result<Affine> {
    let weight = if weight.dim() == 4 { weight.permute([0, 2, 3, 1]) } else { weight.shallow_clone() };
    Ok(Affine { weights: values(&weight)?, bias: values(bias)? })
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Ok(Vec::try_from(&flat)?)
}
