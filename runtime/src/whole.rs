//! Blocks on small maps, which hold their expanded map whole: see [`crate::held`].
//!
//! ```text
//!   input ─ expand ─▶ expanded map ─ depthwise, in its place ─▶ filtered map ─ project ─▶ output
//! ```

use crate::held::TOGETHER;
use crate::layer::Block;
use crate::memory::bytes;
use crate::parts::{part, part_mut, split_mut};
use crate::plan::Place;
use crate::stream::{Fused, Kernels};

/// Runs the block.
pub(crate) fn run<K: Kernels>(fused: &Fused<'_>, block: &Block, place: &Place, maps: &mut [i8], scratch: &mut [u32]) {
    let expanded = block.expanded_map().len();
    let (map, rest) = split_mut(scratch, expanded.div_ceil(4));
    if let Some(expand) = &fused.expand {
        let input = part(maps, place.input, block.input.len());
        K::product(expand, TOGETHER, input, part_mut(bytes(map), 0, expanded), rest);
    }
    let here = Place { input: 0, output: 0, descending: false, scratch: 0 };
    K::depthwise(&fused.filter, usize::from(block.output().height), map, &here, rest);
    let output = part_mut(maps, place.output, block.output().len());
    K::product(&fused.project, block.together(), part(bytes(map), 0, block.depthwise_map().len()), output, rest);
}
