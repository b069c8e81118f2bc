//! What the demo leaves: `summary.json`, and the same for people.

use std::time::Instant;

use anyhow::{Context, Result};
use runtime::Layer;
use serde_json::{Map, Value};

use super::Demo;
use crate::compile;
use crate::report::{Accuracy, Device, Latency, Summary, Table};
use crate::run::RunReport;
use crate::search::{Cost, Costs, Found, Limits};
use crate::space::{Arch, Space};

/// Seconds of each step, which are said as soon as it is done.
pub(super) struct Seconds<'a> {
    say: &'a mut dyn FnMut(&str),
    steps: Map<String, Value>,
}

impl<'a> Seconds<'a> {
    pub fn new(say: &'a mut dyn FnMut(&str)) -> Self {
        Self { say, steps: Map::new() }
    }

    /// Does a step, which returns its result and what is to be said of it.
    pub fn time<R>(&mut self, step: &str, work: impl FnOnce() -> Result<(R, String)>) -> Result<R> {
        let start = Instant::now();
        let (result, line) = work()?;
        let seconds = start.elapsed().as_secs_f64();
        (self.say)(&format!("  {step:10} {seconds:6.1} s   {line}"));
        self.steps.insert(step.into(), ((seconds * 1e3).round() / 1e3).into());
        Ok(result)
    }

    pub fn all(self) -> Map<String, Value> {
        self.steps
    }
}

/// One column of the table.
pub(super) struct Net {
    name: &'static str,
    resolution: u16,
    blocks: usize,
    macs: u64,
    parameters: usize,
    predicted: f64,
    judged: f64,
    cost: Cost,
}

impl Net {
    /// `predicted` and `judged` are its accuracies by the predictor and, on the test images, by the supernet.
    pub fn new(
        name: &'static str,
        space: &Space,
        arch: &Arch,
        costs: &Costs,
        predicted: f64,
        judged: f64,
    ) -> Result<Self> {
        let layers = space.layers(arch);
        Ok(Self {
            name,
            resolution: arch.resolution,
            blocks: arch.stages.iter().map(Vec::len).sum(),
            macs: layers.iter().map(Layer::macs).sum(),
            parameters: layers.iter().map(Layer::parameters).sum(),
            predicted,
            judged,
            cost: costs.of(&layers).context("the board refuses a layer")?,
        })
    }
}

/// What goes into `summary.json`.
pub(super) fn summary(
    demo: &Demo,
    found: &Found,
    limits: &Limits,
    layers: usize,
    compiled: &compile::Report,
    run: &RunReport,
    seconds: Map<String, Value>,
) -> Summary {
    Summary {
        seed: demo.seed,
        space: demo.space.name.clone(),
        arch: found.best.arch.clone(),
        seconds,
        accuracy: Accuracy {
            float: compiled.accuracy.float,
            int8_host: compiled.accuracy.int8,
            int8_device: run.accuracy_device,
            predicted: found.best.accuracy.into(),
        },
        device: Device { board: run.board.clone(), images: run.images, logits_equal_host: run.logits_equal_host },
        latency: Latency {
            unit: run.latency.unit.clone(),
            predicted: run.latency.predicted,
            measured: run.latency.measured.into(),
            limit: limits.latency,
        },
        sram_bytes: run.sram_bytes,
        flash_bytes: run.flash_bytes,
        // A table with a wrong checksum is never made: measuring refuses it.
        table: Table { layers, checksums_ok: true },
    }
}

/// The chosen net beside the others, for people. What was measured, was measured on the chosen net alone.
pub(super) fn table(summary: &Summary, nets: &[Net]) -> String {
    let all = |cell: &dyn Fn(&Net) -> String| nets.iter().map(cell).collect::<Vec<_>>();
    let Device { board, images, .. } = &summary.device;
    let rows = [
        (String::new(), all(&|net| net.name.into())),
        ("resolution".into(), all(&|net| format!("{0}x{0}", net.resolution))),
        ("blocks".into(), all(&|net| net.blocks.to_string())),
        ("MMAC".into(), all(&|net| format!("{:.2}", net.macs as f64 / 1e6))),
        ("parameters".into(), all(&|net| thousands(net.parameters as u64))),
        ("accuracy, predicted".into(), all(&|net| percent(net.predicted))),
        ("  float, all test images".into(), all(&|net| percent(net.judged))),
        ("  int8, all test images".into(), vec![percent(summary.accuracy.int8_host)]),
        (format!("  int8, {images} images on {board}"), vec![percent(summary.accuracy.int8_device)]),
        (format!("{}, predicted", summary.latency.unit), all(&|net| net.cost.latency.map_or(String::new(), thousands))),
        ("  measured".into(), vec![thousands(summary.latency.measured)]),
        ("bytes of SRAM, predicted".into(), all(&|net| thousands(net.cost.sram_bytes))),
        ("  linked".into(), vec![thousands(summary.sram_bytes.linked as u64)]),
        ("bytes of flash, predicted".into(), all(&|net| thousands(net.cost.flash_bytes))),
        ("  linked".into(), vec![thousands(summary.flash_bytes.linked as u64)]),
    ];
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, cells): &(String, Vec<String>)| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>13}")).collect();
        format!("{name:width$}{cells}")
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    let seconds: f64 = summary.seconds.values().filter_map(Value::as_f64).sum();
    format!("{}\n\n{seconds:.0} seconds in all", lines.join("\n"))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// `1 234 567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        assert_eq!([0, 999, 1000, 12_345_678].map(thousands), ["0", "999", "1 000", "12 345 678"]);
    }
}
