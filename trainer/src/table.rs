//! Latency tables: what each layer costs on one board, in JSON that a person can read and diff.

mod check;
mod compare;
mod entry;
mod merge;
mod plot;

use std::path::Path;
use std::slice;

use anyhow::{Context, Result, anyhow, bail, ensure};
use runtime::Layer;
use serde::{Deserialize, Serialize};

use crate::files::{self, Header};
use crate::model;
use crate::space::Space;

pub use check::{Finding, can_tell, check};
pub use compare::{Change, Comparison, Predicted, Side};
pub use entry::{Entry, Opening, Outcome, kind};
pub(crate) use entry::{median, text};
pub use merge::merge;

/// Format name of a latency table.
pub const FORMAT: &str = "ofa-latency-table";

/// The `runtime` of a table that was imported: its figures are of another runtime, which has no version here.
pub const FOREIGN_RUNTIME: &str = "none";

/// Ticks of every layer of a space on one board, and of every stem with a first block that run as one.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::table::{LatencyTable, kind};
///
/// let space = made_up::space();
/// let table = made_up::table(&space);
/// let layers = space.layers(&space.smallest());
/// assert_eq!(Some(table.latency(&layers[..1])?), table.ticks(&layers[0]).map(u64::from));
/// assert!(table.entry(&layers[0]).is_some_and(|entry| kind(&entry.layer) == "conv"));
/// assert_eq!((table.measured().len(), table.provenance.milliseconds(64_000)), (table.layers.len(), Some(1.0)));
/// assert!(table.flash_bytes(&layers) > Some(30_000) && table.plot().is_some());
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("made-up.json");
/// table.save(&path)?;
/// assert_eq!(LatencyTable::open(&path)?, table);
/// assert_eq!(LatencyTable::load(&path, &space)?, LatencyTable::load_for(&path, &space.hash(), "fashion")?);
/// let other = trainer::space::Space::load("mcu")?;
/// assert!(LatencyTable::load(&path, &other).is_err() && LatencyTable::check_place(&path, &other).is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTable {
    /// The space and the seed.
    pub header: Header,
    /// Where the figures come from.
    pub provenance: Provenance,
    /// What a firmware takes beside its net; `None` where the space has no net that the runtime can run.
    pub firmware: Option<FirmwareCost>,
    /// How steady the board was meanwhile; `None` where too little was measured to tell.
    #[serde(default)]
    pub sentinel: Option<Sentinel>,
    /// Sorted by layer.
    pub layers: Vec<Entry>,
    /// What stands in place of the first two layers of a net that begins so, sorted by these. Tables of boards that have no
    /// room for the two together, and such as were imported, lack them.
    #[serde(default)]
    pub openings: Vec<Opening>,
}

/// One layer that was measured again and again between the others: its drift is the temperature's or the clock's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The layer for people.
    pub text: String,
    /// How often it was measured.
    pub readings: usize,
    /// Median ticks of the readings.
    pub ticks: u32,
    /// By how many per cent of that the last third of the readings is slower than the first third, each by its median.
    pub trend_percent: f64,
}

/// A trend of the sentinel's, in per cent, from which on a table is not to be trusted.
pub const DRIFT_PERCENT: f64 = 2.0;

/// Where a table's figures come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The command that measures the same again.
    pub command: String,
    /// Name of the board.
    pub board: String,
    /// Such as `Cortex-M4F`.
    pub core: String,
    /// Of the core.
    pub clock_hz: u32,
    /// What a tick is. Not a time where it says `instructions`.
    pub unit: String,
    /// What a firmware may take.
    pub flash_bytes: u32,
    /// What a firmware may take, its stack included.
    pub ram_bytes: u32,
    /// What is between this host and the board, with its version.
    pub link: String,
    /// SHA-256 of the probe.
    pub probe: String,
    /// Identifies the sources that the probe was built from.
    pub sources: String,
    /// Version of the runtime that was measured.
    pub runtime: String,
    /// Version of this program.
    pub ofa: String,
    /// Day of the measurement (UTC).
    pub date: String,
}

/// What a firmware that runs a net takes beside the net: measured by linking one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareCost {
    /// Flash beside the net's taps, channels and steps.
    pub code_bytes: usize,
    /// SRAM beside the net's arena, the stack left out.
    pub static_bytes: usize,
}

