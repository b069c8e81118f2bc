//! Boards at work: started with a firmware, asked, and ended.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use latency_probe::Facts;

use crate::board::{self, Board};
use crate::child::Child;
use crate::firmware::Firmware;
use crate::link::rtt::{self, Rtt};
use crate::link::{Link, Port, Program, Streams, parse_port};

/// How long an emulated board may take for one answer: it shares its host with others.
const EMULATED_WITHIN: Duration = Duration::from_secs(120);
/// How long this machine may take for one.
const HOST_WITHIN: Duration = Duration::from_secs(60);
/// What QEMU says of a board that sleeps until it is asked, as it should.
const ASLEEP: &str = "icount sleep disabled and no active timers";

/// A board that has said who it is.
pub(crate) struct Device {
    /// To ask it.
    pub link: Link,
    child: Option<Child>,
    said: Option<Receiver<String>>,
}

impl Device {
    /// Opens the port, and sees that this board is at its other end and that its firmware is of this version.
    ///
    /// # Errors
    /// One line that says what to do, with what the program between said last.
    pub(crate) fn connect(port: &dyn Port, board: &str) -> Result<Self> {
        let Streams { input, output, child, said } = port.open()?;
        let mut device = Self { link: Link::new(input, output, port.patience()), child, said };
        match device.link.hello().map_err(Into::into).and_then(|(facts, _)| check(board, &facts)) {
            Ok(()) => Ok(device),
            Err(error) => Err(device.bury(error)),
        }
    }

    /// Ends it; the error with what the board said last.
    pub(crate) fn bury(self, error: anyhow::Error) -> anyhow::Error {
        drop(self.link);
        let mut words = self.child.map_or(Vec::new(), Child::last_words);
        words.retain(|line| !line.ends_with(ASLEEP));
        // Said before the link ended, if anything is.
        words.extend(self.said.and_then(|said| said.try_recv().ok()));
        match &words[words.len().saturating_sub(3)..] {
            [] => error,
            last => error.context(last.join(" ")),
        }
    }
}

/// The port through which a board is reached: the one at `address` where there is one, or else the one that its
/// description names. An emulated board starts with that firmware.
///
/// # Errors
/// If the address is none, or the board cannot be reached without a firmware.
pub(crate) fn port(board: &Board, firmware: Option<&Firmware>, address: Option<&str>) -> Result<Box<dyn Port>> {
    if let Some(address) = address
        && rtt_probe(board, Some(address)).is_none()
    {
        return parse_port(address);
    }
    match &board.link {
        board::Link::Port { address } => parse_port(address),
        board::Link::Qemu { program, package, arguments } => {
            let elf = firmware.context("an emulated board starts with a firmware")?.elf.display().to_string();
            Ok(Box::new(Program {
                command: [&[program.clone()][..], arguments, &["-kernel".into(), elf]].concat(),
                missing: missing(board, program, package),
                patience: EMULATED_WITHIN,
            }))
        }
        board::Link::Rtt { chip } => Ok(Box::new(Rtt {
            board: board.name.clone(),
            chip: chip.clone(),
            probe: rtt_probe(board, address).flatten().map(Into::into),
            firmware: firmware.context("a debug probe programs a firmware")?.elf.clone(),
        })),
        board::Link::Host => {
            let program = std::env::current_exe().context("this program does not find itself")?;
            Ok(Box::new(Program {
                command: vec![program.display().to_string(), "probe".into(), board.name.clone()],
                missing: format!("{} is missing", program.display()),
                patience: HOST_WITHIN,
            }))
        }
    }
}

/// `Some` if the board is reached through a debug probe, and in it which one, where that is said.
pub(crate) fn rtt_probe<'a>(board: &Board, address: Option<&'a str>) -> Option<Option<&'a str>> {
    match (&board.link, address) {
        (board::Link::Rtt { .. }, None) => Some(None),
        (board::Link::Rtt { .. }, Some(address)) => {
            address.strip_prefix(rtt::PREFIX).map(|probe| Some(probe).filter(|probe| !probe.is_empty()))
        }
        _ => None,
    }
}

/// Whether this host programs the board with the firmware that it builds; others have theirs already.
pub(crate) fn is_programmed(board: &Board, address: Option<&str>) -> bool {
    board.is_emulated() && address.is_none() || rtt_probe(board, address).is_some()
}

