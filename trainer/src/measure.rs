//! Collects a board's latency table. Each figure comes with the proof that its kernel is exact there: the checksum of
//! the layer's output, which the host computes too.

pub mod collect;
mod condition;
pub mod drive;
mod openings;
mod pool;
pub mod selftest;
pub mod validate;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, ensure};
use latency_probe::{Capacity, Trial};
use runtime::Layer;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::board::Board;
use crate::device::{Device, describe_link, is_programmed, port};
use crate::files::{self, Header};
use crate::firmware::{self, Binary, Firmware};
use crate::link::Port;
use crate::model::{self, Compiled, Scale};
use crate::space::Space;
use crate::table::{self, Entry, FirmwareCost, LatencyTable, Provenance};
use collect::{Collection, Identity, Plan};
use drive::drive;
pub(crate) use openings::measure_openings;
use pool::HostPool;

pub use condition::change as change_of_condition;

/// How to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Of weights and inputs.
    pub seed: u64,
    /// Of each layer, at most.
    pub runs: u8,
    /// How many boards measure at the same time; 0: as many as this host can emulate.
    pub boards: usize,
}

impl Settings {
    /// The usual number of runs, at most: where equal work takes equally many ticks, a few prove it.
    ///
    /// ```
    /// use trainer::board::Board;
    /// use trainer::measure::Settings;
    ///
    /// assert!(Settings::usual_runs(&Board::load("mps2-an386")?) < Settings::usual_runs(&Board::load("host")?));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn usual_runs(board: &Board) -> u8 {
        if board.is_deterministic() { 3 } else { 48 }
    }
}

/// A board with its probe, and the way there.
///
/// ```
/// # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
/// use trainer::board::Board;
/// use trainer::measure::{Bench, Settings, measure_into, measure_missing};
/// use trainer::space::Space;
///
/// let (board, space) = (Board::load("host")?, Space::load("fashion")?);
/// let address = probe::start();
/// let bench = Bench::new(&board, Some(&address))?;
/// assert!(bench.capacity()?.arena_bytes > 0);
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("host.json");
/// let settings = Settings { seed: 0, runs: 1, boards: 1 };
/// let layers = space.layers(&space.smallest());
/// let some = measure_into(&path, &bench, &space, &layers[1..], settings, &|| ())?;
/// let all = measure_missing(&path, &bench, &space, &layers, settings, &|| ())?;
/// assert_eq!((some.layers.len() + 1, all.latency(&layers).is_ok()), (all.layers.len(), true));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Bench<'a> {
    /// The board.
    pub board: &'a Board,
    /// The way there, where it is not the one that the board's description names.
    pub address: Option<&'a str>,
    /// The probe, where the board starts with it.
    pub probe: Option<Firmware>,
    /// The way there.
    pub port: Box<dyn Port>,
    /// What it first said of its core.
    first_core: OnceLock<String>,
}

/// What a probe says of itself.
struct Said {
    core: String,
    sources: String,
    /// SHA-256 of the probe, or what it was built from where it was not built here.
    probe: String,
}

impl<'a> Bench<'a> {
    /// Builds the probe of a board that this host programs; on others it must be already.
    ///
    /// # Errors
    /// If it cannot be built, or the address is none.
    pub fn new(board: &'a Board, address: Option<&'a str>) -> Result<Self> {
        let programmed = is_programmed(board, address);
        let probe = programmed.then(|| firmware::build(board, Binary::Probe)).transpose()?;
        let port = port(board, probe.as_ref(), address)?;
        Ok(Self { board, address, probe, port, first_core: OnceLock::new() })
    }

    /// A board that starts with that probe.
    ///
    /// # Errors
    /// If there is no way to it.
    pub(crate) fn with_probe(board: &'a Board, probe: &Firmware) -> Result<Self> {
        let port = port(board, Some(probe), None)?;
        Ok(Self { board, address: None, probe: Some(probe.clone()), port, first_core: OnceLock::new() })
    }

