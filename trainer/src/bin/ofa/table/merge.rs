//! `ofa table merge`: one table from several of the same board.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use trainer::files;
use trainer::table::{LatencyTable, merge};

/// Make one table of several. Measurements win over predictions; what must not mix is refused.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Example:\n",
        "  ofa table merge latency/left.json latency/right.json --out latency/mps2-an386.json",
    )
)]
pub struct Cmd {
    /// Tables of one board, unit, runtime, space and seed.
    #[arg(required = true, num_args = 2..)]
    tables: Vec<PathBuf>,
    /// Where the merged table goes.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let tables = self.tables.iter().map(|path| LatencyTable::open(path)).collect::<Result<Vec<_>>>()?;
        files::check_writable(&self.out)?;
        let merged = merge(&tables)?;
        merged.save(&self.out)?;
        let (layers, measured) = (merged.layers.len(), merged.measured().len());
        let mut stdout = std::io::stdout().lock();
        if self.json {
            let value = json!({ "table": self.out, "layers": layers, "measured": measured });
            return Ok(writeln!(stdout, "{value:#}")?);
        }
        Ok(writeln!(stdout, "{}: {layers} layers, {measured} of them measured", self.out.display())?)
    }
}
