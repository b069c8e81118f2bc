//! What a net may cost.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::cost::Cost;
use crate::names::did_you_mean;
use crate::table::Clock;

/// What can be limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Ticks of one image.
    Latency,
    /// Bytes of the arena.
    Sram,
    /// Bytes of the net and the code that runs it.
    Flash,
    /// Multiply-accumulates of one image.
    Macs,
}

/// The most that a net may cost; `None`: anything.
///
/// ```
/// use trainer::search::{Limits, Quantity};
/// use trainer::table::Clock;
///
/// let clock = Clock { unit: "cycles", hz: Some(480e6) };
/// let limits = Limits::parse(["sram=64k", "latency=5ms"], Some(clock))?;
/// assert_eq!((limits.sram, limits.get(Quantity::Latency)), (Some(65_536), Some(2_400_000)));
/// assert!(Limits::parse(["latency=5ms"], None).is_err(), "without a latency table");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// In the latency table's unit.
    pub latency: Option<u64>,
    /// In bytes.
    pub sram: Option<u64>,
    /// In bytes.
    pub flash: Option<u64>,
    /// Multiply-accumulates.
    pub macs: Option<u64>,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Sram, Self::Flash, Self::Macs];

    /// What its numbers count; `ticks`: those of a latency table, if there is one.
    pub(super) fn unit_with(self, ticks: Option<&str>) -> &str {
        match self {
            Self::Latency => ticks.unwrap_or("ticks"),
            Self::Sram | Self::Flash => "bytes",
            Self::Macs => "MACs",
        }
    }

    /// What a letter after a number multiplies by.
    fn factor(self, suffix: &str, hz: Option<f64>) -> Option<f64> {
        let kilo = if matches!(self, Self::Sram | Self::Flash) { 1024.0 } else { 1000.0 };
        let hz = hz.filter(|_| self == Self::Latency);
        Some(match suffix {
            "" => 1.0,
            "k" => kilo,
            "M" => kilo * kilo,
            "ns" => hz? / 1e9,
            "us" => hz? / 1e6,
            "ms" => hz? / 1e3,
            "s" => hz?,
            _ => return None,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Latency => "latency",
            Self::Sram => "sram",
            Self::Flash => "flash",
            Self::Macs => "macs",
        })
    }
}

impl Limits {
    /// Reads limits such as `sram=64k`. `clock`: of the latency table, if there is one.
    ///
    /// # Errors
    /// One line that says what is wrong with which limit.
    pub fn parse<'a>(limits: impl IntoIterator<Item = &'a str>, clock: Option<Clock>) -> Result<Self> {
        let mut parsed = Self::default();
        for text in limits {
            let (quantity, limit) = parse(text, clock).with_context(|| format!("--limit {text}"))?;
            ensure!(
                parsed.slot(quantity).replace(limit).is_none(),
                "--limit {text}: there are two limits of {quantity}"
            );
        }
        Ok(parsed)
    }

    /// The limit of a quantity.
    pub fn get(&self, quantity: Quantity) -> Option<u64> {
        match quantity {
            Quantity::Latency => self.latency,
            Quantity::Sram => self.sram,
            Quantity::Flash => self.flash,
            Quantity::Macs => self.macs,
        }
    }

    /// The same with another limit of one quantity.
    pub(crate) fn with(mut self, quantity: Quantity, limit: u64) -> Self {
        *self.slot(quantity) = Some(limit);
        self
    }

    /// Those that there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Quantity, u64)> {
        Quantity::ALL.into_iter().filter_map(|quantity| Some((quantity, self.get(quantity)?)))
    }

    /// The largest quotient of cost and limit; at most 1: the net fits.
    pub(crate) fn excess(&self, cost: Option<&Cost>) -> f64 {
        let Some(cost) = cost else { return f64::INFINITY };
        let quotient = |(quantity, limit)| cost.get(quantity).map_or(f64::INFINITY, |cost| cost as f64 / limit as f64);
        self.iter().map(quotient).fold(0.0, f64::max)
    }

    fn slot(&mut self, quantity: Quantity) -> &mut Option<u64> {
        match quantity {
            Quantity::Latency => &mut self.latency,
            Quantity::Sram => &mut self.sram,
            Quantity::Flash => &mut self.flash,
            Quantity::Macs => &mut self.macs,
        }
    }
}

