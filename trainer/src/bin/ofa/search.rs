//! `ofa search`: the best net within limits.

mod show;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use trainer::files;
use trainer::predictor::Predictor;
use trainer::search::{
    Costs, Effort, Figure, Found, Goal, Infeasible, Limits, Method, Net, Objective, Problem, explain, search,
    search_front,
};
use trainer::space::Space;
use trainer::table::{Clock, LatencyTable};

/// Find the most accurate net that fits a board.
///
/// Exit code 1: no net fits; the message says which limit excludes how many, and what the nearest net needs.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa search --table latency/mps2-an386.json --limit latency=4M --limit sram=16k --explain\n",
        "  ofa search --table latency/mps2-an386.json --front --json\n",
        "  ofa search --limit flash=200k --verify 5 --supernet supernet.safetensors",
    )
)]
pub struct Cmd {
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// What its widths are multiplied by: 1.2 for the original's tables and predictor.
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// From `ofa predictor`.
    #[arg(long, default_value = "predictor.onnx")]
    predictor: PathBuf,
    /// From `ofa measure`; without it there is no latency, and flash is the net's alone. Repeat it for one net that is
    /// within the limits on several boards.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<PathBuf>,
    /// A net for each table instead of one for all; each goes to a folder with the board's name.
    #[arg(long)]
    all_boards: bool,
    /// The most that a net may cost: latency, sram, flash or macs, such as sram=64k. Repeat it for several.
    /// k and M are 1024 and 1024² for bytes (sram: the arena; flash: the net and, with a table, the code), 1000 and
    /// 1000² for the others. A latency counts in the table's unit; ms, us and ns are for a table of time.
    /// latency@BOARD=… is for that board's table alone, in place of one without.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// What is made best: the accuracy, or the latency of nets that are accurate enough.
    #[arg(long, value_enum, default_value_t = Best::Accuracy)]
    objective: Best,
    /// With the objective latency: the least accuracy, in percent.
    #[arg(long, value_name = "PERCENT")]
    at_least: Option<f64>,
    /// Which figure stands for a net's accuracy: what is predicted, or the lower end of its interval.
    #[arg(long, value_enum, default_value_t = Stand::Mean)]
    maximise: Stand,
    /// The whole front of accuracy, latency, SRAM and flash instead of one net.
    #[arg(long, conflicts_with_all = ["objective", "at_least", "maximise", "explain"])]
    front: bool,
    /// Look at all nets, where they are not too many; done anyway where they are few.
    #[arg(long, conflicts_with = "evaluations")]
    exhaustive: bool,
    /// Ask the predictor about so many nets at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    evaluations: Option<u32>,
    /// Say what each stage costs, which limit binds, and what a millisecond or 8 KB more would buy.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    verify: verify::Settings,
    /// The folder for arch.json and front.json.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print arch.json, or why nothing fits, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Best {
    Accuracy,
    Latency,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stand {
    Mean,
    Lower,
}

/// A predictor may go too far, but what is far beyond an accuracy is none.
fn is_plausible(net: &Net) -> Result<()> {
    let percent = 100.0 * net.accuracy;
    ensure!(
        (-100.0..=200.0).contains(&percent),
        "the predictor says of a net that its accuracy is {percent} %; make it anew with: ofa predictor"
    );
    Ok(())
}

/// `QUANTITY[@BOARD]=NUMBER`.
struct Limit<'t> {
    quantity: &'t str,
    board: Option<&'t str>,
    /// From the sign on, if there is one.
    value: &'t str,
}

