//! The geometry of one unit of work. No weights, no data: a `Layer` is a key and a plan.

use core::fmt;

use crate::order::Order;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Extent of an activation map, stored row by row with its channels innermost (height × width × channels).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Shape {
    /// Rows.
    pub height: u16,
    /// Pixels in a row.
    pub width: u16,
    /// Values of a pixel.
    pub channels: u16,
}

impl Shape {
    /// A map of `height` × `width` × `channels`.
    pub const fn new(height: u16, width: u16, channels: u16) -> Self {
        Self { height, width, channels }
    }

    /// Number of values; as activations are int8, also their bytes.
    pub const fn len(self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// Whether the map holds no value at all.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Values of one row.
    pub(crate) const fn row(self) -> usize {
        self.width as usize * self.channels as usize
    }

    /// The map after a window of any odd size moves over this one in steps of `stride`, 1 or 2, with half a window of
    /// padding.
    pub(crate) const fn strided(self, stride: u8, channels: u16) -> Self {
        match stride {
            2 => Self::new(self.height.div_ceil(2), self.width.div_ceil(2), channels),
            _ => Self::new(self.height, self.width, channels),
        }
    }
}

/// What follows a convolution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "kebab-case"))]
pub enum Activation {
    /// Nothing.
    None,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x · min(max(x + 3, 0), 6) / 6 (MobileNetV3, section 5.2), by [table](TABLE_TAPS).
    HSwish,
}

/// Bytes of a table: what each int8 becomes, that of −128 first. A convolution that h-swish follows has one behind its
/// taps, in the same slice.
pub const TABLE_TAPS: usize = 256;

impl Activation {
    /// Bytes of its table, where it has one.
    pub(crate) const fn table_taps(self) -> usize {
        match self {
            Self::HSwish => TABLE_TAPS,
            Self::None | Self::Relu | Self::Relu6 => 0,
        }
    }
}

/// A dense convolution with half a window of zero padding: the stem, or the 1×1 head.
///
/// Its taps are a [matrix](crate::pack) of out × (kh × kw × in), then the [table](TABLE_TAPS) of h-swish.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Conv {
    /// The map it reads.
    pub input: Shape,
    /// Output channels.
    pub channels: u16,
    /// Side of the square window; odd.
    pub kernel: u8,
    /// 1 or 2.
    pub stride: u8,
    /// What follows.
    pub activation: Activation,
}

/// An inverted residual block (MobileNetV2, section 3.3): expand 1×1, depthwise k×k, optional
/// squeeze-and-excite, project 1×1, optional residual. The activation follows expand and depthwise.
///
/// Taps: expand (a [matrix](crate::pack) of expanded × in), depthwise (expanded × kh × kw), squeeze (a matrix of
/// squeeze × expanded), excite (expanded × squeeze), project (out × expanded). With h-swish expand and depthwise each
/// have a [table](TABLE_TAPS) behind them. Channels come in the same order; squeeze-and-excite has two more before its
/// own, the mean's bias and multiplier and the multiplier of the product, whose bias is not used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Block {
    /// The map it reads.
    pub input: Shape,
    /// Channels of the hidden maps. Equal to the input's channels: there is no expanding convolution.
    pub expanded: u16,
    /// Side of the depthwise window; odd.
    pub kernel: u8,
    /// Of the depthwise convolution; 1 or 2.
    pub stride: u8,
    /// Channels of the squeezed vector; 0: no squeeze-and-excite.
    pub squeeze: u16,
    /// Output channels.
    pub channels: u16,
    /// Whether the input is added to the output.
    pub residual: bool,
    /// What follows the expanding and the depthwise convolution.
    pub activation: Activation,
}

/// A depthwise convolution alone, with half a window of padding. Nets have it inside blocks; on its own it is what
/// kernels are compared by. Taps lie channel × kh × kw, then comes the [table](TABLE_TAPS) of h-swish.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Depthwise {
    /// The map it reads.
    pub input: Shape,
    /// Side of the square window; odd.
    pub kernel: u8,
    /// 1 or 2.
    pub stride: u8,
    /// What follows.
    pub activation: Activation,
}

