//! The order in which taps lie in flash: the one that the kernels read.
//!
//! The taps of a convolution or a linear layer are a matrix of `outputs × depth`; `depth` runs over the inputs, or over
//! the window's kh × kw × in. They lie by pairs of outputs, both taps of an input side by side, and the middle two of
//! each four inputs change places:
//!
//! ```text
//!   inputs      0       2       1       3       4       6  …
//!   bytes     o0 o1 | o0 o1 | o0 o1 | o0 o1 | o0 o1 | o0 o1 …      outputs 0 and 1, then 2 and 3, …
//! ```
//!
//! A 32-bit word of it splits into a pair of int16 for either output with two instructions (`sxtb16`), and so does a
//! word of four activations into inputs 0 and 2, 1 and 3. What is left of a row of the window after its last four comes
//! last, row by row, in its own order. The last of an odd number of outputs lies alone, in the same order of inputs.
//! Depthwise taps lie channel × kh × kw.

/// The order of the inputs of a matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    /// Inputs.
    pub depth: usize,
    /// Inputs that lie side by side: a row of the window; all, where there is no window.
    pub row: usize,
}

impl Order {
    /// How many inputs lie in fours; the others follow them.
    pub const fn fours(self) -> usize {
        let row = if self.row == 0 { 1 } else { self.row };
        self.depth / row * (row / 4 * 4)
    }

    /// Position of an input.
    pub const fn position(self, input: usize) -> usize {
        let (row, i) = (input / self.row, input % self.row);
        let fours = self.row / 4 * 4;
        if i >= fours {
            return self.fours() + row * (self.row - fours) + i - fours;
        }
        row * fours
            + match i % 4 {
                1 => i + 1,
                2 => i - 1,
                _ => i,
            }
    }

    /// Index of the tap of `output` and `input` in a matrix of that many outputs.
    pub const fn index(self, output: usize, input: usize, outputs: usize) -> usize {
        let (depth, position) = (self.depth, self.position(input));
        if output | 1 < outputs {
            (output & !1) * depth + 2 * position + (output & 1)
        } else {
            output * depth + position
        }
    }
}

/// Brings a matrix of taps, outputs × inputs row by row, into the order in which layers hold it. A convolution's window
/// has rows of `row` inputs (kernel × input channels); elsewhere `row` is the number of inputs. Both slices are equally
/// long.
///
/// ```
/// // Of two outputs the taps of each input lie side by side, and the middle two of four inputs change places.
/// let mut packed = [0; 8];
/// runtime::pack(&[10, 11, 12, 13, 20, 21, 22, 23], 2, 4, &mut packed);
/// assert_eq!(packed, [10, 20, 12, 22, 11, 21, 13, 23]);
/// ```
pub fn pack(taps: &[i8], outputs: usize, row: usize, packed: &mut [u8]) {
    let order = Order { depth: taps.len() / outputs.max(1), row: row.max(1) };
    for (output, taps) in taps.chunks_exact(order.depth.max(1)).enumerate() {
        for (input, &tap) in taps.iter().enumerate() {
            packed[order.index(output, input, outputs)] = tap as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec;

    #[test]
    fn every_tap_has_its_own_place() {
        for outputs in 1..7 {
            for (rows, row) in [(1, 1), (1, 6), (1, 11), (3, 3), (3, 9), (5, 5), (3, 12)] {
                let order = Order { depth: rows * row, row };
                let places = (0..outputs).flat_map(|o| (0..order.depth).map(move |i| order.index(o, i, outputs)));
                assert_eq!(
                    places.collect::<BTreeSet<_>>(),
                    (0..outputs * order.depth).collect(),
                    "{outputs}, {order:?}"
                );
            }
        }
    }

    #[test]
    fn pairs_of_outputs_then_the_odd_one() {
        let mut packed = [0; 18];
        pack(&[10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35], 3, 6, &mut packed);
        assert_eq!(packed, [10, 20, 12, 22, 11, 21, 13, 23, 14, 24, 15, 25, 30, 32, 31, 33, 34, 35]);
    }

    #[test]
    fn fours_of_every_row_then_what_is_left() {
        let order = Order { depth: 15, row: 5 };
        let mut by_position = vec![0; 15];
        (0..15).for_each(|input| by_position[order.position(input)] = input);
        assert_eq!(by_position, [0, 2, 1, 3, 5, 7, 6, 8, 10, 12, 11, 13, 4, 9, 14]);
    }
}
