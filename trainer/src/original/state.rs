//! The tensors of a PyTorch file, by name.

use anyhow::{Context, Result, bail, ensure};

use super::pickle::{Tensor, Value};
use super::saved::Saved;

/// Of all tensors: no predictor has more values.
const MOST: usize = 1 << 26;

/// Values with their shape, in the order of the dimensions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Values {
    pub size: Vec<usize>,
    pub values: Vec<f32>,
}

/// The tensors of a `state_dict`, or of a checkpoint that has one as `state_dict`, by name, in the file's order.
///
/// # Errors
/// One line that says what is wrong with the file.
pub(super) fn read(file: &[u8]) -> Result<Vec<(String, Values)>> {
    let Saved { object, storages } = Saved::parse(file)?;
    let root = object.root();
    let Value::Dict(pairs) = object.item(root, "state_dict").unwrap_or(root) else { bail!("it holds no state_dict") };
    let mut tensors = vec![];
    for (key, value) in pairs {
        let (&Value::Text(name), Value::Tensor(tensor)) = (object.get(*key), object.get(*value)) else {
            bail!("its state_dict holds what is no tensor")
        };
        let storage = storages.get(tensor.key).with_context(|| format!("the values of {name:?} are missing"))?;
        let storage = storage.as_chunks().0;
        tensors.push((name, tensor, storage, count(tensor, storage).with_context(|| format!("its tensor {name:?}"))?));
    }
    let total: usize = tensors.iter().map(|(.., count)| count).sum();
    ensure!(total <= MOST, "its tensors have {total} values; no predictor has more than {MOST}");
    let read = |(name, tensor, storage, count): (&str, &Tensor, &[[u8; 4]], usize)| {
        Ok((name.to_owned(), gather(tensor, storage, count).with_context(|| format!("its tensor {name:?}"))?))
    };
    tensors.into_iter().map(read).collect()
}

/// How many values a tensor has: no more than its storage, though a stride of 0 would repeat one without end.
fn count(tensor: &Tensor, storage: &[[u8; 4]]) -> Result<usize> {
    let count = tensor.size.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    let count = count.context("it is too large")?;
    ensure!(count <= storage.len(), "its storage is too short: {} values, not {count}", storage.len());
    Ok(count)
}

fn gather(tensor: &Tensor, storage: &[[u8; 4]], count: usize) -> Result<Values> {
    let mut values = Vec::with_capacity(count);
    for i in 0..count {
        let (mut rest, mut at) = (i, Some(tensor.offset));
        for (&side, &stride) in tensor.size.iter().zip(&tensor.stride).rev() {
            at = (rest % side).checked_mul(stride).and_then(|step| at?.checked_add(step));
            rest /= side;
        }
        let bytes = at.and_then(|at| storage.get(at)).context("its storage is too short")?;
        values.push(f32::from_le_bytes(*bytes));
    }
    Ok(Values { size: tensor.size.clone(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(offset: usize, size: &[usize], stride: &[usize]) -> Result<Vec<f32>> {
        let storage = [0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_le_bytes);
        let tensor = Tensor { key: "0", offset, size: size.to_vec(), stride: stride.to_vec() };
        count(&tensor, &storage).and_then(|count| gather(&tensor, &storage, count)).map(|read| read.values)
    }

    #[test]
    fn values_are_in_the_order_of_the_dimensions() {
        assert_eq!(gathered(1, &[2, 3], &[3, 1]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]); // behind the first
        assert_eq!(gathered(0, &[2, 3], &[1, 2]).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]); // transposed
        assert_eq!(gathered(0, &[2, 0], &[1, 1]).unwrap(), [0.0; 0]); // empty
        assert_eq!(gathered(6, &[], &[]).unwrap(), [6.0]); // a number
    }

    #[test]
    fn what_is_outside_of_the_storage_is_refused() {
        let wrong: [(usize, &[usize], &[usize]); 5] = [
            (2, &[2, 3], &[3, 1]),          // its last value is behind the storage
            (0, &[8], &[0]),                // one value, repeated
            (usize::MAX, &[2], &[1]),       // no number can hold where it is
            (0, &[2], &[usize::MAX]),       // the same
            (0, &[usize::MAX, 2], &[1, 1]), // the same of how many
        ];
        for (offset, size, stride) in wrong {
            assert!(gathered(offset, size, stride).is_err(), "{offset} {size:?} {stride:?}");
        }
    }
}