    /// Boards that can measure at the same time: of emulated ones as many as are wanted, of others the one there is.
    fn copies(&self, wanted: usize) -> usize {
        match (&self.probe, wanted) {
            (Some(_), 0) if self.board.is_emulated() => thread::available_parallelism().map_or(1, usize::from),
            (Some(_), wanted) if self.board.is_emulated() => wanted,
            _ => 1,
        }
    }

    /// What tells its probe from others.
    ///
    /// # Errors
    /// If the board had to be asked, and does not answer.
    pub(crate) fn probe_name(&self) -> Result<String> {
        match &self.probe {
            Some(probe) => Ok(probe.sha256.clone()),
            None => Ok(self.said()?.probe),
        }
    }

    /// What the probe has room for.
    ///
    /// # Errors
    /// If the board does not answer.
    pub fn capacity(&self) -> Result<Capacity> {
        Ok(self.device()?.link.hello()?.1)
    }

    fn device(&self) -> Result<Device> {
        Device::connect(&*self.port, &self.board.name).map_err(|error| named(self.board, error))
    }

    fn said(&self) -> Result<Said> {
        let mut device = self.device()?;
        let (facts, _) = device.link.hello()?;
        let probe = self.probe.as_ref().map_or(facts.firmware, |probe| &probe.sha256);
        let first_core = self.first_core.get_or_init(|| facts.core.into());
        Ok(Said { core: condition::core(first_core, facts.core), sources: facts.firmware.into(), probe: probe.into() })
    }
}

