//! Kernels for hosts, by the vectors of the processor that the program finds itself on: AVX2, or NEON.
//!
//! ```text
//!   matrix      four pairs of outputs at a time, eight inputs of each in a vector: multiply, add, and at the end add
//!               across; then eight outputs leave together
//!   depthwise   eight channels side by side
//! ```
//!
//! Products are of int16 and their sums int32, so nothing saturates before the end, and whatever the order of a sum,
//! it wraps to the same bits.

#[cfg_attr(target_arch = "x86_64", path = "simd/avx2.rs")]
#[cfg_attr(target_arch = "aarch64", path = "simd/neon.rs")]
mod arch;

use core::array;

use crate::memory::bytes;
use crate::plan::Place;
use crate::quant::Channel;
use crate::scalar::{Arithmetic, Scalar, depthwise_by, one_sum};
use crate::stream::{Filter, Matrix};
use arch::Vectors;

/// The host's vectors; plain Rust where it has none.
#[derive(Debug)]
pub(crate) enum Simd {}

impl Simd {
    /// Whether this processor has the vectors.
    #[cfg(test)]
    pub fn is_here() -> bool {
        Vectors::detect().is_some()
    }
}

impl Arithmetic for Simd {
    fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]) {
        // Windows whose rows are no fours are in another order.
        let in_order = matrix.fours == matrix.depth / 4 * 4;
        let Some(vectors) = Vectors::detect().filter(|_| in_order) else {
            return Scalar::multiply(matrix, pixels, output);
        };
        let (channels, depth) = (matrix.weights.channels, matrix.depth);
        for first in (0..channels.len() / 2 * 2).step_by(GROUP) {
            vectors.multiply(matrix, &Group::new(matrix, first), pixels, output);
        }
        if let Some((channel, before)) = channels.split_last().filter(|(_, before)| before.len().is_multiple_of(2)) {
            let taps = &matrix.weights.taps[before.len() * depth..];
            for (pixel, out) in pixels.chunks_exact(depth).zip(output.chunks_exact_mut(channels.len())) {
                let out = &mut out[before.len()];
                *out = matrix.finish(channel, one_sum(channel.bias, taps, pixel.split_at(matrix.fours)), *out);
            }
        }
    }

    fn apply(
        filter: &Filter<'_>,
        at: (usize, usize),
        count: usize,
        ring: &mut [u32],
        lines: &mut [u32],
        step: usize,
        output: &mut [i8],
    ) {
        match Vectors::detect() {
            Some(vectors) if filter.weights.channels.len().is_multiple_of(8) => {
                vectors.apply(filter, at, count, bytes(ring), step, output);
            }
            _ => Scalar::apply(filter, at, count, ring, lines, step, output),
        }
    }

    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]) {
        match Vectors::detect() {
            Some(_) => depthwise_by::<Self>(8, filter, rows, bytes(maps), place, scratch),
            None => Scalar::depthwise(filter, rows, maps, place, scratch),
        }
    }
}

/// Outputs of a group.
const GROUP: usize = 8;

/// Four pairs of outputs of a matrix. If it has fewer, one of them stands for those that it hasn't.
struct Group<'a> {
    /// Its first output.
    first: usize,
    /// How many there are: even, at most 8.
    len: usize,
    channels: [Channel; GROUP],
    /// Of each pair, the taps of eight inputs after eight.
    taps: [&'a [[u8; 16]]; 4],
    /// Taps of the last inputs, which are no eight, in the order of eight: the others are 0.
    tails: [[u8; 16]; 4],
}

impl<'a> Group<'a> {
    fn new(matrix: &Matrix<'a>, first: usize) -> Self {
        let weights = matrix.weights;
        let len = ((weights.channels.len() - first) / 2 * 2).min(GROUP);
        let pair = |i: usize| {
            let output = first + (2 * i).min(len - 2);
            weights.taps[output * matrix.depth..][..2 * matrix.depth].as_chunks::<16>()
        };
        Self {
            first,
            len,
            channels: array::from_fn(|i| weights.channels[first + i.min(len - 1)]),
            taps: array::from_fn(|i| pair(i).0),
            tails: array::from_fn(|i| tail_taps(pair(i).1)),
        }
    }
}

/// The taps of a pair for fewer than eight inputs, as [`crate::pack`] would have them were there eight, the last
/// ones 0.
fn tail_taps(taps: &[u8]) -> [u8; 16] {
    let mut eight = [0; 16];
    let (four, rest) = taps.as_chunks::<8>();
    eight.as_chunks_mut::<8>().0.iter_mut().zip(four).for_each(|(to, from)| *to = *from);
    let to = &mut eight[8 * four.len()..];
    for (input, pair) in rest.as_chunks::<2>().0.iter().enumerate() {
        let position = [0, 2, 1][input];
        to[2 * position..][..2].copy_from_slice(pair);
    }
    eight
}

/// The first eight values, or all there are; what follows the last input of a pixel has a tap of 0.
#[inline(always)]
fn eight(values: &[i8]) -> [i8; 8] {
    values.first_chunk().copied().unwrap_or_else(|| array::from_fn(|i| values.get(i).copied().unwrap_or(0)))
}

/// Writes as many of the eight outputs as there is room for.
#[inline(always)]
fn put(eight: [i8; 8], outputs: &mut [i8]) {
    match outputs.first_chunk_mut() {
        Some(outputs) => *outputs = eight,
        None => outputs.iter_mut().zip(eight).for_each(|(to, from)| *to = from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::pack;

    #[test]
    fn a_tail_is_eight_inputs_of_which_some_are_0() {
        for inputs in 1..8 {
            let row = |output: i8, len: usize| (0..len as i8).map(move |i| 10 * output + i + 1);
            let rows = [row(0, inputs), row(1, inputs)].into_iter().flatten().collect::<std::vec::Vec<_>>();
            let padded = [0, 1].into_iter().flat_map(|output| row(output, 8).enumerate());
            let padded = padded.map(|(i, tap)| if i < inputs { tap } else { 0 }).collect::<std::vec::Vec<_>>();
            let (mut packed, mut expected) = ([0; 16], [0; 16]);
            pack(&rows, 2, inputs, &mut packed[..2 * inputs]);
            pack(&padded, 2, 8, &mut expected);
            assert_eq!(tail_taps(&packed[..2 * inputs]), expected, "{inputs} inputs");
        }
    }
}
