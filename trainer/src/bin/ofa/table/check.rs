//! `ofa table check`: what is suspicious about a table.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use trainer::space::{BUILT_IN, Space};
use trainer::table::{LatencyTable, can_tell, check};

/// Look for holes, strange checksums, noise, and ticks that the other layers do not explain. Exit code 1 if there are.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa table check latency/mps2-an386.json\n",
        "  ofa table check latency/mps2-an386.json --space space.toml",
    )
)]
pub struct Cmd {
    /// What `ofa measure` wrote.
    table: PathBuf,
    /// The space whose layers it should have: a built-in one or a TOML file [default: the built-in space that it was
    /// made for].
    #[arg(long)]
    space: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The table has findings.
#[derive(Debug)]
pub struct Suspicious(usize);

impl fmt::Display for Suspicious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} finding{} in the table", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Suspicious {}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let table = LatencyTable::open(&self.table)?;
        let space = self.space_of(&table)?;
        let wanted = space.as_ref().map(Space::distinct_layers);
        let findings = check(&table, wanted.as_deref());
        let mut stdout = std::io::stdout().lock();
        let told = can_tell(&table);
        if self.json {
            let space = space.map(|space| space.name);
            let value = json!({ "space": space, "ticks_checked": told, "findings": findings });
            writeln!(stdout, "{value:#}")?;
        } else {
            for finding in &findings {
                writeln!(stdout, "{}: {}", finding.layer, finding.what)?;
            }
            let holes = match &space {
                Some(space) => format!("holes of the space {}", space.name),
                None => "no holes, as its space is unknown (--space)".into(),
            };
            let ticks = if told { "ticks" } else { "no ticks, as it has too few layers" };
            let found = if findings.is_empty() { "nothing suspicious; " } else { "" };
            writeln!(stdout, "{} layers: {found}looked for checksums, noise, {ticks}, {holes}", table.layers.len())?;
        }
        match findings.len() {
            0 => Ok(()),
            count => Err(Suspicious(count).into()),
        }
    }

    fn space_of(&self, table: &LatencyTable) -> Result<Option<Space>> {
        let made_for = |space: &Space| space.hash() == table.header.space;
        let Some(name) = &self.space else {
            return Ok(BUILT_IN.iter().filter_map(|(name, _)| Space::load(name).ok()).find(made_for));
        };
        let space = Space::load(name)?;
        if !made_for(&space) {
            let (path, made_for) = (self.table.display(), &table.header.space);
            bail!("{path} was made for space {made_for}, this is {}", space.hash());
        }
        Ok(Some(space))
    }
}