/// What ticks are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Clock<'a> {
    /// Such as `cycles`.
    pub unit: &'a str,
    /// So many are a second; `None` where they are no time.
    pub hz: Option<f64>,
}

impl Provenance {
    /// What the table's ticks are.
    pub fn clock(&self) -> Clock<'_> {
        let hz = match &*self.unit {
            "cycles" if self.clock_hz > 0 => Some(f64::from(self.clock_hz)),
            "microseconds" | "us" => Some(1e6),
            "nanoseconds" | "ns" => Some(1e9),
            _ => None,
        };
        Clock { unit: &self.unit, hz }
    }

    /// So many ticks in milliseconds; `None` where the unit is none of time.
    pub fn milliseconds(&self, ticks: u64) -> Option<f64> {
        self.clock().hz.map(|hz| ticks as f64 * 1e3 / hz)
    }
}

impl LatencyTable {
    /// Ticks of a layer; `None` if it was refused or not measured.
    pub fn ticks(&self, layer: &Layer) -> Option<u32> {
        self.entry(layer).and_then(Entry::ticks)
    }

    /// Ticks of these layers together, the first two as one where they are an opening of the table.
    ///
    /// # Errors
    /// Names the first layer that has none, and the command that measures it.
    pub fn latency(&self, layers: &[Layer]) -> Result<u64> {
        let ticks = |layer: &Layer| {
            let entry = self.entry(layer).ok_or_else(|| {
                let Provenance { board, command, .. } = &self.provenance;
                anyhow!("the latency table of {board} lacks {layer}; run: {command}")
            })?;
            match &entry.outcome {
                Outcome::Measured { ticks, .. } | Outcome::Predicted { ticks, .. } => Ok(u64::from(*ticks)),
                Outcome::Refused(cause) => bail!("{} refuses {layer}: {cause}", self.provenance.board),
            }
        };
        match self.opening_ticks(layers) {
            Some(together) => Ok(u64::from(together) + layers[2..].iter().map(ticks).sum::<Result<u64>>()?),
            None => layers.iter().map(ticks).sum(),
        }
    }

    /// Ticks of the first two of these layers as one; `None` if they are no opening of the table.
    pub fn opening_ticks(&self, layers: &[Layer]) -> Option<u32> {
        self.opening(layers.first_chunk()?)?.outcome.ticks()
    }

    /// The layers that the board ran, with their ticks.
    pub fn measured(&self) -> Vec<(Layer, u32)> {
        let ticks = |entry: &Entry| match entry.outcome {
            Outcome::Measured { ticks, .. } => Some((entry.layer, ticks)),
            Outcome::Predicted { .. } | Outcome::Refused(_) => None,
        };
        self.layers.iter().filter_map(ticks).collect()
    }

    /// Flash of a firmware that runs these layers; `None` where the table has no cost of one.
    pub fn flash_bytes(&self, layers: &[Layer]) -> Option<usize> {
        self.firmware.map(|cost| cost.code_bytes + model::flash_bytes(layers))
    }

