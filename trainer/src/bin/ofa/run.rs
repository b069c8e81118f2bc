//! `ofa run`: a compiled net on a board.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;
use trainer::board::Board;
use trainer::compile::Golden;
use trainer::dataset::{Dataset, Images};
use trainer::firmware::Code;
use trainer::model::Compiled;
use trainer::run::{Difference, LayerBytes, RunReport, run};
use trainer::table::LatencyTable;

use trainer::progress::with_progress;

/// Run a compiled net on a board: predicted beside measured, every score beside this host's.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  ofa run model --board mps2-an386 --sizes\n  ofa run model --board mps2-an386 --data photos --images 100"
)]
pub struct Cmd {
    /// The folder that `ofa compile` wrote.
    model: PathBuf,
    /// A folder of boards/.
    #[arg(long)]
    board: String,
    /// How many of the test images [default: 200 with --data; without, the model's golden images are run].
    #[arg(long)]
    images: Option<usize>,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache with --images alone.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The table to predict from [default: latency/BOARD.json, if there is one].
    #[arg(long)]
    table: Option<PathBuf>,
    /// Emulated boards at the same time [default: one for each core].
    #[arg(long)]
    boards: Option<usize>,
    /// Print also what each layer takes, and where the code is from.
    #[arg(long)]
    sizes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let board = Board::load(&self.board)?;
        let model = Compiled::load(&self.model)?;
        let table = self.load_table(&board, &model)?;
        let images = self.load_images(&model)?;
        let report = with_progress("run", images.len(), |done| {
            run(&board, &model, &images, table.as_ref(), self.boards.unwrap_or(0), done)
        })?;
        let text = if self.json {
            serde_json::to_string_pretty(&report)?
        } else {
            as_text(&report, self.is_golden(), self.sizes)
        };
        writeln!(std::io::stdout(), "{text}")?;
        if let Some(Difference { image, class, device, host }) = report.first_difference {
            bail!("the scores differ first for image {image}, class {class}: {device} on the board, {host} here");
        }
        Ok(())
    }

    /// Whether it runs the images that came with the model, too few for an accuracy.
    fn is_golden(&self) -> bool {
        self.images.is_none() && self.data.is_none()
    }

    /// Test images, or where neither `--images` nor `--data` asks for them those that came with the model.
    fn load_images(&self, model: &Compiled) -> Result<Images> {
        let input = model.net()?.input();
        if self.is_golden() {
            return Ok(Golden::load(&self.model, model)?.images(input));
        }
        let count = self.images.unwrap_or(200);
        ensure!(count > 0, "--images 0 runs nothing");
        Dataset::named(self.data.clone(), input.channels)?.test.first(count).resized(input.height)
    }

    fn load_table(&self, board: &Board, model: &Compiled) -> Result<Option<LatencyTable>> {
        let standard = format!("latency/{}.json", board.name);
        let path = match &self.table {
            Some(path) => path,
            None if Path::new(&standard).exists() => Path::new(&standard),
            None => return Ok(None),
        };
        let of_model = |table: &LatencyTable| table.header.space == model.header.space;
        if self.table.is_none() && !LatencyTable::open(path).as_ref().is_ok_and(of_model) {
            eprintln!("warning: {} is of no use here: it is no table of this net's space", path.display());
            return Ok(None);
        }
        let table = LatencyTable::load_for(path, &model.header.space, "SPACE")?;
        let measured = &table.provenance.board;
        ensure!(*measured == board.name, "{} was measured on {measured}, not on {}", path.display(), board.name);
        Ok(Some(table))
    }
}

fn as_text(report: &RunReport, is_golden: bool, with_sizes: bool) -> String {
    let or_unknown = |value: Option<u64>| value.map_or("unknown".to_string(), |value| value.to_string());
    let RunReport { latency, sram_bytes, arena_bytes, stack_bytes, flash_bytes, layers, code, .. } = report;
    let row = |name: &str, predicted: Option<u64>, measured: u64, unit: &str| {
        let difference = match predicted {
            Some(predicted) if predicted > 0 => format!("{:+.2} %", (measured as f64 / predicted as f64 - 1.0) * 100.0),
            _ => String::new(),
        };
        format!("  {name:8} {:>12} {measured:>12}   {unit:14} {difference}", or_unknown(predicted))
            .trim_end()
            .to_string()
    };
    let bytes = |name, bytes: &trainer::run::Bytes| {
        row(name, bytes.predicted.map(|bytes| bytes as u64), bytes.linked as u64, "bytes")
    };
    let net_bytes: usize = layers.iter().map(|layer| layer.flash_bytes).sum();
    let code_bytes: usize = code.iter().map(|code| code.bytes).sum();
    let accuracy = match is_golden {
        true => String::new(),
        false => format!(", accuracy {:.2} %", report.accuracy_device * 100.0),
    };
    let equal = if report.logits_equal_host { "yes" } else { "no" };
    let mut lines = vec![
        format!("{}: {} images{accuracy}, logits equal: {equal}", report.board, report.images),
        format!("  {:8} {:>12} {:>12}", "", "predicted", "measured"),
        format!(
            "{}{}",
            row("latency", latency.predicted, latency.measured.into(), &latency.unit),
            if latency.min == latency.max {
                ", the same for every image".to_string()
            } else {
                format!(", from {} to {}", latency.min, latency.max)
            }
        ),
        format!(
            "{}: {arena_bytes} arena + {} variables; with {stack_bytes} of stack {}",
            bytes("SRAM", sram_bytes),
            sram_bytes.linked - arena_bytes,
            sram_bytes.linked + stack_bytes
        ),
        format!(
            "{}: {net_bytes} net + {code_bytes} code + {} constants",
            bytes("flash", flash_bytes),
            flash_bytes.linked - net_bytes - code_bytes
        ),
    ];
    if with_sizes {
        lines.push(format!("  {:>8} {:>8}", "flash", "SRAM"));
        lines.extend(layers.iter().map(|LayerBytes { layer, flash_bytes, arena_bytes }| {
            format!("  {flash_bytes:>8} {arena_bytes:>8}   {layer}")
        }));
        lines.extend(code.iter().map(|Code { of, bytes }| format!("  {bytes:>8} {:>8}   {of}", "")));
        lines.push(format!("  {:>8} {:>8}   net and code", net_bytes + code_bytes, ""));
    }
    lines.join("\n")
}
