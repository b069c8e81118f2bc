//! A collection of measured layers: any number of boards of a kind take layers from it and bring back ticks, in rounds
//! and in random order, and what they bring is in the journal before the next one is taken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use anyhow::{Context, Result, bail, ensure};
use latency_probe::{Capacity, RUNS, Refusal};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use runtime::Layer;
use serde::{Deserialize, Serialize};

use super::pool::HostPool;
use crate::journal::{About, Journal};
use crate::link::{Link, LinkError, Measured};
use crate::table::{DRIFT_PERCENT, Entry, Sentinel, median};

/// A layer's ticks are known well enough when 19 of 20 medians like it would lie within this share of it.
const NARROW: f64 = 0.005;
/// Runs in a round where ticks differ from run to run; one more warms caches up and does not count.
const RUNS_OF_A_ROUND: u8 = 8;
/// Layers between two readings of the sentinel, where equal work takes equally many ticks or not.
const SENTINEL_EVERY: [usize; 2] = [64, 12];
/// Readings that a trend takes.
const READINGS_OF_A_TREND: usize = 6;

/// What to collect.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which layers, in any order, each as often as it is wanted.
    pub layers: Vec<Layer>,
    /// Of weights and inputs.
    pub seed: u64,
    /// Of each layer, at most.
    pub runs: u8,
    /// Whether equal work takes equally many ticks, always.
    pub deterministic: bool,
}

/// What tells journals apart: results of other work are no results of this one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// `ofa-measure`.
    pub format: String,
    /// The board's name.
    pub board: String,
    /// SHA-256 of the probe, or what it says of itself where it was not built here.
    pub probe: String,
    /// Version of the runtime.
    pub runtime: String,
    /// Of weights and inputs.
    pub seed: u64,
}

/// A line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    /// Runs of a layer, whose output was the host's.
    Runs { layer: Layer, ticks: Vec<u32>, checksum: u32 },
    /// The board and the host refuse the layer.
    Refused { layer: Layer, refusal: Refusal },
    /// A reading of the sentinel.
    Sentinel { layer: Layer, ticks: u32 },
}

/// What is known of a layer.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Runs {
        ticks: Vec<u32>,
        checksum: u32,
    },
    Refused(Refusal),
    /// The board does not compute what the host computes.
    Wrong(String),
}

/// Layers on their way to a table.
///
/// ```
/// # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
/// use trainer::board::Board;
/// use trainer::measure::Bench;
/// use trainer::measure::collect::{Collection, Plan};
/// use trainer::measure::drive::drive;
/// use trainer::measure::selftest;
///
/// let board = Board::load("host")?;
/// let address = probe::start();
/// let bench = Bench::new(&board, Some(&address))?;
/// let plan = Plan { layers: selftest::layers(), seed: 3, runs: 1, deterministic: false };
/// let collection = Collection::new(plan, None, &|| ())?;
/// drive(&collection, &*bench.port, &board.name)?;
/// let entries = collection.entries(&board.name)?;
/// assert!(entries.len() == selftest::layers().len() && entries.iter().all(|entry| entry.ticks().is_some()));
/// assert!(collection.sentinel().is_none(), "too few layers to tell a trend");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Collection<'a> {
    plan: Plan,
    sentinel: Layer,
    state: Mutex<State>,
    changed: Condvar,
    admitting: Mutex<()>,
    done: &'a (dyn Fn() + Sync),
}

#[derive(Default)]
struct State {
    journal: Option<Journal>,
    known: HashMap<Layer, Known>,
    readings: Vec<u32>,
    queue: VecDeque<Layer>,
    taken: usize,
    round: u64,
    pool: Option<Arc<HostPool>>,
}

impl<'a> Collection<'a> {
    /// Begins, or goes on with what the journal has. `done` is called for each layer that is known well enough.
    ///
    /// # Errors
    /// If there are no layers, or of the journal.
    pub fn new(mut plan: Plan, journal: Option<(&Path, &Identity)>, done: &'a (dyn Fn() + Sync)) -> Result<Self> {
        let mut seen = HashSet::new();
        plan.layers.retain(|layer| seen.insert(*layer));
        ensure!(!plan.layers.is_empty(), "there are no layers to measure");
        let sentinel = sentinel(&plan.layers);
        let mut state = State::default();
        if let Some((path, identity)) = journal {
            let about = About { identity, other: "it is of another probe", remedy: "remove it to measure anew" };
            let (journal, lines) = Journal::open(path, &about, Ok)?;
            lines.into_iter().for_each(|line| state.apply(line, &sentinel));
            state.journal = Some(journal);
        }
        let collection =
            Self { plan, sentinel, state: Mutex::new(state), changed: Condvar::new(), admitting: Mutex::new(()), done };
        let known = collection.known();
        (0..known).for_each(|_| (collection.done)());
        Ok(collection)
    }

