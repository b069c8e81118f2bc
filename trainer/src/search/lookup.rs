//! What nets cost, by looking it up: no net is walked layer by layer.
//!
//! Ticks, flash and MACs are sums over the layers, but that a stem and a first block that run as one have ticks of their
//! own. The arena is what the runtime's planner makes of what each layer
//! [needs](runtime::Needs), which is computed once for each layer of the space.
//!
//! Each net is looked up whole. To keep its stages' sums, for nets that differ from it in one choice, takes as many
//! instructions as it spares.

use runtime::{Layer, Needs, arena_of};

use super::cost::{Cost, Costs};
use super::genes::{Coding, Genes, Stage};
use crate::model::{flash_bytes, joined_bytes};
use crate::space::{Arch, BlockArch, Space};

/// Room for the layers of most nets.
const MOST_LAYERS: usize = 32;

/// The costs of all nets of a space on one board.
pub(super) struct Lookup {
    has_latency: bool,
    classes: Vec<Class>,
    /// One for each resolution; `None` where it is not open to the search.
    sizes: Vec<Option<Size>>,
}

/// What a net costs, and how many of its layers the board refuses; their ticks are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Totals {
    pub refused: u32,
    pub cost: Cost,
}

impl Totals {
    /// `None` where the board refuses a layer.
    pub fn cost(&self) -> Option<Cost> {
        (self.refused == 0).then_some(self.cost)
    }
}

/// Blocks that have the same layers: the first of a stage, or the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Class {
    stage: usize,
    later: bool,
    /// Of its first kind among the parts of a [`Size`].
    start: usize,
    kinds: usize,
}

/// All that depends on the resolution.
struct Size {
    /// Of all layers that are in every net.
    fixed: Sums,
    /// What the first one needs.
    stem: Needs,
    /// What those behind the blocks need.
    head: Vec<Needs>,
    /// Blocks, by class and kind.
    blocks: Vec<Part>,
}

/// A block's share of a net's costs.
#[derive(Clone, Copy)]
struct Part {
    sums: Sums,
    needs: Needs,
    /// Bytes that the stem and it need as one, if it comes first and they can run so.
    joined: Option<usize>,
    /// Ticks that the two take beyond those of each alone, if it comes first.
    beyond: i64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    ticks: u64,
    refused: u32,
    flash: u64,
    macs: u64,
}

impl Lookup {
    /// Of the resolutions that are open.
    pub fn new(space: &Space, coding: &Coding, costs: &Costs, open: &[u16]) -> Self {
        let mut classes: Vec<Class> = vec![];
        for (stage, choices) in coding.stages().iter().enumerate() {
            for later in [false, true].into_iter().take(choices.max_depth()) {
                let start = classes.last().map_or(0, |class| class.start + class.kinds);
                classes.push(Class { stage, later, start, kinds: choices.choices() });
            }
        }
        let size = |&side: &u16| open.contains(&side).then(|| Size::new(space, coding, costs, &classes, side));
        let sizes = space.input.resolutions.0.iter().map(size).collect();
        Self { has_latency: costs.unit().is_some(), classes, sizes }
    }

    /// What a net costs whose resolution is open.
    pub fn totals(&self, coding: &Coding, genes: &Genes) -> Totals {
        let size = self.sizes[genes.resolution()].as_ref().expect("the resolution is open");
        let mut sums = size.fixed;
        let mut needs = Vec::with_capacity(MOST_LAYERS);
        needs.push(size.stem);
        let mut joined = None;
        for class in &self.classes {
            for kind in class.of(coding, genes) {
                let part = &size.blocks[class.start + kind];
                sums.add(part.sums);
                if needs.len() == 1 {
                    joined = part.joined;
                    sums.ticks = sums.ticks.saturating_add_signed(part.beyond);
                }
                needs.push(part.needs);
            }
        }
        needs.extend_from_slice(&size.head);
        let cost = Cost {
            latency: self.has_latency.then_some(sums.ticks),
            sram_bytes: arena_of(&needs, joined) as u64,
            flash_bytes: sums.flash,
            macs: sums.macs,
        };
        Totals { refused: sums.refused, cost }
    }
}

impl Sums {
    fn of(layer: &Layer, costs: &Costs) -> Self {
        Self {
            ticks: costs.ticks(layer).unwrap_or(0),
            refused: u32::from(costs.unit().is_some() && costs.ticks(layer).is_none()),
            flash: flash_bytes(&[*layer]) as u64,
            macs: layer.macs(),
        }
    }

