//! One net taken out of the supernet: float weights with batch norm folded in. `subnet.onnx` is its file.

use runtime::Layer;

use crate::dataset::Normalisation;
use crate::files::Header;
use crate::space::Arch;

/// A net on its own, in float.
#[derive(Clone, PartialEq, Debug)]
pub struct Subnet {
    /// The space and the seed that it came from.
    pub header: Header,
    /// The net of the space that it is.
    pub arch: Arch,
    /// How pixels become its input.
    pub normalisation: Normalisation,
    /// Its layers with the weights of each.
    pub layers: Vec<(Layer, Vec<Affine>)>,
}

/// Weights and bias of one convolution or linear layer. A layer's come in the order that [`Layer`] documents:
/// a block's are expand (where it expands), depthwise, squeeze and excite (where it squeezes), project.
#[derive(Clone, PartialEq, Debug)]
pub struct Affine {
    /// out × kh × kw × in; depthwise: channel × kh × kw.
    pub weights: Vec<f32>,
    /// One for each output channel.
    pub bias: Vec<f32>,
}
