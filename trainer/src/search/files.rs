//! `arch.json`, the net that was chosen, and `front.json`, what there was to choose from.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Cost, Costs, Found, FoundFront, Limits, Net, Problem};
use crate::files::{self, Header};
use crate::space::{Arch, Space};

/// Format name of `arch.json`.
pub const ARCH_FORMAT: &str = "ofa-arch";
/// Format name of `front.json`.
pub const FRONT_FORMAT: &str = "ofa-front";

const MADE_BY: &str = "ofa search";

/// `arch.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The space and the search's seed.
    pub header: Header,
    /// The chosen net.
    pub arch: Arch,
    /// Predicted, as a share of 1.
    pub accuracy: f32,
    /// Standard deviation of the measured accuracy around it; 0 where the predictor does not say.
    #[serde(default)]
    pub deviation: f32,
    /// What the accuracy on all images of the kind is within nineteen times in twenty, which those that nets were judged on are
    /// a draw of; none where the predictor does not say how many those were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_interval: Option<[f32; 2]>,
    /// Where the supernet itself was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Predicted; `None` without a latency table.
    pub latency: Option<Latency>,
    /// The same on the other boards that the net is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OnBoard>,
    /// Of the arena.
    pub sram_bytes: u64,
    /// Of the net and, with a latency table, the code that runs it.
    pub flash_bytes: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
}

/// What a net of the supernet has on images, with statistics of its own.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// As a share of 1.
    pub accuracy: f64,
    /// How many validation images.
    pub images: usize,
}

/// Ticks of one image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// What a tick is.
    pub unit: String,
    /// The sum of the layers in the table.
    pub predicted: u64,
    /// What it lies within, if all predictions of layers that the board did not run err to the same side; none where it ran
    /// all of the net's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[u64; 2]>,
    /// The most that was allowed.
    pub limit: Option<u64>,
}

/// What differs from board to board.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnBoard {
    /// Its name.
    pub board: String,
    /// Of one image.
    pub latency: Latency,
    /// Of the net and the code that runs it.
    pub flash_bytes: u64,
}

/// `front.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Front {
    /// The space and the search's seed.
    pub header: Header,
    /// What a tick is, where there is a latency table.
    pub unit: Option<String>,
    /// The most accurate first.
    pub nets: Vec<Net>,
}

impl Choice {
    /// Reads `arch.json`.
    ///
    /// # Errors
    /// One line that says what is wrong with the file, or that it was made for another space.
    pub fn load(path: &Path, space: &Space) -> Result<Self> {
        let choice: Self = files::read_json(path, MADE_BY)?;
        choice.header.expect(path, ARCH_FORMAT, &space.hash(), MADE_BY)?;
        space.check(&choice.arch).with_context(|| format!("{} is damaged; run: {MADE_BY}", path.display()))?;
        Ok(choice)
    }
}

impl Found {
    /// The content of `arch.json`.
    ///
    /// # Panics
    /// If the best net has no cost, which [`super::search`] sees to.
    pub fn choice(&self, problem: &Problem, seed: u64) -> Choice {
        let accuracy_interval = self.images.map(|images| self.best.prediction().interval_beyond(images));
        let Net { arch, accuracy, deviation, .. } = self.best.clone();
        let layers = problem.space.layers(&arch);
        let on = |costs: &Costs, limits: &Limits| {
            let cost = costs.of(&layers).expect("a net that fits has a cost");
            let latency = cost.latency.zip(costs.unit()).map(|(predicted, unit)| {
                let (unit, interval) = (unit.into(), costs.interval(&layers));
                Latency { unit, predicted, interval, limit: limits.latency }
            });
            (cost, latency)
        };
        let ((costs, limits), others) = problem.boards.split_first().expect("a problem has a board");
        let (Cost { sram_bytes, flash_bytes, macs, .. }, latency) = on(costs, limits);
        let other = |(costs, limits): &(&Costs, Limits)| {
            let (Cost { flash_bytes, .. }, latency) = on(costs, limits);
            Some(OnBoard { board: costs.board()?.into(), latency: latency?, flash_bytes })
        };
        let others = others.iter().filter_map(other).collect();
        let header = Header::new(ARCH_FORMAT, &problem.space.hash(), seed);
        let measured = self.measured;
        Choice {
            header,
            arch,
            accuracy,
            deviation,
            accuracy_interval,
            measured,
            latency,
            others,
            sram_bytes,
            flash_bytes,
            macs,
        }
    }

    /// The content of `front.json`.
    pub fn front(&self, space: &Space, seed: u64, costs: &Costs) -> Front {
        let header = Header::new(FRONT_FORMAT, &space.hash(), seed);
        Front { header, unit: costs.unit().map(Into::into), nets: self.front.clone() }
    }
}

impl FoundFront {
    /// The content of `front.json`.
    pub fn file(&self, space: &Space, seed: u64, costs: &Costs) -> Front {
        let header = Header::new(FRONT_FORMAT, &space.hash(), seed);
        Front { header, unit: costs.unit().map(Into::into), nets: self.nets.clone() }
    }
}
