//! The original's accuracy predictor: fully connected layers with ReLU between them, saved as a PyTorch `Sequential`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::features::{FEATURES, layers_for};
use super::state::{self, Values};
use crate::predictor::Dense;
use crate::space::Space;

/// The layers in a `.pth` file, as our predictor of `space` reads them. The file may be of any PyTorch since 0.1.10: a zip
/// archive, or the pickles that it wrote before 1.6.
///
/// # Errors
/// One line that says what is wrong with the file or the space. Nothing that the file says is executed.
pub fn read_predictor(file: &[u8], space: &Space) -> Result<Vec<Dense>> {
    layers_for(space, dense(state::read(file)?)?)
}

fn dense(tensors: Vec<(String, Values)>) -> Result<Vec<Dense>> {
    let mut parts: BTreeMap<u32, [Option<Values>; 2]> = BTreeMap::new();
    for (name, values) in tensors {
        let place = name.split_once('.').and_then(|(number, part)| Some((number.parse().ok()?, part)));
        match place {
            Some((number, "weight")) => parts.entry(number).or_default()[0] = Some(values),
            Some((number, "bias")) => parts.entry(number).or_default()[1] = Some(values),
            _ => bail!(
                "it has a tensor {name:?}; the predictor of the original's tutorial has 0.weight, 0.bias, 2.weight …"
            ),
        }
    }
    let mut layers: Vec<Dense> = vec![];
    let mut length = FEATURES;
    for (number, [weight, bias]) in parts {
        let missing = || format!("layer {number} has not both weight and bias");
        let (weight, bias) = (weight.with_context(missing)?, bias.with_context(missing)?);
        let outputs = bias.values.len();
        ensure!(bias.size == [outputs], "the bias of layer {number} is no vector");
        let fits = weight.size == [outputs, length];
        ensure!(fits, "the weight of layer {number} is {:?}, not {outputs} × {length}", weight.size);
        // A ReLU lies between each two.
        ensure!(number as usize == 2 * layers.len(), "its layers are not 0, 2, 4 and so on");
        layers.push(Dense { inputs: length, weights: weight.values, bias: bias.values });
        length = outputs;
    }
    ensure!(length == 1 && !layers.is_empty(), "its last layer has {length} outputs, not 1");
    Ok(layers)
}
