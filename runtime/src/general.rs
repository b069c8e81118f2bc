//! Blocks with tables or squeeze-and-excite, from the same parts as any: matrices and a filter over a ring of rows.
//!
//! ```text
//!   h-swish              input row ─ expand, table ─▶ ring of k rows ─ depthwise, table ─▶ row ─ project
//!   squeeze-and-excite   … row ─▶ Σ of each channel ─ mean, squeeze, excite ─▶ a factor for each channel
//!                        row, once more ─ × factor ─ project
//! ```
//!
//! The factors need the whole map, and only then can a row be projected. Either the filtered map is stored meanwhile,
//! or it is made a second time, which [`Block::recomputes`] decides.

use crate::layer::Block;
use crate::memory::bytes;
use crate::parts::{copy, part, part_mut, rest, split, split_mut};
use crate::plan::{Place, SEGMENT, line_words, segment, tile_bytes};
use crate::quant::{Channel, HIDDEN_ZERO, Quant, narrow};
use crate::stream::{Event, Fused, Kernels, Matrix, in_order, windows};
use crate::weights::Table;

/// A block with what follows its convolutions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct General<'a> {
    pub fused: Fused<'a>,
    /// Of expand and depthwise.
    pub tables: [Option<Table<'a>>; 2],
    pub attention: Option<Attention<'a>>,
}

/// Squeeze-and-excite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'a> {
    pub squeeze: Matrix<'a>,
    pub excite: Matrix<'a>,
    pub mean: Channel,
    pub factor: Factor,
}

/// How the excited vector multiplies the filtered map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factor {
    multiplier: i32,
    zero: i8,
}

impl Factor {
    pub const fn new(channel: Channel, quant: &Quant, block: &Block) -> Self {
        Self { multiplier: channel.multiplier, zero: quant.hidden(block.activation)[1].map }
    }

    /// A value of the map times the excited value of its channel.
    #[inline(always)]
    pub fn times(&self, value: i8, excited: i8) -> i8 {
        let product = (i32::from(value) - i32::from(self.zero)) * (i32::from(excited) - i32::from(HIDDEN_ZERO));
        narrow(i64::from(product) * i64::from(self.multiplier), self.zero)
    }
}

impl Attention<'_> {
    /// The mean of a channel of that many pixels.
    #[inline(always)]
    pub fn mean(&self, sum: i32, pixels: usize) -> i8 {
        narrow(self.mean.mean(sum.wrapping_add(self.mean.bias), pixels.max(1).ilog2()), HIDDEN_ZERO)
    }
}

/// Words of each part of the scratch memory.
#[derive(Clone, Copy, Debug)]
struct Words {
    /// As many expanded rows as the kernel has.
    ring: usize,
    /// Four channels of it, as the filter reads them.
    lines: usize,
    /// A row of the filtered map.
    filtered: usize,
    /// What a matrix multiplies.
    tile: usize,
    /// Of each channel.
    sums: usize,
    /// The mean of each channel, then its excited value.
    excited: usize,
    /// The squeezed vector.
    squeezed: usize,
}

impl Block {
    /// Whether tables or squeeze-and-excite make it more than three convolutions.
    pub(crate) const fn is_general(&self) -> bool {
        self.squeeze != 0 || self.activation.table_taps() != 0
    }

    /// Whether its expanding and depthwise convolutions run twice, once for the mean of squeeze-and-excite and once for
    /// the output. The other way stores the filtered map in between, and is taken wherever that at most doubles what
    /// the block needs else: its input and its scratch memory.
    pub const fn recomputes(&self) -> bool {
        self.squeeze != 0 && self.depthwise_map().len() > self.input.len() + self.words().bytes()
    }

    /// Bytes of the scratch memory of such a block.
    pub(crate) const fn general_bytes(&self) -> usize {
        let stored = if self.squeeze == 0 || self.recomputes() { 0 } else { self.depthwise_map().len() };
        self.words().bytes() + stored.div_ceil(4) * 4
    }

