//! A device lab: several boards at once, of one kind or of many, each of which may be unplugged at any time.
//!
//! ```text
//!   lab.toml ─▶ run ─┬─▶ copy a ─┐
//!                    ├─▶ copy b ─┼─▶ a collection for each kind of board ─▶ KIND.json
//!                    └─▶ copy c ─┘        (journal)
//!                    └─▶ status.json, status.html
//! ```
//!
//! ```
//! # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
//! use trainer::lab::{Lab, Status, page, run};
//! use trainer::space::Space;
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("lab.toml");
//! let out = folder.path().join("tables");
//! let board = format!("name = 'left'\nboard = 'host'\nlink = '{}'", probe::start());
//! std::fs::write(&file, format!("out = {out:?}\n[[boards]]\n{board}\n"))?;
//!
//! let (lab, space) = (Lab::load(&file)?, Space::load("fashion")?);
//! let tables = run(&lab, &space, &space.layers(&space.smallest()), 0, Some(1))?;
//! assert_eq!(tables, [out.join("host.json")]);
//! let status = Status::load(&lab.status_path())?;
//! assert!(status.text(status.updated).starts_with("the run has ended"));
//! assert!(page(&status).contains("left"));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod page;
mod status;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use runtime::Layer;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::board::Board;
use crate::device::{Device, describe_link};
use crate::files;
use crate::link::Port;
use crate::measure::collect::{Collection, Plan};
use crate::measure::{Bench, Settings, describe, identity, journal_path};
use crate::space::Space;
use crate::table::{DRIFT_PERCENT, LatencyTable};
pub use page::page;
pub use status::{CopyStatus, KindStatus, State, Status};

/// The first pause after a board has gone; each further one is twice as long, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a board may fail in a row, without having brought a layer, until it is left alone: about five minutes.
const FAILURES: u32 = 16;
/// How often the status is written.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// A lab, as its `lab.toml` describes it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// Where tables, journals and the status go; seen from where `ofa` is started.
    #[serde(default = "latency")]
    pub out: PathBuf,
    /// The boards.
    pub boards: Vec<Member>,
}

/// A board of the lab; there may be several of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What the lab calls it.
    pub name: String,
    /// What it is: a folder of `boards/`, or `host`.
    pub board: String,
    /// The way there, where it is not what `board.toml` names.
    pub link: Option<String>,
}

fn latency() -> PathBuf {
    "latency".into()
}

impl Lab {
    /// Reads a `lab.toml`.
    ///
    /// # Errors
    /// One line with the line and the field at fault.
    pub fn load(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {origin}; latency-probe/README.md says how to write one"))?;
        let lab: Self = files::parse_toml(&text, &origin)?;
        ensure!(!lab.boards.is_empty(), "{origin}: there are no boards");
        for (i, copy) in lab.boards.iter().enumerate() {
            let twice = lab.boards[..i].iter().any(|other| other.name == copy.name);
            ensure!(!twice, "{origin}: two boards are called {}", copy.name);
            let same = |other: &&Member| other.link.is_some() && other.link == copy.link;
            if let Some(other) = lab.boards[..i].iter().find(same) {
                return Err(anyhow!("{origin}: {} and {} have the same link", other.name, copy.name));
            }
        }
        Ok(lab)
    }

    /// Where the status is, for programs.
    pub fn status_path(&self) -> PathBuf {
        self.out.join("status.json")
    }

    /// Where the table of a kind of board goes.
    fn table_path(&self, board: &Board) -> PathBuf {
        self.out.join(format!("{}.json", board.name))
    }

    /// Where the status is, for people.
    pub(crate) fn page_path(&self) -> PathBuf {
        self.out.join("status.html")
    }
}

/// One kind of board of a lab, at work.
struct Kind<'a> {
    board: &'a Board,
    copies: Vec<(&'a Member, Bench<'a>)>,
    collection: Collection<'a>,
    journal: PathBuf,
    status: Mutex<KindStatus>,
}

impl Kind<'_> {
    fn status(&self) -> MutexGuard<'_, KindStatus> {
        self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_whole(&self) -> bool {
        self.collection.known() == self.collection.layers()
    }

    /// Lets a copy be seen in that state.
    fn show(&self, copy: usize, state: State, said: &str) {
        let status = &mut self.status().copies[copy];
        if status.state == State::Gone && state == State::Working {
            status.restarts += 1;
        }
        status.state = state;
        status.said = said.into();
    }
}

