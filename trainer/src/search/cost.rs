//! What a net costs on a board.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use runtime::Layer;
use serde::{Deserialize, Serialize};

use super::limits::Quantity;
use crate::model::{arena_bytes, flash_bytes};
use crate::space::Space;
use crate::table::{Entry, LatencyTable, Provenance};

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
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Costs {
    ticks: Option<Ticks>,
    code_bytes: u64,
}

#[derive(Clone, PartialEq, Debug)]
struct Ticks {
    unit: String,
    /// `None`: the board refuses the layer.
    layers: HashMap<Layer, Option<u32>>,
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

    /// With what `entry` says of every layer of the space: its ticks in this unit, or that the board refuses it.
    ///
    /// # Errors
    /// Names the first layer of which it says nothing.
    pub(super) fn of_board(
        space: &Space,
        unit: &str,
        code_bytes: u64,
        entry: impl Fn(&Layer) -> Option<Option<u32>>,
    ) -> Result<Self> {
        let ticks =
            |layer: Layer| Ok((layer, entry(&layer).ok_or_else(|| anyhow!("the latency table lacks {layer}"))?));
        let layers = space.distinct_layers().into_iter().map(ticks).collect::<Result<_>>()?;
        Ok(Self { ticks: Some(Ticks { unit: unit.into(), layers }), code_bytes })
    }

    /// With a board's latency table.
    ///
    /// # Errors
    /// Names the first layer that the table lacks, and the command that measures it.
    pub fn from_table(space: &Space, table: &LatencyTable) -> Result<Self> {
        let code_bytes = table.firmware.map_or(0, |cost| cost.code_bytes) as u64;
        let Provenance { unit, command, .. } = &table.provenance;
        Self::of_board(space, unit, code_bytes, |layer| table.entry(layer).map(Entry::ticks))
            .with_context(|| format!("the table of {} is not whole; run: {command}", table.provenance.board))
    }

    /// What a tick is, where there is a board.
    pub fn unit(&self) -> Option<&str> {
        self.ticks.as_ref().map(|ticks| ticks.unit.as_str())
    }

    /// What a net of these layers costs; `None` where the board refuses one of them.
    pub fn of(&self, layers: &[Layer]) -> Option<Cost> {
        let latency = match &self.ticks {
            None => None,
            Some(ticks) => {
                let ticks = |layer| ticks.layers.get(layer).copied().flatten().map(u64::from);
                Some(layers.iter().map(ticks).sum::<Option<u64>>()?)
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
