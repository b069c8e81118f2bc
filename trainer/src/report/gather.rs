//! What the page shows, read from a folder.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::summary::Summary;
use crate::compile::{REPORT_FORMAT, Report};
use crate::files::{self, Header};
use crate::model::Compiled;
use crate::predictor;
use crate::search::{ARCH_FORMAT, Choice, FRONT_FORMAT, Front};
use crate::space::Arch;
use crate::table::{self, LatencyTable};

/// The files of the path in its order, with the step that makes each.
const FILES: [(&str, &str); 11] = [
    ("space.toml", "demo"),
    ("supernet.safetensors", "train"),
    ("predictor.onnx", "predictor"),
    ("predictor.json", "predictor"),
    ("front.json", "search"),
    ("arch.json", "search"),
    ("subnet.onnx", "extract"),
    ("model/model.json", "compile"),
    ("model/weights.bin", "compile"),
    ("model/model.rs", "compile"),
    ("model/report.json", "compile"),
];

/// Points of a training curve that a page shows, at most.
const CURVE_POINTS: usize = 400;

/// Everything on the page. A part is `None` where its file is not there.
#[derive(Serialize)]
pub(super) struct Page {
    version: &'static str,
    files: Vec<FileFacts>,
    summary: Option<Summary>,
    choice: Option<Choice>,
    front: Option<Front>,
    tables: Vec<LatencyTable>,
    net: Option<Net>,
    predictor: Option<PredictorReport>,
    training: Vec<Value>,
}

/// A file of the path.
#[derive(Serialize)]
struct FileFacts {
    name: String,
    step: &'static str,
    bytes: u64,
    sha256: String,
}

/// The compiled net.
#[derive(Serialize)]
struct Net {
    report: Report,
    arena_bytes: usize,
    /// Of each layer.
    regions: Vec<Regions>,
}

/// Bytes of the arena.
#[derive(Serialize)]
struct Regions {
    input: Range<usize>,
    output: Range<usize>,
    scratch: Range<usize>,
}

/// What `predictor.json` says, as far as the page shows it.
#[derive(Serialize, Deserialize)]
struct PredictorReport {
    header: Header,
    report: Fit,
    noise: Noise,
    samples: Vec<Sample>,
}

#[derive(Serialize, Deserialize)]
struct Fit {
    held_out: usize,
    rmse: f64,
    /// `None` where all nets are equally good.
    kendall_tau: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Noise {
    images: usize,
    beside: NoiseOf,
}

#[derive(Serialize, Deserialize)]
struct NoiseOf {
    standard_error: f64,
    tau: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct Sample {
    arch: Arch,
    accuracy: f64,
    predicted: f64,
}

/// Reads what there is.
pub(super) fn gather(folder: &Path) -> Result<Page> {
    let summary: Option<Summary> = read(folder, "summary.json")?;
    let choice: Option<Choice> = read(folder, "arch.json")?;
    let front: Option<Front> = read(folder, "front.json")?;
    let report: Option<Report> = read(folder, "model/report.json")?;
    let predictor: Option<PredictorReport> = read(folder, "predictor.json")?;
    let (names, tables): (Vec<_>, Vec<_>) = tables(folder)?.into_iter().unzip();
    let parts = [
        ("front.json", front.as_ref().map(|file| &file.header), FRONT_FORMAT),
        ("arch.json", choice.as_ref().map(|file| &file.header), ARCH_FORMAT),
        ("model/report.json", report.as_ref().map(|file| &file.header), REPORT_FORMAT),
        ("predictor.json", predictor.as_ref().map(|file| &file.header), predictor::FORMAT),
    ];
    let parts = parts.into_iter().filter_map(|(name, header, format)| Some((name, header?, format)));
    let measured = names.iter().zip(&tables).map(|(name, table)| (name.as_str(), &table.header, table::FORMAT));
    of_one_space(folder, &parts.chain(measured).collect::<Vec<_>>())?;
    let training = training(&folder.join("supernet.training/metrics.jsonl"))?;
    let nothing = summary.is_none() && choice.is_none() && front.is_none() && report.is_none() && tables.is_empty();
    if nothing {
        let of_a_board = |part: &PathBuf| part.join("front.json").exists() || part.join("arch.json").exists();
        if let Some(part) = entries(folder).into_iter().find(of_a_board) {
            bail!(
                "{} holds nothing to report on, but its subfolders do; run: ofa report {}",
                folder.display(),
                part.display()
            );
        }
        bail!("{} holds nothing to report on; ofa demo --out {0} makes it", folder.display());
    }
    let files = FILES.iter().map(|&(name, step)| (name.to_string(), step));
    let measured = names.into_iter().map(|name| (name, "measure"));
    let files: Result<Vec<_>> =
        files.chain(measured).filter_map(|(name, step)| facts(folder, name, step).transpose()).collect();
    Ok(Page {
        version: env!("CARGO_PKG_VERSION"),
        files: files?,
        summary,
        choice,
        front,
        tables,
        net: report.map(|report| net(&folder.join("model"), report)).transpose()?,
        predictor,
        training,
    })
}

/// `None` where there is no such file.
fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let path = folder.join(name);
    if path.exists() { files::read_json(&path, "ofa demo").map(Some) } else { Ok(None) }
}

fn facts(folder: &Path, name: String, step: &'static str) -> Result<Option<FileFacts>> {
    let path = folder.join(&name);
    if !path.exists() {
        return Ok(None);
    }
    let content = files::read(&path, "ofa demo")?;
    let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(FileFacts { name, step, bytes: content.len() as u64, sha256 }))
}

