//! The elastic kernel: one depthwise kernel from which smaller ones are cut and transformed.
//!
//! The 5×5 is the centre of the 7×7 times a learned 25×25 matrix, the 3×3 the centre of that 5×5 times a 9×9
//! matrix (once-for-all, section 3.3): the smaller kernels share weights with the larger, but need not be its
//! centre. A block's channels share their matrices, which begin as identities.

use tch::Tensor;
use tch::nn::Path;

use super::weights::unpenalised;

/// A depthwise kernel with its smaller versions.
#[derive(Debug)]
pub(super) struct Depthwise {
    /// channels × 1 × side × side.
    pub largest: Tensor,
    /// For each smaller side, descending: side² × side².
    matrices: Vec<(u8, Tensor)>,
}

impl Depthwise {
    /// `kernels` are the sides that the space knows, ascending; the last is the side of `largest`.
    pub fn new(largest: Tensor, kernels: &[u8], path: &Path) -> Self {
        let smaller = kernels.iter().rev().skip(1);
        let matrices = smaller.map(|&side| {
            let identity = Tensor::eye(i64::from(side).pow(2), tch::kind::FLOAT_CPU);
            (side, unpenalised(path).var_copy(&format!("to_{side}"), &identity))
        });
        Self { matrices: matrices.collect(), largest }
    }

    /// The kernel of this `side` for the first `channels`.
    pub fn kernel(&self, side: u8, channels: i64) -> Tensor {
        let mut kernel = self.largest.narrow(0, 0, channels);
        for (smaller, matrix) in self.matrices.iter().take_while(|(smaller, _)| *smaller >= side) {
            let smaller = i64::from(*smaller);
            kernel =
                centre(&kernel, smaller).reshape([channels, -1]).matmul(matrix).view([channels, 1, smaller, smaller]);
        }
        kernel
    }
}

fn centre(kernel: &Tensor, side: i64) -> Tensor {
    let start = (kernel.size()[2] - side) / 2;
    kernel.narrow(2, start, side).narrow(3, start, side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    fn depthwise(variables: &VarStore) -> Depthwise {
        let largest = variables
            .root()
            .var_copy("depthwise", &Tensor::arange(2 * 49, (Kind::Float, Device::Cpu)).view([2, 1, 7, 7]));
        Depthwise::new(largest, &[3, 5, 7], &variables.root())
    }

    #[test]
    fn identities_leave_the_centre() {
        let variables = VarStore::new(Device::Cpu);
        let depthwise = depthwise(&variables);
        for side in [3_u8, 5, 7] {
            let expected = centre(&depthwise.largest, i64::from(side)).narrow(0, 0, 1);
            assert_eq!(depthwise.kernel(side, 1), expected, "side {side}");
        }
    }

    /// The crop decides how far a gradient can reach, the matrices whether it does.
    #[test]
    fn a_gradient_of_the_3x3_reaches_the_whole_5x5_through_the_matrices() {
        let variables = VarStore::new(Device::Cpu);
        let depthwise = depthwise(&variables);
        let reach = || {
            depthwise.kernel(3, 2).square().sum(Kind::Float).backward();
            let reached = depthwise.largest.grad().ne(0.0).to_kind(Kind::Int64);
            let sides = [3, 5, 7].map(|side| centre(&reached, side).sum(Kind::Int64).int64_value(&[]));
            let _ = depthwise.largest.grad().zero_();
            sides
        };
        assert_eq!(reach(), [2 * 9, 2 * 9, 2 * 9], "identities: the 3×3 centre alone");
        tch::no_grad(|| {
            for (_, matrix) in &depthwise.matrices {
                let _ = matrix.shallow_clone().g_add_(&(matrix.ones_like() * 0.01));
            }
        });
        assert_eq!(reach(), [2 * 9, 2 * 25, 2 * 25], "learned matrices: the ring around it too, up to the crop");
        for (side, matrix) in &depthwise.matrices {
            assert!(matrix.grad().abs().max().double_value(&[]) > 0.0, "matrix to {side}");
        }
    }
}