    const fn words(&self) -> Words {
        let (expanded, squeeze) = (self.expanded as usize, self.squeeze as usize);
        let pixels = segment(self.output().width);
        let mut tile = tile_bytes(pixels, expanded);
        if self.expands() {
            let pixels = if (self.input.width as usize) < SEGMENT { self.input.width as usize } else { SEGMENT };
            let expand = tile_bytes(pixels, self.input.channels as usize);
            tile = if tile < expand { expand } else { tile };
        }
        let excite = tile_bytes(1, squeeze);
        Words {
            ring: (self.kernel as usize * self.expanded_map().row()).div_ceil(4),
            lines: line_words(self.output().width, self.kernel, self.stride),
            filtered: self.depthwise_map().row().div_ceil(4),
            tile: (if tile < excite { excite } else { tile }) / 4,
            sums: if squeeze == 0 { 0 } else { expanded },
            excited: if squeeze == 0 { 0 } else { expanded.div_ceil(4) },
            squeezed: squeeze.div_ceil(4),
        }
    }
}

impl Words {
    const fn bytes(&self) -> usize {
        (self.ring + self.lines + self.filtered + self.tile + self.sums + self.excited + self.squeezed) * 4
    }
}

/// The scratch memory's parts.
struct Memory<'m> {
    ring: &'m mut [u32],
    lines: &'m mut [u32],
    filtered: &'m mut [i8],
    tile: &'m mut [u32],
    sums: &'m mut [u32],
    excited: &'m mut [i8],
    squeezed: &'m mut [i8],
    /// The filtered map, where it is stored.
    map: &'m mut [i8],
}

impl<'m> Memory<'m> {
    fn new(block: &Block, scratch: &'m mut [u32]) -> Self {
        let words = block.words();
        let (ring, rest) = split_mut(scratch, words.ring);
        let (lines, rest) = split_mut(rest, words.lines);
        let (filtered, rest) = split_mut(rest, words.filtered);
        let (tile, rest) = split_mut(rest, words.tile);
        let (sums, rest) = split_mut(rest, words.sums);
        let (excited, rest) = split_mut(rest, words.excited);
        let (squeezed, map) = split_mut(rest, words.squeezed);
        Self {
            ring,
            lines,
            filtered: part_mut(bytes(filtered), 0, block.depthwise_map().row()),
            tile,
            sums,
            excited: part_mut(bytes(excited), 0, if block.squeeze == 0 { 0 } else { block.expanded.into() }),
            squeezed: part_mut(bytes(squeezed), 0, block.squeeze.into()),
            map: bytes(map),
        }
    }
}

/// Runs the block.
pub(crate) fn run<K: Kernels>(
    general: &General<'_>,
    block: &Block,
    place: &Place,
    maps: &mut [i8],
    scratch: &mut [u32],
) {
    let mut memory = Memory::new(block, scratch);
    let project = Project { matrix: &general.fused.project, block, place };
    let Some(attention) = &general.attention else {
        return pass::<K>(general, block, place, maps, &mut memory, |maps, y, memory| {
            project.run::<K>(maps, y, memory.filtered, memory.tile);
        });
    };
    let (depth, row) = (project.matrix.depth, block.depthwise_map().row());
    memory.sums.fill(0);
    pass::<K>(general, block, place, maps, &mut memory, |_, y, memory| {
        add(memory.filtered, memory.sums);
        if !block.recomputes() {
            copy(memory.filtered, part_mut(memory.map, y * row, row));
        }
    });
    attention.excite::<K>(block.depthwise_map().len() / depth.max(1), &mut memory);
    if block.recomputes() {
        pass::<K>(general, block, place, maps, &mut memory, |maps, y, memory| {
            attention.factor.scale(memory.filtered, memory.excited);
            project.run::<K>(maps, y, memory.filtered, memory.tile);
        });
        return;
    }
    in_order(block.output().height.into(), place.descending, |y| {
        let filtered = part_mut(memory.map, y * row, row);
        attention.factor.scale(filtered, memory.excited);
        project.run::<K>(maps, y, filtered, memory.tile);
    });
}