/// The table of these layers of the space. `done` is called after each.
///
/// ```no_run
/// use trainer::board::Board;
/// use trainer::measure::{Settings, measure};
/// use trainer::space::Space;
///
/// let (board, space) = (Board::load("mps2-an386")?, Space::load("fashion")?);
/// let settings = Settings { seed: 0, runs: Settings::usual_runs(&board), boards: 0 };
/// let table = measure(&board, &space, &space.distinct_layers(), settings, &|| ())?;
/// table.save("latency/mps2-an386.json".as_ref())?;
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the board cannot be started or breaks down, or names the layers whose output is not the host's.
pub fn measure(
    board: &Board,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<LatencyTable> {
    // Before the build, as an emulator that is missing is quickly told.
    describe_link(board, None)?;
    table(&Bench::new(board, None)?, space, layers, settings, None, done)
}

/// The same into a file, with a journal beside it: killed at any moment, the same call goes on where it stopped.
///
/// # Errors
/// As [`measure`], or if the files cannot be written.
pub fn measure_into(
    out: &Path,
    bench: &Bench<'_>,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<LatencyTable> {
    let identity = identity(bench.board, &bench.probe_name()?, settings.seed);
    let journal = journal_path(out, &identity);
    let table = table(bench, space, layers, settings, Some((&journal, &identity)), done)?;
    settle(&table, out, &journal)?;
    Ok(table)
}

/// The table at that path with all of these layers, and the openings that have one of them: those that it lacks are
/// measured and added to the file, which may be missing.
///
/// # Errors
/// As [`measure_into`]; or if the table is of another space, board or probe, so that nothing can be added to it.
pub fn measure_missing(
    path: &Path,
    bench: &Bench<'_>,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<LatencyTable> {
    if !path.exists() {
        files::check_writable(path)?;
        return measure_into(path, bench, space, layers, settings, done);
    }
    let mut table = LatencyTable::load(path, space)?;
    let Provenance { board, command, .. } = &table.provenance;
    ensure!(*board == bench.board.name, "{} is a table of {board}, not of {}", path.display(), bench.board.name);
    let missing: Vec<Layer> = layers.iter().filter(|layer| table.entry(layer).is_none()).copied().collect();
    (missing.len()..layers.len()).for_each(|_| done());
    let openings = openings::missing(&table, space, layers).len();
    if missing.is_empty() && openings == 0 {
        return Ok(table);
    }
    let probe = bench.probe_name()?;
    ensure!(
        probe == table.provenance.probe,
        "{} lacks {} layers and {openings} openings, and was measured with another probe; run: {command}",
        path.display(),
        missing.len()
    );
    // With the table's seed, as its checksums are of that.
    let settings = Settings { seed: table.header.seed, ..settings };
    if !missing.is_empty() {
        let identity = identity(bench.board, &probe, settings.seed);
        let journal = journal_path(path, &identity);
        let entries = {
            let collection = collect(bench, &missing, settings, Some((&journal, &identity)), done)?;
            collection.entries(&bench.board.name)?
        };
        table.layers.extend(entries);
        table.layers.sort_by_key(|entry| entry.layer);
        settle(&table, path, &journal)?;
    }
    if openings > 0 {
        add_openings(&mut table, bench, space, layers, settings)?;
        table.save(path)?;
    }
    Ok(table)
}

/// Measures the openings that the table lacks of those that have one of these layers.
///
/// # Errors
/// If the board breaks down, or computes something else than this host.
pub fn add_openings(
    table: &mut LatencyTable,
    bench: &Bench<'_>,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
) -> Result<()> {
    table.openings.extend(measure_openings(bench, &openings::missing(table, space, layers), settings)?);
    table.openings.sort_by_key(|opening| opening.layers);
    Ok(())
}

/// Writes a table; what its journal kept is in it then.
fn settle(table: &LatencyTable, path: &Path, journal: &Path) -> Result<()> {
    table.save(path)?;
    std::fs::remove_file(journal).with_context(|| format!("cannot remove {}", journal.display()))
}

/// What a journal of that board's layers begins with.
pub(crate) fn identity(board: &Board, probe: &str, seed: u64) -> Identity {
    Identity {
        format: "ofa-measure".into(),
        board: board.name.clone(),
        probe: probe.into(),
        runtime: latency_probe::VERSION.into(),
        seed,
    }
}

/// Beside the table.
pub(crate) fn journal_path(out: &Path, identity: &Identity) -> PathBuf {
    let hash = Sha256::digest(serde_json::to_vec(identity).expect("numbers and strings serialise"));
    let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut path = out.as_os_str().to_owned();
    path.push(format!(".{digits}.journal"));
    path.into()
}

fn table(
    bench: &Bench<'_>,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
    journal: Option<(&Path, &Identity)>,
    done: &(dyn Fn() + Sync),
) -> Result<LatencyTable> {
    let board = bench.board;
    let collection = collect(bench, layers, settings, journal, done)?;
    let entries = collection.entries(&board.name)?;
    describe(bench, space, settings, entries, &collection)
}

/// The table of a collection that is whole, with the openings that have one of its layers, which are measured now.
///
/// # Errors
/// If the board has gone, runs an opening to another output than this host, or what a firmware takes cannot be measured.
pub(crate) fn describe(
    bench: &Bench<'_>,
    space: &Space,
    settings: Settings,
    mut entries: Vec<Entry>,
    collection: &Collection<'_>,
) -> Result<LatencyTable> {
    entries.sort_by_key(|entry| entry.layer);
    let layers: Vec<_> = entries.iter().map(|entry| entry.layer).collect();
    let Settings { seed, runs, .. } = settings;
    let Bench { board, address, .. } = bench;
    let said = bench.said()?;
    let link = address.map_or(String::new(), |address| format!(" --link '{address}'"));
    let provenance = Provenance {
        command: format!(
            "ofa measure --board {}{link} --space {} --seed {seed} --runs {runs}",
            board.name,
            space.argument()
        ),
        board: board.name.clone(),
        core: said.core,
        clock_hz: board.clock_hz,
        unit: board.unit.clone(),
        flash_bytes: board.flash_bytes,
        ram_bytes: board.ram_bytes,
        link: describe_link(board, *address)?,
        probe: said.probe,
        sources: said.sources,
        runtime: latency_probe::VERSION.into(),
        ofa: env!("CARGO_PKG_VERSION").into(),
        date: OffsetDateTime::now_utc().date().to_string(),
    };
    let header = Header::new(table::FORMAT, &space.hash(), seed);
    let firmware = firmware_cost(board, space)?;
    let sentinel = collection.sentinel();
    let mut table = LatencyTable { header, provenance, firmware, sentinel, layers: entries, openings: vec![] };
    add_openings(&mut table, bench, space, &layers, settings)?;
    Ok(table)
}

/// What came of each layer, in their order.
///
/// ```no_run
/// use trainer::board::Board;
/// use trainer::firmware::{Binary, build};
/// use trainer::measure::{Settings, measure_layers, selftest};
///
/// let board = Board::load("mps2-an386")?;
/// let settings = Settings { seed: 0, runs: 1, boards: 1 };
/// let entries = measure_layers(&board, &build(&board, Binary::Probe)?, &selftest::layers(), settings, &|| ())?;
/// assert!(entries.iter().all(|entry| entry.ticks().is_some()));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// As [`measure`].
pub fn measure_layers(
    board: &Board,
    probe: &Firmware,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Entry>> {
    let bench = Bench::with_probe(board, probe)?;
    let entries = collect(&bench, layers, settings, None, done)?.entries(&board.name)?;
    let entry = |layer: &Layer| {
        let found = entries.iter().find(|entry| entry.layer == *layer);
        found.cloned().with_context(|| format!("{layer} was not measured"))
    };
    layers.iter().map(entry).collect()
}

/// A whole collection.
fn collect<'d>(
    bench: &Bench<'_>,
    layers: &[Layer],
    settings: Settings,
    journal: Option<(&Path, &Identity)>,
    done: &'d (dyn Fn() + Sync),
) -> Result<Collection<'d>> {
    let Settings { seed, runs, boards } = settings;
    ensure!(runs > 0, "the number of runs is 0");
    let deterministic = bench.board.is_deterministic();
    let collection = Collection::new(Plan { layers: layers.to_vec(), seed, runs, deterministic }, journal, done)?;
    let copies = bench.copies(boards).min(collection.layers());
    let ends: Vec<Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..copies).map(|_| scope.spawn(|| drive(&collection, &*bench.port, &bench.board.name))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect()
    });
    // Where one copy fails the others do its work; what is missing then, nobody could do.
    if collection.known() < collection.layers() {
        ends.into_iter().collect::<Result<()>>().map_err(|error| named(bench.board, error))?;
    }
    Ok(collection)
}

