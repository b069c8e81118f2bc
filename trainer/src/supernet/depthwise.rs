//! The weight gradient of depthwise convolutions with 5×5 kernels and larger, which libtorch computes on CPUs five to
//! twelve times slower than the convolution itself allows.
//!
//! For each tap (ky, kx) of the kernel and each channel it is Σ over images, rows and columns of
//! input[y·stride + ky − pad, x·stride + kx − pad] · gradient[y, x]. Here channels are the lanes of a vector: a group
//! of [`LANES`] channels of one image is copied into rows with zero padding, small enough for the first-level cache,
//! and read from there once for each row of the kernel, a few taps at a time in registers. Each group of channels
//! sums in the order of the images, so that the result does not depend on the number of threads.

use rayon::prelude::*;
use tch::{Device, Tensor};

/// Channels that are computed at once.
const LANES: usize = 16;

type Lanes = [f32; LANES];

/// A convolution whose weight gradient is wanted.
pub(super) struct Problem<'a> {
    /// batch × channels × height × width.
    pub input: &'a Tensor,
    /// Gradient of the output: batch × channels × height / stride × width / stride, rounded up.
    pub gradient: &'a Tensor,
    /// Side of the kernel; half of it, rounded down, is the padding.
    pub kernel: u8,
    /// 1 or 2.
    pub stride: u8,
}

/// Whether [`weight_gradients`] knows such kernels and beats libtorch at them.
pub(super) fn is_fast(kernel: u8, device: Device) -> bool {
    device == Device::Cpu && matches!(kernel, 5 | 7)
}

/// The gradient of each problem's kernel: channels × 1 × side × side.
pub(super) fn weight_gradients(problems: &[Problem]) -> Vec<Tensor> {
    let innermost = |map: &Tensor| map.detach().permute([0, 2, 3, 1]).contiguous();
    let tensors = problems.iter().map(|problem| (innermost(problem.input), innermost(problem.gradient)));
    let tensors: Vec<_> = tensors.collect();
    let maps: Vec<_> = tensors.iter().map(|(input, gradient)| (Map::new(input), Map::new(gradient))).collect();
    let mut gradients: Vec<Vec<f32>> = problems
        .iter()
        .zip(&maps)
        .map(|(problem, (input, _))| vec![0.0; input.channels * usize::from(problem.kernel).pow(2)])
        .collect();
    let groups = problems.iter().zip(&maps).zip(&mut gradients).flat_map(|((problem, (input, gradient)), output)| {
        let taps = usize::from(problem.kernel).pow(2);
        let groups = output.chunks_mut(LANES * taps).enumerate();
        groups.map(move |(i, output)| Group {
            input: *input,
            gradient: *gradient,
            kernel: problem.kernel,
            stride: usize::from(problem.stride),
            first: i * LANES,
            output,
        })
    });
    let groups: Vec<_> = groups.collect();
    // A net that has one thread has the others' beside it.
    match tch::get_num_threads() {
        1 => groups.into_iter().for_each(Group::run),
        _ => groups.into_par_iter().for_each(Group::run),
    }
    let side = |problem: &Problem| i64::from(problem.kernel);
    let tensors = gradients.iter().zip(problems);
    tensors.map(|(values, problem)| Tensor::from_slice(values).view([-1, 1, side(problem), side(problem)])).collect()
}

/// The values of a map.
#[derive(Clone, Copy)]
struct Map<'a> {
    /// image × row × pixel × channel.
    values: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Map<'a> {
    fn new(tensor: &'a Tensor) -> Self {
        let [_, height, width, channels] = tensor.size()[..] else { unreachable!("a map has four dimensions") };
        let [height, width, channels] = [height, width, channels].map(|length| length as usize);
        Self { values: values::of(tensor), height, width, channels }
    }
}

/// A group of channels of one problem.
struct Group<'a> {
    input: Map<'a>,
    gradient: Map<'a>,
    kernel: u8,
    stride: usize,
    /// Its first channel.
    first: usize,
    /// channel × ky × kx, of this group.
    output: &'a mut [f32],
}

impl Group<'_> {
    fn run(self) {
        match self.kernel {
            5 => dispatch::sum::<5>(self),
            7 => dispatch::sum::<7>(self),
            side => unreachable!("a kernel of {side}"),
        }
    }

    #[inline(always)]
    fn sum<const K: usize>(self, multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
        let Self { input, gradient, stride, first, output, .. } = self;
        let (pad, channels) = (K / 2, input.channels);
        let lanes = LANES.min(channels - first);
        let row = input.width + 2 * pad;
        let mut padded: Vec<Lanes> = vec![[0.0; LANES]; input.height * row];
        let mut packed: Vec<Lanes> = vec![[0.0; LANES]; gradient.height * gradient.width];
        let mut sums = [[[0.0; LANES]; K]; K];
        let images = input.values.chunks_exact(input.height * input.width * channels);
        for (image, gradients) in images.zip(gradient.values.chunks_exact(packed.len() * channels)) {
            let rows = padded.chunks_exact_mut(row).zip(image.chunks_exact(input.width * channels));
            rows.for_each(|(padded, row)| pack(&mut padded[pad..], row, channels, first, lanes));
            pack(&mut packed, gradients, channels, first, lanes);
            for (ky, sums) in sums.iter_mut().enumerate() {
                let rows = packed.chunks_exact(gradient.width).enumerate().filter_map(|(y, gradients)| {
                    let y = (y * stride + ky).checked_sub(pad).filter(|&y| y < input.height)?;
                    Some((&padded[y * row..][..row], gradients))
                });
                // Few enough at once that sums, window and gradient stay in registers.
                match K {
                    5 => {
                        add_taps::<K, 0, 3>(rows.clone(), stride, sums, multiply_add);
                        add_taps::<K, 3, 2>(rows, stride, sums, multiply_add);
                    }
                    _ => {
                        add_taps::<K, 0, 4>(rows.clone(), stride, sums, multiply_add);
                        add_taps::<K, 4, 3>(rows, stride, sums, multiply_add);
                    }
                }
            }
        }
        for (lane, output) in output.chunks_exact_mut(K * K).enumerate() {
            let taps = sums.iter().flatten();
            output.iter_mut().zip(taps).for_each(|(output, sum)| *output = sum[lane]);
        }
    }
}

