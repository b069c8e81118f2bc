//! h-swish as a table from what a convolution leaves to what the next one reads.

use runtime::TABLE_TAPS;

use crate::model::Scale;

/// Below it h-swish is 0.
pub(super) const FLOOR: f32 = -3.0;

/// x · min(max(x + 3, 0), 6) / 6.
fn h_swish(x: f32) -> f32 {
    x * (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// What each int8 becomes, where −128 stands for `low` and each step for `step`.
pub(super) fn table(low: f32, step: f32, output: Scale) -> [i8; TABLE_TAPS] {
    let value = |i: usize| h_swish(low + i as f32 * step) / output.scale + f32::from(output.zero);
    // From float to integer saturates.
    std::array::from_fn(|i| value(i).round() as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_h_swish_at_every_int8() {
        let output = Scale { scale: 0.03, zero: -115 };
        let table = table(-3.0, 0.04, output);
        // −3, −1.5, 0 and 3; h-swish there is 0, its least, 0 and 3; at 7.2 it saturates.
        let at = |x: f32| table[((x + 3.0) / 0.04).round() as usize];
        assert_eq!([-3.0, -1.5, 0.0, 3.0, 7.2].map(at), [-115, -127, -115, -15, 125]);
    }
}
