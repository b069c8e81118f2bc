//! Instructions and assembly of Armv7E-M. `portable` has a twin of each function, which says what it does.

#![allow(unsafe_code)]

use core::arch::{asm, global_asm};

use super::filter::{LINE, Source, Tables};
use super::matrix::pairs;
use crate::quant::Channel;
use crate::stream::Matrix;

global_asm!(include_str!("cortex_m/widen.s"), options(raw));
global_asm!(include_str!("cortex_m/multiply.s"), options(raw));
global_asm!(include_str!("cortex_m/fill.s"), options(raw));
global_asm!(include_str!("cortex_m/filter.s"), options(raw));

unsafe extern "C" {
    fn ofa_widen(pixels: *const i8, depth: usize, tile: *mut u32, quads: usize, groups: usize, skip: usize);
    fn ofa_multiply(job: &MultiplyJob);
    fn ofa_fill_3(row: *const i8, channels: usize, slot: *mut u32, pixels: usize, padding: u32);
    fn ofa_fill_5(row: *const i8, channels: usize, slot: *mut u32, pixels: usize, padding: u32);
    fn ofa_fill_7(row: *const i8, channels: usize, slot: *mut u32, pixels: usize, padding: u32);
    fn ofa_filter_3_1(job: &FilterJob);
    fn ofa_filter_3_2(job: &FilterJob);
    fn ofa_filter_5_1(job: &FilterJob);
    fn ofa_filter_5_2(job: &FilterJob);
    fn ofa_filter_7_1(job: &FilterJob);
    fn ofa_filter_7_2(job: &FilterJob);
}

#[inline(always)]
pub(crate) fn sxtb16(word: u32) -> u32 {
    let pair;
    // SAFETY: reads and writes registers alone.
    unsafe { asm!("sxtb16 {}, {}", out(reg) pair, in(reg) word, options(pure, nomem, nostack, preserves_flags)) };
    pair
}

#[inline(always)]
pub(crate) fn sxtb16_ror_8(word: u32) -> u32 {
    let pair;
    // SAFETY: reads and writes registers alone.
    unsafe {
        asm!("sxtb16 {}, {}, ror #8", out(reg) pair, in(reg) word, options(pure, nomem, nostack, preserves_flags))
    };
    pair
}

#[inline(always)]
pub(crate) fn smlad(a: u32, b: u32, sum: i32) -> i32 {
    let out;
    // SAFETY: reads and writes registers alone, and the flag Q, which compiled code does not use.
    unsafe {
        asm!("smlad {}, {}, {}, {}", out(reg) out, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack));
    }
    out
}

#[inline(always)]
pub(crate) fn pair(low: i8, high: i8) -> u32 {
    u32::from(i16::from(low) as u16) | u32::from(i16::from(high) as u16) << 16
}

pub(crate) fn widen(pixels: &[i8], depth: usize, quads: usize, groups: usize, tile: &mut [u32], skip: usize) {
    assert!(quads > 0 && groups > 0);
    assert!(pixels.len() >= (4 * groups - 1) * depth + 4 * quads && tile.len() >= groups * (8 * quads + skip) - skip);
    // SAFETY: it reads 4 × quads values of each of 4 × groups pixels, and writes 8 × quads words for each group, as
    // many as the slices have; both are counted above.
    unsafe { ofa_widen(pixels.as_ptr(), depth, tile.as_mut_ptr(), quads, groups, 4 * skip) };
}

#[repr(C)]
struct MultiplyJob {
    tile: *const u32,
    taps: *const u8,
    channels: *const Channel,
    output: *mut i8,
    step: usize,
    pairs: usize,
    count: usize,
    groups: usize,
    rest: usize,
    zero: i32,
    odd: usize,
    residual: i32,
    constant: i64,
}

pub(crate) fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], tile: &[u32]) {
    let channels = matrix.weights.channels.len();
    let (pairs, groups) = (pairs(matrix.depth), count.div_ceil(4));
    if channels < 2 || count == 0 {
        return;
    }
    assert!(groups <= 8 && tile.len() >= 4 * groups * pairs && output.len() >= count * channels);
    assert!(matrix.weights.taps.len() >= channels * matrix.depth);
    let (residual, constant) = matrix.residual.map_or((0, 0), |residual| residual.affine(matrix.zero));
    let job = MultiplyJob {
        tile: tile.as_ptr(),
        taps: matrix.weights.taps.as_ptr(),
        channels: matrix.weights.channels.as_ptr(),
        output: output.as_mut_ptr(),
        step: channels,
        pairs,
        count: channels / 2,
        groups: count / 4,
        rest: count % 4,
        zero: matrix.zero.into(),
        odd: matrix.depth % 2,
        residual,
        constant,
    };
    // SAFETY: it reads 4 × groups × pairs words of the tile, 2 × depth taps and two channels for each pair of channels,
    // and reads and writes those two values of each of `count` pixels; all are counted above. Eight groups of sums fit
    // into its frame.
    unsafe { ofa_multiply(&job) };
}

pub(crate) fn fill(source: &Source<'_>, first: usize, slot: usize, ring: &mut [u32]) {
    let pixels = source.row.len() / source.channels;
    if pixels < 3 {
        return source.fill(first, slot, ring);
    }
    let words = (pixels + source.kernel / 2).div_ceil(4) * 8 * source.kernel;
    assert!(slot < source.kernel && ring.len() >= words && first + 4 <= source.channels);
    let fill = match source.kernel {
        3 => ofa_fill_3,
        5 => ofa_fill_5,
        _ => ofa_fill_7,
    };
    let padding = u32::from_ne_bytes([source.padding as u8; 4]);
    // SAFETY: it reads four values of each pixel, from `first` on, which are in the row because `first + 4` is at most
    // the number of channels, and writes two words of each channel for every four values, counted above.
    unsafe {
        let (row, slot) = (source.row.as_ptr().add(first), ring.as_mut_ptr().add(2 * slot));
        fill(row, source.channels, slot, pixels, padding);
    }
}

#[repr(C)]
struct FilterJob {
    ring: *const u32,
    taps: *const u32,
    taps_step: usize,
    channels: *const Channel,
    zero: i32,
    groups: usize,
    line: *mut u32,
}

pub(crate) fn filter(stride: usize, ring: &[u32], tables: &Tables, zero: i8, groups: usize, line: &mut [u32; LINE]) {
    let kernel = tables.kernel;
    let filter = match (kernel, stride) {
        (3, 1) => ofa_filter_3_1,
        (3, _) => ofa_filter_3_2,
        (5, 1) => ofa_filter_5_1,
        (5, _) => ofa_filter_5_2,
        (_, 1) => ofa_filter_7_1,
        _ => ofa_filter_7_2,
    };
    let quads = ((4 * groups - 1) * stride + kernel).div_ceil(4);
    assert!((1..=LINE / 4).contains(&groups) && ring.len() >= quads * 8 * kernel);
    let job = FilterJob {
        ring: ring.as_ptr(),
        taps: tables.rows(0).as_ptr(),
        taps_step: Tables::STEP_BYTES,
        channels: tables.channels.as_ptr(),
        zero: zero.into(),
        groups,
        line: line.as_mut_ptr(),
    };
    // SAFETY: it reads the quads that the outputs' windows touch, counted above, `kernel × (kernel − 1)` words of each
    // of four tables, which lie that far apart, and four channels; it writes 4 × groups words of the line.
    unsafe { filter(&job) };
}
