//! The original's latency tables, a file for each resolution, as one of ours in nanoseconds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use runtime::{Activation, Layer, Shape};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::yaml::{self, Figure};
use crate::files::Header;
use crate::space::{Resolutions, Space};
use crate::table::{Entry, FOREIGN_RUNTIME, FORMAT, LatencyTable, Outcome, Provenance, check_board};

/// A table, and what became of the files.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// Of the resolutions whose first convolution the files have.
    pub table: LatencyTable,
    /// Those.
    pub resolutions: Vec<u16>,
    /// Keys of the files that no net of the space has.
    pub unused: usize,
}

/// Reads tables, each with the name that errors call it by. A layer that several have, such as the classifier, gets the
/// mean of all their measurements; the original takes that of each resolution's own table, so a net's latency differs from
/// the original's where the tables differ. `board` is what the table calls the device, `command` what makes the table again.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::original::read_table;
/// use trainer::space::{Choices, Kernels, Resolutions};
///
/// let mut space = made_up::space();
/// space.input.resolutions = Resolutions(vec![24]);
/// let stage = &mut space.stages.0[0];
/// (stage.depth, stage.kernel, stage.expand) = (Choices(vec![1]), Kernels(vec![3]), Choices(vec![3]));
/// let text = "
/// Conv-input:24x24x1-output:12x12x16: {count: 30, mean: 0.2}
/// expanded_conv-input:12x12x16-output:12x12x16-expand:48-kernel:3-stride:1-idskip:1-se:0-hs:0: {count: 30, mean: 0.5}
/// Conv_1-input:12x12x16-output:12x12x128: {count: 30, mean: 0.3}
/// AvgPool2D-input:12x12x128-output:1x1x128: {count: 30, mean: 0.1}
/// Logits-input:1x1x128-output:2: {count: 30, mean: 0.1}";
/// let imported = read_table(&[("24.yaml".into(), text.into())], &space, "phone", "ofa table import 24.yaml")?;
/// assert_eq!(imported.table.latency(&space.layers(&space.largest()))?, 1_200_000, "nanoseconds");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// One line with file and line at fault, or with the first key that is missing, or if no file can be called as the board.
pub fn read_table(texts: &[(String, String)], space: &Space, board: &str, command: &str) -> Result<Imported> {
    check_board(board)?;
    let mut figures: BTreeMap<String, Figure> = BTreeMap::new();
    let mut hash = Sha256::new();
    for (name, text) in texts {
        hash.update(text);
        for (key, new) in yaml::read(text).with_context(|| name.clone())? {
            let known = figures.entry(key).or_insert(Figure { mean: 0.0, count: 0.0 });
            let count = known.count + new.count;
            *known = Figure { mean: (known.mean * known.count + new.mean * new.count) / count, count };
        }
    }
    let (mut layers, mut resolutions, mut used) = (BTreeMap::new(), vec![], BTreeSet::new());
    for &side in &space.input.resolutions.0 {
        let mut one = space.clone();
        one.input.resolutions = Resolutions(vec![side]);
        if !figures.contains_key(&key(&space.layers(&one.smallest())[0])) {
            continue;
        }
        resolutions.push(side);
        for layer in one.distinct_layers() {
            let key = key(&layer);
            let Some(figure) = figures.get(&key) else {
                bail!("there is no {key}, though there are layers for images of {side} pixels");
            };
            layers.insert(layer, *figure);
            used.insert(key);
        }
    }
    if resolutions.is_empty() {
        let stem = key(&space.layers(&space.largest())[0]);
        let first = figures.keys().next().context("there are no layers")?;
        bail!("there is no first convolution of the space {}, such as {stem}; there is {first}", space.name);
    }
    let table = LatencyTable {
        header: Header::new(FORMAT, &space.hash(), 0),
        provenance: Provenance {
            command: command.into(),
            board: board.into(),
            core: "unknown".into(),
            clock_hz: 0,
            unit: "ns".into(),
            flash_bytes: 0,
            ram_bytes: 0,
            link: "none: imported from a table of the original once-for-all".into(),
            probe: "none".into(),
            sources: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            runtime: FOREIGN_RUNTIME.into(),
            ofa: env!("CARGO_PKG_VERSION").into(),
            date: OffsetDateTime::now_utc().date().to_string(),
        },
        sentinel: None,
        firmware: None,
        layers: layers.into_iter().map(|(layer, figure)| entry(layer, figure)).collect::<Result<_>>()?,
        openings: vec![],
    };
    Ok(Imported { table, resolutions, unused: figures.len() - used.len() })
}

fn entry(layer: Layer, figure: Figure) -> Result<Entry> {
    let ticks = (figure.mean * 1e6).round();
    ensure!((1.0..=f64::from(u32::MAX)).contains(&ticks), "{layer} takes {} ms", figure.mean);
    let runs = figure.count.min(255.0) as u8;
    let outcome = Outcome::Measured { ticks: ticks as u32, mad: 0, runs, outliers: vec![], checksum: String::new() };
    Ok(Entry { text: layer.to_string(), outcome, layer })
}

/// What the original calls a layer.
pub(crate) fn key(layer: &Layer) -> String {
    let shape = |shape: Shape| format!("{}x{}x{}", shape.height, shape.width, shape.channels);
    let maps = |kind: &str| format!("{kind}-input:{}-output:{}", shape(layer.input()), shape(layer.output()));
    match layer {
        Layer::Conv(conv) if conv.kernel == 1 => maps("Conv_1"),
        Layer::Conv(_) => maps("Conv"),
        Layer::Block(block) => format!(
            "{}-expand:{}-kernel:{}-stride:{}-idskip:{}-se:{}-hs:{}",
            maps("expanded_conv"),
            block.expanded,
            block.kernel,
            block.stride,
            u8::from(block.residual),
            u8::from(block.squeeze > 0),
            u8::from(block.activation == Activation::HSwish)
        ),
        Layer::Pool(_) => maps("AvgPool2D"),
        Layer::Linear(linear) if linear.activation == Activation::None => {
            format!("Logits-input:1x1x{}-output:{}", linear.inputs, linear.outputs)
        }
        Layer::Linear(_) => maps("Conv_2"),
        Layer::Depthwise(_) => maps("depthwise"),
    }
}
