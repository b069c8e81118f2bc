//! `ofa completions` and `ofa man`: what a shell and `man` are to know of this program.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use trainer::files;

use crate::Ofa;

/// Print completions for a shell, to be put where it looks for them.
#[derive(Args)]
#[command(after_help = "Example:\n  ofa completions bash > ~/.local/share/bash-completion/completions/ofa")]
pub struct Completions {
    shell: Shell,
}

/// Write a manual page for each command.
#[derive(Args)]
#[command(after_help = "Example:\n  ofa man ~/.local/share/man/man1 && man ofa-search")]
pub struct Manual {
    /// The folder for ofa.1, ofa-search.1, …
    folder: PathBuf,
}

impl Completions {
    pub fn run(self) -> Result<()> {
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut Ofa::command(), "ofa", &mut script);
        Ok(std::io::stdout().write_all(&script)?)
    }
}

impl Manual {
    pub fn run(self) -> Result<()> {
        let mut ofa = Ofa::command().disable_help_subcommand(true);
        ofa.build();
        let mut pages = vec![];
        collect(&ofa, "ofa", &mut pages);
        for (name, command) in pages {
            let mut page = vec![];
            Man::new(command).render(&mut page)?;
            files::write(&self.folder.join(format!("{name}.1")), &page)?;
        }
        Ok(writeln!(std::io::stdout(), "{}", self.folder.display())?)
    }
}

/// A command and those below it, each with the name of its page.
fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Command)>) {
    pages.push((name.to_string(), command.clone()));
    for below in command.get_subcommands() {
        collect(below, &format!("{name}-{}", below.get_name()), pages);
    }
}

#[cfg(all(test, feature = "torch"))]
mod tests;
