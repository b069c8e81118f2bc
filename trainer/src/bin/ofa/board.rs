//! `ofa board`: the boards there are, and a new one.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use trainer::board::{Board, Link, create};

/// List the boards, or begin a new one.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Print each board: its core, its clock, its memory, how it is reached and how far it was tested.
    #[command(after_help = "Example:\n  ofa board list")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Begin a board: a folder in boards/ that builds at once. boards/NEW_BOARD.md says how to go on.
    #[command(after_help = "Example:\n  ofa board new my-board --from nrf52840-dk")]
    New {
        /// Of small letters, digits and hyphens.
        name: String,
        /// The board to copy: best one with the same core, or of the same maker.
        #[arg(long, default_value = "nucleo-h743zi")]
        from: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match self.command {
            What::List { json } => {
                let boards = Board::names()?.iter().map(|name| Board::load(name)).collect::<Result<Vec<_>>>()?;
                let text = if json { format!("{:#}", as_json(&boards)) } else { as_text(&boards) };
                Ok(writeln!(stdout, "{text}")?)
            }
            What::New { name, from, json } => {
                let folder = create(&name, &from)?;
                if json {
                    return Ok(writeln!(stdout, "{:#}", json!({ "folder": folder, "from": from }))?);
                }
                writeln!(stdout, "{}: a copy of {from}; boards/NEW_BOARD.md says how to go on", folder.display())?;
                Ok(writeln!(stdout, "build it: cd {} && cargo build --release --bin probe", folder.display())?)
            }
        }
    }
}

fn link(board: &Board) -> &'static str {
    match board.link {
        Link::Qemu { .. } => "qemu",
        Link::Rtt { .. } => "rtt",
        Link::Port { .. } => "port",
        Link::Host => "host",
    }
}

fn as_json(boards: &[Board]) -> serde_json::Value {
    let board = |board: &Board| {
        json!({
            "name": board.name,
            "core": board.core,
            "target": board.target,
            "clock_hz": board.clock_hz,
            "unit": board.unit,
            "flash_bytes": board.flash_bytes,
            "ram_bytes": board.ram_bytes,
            "link": link(board),
            "emulated": board.is_emulated(),
            "tested": board.tested,
        })
    };
    boards.iter().map(board).collect()
}

fn as_text(boards: &[Board]) -> String {
    let head = format!(
        "{:18} {:11} {:>8} {:>10} {:>10} {:4} {:12} tested",
        "board", "core", "MHz", "flash KiB", "RAM KiB", "link", "unit"
    );
    let line = |board: &Board| {
        format!(
            "{:18} {:11} {:8} {:10} {:10} {:4} {:12} {}",
            board.name,
            board.core,
            f64::from(board.clock_hz) / 1e6,
            board.flash_bytes / 1024,
            board.ram_bytes / 1024,
            link(board),
            board.unit,
            board.tested
        )
    };
    [head].into_iter().chain(boards.iter().map(line)).collect::<Vec<_>>().join("\n")
}
