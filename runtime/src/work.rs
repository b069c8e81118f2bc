//! What running a layer is made of, counted: what the latency of layers that nobody has measured is told from.
//!
//! The counts follow the packed kernels and the [plan](crate::plan): tiles of pixels in groups of four, taps that are
//! unpacked once a tile, rows that go through a ring. Other kernels do other work, but in proportion to much of it.

use crate::held::{Held, TOGETHER};
use crate::layer::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool};
use crate::plan::{CHUNK, SEGMENT, plane_band, quads, segment, window_parts};

/// Pixels on their way through a matrix.
#[derive(Clone, Copy)]
struct Tiles {
    tiles: usize,
    /// Of four pixels, the last of a tile perhaps fewer.
    groups: usize,
    /// Pixels of groups that are not full.
    odd: usize,
    /// Tiles of a single pixel, which have kernels of their own.
    single: usize,
}

impl Tiles {
    /// Of `rows` rows that are each cut into parts of so many pixels `together`.
    const fn new(rows: usize, pixels: usize, together: usize) -> Self {
        let (full, rest) = (pixels / together, pixels % together);
        let (mut odd, mut single) = (0, 0);
        let mut part = 0;
        while part < 2 {
            let (size, count) = if part == 0 { (together, full) } else { (rest, (rest > 0) as usize) };
            if size == 1 {
                single += count;
            } else {
                odd += count * (size % 4);
            }
            part += 1;
        }
        let groups = full * together.div_ceil(4) + rest.div_ceil(4);
        Self { tiles: rows * pixels.div_ceil(together), groups: rows * groups, odd: rows * odd, single: rows * single }
    }
}

/// Counts the work of a matrix of `channels` × `depth` on these tiles.
macro_rules! matrix {
    ($count:ident, $of:literal, $tiles:expr, $depth:expr, $channels:expr) => {{
        let (Tiles { tiles, groups, odd, single }, depth, channels): (Tiles, usize, usize) =
            ($tiles, $depth, $channels);
        $count(concat!($of, " products"), groups * depth * channels);
        $count(concat!($of, " taps unpacked"), tiles * depth * channels);
        $count(concat!($of, " outputs"), groups * channels);
        $count(concat!($of, " inputs"), groups * depth);
        $count(concat!($of, " channels of a tile"), tiles * channels);
        $count(concat!($of, " odd inputs"), odd * depth);
        $count(concat!($of, " products of a pixel"), single * depth * channels);
        $count(concat!($of, " outputs of a pixel"), single * channels);
    }};
}