    /// Reads a table of whatever space.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let command = "ofa measure";
        let table: Self = files::read_json(path, command)?;
        table.header.expect(path, FORMAT, &table.header.space, command)?;
        table.check().with_context(|| format!("{} is damaged; run: {}", path.display(), table.provenance.command))?;
        Ok(table)
    }

    /// Reads a table that was made for `space`.
    ///
    /// # Errors
    /// One line that says what is wrong, and which command makes a table that fits.
    pub fn load(path: &Path, space: &Space) -> Result<Self> {
        Self::load_for(path, &space.hash(), &space.argument())
    }

    /// Reads a table that was made for the space of that hash; `name` is what the command to run calls it.
    ///
    /// # Errors
    /// As [`LatencyTable::load`].
    pub fn load_for(path: &Path, space: &str, name: &str) -> Result<Self> {
        let table: Self = files::read_json(path, &format!("ofa measure --space {name}"))?;
        let board = table.provenance.board.replace(char::is_control, " ");
        let command = format!("ofa measure --board {board} --space {name}");
        table.header.expect(path, FORMAT, space, &command)?;
        let Provenance { runtime, .. } = &table.provenance;
        let here = latency_probe::VERSION;
        ensure!(
            runtime == here || runtime == FOREIGN_RUNTIME,
            "{} was measured with version {runtime} of the runtime, this is {here}; run: {command}",
            path.display()
        );
        table.check().with_context(|| format!("{} is damaged; run: {command}", path.display()))?;
        Ok(table)
    }

    /// Refuses a path where there is the table of another space: that of this one goes elsewhere.
    ///
    /// # Errors
    /// Names the file, and the command that made the table in it.
    pub fn check_place(path: &Path, space: &Space) -> Result<()> {
        match Self::open(path) {
            Ok(Self { header, provenance, .. }) if header.space != space.hash() => bail!(
                "{} holds the table of another space ({}); name another place with --out, or remove it",
                path.display(),
                provenance.command
            ),
            _ => Ok(()),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, self.to_json()?.as_bytes())
    }

    /// What came of a layer; `None` if it is not in the table.
    pub fn entry(&self, layer: &Layer) -> Option<&Entry> {
        let found = self.layers.binary_search_by_key(layer, |entry| entry.layer);
        found.ok().map(|i| &self.layers[i])
    }

    /// What came of two layers as one; `None` if they are no opening of the table.
    fn opening(&self, pair: &[Layer; 2]) -> Option<&Opening> {
        let found = self.openings.binary_search_by_key(pair, |opening| opening.layers);
        found.ok().map(|i| &self.openings[i])
    }

    /// The layers, what they are called and what came of them.
    fn of_layers(&self) -> impl Iterator<Item = (&[Layer], &str, &Outcome)> {
        self.layers.iter().map(|entry| (slice::from_ref(&entry.layer), &entry.text[..], &entry.outcome))
    }

    /// The same of those that run as one.
    fn of_openings(&self) -> impl Iterator<Item = (&[Layer], &str, &Outcome)> {
        self.openings.iter().map(|opening| (&opening.layers[..], &opening.text[..], &opening.outcome))
    }

    fn check(&self) -> Result<()> {
        check_board(&self.provenance.board)?;
        for (layers, text, outcome) in self.of_layers().chain(self.of_openings()) {
            layers.iter().try_for_each(Layer::check).with_context(|| format!("no layer: {text}"))?;
            let own = self::text(layers);
            ensure!(own == text, "{text} is {own} to the program");
            ensure!(outcome.ticks() != Some(0), "{text} takes no ticks");
            if let Outcome::Predicted { ticks, low, high } = outcome {
                ensure!((low..=high).contains(&ticks), "{text} is predicted outside its interval");
            }
        }
        for Opening { layers, text, outcome } in &self.openings {
            let [Layer::Conv(stem), Layer::Block(block)] = layers else { bail!("{text} is no stem with a block") };
            ensure!(block.input == stem.output(), "the block of {text} does not read what the stem writes");
            ensure!(outcome.ticks().is_some(), "{text} has no ticks");
        }
        in_order(self.of_layers())?;
        in_order(self.of_openings())
    }

    /// A layer is a line, and so is an opening.
    fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Head<'a> {
            header: &'a Header,
            provenance: &'a Provenance,
            firmware: Option<FirmwareCost>,
            sentinel: Option<&'a Sentinel>,
        }
        let Self { header, provenance, firmware, sentinel, layers, openings } = self;
        let sentinel = sentinel.as_ref();
        let head = serde_json::to_string_pretty(&Head { header, provenance, firmware: *firmware, sentinel })?;
        let mut text = head.trim_end_matches('}').trim_end().to_string() + &lines("layers", layers)?;
        if !openings.is_empty() {
            text += &lines("openings", openings)?;
        }
        Ok(text + "\n}\n")
    }
}

/// What a table may call its board: files are named after it, and lines of text.
pub(crate) fn check_board(name: &str) -> Result<()> {
    let is_name = Path::new(name).file_name().is_some_and(|file| file == name);
    let is_name = is_name && !name.contains('\\') && !name.contains(char::is_control);
    ensure!(is_name, "the board has a name that no file can have: {name:?}");
    Ok(())
}

