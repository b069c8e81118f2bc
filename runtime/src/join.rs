//! The stem and the block behind it as one: the stem's rows go into the block's ring as they are made, so no memory holds
//! its map, which in small nets is the largest.
//!
//! ```text
//!   image rows ─ window ─▶ a row of the stem's map ─ expand ─▶ ring of k rows ─ depthwise, project ─▶ output row
//!
//!   | output ▓▓▓▓▓─▶   image ▒▒▒▒▒▒▒▒▒▒ | row | the block's scratch memory |
//! ```
//!
//! The output goes over rows of the image that no window reaches any more. Or the image comes [row by row](crate::rows).

use crate::held::Held;
use crate::layer::{Block, Conv, Layer};
use crate::memory::bytes;
use crate::model::Moment;
use crate::parts::{part, part_mut, split_mut};
use crate::plan::{Regions, Step, max, min, segment, window_parts, words};
use crate::quant::Quant;
use crate::stream::{Dense, Filter, Fused, Kernels, general};
use crate::weights::Weights;

/// A stem and the block behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub conv: Conv,
    pub block: Block,
    quants: [Quant; 2],
    /// How the block holds its ring.
    held: Held,
    /// Windows of a row of the image that are gathered at a time.
    part: usize,
}

impl Joined {
    /// The first two layers, if they can run as one: the fastest of the [ways](Self::ways) that needs at most half of what
    /// the two need layer by layer, or else the smallest.
    pub const fn of(steps: &[Step]) -> Option<Self> {
        let Some(ways) = Self::ways(steps) else { return None };
        let (conv, block) = (Layer::Conv(ways[0].conv), ways[0].block);
        let layer_by_layer = max(conv.unfused_bytes(), block.unfused_bytes());
        let mut i = 0;
        while i + 1 < ways.len() && 2 * ways[i].bytes_over_image() > layer_by_layer {
            i += 1;
        }
        Some(ways[i])
    }

    /// Ways to run the first two layers as one, from the fastest to the smallest: a block that does not expand may hold an
    /// int8 ring, into which the stem writes its rows itself, and the stem may take its windows in smaller parts, of which
    /// each begins its weights anew.
    ///
    /// They can run so if the first is a convolution whose windows leave no row out, and the second a block that keeps no
    /// more of its input than a ring. The output of a residual block is as large as the stem's map and takes its place, so
    /// there is nothing to save.
    pub const fn ways(steps: &[Step]) -> Option<[Self; 3]> {
        let [Step { layer: Layer::Conv(conv), quant }, Step { layer: Layer::Block(block), quant: next }, ..] = steps
        else {
            return None;
        };
        let (map, input, held) = (conv.output(), block.input, block.held().0);
        let same_rows = map.height == input.height && map.width == input.width;
        let keeps_a_ring = !block.is_general() && !matches!(held, Held::Whole | Held::Grouped { .. });
        if conv.kernel == 1 || !same_rows || !keeps_a_ring || block.residual {
            return None;
        }
        let fastest = Self { conv: *conv, block: *block, quants: [*quant, *next], held, part: window_parts(conv).0 };
        if block.expands() {
            return Some([fastest; 3]);
        }
        let narrow = Self { held: Held::Narrow, ..fastest };
        let tight = Self { held: Held::Tight, part: segment(map.width), ..fastest };
        Some([fastest, narrow, tight])
    }