/// Starts a board with that firmware, and ends it when the work is done.
///
/// ```no_run
/// use trainer::board::Board;
/// use trainer::device::with_board;
/// use trainer::firmware::{Binary, build};
///
/// let board = Board::load("mps2-an386")?;
/// let probe = build(&board, Binary::Probe)?;
/// let core = with_board(&board, &probe, |link| Ok(link.hello()?.0.core.to_string()))?;
/// assert_eq!(core, board.core);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// The work's, with what the board said last; or why the board cannot be started, or that it is another.
pub fn with_board<R>(board: &Board, firmware: &Firmware, work: impl FnOnce(&mut Link) -> Result<R>) -> Result<R> {
    let port = port(board, Some(firmware), None)?;
    let mut device = Device::connect(&*port, &board.name).map_err(|error| named(board, error))?;
    work(&mut device.link).map_err(|error| named(board, device.bury(error)))
}

/// What a program says for itself names it; other errors get the board's name.
fn named(board: &Board, error: anyhow::Error) -> anyhow::Error {
    if error.to_string().contains(&board.name) { error } else { error.context(board.name.clone()) }
}

/// Shares out `tasks` among `boards` boards that work at the same time, or as many as this host can feed where that
/// is 0. The results are in the order of the tasks, and `done` is called after each.
///
/// # Errors
/// Of a task that fails, as [`with_board`]; the others are then left.
pub(crate) fn share_out<T: Sync, R: Send>(
    board: &Board,
    firmware: &Firmware,
    boards: usize,
    tasks: &[T],
    work: impl Fn(&mut Link, &T) -> Result<R> + Sync,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<R>> {
    let boards = match boards {
        _ if !board.is_emulated() => 1,
        0 => thread::available_parallelism().map_or(1, usize::from),
        boards => boards,
    };
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(tasks.len()));
    let work_on_one_board = || {
        with_board(board, firmware, |link| {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(i) else { return Ok(()) };
                let result = work(link, task).inspect_err(|_| next.store(tasks.len(), Ordering::Relaxed))?;
                results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((i, result));
                done();
            }
        })
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..boards.min(tasks.len())).map(|_| scope.spawn(work_on_one_board)).collect();
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect();
        ends.into_iter().collect::<Result<()>>()
    })?;
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(i, _)| *i);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// What is between this host and the board, with its version where that matters.
///
/// ```
/// use trainer::board::Board;
/// use trainer::device::describe_link;
///
/// let host = Board::load("host")?;
/// assert_eq!(describe_link(&host, None)?, "a child process");
/// assert_eq!(describe_link(&host, Some("tcp:phone:4000"))?, "tcp:phone:4000");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the emulator is not installed.
pub fn describe_link(board: &Board, address: Option<&str>) -> Result<String> {
    match (&board.link, address) {
        (board::Link::Rtt { .. }, None) => rtt::describe(&board.name, None),
        (_, Some(address)) => match rtt_probe(board, Some(address)) {
            Some(probe) => rtt::describe(&board.name, probe),
            None => Ok(address.into()),
        },
        (board::Link::Port { address }, None) => Ok(address.clone()),
        (board::Link::Host, None) => Ok("a child process".into()),
        (board::Link::Qemu { program, package, arguments }, None) => {
            let output = Command::new(program).arg("--version").output().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => anyhow!("{}", missing(board, program, package)),
                _ => anyhow!("cannot start {program}: {error}"),
            })?;
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.lines().next().with_context(|| format!("{program} --version says nothing"))?;
            Ok(format!("{version}: {}", [&[program.clone()][..], arguments].concat().join(" ")))
        }
    }
}

fn missing(board: &Board, program: &str, package: &str) -> String {
    format!("{program}, which emulates {}, is missing; install it: apt-get install {package}", board.name)
}

fn check(board: &str, facts: &Facts<'_>) -> Result<()> {
    ensure!(facts.board == board, "this board says it is {}", facts.board);
    let (there, here) = (facts.version, latency_probe::VERSION);
    ensure!(there == here, "the firmware of {board} is of version {there}, this ofa is {here}; flash it again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_said_last_stands_before_the_error_unless_it_only_slept() {
        let check = |said: &str, error: &str| {
            // By a shell's own echo, so that stdout is open until it has spoken.
            let port = parse_port(&format!("exec:sh -c \"echo '{said}' >&2\"")).unwrap();
            assert_eq!(format!("{:#}", Device::connect(&*port, "b").err().unwrap()), error);
        };
        check("no such machine", "no such machine: the board has closed the link");
        check(&format!("qemu-system-arm: warning: {ASLEEP}"), "the board has closed the link");
    }
}
