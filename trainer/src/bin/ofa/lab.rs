//! `ofa lab`: many boards at once.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use runtime::Layer;
use serde_json::json;
use trainer::files;
use trainer::lab::{Lab, Status, page, run};
use trainer::space::Space;

/// Measure on all boards of a lab at once, and see how that is getting on.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure every layer of a space on each kind of board of the lab. Killed at any moment, the same command goes on
    /// where it stopped.
    #[command(after_help = "Examples:\n  ofa lab run\n  ofa lab run --lab lab.toml --space mcu:3 --json")]
    Run {
        /// Names the boards and their links.
        #[arg(long, default_value = "lab.toml")]
        lab: PathBuf,
        /// A built-in space or a TOML file.
        #[arg(long, default_value = "fashion")]
        space: String,
        /// Measure these layers instead of all: a JSON list as in a latency table.
        #[arg(long)]
        layers: Option<PathBuf>,
        /// Of weights and inputs.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Of each layer, at most, as of `ofa measure`.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
        runs: Option<u8>,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// What each board does, how long it will take, and what is suspicious.
    #[command(after_help = "Examples:\n  ofa lab status\n  ofa lab status --html lab.html")]
    Status {
        /// Names the boards and their links.
        #[arg(long, default_value = "lab.toml")]
        lab: PathBuf,
        /// Write it as a page, too.
        #[arg(long)]
        html: Option<PathBuf>,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            What::Run { lab, space, layers, seed, runs, json } => {
                let lab = Lab::load(&lab)?;
                let space = Space::load(&space)?;
                let layers = match &layers {
                    Some(path) => files::read_json::<Vec<Layer>>(path, "hand, or as a part of a latency table")?,
                    None => space.distinct_layers(),
                };
                ensure!(!layers.is_empty(), "there are no layers to measure");
                let tables = run(&lab, &space, &layers, seed, runs)?;
                let status = Status::load(&lab.status_path())?;
                let mut stdout = std::io::stdout().lock();
                if json {
                    return Ok(writeln!(stdout, "{:#}", json!({ "tables": tables, "status": status }))?);
                }
                writeln!(stdout, "{}", status.text(status.updated))?;
                for table in tables {
                    writeln!(stdout, "{}", table.display())?;
                }
                Ok(())
            }
            What::Status { lab, html, json } => {
                let status = Status::load(&Lab::load(&lab)?.status_path())?;
                if let Some(path) = html {
                    files::write(&path, page(&status).as_bytes())?;
                }
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
                let text = if json { serde_json::to_string_pretty(&status)? } else { status.text(now as i64) };
                Ok(writeln!(std::io::stdout(), "{text}")?)
            }
        }
    }
}
