//! The one requantisation. `NUMERICS.md` holds its derivation and error bounds.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::layer::Activation;

/// Zero point of a map that a ReLU leaves: its real zero is the smallest int8, and the saturation of int8 is the
/// activation's clamp. The same is what h-swish reads: its table begins with the smallest value that matters to it.
pub const HIDDEN_ZERO: i8 = i8::MIN;

/// How one output channel leaves its int32 accumulator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Channel {
    /// Where the accumulator starts: the bias in units of input scale × weight scale, less the input's zero
    /// point times the sum of the channel's taps.
    pub bias: i32,
    /// Input scale × weight scale / output scale, in units of 2⁻³²; so that quotient is below 0.5.
    /// For pooling: input scale / (pixels × output scale), in units of 2⁻²⁴, as a residual's; for the mean of
    /// squeeze-and-excite in units of 2^−(24 + bits), where bits is ⌊log₂ pixels⌋.
    pub multiplier: i32,
}

/// Zero points of a layer and the weight of its residual. Where h-swish follows, they are those of the table's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Quant {
    /// The input's zero point; also the value of padding.
    pub input_zero: i8,
    /// The output's zero point.
    pub output_zero: i8,
    /// Those of a block's expanded and filtered maps; after a ReLU they are [`HIDDEN_ZERO`], whatever stands here.
    pub hidden_zeros: [i8; 2],
    /// Input scale / output scale of a residual block, in units of 2⁻²⁴; 0 elsewhere.
    pub residual: i32,
}

/// `zero + round(product / 2³²)`, saturated to int8; halves round up. The only rounding there is.
///
/// A `product` is an accumulator times its multiplier, to which a residual has been added.
///
/// ```
/// assert_eq!(runtime::narrow(3 << 31, -10), -8, "1.5 is rounded to 2");
/// assert_eq!(runtime::narrow(i64::MAX >> 1, 0), 127, "int8 saturates");
/// ```
#[inline(always)]
pub fn narrow(product: i64, zero: i8) -> i8 {
    const HALF: i64 = 1 << 31;
    let value = (product.wrapping_add(HALF) >> 32) as i32;
    saturated(value.wrapping_add(i32::from(zero)))
}

/// `round(a · b / 2³²)`, halves up.
#[inline(always)]
const fn rounded(a: i32, b: i32) -> i32 {
    if cfg!(ofa_short_products) {
        return rounded_in_halves(a, b);
    }
    let product = a as i64 * b as i64;
    // The one half is added to the highest bit of the lower word, which then is what it carries.
    ((product >> 32) as i32).wrapping_add((product as u32 >> 31) as i32)
}

/// The same, for cores whose products have 32 bits: from the products of halves, none of which overflows.
#[cfg_attr(not(any(ofa_short_products, test)), allow(dead_code))]
#[inline(always)]
const fn rounded_in_halves(a: i32, b: i32) -> i32 {
    let ((a_high, a_low), (b_high, b_low)) = ((a >> 16, a & 0xFFFF), (b >> 16, b & 0xFFFF));
    let lowest = (a_low as u32).wrapping_mul(b_low as u32) >> 16;
    let middle = a_high * b_low + lowest as i32;
    let low = a_low * b_high + (middle & 0xFFFF);
    a_high * b_high + (middle >> 16) + (((low >> 15) + 1) >> 1)
}

#[inline(always)]
fn saturated(value: i32) -> i8 {
    // Clamped, not compared: what a layer takes must not depend on its values.
    value.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// A map's zero point, and that of the sums which its activation follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Zeros {
    pub map: i8,
    pub sums: i8,
}

impl Quant {
    /// Of the output of a convolution, linear layer or depthwise convolution with this activation.
    pub(crate) const fn output(&self, activation: Activation) -> Zeros {
        match activation {
            Activation::HSwish => Zeros { map: self.output_zero, sums: HIDDEN_ZERO },
            _ => Zeros { map: self.output_zero, sums: self.output_zero },
        }
    }

    /// Of a block's hidden maps.
    pub(crate) const fn hidden(&self, activation: Activation) -> [Zeros; 2] {
        let [expanded, filtered] = self.hidden_zeros;
        match activation {
            Activation::Relu | Activation::Relu6 => [Zeros { map: HIDDEN_ZERO, sums: HIDDEN_ZERO }; 2],
            Activation::HSwish => {
                [Zeros { map: expanded, sums: HIDDEN_ZERO }, Zeros { map: filtered, sums: HIDDEN_ZERO }]
            }
            Activation::None => [Zeros { map: expanded, sums: expanded }, Zeros { map: filtered, sums: filtered }],
        }
    }
}

