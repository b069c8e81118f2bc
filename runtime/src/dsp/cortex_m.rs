//! Instructions and assembly of Armv7E-M. `portable` has a twin of each function, which says what it does.

#![allow(unsafe_code)]

use core::arch::{asm, global_asm};

use super::filter::{Part, Pixels, Plane, Ring, Source};
use super::matrix::{Lines, pairs};
use crate::parts::{need, rest, rest_mut};
use crate::plan::plane_rows;
use crate::quant::Channel;
use crate::stream::{Filter, Matrix};

// Assembly outside functions does not know the target's extensions.
#[cfg(ofa_armv8m)]
global_asm!(".cpu cortex-m33");
global_asm!(include_str!("cortex_m/widen.s"), options(raw));
global_asm!(include_str!("cortex_m/windows.s"), options(raw));
global_asm!(include_str!("cortex_m/multiply.s"), options(raw));
global_asm!(include_str!("cortex_m/dots.s"), options(raw));
global_asm!(include_str!("cortex_m/fill.s"), options(raw));
global_asm!(include_str!("cortex_m/filter.s"), options(raw));
global_asm!(include_str!("cortex_m/pack.s"), options(raw));

unsafe extern "C" {
    fn ofa_widen(pixels: *const i8, depth: usize, tile: *mut u32, quads: usize, groups: usize, skip: usize);
    fn ofa_windows_1(job: &WindowsJob);
    fn ofa_windows_3(job: &WindowsJob);
    fn ofa_multiply(job: &MultiplyJob);
    fn ofa_dots(words: *const u32, taps: *const u8, fours: usize, sums: &mut [i32; 2]);
    fn ofa_pack(tile: *const u32, pixels: *mut i8, step: usize, groups: usize);
    fn ofa_filter_3_1(job: &FilterJob);
    fn ofa_filter_3_2(job: &FilterJob);
    fn ofa_filter_5_1(job: &FilterJob);
    fn ofa_filter_5_2(job: &FilterJob);
    fn ofa_filter_7_1(job: &FilterJob);
    fn ofa_filter_7_2(job: &FilterJob);
    fn ofa_plane_3_1(job: &PlaneJob);
    fn ofa_plane_3_2(job: &PlaneJob);
    fn ofa_plane_5_1(job: &PlaneJob);
    fn ofa_plane_5_2(job: &PlaneJob);
    fn ofa_plane_7_1(job: &PlaneJob);
    fn ofa_plane_7_2(job: &PlaneJob);
}

/// Declares what fills rings, for a kernel and a number of slots each.
macro_rules! fills {
    ($($name:ident),*) => {
        unsafe extern "C" {
            $(fn $name(
                row: *const i8,
                step: usize,
                slot: *mut u32,
                pixels: usize,
                padding: u32,
                next: usize,
                advance: usize,
                count: usize,
            );)*
        }
    };
}

fills!(ofa_fill_3_3, ofa_fill_5_5, ofa_fill_7_7);
fills!(ofa_fill_3_24, ofa_fill_5_24, ofa_fill_7_24);
fills!(ofa_fill_3_15, ofa_fill_5_15, ofa_fill_7_15);

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
        asm!("smlad {0}, {1}, {2}, {0}", inlateout(reg) sum => out, in(reg) a, in(reg) b, options(pure, nomem, nostack));
    }
    out
}

#[inline(always)]
pub(crate) fn pair(low: i8, high: i8) -> u32 {
    u32::from(i16::from(low) as u16) | u32::from(i16::from(high) as u16) << 16
}

pub(crate) fn widen(pixels: &[i8], depth: usize, quads: usize, groups: usize, tile: &mut [u32], skip: usize) {
    need!((1..=8).contains(&quads) && groups > 0);
    need!(pixels.len() >= (4 * groups - 1) * depth + 4 * quads && tile.len() >= groups * (8 * quads + skip) - skip);
    // SAFETY: it reads 4 × quads values of each of 4 × groups pixels, and writes 8 × quads words for each group, as
    // many as the slices have; both are counted above.
    unsafe { ofa_widen(pixels.as_ptr(), depth, tile.as_mut_ptr(), quads, groups, 4 * skip) };
}