/// Copies one group's channels of successive pixels.
#[inline(always)]
fn pack(to: &mut [Lanes], pixels: &[f32], channels: usize, first: usize, lanes: usize) {
    for (to, pixel) in to.iter_mut().zip(pixels.chunks_exact(channels)) {
        if lanes == LANES {
            to.copy_from_slice(&pixel[first..first + LANES]);
        } else {
            to[..lanes].copy_from_slice(&pixel[first..first + lanes]);
        }
    }
}

/// Adds the taps from `FIRST` of one row of the kernel, over pairs of a padded input row and a row of gradients.
#[inline(always)]
fn add_taps<'a, const K: usize, const FIRST: usize, const TAPS: usize>(
    rows: impl Iterator<Item = (&'a [Lanes], &'a [Lanes])>,
    stride: usize,
    sums: &mut [Lanes; K],
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    let mut taps = [[0.0; LANES]; TAPS];
    for (row, gradients) in rows {
        let windows = row[FIRST..].windows(TAPS).step_by(stride);
        for (window, gradient) in windows.zip(gradients) {
            for (tap, input) in taps.iter_mut().zip(window) {
                for lane in 0..LANES {
                    tap[lane] = multiply_add(input[lane], gradient[lane], tap[lane]);
                }
            }
        }
    }
    for (sum, tap) in sums[FIRST..].iter_mut().zip(&taps) {
        sum.iter_mut().zip(tap).for_each(|(sum, tap)| *sum += tap);
    }
}

/// The same loop compiled for what the processor has.
mod dispatch {
    #![expect(unsafe_code, reason = "code for a processor's feature is called once the feature is known to be there")]

    use super::Group;

    pub(super) fn sum<const K: usize>(group: Group) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the feature was detected.
                return unsafe { sum_avx512::<K>(group) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: both features were detected.
                return unsafe { sum_avx2::<K>(group) };
            }
        }
        group.sum::<K>(|a, b, c| a * b + c);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn sum_avx512<const K: usize>(group: Group) {
        group.sum::<K>(f32::mul_add);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn sum_avx2<const K: usize>(group: Group) {
        group.sum::<K>(f32::mul_add);
    }
}

/// A tensor's values where they are: to copy them out would cost a quarter of what the sums cost.
mod values {
    #![expect(unsafe_code, reason = "libtorch gives a pointer")]

    use tch::{Device, Kind, Tensor};

    /// The values of a contiguous float tensor on the CPU.
    pub(super) fn of(tensor: &Tensor) -> &[f32] {
        assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
        // SAFETY: such a tensor has `numel` floats at `data_ptr`, for as long as it lives, and nothing writes to the
        // maps of a step while its gradient is computed.
        unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>().cast_const(), tensor.numel()) }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn check(channels: i64, side: i64, kernel: u8, stride: u8) {
        let (k, s) = (i64::from(kernel), i64::from(stride));
        tch::manual_seed(side + k);
        let random = |size: &[i64]| Tensor::randn(size, tch::kind::FLOAT_CPU);
        let input = random(&[3, channels, side, side]);
        let weight = random(&[channels, 1, k, k]).set_requires_grad(true);
        let output = input.conv2d(&weight, None::<Tensor>, s, k / 2, 1, channels);
        let gradient = random(&output.size());
        (output * &gradient).sum(Kind::Float).backward();
        let ours = weight_gradients(&[Problem { input: &input, gradient: &gradient, kernel, stride }]).remove(0);
        let difference = (&ours - weight.grad()).abs().max().double_value(&[]);
        let largest = weight.grad().abs().max().double_value(&[]);
        assert!(difference < 1e-5 * largest, "{channels} × {side}, {kernel}, {stride}: {difference} of {largest}");
    }

    #[test]
    fn it_is_libtorchs() {
        check(16, 9, 5, 1);
        check(32, 8, 7, 1);
        check(24, 7, 7, 1); // a last group that is half empty
        check(8, 14, 5, 2); // even side: padding is used on one side only
        check(40, 7, 7, 2);
        check(16, 3, 7, 1); // the kernel is larger than the map
        check(16, 1, 5, 2);
    }

    #[test]
    fn problems_that_are_solved_together_are_those_solved_alone() {
        tch::manual_seed(5);
        let [small, large] = [6, 11].map(|side| Tensor::randn([2, 24, side, side], tch::kind::FLOAT_CPU));
        let problem = |map, kernel| Problem { input: map, gradient: map, kernel, stride: 1 };
        let together = weight_gradients(&[problem(&small, 7), problem(&large, 5)]);
        assert_eq!(together[0], weight_gradients(&[problem(&small, 7)])[0]);
        assert_eq!(together[1], weight_gradients(&[problem(&large, 5)])[0]);
    }
}