/// Each is greater than the one before.
fn in_order<'t>(entries: impl Iterator<Item = (&'t [Layer], &'t str, &'t Outcome)>) -> Result<()> {
    let mut before: &[Layer] = &[];
    for (layers, text, _) in entries {
        ensure!(before != layers, "{text} is there twice");
        ensure!(before < layers, "{text} is not in its place");
        before = layers;
    }
    Ok(())
}

/// A field of JSON behind others, each of its values a line.
fn lines(name: &str, values: &[impl Serialize]) -> Result<String> {
    let lines = values.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(format!(",\n  \"{name}\": [\n    {}\n  ]", lines.join(",\n    ")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use runtime::{Activation, Linear, Pool, Shape};

    pub(crate) fn linear(outputs: u16) -> Layer {
        Layer::Linear(Linear { inputs: 8, outputs, activation: Activation::None })
    }

    pub(crate) fn space() -> Space {
        Space::load("fashion").unwrap()
    }

    /// The first three of `mcu`.
    pub(crate) fn openings() -> [[Layer; 2]; 3] {
        *Space::load("mcu").unwrap().openings().first_chunk().unwrap()
    }

    pub(crate) fn table(layers: Vec<Entry>) -> LatencyTable {
        LatencyTable {
            header: Header::new(FORMAT, &space().hash(), 3),
            provenance: Provenance {
                command: "ofa measure --board b --space fashion --seed 3 --runs 3".into(),
                board: "b".into(),
                core: "c".into(),
                clock_hz: 1,
                unit: "cycles".into(),
                flash_bytes: 2,
                ram_bytes: 3,
                link: "none".into(),
                probe: "00".into(),
                sources: "11".into(),
                runtime: latency_probe::VERSION.into(),
                ofa: "0".into(),
                date: "2000-01-01".into(),
            },
            firmware: Some(FirmwareCost { code_bytes: 1000, static_bytes: 10 }),
            sentinel: Some(Sentinel { text: linear(9).to_string(), readings: 9, ticks: 50, trend_percent: -0.5 }),
            layers,
            openings: vec![],
        }
    }

    /// What loading a table says that was saved and then changed.
    fn load(table: &LatencyTable, change: impl Fn(String) -> String) -> Result<LatencyTable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        table.save(&path).unwrap();
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
        LatencyTable::load(&path, &space())
    }

    fn two() -> LatencyTable {
        table(vec![Entry::measured(linear(3), &[9, 7, 8, 100], 0xAB), Entry::refused(linear(4), "no reason")])
    }

    /// Of two layers and of them as one.
    fn opened() -> LatencyTable {
        let pair = openings()[0];
        let layers = vec![Entry::measured(pair[0], &[30], 1), Entry::measured(pair[1], &[50], 2)];
        LatencyTable { openings: vec![Opening::measured(pair, &[83, 83], 3)], ..table(layers) }
    }

    #[test]
    fn a_table_survives_its_file() {
        assert_eq!(load(&opened(), |text| text).unwrap(), opened());
        assert_eq!(load(&two(), |text| text).unwrap(), two());
        let without_firmware = LatencyTable { firmware: None, sentinel: None, ..two() };
        assert_eq!(load(&without_firmware, |text| text).unwrap(), without_firmware);
    }

    #[test]
    fn each_layer_is_a_line() {
        let text = two().to_json().unwrap();
        let line = r#"    {"text":"linear 8 -> 3 none","outcome":{"measured":{"ticks":8,"mad":1,"runs":4,"outliers":[100],"checksum":"000000ab"}},"#;
        assert!(text.lines().any(|found| found.starts_with(line)), "{text}");
        assert!(!text.contains("openings"), "as in tables of before: {text}");
        let text = opened().to_json().unwrap();
        let [.., name, line, _, _] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(name == "  \"openings\": [" && line.starts_with("    {\"text\":\"conv "), "{text}");
    }

    #[test]
    fn latencies_add_up_and_what_is_missing_is_named() {
        let table = two();
        assert_eq!(table.latency(&[linear(3), linear(3)]).unwrap(), 16);
        assert_eq!(table.ticks(&linear(4)), None);
        let error = table.latency(&[linear(3), linear(5)]).unwrap_err().to_string();
        let command = "ofa measure --board b --space fashion --seed 3 --runs 3";
        assert_eq!(error, format!("the latency table of b lacks linear 8 -> 5 none; run: {command}"));
        let error = table.latency(&[linear(4)]).unwrap_err().to_string();
        assert_eq!(error, "b refuses linear 8 -> 4 none: no reason");
        let pool = Layer::Pool(Pool { input: Shape::new(2, 2, 3) });
        assert_eq!(table.flash_bytes(&[pool]), Some(1000 + model::flash_bytes(&[pool])));
    }

    #[test]
    fn an_opening_stands_in_place_of_its_two_layers() {
        let table = opened();
        let [stem, block] = openings()[0];
        assert_eq!(table.latency(&[stem, block]).unwrap(), 83);
        assert_eq!(table.latency(&[stem, block, stem]).unwrap(), 83 + 30);
        assert_eq!(table.latency(&[stem, stem, block]).unwrap(), 30 + 30 + 50, "not where it begins a net");
        assert_eq!(table.latency(&[stem]).unwrap(), 30);
        let alone = LatencyTable { openings: vec![], ..table };
        assert_eq!(alone.latency(&[stem, block]).unwrap(), 30 + 50);
    }

    #[test]
    fn a_damaged_table_is_one_line() {
        let check = |table: LatencyTable, change: &dyn Fn(String) -> String, part: &str| {
            let error = format!("{:#}", load(&table, change).unwrap_err());
            assert!(error.contains(part), "{error}");
            assert!(error.contains("run: ofa measure") || error.contains("made by: ofa measure"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        };
        let replace = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
        check(two(), &|text| text[..text.len() / 2].into(), "b.json");
        check(two(), &replace("\"board\": \"b\"", "\"board\": \"../b\""), "the board has a name that no file can have");
        check(
            two(),
            &replace("\"board\": \"b\"", "\"board\": \"b\\nb\""),
            "the board has a name that no file can have",
        );
        check(two(), &replace("\"ticks\":8", "\"ticks\":0"), "takes no ticks");
        check(two(), &replace("\"ticks\":8", "\"ticks\":-1"), "layers[0].outcome");
        check(two(), &replace("8 -> 3", "8 -> 9"), "linear 8 -> 9 none is linear 8 -> 3 none to the program");
        check(two(), &replace(FORMAT, "ofa-else"), "is ofa-else version 1");
        check(two(), &replace("\"inputs\":8", "\"inputs\":0"), "a map of the layer is empty");
        let [first, second] = two().layers.try_into().unwrap();
        check(table(vec![first.clone(), first.clone()]), &|text| text, "is there twice");
        check(table(vec![second, first]), &|text| text, "is not in its place");
        check(opened(), &replace("\"ticks\":83", "\"ticks\":0"), " takes no ticks");
        check(opened(), &replace(" + ", " and "), " to the program");
        let with = |openings| LatencyTable { openings, ..opened() };
        let [first, second, _] = openings();
        let measured = |pair| Opening::measured(pair, &[7], 1);
        check(with(vec![measured(first), measured(first)]), &|text| text, "is there twice");
        check(with(vec![measured(second), measured(first)]), &|text| text, "is not in its place");
        check(with(vec![measured([first[1], first[0]])]), &|text| text, "is no stem with a block");
        check(with(vec![measured([first[0], second[1]])]), &|text| text, "does not read what the stem writes");
        let refused = Opening { outcome: Outcome::Refused("no".into()), ..measured(first) };
        check(with(vec![refused]), &|text| text, "has no ticks");
        let Layer::Block(block) = first[1] else { unreachable!() };
        let block = Layer::Block(runtime::Block { kernel: 2, ..block });
        check(with(vec![measured([first[0], block])]), &|text| text, "no layer: conv ");
        let mut other = two();
        other.provenance.runtime = "0.0.1".into();
        check(other, &|text| text, "was measured with version 0.0.1 of the runtime, this is 0.");
        let mut other = two();
        other.header.space = "0123456789abcdef".into();
        check(other, &|text| text, "was made for space 0123456789abcdef");
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower() {
        assert_eq!(median(&[4, 1, 3, 2]), 2);
        assert_eq!(median(&[7]), 7);
        assert_eq!(median::<u32>(&[]), 0);
    }
}
