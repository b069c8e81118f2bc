//! Where a net's activations lie: one arena, its length known at compile time.
//!
//! A layer consumes its input row by row, so its output may be written over what has been consumed. How far it must
//! trail is [computed from the rows themselves](crate::trail), for the two ways in which a map can lie:
//!
//! ```text
//!   input at the arena's start: rows from last to first      | input ▒▒▒▒▒▒▒▒▒▒ |
//!                                                            |     ◀─▓▓▓▓▓ output |  scratch |
//!
//!   input further on: rows from first to last                |     input ▒▒▒▒▒▒▒▒ |
//!                                                            | output ▓▓▓▓▓─▶     |  scratch |
//! ```
//!
//! Whatever does not get ahead of its input goes the second way, at the arena's start too: of most layers that make a map
//! smaller the output takes the place of rows that are consumed. The others, there, go the first way, and place their output
//! as far on as they need, and as the layer needs that moves it back. Where input and output have the same rows (a residual
//! block) the output takes the input's place.

use core::ops::Range;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::join::Joined;
use crate::layer::{Block, Conv, Depthwise, Layer};
use crate::quant::Quant;

/// Pixels that a 1×1 convolution takes at a time.
pub(crate) const CHUNK: usize = 32;

/// Pixels of a block's row that are projected at a time, if the row has more than these.
pub(crate) const SEGMENT: usize = 16;

/// One layer of a net with its zero points. Its weights are the next [`Layer::channels`] channels and
/// [`Layer::taps`] taps of the net.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Step {
    /// What it computes.
    pub layer: Layer,
    /// Zero points.
    pub quant: Quant,
}

/// Where the maps of a step lie in the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Bytes before the input.
    pub input: usize,
    /// Bytes before the output.
    pub output: usize,
    /// Whether rows go from last to first.
    pub descending: bool,
    /// Bytes before the scratch memory.
    pub scratch: usize,
}

impl Place {
    /// Of step `i`, whose input lies at `input`.
    pub const fn new(steps: &[Step], i: usize, input: usize) -> Self {
        let Some((_, [Step { layer, .. }, behind @ ..])) = steps.split_at_checked(i) else {
            debug_assert!(false, "there is no such step");
            return Self { input, output: input, descending: false, scratch: 0 };
        };
        let needs = layer.needs();
        let next = if needs.descends(input) { lead_of_next(behind) } else { 0 };
        Self::of(&needs, next, input)
    }

    /// Of a layer whose input lies at `input`; the next one that does not write in place asks for a lead of `next`.
    const fn of(needs: &Needs, next: usize, input: usize) -> Self {
        if needs.descends(input) {
            Self::descending(needs, max(needs.lead_descending, next))
        } else {
            Self::over(needs, input, if needs.in_place { input } else { 0 }, false)
        }
    }

    /// Of a layer whose input lies at the arena's start, its output by `lead` behind that, rows going from last to first.
    pub const fn descending(needs: &Needs, lead: usize) -> Self {
        Self::over(needs, 0, words(lead) * 4, true)
    }

    const fn over(needs: &Needs, input: usize, output: usize, descending: bool) -> Self {
        let end = max(input + needs.input, output + needs.output);
        Self { input, output, descending, scratch: words(end) * 4 }
    }
}

/// What a layer asks of the arena: all that the arena of a net depends on, computed once for nets that share the layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Bytes of its input.
    input: usize,
    /// Bytes of its output.
    output: usize,
    /// Bytes beside them.
    scratch: usize,
    /// Bytes by which the output must lie before the input's start, rows going from first to last; 0 in place.
    lead_ascending: usize,
    /// Bytes by which it must lie behind the input's start, rows going from last to first; 0 where they never do, as the
    /// lead above is 0.
    lead_descending: usize,
    /// Whether it takes the input's place.
    in_place: bool,
}

impl Needs {
    /// Whether rows go from last to first where the input lies at `input`.
    const fn descends(&self, input: usize) -> bool {
        input == 0 && self.lead_ascending > 0
    }
}

