//! `ofa table plot`: a table as a drawing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use trainer::files;
use trainer::table::LatencyTable;

/// Draw ticks over multiplications: one SVG file that needs no other.
#[derive(Args)]
#[command(after_help = "Example:\n  ofa table plot latency/mps2-an386.json --out mps2-an386.svg")]
pub struct Cmd {
    /// What `ofa measure` wrote.
    table: PathBuf,
    /// Where the drawing goes [default: beside the table, with the ending svg].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let table = LatencyTable::open(&self.table)?;
        let out = self.out.unwrap_or_else(|| self.table.with_extension("svg"));
        let svg = table.plot().context("no layer of the table has both ticks and multiplications")?;
        files::write(&out, svg.as_bytes())?;
        let mut stdout = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(stdout, "{:#}", json!({ "plot": out }))?);
        }
        Ok(writeln!(stdout, "{}", out.display())?)
    }
}