/// What a program says for itself names it; other errors get the board's name.
fn named(board: &Board, error: anyhow::Error) -> anyhow::Error {
    if error.to_string().contains(&board.name) { error } else { error.context(board.name.clone()) }
}

/// Links a runner with the smallest net of the space, whose own bytes are known, and takes the difference; `None` if
/// the runtime cannot run that net, or the board has no firmware.
fn firmware_cost(board: &Board, space: &Space) -> Result<Option<FirmwareCost>> {
    if board.folder.as_os_str().is_empty() {
        return Ok(None);
    }
    let arch = space.smallest();
    let layers = space.layers(&arch);
    let most = |size: fn(&Layer) -> usize| layers.iter().map(size).max().unwrap_or(0) as u32;
    let capacity =
        Capacity { pool_taps: most(Layer::taps), pool_channels: most(Layer::channels), ..Capacity::default() };
    let pool = HostPool::of(&capacity);
    let Ok(trials) = layers.iter().map(|layer| Trial::new(*layer, 0, pool.weights())).collect::<Result<Vec<_>, _>>()
    else {
        return Ok(None);
    };
    let blank = Compiled {
        header: Header::new(model::FORMAT, &space.hash(), 0),
        arch,
        outputs: vec![Scale { scale: 1.0, zero: 0 }; layers.len()],
        steps: trials.iter().map(Trial::step).collect(),
        channels: trials.iter().flat_map(|trial| trial.weights().channels.to_vec()).collect(),
        taps: trials.iter().flat_map(|trial| trial.weights().taps.to_vec()).collect(),
    };
    let size = firmware::build(board, Binary::Runner(&blank))?.size;
    Ok(Some(FirmwareCost {
        code_bytes: size.flash_bytes.saturating_sub(blank.flash_bytes()),
        static_bytes: size.sram_bytes.saturating_sub(blank.net()?.arena_bytes()),
    }))
}