    /// With other parts of a row of the image.
    pub const fn in_parts(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Whether the stem makes its rows where the block keeps them.
    const fn is_direct(&self) -> bool {
        !self.block.expands() && matches!(self.held, Held::Narrow | Held::Tight)
    }

    /// Bytes that they need beside image and output: a row of the stem's map that waits for the block, what the block keeps,
    /// and what the two work with in turn.
    pub const fn scratch_bytes(&self) -> usize {
        let stem = self.block.kept_bytes(self.held) + self.conv.row_scratch_bytes(self.part);
        self.line_bytes() + max(self.block.ring_bytes(self.held), stem)
    }

    /// Bytes of the row that waits, with which their scratch memory begins.
    const fn line_bytes(&self) -> usize {
        if self.is_direct() { 0 } else { words(self.conv.output().row()) * 4 }
    }

    /// Where their scratch memory begins in an arena whose start both the image and the output have; `None` where the
    /// output would overtake rows of the image that are still needed.
    pub const fn over_image(&self) -> Option<usize> {
        let (image, map, output) = (self.conv.input, self.conv.output(), self.block.output());
        let (kernel, stride) = (self.block.kernel as usize, self.block.stride as usize);
        let mut y = 0;
        while y < output.height as usize {
            let next = y * stride + kernel / 2 + 1;
            if next >= map.height as usize {
                break;
            }
            let needed = (next * self.conv.stride as usize).saturating_sub(self.conv.kernel as usize / 2);
            if (y + 1) * output.row() > min(needed, image.height as usize) * image.row() {
                return None;
            }
            y += 1;
        }
        Some(self.scratch_over_image())
    }

    const fn scratch_over_image(&self) -> usize {
        words(max(self.conv.input.len(), self.block.output().len())) * 4
    }

    const fn bytes_over_image(&self) -> usize {
        self.scratch_over_image() + self.scratch_bytes()
    }

    /// Bytes of that arena.
    pub const fn arena_bytes(&self) -> Option<usize> {
        match self.over_image() {
            Some(_) => Some(self.bytes_over_image()),
            None => None,
        }
    }

    /// Where they work in that arena.
    pub fn regions(&self) -> Regions {
        let scratch = self.scratch_over_image();
        let (image, output) = (self.conv.input.len(), self.block.output().len());
        Regions { input: 0..image, output: 0..output, scratch: scratch..self.bytes_over_image() }
    }

    /// The two with their weights, which are the first of these.
    pub fn weighed<'a>(&self, mut weights: Weights<'a>) -> Weighed<'a> {
        let Self { conv, block, quants: [stem, next], held, part } = self;
        let dense = Dense { part: *part, ..Dense::new(conv, stem, &mut weights) };
        let layer = Layer::Block(*block);
        let fused = general(block, next, weights.take(layer.channels(), layer.taps())).fused;
        let (row, line, kept) = (conv.output().row(), self.line_bytes(), block.kept_bytes(*held));
        Weighed { dense, fused: Fused { held: *held, ..fused }, row, line, kept, is_direct: self.is_direct() }
    }

    /// Runs both on the image that lies at the arena's start, where the output goes too. `each` is told of them in turn,
    /// row by row.
    pub fn run<K: Kernels>(
        &self,
        weights: Weights<'_>,
        arena: &mut [u32],
        mut each: impl FnMut(Moment, usize, &Layer),
    ) {
        let Some(scratch) = self.over_image() else { return };
        let weighed = self.weighed(weights);
        let site = Site { image: 0, output: 0, scratch };
        let layers = [Layer::Conv(self.conv), Layer::Block(self.block)];
        let rows = usize::from(self.conv.output().height);
        let mut flow = Flow::default();
        for y in 0..rows + usize::from(self.block.kernel / 2) {
            let made = y < rows;
            if made {
                each(Moment::Before, 0, &layers[0]);
                flow.make::<K>(&weighed, (&self.conv, y), site, arena);
                each(Moment::After, 0, &layers[0]);
            }
            each(Moment::Before, 1, &layers[1]);
            flow.take::<K>(&weighed, made, site, arena);
            each(Moment::After, 1, &layers[1]);
        }
    }
}

/// A stem and a block with their weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighed<'a> {
    dense: Dense<'a>,
    fused: Fused<'a>,
    /// Values of a row of the stem's map.
    row: usize,
    /// Bytes of one that waits.
    line: usize,
    /// Bytes that the block keeps from row to row behind it. Behind these the two work in turn.
    kept: usize,
    /// Whether rows are made where the block keeps them.
    is_direct: bool,
}

/// Where both work: bytes before each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub image: usize,
    pub output: usize,
    pub scratch: usize,
}

/// How far a block has come whose input's rows are made one by one.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Flow {
    /// Rows that it took, of padding too.
    taken: usize,
    /// Output rows that it made.
    given: usize,
}

impl Flow {
    /// Makes a row of the stem's map, for the block to take.
    pub fn make<K: Kernels>(&self, weighed: &Weighed<'_>, of: (&Conv, usize), site: Site, arena: &mut [u32]) {
        let kernel = weighed.fused.filter.kernel;
        let ring = site.scratch + weighed.line;
        let slot = self.taken.max(kernel / 2) % kernel.max(1);
        let row = if weighed.is_direct { ring + slot * weighed.row } else { site.scratch };
        let (maps, tile) = split_mut(arena, (ring + weighed.kept) / 4);
        weighed.dense.row::<K>(of, bytes(maps), (site.image, row), tile);
    }

