//! Blocks on small maps, which hold their expanded map whole: see [`crate::held`].
//!
//! ```text
//!   input ─ expand ─▶ expanded map ─ depthwise, in its place ─▶ filtered map ─ project ─▶ output
//! ```

use crate::held::TOGETHER;
use crate::layer::Block;
use crate::memory::bytes;
use crate::plan::Place;
use crate::stream::{Fused, Kernels, Matrix};

/// Runs the block.
pub(crate) fn run<K: Kernels>(fused: &Fused<'_>, block: &Block, place: &Place, maps: &mut [i8], scratch: &mut [u32]) {
    let expanded = block.expanded_map().len();
    let (map, rest) = scratch.split_at_mut(expanded.div_ceil(4));
    let map = &mut bytes(map)[..expanded];
    if let Some(expand) = &fused.expand {
        let input = &maps[place.input..][..block.input.len()];
        pixels::<K>(expand, input, map, rest);
    }
    let here = Place { input: 0, output: 0, descending: false, scratch: 0 };
    K::depthwise(&fused.filter, usize::from(block.output().height), map, &here, rest);
    let output = &mut maps[place.output..][..block.output().len()];
    pixels::<K>(&fused.project, &map[..block.depthwise_map().len()], output, rest);
}

/// A matrix times all pixels.
fn pixels<K: Kernels>(matrix: &Matrix<'_>, input: &[i8], output: &mut [i8], tile: &mut [u32]) {
    let channels = matrix.weights.channels.len();
    for (pixels, output) in input.chunks(TOGETHER * matrix.depth).zip(output.chunks_mut(TOGETHER * channels)) {
        K::load(matrix.depth, pixels, tile);
        K::multiply(matrix, pixels.len() / matrix.depth, output, tile);
    }
}