/// Average of each channel over the whole map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Pool {
    /// The map it reads; it writes 1 × 1 × channels.
    pub input: Shape,
}

/// A fully connected layer. Its taps are a [matrix](crate::pack) of out × in, then the [table](TABLE_TAPS) of h-swish.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Linear {
    /// Length of the vector that it reads.
    pub inputs: u16,
    /// Length of the vector that it writes.
    pub outputs: u16,
    /// What follows.
    pub activation: Activation,
}

/// One unit of work: what a latency table is keyed by, the probe measures and [`crate::execute`] runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "kebab-case"))]
pub enum Layer {
    /// Stem or head convolution.
    Conv(Conv),
    /// Inverted residual block.
    Block(Block),
    /// Global average pooling.
    Pool(Pool),
    /// Classifier, or the linear layer before it.
    Linear(Linear),
    /// Depthwise convolution.
    Depthwise(Depthwise),
}

/// Why a layer's numbers describe no layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Invalid {
    /// A map, a vector or the hidden map has no values.
    Empty,
    /// A map holds more than 2²⁴ values, one output is the sum of more than 2¹⁵ products, or squeeze-and-excite has
    /// more than 2²⁴ taps.
    TooLarge,
    /// The kernel is even, 0 or above 15.
    Kernel,
    /// The stride is neither 1 nor 2.
    Stride,
    /// A residual joins maps of different shape.
    Residual,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a map of the layer is empty",
            Self::TooLarge => "a map of the layer is too large",
            Self::Kernel => "the kernel is not an odd number from 1 to 15",
            Self::Stride => "the stride is neither 1 nor 2",
            Self::Residual => "the residual joins maps of different shape",
        })
    }
}

impl core::error::Error for Invalid {}

const MAP_LIMIT: u64 = 1 << 24;
const FAN_IN_LIMIT: u32 = 1 << 15;
pub(crate) const KERNEL_LIMIT: u8 = 15;

const fn check_map(shape: Shape) -> Result<(), Invalid> {
    let len = shape.height as u64 * shape.width as u64 * shape.channels as u64;
    match len {
        0 => Err(Invalid::Empty),
        1..=MAP_LIMIT => Ok(()),
        _ => Err(Invalid::TooLarge),
    }
}

const fn check_window(kernel: u8, stride: u8, depth: u16) -> Result<(), Invalid> {
    if kernel.is_multiple_of(2) || kernel > KERNEL_LIMIT {
        return Err(Invalid::Kernel);
    }
    if stride != 1 && stride != 2 {
        return Err(Invalid::Stride);
    }
    if kernel as u32 * kernel as u32 * depth as u32 > FAN_IN_LIMIT {
        return Err(Invalid::TooLarge);
    }
    Ok(())
}

macro_rules! check {
    ($result:expr) => {
        if let Err(invalid) = $result {
            return Err(invalid);
        }
    };
}

impl Conv {
    /// In which its taps lie.
    pub(crate) const fn order(&self) -> Order {
        let row = self.kernel as usize * self.input.channels as usize;
        Order { depth: self.kernel as usize * row, row }
    }

    /// The map it writes.
    pub const fn output(&self) -> Shape {
        self.input.strided(self.stride, self.channels)
    }

    const fn check(&self) -> Result<(), Invalid> {
        check!(check_map(self.input));
        check!(check_window(self.kernel, self.stride, self.input.channels));
        check_map(self.output())
    }

    /// Of the matrix alone.
    pub(crate) const fn matrix_taps(&self) -> usize {
        self.channels as usize * self.kernel as usize * self.kernel as usize * self.input.channels as usize
    }
}

impl Block {
    /// The map it writes.
    pub const fn output(&self) -> Shape {
        self.input.strided(self.stride, self.channels)
    }

    /// The map between expand and depthwise; the input itself where nothing expands.
    pub const fn expanded_map(&self) -> Shape {
        Shape { channels: self.expanded, ..self.input }
    }

    /// The map between depthwise and project.
    pub const fn depthwise_map(&self) -> Shape {
        self.input.strided(self.stride, self.expanded)
    }

    /// Whether it begins with an expanding 1×1 convolution.
    pub const fn expands(&self) -> bool {
        self.expanded != self.input.channels
    }