#[repr(C)]
struct WindowsJob {
    rows: [*const i8; 3],
    steps: [usize; 3],
    tile: *mut u32,
    count: usize,
    lanes: usize,
    skip: usize,
}

pub(crate) fn windows(lines: &Lines<'_>, first: usize, count: usize, tile: &mut [u32]) {
    let row = 3 * lines.channels;
    let group_words = 4 * pairs(3 * row);
    need!(count > 0 && tile.len() >= (first + count).div_ceil(4) * group_words);
    for (line, step) in lines.rows.iter().zip(lines.steps) {
        need!(line.len() >= (count - 1) * step + row);
    }
    let gather = match lines.channels {
        1 => ofa_windows_1,
        _ => ofa_windows_3,
    };
    let at = first / 4 * group_words + first % 4;
    let job = WindowsJob {
        rows: lines.rows.map(<[i8]>::as_ptr),
        steps: lines.steps,
        tile: rest_mut(tile, at).as_mut_ptr(),
        count,
        lanes: 4 - first % 4,
        skip: 4 * group_words - 16,
    };
    // SAFETY: it reads `row` values of each line at every step, and writes one lane of each pair of every window, all
    // counted above.
    unsafe { gather(&job) };
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
    /// Side of the kernel whose ring the outputs go to; 0: pixels.
    planar: usize,
    /// Bytes from a pair of channels to the next, in turn.
    pair_steps: [usize; 2],
}

pub(crate) fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], tile: &[u32]) {
    let channels = matrix.weights.channels.len();
    need!(output.len() >= count * channels);
    need!(MultiplyJob::fits(matrix, count, tile));
    let to = MultiplyJob { output: output.as_mut_ptr(), pair_steps: [2; 2], ..MultiplyJob::new(matrix, count, tile) };
    if channels >= 2 && count > 0 {
        // SAFETY: as `MultiplyJob::fits` says; it reads and writes two values of each of `count` pixels for each pair of
        // channels, counted above.
        unsafe { ofa_multiply(&to) };
    }
}

pub(crate) fn dots(words: &[[u32; 4]], taps: &[[[u8; 4]; 4]], mut sums: [i32; 2]) -> [i32; 2] {
    let fours = words.len().min(taps.len());
    if fours > 0 {
        // SAFETY: it reads four words and sixteen taps of each of so many.
        unsafe { ofa_dots(words.as_ptr().cast(), taps.as_ptr().cast(), fours, &mut sums) };
    }
    sums
}

/// The outputs of `count` pixels, a multiple of four, into slot `slot` of a ring, pixel `x` first.
pub(crate) fn expand(matrix: &Matrix<'_>, x: usize, count: usize, tile: &[u32], slot: usize, ring: &mut Ring<'_>) {
    let (channels, kernel) = (matrix.weights.channels.len(), ring.rows);
    let words = (x + count + kernel / 2).div_ceil(4) * 8 * kernel;
    need!(channels.is_multiple_of(4) && x.is_multiple_of(4) && count.is_multiple_of(4) && slot < kernel);
    need!(matches!(kernel, 3 | 5 | 7) && words <= ring.quad_words);
    need!(ring.words.len() >= channels / 4 * ring.quad_words && matrix.residual.is_none());
    need!(MultiplyJob::fits(matrix, count, tile));
    let output = rest_mut(ring.words, x / 4 * 8 * kernel + 2 * slot).as_mut_ptr().cast();
    let steps = [16 * kernel, 4 * ring.quad_words - 16 * kernel];
    let job = MultiplyJob { output, planar: kernel, pair_steps: steps, ..MultiplyJob::new(matrix, count, tile) };
    if count > 0 {
        // SAFETY: as `MultiplyJob::fits` says; for each pair of channels it writes four values of a slot for every four
        // pixels, from the padding on, as many as are counted above.
        unsafe { ofa_multiply(&job) };
    }
}

