//! What a table says of one layer, or of two that run as one.

use runtime::Layer;
use serde::{Deserialize, Serialize};

use crate::estimate::Estimate;

/// Runs that lie farther from the median than this many times the median distance are outliers: five standard
/// deviations, were they distributed normally.
const OUTLIER_MADS: f64 = 5.0 * 1.4826;

/// One layer of a table.
///
/// ```
/// use trainer::estimate::Estimate;
/// use trainer::space::Space;
/// use trainer::table::Entry;
///
/// let layer = Space::load("fashion")?.distinct_layers()[0];
/// assert_eq!(Entry::measured(layer, &[100, 104, 99], 0xc0ffee).ticks(), Some(100));
/// assert_eq!(Entry::predicted(layer, Estimate { ticks: 101, low: 90, high: 112 }).ticks(), Some(101));
/// assert_eq!(Entry::refused(layer, "it is too large").ticks(), None);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The layer for people.
    pub text: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The layer.
    pub layer: Layer,
}

/// A stem and the first block behind it that run as one (see [`crate::space::Space::openings`]), which takes other ticks than the two
/// alone.
///
/// ```
/// use trainer::space::Space;
/// use trainer::table::Opening;
///
/// let [stem, block] = Space::load("mcu")?.openings()[0];
/// let opening = Opening::measured([stem, block], &[100, 104, 99], 0xc0ffee);
/// assert_eq!((opening.text, opening.outcome.ticks()), (format!("{stem} + {block}"), Some(100)));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The layers for people.
    pub text: String,
    /// What came of them as one; never refused.
    pub outcome: Outcome,
    /// Stem and block.
    pub layers: [Layer; 2],
}

/// What came of measuring a layer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The board ran it, and its output is the host's.
    Measured {
        /// Median of the runs.
        ticks: u32,
        /// Median distance from that.
        mad: u32,
        /// How many.
        runs: u8,
        /// Runs far off the others, in the order in which they came. The median counts them too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outliers: Vec<u32>,
        /// CRC-32 of the output, in hexadecimal digits; empty where the figure was imported, which says nothing of the
        /// output or of its spread.
        checksum: String,
    },
    /// The board was not asked: told from what it measured (see [`crate::estimate`]).
    Predicted {
        /// What it should take.
        ticks: u32,
        /// The lower end of an interval that holds for 19 of 20 layers like those that were measured.
        low: u32,
        /// Its upper end.
        high: u32,
    },
    /// The board did not run it, for this cause.
    Refused(String),
}

/// Of what kind a layer is, for people.
pub fn kind(layer: &Layer) -> &'static str {
    match layer {
        Layer::Conv(_) => "conv",
        Layer::Block(_) => "block",
        Layer::Depthwise(_) => "depthwise",
        Layer::Pool(_) => "pool",
        Layer::Linear(_) => "linear",
    }
}

impl Entry {
    /// A measured layer.
    pub fn measured(layer: Layer, ticks: &[u32], checksum: u32) -> Self {
        Self { text: layer.to_string(), outcome: Outcome::measured(ticks, checksum), layer }
    }

    /// A layer that the board refused.
    pub fn refused(layer: Layer, cause: impl ToString) -> Self {
        Self { text: layer.to_string(), outcome: Outcome::Refused(cause.to_string()), layer }
    }

    /// A layer that was not measured.
    pub fn predicted(layer: Layer, Estimate { ticks, low, high }: Estimate) -> Self {
        Self { text: layer.to_string(), outcome: Outcome::Predicted { ticks, low, high }, layer }
    }

    /// Its ticks, measured or predicted.
    pub fn ticks(&self) -> Option<u32> {
        self.outcome.ticks()
    }
}

impl Opening {
    /// Two layers that were measured as one.
    pub fn measured(layers: [Layer; 2], ticks: &[u32], checksum: u32) -> Self {
        Self { text: text(&layers), outcome: Outcome::measured(ticks, checksum), layers }
    }
}

impl Outcome {
    fn measured(ticks: &[u32], checksum: u32) -> Self {
        let middle = median(ticks);
        let distances: Vec<_> = ticks.iter().map(|ticks| ticks.abs_diff(middle)).collect();
        let mad = median(&distances);
        let far = |ticks: &&u32| f64::from(ticks.abs_diff(middle)) > OUTLIER_MADS * f64::from(mad.max(1));
        Self::Measured {
            ticks: middle,
            mad,
            runs: ticks.len() as u8,
            outliers: ticks.iter().filter(far).copied().collect(),
            checksum: format!("{checksum:08x}"),
        }
    }

    /// The ticks, measured or predicted.
    pub fn ticks(&self) -> Option<u32> {
        match self {
            Self::Measured { ticks, .. } | Self::Predicted { ticks, .. } => Some(*ticks),
            Self::Refused(_) => None,
        }
    }
}

/// Layers that run as one, for people.
pub(crate) fn text(layers: &[Layer]) -> String {
    layers.iter().map(Layer::to_string).collect::<Vec<_>>().join(" + ")
}

/// The middle one, the lower of two.
pub(crate) fn median<T: Ord + Copy + Default>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
