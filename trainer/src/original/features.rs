//! The order of what the original's predictor reads: 20 blocks × 3 kernels, 20 blocks × 3 expand ratios, 8 resolutions,
//! one-hot; a block that is not there has zeros only.

use anyhow::{Result, ensure};

use crate::predictor::Dense;
use crate::space::{Space, Stage};

const STAGES: usize = 5;
const DEPTH: usize = 4;
const KERNELS: [u8; 3] = [3, 5, 7];
const EXPANDS: [u8; 3] = [3, 4, 6];
const EXPANDS_AT: usize = STAGES * DEPTH * KERNELS.len();
const RESOLUTIONS_AT: usize = EXPANDS_AT + STAGES * DEPTH * EXPANDS.len();
const RESOLUTIONS: [u16; 8] = [112, 128, 144, 160, 176, 192, 208, 224];

/// How many there are.
pub const FEATURES: usize = RESOLUTIONS_AT + RESOLUTIONS.len();

/// Those of a space's resolutions that the original's predictor knows, ascending.
pub fn resolutions(space: &Space) -> Vec<u16> {
    space.input.resolutions.0.iter().copied().filter(|side| RESOLUTIONS.contains(side)).collect()
}

/// The original's layers as our predictor of `space` reads them, its inputs in the order of
/// [`features`](crate::predictor::features). A resolution that it does not know weighs nothing.
///
/// # Errors
/// If the space is not the original's, whatever its widths are, or the layers don't read its features.
pub fn layers_for(space: &Space, mut layers: Vec<Dense>) -> Result<Vec<Dense>> {
    let columns = columns(space)?;
    let first = layers.first_mut().filter(|first| first.inputs == FEATURES);
    let Some(first) = first else { anyhow::bail!("its first layer does not read {FEATURES} features") };
    let rows = first.weights.chunks_exact(FEATURES);
    let row = |row: &[f32]| columns.iter().map(|column| column.map_or(0.0, |column| row[column])).collect::<Vec<_>>();
    first.weights = rows.flat_map(row).collect();
    first.inputs = columns.len();
    Ok(layers)
}

/// For each of a space's features the original's, if it has it.
fn columns(space: &Space) -> Result<Vec<Option<usize>>> {
    let is_fixed = |stage: &Stage| [stage.depth.0.len(), stage.kernel.0.len(), stage.expand.0.len()] == [1; 3];
    let is_original = |stage: &Stage| {
        stage.max_depth() == DEPTH && stage.kernel.0[..] == KERNELS[..] && stage.expand.0[..] == EXPANDS[..]
    };
    let open: Vec<&Stage> = space.stages.0.iter().filter(|stage| !is_fixed(stage)).collect();
    ensure!(
        open.len() == STAGES && open.iter().all(|stage| is_original(stage)),
        "the original's predictor is for 5 stages of up to 4 blocks with kernels 3, 5, 7 and expand ratios 3, 4, 6, and \
         the space {} has others; name it with --space mobilenetv3 --width 1.2",
        space.name
    );
    let mut columns = vec![];
    let mut block = 0;
    for stage in &space.stages.0 {
        if is_fixed(stage) {
            columns.extend(vec![None; 2 * stage.max_depth()]);
            continue;
        }
        for _ in 0..DEPTH {
            columns.extend((0..KERNELS.len()).map(|kernel| Some(block * KERNELS.len() + kernel)));
            columns.extend((0..EXPANDS.len()).map(|expand| Some(EXPANDS_AT + block * EXPANDS.len() + expand)));
            block += 1;
        }
    }
    let resolution = |side| RESOLUTIONS.iter().position(|known| known == side).map(|at| RESOLUTIONS_AT + at);
    columns.extend(space.input.resolutions.0.iter().map(resolution));
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictor::features;
    use crate::space::{Arch, BlockArch};

    /// A layer that hands on its inputs shows which is where.
    #[test]
    fn each_choice_is_where_the_original_has_it() {
        let space = Space::load("mobilenetv3@1.2").unwrap();
        let weights = (0..FEATURES * FEATURES).map(|i| f32::from(u8::from(i % FEATURES == i / FEATURES))).collect();
        let identity = Dense { inputs: FEATURES, weights, bias: vec![0.0; FEATURES] };
        let layers = layers_for(&space, vec![identity]).unwrap();
        let mut arch = Arch { resolution: 176, ..space.smallest() };
        arch.stages[2] = vec![
            BlockArch { kernel: 7, expand: 4 },
            BlockArch { kernel: 5, expand: 6 },
            BlockArch { kernel: 3, expand: 3 },
        ];
        let features = features(&space, &arch);
        let row = |row: &[f32]| row.iter().zip(&features).map(|(a, b)| a * b).sum::<f32>();
        let ones = layers[0].weights.chunks(layers[0].inputs).map(row).enumerate().filter(|(_, one)| *one == 1.0);
        // Blocks 0, 1 of each unit with the first choices, but 4, 5 and 6 as above; then 176 is the fifth of eight.
        let [kernels, expands] =
            [[0, 3, 14, 16, 18, 24, 27, 36, 39, 48, 51], [60, 63, 73, 77, 78, 84, 87, 96, 99, 108, 111]];
        assert_eq!(ones.map(|(at, _)| at).collect::<Vec<_>>(), [&kernels[..], &expands[..], &[124]].concat());
        assert_eq!(resolutions(&space), [128, 144, 160, 176, 192, 208, 224]);
    }

    #[test]
    fn other_spaces_and_other_layers_are_refused() {
        let layer = || vec![Dense { inputs: 3, weights: vec![0.0; 3], bias: vec![0.0] }];
        assert!(layers_for(&Space::load("mcu").unwrap(), layer()).unwrap_err().to_string().contains("--width 1.2"));
        let space = Space::load("mobilenetv3").unwrap();
        assert!(layers_for(&space, layer()).unwrap_err().to_string().contains("does not read 128 features"));
    }
}