    const fn check(&self) -> Result<(), Invalid> {
        check!(check_map(self.input));
        check!(check_map(self.expanded_map()));
        check!(check_window(self.kernel, self.stride, 1));
        check!(check_map(self.output()));
        if self.input.channels as u32 > FAN_IN_LIMIT || self.expanded as u32 > FAN_IN_LIMIT {
            return Err(Invalid::TooLarge);
        }
        if self.squeeze as u32 > FAN_IN_LIMIT || self.squeeze_taps() as u64 > MAP_LIMIT {
            return Err(Invalid::TooLarge);
        }
        if self.residual && (self.stride != 1 || self.channels != self.input.channels) {
            return Err(Invalid::Residual);
        }
        Ok(())
    }

    pub(crate) const fn expand_taps(&self) -> usize {
        if self.expands() { self.input.channels as usize * self.expanded as usize } else { 0 }
    }

    pub(crate) const fn depthwise_taps(&self) -> usize {
        self.kernel as usize * self.kernel as usize * self.expanded as usize
    }

    /// Of squeeze and excite together.
    const fn squeeze_taps(&self) -> usize {
        2 * self.squeeze as usize * self.expanded as usize
    }

    /// Of the tables.
    const fn table_taps(&self) -> usize {
        (1 + self.expands() as usize) * self.activation.table_taps()
    }

    pub(crate) const fn project_taps(&self) -> usize {
        self.expanded as usize * self.channels as usize
    }
}

impl Depthwise {
    /// The map it writes.
    pub const fn output(&self) -> Shape {
        self.input.strided(self.stride, self.input.channels)
    }

    const fn check(&self) -> Result<(), Invalid> {
        check!(check_map(self.input));
        check_window(self.kernel, self.stride, 1)
    }

    /// Of the filters alone.
    pub(crate) const fn filter_taps(&self) -> usize {
        self.kernel as usize * self.kernel as usize * self.input.channels as usize
    }
}

impl Linear {
    /// Of the matrix alone.
    pub(crate) const fn matrix_taps(&self) -> usize {
        self.inputs as usize * self.outputs as usize
    }
}

