//! Layers run row by row over memory that input and output share, as the [plan](crate::plan) places them.
//!
//! ```text
//!   block:   input row ─ expand ─▶ ring of k rows ─ depthwise ─▶ part of a row ─ project ─▶ output row
//!            each input row once, each output row once, in either direction
//! ```

use core::ops::Range;

use crate::general::{self, Attention, Factor, General};
use crate::grouped;
use crate::held::Held;
use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool};
use crate::memory::bytes;
use crate::parts::{part, part_mut, rest_mut, split_mut};
use crate::plan::{CHUNK, Place, Step, window_parts};
use crate::quant::{Channel, HIDDEN_ZERO, Quant, Residual, Zeros};
use crate::reference::floor;
use crate::weights::{Table, Weights};
use crate::whole;

/// A matrix of taps with what follows its sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub weights: Weights<'a>,
    /// Inputs of each output.
    pub depth: usize,
    /// Those that lie in fours, which come first.
    pub fours: usize,
    /// Zero point of the output.
    pub zero: i8,
    /// Smallest output.
    pub floor: i8,
    /// Of the block's input, which lies where the output goes.
    pub residual: Option<Residual>,
}

impl<'a> Matrix<'a> {
    /// With what follows its sums, but for a table.
    pub fn new(weights: Weights<'a>, activation: Activation, zeros: Zeros) -> Self {
        let depth = weights.taps.len() / weights.channels.len().max(1);
        let floor = floor(activation, zeros.sums);
        Self { weights, depth, fours: depth / 4 * 4, zero: zeros.sums, floor, residual: None }
    }
}

/// Where a dense convolution finds its inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub conv: &'a Conv,
    /// Value of padding.
    pub padding: i8,
}

/// `count` outputs of row `y` from `x` on, which are pixels `first` and on of `all` that are multiplied together. `first`
/// is a multiple of four.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub y: usize,
    pub x: usize,
    pub count: usize,
    pub first: usize,
    // Only kernels that lay pixels side by side ask for it.
    #[cfg_attr(not(any(ofa_dsp, test)), allow(dead_code))]
    pub all: usize,
}

/// A depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub weights: Weights<'a>,
    pub kernel: usize,
    pub stride: usize,
    /// Rows of its input.
    pub height: usize,
    /// Pixels in a row of its input.
    pub width: usize,
    /// Pixels in a row of its output.
    pub output_width: usize,
    /// Value of padding.
    pub padding: i8,
    /// Zero point of the output.
    pub zero: i8,
    /// Smallest output.
    pub floor: i8,
}

/// An inverted residual block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fused<'a> {
    /// `None` where nothing expands.
    pub expand: Option<Matrix<'a>>,
    pub filter: Filter<'a>,
    pub project: Matrix<'a>,
    /// How the expanded map lies in the scratch memory.
    pub held: Held,
    /// The row of its window that no later window has: the first one, or the last where rows go from last to first.
    // The other kernels hold a tight ring as a narrow one.
    #[cfg_attr(not(any(ofa_dsp, test)), allow(dead_code))]
    pub spent: usize,
}

/// A dense convolution with a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dense<'a> {
    pub matrix: Matrix<'a>,
    pub table: Option<Table<'a>>,
    /// Value of padding.
    pub padding: i8,
    /// Windows of a row that are gathered at a time.
    pub part: usize,
}

impl<'a> Dense<'a> {
    /// With the next of these weights.
    pub fn new(conv: &Conv, quant: &Quant, weights: &mut Weights<'a>) -> Self {
        let taps = weights.take(conv.channels.into(), conv.matrix_taps());
        let matrix = Matrix::new(taps, conv.activation, quant.output(conv.activation));
        let matrix = Matrix { fours: conv.order().fours(), ..matrix };
        let (table, part) = (weights.take_table(conv.activation), window_parts(conv).0);
        Self { matrix, table, padding: quant.input_zero, part }
    }

