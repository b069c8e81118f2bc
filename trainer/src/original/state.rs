//! The tensors of a PyTorch file: an archive whose `data.pkl` names them and whose other entries hold their values.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::archive::Archive;
use super::pickle::{self, Tensor, Value};

/// No predictor has more values.
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
    if file.starts_with(&[0x80, 2, 0x8a]) {
        bail!("it is of the kind that PyTorch wrote before 1.6; there, load it and save it again with torch.save");
    }
    ensure!(Archive::is(file), "it is no file of torch.save");
    let archive = Archive::parse(file)?;
    let (folder, pickle) = archive.ending("data.pkl").context("it has no data.pkl")?;
    let big = archive.get(&format!("{folder}byteorder")).is_some_and(|order| order != b"little");
    ensure!(!big, "its values are not little endian");
    let mut root = pickle::read(pickle)?;
    if let Value::Dict(pairs) = &root
        && let Some((_, state)) = pairs.iter().find(|(key, _)| **key == Value::Text("state_dict".into()))
    {
        root = (**state).clone();
    }
    let Value::Dict(pairs) = root else { bail!("it holds no state_dict") };
    let tensor = |(key, value): (Rc<Value>, Rc<Value>)| match (&*key, &*value) {
        (Value::Text(name), Value::Tensor(tensor)) => {
            let storage = archive.get(&format!("{folder}data/{}", tensor.key));
            let storage = storage.with_context(|| format!("the values of {name:?} are missing"))?;
            Ok((name.clone(), gather(tensor, storage).with_context(|| format!("its tensor {name:?}"))?))
        }
        _ => bail!("its state_dict holds what is no tensor"),
    };
    pairs.into_iter().map(tensor).collect()
}

fn gather(tensor: &Tensor, storage: &[u8]) -> Result<Values> {
    ensure!(tensor.size.len() == tensor.stride.len() && tensor.size.len() <= 4, "it has no shape");
    let count = tensor.size.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    let count = count.filter(|&count| count <= MOST).context("it is too large")?;
    let mut values = Vec::with_capacity(count.min(storage.len() / 4));
    for i in 0..count {
        let (mut rest, mut at) = (i, Some(tensor.offset));
        for (&side, &stride) in tensor.size.iter().zip(&tensor.stride).rev() {
            at = (rest % side).checked_mul(stride).and_then(|step| at?.checked_add(step));
            rest /= side;
        }
        let start = at.and_then(|at| at.checked_mul(4)).context("it is too large")?;
        let bytes = storage.get(start..).and_then(|rest| rest.first_chunk()).context("its storage is too short")?;
        values.push(f32::from_le_bytes(*bytes));
    }
    Ok(Values { size: tensor.size.clone(), values })
}
