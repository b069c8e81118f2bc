//! `ofa space suggest`: which space to train for a board.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use trainer::board::Board;
use trainer::files;
use trainer::search::Limits;
use trainer::space::Space;
use trainer::suggest::{NothingFits, Suggestion, suggest, to_toml};

/// Suggest a space to train for a board: widths and resolutions whose nets make the most of its memory.
///
/// As MCUNet's TinyNAS does (Lin et al. 2020), of many spaces the one whose nets, as far as the board holds them, have
/// the most multiply-accumulates. Exit code 1: the board holds none.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa space suggest --board nucleo-h743zi\n",
        "  ofa space suggest --sram 64k --flash 1M --space mcu:3 --out space.toml",
    )
)]
pub struct Cmd {
    /// A folder of boards/: all its memory is for the net, less what is kept.
    #[arg(long, required_unless_present_all = ["sram", "flash"])]
    board: Option<String>,
    /// Bytes of SRAM for the net's arena, such as 64k, instead of the board's.
    #[arg(long)]
    sram: Option<String>,
    /// Bytes of flash for the net, instead of the board's.
    #[arg(long)]
    flash: Option<String>,
    /// Bytes of the board's SRAM that are kept for stack and variables.
    #[arg(long, default_value = "4k", value_name = "BYTES")]
    keep_sram: String,
    /// Bytes of the board's flash that are kept for code; `ofa measure` says how many the runtime takes.
    #[arg(long, default_value = "32k", value_name = "BYTES")]
    keep_flash: String,
    /// The space whose stages it has: a built-in one or a TOML file.
    #[arg(long, default_value = "mcu")]
    space: String,
    /// Nets drawn of each space.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Where the space goes; the plot goes beside it, as .svg.
    #[arg(long, default_value = "space.toml")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn text(self) -> Result<String> {
        let base = Space::load(&self.space)?;
        let board = self.board.as_deref().map(Board::load).transpose()?;
        let of_board = |have: Option<u32>, keep: u64, what: &str| {
            let have = u64::from(have.unwrap_or(0));
            ensure!(have > keep, "of {have} bytes of {what} {keep} are kept: nothing is left for a net");
            Ok(have - keep)
        };
        let sram = match &self.sram {
            Some(bytes) => bytes_of("sram", bytes)?,
            None => of_board(board.as_ref().map(|board| board.ram_bytes), bytes_of("sram", &self.keep_sram)?, "SRAM")?,
        };
        let flash = match &self.flash {
            Some(bytes) => bytes_of("flash", bytes)?,
            None => {
                of_board(board.as_ref().map(|board| board.flash_bytes), bytes_of("flash", &self.keep_flash)?, "flash")?
            }
        };
        files::check_writable(&self.out)?;
        let limits = Limits { sram: Some(sram), flash: Some(flash), ..Limits::default() };
        let nothing = |error: &anyhow::Error| {
            if self.json && error.is::<NothingFits>() {
                let report = json!({ "sram_bytes": sram, "flash_bytes": flash, "space": null, "candidates": [] });
                // A reader that has gone away misses nothing but this.
                let _ = writeln!(std::io::stdout(), "{report:#}");
            }
        };
        let found = suggest(&base, limits, self.samples as usize, self.seed).inspect_err(nothing)?;
        let best = &found.candidates[0];
        let head = format!(
            "# For {sram} bytes of SRAM and {flash} bytes of flash: {:.0} % of its nets fit, with {:.2} MMAC on average.\n",
            100.0 * best.fit,
            best.mean_macs / 1e6
        );
        let plot = self.out.with_extension("svg");
        files::write(&self.out, (head + &to_toml(&found.space)?).as_bytes())?;
        files::write(&plot, found.plot().as_bytes())?;
        if self.json {
            let report = json!({
                "out": self.out, "plot": plot, "sram_bytes": sram, "flash_bytes": flash,
                "space": found.space, "candidates": found.candidates,
            });
            return Ok(format!("{report:#}"));
        }
        Ok(format!("{}\n{}\n{}", as_text(&found, sram, flash), self.out.display(), plot.display()))
    }
}

/// A number as limits have it.
fn bytes_of(quantity: &str, text: &str) -> Result<u64> {
    let limits = Limits::parse([format!("{quantity}={text}").as_str()], None)?;
    Ok(limits.sram.or(limits.flash).unwrap_or(0))
}

fn as_text(found: &Suggestion, sram: u64, flash: u64) -> String {
    let mut lines = vec![
        format!("{sram} bytes of SRAM, {flash} bytes of flash; the best of {} spaces:", found.candidates.len()),
        format!("{:>7}  {:>18}  {:>6}  {:>10}", "width", "pixels", "fit", "mean MMAC"),
    ];
    for candidate in found.candidates.iter().take(5) {
        let pixels = candidate.resolutions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "{:>7.1}  {pixels:>18}  {:>4.0} %  {:>10.2}",
            candidate.width,
            100.0 * candidate.fit,
            candidate.mean_macs / 1e6
        ));
    }
    lines.join("\n")
}
