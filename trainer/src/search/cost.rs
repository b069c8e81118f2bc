//! What a net costs on a board.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use runtime::Layer;
use serde::{Deserialize, Serialize};

use super::limits::Quantity;
use crate::model::{arena_bytes, flash_bytes};
use crate::space::{Resolutions, Space};
use crate::table::{Entry, LatencyTable, Opening, Provenance};

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
    /// `None`: the board refuses the layer.
    layers: HashMap<Layer, Option<u32>>,
    /// Of stems and first blocks that run as one.
    openings: HashMap<[Layer; 2], u32>,
    /// Sides of the images that the table is for, ascending.
    resolutions: Vec<u16>,
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
        [board, unit]: [&str; 2],
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
        let openings = HashMap::new();
        let ticks = Ticks { board: board.into(), unit: unit.into(), layers, openings, resolutions };
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
        let Provenance { board, unit, command, .. } = &table.provenance;
        let costs = Self::of_board(space, [board, unit], code_bytes, |layer| table.entry(layer).map(Entry::ticks))
            .with_context(|| format!("the table of {} is not whole; run: {command}", table.provenance.board))?;
        let ticks = |opening: &Opening| Some((opening.layers, opening.outcome.ticks()?));
        Ok(costs.with_openings(table.openings.iter().filter_map(ticks)))
    }

    /// What a tick is, where there is a board.
    pub fn unit(&self) -> Option<&str> {
        self.ticks.as_ref().map(|ticks| ticks.unit.as_str())
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