    fn add(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.refused += other.refused;
        self.flash += other.flash;
        self.macs += other.macs;
    }
}

impl Class {
    /// The kinds of those of a net's blocks that are of this class.
    fn of(self, coding: &Coding, genes: &Genes) -> impl Iterator<Item = usize> {
        let (skip, take) = if self.later { (1, usize::MAX) } else { (0, 1) };
        genes.blocks(&coding.stages()[self.stage]).skip(skip).take(take)
    }
}

impl Size {
    fn new(space: &Space, coding: &Coding, costs: &Costs, classes: &[Class], side: u16) -> Self {
        let most = coding.stages().iter().map(Stage::choices).max().unwrap_or(0);
        let count = classes.last().map_or(0, |class| class.start + class.kinds);
        let mut layers: Vec<Option<Layer>> = vec![None; count];
        let mut fixed = vec![];
        // Nets in which all blocks agree show every layer.
        for kind in 0..most {
            let block = |stage: &Stage| {
                let kind = kind.min(stage.choices() - 1);
                let (kernels, expands) = (&stage.kernels, &stage.expands);
                BlockArch { kernel: kernels[kind / expands.len()], expand: expands[kind % expands.len()] }
            };
            let stages = coding.stages().iter().map(|stage| vec![block(stage); stage.max_depth()]).collect();
            let mut net = space.layers(&Arch { resolution: side, stages }).into_iter();
            fixed = net.by_ref().take(1).collect();
            for (stage, choices) in coding.stages().iter().enumerate() {
                let blocks: Vec<_> = net.by_ref().take(choices.max_depth()).collect();
                for class in classes.iter().filter(|class| class.stage == stage) {
                    layers[class.start + kind.min(class.kinds - 1)] = Some(blocks[usize::from(class.later)]);
                }
            }
            fixed.extend(net);
        }
        let mut sums = Sums { flash: costs.code_bytes(), ..Sums::default() };
        fixed.iter().for_each(|layer| sums.add(Sums::of(layer, costs)));
        let stem = fixed[0];
        let part = |layer: Layer| Part {
            sums: Sums::of(&layer, costs),
            needs: layer.needs(),
            joined: joined_bytes(&[stem, layer]),
            beyond: costs.beyond(&[stem, layer]),
        };
        Self {
            fixed: sums,
            stem: stem.needs(),
            head: fixed[1..].iter().map(Layer::needs).collect(),
            blocks: layers.into_iter().flatten().map(part).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::table::Clock;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// What is looked up is what a walk of the net comes to: stages that begin in place and others, an odd number of
    /// layers that move the map, a board that refuses layers, openings that take more or less than their layers alone.
    #[test]
    fn what_is_looked_up_is_what_the_net_costs() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let toy = Space::parse(include_str!("toy.toml"), "toy").unwrap();
        let built_in = ["fashion", "mcu", "mobilenetv3"].map(|name| Space::load(name).unwrap());
        for space in built_in.into_iter().chain([toy]) {
            let resolutions = &space.input.resolutions.0;
            let open: Vec<u16> = resolutions.iter().copied().step_by(2).collect();
            let ticks = |layer: &Layer| (!layer.parameters().is_multiple_of(13)).then(|| layer.macs() as u32 / 7 + 1);
            let alone =
                Costs::of_board(&space, "b", Clock { unit: "ticks", hz: None }, 777, |layer| Some(ticks(layer)))
                    .unwrap();
            let together = |(i, pair): (usize, [Layer; 2])| {
                let [stem, block] = pair.map(|layer| ticks(&layer).unwrap_or(0));
                (pair, if i % 2 == 0 { stem + block + 999 } else { block / 2 })
            };
            let board = alone.with_openings(space.openings().into_iter().enumerate().map(together));
            for costs in [Costs::without_board(), board] {
                let coding = Coding::new(&space, &open);
                let lookup = Lookup::new(&space, &coding, &costs, &open);
                for _ in 0..300 {
                    let genes = coding.sample(&mut rng);
                    let layers = space.layers(&coding.arch(&genes));
                    let totals = lookup.totals(&coding, &genes);
                    assert_eq!(totals.cost(), costs.of(&layers), "{}: {genes:?}", space.name);
                    assert_eq!(totals, lookup.totals(&coding, &genes), "asked again");
                    let refused = layers.iter().filter(|layer| ticks(layer).is_none()).count() as u32;
                    assert_eq!(totals.refused, if costs.unit().is_some() { refused } else { 0 });
                }
            }
        }
    }
}