    /// Makes row `y`, in parts, of a map that lies at `input`. The row goes to `output`.
    pub fn row<K: Kernels>(
        &self,
        (conv, y): (&Conv, usize),
        maps: &mut [i8],
        (input, output): (usize, usize),
        scratch: &mut [u32],
    ) {
        let window = Window { conv, padding: self.padding };
        let (width, channels) = (usize::from(conv.output().width), usize::from(conv.channels));
        for x in (0..width).step_by(self.part.max(1)) {
            let count = self.part.min(width - x);
            let of = Part { y, x, count, first: 0, all: count };
            K::load_windows(&window, &of, part(maps, input, conv.input.len()), scratch);
            let output = part_mut(maps, output + x * channels, count * channels);
            K::multiply(&self.matrix, count, output, scratch);
            if let Some(table) = &self.table {
                table.map(output);
            }
        }
    }
}

/// The kernels of one kind of core. `scratch` is what [`Layer::scratch_bytes`] counts, to be used as the kernels like;
/// it keeps its content through a layer. Input and output may share memory, so what is read and what is written are
/// two calls.
pub(crate) trait Kernels {
    /// Takes a few pixels of `depth` values each, as inputs of a matrix.
    fn load(depth: usize, pixels: &[i8], scratch: &mut [u32]);
    /// Takes the windows of a part of an output row as inputs of a matrix.
    fn load_windows(window: &Window<'_>, part: &Part, input: &[i8], scratch: &mut [u32]);
    /// The outputs of the `count` pixels that were loaded.
    fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], scratch: &mut [u32]);
    /// A matrix times all pixels of `input`, so many `together`.
    // Called from several places, where a copy each would take kilobytes of flash.
    #[inline(never)]
    fn product(matrix: &Matrix<'_>, together: usize, input: &[i8], output: &mut [i8], scratch: &mut [u32]) {
        let (depth, channels) = (matrix.depth.max(1), matrix.weights.channels.len().max(1));
        let (own, outputs) = ((together * depth).max(1), (together * channels).max(1));
        for (pixels, output) in input.chunks(own).zip(output.chunks_mut(outputs)) {
            Self::load(depth, pixels, scratch);
            Self::multiply(matrix, pixels.len() / depth, output, scratch);
        }
    }

    /// Makes the ring ready.
    fn begin(fused: &Fused<'_>, scratch: &mut [u32]);
    /// Takes an input row into the ring's `slot`; `None` is a row of padding.
    fn take(fused: &Fused<'_>, slot: usize, row: Option<&[i8]>, scratch: &mut [u32]);
    /// Makes output row `y` from the ring. With a residual, `output` holds the input's row.
    fn give(fused: &Fused<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]);
    /// Row `y` of a depthwise convolution, from a ring of rows of whole pixels, into pixels that begin `step` values apart;
    /// `lines` is [`line_words`](crate::plan::line_words) of memory.
    fn filter(filter: &Filter<'_>, y: usize, ring: &mut [u32], lines: &mut [u32], step: usize, output: &mut [i8]);
    /// The depthwise convolution of a map whose output goes elsewhere in the same memory, or in its place.
    /// It has `rows` rows.
    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]);
    /// The average of each channel.
    fn pool(channel: &Channel, zero: i8, input: &[i8], output: &mut [i8]);
}

/// Runs a step whose maps and scratch memory lie in the arena as `place` says.
#[inline(never)]
pub(crate) fn run<K: Kernels>(step: &Step, mut weights: Weights<'_>, place: &Place, arena: &mut [u32]) {
    let Step { layer, quant } = step;
    let (maps, scratch) = split_mut(arena, place.scratch / 4);
    match layer {
        Layer::Conv(layer) => conv::<K>(layer, quant, weights, place, bytes(maps), scratch),
        Layer::Block(layer) => block::<K>(layer, quant, weights, place, bytes(maps), scratch),
        Layer::Depthwise(layer) => depthwise::<K>(layer, quant, weights, place, maps, scratch),
        Layer::Pool(Pool { input }) => {
            let maps = bytes(maps);
            let (from, to) = if place.input < place.output {
                let (low, high) = split_mut(maps, place.output);
                (part(low, place.input, input.len()), high)
            } else {
                let (low, high) = split_mut(maps, place.input);
                (part(high, 0, input.len()), rest_mut(low, place.output))
            };
            let output = part_mut(to, 0, input.channels.into());
            K::pool(&weights.first_channel(), quant.output_zero, from, output);
        }
        Layer::Linear(layer) => {
            let Linear { inputs, outputs, activation } = *layer;
            let maps = bytes(maps);
            let taps = weights.take(outputs.into(), layer.matrix_taps());
            let matrix = Matrix::new(taps, activation, quant.output(activation));
            K::load(inputs.into(), part(maps, place.input, inputs.into()), scratch);
            let output = part_mut(maps, place.output, outputs.into());
            K::multiply(&matrix, 1, output, scratch);
            if let Some(table) = weights.take_table(activation) {
                table.map(output);
            }
        }
    }
}