fn parse(text: &str, clock: Option<Clock>) -> Result<(Quantity, u64)> {
    let names = Quantity::ALL.map(|quantity| quantity.to_string());
    let listed = names.join(", ");
    let (name, value) =
        text.split_once('=').with_context(|| format!("it is not NAME=NUMBER with a name of {listed}"))?;
    let Some(quantity) = Quantity::ALL.into_iter().find(|quantity| quantity.to_string() == name) else {
        let meant = did_you_mean(name, names.iter().map(String::as_str));
        bail!("there is no {name} to limit{meant}, only {listed}");
    };
    if quantity == Quantity::Latency && clock.is_none() {
        bail!("a latency needs a latency table; name one with --table (made by: ofa measure)");
    }
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let suffix = &value[digits.len()..];
    let number: f64 = digits.parse().ok().with_context(|| format!("{value:?} does not begin with a number"))?;
    let Some(factor) = quantity.factor(suffix, clock.and_then(|clock| clock.hz)) else {
        match (quantity, clock) {
            (Quantity::Latency, Some(Clock { hz: Some(_), .. })) => bail!("{suffix} is none of k, M, ns, us, ms, s"),
            (Quantity::Latency, Some(Clock { unit, hz: None })) => {
                bail!("the table counts {unit}, so {suffix} is none of k, M")
            }
            _ => bail!("{suffix} is none of k, M"),
        }
    };
    let limit = (number * factor).floor();
    ensure!((1.0..9e15).contains(&limit), "a limit must be at least 1 and below 9e15");
    Ok((quantity, limit as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTRUCTIONS: Clock = Clock { unit: "instructions", hz: None };

    #[test]
    fn bytes_count_by_1024_and_the_rest_by_1000() {
        let limits = Limits::parse(["latency=3M", "sram=64k", "flash=1.5M", "macs=2k"], Some(INSTRUCTIONS)).unwrap();
        let expected =
            Limits { latency: Some(3_000_000), sram: Some(65_536), flash: Some(1_572_864), macs: Some(2000) };
        assert_eq!(limits, expected);
    }

    #[test]
    fn times_are_for_tables_of_time() {
        let of = |text, unit, hz| Limits::parse([text], Some(Clock { unit, hz: Some(hz) })).unwrap().latency;
        for unit in ["ns", "nanoseconds"] {
            assert_eq!(of("latency=1.5ms", unit, 1e9), Some(1_500_000));
        }
        assert_eq!(of("latency=7", "ns", 1e9), Some(7));
        assert_eq!(of("latency=1.5ms", "cycles", 480e6), Some(720_000));
        assert_eq!(of("latency=2s", "microseconds", 1e6), Some(2_000_000));
        let refusal = format!("{:#}", Limits::parse(["latency=5ms"], Some(INSTRUCTIONS)).unwrap_err());
        assert_eq!(refusal, "--limit latency=5ms: the table counts instructions, so ms is none of k, M");
    }

    #[test]
    fn what_is_no_limit_is_refused_by_name() {
        for text in
            ["sram=0", "sram=", "sram=64q", "beauty=3", "latency", "macs=-1", "macs=1e99", "macs=nan", "flash=0.5"]
        {
            let refusal = format!("{:#}", Limits::parse([text], Some(INSTRUCTIONS)).unwrap_err());
            assert!(refusal.starts_with(&format!("--limit {text}: ")), "{refusal}");
        }
        assert!(Limits::parse(["sram=1", "sram=2"], None).is_err());
        assert!(Limits::parse(["latency=1"], None).unwrap_err().root_cause().to_string().contains("--table"));
    }
}