    /// Lets the block take the row that was made, or one of padding, and make the output row whose window ends with it.
    pub fn take<K: Kernels>(&mut self, weighed: &Weighed<'_>, made: bool, site: Site, arena: &mut [u32]) {
        let fused = &weighed.fused;
        let Filter { kernel, stride, height, output_width, .. } = fused.filter;
        let (maps, scratch) = split_mut(arena, (site.scratch + weighed.line) / 4);
        let maps = bytes(maps);
        if self.taken == 0 {
            K::begin(fused, scratch);
            (0..kernel / 2).for_each(|slot| K::take(fused, slot, None, scratch));
            self.taken = kernel / 2;
        }
        if !made || !weighed.is_direct {
            let row = made.then(|| part(maps, site.scratch, weighed.row));
            K::take(fused, self.taken % kernel.max(1), row, scratch);
        }
        self.taken += 1;
        if self.taken == self.given * stride + kernel && self.given * stride < height {
            let row = output_width * fused.project.weights.channels.len();
            K::give(fused, self.given, part_mut(maps, site.output + self.given * row, row), scratch);
            self.given += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Activation, Linear, Shape};
    use crate::plan::{arena_bytes, bytes_from, joined};
    use std::vec::Vec;

    /// The smallest images of the space `mcu`, from 3 channels over 16 to as many as said.
    fn opening(channels: u16) -> Vec<Step> {
        let activation = Activation::Relu6;
        let conv = Conv { input: Shape::new(48, 48, 3), channels: 16, kernel: 3, stride: 2, activation };
        let input = conv.output();
        let (residual, squeeze) = (channels == 16, 0);
        let block = Block { input, expanded: 16, kernel: 3, stride: 1, squeeze, channels, residual, activation };
        steps(&[Layer::Conv(conv), Layer::Block(block)])
    }

    fn steps(layers: &[Layer]) -> Vec<Step> {
        let quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 };
        layers.iter().map(|&layer| Step { layer, quant }).collect()
    }

    #[test]
    fn no_memory_holds_the_map_between_the_two() {
        let (image, row, ring, windows) =
            (48 * 48 * 3, 24 * 16, 16 * 7 * 3 * 8, |pixels: usize| 4 * 28 + pixels * 28 * 2);
        let [wide, narrow, tight] = Joined::ways(&opening(8)).unwrap().map(|way| way.arena_bytes());
        assert_eq!(wide, Some(image + row + ring + windows(24)));
        let (ring, plane, outputs) = (3 * row, 7 * 4 * 4 * 3 * 2, |channels: usize| 24 * channels * 2);
        assert_eq!(narrow, Some(image + ring + windows(24).max(plane + outputs(16))));
        assert_eq!(tight, Some(image + ring + windows(12).max(plane + outputs(4))));
        assert!(bytes_from(&opening(8), 0, 0) > 24 * 24 * (16 + 4));
    }

    #[test]
    fn two_layers_run_in_the_fastest_way_that_takes_half_the_memory() {
        let (layer_by_layer, bytes) = (2 * 24 * 24 * 16, arena_bytes(&opening(8)));
        let [_, narrow, tight] = Joined::ways(&opening(8)).unwrap().map(|way| way.arena_bytes());
        assert!(narrow > Some(layer_by_layer / 2) && tight == Some(bytes) && bytes <= layer_by_layer / 2);
    }

    #[test]
    fn what_follows_does_not_tell_whether_layers_run_as_one() {
        let linear = Layer::Linear(Linear { inputs: 24 * 24 * 8, outputs: 9000, activation: Activation::None });
        let steps = [opening(8), steps(&[linear])].concat();
        assert!(joined(&steps).is_some() && joined(&steps[..2]).is_some());
        assert_eq!(arena_bytes(&steps), bytes_from(&steps, 2, 0), "the last layer needs the most");
    }

    #[test]
    fn an_output_that_would_overtake_the_image_is_not_written_over_it() {
        assert!(Joined::of(&opening(12)).is_some_and(|joined| joined.over_image().is_some()), "6 bytes for 6");
        assert!(Joined::of(&opening(13)).is_some_and(|joined| joined.over_image().is_none()));
        assert!(Joined::of(&opening(16)).is_none(), "residual");
    }

    #[test]
    fn a_block_that_reads_the_map_by_other_rows_takes_it_whole() {
        let mut steps = opening(8);
        let Layer::Block(block) = &mut steps[1].layer else { unreachable!() };
        (block.input.height, block.input.width) = (12, 48);
        assert!(Joined::of(&steps).is_none());
    }
}