impl<'t> Limit<'t> {
    fn of(text: &'t str) -> Self {
        let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
        let (quantity, board) = name.split_once('@').map_or((name, None), |(quantity, board)| (quantity, Some(board)));
        Self { quantity, board, value }
    }
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = named_space(&self.space, self.width)?;
        let tables = self.tables.iter().map(|path| LatencyTable::load(path, &space)).collect::<Result<Vec<_>>>()?;
        let goal = self.goal()?;
        let boards = self.boards(&space, &tables)?;
        let predictor = Predictor::load(&self.predictor, &space)?;
        ensure!(!self.all_boards || !tables.is_empty(), "--all-boards needs a --table for each board");
        let problem = |boards| Problem { space: &space, predictor: &predictor, boards, goal, method: self.method() };
        if self.all_boards {
            return self.each(boards.iter().map(|(costs, limits)| problem(vec![(costs, *limits)])));
        }
        let problem = problem(boards.iter().map(|(costs, limits)| (costs, *limits)).collect());
        let (value, text) = self.one(&problem, &self.out).inspect_err(|error| {
            if let (true, Some(infeasible)) = (self.json, error.downcast_ref::<Infeasible>()) {
                // A reader that has gone away misses nothing but this.
                let _ = writeln!(std::io::stdout(), "{:#}", json!(infeasible));
            }
        })?;
        let text = if self.json { format!("{value:#}") } else { text };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }

    /// A search for each board; those that no net fits don't keep the others from theirs.
    fn each<'a>(&self, problems: impl Iterator<Item = Problem<'a>>) -> Result<()> {
        let (mut values, mut texts, mut failures) = (vec![], vec![], vec![]);
        for problem in problems {
            let name = problem.boards[0].0.board().unwrap_or_default();
            match self.one(&problem, &self.out.join(name)) {
                Ok((value, text)) => {
                    values.push(json!({ "board": name, "found": value }));
                    texts.push(format!("{name}\n{text}"));
                }
                Err(error) => {
                    let Some(infeasible) = error.downcast_ref::<Infeasible>() else { return Err(error) };
                    values.push(json!({ "board": name, "infeasible": infeasible }));
                    failures.push(error.context(name.to_owned()));
                }
            }
        }
        if self.json {
            writeln!(std::io::stdout(), "{:#}", Value::from(values))?;
        } else if !texts.is_empty() {
            writeln!(std::io::stdout(), "{}", texts.join("\n\n"))?;
        }
        // The last is the caller's to say.
        let last = failures.pop();
        failures.iter().for_each(|error| eprintln!("error: {error:#}"));
        last.map_or(Ok(()), Err)
    }

    /// One search, its files written: as JSON and for people.
    fn one(&self, problem: &Problem, out: &Path) -> Result<(Value, String)> {
        files::check_writable(&out.join("arch.json"))?;
        let (costs, _) = &problem.boards[0];
        let space = problem.space;
        if self.front {
            let found = search_front(problem, self.seed)?;
            found.nets.iter().try_for_each(is_plausible)?;
            let front = found.file(space, self.seed, costs);
            files::write_json(&out.join("front.json"), &front)?;
            return Ok((as_written(&front)?, show::front(&found, costs, &out.join("front.json"))));
        }
        let mut found = search(problem, self.seed)?;
        is_plausible(&found.best)?;
        let verified = self.verify.verify(&mut found, space)?;
        let choice = found.choice(problem, self.seed);
        let explanation = self.explain.then(|| explain(problem, &found, self.seed)).transpose()?;
        files::write_json(&out.join("front.json"), &found.front(space, self.seed, costs))?;
        files::write_json(&out.join("arch.json"), &choice)?;
        let mut value = as_written(&choice)?;
        let mut text = show::choice(&choice);
        if let Some(explanation) = &explanation {
            value["explanation"] = as_written(explanation)?;
            text += &format!("\n{}", show::explanation(explanation, costs.unit()));
        }
        if let Some((report, lines)) = verified {
            value["verified"] = report;
            text += &format!("\n{lines}");
        }
        text += &format!("\n{}", self.tail(&found, space, out));
        Ok((value, text))
    }

    fn tail(&self, found: &Found, space: &Space, out: &Path) -> String {
        let mut text = format!("of {} nets looked at, {} on the Pareto front", found.evaluated, found.front.len());
        if found.resolutions.len() < space.input.resolutions.0.len() {
            text += &format!(
                "\nonly images of {:?} pixels were open: the table and the predictor know no others",
                found.resolutions
            );
        }
        text + &format!("\n{}", out.join("arch.json").display())
    }

    fn goal(&self) -> Result<Goal> {
        let objective = match (self.objective, self.at_least) {
            (Best::Accuracy, None) => Objective::Accuracy,
            (Best::Accuracy, Some(_)) => bail!("--at-least is for --objective latency"),
            (Best::Latency, Some(percent)) => {
                ensure!((0.0..=100.0).contains(&percent), "--at-least {percent} is not from 0 to 100 percent");
                Objective::Latency { least: percent / 100.0 }
            }
            (Best::Latency, None) => {
                bail!("--objective latency needs --at-least PERCENT: any net is fast if it may err")
            }
        };
        let figure = match self.maximise {
            Stand::Mean => Figure::Mean,
            Stand::Lower => Figure::Lower,
        };
        Ok(Goal { objective, figure })
    }

    fn method(&self) -> Method {
        match (self.exhaustive, self.evaluations) {
            (true, _) => Method::Exhaustive,
            (false, Some(evaluations)) => {
                Method::Evolution(Effort { evaluations: evaluations as usize, ..Effort::default() })
            }
            (false, None) => Method::Auto,
        }
    }

    /// The costs on each board, and its limits.
    fn boards(&self, space: &Space, tables: &[LatencyTable]) -> Result<Vec<(Costs, Limits)>> {
        let names: Vec<_> = tables.iter().map(|table| table.provenance.board.as_str()).collect();
        if let Some((i, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            bail!("{} is a second table of the board {name}", self.tables[i].display());
        }
        let limits: Vec<Limit> = self.limits.iter().map(|limit| Limit::of(limit)).collect();
        for (Limit { board, .. }, text) in limits.iter().zip(&self.limits) {
            if let Some(board) = board {
                ensure!(names.contains(board), "--limit {text}: there is no table of a board {board}");
            }
        }
        let limits = |board: &str, clock: Option<Clock>| {
            // A limit of all boards is none of a board that has one of its own.
            let is_own = |limit: &&Limit| limit.board == Some(board);
            let own = |quantity: &str| limits.iter().filter(is_own).any(|limit| limit.quantity == quantity);
            let of_all = |limit: &&Limit| limit.board.is_none() && !own(limit.quantity);
            let texts = limits.iter().filter(|limit| is_own(limit) || of_all(limit));
            let texts: Vec<_> = texts.map(|Limit { quantity, value, .. }| format!("{quantity}{value}")).collect();
            Limits::parse(texts.iter().map(String::as_str), clock)
        };
        if tables.is_empty() {
            return Ok(vec![(Costs::without_board(), limits("", None)?)]);
        }
        let board = |table: &LatencyTable| {
            let limits = limits(&table.provenance.board, Some(table.provenance.clock()))?;
            Ok((Costs::from_table(space, table)?, limits))
        };
        tables.iter().map(board).collect()
    }
}

/// As a file has it: single precision in few digits.
fn as_written(value: &impl Serialize) -> Result<Value> {
    Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
}

/// The space of that name, its widths multiplied.
///
/// # Errors
/// One line, if there is no such space or the width is out of range.
pub fn named_space(name: &str, width: f64) -> Result<Space> {
    let space = Space::load(name)?;
    if width == 1.0 { Ok(space) } else { space.with_width(width).with_context(|| format!("--width {width}")) }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn a_limit_may_be_one_of_a_board() {
        let of = |text| {
            let Limit { quantity, board, value } = Limit::of(text);
            (quantity, board, value)
        };
        assert_eq!(of("latency=4M"), ("latency", None, "=4M"));
        assert_eq!(of("latency@m33=4M"), ("latency", Some("m33"), "=4M"));
        assert_eq!(of("sram"), ("sram", None, ""));
    }
}