    /// How many layers are known well enough.
    pub(crate) fn known(&self) -> usize {
        let state = self.lock();
        self.plan.layers.iter().filter(|layer| self.is_settled(&state, layer)).count()
    }

    /// How many layers there are.
    pub(crate) fn layers(&self) -> usize {
        self.plan.layers.len()
    }

    /// Takes layers to that board until all are known, or it fails; then its layer goes back to the others. `each` is
    /// told what the board does next.
    ///
    /// # Errors
    /// Of the board, or of the journal.
    pub(crate) fn work(&self, link: &mut Link, mut each: impl FnMut(&Layer)) -> Result<()> {
        let pool = self.pool(&link.hello()?.1)?;
        let mut since_sentinel = 0;
        while let Some(layer) = self.take() {
            let taken = Taken { collection: self, layer, brought: false };
            each(&layer);
            if since_sentinel % SENTINEL_EVERY[usize::from(!self.plan.deterministic)] == 0 {
                self.read_sentinel(link)?;
            }
            since_sentinel += 1;
            let known = self.measure(link, layer, &pool).with_context(|| layer.to_string())?;
            taken.bring(known)?;
        }
        Ok(())
    }

    fn read_sentinel(&self, link: &mut Link) -> Result<()> {
        if let Some(ticks) = self.sentinel_ticks(link)? {
            self.lock().append(Line::Sentinel { layer: self.sentinel, ticks }, &self.sentinel)?;
        }
        Ok(())
    }

