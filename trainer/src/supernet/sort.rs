//! Channels in order of importance, so that a narrower block keeps the best ones.

use runtime::{Block, Layer};
use tch::{Kind, Tensor, no_grad};

use super::Supernet;
use super::weights::{Attention, BlockWeights, Norm, Unit};

impl Supernet {
    /// Sorts the hidden channels of every block by the L1 norm of the projecting weights that read them
    /// (once-for-all, section 3.3), and the squeezed channels by that of the exciting weights, the most important
    /// first. The largest net's function does not change.
    ///
    /// The `open` widest choices of the expand ratio may be in use already: channels then stay inside the
    /// groups that these part, or the subnets that use them would change.
    pub(crate) fn sort_channels(&mut self, open: usize) {
        let nets: Vec<_> = (0..open).rev().map(|steps| self.space.layers(&self.space.narrowed(steps))).collect();
        for (slot, unit) in self.units.iter().enumerate() {
            if let Unit::Block(weights) = unit {
                let block = |layers: &Vec<Layer>| match layers[slot] {
                    Layer::Block(block) => block,
                    _ => unreachable!("units are made from the same walk"),
                };
                no_grad(|| weights.sort(&nets.iter().map(block).collect::<Vec<_>>()));
            }
        }
    }
}

impl BlockWeights {
    /// Sorts the channels inside each group; groups end where one of the blocks, ascending, does.
    fn sort(&self, blocks: &[Block]) {
        let Some((expand, expand_norm)) = &self.expand else { return };
        let importance = self.project.abs().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Float);
        let order = self::order(&importance, blocks.iter().map(|block| block.expanded));
        let vectors = [expand_norm, &self.depthwise_norm].map(|Norm { weight, bias }| [weight, bias]);
        for tensor in [expand, &self.depthwise.largest].into_iter().chain(vectors.into_iter().flatten()) {
            reorder(tensor, 0, &order);
        }
        reorder(&self.project, 1, &order);
        let Some(Attention { squeeze, excite }) = &self.attention else { return };
        reorder(&squeeze.weight, 1, &order);
        reorder(&excite.weight, 0, &order);
        reorder(&excite.bias, 0, &order);
        let importance = excite.weight.abs().sum_dim_intlist([0].as_slice(), false, Kind::Float);
        let order = self::order(&importance, blocks.iter().map(|block| block.squeeze));
        reorder(&squeeze.weight, 0, &order);
        reorder(&squeeze.bias, 0, &order);
        reorder(&excite.weight, 1, &order);
    }
}

/// Positions by falling importance inside each group; groups end before `ends`, ascending.
fn order(importance: &Tensor, ends: impl Iterator<Item = u16>) -> Tensor {
    let mut start = 0;
    let groups = ends.map(|end| {
        let group = importance.narrow(0, start, i64::from(end) - start).argsort(0, true) + start;
        start = i64::from(end);
        group
    });
    Tensor::cat(&groups.collect::<Vec<_>>(), 0)
}

fn reorder(tensor: &Tensor, dimension: i64, order: &Tensor) {
    tensor.shallow_clone().copy_(&tensor.index_select(dimension, order));
}