/// Adds pixels to the sums of their channels, four at a time, as the sums lie in memory.
fn add(filtered: &[i8], sums: &mut [u32]) {
    let depth = sums.len().max(1);
    let mut fours = filtered.chunks_exact((4 * depth).max(1));
    for four in fours.by_ref() {
        let ((a, b), (c, d)) = (split(part(four, 0, 2 * depth), depth), split(rest(four, 2 * depth), depth));
        for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum = sum.wrapping_add((i32::from(a) + i32::from(b) + i32::from(c) + i32::from(d)) as u32);
        }
    }
    for pixel in fours.remainder().chunks_exact(depth) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum = sum.wrapping_add(i32::from(value) as u32));
    }
}

/// Makes the filtered map and shows it row by row: `each(maps, y, memory)`, with row `y` in `memory.filtered`.
fn pass<K: Kernels>(
    general: &General<'_>,
    block: &Block,
    place: &Place,
    maps: &mut [i8],
    memory: &mut Memory<'_>,
    mut each: impl FnMut(&mut [i8], usize, &mut Memory<'_>),
) {
    let General { fused: Fused { expand, filter, .. }, tables: [expand_table, filter_table], .. } = general;
    let (input, output) = (block.input, block.output());
    let (window, rows) = ((filter.kernel, filter.stride), (usize::from(input.height), usize::from(output.height)));
    windows(window, rows.0, 0..rows.1, place.descending, |event| match event {
        Event::Take { slot, row: None } => {
            part_mut(bytes(memory.ring), slot * filter.row(), filter.row()).fill(filter.padding);
        }
        Event::Take { slot, row: Some(row) } => {
            let row = part(maps, place.input + row * input.row(), input.row());
            let slot = part_mut(bytes(memory.ring), slot * filter.row(), filter.row());
            let Some(expand) = expand else { return copy(row, slot) };
            K::product(expand, SEGMENT, row, slot, memory.tile);
            if let Some(table) = expand_table {
                table.map(slot);
            }
        }
        Event::Give { row: y } => {
            K::filter(filter, y, memory.ring, memory.lines, filter.weights.channels.len(), memory.filtered);
            if let Some(table) = filter_table {
                table.map(memory.filtered);
            }
            each(maps, y, memory);
        }
    });
}

impl Attention<'_> {
    /// From the sums to the excited vector.
    fn excite<K: Kernels>(&self, pixels: usize, memory: &mut Memory<'_>) {
        for (mean, &sum) in memory.excited.iter_mut().zip(&*memory.sums) {
            *mean = self.mean(sum as i32, pixels);
        }
        K::load(self.squeeze.depth, memory.excited, memory.tile);
        K::multiply(&self.squeeze, 1, memory.squeezed, memory.tile);
        K::load(self.excite.depth, memory.squeezed, memory.tile);
        K::multiply(&self.excite, 1, memory.excited, memory.tile);
    }
}

impl Factor {
    /// Pixels times the excited vector.
    fn scale(&self, pixels: &mut [i8], excited: &[i8]) {
        for pixel in pixels.chunks_exact_mut(excited.len().max(1)) {
            pixel.iter_mut().zip(excited).for_each(|(value, &excited)| *value = self.times(*value, excited));
        }
    }
}

/// The projecting convolution and where its output goes.
struct Project<'p> {
    matrix: &'p Matrix<'p>,
    block: &'p Block,
    place: &'p Place,
}

impl Project<'_> {
    /// Row `y` of the output, from that of the filtered map.
    fn run<K: Kernels>(&self, maps: &mut [i8], y: usize, filtered: &[i8], tile: &mut [u32]) {
        let output = self.block.output();
        let row = part_mut(maps, self.place.output + y * output.row(), output.row());
        K::product(self.matrix, segment(output.width), filtered, row, tile);
    }
}
