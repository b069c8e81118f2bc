//! A net layer by layer, for those who keep the maps between: nets that begin alike share what these layers compute.

use runtime::Layer;
use tch::{Tensor, no_grad};

use super::{Norm, Statistics, Supernet};

impl Supernet {
    /// What a net's first layer reads, of float pixels, batch × channels × height × width.
    pub(crate) fn first_map(&self, pixels: &Tensor) -> Tensor {
        no_grad(|| self.input(pixels))
    }

    /// One layer of a net with the weights in `slot`, normalised by the map's own statistics, which come with it: a
    /// step of [`Supernet::statistics`].
    pub(crate) fn measure_layer(&self, layer: &Layer, slot: usize, map: &Tensor) -> (Tensor, Statistics) {
        let mut measured = Vec::new();
        let mut normalise = |map: &Tensor, norm: &Norm| norm.measure(map, &mut measured);
        let output = no_grad(|| self.apply(layer, slot, map, &mut normalise));
        (output, Statistics(measured))
    }

    /// The same layer, normalised by the statistics given: a step of [`Supernet::predict`].
    pub(crate) fn predict_layer(&self, layer: &Layer, slot: usize, map: &Tensor, statistics: &Statistics) -> Tensor {
        let mut measured = statistics.0.iter();
        let mut normalise = |map: &Tensor, norm: &Norm| norm.apply(map, measured.next(), false, 0.0);
        no_grad(|| self.apply(layer, slot, map, &mut normalise))
    }
}