/// Measures the layers of the space on every kind of board of the lab, each kind on all its copies at once, and writes
/// a table for each. Returns their paths.
///
/// # Errors
/// Names the kinds that have no table, once all others have theirs; the same call goes on where it stopped.
pub fn run(lab: &Lab, space: &Space, layers: &[Layer], seed: u64, runs: Option<u8>) -> Result<Vec<PathBuf>> {
    files::check_writable(&lab.status_path())?;
    let mut names: Vec<&str> = lab.boards.iter().map(|copy| copy.board.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let boards = names.into_iter().map(Board::load).collect::<Result<Vec<_>>>()?;
    boards.iter().try_for_each(|board| LatencyTable::check_place(&lab.table_path(board), space))?;
    let settings =
        |board: &Board| Settings { seed, runs: runs.unwrap_or_else(|| Settings::usual_runs(board)), boards: 1 };
    let kinds = boards.iter().map(|board| kind(lab, board, layers, settings(board))).collect::<Result<Vec<_>>>()?;
    let (start, ended) = (Instant::now(), AtomicBool::new(false));
    let write = || -> Result<()> {
        let status = Status {
            updated: OffsetDateTime::now_utc().unix_timestamp(),
            ended: ended.load(Ordering::Relaxed),
            kinds: kinds.iter().map(|kind| current(kind, start.elapsed())).collect(),
        };
        files::write_json(&lab.status_path(), &status)?;
        files::write(&lab.page_path(), page(&status).as_bytes())
    };
    write()?;
    let ends = thread::scope(|scope| {
        let workers: Vec<_> = kinds
            .iter()
            .flat_map(|kind| (0..kind.copies.len()).map(move |copy| (kind, copy)))
            .map(|(kind, copy)| scope.spawn(move || tend(kind, copy)))
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            // That the status cannot be written spoils no measurement; the last one is not forgiven.
            let _ = write();
            let until = Instant::now() + STATUS_EVERY;
            while Instant::now() < until && !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        kinds.iter().map(|kind| save(lab, kind, space, settings(kind.board))).collect::<Vec<_>>()
    });
    ended.store(true, Ordering::Relaxed);
    write()?;
    let mut paths = Vec::new();
    let mut failures = Vec::new();
    for end in ends {
        match end {
            Ok(path) => paths.push(path),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    ensure!(failures.is_empty(), "{}; the same command goes on where this stopped", failures.join("; "));
    Ok(paths)
}

fn kind<'a>(lab: &'a Lab, board: &'a Board, layers: &[Layer], settings: Settings) -> Result<Kind<'a>> {
    let copies = lab.boards.iter().filter(|copy| copy.board == board.name).map(|copy| {
        describe_link(board, copy.link.as_deref())?;
        Ok((copy, Bench::new(board, copy.link.as_deref())?))
    });
    let copies: Vec<_> = copies.collect::<Result<_>>()?;
    // What the copies run they must say alike, so the first one that answers says it for all.
    let probe = copies.iter().find_map(|(_, bench)| bench.probe_name().ok());
    let names: Vec<_> = copies.iter().map(|(copy, _)| copy.name.as_str()).collect();
    let probe = probe
        .with_context(|| format!("no {} answers ({}); see latency-probe/README.md", board.name, names.join(", ")))?;
    let identity = identity(board, &probe, settings.seed);
    let journal = journal_path(&lab.out.join(format!("{}.json", board.name)), &identity);
    let plan = Plan {
        layers: layers.to_vec(),
        seed: settings.seed,
        runs: settings.runs,
        deterministic: board.is_deterministic(),
    };
    let collection = Collection::new(plan, Some((&journal, &identity)), &|| ())?;
    let status = KindStatus {
        board: board.name.clone(),
        unit: board.unit.clone(),
        known_before: collection.known(),
        known: collection.known(),
        layers: collection.layers(),
        seconds_left: None,
        suspicious: vec![],
        copies: names.iter().map(|name| CopyStatus::new(name)).collect(),
    };
    Ok(Kind { board, copies, collection, journal, status: Mutex::new(status) })
}

/// Keeps a copy at work until all is known, or it has failed too often, or is another board than its copies.
fn tend(kind: &Kind<'_>, copy: usize) {
    let mut failures = 0;
    while !kind.is_whole() {
        let before = kind.status().copies[copy].layers;
        match work(kind, copy, &*kind.copies[copy].1.port) {
            Ok(Worked::All) => break,
            Ok(Worked::Refused(why)) => return kind.show(copy, State::Refused, &why),
            Err(error) => {
                failures = if kind.status().copies[copy].layers > before { 1 } else { failures + 1 };
                let said = format!("{error:#}").replace('\n', " ");
                if failures >= FAILURES {
                    return kind.show(copy, State::GivenUp, &said);
                }
                kind.show(copy, State::Gone, &said);
                let until = Instant::now() + LONGEST_PAUSE.min(PAUSE * 2_u32.pow(failures.min(10)));
                while Instant::now() < until && !kind.is_whole() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
    kind.show(copy, State::Done, "");
}

enum Worked {
    All,
    /// Why it does not take part.
    Refused(String),
}

fn work(kind: &Kind<'_>, copy: usize, port: &dyn Port) -> Result<Worked> {
    let mut device = Device::connect(port, &kind.board.name)?;
    if let Some(why) = kind.collection.admit(&mut device.link)? {
        return Ok(Worked::Refused(why));
    }
    let mut taken = 0;
    let worked = kind.collection.work(&mut device.link, |layer| {
        kind.show(copy, State::Working, &layer.to_string());
        // Of the layer before came something.
        kind.status().copies[copy].layers += usize::from(taken > 0);
        taken += 1;
    });
    kind.status().copies[copy].layers += usize::from(worked.is_ok() && taken > 0);
    worked.map(|()| Worked::All).map_err(|error| device.bury(error))
}

/// The table of a kind; its journal is of no more use then.
fn save(lab: &Lab, kind: &Kind<'_>, space: &Space, settings: Settings) -> Result<PathBuf> {
    let Kind { board, copies, collection, journal, .. } = kind;
    let entries = collection.entries(&board.name).map_err(|error| {
        let status = kind.status();
        let said = status.copies.iter().filter(|copy| !copy.said.is_empty());
        let said: Vec<_> = said.map(|copy| format!("{}: {}", copy.name, copy.said)).collect();
        if said.is_empty() { error } else { error.context(said.join(", ")) }
    })?;
    let path = lab.table_path(board);
    let tables = copies.iter().map(|(_, bench)| describe(bench, space, settings, entries.clone(), collection));
    // By the first copy that still answers.
    let mut failure = anyhow!("{} has no copies", board.name);
    for table in tables {
        match table {
            Ok(table) => {
                table.save(&path)?;
                std::fs::remove_file(journal).with_context(|| format!("cannot remove {}", journal.display()))?;
                return Ok(path);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// How a kind is getting on.
fn current(kind: &Kind<'_>, since: Duration) -> KindStatus {
    let mut status = kind.status().clone();
    status.known = kind.collection.known();
    let (done, left) = (status.known - status.known_before, status.layers - status.known);
    status.seconds_left =
        (done > 0 || left == 0).then(|| (since.as_secs_f64() / done.max(1) as f64 * left as f64).ceil() as u64);
    if let Some(sentinel) = kind.collection.sentinel()
        && sentinel.trend_percent.abs() >= DRIFT_PERCENT
    {
        status.suspicious.push(format!(
            "it drifts: {} takes {:+.1} % against the beginning; let it settle, and measure again",
            sentinel.text, sentinel.trend_percent
        ));
    }
    for copy in &status.copies {
        match copy.state {
            State::Refused => status.suspicious.push(format!("{} does not take part: {}", copy.name, copy.said)),
            State::GivenUp => status.suspicious.push(format!("{} is left alone: {}", copy.name, copy.said)),
            _ if copy.restarts >= 3 => {
                status
                    .suspicious
                    .push(format!("{} has gone {} times; see its cable and power", copy.name, copy.restarts));
            }
            _ => {}
        }
    }
    status
}
