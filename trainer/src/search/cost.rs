//! What a net costs on a board.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use runtime::Layer;
use serde::{Deserialize, Serialize};

use super::limits::Quantity;
use crate::model::{arena_bytes, flash_bytes};
use crate::space::{Resolutions, Space};
use crate::table::{Clock, Entry, LatencyTable, Opening, Outcome, Provenance};

/// What a net costs; the order is that of the fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Ticks of one image; `None` without a latency table.
    pub latency: Option<u64>,
    /// Bytes of the arena, by the planner.
    pub sram_bytes: u64,
    /// Bytes of the net and, with a latency table, of the code that runs it.
    pub flash_bytes: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
}

/// What there is to know about a board to tell what nets cost on it.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::search::{Costs, Limits, Quantity};
///
/// let space = made_up::space();
/// let costs = Costs::from_table(&space, &made_up::table(&space))?;
/// assert_eq!((costs.board(), costs.unit()), (Some("made-up"), Some("cycles")));
/// let layers = space.layers(&space.smallest());
/// let [cost, without] = [&costs, &Costs::without_board()].map(|costs| costs.of(&layers).expect("nothing is refused"));
/// assert_eq!((cost.get(Quantity::Macs), without.latency), (Some(without.macs), None));
/// assert_eq!(cost.latency, Some(1000 * layers.len() as u64 + 2 * cost.macs));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Costs {
    ticks: Option<Ticks>,
    code_bytes: u64,
}

#[derive(Clone, PartialEq, Debug)]
struct Ticks {
    board: String,
    unit: String,
    /// So many are a second; `None` where they are no time.
    hz: Option<f64>,
    /// `None`: the board refuses the layer.
    layers: HashMap<Layer, Option<u32>>,
    /// Of stems and first blocks that run as one.
    openings: HashMap<[Layer; 2], u32>,
    /// What the ticks of layers lie within that the board did not run.
    intervals: HashMap<Layer, [u32; 2]>,
    /// Sides of the images that the table is for, ascending.
    resolutions: Vec<u16>,
}

impl Ticks {
    fn intervals(table: &LatencyTable) -> HashMap<Layer, [u32; 2]> {
        let predicted = |entry: &Entry| match entry.outcome {
            Outcome::Predicted { low, high, .. } => Some((entry.layer, [low, high])),
            _ => None,
        };
        table.layers.iter().filter_map(predicted).collect()
    }
}

impl Cost {
    /// The cost of one kind; `None` for a latency without a table.
    pub fn get(&self, quantity: Quantity) -> Option<u64> {
        match quantity {
            Quantity::Latency => self.latency,
            Quantity::Sram => Some(self.sram_bytes),
            Quantity::Flash => Some(self.flash_bytes),
            Quantity::Macs => Some(self.macs),
        }
    }
}

impl Costs {
    /// Without a board: no latency, and flash is the net's alone.
    pub fn without_board() -> Self {
        Self::default()
    }

    /// With what `entry` says of every layer of the space: its ticks in this unit, or that the board refuses it. A
    /// resolution of whose stem it says nothing is not for the search.
    ///
    /// # Errors
    /// Names the first layer of which it says nothing.
    pub(super) fn of_board(
        space: &Space,
        board: &str,
        Clock { unit, hz }: Clock,
        code_bytes: u64,
        entry: impl Fn(&Layer) -> Option<Option<u32>>,
    ) -> Result<Self> {
        let (mut layers, mut resolutions, mut lacking) = (HashMap::new(), vec![], None);
        for &side in &space.input.resolutions.0 {
            let mut one = space.clone();
            one.input.resolutions = Resolutions(vec![side]);
            let stem = space.layers(&one.smallest())[0];
            if entry(&stem).is_none() {
                lacking.get_or_insert(stem);
                continue;
            }
            resolutions.push(side);
            for layer in one.distinct_layers() {
                layers.insert(layer, entry(&layer).ok_or_else(|| anyhow!("the latency table lacks {layer}"))?);
            }
        }
        if let (true, Some(stem)) = (resolutions.is_empty(), lacking) {
            bail!("the latency table lacks {stem}");
        }
        let (openings, intervals) = (HashMap::new(), HashMap::new());
        let ticks = Ticks { board: board.into(), unit: unit.into(), hz, layers, openings, intervals, resolutions };
        Ok(Self { ticks: Some(ticks), code_bytes })
    }

    /// The same, with what stems and first blocks take that run as one.
    pub(super) fn with_openings(mut self, openings: impl IntoIterator<Item = ([Layer; 2], u32)>) -> Self {
        if let Some(ticks) = &mut self.ticks {
            ticks.openings.extend(openings);
        }
        self
    }

    /// With a board's latency table.
    ///
    /// # Errors
    /// Names the first layer that the table lacks, and the command that measures it.
    pub fn from_table(space: &Space, table: &LatencyTable) -> Result<Self> {
        let code_bytes = table.firmware.map_or(0, |cost| cost.code_bytes) as u64;
        let Provenance { board, command, .. } = &table.provenance;
        let mut costs = Self::of_board(space, board, table.provenance.clock(), code_bytes, |layer| {
            table.entry(layer).map(Entry::ticks)
        })
        .with_context(|| format!("the table of {board} is not whole; run: {command}"))?;
        if let Some(ticks) = &mut costs.ticks {
            ticks.intervals = Ticks::intervals(table);
        }
        let ticks = |opening: &Opening| Some((opening.layers, opening.outcome.ticks()?));
        Ok(costs.with_openings(table.openings.iter().filter_map(ticks)))
    }