impl Layer {
    /// Calls `count` with each kind of work that a run of the layer is made of, by name, and how much there is of it.
    /// Kinds of which there is nothing may be left out. The names of one kind of layer are not those of another.
    pub fn work(&self, mut count: impl FnMut(&'static str, usize)) {
        match self {
            Self::Conv(conv) => conv.work(count),
            Self::Block(block) if block.is_general() => block.general_work(count),
            Self::Block(block) => block.work(count),
            Self::Depthwise(depthwise) => depthwise.work(count),
            Self::Pool(Pool { input }) => {
                count("pool", 1);
                count("pool channels", input.channels.into());
                count("pool values", input.len());
            }
            Self::Linear(Linear { inputs, outputs, activation }) => {
                count("linear", 1);
                count("linear inputs", (*inputs).into());
                count("linear outputs", (*outputs).into());
                count("linear products", usize::from(*inputs) * usize::from(*outputs));
                count("linear table", by_table(*activation, (*outputs).into()));
            }
        }
    }
}

impl Conv {
    fn work(&self, mut count: impl FnMut(&'static str, usize)) {
        let (input, output) = (self.input, self.output());
        let (height, width) = (usize::from(output.height), usize::from(output.width));
        let (depth, channels) = (self.order().depth, usize::from(self.channels));
        count("conv table", by_table(self.activation, output.len()));
        if self.kernel == 1 && self.stride == 1 {
            count("pointwise", 1);
            matrix!(count, "pointwise", Tiles::new(1, height * width, CHUNK), depth, channels);
            return;
        }
        let (segment, rows) = window_parts(self);
        count("conv", 1);
        count("conv rows", height);
        count("conv parts of rows", height * width.div_ceil(segment));
        let whole_rows = Tiles::new(height / rows, rows * width, rows * segment);
        let rest = Tiles::new((height % rows != 0) as usize, height % rows * width, (height % rows).max(1) * segment);
        for tiles in [whole_rows, rest] {
            matrix!(count, "conv", tiles, depth, channels);
        }
        let windows = height * width * depth;
        match (self.kernel, input.channels) {
            (3, 1 | 3) => count("conv windows of images", windows),
            _ => count("conv windows", windows),
        }
    }
}

impl Block {
    fn work(&self, mut count: impl FnMut(&'static str, usize)) {
        let (input, output, held) = (self.input, self.output(), self.held().0);
        let (height, width) = (usize::from(input.height), usize::from(input.width));
        let (rows, row) = (usize::from(output.height), usize::from(output.width));
        let (kernel, expanded, channels) =
            (usize::from(self.kernel), usize::from(self.expanded), usize::from(self.channels));
        let part = segment(output.width);
        let [expand, project] = match held {
            Held::Whole => [Tiles::new(1, height * width, TOGETHER), Tiles::new(1, rows * row, self.together())],
            Held::Grouped { rows: band, .. } => {
                let taken = self.taken(band);
                [Tiles::new(taken, width, CHUNK), Tiles::new(1, rows * row, self.together())]
            }
            Held::Wide | Held::Narrow | Held::Tight => {
                [Tiles::new(height, width, SEGMENT), Tiles::new(rows, row, part)]
            }
        };
        count("block", 1);
        count("block rows", height);
        count("block output rows", rows);
        if self.expands() {
            matrix!(count, "expand", expand, input.channels.into(), expanded);
        }
        matrix!(count, "project", project, expanded, channels);
        if self.residual {
            count("project residual", project.groups * channels);
        }

        let groups = match held {
            Held::Whole => rows * row.div_ceil(4),
            Held::Grouped { .. } => rows * row.div_ceil(4),
            Held::Wide | Held::Narrow | Held::Tight => project.groups,
        };
        let products = groups * expanded * kernel * kernel;
        let own = expanded.is_multiple_of(4);
        count(
            match self.kernel {
                3 if own => "filter 3x3 products",
                5 if own => "filter 5x5 products",
                7 if own => "filter 7x7 products",
                _ => "filter products",
            },
            products,
        );
        count("filter rows", groups * expanded * kernel);
        count("filter outputs", groups * expanded);
        count("filter taps", rows * row.div_ceil(part) * expanded * kernel * kernel);
        count("filter channels of a row", rows * expanded);
        if self.stride == 2 {
            count("filter strided products", products);
            count("filter strided rows", groups * expanded * kernel);
        }

        let quads = quads(output.width, self.kernel, self.stride);
        match held {
            Held::Wide => {
                if !self.expands() || !width.is_multiple_of(4) {
                    count("wide ring: fours widened", height * quads * expanded);
                    count("wide ring: values widened", height * width * expanded);
                }
                count("wide ring: fours of it", quads * kernel * expanded);
                count("ring: fours of padding", (kernel - 1) * quads * expanded);
            }
            Held::Narrow | Held::Tight => count("narrow ring: fours widened", rows * kernel * quads * expanded),
            Held::Grouped { rows: band, channels } => {
                let (groups, taken) = (expanded.div_ceil(channels), self.taken(band));
                count("narrow ring: fours widened", rows * kernel * quads * expanded);
                count("groups: rows", groups * (taken + rows));
                count("groups: inputs", groups * taken * width.div_ceil(4) * usize::from(input.channels));
                count("groups: bands", groups * rows.div_ceil(band));
            }
            Held::Whole => {
                let band = plane_band(kernel, self.stride.into());
                let bands = rows.div_ceil(band);
                let spilled = (row.next_multiple_of(4) - row).div_ceil(row).min(rows);
                count("whole map: channels", expanded);
                count("whole map: rows", expanded * rows);
                count("whole map: fours widened", height * quads * expanded);
                count("whole map: products", products);
                count("whole map: outputs", groups * expanded);
                count("whole map: bands", bands * expanded);
                count(
                    "whole map: rows of bands",
                    bands * (rows.min(band) * usize::from(self.stride) + kernel) * expanded,
                );
                count("whole map: groups mended", spilled * row.div_ceil(4) * expanded);
                count("whole map: values mended", spilled * row * expanded);
            }
        }
    }

    fn general_work(&self, mut count: impl FnMut(&'static str, usize)) {
        let (input, output) = (self.input, self.output());
        let (expanded, channels) = (usize::from(self.expanded), usize::from(self.channels));
        let passes = 1 + usize::from(self.recomputes());
        let (filtered, kernel) = (self.depthwise_map().len(), usize::from(self.kernel));
        let (rows, groups) = (usize::from(output.height), usize::from(output.width).div_ceil(4));
        count("general block", 1);
        count("general block rows", input.height.into());
        if self.expands() {
            let Tiles { tiles, groups, odd, single } = Tiles::new(input.height.into(), input.width.into(), SEGMENT);
            let [tiles, groups, odd, single] = [tiles, groups, odd, single].map(|number| passes * number);
            matrix!(count, "general expand", (Tiles { tiles, groups, odd, single }), input.channels.into(), expanded);
            count("general expand table", passes * by_table(self.activation, self.expanded_map().len()));
        }
        let outputs = passes * rows * groups * expanded;
        let own = expanded.is_multiple_of(4);
        count(
            match self.kernel {
                3 if own => "general filter 3x3 products",
                5 if own => "general filter 5x5 products",
                7 if own => "general filter 7x7 products",
                _ => "general filter products",
            },
            outputs * kernel * kernel,
        );
        count("general filter rows", outputs * kernel);
        count("general filter outputs", outputs);
        let fours = rows * kernel * quads(output.width, self.kernel, self.stride) * expanded;
        count("general filter fours widened", passes * fours);
        count("general filter table", passes * by_table(self.activation, filtered));
        let project = Tiles::new(output.height.into(), output.width.into(), segment(output.width));
        matrix!(count, "general project", project, expanded, channels);
        if self.residual {
            count("general project residual", project.groups * channels);
        }
        if self.squeeze != 0 {
            count("squeeze", 1);
            count("squeeze values", filtered);
            count("squeeze values stored", if self.recomputes() { 0 } else { filtered });
            count("squeeze products", 2 * usize::from(self.squeeze) * expanded);
            count("squeeze channels", expanded);
        }
    }
}

impl Depthwise {
    fn work(&self, mut count: impl FnMut(&'static str, usize)) {
        let (output, kernel) = (self.output(), usize::from(self.kernel));
        let groups = usize::from(output.height) * usize::from(output.width).div_ceil(4) * usize::from(output.channels);
        count("depthwise", 1);
        count("depthwise channels", output.channels.into());
        count("depthwise products", groups * kernel * kernel);
        count("depthwise rows", groups * kernel);
        count("depthwise outputs", groups);
        count("depthwise inputs", self.input.len());
        count("depthwise table", by_table(self.activation, output.len()));
    }
}

/// Values that go through a table.
fn by_table(activation: Activation, values: usize) -> usize {
    if activation.table_taps() == 0 { 0 } else { values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Shape;
    use std::collections::BTreeMap;

    fn work(layer: Layer) -> BTreeMap<&'static str, usize> {
        let mut work = BTreeMap::new();
        layer.work(|name, count| *work.entry(name).or_default() += count);
        work
    }

    #[test]
    fn products_are_the_layers_macs_where_groups_of_four_are_full() {
        let input = Shape::new(8, 8, 16);
        let block = Block {
            input,
            expanded: 48,
            kernel: 5,
            stride: 1,
            squeeze: 0,
            channels: 16,
            residual: true,
            activation: Activation::Relu6,
        };
        let conv = Conv { input, channels: 24, kernel: 3, stride: 2, activation: Activation::None };
        for layer in [Layer::Block(block), Layer::Conv(conv), Layer::Conv(Conv { kernel: 1, stride: 1, ..conv })] {
            let work = work(layer);
            let own =
                ["conv products", "pointwise products", "expand products", "project products", "filter 5x5 products"];
            let products: usize = own.iter().filter_map(|name| work.get(name)).sum();
            assert_eq!(4 * products as u64, layer.macs(), "{layer}: {work:?}");
        }
    }

    #[test]
    fn groups_that_are_not_full_and_single_pixels_are_counted() {
        let Tiles { tiles, groups, odd, single } = Tiles::new(2, 21, 8);
        assert_eq!((tiles, groups, odd, single), (6, 12, 2, 0), "8, 8 and 5 pixels twice");
        let Tiles { tiles, groups, odd, single } = Tiles::new(1, 9, 8);
        assert_eq!((tiles, groups, odd, single), (2, 3, 0, 1), "8 pixels and one");
    }
}
