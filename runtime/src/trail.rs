//! How far a layer's output must trail its input where the two share memory: from the rows that windows still need.

use crate::held::Held;
use crate::layer::{Block, Conv, Layer};
use crate::plan::{CHUNK, max, min};

/// What a layer keeps of its input while it writes.
#[derive(Clone, Copy)]
enum Reads {
    /// Rows of the window that it has copied: only rows that no window has reached are still needed.
    Streamed { kernel: u8, stride: u8 },
    /// Rows of the window where they lie.
    Window { kernel: u8, stride: u8 },
    /// Rows of windows that it has copied, of so many output rows at a time.
    Banded { kernel: u8, stride: u8, rows: usize },
    /// All.
    All,
    /// Nothing: it has taken all before it writes.
    Taken,
}

impl Reads {
    /// Output rows, up to `last`, of which one asks for the most: from row to row that changes evenly, but where windows begin
    /// and cease to lie within an input of that height.
    const fn turns(self, height: usize, last: usize, descending: bool) -> [usize; 3] {
        let (kernel, stride, own) = match self {
            Reads::All | Reads::Taken => return if descending { [0; 3] } else { [last; 3] },
            Reads::Banded { kernel, stride, rows } => {
                // The first row of a band, or the last.
                let (half, stride, rows) = (kernel as usize / 2, max(stride as usize, 1), max(rows, 1));
                let (inside, last) = (half / stride / rows * rows, last / rows * rows);
                let outside = (height.saturating_sub(half + 1) / stride + 1) / rows * rows;
                return match descending {
                    true => [rows, min(outside, last), min(outside + rows, last)],
                    false => [inside.saturating_sub(1), inside + rows - 1, last.saturating_sub(1)],
                };
            }
            Reads::Window { kernel, stride } => (kernel as usize, stride as usize, true),
            Reads::Streamed { kernel, stride } => (kernel as usize, stride as usize, false),
        };
        let (half, stride) = (kernel / 2, max(stride, 1));
        let (inside, outside) = (half / stride, height.saturating_sub(half + 1) / stride);
        match (own, descending) {
            (true, true) => [0, outside, outside + 1],
            (false, false) => [0, outside.saturating_sub(1), outside],
            (true, false) | (false, true) => [inside, inside + 1, last],
        }
    }

    /// Rows of an input of that height, from `.0` to `.1`, that are still needed when output row `y` is written.
    const fn needed(self, height: usize, y: usize, descending: bool) -> (usize, usize) {
        let (kernel, stride, own) = match self {
            Reads::All => return (0, height),
            Reads::Taken => return if descending { (0, 0) } else { (height, height) },
            Reads::Banded { kernel, stride, rows } => {
                let (half, stride, rows) = (kernel as usize / 2, stride as usize, max(rows, 1));
                let band = y / rows * rows;
                // Those of the bands that are still to come.
                return match descending {
                    true if band == 0 => (0, 0),
                    true => (0, min((band - 1) * stride + half + 1, height)),
                    false if (band + rows) * stride >= height => (height, height),
                    false => (((band + rows) * stride).saturating_sub(half), height),
                };
            }
            Reads::Window { kernel, stride } => (kernel as usize, stride as usize, true),
            Reads::Streamed { kernel, stride } => (kernel as usize, stride as usize, false),
        };
        let (first, half) = (y * stride, kernel / 2);
        let (start, end) = (min(first.saturating_sub(half), height), min(first + half + 1, height));
        match (own, descending) {
            (true, true) => (0, end),
            (true, false) => (start, height),
            (false, true) => (0, start),
            (false, false) => (end, height),
        }
    }
}

/// How a layer goes through its input while it writes.
#[derive(Clone, Copy)]
pub(crate) struct Consumption {
    reads: Reads,
    /// Rows of the input.
    height: usize,
    /// Bytes of each.
    input: usize,
    /// Rows of the output.
    rows: usize,
    /// Bytes of each.
    output: usize,
}

impl Consumption {
    /// Bytes by which the output must lie behind the input's start if rows go from last to first, before it otherwise.
    // Called from several places, where a copy each would take a kilobyte of flash.
    #[inline(never)]
    pub const fn lead(&self, descending: bool) -> usize {
        let last = self.rows.saturating_sub(1);
        let turns = self.reads.turns(self.height, last, descending);
        let (mut lead, mut i) = (0, 0);
        while i < turns.len() {
            lead = max(lead, self.lead_at(min(turns[i], last), descending));
            i += 1;
        }
        lead
    }

    /// What output row `y` asks for.
    #[inline(never)]
    const fn lead_at(&self, y: usize, descending: bool) -> usize {
        let (start, end) = self.reads.needed(self.height, y, descending);
        match descending {
            true => (end * self.input).saturating_sub(y * self.output),
            false if start < self.height => ((y + 1) * self.output).saturating_sub(start * self.input),
            false => 0,
        }
    }
}

impl Layer {
    const fn reads(&self) -> Reads {
        match *self {
            Self::Conv(Conv { kernel: 1, stride: 1, .. }) => Reads::Streamed { kernel: 1, stride: 1 },
            Self::Conv(Conv { kernel, stride, .. }) => Reads::Window { kernel, stride },
            Self::Block(block @ Block { kernel, stride, .. }) if !block.is_general() => match block.held().0 {
                Held::Whole => Reads::Taken,
                Held::Grouped { rows, .. } => Reads::Banded { kernel, stride, rows },
                Held::Wide | Held::Narrow | Held::Tight => Reads::Streamed { kernel, stride },
            },
            Self::Block(Block { kernel, stride, .. }) => Reads::Streamed { kernel, stride },
            Self::Pool(_) | Self::Linear(_) | Self::Depthwise(_) => Reads::All,
        }
    }

    /// How it goes through its input.
    #[inline(never)]
    pub(crate) const fn consumption(&self) -> Consumption {
        let (input, output, reads) = (self.input(), self.output(), self.reads());
        match self {
            // Chunks of pixels, whatever the rows are.
            Self::Conv(Conv { kernel: 1, stride: 1, .. }) => {
                let rows = (input.height as usize * input.width as usize).div_ceil(CHUNK);
                let (input, output) = (CHUNK * input.channels as usize, CHUNK * output.channels as usize);
                Consumption { reads, height: rows, input, rows, output }
            }
            _ => {
                let (height, rows) = (input.height as usize, output.height as usize);
                Consumption { reads, height, input: input.row(), rows, output: output.row() }
            }
        }
    }

    /// Bytes by which the output must lie before the input's start, rows going from first to last.
    pub(crate) const fn lead_ascending(&self) -> usize {
        self.consumption().lead(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{config, layers, rings};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config(4096))]

        #[test]
        fn no_row_asks_for_more_than_the_lead(layer in prop_oneof![layers(), rings()], descending: bool) {
            let consumption = layer.consumption();
            prop_assert_eq!(Some(consumption.lead(descending)), most(&consumption, descending));
        }

        #[test]
        fn no_row_of_a_band_asks_for_more(layer in rings(), rows in 1..9_usize, descending: bool) {
            let Layer::Block(Block { kernel, stride, .. }) = layer else { unreachable!("it is a block") };
            let consumption = Consumption { reads: Reads::Banded { kernel, stride, rows }, ..layer.consumption() };
            prop_assert_eq!(Some(consumption.lead(descending)), most(&consumption, descending));
        }
    }

    fn most(consumption: &Consumption, descending: bool) -> Option<usize> {
        (0..consumption.rows).map(|y| consumption.lead_at(y, descending)).max()
    }
}