impl MultiplyJob {
    /// Whether it reads what there is: 4 × groups × pairs words of the tile, 2 × depth taps for each pair of channels.
    /// Eight groups of sums fit into its frame, and sums of a single chunk of 16 pairs stay in registers.
    #[inline(always)]
    fn fits(matrix: &Matrix<'_>, count: usize, tile: &[u32]) -> bool {
        let (pairs, groups) = (pairs(matrix.depth), count.div_ceil(4));
        (groups <= 8 || pairs <= 16)
            && tile.len() >= 4 * groups * pairs
            && matrix.weights.taps.len() >= matrix.weights.channels.len() * matrix.depth
    }

    /// All but the output.
    #[inline(always)]
    fn new(matrix: &Matrix<'_>, count: usize, tile: &[u32]) -> Self {
        let channels = matrix.weights.channels.len();
        let (residual, constant) = matrix.residual.map_or((0, 0), |residual| residual.affine(matrix.zero));
        Self {
            tile: tile.as_ptr(),
            taps: matrix.weights.taps.as_ptr(),
            channels: matrix.weights.channels.as_ptr(),
            output: core::ptr::null_mut(),
            step: channels,
            pairs: pairs(matrix.depth),
            count: channels / 2,
            groups: count / 4,
            rest: count % 4,
            zero: matrix.zero.into(),
            odd: matrix.depth % 2,
            residual,
            constant,
            planar: 0,
            pair_steps: [0; 2],
        }
    }
}

pub(crate) fn fill(source: &Source<'_>, slot: usize, ring: &mut Ring<'_>) {
    let Source { row, step, pixels, channels, kernel, padding, rows, row_step } = *source;
    let written = (pixels + kernel / 2).div_ceil(4) * 8 * ring.rows;
    let (advance, next, count) = match rows {
        1 => (4, 4 * ring.quad_words - 4 * written, channels / 4),
        _ => (row_step, 8_usize.wrapping_sub(4 * written), rows),
    };
    let fill = match (kernel, ring.rows) {
        (3, 3) => ofa_fill_3_3,
        (5, 5) => ofa_fill_5_5,
        (7, 7) => ofa_fill_7_7,
        (3, 24) => ofa_fill_3_24,
        (5, 24) => ofa_fill_5_24,
        (7, 24) => ofa_fill_7_24,
        (3, 15) => ofa_fill_3_15,
        (5, 15) => ofa_fill_5_15,
        (7, 15) => ofa_fill_7_15,
        _ => return source.fill(slot, ring),
    };
    if pixels < 3 {
        return source.fill(slot, ring);
    }
    need!(rows > 0 && slot + rows <= ring.rows && written <= ring.quad_words);
    need!(channels == 4 || rows == 1 && channels > 0 && channels.is_multiple_of(4));
    need!(ring.words.len() >= channels / 4 * ring.quad_words);
    need!(row.len() >= (rows - 1) * row_step + (pixels - 1) * step + channels);
    let padding = u32::from_ne_bytes([padding as u8; 4]);
    // SAFETY: it reads `channels` values of every pixel of every row, and for every four channels and row writes two
    // words of each of them for every four values from the padding to the last pixel, `written` from first to last;
    // all are counted above.
    unsafe {
        let slot = ring.words.as_mut_ptr().add(2 * slot);
        fill(row.as_ptr(), step, slot, pixels, padding, next, advance, count);
    }
}

#[repr(C)]
struct FilterJob {
    ring: *const u32,
    taps: *const u8,
    channels: *const Channel,
    tile: *mut u32,
    skip: usize,
    groups: usize,
    quads: usize,
    next: usize,
    zero: i32,
    turn: usize,
}

