//! The order in which taps lie in flash: the one that the kernels read.
//!
//! A matrix of `outputs × depth` taps (pointwise and dense convolutions, linear layers; `depth` runs over the
//! window's kh × kw × in) lies by pairs of outputs, both taps of an input side by side, and the middle two of each
//! four inputs change places:
//!
//! ```text
//!   inputs      0       2       1       3       4       6  …
//!   bytes     o0 o1 | o0 o1 | o0 o1 | o0 o1 | o0 o1 | o0 o1 …      outputs 0 and 1, then 2 and 3, …
//! ```
//!
//! A 32-bit word of it splits into a pair of int16 for either output with two instructions (`sxtb16`), and so does a
//! word of four activations into inputs 0 and 2, 1 and 3. The last of an odd number of outputs lies alone, in the same
//! order of inputs. Depthwise taps lie channel × kh × kw.

/// Position of an input in the order of its row.
pub(crate) const fn position(input: usize, depth: usize) -> usize {
    if input >= depth - depth % 4 {
        return input;
    }
    match input % 4 {
        1 => input + 1,
        2 => input - 1,
        _ => input,
    }
}

/// Index of the tap of `output` and `input` in a matrix of `outputs × depth`.
pub(crate) const fn index(output: usize, input: usize, outputs: usize, depth: usize) -> usize {
    let position = position(input, depth);
    if output | 1 < outputs { (output & !1) * depth + 2 * position + (output & 1) } else { output * depth + position }
}

/// Brings a matrix of taps, outputs × inputs row by row, into the order in which layers hold it. Both slices are as
/// long as `outputs × depth`.
pub fn pack(rows: &[i8], outputs: usize, packed: &mut [u8]) {
    let depth = rows.len() / outputs.max(1);
    for (output, row) in rows.chunks_exact(depth.max(1)).enumerate() {
        for (input, &tap) in row.iter().enumerate() {
            packed[index(output, input, outputs, depth)] = tap as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_tap_has_its_own_place() {
        for outputs in 1..7 {
            for depth in 1..12 {
                let places = (0..outputs).flat_map(|o| (0..depth).map(move |i| index(o, i, outputs, depth)));
                assert_eq!(places.collect::<BTreeSet<_>>(), (0..outputs * depth).collect(), "{outputs} × {depth}");
            }
        }
    }

    #[test]
    fn pairs_of_outputs_then_the_odd_one() {
        let mut packed = [0; 18];
        pack(&[10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35], 3, &mut packed);
        assert_eq!(packed, [10, 20, 12, 22, 11, 21, 13, 23, 14, 24, 15, 25, 30, 32, 31, 33, 34, 35]);
    }
}
