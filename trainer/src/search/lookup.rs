//! What nets cost, by looking it up: no net is walked layer by layer.
//!
//! Ticks, flash and MACs are sums over the layers. The arena is a maximum over segments of the net. A layer that does
//! not write over its own input moves the map from the arena's start to somewhere behind it, and the next such layer
//! moves it back; between those two and after them lie the blocks that write in place:
//!
//! ```text
//!   segment 0                                 segment 1
//!   stem ─▶ block … block ─▶ block ─▶ block … │ block ─▶ block … block ─▶ head │ …
//!   away    in place         back    in place │ away    in place         back
//! ```
//!
//! Each segment begins with its map at the arena's start, so what it needs is the planner's answer for those few layers
//! alone, remembered once asked.
//!
//! Each net is looked up whole. To keep its stages' sums, for nets that differ from it in one choice, takes as many
//! instructions as it spares.

use std::sync::atomic::{AtomicU32, Ordering};

use runtime::Layer;

use super::cost::{Cost, Costs};
use super::genes::{Coding, Genes, Stage};
use crate::model::{arena_bytes, flash_bytes};
use crate::space::{Arch, BlockArch, Space};

/// The costs of all nets of a space on one board.
pub(super) struct Lookup {
    has_latency: bool,
    classes: Vec<Class>,
    segments: Vec<Segment>,
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

/// A layer that moves the map.
#[derive(Clone, Copy, Debug)]
enum Mover {
    /// The same in all nets of a resolution, by its place among the fixed layers.
    Fixed(usize),
    /// The first block of a stage, by its class.
    Block(usize),
}

/// Layers from the arena's start back to it. The offsets are into a [`Size`]'s memory.
struct Segment {
    away: Mover,
    back: Option<Mover>,
    pair: usize,
    between: Vec<(usize, usize)>,
    after: Vec<(usize, usize)>,
}

/// All that depends on the resolution.
struct Size {
    fixed: Vec<Layer>,
    fixed_part: Part,
    layers: Vec<Layer>,
    parts: Vec<Part>,
    /// Bytes of arenas that were asked for, plus one; 0: not yet.
    memory: Vec<AtomicU32>,
}

#[derive(Clone, Copy, Default)]
struct Part {
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
        let mut sizes: Vec<_> = space
            .input
            .resolutions
            .0
            .iter()
            .map(|&side| open.contains(&side).then(|| Size::new(space, coding, costs, &classes, side)))
            .collect();
        let mut segments = vec![];
        if let Some(size) = sizes.iter().flatten().next() {
            let length;
            (segments, length) = segment(size, &classes);
            for size in sizes.iter_mut().flatten() {
                size.memory.resize_with(length, || AtomicU32::new(0));
            }
        }
        Self { has_latency: costs.unit().is_some(), classes, segments, sizes }
    }

    /// What a net costs whose resolution is open.
    pub fn totals(&self, coding: &Coding, genes: &Genes) -> Totals {
        let size = self.sizes[genes.resolution()].as_ref().expect("the resolution is open");
        let mut sum = size.fixed_part;
        for class in &self.classes {
            for kind in class.of(coding, genes) {
                let part = &size.parts[class.start + kind];
                sum.ticks += part.ticks;
                sum.refused += part.refused;
                sum.flash += part.flash;
                sum.macs += part.macs;
            }
        }
        let segments = self.segments.iter().map(|segment| self.arena(segment, size, coding, genes));
        let cost = Cost {
            latency: self.has_latency.then_some(sum.ticks),
            sram_bytes: segments.max().unwrap_or(0).into(),
            flash_bytes: sum.flash,
            macs: sum.macs,
        };
        Totals { refused: sum.refused, cost }
    }