fn conv<K: Kernels>(
    conv: &Conv,
    quant: &Quant,
    mut weights: Weights<'_>,
    place: &Place,
    maps: &mut [i8],
    scratch: &mut [u32],
) {
    let Dense { matrix, table, padding, .. } = Dense::new(conv, quant, &mut weights);
    let (input, output) = (conv.input, conv.output());
    let channels = usize::from(conv.channels);
    if conv.kernel == 1 && conv.stride == 1 {
        let pixels = usize::from(input.height) * usize::from(input.width);
        in_order(pixels.div_ceil(CHUNK), place.descending, |chunk| {
            let first = chunk * CHUNK;
            let count = CHUNK.min(pixels - first);
            let input = part(maps, place.input + first * matrix.depth, count * matrix.depth);
            K::load(matrix.depth, input, scratch);
            let output = part_mut(maps, place.output + first * channels, count * channels);
            K::multiply(&matrix, count, output, scratch);
            if let Some(table) = &table {
                table.map(output);
            }
        });
        return;
    }
    let window = Window { conv, padding };
    let (width, height) = (usize::from(output.width), usize::from(output.height));
    let (segment, rows) = window_parts(conv);
    in_order(height.div_ceil(rows), place.descending, |band| {
        let (y, rows) = (band * rows, rows.min(height - band * rows));
        for x in (0..width).step_by(segment) {
            let count = segment.min(width - x);
            for row in 0..rows {
                let of = Part { y: y + row, x, count, first: row * width, all: rows * count };
                K::load_windows(&window, &of, part(maps, place.input, input.len()), scratch);
            }
            let output = part_mut(maps, place.output + y * output.row() + x * channels, rows * count * channels);
            K::multiply(&matrix, rows * count, output, scratch);
            if let Some(table) = &table {
                table.map(output);
            }
        }
    });
}

fn block<K: Kernels>(
    block: &Block,
    quant: &Quant,
    weights: Weights<'_>,
    place: &Place,
    maps: &mut [i8],
    scratch: &mut [u32],
) {
    let (input, output) = (block.input, block.output());
    let general = general(block, quant, weights);
    let Fused { filter, held, .. } = general.fused;
    let spent = if place.descending { filter.kernel.saturating_sub(1) } else { 0 };
    if block.is_general() {
        return general::run::<K>(&general, block, place, maps, scratch);
    }
    let fused = &Fused { spent, ..general.fused };
    match held {
        Held::Whole => return whole::run::<K>(fused, block, place, maps, scratch),
        Held::Grouped { rows, channels } => {
            return grouped::run::<K>(fused, block, (rows, channels), place, maps, scratch);
        }
        Held::Wide | Held::Narrow | Held::Tight => (),
    }
    let window = (filter.kernel, filter.stride);
    K::begin(fused, scratch);
    windows(window, input.height.into(), 0..output.height.into(), place.descending, |event| match event {
        Event::Take { slot, row } => {
            let row = row.map(|row| part(maps, place.input + row * input.row(), input.row()));
            K::take(fused, slot, row, scratch);
        }
        Event::Give { row } => {
            let output = part_mut(maps, place.output + row * output.row(), output.row());
            K::give(fused, row, output, scratch);
        }
    });
}