impl Channel {
    /// What [`narrow`] makes of an accumulator.
    #[inline(always)]
    pub(crate) fn narrowed(&self, accumulator: i32, zero: i8) -> i8 {
        saturated(rounded(accumulator, self.multiplier).wrapping_add(i32::from(zero)))
    }

    /// An accumulator as a product for [`narrow`].
    #[inline(always)]
    pub(crate) const fn scaled(&self, accumulator: i32) -> i64 {
        accumulator as i64 * self.multiplier as i64
    }

    /// A sum of 2^`bits` to 2^(`bits` + 1) values, as a product for [`narrow`], the multiplier in units of 2^−(24 + `bits`).
    /// What the shift to the right leaves out changes no rounding.
    #[inline(always)]
    pub(crate) const fn mean(&self, sum: i32, bits: u32) -> i64 {
        let product = sum as i64 * self.multiplier as i64;
        if bits > 8 { product >> (bits - 8) } else { product.wrapping_shl(8 - bits) }
    }

    /// A pooling sum as a product for [`narrow`].
    #[inline(always)]
    pub(crate) const fn averaged(&self, sum: i32) -> i64 {
        (sum as i64 * self.multiplier as i64).wrapping_shl(8)
    }
}

/// What a block adds to its output before that is rounded: its input, in the output's scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual {
    /// The input's zero point.
    pub zero: i8,
    /// In units of 2⁻²⁴.
    pub multiplier: i32,
}

impl Residual {
    /// Of the block with these zero points.
    pub const fn new(quant: &Quant) -> Self {
        Self { zero: quant.input_zero, multiplier: quant.residual }
    }

    /// The weight of an input in units of 2⁻²⁴, and what the sum starts with, in units of 2⁻³², so that the output is
    /// the upper half of the whole: `narrow` without its clamp.
    #[cfg(ofa_dsp)]
    pub const fn affine(&self, output_zero: i8) -> (i32, i64) {
        let zero = ((self.zero as i64) << 8) * self.multiplier as i64;
        (self.multiplier, ((output_zero as i64) << 32).wrapping_add(1 << 31).wrapping_sub(zero))
    }

    /// Its share of a product for [`narrow`].
    #[inline(always)]
    pub const fn product(&self, input: i8) -> i64 {
        (((input as i32 - self.zero as i32) << 8) as i64) * self.multiplier as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i64 = 1 << 32;

    #[test]
    fn halves_round_up_and_the_ends_saturate() {
        assert_eq!(narrow(ONE / 2, 0), 1);
        assert_eq!(narrow(ONE / 2 - 1, 0), 0);
        assert_eq!(narrow(-ONE / 2, 0), 0);
        assert_eq!(narrow(-ONE / 2 - 1, 0), -1);
        assert_eq!(narrow(300 * ONE, 0), 127);
        assert_eq!(narrow(-300 * ONE, 5), -128);
        assert_eq!(narrow(-3 * ONE, 5), 2);
    }

    #[test]
    fn halves_give_what_a_long_product_gives() {
        let some = (0..40).map(|i| 0x9E37_79B9_u32.wrapping_mul(i) as i32);
        let ends = [i32::MIN, i32::MIN + 1, -0x1_0000, -0xFFFF, -1, 0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, i32::MAX];
        let values: std::vec::Vec<i32> = ends.into_iter().chain(some).collect();
        for &a in &values {
            for &b in &values {
                let expected = ((i64::from(a) * i64::from(b) + ONE / 2) >> 32) as i32;
                assert_eq!((rounded(a, b), rounded_in_halves(a, b)), (expected, expected), "{a} · {b}");
            }
        }
    }

    #[test]
    fn a_residual_of_scale_one_returns_its_input() {
        let quant = Quant { input_zero: -7, output_zero: -7, hidden_zeros: [0; 2], residual: 1 << 24 };
        for value in i8::MIN..=i8::MAX {
            assert_eq!(narrow(Residual::new(&quant).product(value), quant.output_zero), value);
        }
    }

    #[test]
    fn extreme_products_do_not_overflow() {
        for accumulator in [i32::MIN, -1, 0, i32::MAX] {
            for multiplier in [i32::MIN, 1, i32::MAX] {
                let product = Channel { bias: 0, multiplier }.scaled(accumulator);
                let expected = ((i128::from(product) + (1 << 31)) >> 32).clamp(-128, 127);
                assert_eq!(i128::from(narrow(product, 0)), expected);
            }
        }
    }
}