/// The lead that the first of these steps asks for that does not write in place, rows going from first to last.
const fn lead_of_next(mut steps: &[Step]) -> usize {
    while let [Step { layer, .. }, further @ ..] = steps {
        if !layer.in_place() {
            return layer.lead_ascending();
        }
        steps = further;
    }
    0
}

impl Layer {
    /// Whether the output takes the input's place.
    pub(crate) const fn in_place(&self) -> bool {
        match self {
            Self::Block(block) => block.residual,
            _ => false,
        }
    }

    /// What it asks of the arena.
    pub const fn needs(&self) -> Needs {
        let in_place = self.in_place();
        let (mut lead_ascending, mut lead_descending) = (0, 0);
        if !in_place {
            let consumption = self.consumption();
            lead_ascending = consumption.lead(false);
            if lead_ascending > 0 {
                lead_descending = consumption.lead(true);
            }
        }
        let (input, output, scratch) = (self.input().len(), self.output().len(), self.scratch_bytes());
        Needs { input, output, scratch, lead_ascending, lead_descending, in_place }
    }

    /// Bytes that one run needs beside its input and output.
    pub const fn scratch_bytes(&self) -> usize {
        match self {
            Self::Conv(conv) => {
                let depth = conv.kernel as usize * conv.kernel as usize * conv.input.channels as usize;
                if conv.kernel == 1 && conv.stride == 1 {
                    let pixels = conv.input.height as usize * conv.input.width as usize;
                    return tile_bytes(min(pixels, CHUNK), depth);
                }
                let (segment, rows) = window_parts(conv);
                column_bytes(depth) + tile_bytes(segment * rows, depth)
            }
            Self::Block(block) if block.is_general() => block.general_bytes(),
            Self::Block(block) => block.held().1,
            Self::Depthwise(depthwise) => depthwise.plane_bytes(),
            Self::Pool(_) => 0,
            Self::Linear(linear) => tile_bytes(1, linear.inputs as usize),
        }
    }

    /// Bytes that would be alive at once if each convolution read one whole map and wrote another, and every map lived
    /// only as long as it is read: what the arena is compared with.
    pub const fn unfused_bytes(&self) -> usize {
        match self {
            Self::Block(block) => block.unfused_bytes(),
            _ => self.input().len() + self.output().len(),
        }
    }

    /// Bytes of an arena that runs this layer alone, its input at the arena's start.
    pub const fn arena_bytes(&self) -> usize {
        let needs = self.needs();
        Place::of(&needs, 0, 0).scratch + needs.scratch
    }
}

impl Block {
    /// [`Layer::unfused_bytes`] of a block.
    pub(crate) const fn unfused_bytes(&self) -> usize {
        let (input, output) = (self.input.len(), self.output().len());
        let kept = if self.residual { input } else { 0 };
        let expanded = if self.expands() { self.expanded_map().len() } else { input };
        let filtered = self.depthwise_map().len();
        let expand = if self.expands() { input + expanded } else { 0 };
        let beside = if self.expands() { kept } else { 0 };
        max(max(expand, beside + expanded + filtered), kept + filtered + output)
    }
}

impl Conv {
    /// Bytes that it needs to make one row beside input and output, so many windows at a time.
    pub(crate) const fn row_scratch_bytes(&self, part: usize) -> usize {
        let depth = self.order().depth;
        column_bytes(depth) + tile_bytes(part, depth)
    }
}

impl Depthwise {
    /// Bytes of four channels, widened, and of a row of their output.
    pub(crate) const fn plane_bytes(&self) -> usize {
        let width = self.output().width;
        let plane = quads(width, self.kernel, self.stride) * 32 * plane_rows(self.stride);
        plane + (width as usize).next_multiple_of(4) * 4
    }