    /// Ticks of the sentinel on that board; `None` if the board refuses it.
    fn sentinel_ticks(&self, link: &mut Link) -> Result<Option<u32>> {
        let runs = if self.plan.deterministic { 1 } else { RUNS_OF_A_ROUND };
        match link.measure(self.sentinel, self.seed(), runs) {
            Ok(Measured { ticks, .. }) => Ok(Some(median(&ticks))),
            Err(LinkError::Refused(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a copy of a board may take part: `None` if its sentinel agrees with what the others read, or else by how
    /// much it does not.
    ///
    /// # Errors
    /// Of the board, or of the journal.
    pub(crate) fn admit(&self, link: &mut Link) -> Result<Option<String>> {
        // One at a time, so that each but the first has something to be compared with.
        let _one = self.admitting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let others = self.lock().readings.clone();
        let Some(ticks) = self.sentinel_ticks(link)? else { return Ok(None) };
        let off = if others.is_empty() { 0.0 } else { percent_off(ticks, median(&others)) };
        let allowed = if self.plan.deterministic { 0.0 } else { DRIFT_PERCENT };
        if off.abs() > allowed {
            let why = "it is another board, or runs by another clock";
            return Ok(Some(format!("{} takes {off:+.2} % against its copies: {why}", self.sentinel)));
        }
        self.lock().append(Line::Sentinel { layer: self.sentinel, ticks }, &self.sentinel)?;
        Ok(None)
    }

    /// What came of each layer, in the plan's order.
    ///
    /// # Errors
    /// Names the layers whose output is not the host's; or says that layers are missing.
    pub fn entries(&self, board: &str) -> Result<Vec<Entry>> {
        let state = self.lock();
        let mut entries = Vec::with_capacity(self.plan.layers.len());
        let mut wrong = Vec::new();
        for layer in &self.plan.layers {
            match state.known.get(layer) {
                Some(Known::Runs { ticks, checksum }) => entries.push(Entry::measured(*layer, ticks, *checksum)),
                Some(Known::Refused(refusal)) => entries.push(Entry::refused(*layer, refusal)),
                Some(Known::Wrong(what)) => wrong.push(what),
                None => bail!("{board}: {layer} was not measured"),
            }
        }
        if let [first, rest @ ..] = &wrong[..] {
            let others = if rest.is_empty() { String::new() } else { format!(" (and {} more layers)", rest.len()) };
            bail!("{board} does not compute what this host computes: {first}{others}");
        }
        Ok(entries)
    }

    /// How steady the boards were; `None` before there are enough readings to tell.
    pub fn sentinel(&self) -> Option<Sentinel> {
        let readings = &self.lock().readings;
        if readings.len() < READINGS_OF_A_TREND {
            return None;
        }
        let third = readings.len() / 3;
        let (first, last) = (median(&readings[..third]), median(&readings[readings.len() - third..]));
        Some(Sentinel {
            text: self.sentinel.to_string(),
            readings: readings.len(),
            ticks: median(readings),
            trend_percent: (percent_off(last, first) * 100.0).round() / 100.0,
        })
    }

    fn measure(&self, link: &mut Link, layer: Layer, pool: &HostPool) -> Result<Known> {
        let before = match self.lock().known.get(&layer) {
            Some(Known::Runs { ticks, checksum }) => Some((ticks.len() as u8, *checksum)),
            _ => None,
        };
        let runs = self.plan.runs - before.map_or(0, |(runs, _)| runs).min(self.plan.runs - 1);
        let (runs, warm_up) =
            if self.plan.deterministic { (runs.min(RUNS as u8), 0) } else { (runs.min(RUNS_OF_A_ROUND), 1) };
        let measured = match link.measure(layer, self.seed(), runs + warm_up) {
            Ok(measured) => Ok(measured),
            Err(LinkError::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(error.into()),
        };
        let expected = match before {
            // Compared with this host's already.
            Some((_, checksum)) => Ok(checksum),
            None => pool.expected(layer, self.seed()),
        };
        Ok(compare(layer, measured, expected, usize::from(warm_up)))
    }

    fn seed(&self) -> u32 {
        self.plan.seed as u32 ^ (self.plan.seed >> 32) as u32
    }

    /// The pool of boards of that capacity. All have the same.
    fn pool(&self, capacity: &Capacity) -> Result<Arc<HostPool>> {
        let mut state = self.lock();
        let pool = state.pool.get_or_insert_with(|| Arc::new(HostPool::of(capacity)));
        ensure!(pool.capacity() == capacity, "its firmware has other room than its copies'; flash all alike");
        Ok(pool.clone())
    }

    /// The next layer; `None` when all are known. Waits for those that other boards have, as they may come back.
    fn take(&self) -> Option<Layer> {
        let mut state = self.lock();
        loop {
            if let Some(layer) = state.queue.pop_front() {
                state.taken += 1;
                return Some(layer);
            }
            if state.taken == 0 && !self.begin_round(&mut state) {
                self.changed.notify_all();
                return None;
            }
            if state.queue.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
        }
    }

    /// Shuffles what is not known well enough; whether there is any.
    fn begin_round(&self, state: &mut State) -> bool {
        let open = self.plan.layers.iter().filter(|layer| !self.is_settled(state, layer));
        let mut open: Vec<_> = open.copied().collect();
        open.shuffle(&mut ChaCha8Rng::seed_from_u64(self.plan.seed ^ state.round << 32));
        state.round += 1;
        state.queue = open.into();
        self.changed.notify_all();
        !state.queue.is_empty()
    }

    fn is_settled(&self, state: &State, layer: &Layer) -> bool {
        match state.known.get(layer) {
            None => false,
            Some(Known::Refused(_) | Known::Wrong(_)) => true,
            Some(Known::Runs { ticks, .. }) => {
                // Where time passes, two rounds at least, so that no layer is known by one moment alone.
                let least = if self.plan.deterministic { 2 } else { 2 * usize::from(RUNS_OF_A_ROUND) };
                ticks.len() >= usize::from(self.plan.runs) || ticks.len() >= least && is_narrow(ticks)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A layer that a board has; it goes back if it is not brought.
struct Taken<'a> {
    collection: &'a Collection<'a>,
    layer: Layer,
    brought: bool,
}

impl Taken<'_> {
    fn bring(mut self, known: Known) -> Result<()> {
        let Self { collection, layer, .. } = self;
        let line = match known {
            Known::Runs { ticks, checksum } => Line::Runs { layer, ticks, checksum },
            Known::Refused(refusal) => Line::Refused { layer, refusal },
            Known::Wrong(what) => {
                // Not for the journal: what is wrong may be mended.
                collection.lock().known.insert(layer, Known::Wrong(what));
                self.brought = true;
                (collection.done)();
                return Ok(());
            }
        };
        let mut state = collection.lock();
        state.append(line, &collection.sentinel)?;
        self.brought = true;
        let settled = collection.is_settled(&state, &layer);
        drop(state);
        if settled {
            (collection.done)();
        }
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.collection.lock();
        state.taken -= 1;
        if !self.brought {
            // Behind the others, as it may be what the board failed of.
            state.queue.push_back(self.layer);
        }
        self.collection.changed.notify_all();
    }
}

impl State {
    /// First to the disk, then to what is known.
    fn append(&mut self, line: Line, sentinel: &Layer) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.append(&line)?;
        }
        self.apply(line, sentinel);
        Ok(())
    }

    fn apply(&mut self, line: Line, sentinel: &Layer) {
        match line {
            Line::Runs { layer, ticks, checksum } => match self.known.get_mut(&layer) {
                Some(Known::Runs { ticks: before, .. }) => before.extend(ticks),
                _ => drop(self.known.insert(layer, Known::Runs { ticks, checksum })),
            },
            Line::Refused { layer, refusal } => drop(self.known.insert(layer, Known::Refused(refusal))),
            Line::Sentinel { layer, ticks } if layer == *sentinel => self.readings.push(ticks),
            Line::Sentinel { .. } => {}
        }
    }
}

/// One of middling cost.
fn sentinel(layers: &[Layer]) -> Layer {
    let mut by_cost: Vec<_> = layers.iter().map(|layer| (layer.macs(), *layer)).collect();
    by_cost.sort_unstable();
    by_cost[by_cost.len() / 2].1
}

fn percent_off(ticks: u32, from: u32) -> f64 {
    (f64::from(ticks) / f64::from(from.max(1)) - 1.0) * 100.0
}

/// From the median distance as an estimate of the deviation; the median's own is a quarter more than a mean's.
fn is_narrow(ticks: &[u32]) -> bool {
    if ticks.len() < 2 {
        return false;
    }
    let middle = median(ticks);
    let distances: Vec<_> = ticks.iter().map(|ticks| ticks.abs_diff(middle)).collect();
    let deviation = 1.4826 * f64::from(median(&distances));
    1.96 * 1.2533 * deviation / (ticks.len() as f64).sqrt() <= NARROW * f64::from(middle)
}

/// What the board's answer is worth.
pub(super) fn compare(
    layer: impl Display,
    device: Result<Measured, Refusal>,
    host: Result<u32, Refusal>,
    warm_up: usize,
) -> Known {
    match (device, host) {
        (Ok(Measured { ticks, checksum }), Ok(expected)) if checksum == expected => {
            Known::Runs { ticks: ticks[warm_up.min(ticks.len())..].to_vec(), checksum }
        }
        (Ok(Measured { checksum, .. }), Ok(expected)) => {
            Known::Wrong(format!("{layer} has checksum {checksum:08x} there and {expected:08x} here"))
        }
        (Err(refusal), Err(expected)) if refusal == expected => Known::Refused(refusal),
        (Ok(_), Err(expected)) => Known::Wrong(format!("{layer} runs there, and here: {expected}")),
        (Err(refusal), _) => Known::Wrong(format!("{layer} runs here, and there: {refusal}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::{Activation, Linear};

    const LAYER: Layer = Layer::Linear(Linear { inputs: 8, outputs: 4, activation: Activation::None });

    fn measured(checksum: u32) -> Result<Measured, Refusal> {
        Ok(Measured { ticks: vec![30, 10, 20], checksum })
    }

    #[test]
    fn equal_checksums_and_equal_refusals_are_known() {
        let known = compare(LAYER, measured(5), Ok(5), 1);
        assert!(matches!(known, Known::Runs { ticks, checksum: 5 } if ticks == [10, 20]));
        let known = compare(LAYER, Err(Refusal::Arena(9)), Err(Refusal::Arena(9)), 0);
        assert!(matches!(known, Known::Refused(Refusal::Arena(9))));
    }

    #[test]
    fn whatever_differs_is_named() {
        let check = |device, host, text: &str| match compare(LAYER, device, host, 0) {
            Known::Wrong(what) => assert_eq!(what, text),
            known => panic!("{known:?}"),
        };
        check(measured(0xA), Ok(0xB), "linear 8 -> 4 none has checksum 0000000a there and 0000000b here");
        check(
            measured(1),
            Err(Refusal::Pool(3)),
            "linear 8 -> 4 none runs there, and here: it needs 3 bytes more than the pool of weights has",
        );
        check(
            Err(Refusal::Pool(3)),
            Ok(1),
            "linear 8 -> 4 none runs here, and there: it needs 3 bytes more than the pool of weights has",
        );
        check(
            Err(Refusal::Arena(1)),
            Err(Refusal::Arena(2)),
            "linear 8 -> 4 none runs here, and there: it needs 1 bytes more than the arena has",
        );
    }

    #[test]
    fn runs_go_on_until_their_median_is_narrow() {
        assert!(!is_narrow(&[100]));
        assert!(is_narrow(&[100, 100]));
        assert!(!is_narrow(&[1000, 1010, 990]));
        // One run that was interrupted is no reason to go on.
        assert!(is_narrow(&[1000, 1001, 999, 1000, 9000, 1000, 1001, 999]));
        let spread: Vec<u32> = (0..400).map(|i| 1000 + 10 * (i % 7)).collect();
        assert!(!is_narrow(&spread[..4]) && is_narrow(&spread));
    }
}
