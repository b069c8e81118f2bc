//! Where a net's activations lie: one arena, its length known at compile time.
//!
//! Activations alternate between the arena's two ends, so a layer's input and output never touch, and what
//! lies between them is the layer's scratch:
//!
//! ```text
//!   even step   | input ▒▒▒▒ | scratch        | ▒▒▒▒▒▒ output |
//!   odd step    | output ▒▒▒ | scratch        | ▒▒▒▒▒▒ input  |
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::layer::Layer;
use crate::quant::Quant;

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

impl Layer {
    /// Bytes that one run needs beside its input and output.
    pub const fn scratch_bytes(&self) -> usize {
        match self {
            Layer::Block(block) => {
                let expanded = if block.expands() { block.expanded_map().len() } else { 0 };
                let squeezed = if block.squeeze == 0 { 0 } else { block.squeeze as usize + block.expanded as usize };
                expanded + block.depthwise_map().len() + squeezed
            }
            _ => 0,
        }
    }

    /// Bytes of an arena that runs this layer alone: input, scratch and output.
    pub const fn arena_bytes(&self) -> usize {
        self.input().len() + self.scratch_bytes() + self.output().len()
    }
}

/// Bytes of the arena that runs the layers one after the other: the most that is alive at once. The image is
/// part of it, and so are the scores.
pub const fn arena_bytes(steps: &[Step]) -> usize {
    let mut most = 0;
    let mut i = 0;
    while i < steps.len() {
        let bytes = steps[i].layer.arena_bytes();
        if bytes > most {
            most = bytes;
        }
        i += 1;
    }
    most
}

/// A build error that says by how many bytes a net misses its board, when called in a `const`:
///
/// ```
/// # const ARENA: usize = 1000;
/// const _: () = runtime::assert_fits("SRAM", ARENA, 65_536);
/// ```
///
/// ```compile_fail
/// const _: () = runtime::assert_fits("SRAM", 70_000, 65_536);
/// ```
///
/// # Panics
/// If `needed` is above `available`.
pub const fn assert_fits(what: &str, needed: usize, available: usize) {
    if needed <= available {
        return;
    }
    let parts: [&[u8]; 3] = [b"the net misses the board's ", what.as_bytes(), b" by bytes: "];
    let mut text = [0; 96];
    let mut len = 0;
    let mut part = 0;
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() && len < 76 {
            text[len] = parts[part][i];
            len += 1;
            i += 1;
        }
        part += 1;
    }
    let mut missing = needed - available;
    let mut digits = 1;
    let mut rest = missing / 10;
    while rest > 0 {
        digits += 1;
        rest /= 10;
    }
    let end = len + digits;
    let mut i = end;
    while i > len {
        i -= 1;
        text[i] = b'0' + (missing % 10) as u8;
        missing /= 10;
    }
    match core::str::from_utf8(text.split_at(end).0) {
        Ok(message) => panic!("{}", message),
        Err(_) => panic!("the net does not fit the board"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the net misses the board's SRAM by bytes: 4464")]
    fn a_miss_says_by_how_many_bytes() {
        assert_fits("SRAM", 70_000, 65_536);
    }

    #[test]
    fn an_exact_fit_fits() {
        assert_fits("flash", 65_536, 65_536);
    }
}