    fn arena(&self, segment: &Segment, size: &Size, coding: &Coding, genes: &Genes) -> u32 {
        let mover = |mover: Mover| match mover {
            Mover::Fixed(at) => (0, 1, size.fixed[at]),
            Mover::Block(class) => {
                let class = &self.classes[class];
                let kind = class.of(coding, genes).next().expect("a stage has a block");
                (kind, class.kinds, size.layers[class.start + kind])
            }
        };
        let (a, _, away) = mover(segment.away);
        let (b, kinds, back) = segment.back.map_or((0, 1, None), |back| {
            let (kind, kinds, layer) = mover(back);
            (kind, kinds, Some(layer))
        });
        let mut most = size.remember(segment.pair + a * kinds + b, || [Some(away), back].into_iter().flatten());
        for &(class, memory) in &segment.between {
            let class = &self.classes[class];
            for kind in class.of(coding, genes) {
                let block = size.layers[class.start + kind];
                let at = memory + (a * class.kinds + kind) * kinds + b;
                most = most.max(size.remember(at, || [Some(away), Some(block), back].into_iter().flatten()));
            }
        }
        for &(class, memory) in &segment.after {
            let class = &self.classes[class];
            for kind in class.of(coding, genes) {
                let block = size.layers[class.start + kind];
                most = most.max(size.remember(memory + kind, || [block].into_iter()));
            }
        }
        most
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
        let layers: Vec<Layer> = layers.into_iter().flatten().collect();
        let part = |layer: &Layer| Part {
            ticks: costs.ticks(layer).unwrap_or(0),
            refused: u32::from(costs.unit().is_some() && costs.ticks(layer).is_none()),
            flash: flash_bytes(&[*layer]) as u64,
            macs: layer.macs(),
        };
        let mut fixed_part = Part { flash: costs.code_bytes(), ..Part::default() };
        for part in fixed.iter().map(part) {
            fixed_part.ticks += part.ticks;
            fixed_part.refused += part.refused;
            fixed_part.flash += part.flash;
            fixed_part.macs += part.macs;
        }
        Self { parts: layers.iter().map(part).collect(), layers, fixed, fixed_part, memory: vec![] }
    }

    /// The arena that these layers need. Whichever thread asks first, the answer is the same.
    fn remember<I: Iterator<Item = Layer>>(&self, at: usize, layers: impl Fn() -> I) -> u32 {
        let known = self.memory[at].load(Ordering::Relaxed);
        if known > 0 {
            return known - 1;
        }
        let bytes = arena_bytes(&layers().collect::<Vec<_>>()) as u32;
        self.memory[at].store(bytes + 1, Ordering::Relaxed);
        bytes
    }
}

/// The segments of a space's nets, and how much they remember together.
fn segment(size: &Size, classes: &[Class]) -> (Vec<Segment>, usize) {
    let mut segments: Vec<Segment> = vec![];
    let mut length = 0;
    let mut take = |count: usize| {
        length += count;
        length - count
    };
    let kinds = |mover: Mover| match mover {
        Mover::Fixed(_) => 1,
        Mover::Block(class) => classes[class].kinds,
    };
    let blocks = (0..classes.len()).map(|class| (Mover::Block(class), size.layers[classes[class].start]));
    let fixed = |at: usize| (Mover::Fixed(at), size.fixed[at]);
    // Blocks in place wait until it is known what moves the map back: that decides where they lie.
    let mut in_place: Vec<usize> = vec![];
    for (mover, layer) in [fixed(0)].into_iter().chain(blocks).chain((1..size.fixed.len()).map(fixed)) {
        let residual = matches!(layer, Layer::Block(block) if block.residual);
        match (mover, segments.last_mut()) {
            (Mover::Block(class), Some(Segment { back: Some(_), after, .. })) if residual => {
                after.push((class, take(classes[class].kinds)));
            }
            (Mover::Block(class), _) if residual => in_place.push(class),
            (_, Some(segment)) if segment.back.is_none() => {
                segment.back = Some(mover);
                close(segment, &mut in_place, &mut take, &kinds);
            }
            _ => segments.push(Segment { away: mover, back: None, pair: 0, between: vec![], after: vec![] }),
        }
    }
    if let Some(segment) = segments.last_mut().filter(|segment| segment.back.is_none()) {
        close(segment, &mut in_place, &mut take, &kinds);
    }
    (segments, length)
}

fn close(
    segment: &mut Segment,
    in_place: &mut Vec<usize>,
    take: &mut impl FnMut(usize) -> usize,
    kinds: &impl Fn(Mover) -> usize,
) {
    let ends = kinds(segment.away) * segment.back.map_or(1, kinds);
    segment.pair = take(ends);
    segment.between = in_place.drain(..).map(|class| (class, take(ends * kinds(Mover::Block(class))))).collect();
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// What is looked up is what a walk of the net comes to: stages that begin in place and others, an odd number of
    /// layers that move the map, a board that refuses layers.
    #[test]
    fn what_is_looked_up_is_what_the_net_costs() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let toy = Space::parse(include_str!("toy.toml"), "toy").unwrap();
        let built_in = ["fashion", "mcu", "mobilenetv3"].map(|name| Space::load(name).unwrap());
        for space in built_in.into_iter().chain([toy]) {
            let resolutions = &space.input.resolutions.0;
            let open: Vec<u16> = resolutions.iter().copied().step_by(2).collect();
            let ticks = |layer: &Layer| (!layer.parameters().is_multiple_of(13)).then(|| layer.macs() as u32 / 7 + 1);
            let board = Costs::of_board(&space, ["b", "ticks"], 777, |layer| Some(ticks(layer))).unwrap();
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
