//! `ofa table import`: a latency table of the original's.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use trainer::files;
use trainer::original::{Imported, read_table};

use crate::search::named_space;

/// A table of the original's has less than a hundredth of it; what is read of it takes some eight times as much.
const MOST_BYTES: u64 = 1 << 26;

/// Read latency tables of the original once-for-all code: YAML, a file for each resolution.
///
/// A layer that several files have, such as Logits, gets the mean of their times; the original uses each resolution's own.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Example:\n",
        "  ofa table import 160_lookup_table.yaml 224_lookup_table.yaml --board note10 --out latency/note10.json",
    )
)]
pub struct Cmd {
    /// The tables, such as 160_lookup_table.yaml.
    #[arg(required = true)]
    tables: Vec<PathBuf>,
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "mobilenetv3")]
    space: String,
    /// What its widths are multiplied by.
    #[arg(long, default_value_t = 1.2)]
    width: f64,
    /// What the table calls the device.
    #[arg(long, default_value = "imported")]
    board: String,
    /// Where the table goes.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = named_space(&self.space, self.width)?;
        let text = |path: &PathBuf| {
            let name = path.display().to_string();
            let text = String::from_utf8(files::read_at_most(path, MOST_BYTES)?);
            Ok((name.clone(), text.ok().with_context(|| format!("{name} is no text in UTF-8"))?))
        };
        let texts = self.tables.iter().map(text).collect::<Result<Vec<_>>>()?;
        let names: Vec<_> = texts.iter().map(|(name, _)| name.as_str()).collect();
        let command = format!(
            "ofa table import {} --space {} --width {} --board {} --out {}",
            names.join(" "),
            self.space,
            self.width,
            self.board,
            self.out.display()
        );
        let Imported { table, resolutions, unused } = read_table(&texts, &space, &self.board, &command)?;
        table.save(&self.out)?;
        let (layers, out) = (table.layers.len(), self.out.display());
        let text = if self.json {
            let report = json!({ "out": self.out, "layers": layers, "resolutions": resolutions, "unused": unused });
            format!("{report:#}")
        } else {
            format!("{layers} layers for images of {resolutions:?} pixels; {unused} keys are of no use here\n{out}")
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