impl Layer {
    /// Whether the numbers describe a layer. Everything else here trusts them, so bytes from outside
    /// become a layer through this check.
    ///
    /// ```
    /// use runtime::{Activation, Conv, Invalid, Layer, Shape};
    ///
    /// let input = Shape::new(32, 32, 3);
    /// let conv = |kernel| Layer::Conv(Conv { input, channels: 16, kernel, stride: 2, activation: Activation::Relu6 });
    /// assert_eq!(conv(3).check(), Ok(()));
    /// assert_eq!(conv(4).check(), Err(Invalid::Kernel));
    /// assert_eq!(conv(3).output(), Shape::new(16, 16, 16));
    /// assert_eq!(conv(3).macs(), 16 * 16 * 16 * 27);
    /// ```
    pub const fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Conv(conv) => conv.check(),
            Self::Block(block) => block.check(),
            Self::Depthwise(depthwise) => depthwise.check(),
            Self::Pool(pool) => check_map(pool.input),
            Self::Linear(linear) => match (linear.inputs, linear.outputs) {
                (0, _) | (_, 0) => Err(Invalid::Empty),
                (inputs, _) if inputs as u32 > FAN_IN_LIMIT => Err(Invalid::TooLarge),
                _ => Ok(()),
            },
        }
    }

    /// The map it reads.
    pub const fn input(&self) -> Shape {
        match self {
            Self::Conv(conv) => conv.input,
            Self::Block(block) => block.input,
            Self::Depthwise(depthwise) => depthwise.input,
            Self::Pool(pool) => pool.input,
            Self::Linear(linear) => Shape::new(1, 1, linear.inputs),
        }
    }

    /// The map it writes.
    pub const fn output(&self) -> Shape {
        match self {
            Self::Conv(conv) => conv.output(),
            Self::Block(block) => block.output(),
            Self::Depthwise(depthwise) => depthwise.output(),
            Self::Pool(pool) => Shape::new(1, 1, pool.input.channels),
            Self::Linear(linear) => Shape::new(1, 1, linear.outputs),
        }
    }

    /// Multiply-accumulates of one run, those on padding included; pooling counts none, and neither do tables. A block
    /// that [makes its hidden maps twice](Block::recomputes) counts them once: it is the same net.
    pub const fn macs(&self) -> u64 {
        match self {
            Self::Conv(conv) => {
                let out = conv.output();
                (out.height as u64 * out.width as u64).saturating_mul(conv.matrix_taps() as u64)
            }
            Self::Block(block) => {
                let input = block.input.height as u64 * block.input.width as u64;
                let out = block.output();
                let out = out.height as u64 * out.width as u64;
                let [expand, filter] = [block.expand_taps() as u64, block.depthwise_taps() as u64];
                let hidden = input.saturating_mul(expand).saturating_add(out.saturating_mul(filter));
                let project = out.saturating_mul(block.project_taps() as u64);
                hidden.saturating_add(project).saturating_add(block.squeeze_taps() as u64)
            }
            Self::Depthwise(depthwise) => {
                let out = depthwise.output();
                (out.height as u64 * out.width as u64).saturating_mul(depthwise.filter_taps() as u64)
            }
            Self::Pool(_) => 0,
            Self::Linear(linear) => linear.inputs as u64 * linear.outputs as u64,
        }
    }

    /// Weights and tables: one byte each in flash.
    pub const fn taps(&self) -> usize {
        self.weights() + self.table_taps()
    }

    const fn weights(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.matrix_taps(),
            Self::Block(block) => {
                block.expand_taps() + block.depthwise_taps() + block.squeeze_taps() + block.project_taps()
            }
            Self::Depthwise(depthwise) => depthwise.filter_taps(),
            Self::Pool(_) => 0,
            Self::Linear(linear) => linear.matrix_taps(),
        }
    }

    const fn table_taps(&self) -> usize {
        match self {
            Self::Block(block) => block.table_taps(),
            Self::Conv(Conv { activation, .. })
            | Self::Linear(Linear { activation, .. })
            | Self::Depthwise(Depthwise { activation, .. }) => activation.table_taps(),
            Self::Pool(_) => 0,
        }
    }

    /// One [`crate::Channel`] (bias and multiplier) each in flash: the output channels of all its convolutions, one for
    /// pooling, two more for squeeze-and-excite.
    pub const fn channels(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.channels as usize,
            Self::Block(block) => {
                let expand = if block.expands() { block.expanded as usize } else { 0 };
                let squeeze = if block.squeeze == 0 { 0 } else { 2 + block.squeeze as usize + block.expanded as usize };
                expand + block.expanded as usize + squeeze + block.channels as usize
            }
            Self::Depthwise(depthwise) => depthwise.input.channels as usize,
            Self::Pool(_) => 1,
            Self::Linear(linear) => linear.outputs as usize,
        }
    }

    /// Learned numbers: the weights and a bias for each output channel.
    pub const fn parameters(&self) -> usize {
        match self {
            Self::Pool(_) => 0,
            Self::Block(Block { squeeze: 1.., .. }) => self.weights() + self.channels() - 2,
            _ => self.weights() + self.channels(),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::HSwish => "h-swish",
        })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv(c) => {
                write!(f, "conv {} -> {} k{} s{} {}", c.input, c.output(), c.kernel, c.stride, c.activation)
            }
            Self::Block(b) => {
                write!(f, "block {} -> {} e{} k{} s{}", b.input, b.output(), b.expanded, b.kernel, b.stride)?;
                if b.squeeze != 0 {
                    write!(f, " se{}", b.squeeze)?;
                }
                if b.residual {
                    f.write_str(" residual")?;
                }
                write!(f, " {}", b.activation)
            }
            Self::Depthwise(d) => {
                write!(f, "depthwise {} -> {} k{} s{} {}", d.input, d.output(), d.kernel, d.stride, d.activation)
            }
            Self::Pool(p) => write!(f, "pool {}", p.input),
            Self::Linear(l) => write!(f, "linear {} -> {} {}", l.inputs, l.outputs, l.activation),
        }
    }
}
