//! A predictor's layers as plain matrix code.
//!
//! What it reads is one-hot, and ReLU makes about half of every other map 0: a map lists the values that are not, slice by
//! slice. A block of weights, from one slice to another, stays in the first cache while all nets of a batch pass it.
//!
//! ```text
//!            80 inputs k ──▶                 80 outputs
//!   net 0   ┌─────────────┐            k = 0 ┌───────────────┐
//!   net 1   │  slices of  │              …   │  a block of   │    sums[net][output] += value[k] · weight[k][output]
//!     …     │  the map    │           k = 79 │  the weights  │
//!           └─────────────┘                  └───────────────┘
//! ```
//!
//! A sum adds its products in the order of the inputs, each product rounded before it is added, whatever the vectors of
//! the processor are: lanes are different outputs, never parts of one sum. So the bits are the same on every processor,
//! in every build and on any number of threads.

use std::cell::RefCell;

use super::Dense;
use super::tile::Tile;

/// Values in a slice of a map: a fifth of the original's 400, and a block of 25 KB.
pub(super) const LANES: usize = 80;
/// The most nets that go through the layers together.
pub(super) const BATCH: usize = 128;

/// Layers with a ReLU between each two, as [`super::write_mlp`] takes them.
#[derive(Clone)]
pub(super) struct Network {
    layers: Vec<Layer>,
    tile: Tile,
}

#[derive(Clone)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Slice of the outputs × input; outputs that there are not weigh 0.
    weights: Vec<Lanes>,
    /// Slice of the outputs.
    bias: Vec<Lanes>,
}

/// A value for each output of a slice. Aligned, so that no vector of them lies in two lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes(pub [f32; LANES]);

/// The values of a slice of a net's map that are not 0.
#[derive(Clone)]
pub(super) struct Slice {
    count: usize,
    values: [Value; LANES],
}

#[derive(Clone, Copy, Default)]
pub(super) struct Value {
    /// In the slice.
    pub position: u32,
    pub value: f32,
}

/// What a batch fills.
#[derive(Default)]
struct Scratch {
    /// slice × net, and more
    map: Vec<Slice>,
    /// slice × net
    sums: Vec<Lanes>,
}

thread_local! {
    /// Kept, as memory that is got anew for each batch takes as long as a layer.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Network {
    /// # Panics
    /// If there are no layers.
    pub fn new(layers: &[Dense]) -> Self {
        assert!(!layers.is_empty(), "a network has layers");
        Self { layers: layers.iter().map(Layer::new).collect(), tile: Tile::detect() }
    }

    /// Length of its output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// The outputs of nets, net × output, of which each row lists its ones, ascending.
    pub fn run(&self, ones: &[impl AsRef<[u32]>]) -> Vec<f32> {
        SCRATCH.with_borrow_mut(|Scratch { map, sums }| {
            read(ones, self.layers[0].slices(), map);
            for (i, layer) in self.layers.iter().enumerate() {
                if i > 0 {
                    relu(sums, map);
                }
                layer.multiply(map, ones.len(), self.tile, sums);
            }
            let value = |net: usize, output: usize| sums[output / LANES * ones.len() + net].0[output % LANES];
            (0..ones.len()).flat_map(|net| (0..self.outputs()).map(move |output| value(net, output))).collect()
        })
    }
}

/// The map of the features, of so many slices.
fn read(ones: &[impl AsRef<[u32]>], slices: usize, map: &mut Vec<Slice>) {
    let map = room(map, slices * ones.len());
    map.iter_mut().for_each(|slice| slice.count = 0);
    for (net, row) in ones.iter().enumerate() {
        for one in row.as_ref().iter().map(|&one| one as usize) {
            map[one / LANES * ones.len() + net].push(one % LANES, 1.0);
        }
    }
}

/// Keeps what is above 0; a value that is no number stays.
fn relu(sums: &[Lanes], map: &mut Vec<Slice>) {
    for (slice, sums) in room(map, sums.len()).iter_mut().zip(sums) {
        let mut count = 0;
        // Without a branch, which would be guessed wrong every other time.
        for (position, &value) in (0..).zip(&sums.0) {
            slice.values[count] = Value { position, value };
            count += usize::from(value > 0.0 || value.is_nan());
        }
        slice.count = count;
    }
}

/// The first so many slices, whatever is in them.
fn room(map: &mut Vec<Slice>, count: usize) -> &mut [Slice] {
    if map.len() < count {
        map.resize(count, Slice::default());
    }
    &mut map[..count]
}

impl Layer {
    fn new(layer: &Dense) -> Self {
        let outputs = layer.bias.len();
        let lanes = |slice: usize, value: &dyn Fn(usize) -> f32| {
            let value = |lane| Some(slice * LANES + lane).filter(|&at| at < outputs).map_or(0.0, value);
            Lanes(std::array::from_fn(value))
        };
        let slices = 0..outputs.div_ceil(LANES);
        let input = |slice, input| lanes(slice, &|output| layer.weights[output * layer.inputs + input]);
        Self {
            inputs: layer.inputs,
            outputs,
            weights: slices.clone().flat_map(|slice| (0..layer.inputs).map(move |i| input(slice, i))).collect(),
            bias: slices.map(|slice| lanes(slice, &|output| layer.bias[output])).collect(),
        }
    }

    /// How many it reads of each net.
    fn slices(&self) -> usize {
        self.inputs.div_ceil(LANES)
    }

    /// What it makes of the map of so many nets, slice × net.
    fn multiply(&self, map: &[Slice], nets: usize, tile: Tile, sums: &mut Vec<Lanes>) {
        sums.clear();
        for (i, (bias, weights)) in self.bias.iter().zip(self.weights.chunks_exact(self.inputs)).enumerate() {
            let start = sums.len();
            sums.resize(start + nets, *bias);
            for (block, slices) in weights.chunks(LANES).zip(map.chunks_exact(nets)) {
                tile.add(block, slices, &mut sums[start..], self.outputs - i * LANES);
            }
        }
    }
}

impl Slice {
    pub fn push(&mut self, position: usize, value: f32) {
        self.values[self.count] = Value { position: position as u32, value };
        self.count += 1;
    }

    pub fn values(&self) -> &[Value] {
        &self.values[..self.count]
    }
}

impl Default for Slice {
    fn default() -> Self {
        Self { count: 0, values: [Value::default(); LANES] }
    }
}