/// Refuses files, each with its name, header and format, that were not made for one space.
fn of_one_space(folder: &Path, parts: &[(&str, &Header, &str)]) -> Result<()> {
    for (name, header, format) in parts {
        header.expect(&folder.join(name), format, &header.space, "ofa demo")?;
        let (first, of, _) = parts[0];
        ensure!(
            header.space == of.space,
            "{} was made for space {}, {} for space {}; a report is of one space: move one of them elsewhere",
            folder.join(first).display(),
            of.space,
            folder.join(name).display(),
            header.space
        );
    }
    Ok(())
}

/// What a folder holds, by name; nothing where there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// By the names of their files, which come first.
fn tables(folder: &Path) -> Result<Vec<(String, LatencyTable)>> {
    let mut paths = entries(&folder.join("latency"));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    let load = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok((format!("latency/{name}"), files::read_json(&path, "ofa measure")?))
    };
    paths.into_iter().map(load).collect()
}

fn net(folder: &Path, report: Report) -> Result<Net> {
    let model = Compiled::load(folder)?;
    ensure!(
        model.steps.len() == report.layers.len(),
        "{}: report.json has {} layers, model.json {}; run: ofa compile",
        folder.display(),
        report.layers.len(),
        model.steps.len()
    );
    let regions = runtime::regions(&model.steps).map(|region| Regions {
        input: region.input,
        output: region.output,
        scratch: region.scratch,
    });
    Ok(Net { report, arena_bytes: runtime::arena_bytes(&model.steps), regions: regions.collect() })
}

/// The lines of `metrics.jsonl`: all that judge, and of those about steps as many as a curve needs.
fn training(path: &Path) -> Result<Vec<Value>> {
    let Ok(file) = File::open(path) else { return Ok(vec![]) };
    let mut lines = vec![];
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let parse = |line: std::io::Result<String>| -> Result<Value> { Ok(serde_json::from_str(&line?)?) };
        let value = parse(line).with_context(|| format!("{}:{}", path.display(), i + 1))?;
        ensure!(value["step"].is_u64(), "{}:{}: it has no step", path.display(), i + 1);
        lines.push(value);
    }
    let steps = lines.iter().filter(|line| line.get("train/loss").is_some()).count();
    let every = steps.div_ceil(CURVE_POINTS).max(1);
    let mut seen = 0;
    lines.retain(|line| {
        let trains = line.get("train/loss").is_some();
        seen += usize::from(trains);
        !trains || seen % every == 0
    });
    Ok(lines)
}
