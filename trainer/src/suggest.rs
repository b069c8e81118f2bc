//! Which space to train for a board: the first stage of TinyNAS (Lin et al. 2020, MCUNet, section 3.1).
//!
//! ```text
//!  widths × resolutions ─▶ a space for each ─▶ draw nets ─▶ those that the board holds ─▶ their MACs ─▶ the best space
//! ```
//!
//! The accuracy of a family of nets grows with its computation, so of all spaces that one is the best whose nets, as far
//! as the board holds them, have the most multiply-accumulates. Nothing is trained.
//!
//! ```
//! use trainer::search::Limits;
//! use trainer::space::Space;
//! use trainer::suggest::{NothingFits, suggest, to_toml};
//!
//! let base = Space::load("mcu")?;
//! let limits = |sram| Limits { sram: Some(sram), flash: Some(256 << 10), ..Limits::default() };
//! let suggestion = suggest(&base, limits(48 << 10), 2, 1)?;
//! assert_eq!(Space::parse(&to_toml(&suggestion.space)?, "suggested")?, suggestion.space);
//! assert!(suggestion.plot().starts_with("<svg"));
//! assert!(suggest(&base, limits(100), 2, 1).unwrap_err().downcast_ref::<NothingFits>().is_some());
//! # Ok::<(), anyhow::Error>(())
//! ```

mod plot;

use std::fmt;

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::search::{Limits, macs_within};
use crate::space::{Resolutions, Space};

/// Tenths that the widths of the base space are multiplied by.
const WIDTHS: std::ops::RangeInclusive<u32> = 2..=12;
/// Largest sides of images, in steps of [`STEP`].
const SIDES: std::ops::RangeInclusive<u16> = 48..=224;
/// Pixels.
const STEP: u16 = 16;
/// A space of which the board holds less than this share is the worse to train, however large those nets are.
const LEAST: f64 = 0.1;

/// A space that was looked at.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Candidate {
    /// What the base space's widths are multiplied by.
    pub width: f64,
    /// Sides of its images, in pixels.
    pub resolutions: Vec<u16>,
    /// Share of the nets drawn that the board holds.
    pub fit: f64,
    /// Mean multiply-accumulates of those.
    pub mean_macs: f64,
    /// Their multiply-accumulates, ascending.
    #[serde(skip)]
    pub macs: Vec<u64>,
}

/// What to train.
#[derive(Clone, PartialEq, Debug)]
pub struct Suggestion {
    /// The best space.
    pub space: Space,
    /// All that have a net which the board holds, the best first.
    pub candidates: Vec<Candidate>,
}

/// The board holds no net of any of the spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NothingFits {
    limits: Limits,
}

/// Looks for the best space for a board: the base space with other widths and resolutions. `count`: nets drawn of each.
///
/// # Errors
/// [`NothingFits`], to be found by downcasting.
pub fn suggest(base: &Space, limits: Limits, count: usize, seed: u64) -> Result<Suggestion> {
    let spaces: Vec<_> = WIDTHS.flat_map(|tenths| SIDES.step_by(STEP.into()).map(move |side| (tenths, side))).collect();
    let candidate = |&(tenths, side): &(u32, u16)| {
        let space = space(base, tenths, side).ok()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(tenths) << 16 | u64::from(side));
        let macs = macs_within(&space, &limits, count, &mut rng);
        let mean_macs = macs.iter().sum::<u64>() as f64 / macs.len().max(1) as f64;
        let (width, fit) = (f64::from(tenths) / 10.0, macs.len() as f64 / count as f64);
        Some((Candidate { width, resolutions: space.input.resolutions.0.clone(), fit, mean_macs, macs }, space))
    };
    let mut all: Vec<_> = spaces.par_iter().filter_map(candidate).filter(|(found, _)| found.fit > 0.0).collect();
    let rank = |(found, _): &(Candidate, Space)| (found.fit >= LEAST, found.mean_macs);
    all.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let (_, space) = all.first().cloned().ok_or(NothingFits { limits }).context("no space is small enough")?;
    Ok(Suggestion { space, candidates: all.into_iter().map(|(candidate, _)| candidate).collect() })
}

