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
use crate::parts::{part, part_mut, rest_mut, split_mut};
use crate::plan::{Regions, Step, max, min, window_parts, words};
use crate::quant::Quant;
use crate::stream::{Dense, Filter, Fused, Kernels, general};
use crate::weights::Weights;

/// A stem and the block behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub conv: Conv,
    pub block: Block,
    quants: [Quant; 2],
    /// Windows of a row of the image that are gathered at a time.
    part: usize,
}

impl Joined {
    /// The first two layers, if they can run as one: a convolution whose windows leave no row out, and a block that keeps
    /// no more of its input than a ring. The output of a residual block is as large as the stem's map and takes its place,
    /// so there is nothing to save.
    pub const fn of(steps: &[Step]) -> Option<Self> {
        let [Step { layer: Layer::Conv(conv), quant }, Step { layer: Layer::Block(block), quant: next }, ..] = steps
        else {
            return None;
        };
        let (map, input) = (conv.output(), block.input);
        let same_rows = map.height == input.height && map.width == input.width;
        let keeps_a_ring = !block.is_general() && !matches!(block.held().0, Held::Whole);
        if conv.kernel > 1 && same_rows && keeps_a_ring && !block.residual {
            return Some(Self { conv: *conv, block: *block, quants: [*quant, *next], part: window_parts(conv).0 });
        }
        None
    }

    /// With other parts of a row: smaller ones take less memory and more time, as each begins the stem's weights anew.
    pub const fn in_parts(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Bytes that they need beside image and output: a row of the stem's map, what the block keeps, and what the two work
    /// with in turn.
    pub const fn scratch_bytes(&self) -> usize {
        let turns = max(self.block.held().1, self.block.kept_bytes() + self.conv.row_scratch_bytes(self.part));
        self.line_bytes() + turns
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
        Some(words(max(image.len(), output.len())) * 4)
    }

    /// Bytes of that arena.
    pub const fn arena_bytes(&self) -> Option<usize> {
        match self.over_image() {
            Some(scratch) => Some(scratch + self.scratch_bytes()),
            None => None,
        }
    }

    /// Where they work in that arena.
    pub fn regions(&self) -> Regions {
        let scratch = self.over_image().unwrap_or_default();
        let (image, output) = (self.conv.input.len(), self.block.output().len());
        Regions { input: 0..image, output: 0..output, scratch: scratch..scratch + self.scratch_bytes() }
    }

    /// Bytes of a row of the stem's map, with which their scratch memory begins.
    pub const fn line_bytes(&self) -> usize {
        words(self.conv.output().row()) * 4
    }

    /// The two with their weights, which are the first of these.
    pub fn weighed<'a>(&self, mut weights: Weights<'a>) -> Weighed<'a> {
        let Self { conv, block, quants: [stem, next], part } = self;
        let dense = Dense { part: *part, ..Dense::new(conv, stem, &mut weights) };
        let layer = Layer::Block(*block);
        let fused = general(block, next, weights.take(layer.channels(), layer.taps())).fused;
        Weighed { dense, fused, line: conv.output().row(), kept: self.block.kept_bytes() / 4 }
    }

    /// Runs both on the image that lies at the arena's start, where the output goes too. `each` is told of them in turn,
    /// row by row.
    pub fn run<K: Kernels>(
        &self,
        weights: Weights<'_>,
        arena: &mut [u32],
        mut each: impl FnMut(Moment, usize, &Layer),
    ) {
        let Some(line) = self.over_image() else { return };
        let weighed = self.weighed(weights);
        let (maps, scratch) = split_mut(arena, (line + self.line_bytes()) / 4);
        let maps = bytes(maps);
        let layers = [Layer::Conv(self.conv), Layer::Block(self.block)];
        let rows = usize::from(self.conv.output().height);
        let mut flow = Flow::default();
        for y in 0..rows + usize::from(self.block.kernel / 2) {
            let made = (y < rows).then_some(line);
            if let Some(line) = made {
                each(Moment::Before, 0, &layers[0]);
                weighed.row::<K>((&self.conv, y), maps, (0, line), scratch);
                each(Moment::After, 0, &layers[0]);
            }
            each(Moment::Before, 1, &layers[1]);
            flow.step::<K>(&weighed, maps, (made, 0), scratch);
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
    line: usize,
    /// Words that the block keeps from row to row; the stem works behind them.
    kept: usize,
}

impl Weighed<'_> {
    /// Makes a row of the stem's map.
    pub fn row<K: Kernels>(
        &self,
        of: (&Conv, usize),
        maps: &mut [i8],
        (input, line): (usize, usize),
        scratch: &mut [u32],
    ) {
        self.dense.row::<K>(of, maps, (input, line), rest_mut(scratch, self.kept));
    }
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
    /// Lets the block take the row that was made at `line`, or one of padding, and make the output row whose window ends
    /// with it. Its output lies at `output`.
    pub fn step<K: Kernels>(
        &mut self,
        weighed: &Weighed<'_>,
        maps: &mut [i8],
        (line, output): (Option<usize>, usize),
        scratch: &mut [u32],
    ) {
        let fused = &weighed.fused;
        let Filter { kernel, stride, height, output_width, .. } = fused.filter;
        if self.taken == 0 {
            K::begin(fused, scratch);
            (0..kernel / 2).for_each(|slot| K::take(fused, slot, None, scratch));
            self.taken = kernel / 2;
        }
        let row = line.map(|line| part(maps, line, weighed.line));
        K::take(fused, self.taken % kernel.max(1), row, scratch);
        self.taken += 1;
        if self.taken == self.given * stride + kernel && self.given * stride < height {
            let row = output_width * fused.project.weights.channels.len();
            K::give(fused, self.given, part_mut(maps, output + self.given * row, row), scratch);
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
        let (image, row, ring, windows) = (48 * 48 * 3, 24 * 16, 16 * 7 * 3 * 8, 4 * 28 + 24 * 28 * 2);
        assert_eq!(arena_bytes(&opening(8)), image + row + ring + windows);
        assert!(bytes_from(&opening(8), 0, 0) > 24 * 24 * (16 + 4));
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