/// A block with its weights.
pub(crate) fn general<'a>(block: &Block, quant: &Quant, mut weights: Weights<'a>) -> General<'a> {
    let activation = block.activation;
    let [expanded, filtered] = quant.hidden(activation);
    let (mut expand, mut tables) = (None, [None; 2]);
    if block.expands() {
        let taps = weights.take(usize::from(block.expanded), block.expand_taps());
        expand = Some(Matrix::new(taps, activation, expanded));
        tables[0] = weights.take_table(activation);
    }
    let filter = Filter {
        weights: weights.take(usize::from(block.expanded), block.depthwise_taps()),
        kernel: usize::from(block.kernel),
        stride: usize::from(block.stride),
        height: usize::from(block.input.height),
        width: usize::from(block.input.width),
        output_width: usize::from(block.output().width),
        padding: if expand.is_some() { expanded.map } else { quant.input_zero },
        zero: filtered.sums,
        floor: i8::MIN,
    };
    tables[1] = weights.take_table(activation);
    let attention = (block.squeeze != 0).then(|| attention(block, quant, &mut weights));
    let project = Matrix {
        residual: block.residual.then(|| Residual::new(quant)),
        ..Matrix::new(weights, Activation::None, quant.output(Activation::None))
    };
    General { fused: Fused { expand, filter, project, held: block.held().0, spent: 0 }, tables, attention }
}

fn attention<'a>(block: &Block, quant: &Quant, weights: &mut Weights<'a>) -> Attention<'a> {
    let (squeezed, expanded) = (usize::from(block.squeeze), usize::from(block.expanded));
    let (mean, factor) = (weights.take_channel(), weights.take_channel());
    let zeros = Zeros { map: HIDDEN_ZERO, sums: HIDDEN_ZERO };
    Attention {
        mean,
        factor: Factor::new(factor, quant, block),
        squeeze: Matrix::new(weights.take(squeezed, squeezed * expanded), Activation::Relu, zeros),
        excite: Matrix::new(weights.take(expanded, squeezed * expanded), Activation::Relu6, zeros),
    }
}

fn depthwise<K: Kernels>(
    depthwise: &Depthwise,
    quant: &Quant,
    mut weights: Weights<'_>,
    place: &Place,
    maps: &mut [u32],
    scratch: &mut [u32],
) {
    let Depthwise { input, kernel, stride, activation } = *depthwise;
    let zero = quant.output(activation).sums;
    let filter = Filter {
        weights: weights.take(input.channels.into(), depthwise.filter_taps()),
        kernel: usize::from(kernel),
        stride: usize::from(stride),
        height: usize::from(input.height),
        width: usize::from(input.width),
        output_width: usize::from(depthwise.output().width),
        padding: quant.input_zero,
        zero,
        floor: floor(activation, zero),
    };
    K::depthwise(&filter, usize::from(depthwise.output().height), maps, place, scratch);
    if let Some(table) = weights.take_table(activation) {
        table.map(part_mut(bytes(maps), place.output, depthwise.output().len()));
    }
}

/// What happens while windows move over a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Row `row` of the input, `None` for padding, is needed in `slot` of a ring of as many rows as the kernel has.
    Take { slot: usize, row: Option<usize> },
    /// Output row `row` can be made: row `i` of its window lies in slot `(row · stride + i) mod kernel`.
    Give { row: usize },
}

/// Every row that these outputs read once, every one of them once, as soon as it can be made.
pub(crate) fn windows(
    (kernel, stride): (usize, usize),
    height: usize,
    outputs: Range<usize>,
    descending: bool,
    mut event: impl FnMut(Event),
) {
    // Rows are counted from the first row of padding.
    let (half, kernel) = (kernel / 2, kernel.max(1));
    let take = |row: usize| Event::Take { slot: row % kernel, row: row.checked_sub(half).filter(|&row| row < height) };
    let (mut from, mut to) = (usize::MAX, 0);
    in_order(outputs.len(), descending, |i| {
        let y = outputs.start + i;
        let (start, end) = (y * stride, y * stride + kernel);
        if descending {
            (start..end.min(from)).rev().for_each(|row| event(take(row)));
            from = start;
        } else {
            (start.max(to)..end).for_each(|row| event(take(row)));
            to = end;
        }
        event(Event::Give { row: y });
    });
}

/// From 0 on, or down to it.
pub(crate) fn in_order(count: usize, descending: bool, mut each: impl FnMut(usize)) {
    for i in 0..count {
        each(if descending { count - 1 - i } else { i });
    }
}