/// The base space of other widths, for images of this side and the two sizes below.
fn space(base: &Space, tenths: u32, side: u16) -> Result<Space> {
    let mut space = base.with_width(f64::from(tenths) / 10.0)?;
    let sides = [side.saturating_sub(2 * STEP), side.saturating_sub(STEP), side];
    space.input.resolutions = Resolutions(sides.into_iter().filter(|&side| side >= 2 * STEP).collect());
    space.name = format!("{}-w{tenths}-r{side}", base.name.replace(':', "-"));
    // Sizes may be too large for the layers.
    Space::parse(&to_toml(&space)?, &space.name)
}

/// The space as a file that every command reads.
///
/// # Errors
/// Never: a space is numbers and names.
pub fn to_toml(space: &Space) -> Result<String> {
    toml::to_string(space).context("a space is TOML")
}

impl Suggestion {
    /// SVG: for the best spaces, what share of the nets that the board holds has at most so many multiply-accumulates.
    pub fn plot(&self) -> String {
        plot::draw(&self.candidates)
    }
}

impl std::error::Error for NothingFits {}

impl fmt::Display for NothingFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sram, flash] = [self.limits.sram, self.limits.flash].map(Option::unwrap_or_default);
        write!(f, "of all spaces no net fits in {sram} bytes of SRAM and {flash} bytes of flash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{arena_bytes, flash_bytes};

    #[test]
    fn the_suggested_space_has_the_most_macs_that_the_board_holds() {
        let base = Space::load("mcu").unwrap();
        let limits = Limits { sram: Some(64 << 10), flash: Some(512 << 10), ..Limits::default() };
        let found = suggest(&base, limits, 60, 3).unwrap();
        let best = &found.candidates[0];
        assert_eq!(found.space.input.resolutions.0, best.resolutions);
        assert!(best.fit >= LEAST && best.macs.len() == (60.0 * best.fit).round() as usize);
        let others = found.candidates.iter().filter(|other| other.fit >= LEAST);
        assert!(others.clone().count() > 10 && others.clone().all(|other| other.mean_macs <= best.mean_macs));
        // Drawn anew, some nets fit and others don't: the board is neither idle nor overrun.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let fits = |_| {
            let layers = found.space.layers(&found.space.sample(&mut rng));
            arena_bytes(&layers) <= 64 << 10 && flash_bytes(&layers) <= 512 << 10
        };
        assert!((1..200).contains(&(0..200).map(fits).filter(|fits| *fits).count()));
        let read = Space::parse(&to_toml(&found.space).unwrap(), "it").unwrap();
        assert_eq!(read, found.space);
        assert_eq!(suggest(&base, limits, 60, 3).unwrap(), found, "a seed decides");
        let svg = found.plot();
        assert!(svg.matches("<polyline").count() >= 3 && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn more_memory_is_for_more_macs() {
        let base = Space::load("mcu").unwrap();
        let mean = |sram: u64, flash: u64| {
            let limits = Limits { sram: Some(sram << 10), flash: Some(flash << 10), ..Limits::default() };
            suggest(&base, limits, 40, 3).unwrap().candidates[0].mean_macs
        };
        let [small, middle, large] = [mean(32, 256), mean(128, 512), mean(320, 1024)];
        assert!(small < middle && middle < large, "{small} {middle} {large}");
    }

    #[test]
    fn a_board_that_holds_nothing_is_named() {
        let limits = Limits { sram: Some(100), flash: Some(1000), ..Limits::default() };
        let error = suggest(&Space::load("mcu").unwrap(), limits, 5, 0).unwrap_err();
        assert!(error.is::<NothingFits>() && format!("{error:#}").contains("100 bytes of SRAM"), "{error:#}");
    }
}