    /// Whether the output may take the input's place. Four channels at a time are widened band by band, so what a band
    /// writes, up to three pixels behind its last row, must lie before what the next one reads.
    pub(crate) const fn may_overwrite(&self) -> bool {
        let (output, stride) = (self.output(), self.stride as usize);
        let band = plane_band(self.kernel as usize, stride);
        let next = (band * stride).saturating_sub(self.kernel as usize / 2) * self.input.width as usize;
        output.height as usize <= band || band * output.width as usize + 3 <= next
    }
}

/// Bytes of the arena that runs the layers one after the other: the most that is alive at once, a multiple of 4. The
/// image is part of it, and so are the scores.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// // At compile time: 4 bytes of image, 8 of its map, and what the layers work in.
/// const BYTES: usize = runtime::arena_bytes(&model::STEPS);
/// static ARENA: runtime::Arena<BYTES> = runtime::Arena::new();
/// assert_eq!(size_of_val(&ARENA), BYTES.next_multiple_of(8));
/// ```
pub const fn arena_bytes(steps: &[Step]) -> usize {
    match joined_bytes(steps) {
        Some(together) => max(together, bytes_from(steps, 2, 0)),
        None => bytes_from(steps, 0, 0),
    }
}

/// [`arena_bytes`] of the net whose layers need that, its first two [`joined_bytes`] as one.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// let needs = model::STEPS.map(|step| step.layer.needs());
/// let joined = runtime::joined_bytes(&model::STEPS);
/// assert_eq!(runtime::arena_of(&needs, joined), runtime::arena_bytes(&model::STEPS));
/// ```
pub fn arena_of(needs: &[Needs], joined: Option<usize>) -> usize {
    let bytes = |first: usize| {
        let (mut most, mut input) = (0, 0);
        for (i, own) in needs.iter().enumerate().skip(first) {
            let next = needs.iter().skip(i + 1).find(|next| !next.in_place);
            let place = Place::of(own, next.map_or(0, |next| next.lead_ascending), input);
            most = most.max(place.scratch + own.scratch);
            input = place.output;
        }
        most
    };
    match joined {
        Some(joined) => joined.max(bytes(2)),
        None => bytes(0),
    }
}

/// Bytes of an arena that runs the first two layers as one, an image at its start; `None` where they run one after the
/// other, as they cannot run so, or need no less memory if they do. It depends on these two alone.
pub const fn joined_bytes(steps: &[Step]) -> Option<usize> {
    match joined(steps) {
        Some(joined) => joined.arena_bytes(),
        None => None,
    }
}

/// The first two layers, where the two need less memory if they run as one.
pub(crate) const fn joined(steps: &[Step]) -> Option<Joined> {
    let Some(joined) = Joined::of(steps) else { return None };
    match (joined.arena_bytes(), steps.split_at_checked(2)) {
        (Some(together), Some((both, _))) if together < bytes_from(both, 0, 0) => Some(joined),
        _ => None,
    }
}

/// Bytes of the arena that runs step `i` and those behind it one after the other, the first one's input at `input`.
pub(crate) const fn bytes_from(steps: &[Step], mut i: usize, mut input: usize) -> usize {
    let mut most = 0;
    while i < steps.len() {
        let place = Place::new(steps, i, input);
        most = max(most, place.scratch + steps[i].layer.scratch_bytes());
        input = place.output;
        i += 1;
    }
    most
}

/// Bytes of the arena that a step works in, from its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regions {
    /// What it reads; overwritten as it is consumed.
    pub input: Range<usize>,
    /// What it writes; may overlap the input.
    pub output: Range<usize>,
    /// Its own memory.
    pub scratch: Range<usize>,
}

