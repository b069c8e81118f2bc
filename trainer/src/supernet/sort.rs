//! Channels in order of importance, so that a narrower block keeps the best ones.

use runtime::Layer;
use tch::{Kind, Tensor, no_grad};

use super::Supernet;
use super::weights::{BlockWeights, Norm, Unit};

impl Supernet {
    /// Sorts the hidden channels of every block by the L1 norm of the projecting weights that read them
    /// (once-for-all, section 3.2), the most important first. The largest net's function does not change.
    ///
    /// The `open` widest choices of the expand ratio may be in use already: channels then stay inside the
    /// groups that these part, or the subnets that use them would change.
    pub fn sort_channels(&mut self, open: usize) {
        let nets: Vec<_> = (0..open).rev().map(|steps| self.space.layers(&self.space.narrowed(steps))).collect();
        for (slot, unit) in self.units.iter().enumerate() {
            if let Unit::Block(weights) = unit {
                let width = |layers: &Vec<Layer>| match &layers[slot] {
                    Layer::Block(block) => i64::from(block.expanded),
                    _ => unreachable!("units are made from the same walk"),
                };
                weights.sort(&nets.iter().map(width).collect::<Vec<_>>());
            }
        }
    }
}

impl BlockWeights {
    /// Sorts the channels inside each group; groups end before the channels `ends`, ascending.
    fn sort(&self, ends: &[i64]) {
        let Some((expand, expand_norm)) = &self.expand else { return };
        let importance = self.project.abs().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Float);
        let mut start = 0;
        let groups = ends.iter().map(|&end| {
            let order = importance.narrow(0, start, end - start).argsort(0, true) + start;
            start = end;
            order
        });
        let order = Tensor::cat(&groups.collect::<Vec<_>>(), 0);
        no_grad(|| {
            let vectors = [expand_norm, &self.depthwise_norm].map(|Norm { weight, bias }| [weight, bias]);
            for tensor in [expand, &self.depthwise.largest].into_iter().chain(vectors.into_iter().flatten()) {
                tensor.shallow_clone().copy_(&tensor.index_select(0, &order));
            }
            self.project.shallow_clone().copy_(&self.project.index_select(1, &order));
        });
    }
}