    /// What a tick is, where there is a board.
    pub fn unit(&self) -> Option<&str> {
        self.ticks.as_ref().map(|ticks| ticks.unit.as_str())
    }

    /// What ticks are, where there is a board.
    pub fn clock(&self) -> Option<Clock<'_>> {
        self.ticks.as_ref().map(|ticks| Clock { unit: &ticks.unit, hz: ticks.hz })
    }

    /// The board's name, where there is one.
    pub fn board(&self) -> Option<&str> {
        self.ticks.as_ref().map(|ticks| ticks.board.as_str())
    }

    /// The sides of images that the table is for; `None` without a board.
    pub(crate) fn resolutions(&self) -> Option<&[u16]> {
        self.ticks.as_ref().map(|ticks| &ticks.resolutions[..])
    }

    /// Ticks of a layer; `None` where the board refuses it or there is none.
    pub(crate) fn ticks(&self, layer: &Layer) -> Option<u64> {
        self.ticks.as_ref()?.layers.get(layer).copied().flatten().map(u64::from)
    }

    /// Ticks that the first two of these layers take beyond those of each alone: none where they run one after the other,
    /// or the board refuses one of them.
    pub(super) fn beyond(&self, layers: &[Layer]) -> i64 {
        let beyond = || {
            let pair: &[Layer; 2] = layers.first_chunk()?;
            let together = *self.ticks.as_ref()?.openings.get(pair)?;
            let alone = self.ticks(&pair[0])? + self.ticks(&pair[1])?;
            Some(i64::from(together) - alone as i64)
        };
        beyond().unwrap_or(0)
    }

    /// What the latency of these layers lies within, if all predictions of layers that the board did not run err to the same
    /// side; `None` where it ran all of them, or refuses one.
    pub(super) fn interval(&self, layers: &[Layer]) -> Option<[u64; 2]> {
        let Ticks { openings, intervals, .. } = self.ticks.as_ref()?;
        let alone = match layers.first_chunk() {
            Some(pair) if openings.contains_key(pair) => &layers[pair.len()..],
            _ => layers,
        };
        let predicted: Vec<_> =
            alone.iter().filter_map(|layer| Some((intervals.get(layer)?, self.ticks(layer)?))).collect();
        if predicted.is_empty() {
            return None;
        }
        let far = |end: usize| predicted.iter().map(|(ends, ticks)| u64::from(ends[end]).abs_diff(*ticks)).sum::<u64>();
        let latency = self.of(layers)?.latency?;
        Some([latency.saturating_sub(far(0)), latency + far(1)])
    }

    /// Bytes of the code that runs a net, where there is a board.
    pub(super) fn code_bytes(&self) -> u64 {
        self.code_bytes
    }

    /// What a net of these layers costs; `None` where the board refuses one of them.
    pub fn of(&self, layers: &[Layer]) -> Option<Cost> {
        let latency = match &self.ticks {
            None => None,
            Some(_) => {
                let alone = layers.iter().map(|layer| self.ticks(layer)).sum::<Option<u64>>()?;
                Some(alone.saturating_add_signed(self.beyond(layers)))
            }
        };
        Some(Cost {
            latency,
            sram_bytes: arena_bytes(layers) as u64,
            flash_bytes: flash_bytes(layers) as u64 + self.code_bytes,
            macs: layers.iter().map(Layer::macs).sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Estimate;
    use crate::table::tests::{openings, space, table};

    #[test]
    fn predicted_layers_make_a_latency_uncertain() {
        let [[stem, block], _, _] = openings();
        let Layer::Block(second) = block else { unreachable!("it is a block") };
        let third = Layer::Block(runtime::Block { stride: 2, ..second });
        let predicted = |layer, ticks| Entry::predicted(layer, Estimate { ticks, low: ticks - 2, high: ticks + 5 });
        let layers = vec![predicted(stem, 30), Entry::measured(block, &[50], 0), predicted(third, 20)];
        let costs = |openings| {
            let table = LatencyTable { openings, ..table(layers.clone()) };
            let ticks = |layer: &Layer| table.entry(layer).map_or(Some(Some(1)), |entry| Some(entry.ticks()));
            let mut costs = Costs::of_board(&space(), "b", Clock { unit: "cycles", hz: None }, 0, ticks).unwrap();
            let own = costs.ticks.as_mut().unwrap();
            own.layers.extend(layers.iter().map(|entry| (entry.layer, entry.ticks())));
            own.intervals = Ticks::intervals(&table);
            costs.with_openings(table.openings.iter().map(|opening| (opening.layers, opening.outcome.ticks().unwrap())))
        };
        let alone = costs(vec![]);
        assert_eq!(alone.interval(&[stem, block, third]), Some([100 - 4, 100 + 10]));
        assert_eq!(alone.interval(&[block]), None, "it was measured");
        let opened = costs(vec![Opening::measured([stem, block], &[83], 0)]);
        assert_eq!(opened.interval(&[stem, block, third]), Some([103 - 2, 103 + 5]));
        assert_eq!(opened.interval(&[stem, block]), None, "the two were measured as one");
    }
}