/// Where each step works when the layers run one after the other: a picture of the arena over time. Two that run as one
/// have one place.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// let regions: Vec<_> = runtime::regions(&model::STEPS).collect();
/// assert_eq!(regions[0].input, 0..4, "the image");
/// assert_eq!(regions[0].output, regions[1].input, "each layer reads what the one before it writes");
/// assert_eq!(regions[2].output.len(), 2, "the scores");
/// ```
pub fn regions(steps: &[Step]) -> impl Iterator<Item = Regions> {
    let joined = joined(steps);
    let mut input = 0;
    (0..steps.len()).map(move |i| {
        if let (Some(joined), 0..2) = (&joined, i) {
            return joined.regions();
        }
        let place = Place::new(steps, i, input);
        let layer = &steps[i].layer;
        let region = |start: usize, bytes: usize| start..start + bytes;
        input = place.output;
        Regions {
            input: region(place.input, layer.input().len()),
            output: region(place.output, layer.output().len()),
            scratch: region(place.scratch, layer.scratch_bytes()),
        }
    })
}

/// Pixels of a block's output row that are made at a time: all of a short row, equal parts of a long one.
pub(crate) const fn segment(width: u16) -> usize {
    part(width as usize, SEGMENT)
}

/// The same where the whole row is in memory anyway.
pub(crate) const fn long_segment(width: u16) -> usize {
    part(width as usize, CHUNK)
}

/// The same for a convolution with a window, and how many whole rows are made at a time: more than one where windows are
/// small and rows are short and groups of four pixels.
pub(crate) const fn window_parts(conv: &Conv) -> (usize, usize) {
    let width = conv.output().width as usize;
    let segment = part(width, CHUNK);
    let rows = 48 / max(width, 1);
    let together = conv.order().depth <= 32 && width.is_multiple_of(4) && rows > 1;
    (segment, if together { max(rows, 1) } else { 1 })
}

const fn part(width: usize, most: usize) -> usize {
    if width <= most {
        return max(width, 1);
    }
    max(width.div_ceil(max(width.div_ceil(most), 1)).next_multiple_of(4), 1)
}

/// Activations widened to pairs of int16, four pixels side by side.
pub(crate) const fn tile_bytes(pixels: usize, depth: usize) -> usize {
    pixels.next_multiple_of(4) * depth.next_multiple_of(2) * 2
}

/// The windows of four pixels.
pub(crate) const fn column_bytes(depth: usize) -> usize {
    4 * depth.next_multiple_of(4)
}

/// Groups of four values that a row of a depthwise convolution's ring has, padding included, for the output rows of
/// that width: all that its groups of four outputs read.
pub(crate) const fn quads(output_width: u16, kernel: u8, stride: u8) -> usize {
    line_columns(output_width as usize, kernel as usize, stride as usize).div_ceil(4)
}

/// Columns that so many outputs of a depthwise convolution read, in groups of four.
pub(crate) const fn line_columns(outputs: usize, kernel: usize, stride: usize) -> usize {
    (outputs.next_multiple_of(4) - 1) * stride + kernel
}

/// Words of four channels of those columns, and of their outputs: less than the packed kernels widen for them.
pub(crate) const fn lines_words(outputs: usize, kernel: usize, stride: usize) -> usize {
    match kernel {
        3 | 5 | 7 => line_columns(outputs, kernel, stride) * kernel + outputs.next_multiple_of(4),
        _ => 0,
    }
}

/// Words of four channels of the rows that so many outputs read, and of these, for whichever kernels there are.
pub(crate) const fn line_words(outputs: u16, kernel: u8, stride: u8) -> usize {
    match kernel {
        3 | 5 | 7 => quads(outputs, kernel, stride) * 8 * kernel as usize + (outputs as usize).div_ceil(4) * 8,
        _ => 0,
    }
}

/// Rows that a depthwise convolution of its own takes at a time.
pub(crate) const fn plane_rows(stride: u8) -> usize {
    if stride == 1 { 24 } else { 15 }
}

/// Output rows that those make.
pub(crate) const fn plane_band(kernel: usize, stride: usize) -> usize {
    let rows = plane_rows(stride as u8) - kernel;
    (if stride == 2 { rows / 2 } else { rows }) + 1
}

pub(crate) const fn words(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

pub(crate) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

pub(crate) const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}
