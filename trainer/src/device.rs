//! Boards at work: started with a firmware, asked, and ended.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use latency_probe::Facts;

use crate::board::{self, Board};
use crate::child::Child;
use crate::firmware::Firmware;
use crate::link::Link;

/// How long a board may take for one answer. An emulated one shares its host with others.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Starts a board with that firmware, and ends it when the work is done.
///
/// # Errors
/// The work's, with what the board said last; or why the board cannot be started, or that it is another.
pub fn with_board<R>(board: &Board, firmware: &Firmware, work: impl FnOnce(&mut Link) -> Result<R>) -> Result<R> {
    let mut command = command(board)?;
    command.arg("-kernel").arg(&firmware.elf);
    let (child, stdin, stdout) = Child::spawn(command).map_err(|error| cannot_start(board, &error))?;
    let mut link = Link::new(stdout, stdin, ANSWER_WITHIN);
    let greeted = link.hello().map_err(Into::into).and_then(|(facts, _)| check(board, &facts));
    greeted.and_then(|()| work(&mut link)).map_err(|error| {
        drop(link);
        let words = child.last_words();
        match &words[words.len().saturating_sub(3)..] {
            [] => error.context(board.name.clone()),
            last => error.context(format!("{}: {}", board.name, last.join(" "))),
        }
    })
}

/// Shares out `tasks` among `boards` boards that work at the same time, or as many as this host can feed where that
/// is 0. The results are in the order of the tasks, and `done` is called after each.
///
/// # Errors
/// Of a task that fails, as [`with_board`]; the others are then left.
pub fn share_out<T: Sync, R: Send>(
    board: &Board,
    firmware: &Firmware,
    boards: usize,
    tasks: &[T],
    work: impl Fn(&mut Link, &T) -> Result<R> + Sync,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<R>> {
    let boards = match boards {
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

/// The version of the emulator, in one line.
///
/// # Errors
/// If it is not installed.
pub fn emulator_version(board: &Board) -> Result<String> {
    let Emulator { program, .. } = emulator(board)?;
    let output = Command::new(program).arg("--version").output().map_err(|error| cannot_start(board, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_string).with_context(|| format!("{program} --version says nothing"))
}

/// The command line that starts the board, the firmware left out.
///
/// # Errors
/// If it is no emulated board.
pub fn command_line(board: &Board) -> Result<String> {
    let Emulator { program, arguments, .. } = emulator(board)?;
    Ok([&[program.to_string()][..], arguments].concat().join(" "))
}

fn command(board: &Board) -> Result<Command> {
    let Emulator { program, arguments, .. } = emulator(board)?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

struct Emulator<'b> {
    program: &'b str,
    package: &'b str,
    arguments: &'b [String],
}

fn emulator(board: &Board) -> Result<Emulator<'_>> {
    match &board.link {
        board::Link::Qemu { program, package, arguments } => Ok(Emulator { program, package, arguments }),
        board::Link::Rtt { chip } => bail!(
            "{} is no emulated board: it needs a debug probe at its {chip}, and this host has none that it can use",
            board.name
        ),
    }
}

fn cannot_start(board: &Board, error: &std::io::Error) -> anyhow::Error {
    let Emulator { program, package, .. } = match emulator(board) {
        Ok(emulator) => emulator,
        Err(error) => return error,
    };
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow!("{program}, which emulates {}, is missing; install it: apt-get install {package}", board.name)
        }
        _ => anyhow!("cannot start {program}: {error}"),
    }
}

fn check(board: &Board, facts: &Facts<'_>) -> Result<()> {
    ensure!(facts.board == board.name, "this board says it is {}", facts.board);
    Ok(())
}