pub(crate) fn filter(part: &Part<'_>, tile: &mut [u32]) {
    let Filter { kernel, stride, weights, zero, .. } = *part.filter;
    let Part { ring, quad_words, first, quads, chunk, groups, turn, .. } = *part;
    let filter = match (kernel, stride) {
        (3, 1) => ofa_filter_3_1,
        (3, _) => ofa_filter_3_2,
        (5, 1) => ofa_filter_5_1,
        (5, _) => ofa_filter_5_2,
        (_, 1) => ofa_filter_7_1,
        _ => ofa_filter_7_2,
    };
    if groups == 0 || quads == 0 {
        return;
    }
    let fours = ((4 * groups - 1) * stride + kernel).div_ceil(4);
    need!(
        ring.len() >= (quads - 1) * quad_words + fours * 8 * kernel && tile.len() >= 8 * (chunk * (groups - 1) + quads)
    );
    need!(quads <= chunk && turn < kernel && quad_words >= 8 * kernel);
    let (channels, taps) = (rest(weights.channels, 4 * first), rest(weights.taps, 4 * first * kernel * kernel));
    need!(channels.len() >= 4 * quads && taps.len() >= 4 * quads * kernel * kernel);
    let job = FilterJob {
        ring: ring.as_ptr(),
        taps: taps.as_ptr(),
        channels: channels.as_ptr(),
        tile: tile.as_mut_ptr(),
        skip: 32 * chunk - 16,
        groups,
        quads,
        next: 4 * quad_words - 32 * kernel,
        zero: zero.into(),
        turn,
    };
    // SAFETY: it reads the values that the outputs' windows touch, counted above, `kernel²` taps and one channel for
    // each channel, and writes halves of 4 words of each pair of channels for a group; from one group to the next it
    // is 8 × chunk words.
    unsafe { filter(&job) };
}

pub(crate) fn pack(tile: &[[u32; 8]], step: usize, pixels: &mut [i8]) {
    let groups = tile.len();
    need!(groups > 0 && pixels.len() >= (4 * groups - 1) * step + 4);
    // SAFETY: it reads all of the tile, and writes four values of each of 4 × groups pixels, counted above.
    unsafe { ofa_pack(tile.as_ptr().cast(), pixels.as_mut_ptr(), step, groups) };
}

#[repr(C)]
struct PlaneJob {
    plane: *const u32,
    taps: *const u8,
    channels: *const Channel,
    output: *mut i8,
    step: usize,
    below: usize,
    groups: usize,
    rows: usize,
    zero: i32,
    group: usize,
}

pub(crate) fn plane(plane: &Plane<'_>, output: Pixels<'_>) {
    let Filter { kernel, stride, weights, zero, output_width, .. } = *plane.filter;
    let run = match (kernel, stride) {
        (3, 1) => ofa_plane_3_1,
        (3, _) => ofa_plane_3_2,
        (5, 1) => ofa_plane_5_1,
        (5, _) => ofa_plane_5_2,
        (_, 1) => ofa_plane_7_1,
        _ => ofa_plane_7_2,
    };
    let (groups, slots) = (output_width.div_ceil(4), plane_rows(stride as u8));
    let fours = ((4 * groups - 1) * stride + kernel).div_ceil(4);
    let last_row = 2 * ((plane.rows - 1) * stride + kernel);
    need!(plane.rows > 0 && plane.words.len() >= (4 * fours - 1) * 2 * slots + last_row);
    let (channels, taps) = (rest(weights.channels, plane.first), rest(weights.taps, plane.first * kernel * kernel));
    need!(channels.len() >= 4 && taps.len() >= 4 * kernel * kernel);
    let pixels = (plane.rows - 1) * output.row + (4 * groups - 1) * output.step;
    need!(output.values.len() >= pixels + 4);
    let job = PlaneJob {
        plane: plane.words.as_ptr(),
        taps: taps.as_ptr(),
        channels: channels.as_ptr(),
        output: output.values.as_mut_ptr(),
        step: output.step,
        below: output.row,
        groups,
        rows: plane.rows,
        zero: zero.into(),
        group: 4 * output.step,
    };
    // SAFETY: it reads the words that the outputs' windows touch, `kernel²` taps and one channel for each of four
    // channels, and writes four values of 4 × groups pixels of each row; all are counted above.
    unsafe { run(&job) };
}
