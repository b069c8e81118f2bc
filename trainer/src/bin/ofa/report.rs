//! `ofa report`: the path's files as one page.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::files;
use trainer::report::report;

/// Make one HTML file of a folder that `ofa demo` left: the front, the latency table, the net, predicted beside measured.
///
/// The page needs no network and no other file.
#[derive(Args)]
#[command(after_help = "Examples:\n  ofa report out/demo --out report.html")]
pub struct Cmd {
    /// The folder.
    #[arg(default_value = "out/demo")]
    folder: PathBuf,
    /// Where the page goes [default: report.html in the folder].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print where it went as JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let out = self.out.unwrap_or_else(|| self.folder.join("report.html"));
        files::check_writable(&out)?;
        let page = report(&self.folder)?;
        files::write(&out, page.as_bytes())?;
        let path = out.display().to_string();
        let text =
            if self.json { serde_json::json!({ "report": path, "bytes": page.len() }).to_string() } else { path };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
