//! What a search came to, for people.

use std::path::Path;

use trainer::search::{Bound, Choice, Costs, Explanation, FoundFront, Measured, OnBoard};

/// Nets of a front that are printed.
const ROWS: usize = 20;

pub fn choice(choice: &Choice) -> String {
    let arch = &choice.arch;
    let mut lines = vec![format!("{0}x{0} pixels; blocks as kernel/expand ratio", arch.resolution)];
    for (i, blocks) in arch.stages.iter().enumerate() {
        let blocks: Vec<_> = blocks.iter().map(|block| format!("{}/{}", block.kernel, block.expand)).collect();
        lines.push(format!("  stage {i}   {}", blocks.join("  ")));
    }
    let beyond = choice.accuracy_interval.map_or(String::new(), |interval| {
        let [low, high] = interval.map(|end| 100.0 * end);
        format!(" for the validation images; {low:.2} to {high:.2} % for all such images")
    });
    lines.push(format!("  accuracy  {}, predicted{beyond}", accuracy(choice.accuracy, choice.deviation)));
    if let Some(Measured { accuracy, images }) = choice.measured {
        lines.push(format!("            {:.2} %, measured on {images} validation images", 100.0 * accuracy));
    }
    if let Some(latency) = &choice.latency {
        let interval = latency
            .interval
            .map_or(String::new(), |[low, high]| format!(", {low} to {high}: the board did not run all of its layers"));
        lines.push(format!("  latency   {} {}{interval}", latency.predicted, latency.unit));
    }
    for OnBoard { board, latency, flash_bytes } in &choice.others {
        lines.push(format!(
            "            {} {} and {flash_bytes} bytes of flash on {board}",
            latency.predicted, latency.unit
        ));
    }
    lines.push(format!("  SRAM      {} bytes", choice.sram_bytes));
    lines.push(format!("  flash     {} bytes", choice.flash_bytes));
    lines.push(format!("  MACs      {:.2} M", choice.macs as f64 / 1e6));
    lines.join("\n")
}

/// With its interval, where there is one.
fn accuracy(accuracy: f32, deviation: f32) -> String {
    let percent = 100.0 * accuracy;
    if deviation == 0.0 { format!("{percent:.2} %") } else { format!("{percent:.2} ± {:.2} %", 200.0 * deviation) }
}

pub fn explanation(explanation: &Explanation, unit: Option<&str>) -> String {
    let ticks_unit = unit.unwrap_or("ticks");
    let whole: u64 = explanation.parts.iter().filter_map(|part| part.latency).sum();
    let mut lines =
        vec![format!("  {:9} {ticks_unit:>14}  share  {:>11}  {:>11}  {:>8}", "", "SRAM alone", "flash", "MMAC")];
    for part in &explanation.parts {
        let latency = part.latency.map_or("-".into(), |latency| latency.to_string());
        let share = 100.0 * part.latency.unwrap_or(0) as f64 / whole.max(1) as f64;
        lines.push(format!(
            "  {:9} {latency:>14} {share:>5.1}%  {:>11}  {:>11}  {:>8.2}",
            part.name,
            part.sram_bytes,
            part.flash_bytes,
            part.macs as f64 / 1e6
        ));
    }
    for bound in &explanation.limits {
        let Bound { limit, board, unit, used, allowed, more, gain, spared, .. } = bound;
        let of_board = board.as_ref().map_or(String::new(), |board| format!("@{board}"));
        let share = 100.0 * *used as f64 / *allowed as f64;
        let bought = match spared {
            Some(ticks) => format!("spare {ticks} {ticks_unit}"),
            None => format!("buy {:.2} points", 100.0 * gain),
        };
        let buys = if bound.binds() {
            format!("binds: {more} {unit} more would {bought}")
        } else {
            format!("does not bind: with {more} {unit} more the search finds nothing better")
        };
        lines.push(format!("  {limit}{of_board} {used} of {allowed} {unit} ({share:.1} %) {buys}"));
    }
    lines.join("\n")
}

pub fn front(found: &FoundFront, costs: &Costs, path: &Path) -> String {
    let unit = costs.unit().unwrap_or("latency");
    let mut lines = vec![format!("{:>17}  {unit:>14}  {:>10}  {:>10}", "accuracy", "SRAM", "flash")];
    let step = found.nets.len().div_ceil(ROWS).max(1);
    for net in found.nets.iter().step_by(step) {
        let Some(cost) = net.cost else { continue };
        let latency = cost.latency.map_or("-".into(), |latency| latency.to_string());
        let accuracy = accuracy(net.accuracy, net.deviation);
        lines.push(format!("{accuracy:>17}  {latency:>14}  {:>10}  {:>10}", cost.sram_bytes, cost.flash_bytes));
    }
    lines.push(format!("{} nets on the front, of {} looked at", found.nets.len(), found.evaluated));
    lines.push(path.display().to_string());
    lines.join("\n")
}
