//! A predictor's layers as plain matrix code.
//!
//! What it reads is one-hot, so the first layer is a sum of columns. The others are matrices, four nets times sixteen
//! outputs at a time; an input that is 0 for all four nets, as ReLU makes many, is skipped.
//!
//! ```text
//!            input k ──▶                     16 outputs
//!   net 0   ┌──┬──┬──┐          k = 0  ┌────────────────┐
//!     …     │  │  │  │             …   │   a panel of   │    sums[net][output] += value[k][net] · weight[k][output]
//!   net 3   └──┴──┴──┘                 │  the weights   │
//!                                      └────────────────┘
//! ```
//!
//! A sum adds its products in the order of the inputs, each product rounded before it is added, whatever the vectors of
//! the processor are: lanes are different outputs, never parts of one sum. So the bits are the same on every processor,
//! in every build and on any number of threads.

use super::Dense;
use super::tile::Tile;

/// Nets side by side.
pub(super) const NETS: usize = 4;
/// Outputs side by side.
pub(super) const LANES: usize = 16;
/// Groups of [`NETS`] nets that go through the layers together: they share a panel of weights while it is in the cache.
const GROUPS: usize = 8;
/// Nets that a thread takes at a time.
pub(super) const BATCH: usize = GROUPS * NETS;

/// Layers with a ReLU between each two, as [`super::write_mlp`] takes them.
#[derive(Clone)]
pub(super) struct Network {
    first: Columns,
    rest: Vec<Panels>,
    outputs: usize,
    tile: Tile,
}

/// The layer that reads features: for each a column of weights.
#[derive(Clone)]
struct Columns {
    /// feature × output
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// A layer that reads another one.
#[derive(Clone)]
struct Panels {
    inputs: usize,
    /// panel × input × lane; outputs that there are not weigh 0.
    weights: Vec<[f32; LANES]>,
    /// panel × lane
    bias: Vec<[f32; LANES]>,
}

/// A map of [`NETS`] nets: the positions whose value is not 0 for all of them, and those values.
struct Group {
    positions: Vec<u32>,
    values: Vec<[f32; NETS]>,
}

impl Network {
    /// # Panics
    /// If there are no layers.
    pub fn new(layers: &[Dense]) -> Self {
        let (first, rest) = layers.split_first().expect("a network has layers");
        let outputs = first.bias.len();
        let column = |input: usize| (0..outputs).map(move |output| first.weights[output * first.inputs + input]);
        Self {
            first: Columns { weights: (0..first.inputs).flat_map(column).collect(), bias: first.bias.clone() },
            rest: rest.iter().map(Panels::new).collect(),
            outputs: layers[layers.len() - 1].bias.len(),
            tile: Tile::detect(),
        }
    }

    /// Length of its output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The outputs of at most [`BATCH`] nets, net × output, of which each row lists its ones.
    pub fn run(&self, ones: &[impl AsRef<[u32]>]) -> Vec<f32> {
        let mut maps: Vec<Group> = ones.chunks(NETS).map(|rows| self.first.map(rows)).collect();
        for layer in &self.rest {
            maps.iter_mut().for_each(Group::relu);
            maps = layer.multiply(&maps, self.tile);
        }
        let mut outputs = vec![0.0; ones.len() * self.outputs];
        for (i, row) in outputs.chunks_exact_mut(self.outputs).enumerate() {
            let values = &maps[i / NETS].values;
            row.iter_mut().zip(values).for_each(|(output, value)| *output = value[i % NETS]);
        }
        outputs
    }
}

impl Columns {
    fn map(&self, rows: &[impl AsRef<[u32]>]) -> Group {
        let outputs = self.bias.len();
        let mut values = vec![[0.0; NETS]; outputs];
        let mut sums = vec![];
        for (net, row) in rows.iter().enumerate() {
            sums.clone_from(&self.bias);
            let column = |&one: &u32| &self.weights[one as usize * outputs..][..outputs];
            // Four columns at a time, so that a sum is loaded once for them.
            let (fours, rest) = row.as_ref().as_chunks::<4>();
            for ones in fours {
                let [a, b, c, d] = ones.each_ref().map(column);
                for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *sum = *sum + a + b + c + d;
                }
            }
            for column in rest.iter().map(column) {
                sums.iter_mut().zip(column).for_each(|(sum, weight)| *sum += weight);
            }
            values.iter_mut().zip(&sums).for_each(|(value, sum)| value[net] = *sum);
        }
        Group::dense(values)
    }
}

impl Panels {
    fn new(layer: &Dense) -> Self {
        let outputs = layer.bias.len();
        let lanes = |panel: usize, value: &dyn Fn(usize) -> f32| {
            std::array::from_fn(|lane| Some(panel * LANES + lane).filter(|&at| at < outputs).map_or(0.0, value))
        };
        let panels = 0..outputs.div_ceil(LANES);
        let input = |panel, input| lanes(panel, &|output| layer.weights[output * layer.inputs + input]);
        Self {
            inputs: layer.inputs,
            weights: panels.clone().flat_map(|panel| (0..layer.inputs).map(move |i| input(panel, i))).collect(),
            bias: panels.map(|panel| lanes(panel, &|output| layer.bias[output])).collect(),
        }
    }

    /// What it makes of each map.
    fn multiply(&self, maps: &[Group], tile: Tile) -> Vec<Group> {
        let mut outputs = vec![vec![[0.0; NETS]; self.bias.len() * LANES]; maps.len()];
        for (p, (weights, bias)) in self.weights.chunks_exact(self.inputs).zip(&self.bias).enumerate() {
            for (map, output) in maps.iter().zip(&mut outputs) {
                let sums = tile.sums(weights, bias, &map.positions, &map.values);
                for (lane, values) in output[p * LANES..][..LANES].iter_mut().enumerate() {
                    *values = std::array::from_fn(|net| sums[net][lane]);
                }
            }
        }
        outputs.into_iter().map(Group::dense).collect()
    }
}

impl Group {
    /// A map that holds all its values.
    fn dense(values: Vec<[f32; NETS]>) -> Self {
        Self { positions: (0..values.len() as u32).collect(), values }
    }

    /// Keeps what is above 0; a value that is no number stays.
    fn relu(&mut self) {
        let mut kept = 0;
        for i in 0..self.values.len() {
            let values = self.values[i].map(|value| if value < 0.0 { 0.0 } else { value });
            self.values[kept] = values;
            self.positions[kept] = self.positions[i];
            kept += usize::from(values.iter().any(|&value| value != 0.0));
        }
        self.values.truncate(kept);
        self.positions.truncate(kept);
    }
}
