//! How a lab is getting on, in a file that `ofa lab run` writes every second.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::files;

/// Of the whole lab.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// When it was written, in seconds since 1970 (UTC).
    pub updated: i64,
    /// Whether the run has ended.
    pub ended: bool,
    /// Of each kind of board.
    pub kinds: Vec<KindStatus>,
}

/// Of one kind of board.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindStatus {
    /// Its name.
    pub board: String,
    /// What a tick is.
    pub unit: String,
    /// Layers that an earlier run had measured.
    pub known_before: usize,
    /// Layers that are measured.
    pub known: usize,
    /// Layers there are.
    pub layers: usize,
    /// How long it will take, at the pace so far.
    pub seconds_left: Option<u64>,
    /// What a person should look at.
    pub suspicious: Vec<String>,
    /// Of each copy.
    pub copies: Vec<CopyStatus>,
}

/// Of one board.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyStatus {
    /// What the lab calls it.
    pub name: String,
    /// What it does.
    pub state: State,
    /// The layer that it measures, or why it does not.
    pub said: String,
    /// Layers that it has taken in this run.
    pub layers: usize,
    /// How often it has come back.
    pub restarts: usize,
}

/// What a board does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not answered yet.
    Starting,
    /// It measures.
    Working,
    /// It does not answer; it is tried again.
    Gone,
    /// It has failed too often.
    GivenUp,
    /// It is not like its copies.
    Refused,
    /// Its kind's layers are all measured.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Working => "measures",
            Self::Gone => "gone",
            Self::GivenUp => "left alone",
            Self::Refused => "refused",
            Self::Done => "done",
        })
    }
}

impl CopyStatus {
    /// Before its first answer.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), state: State::Starting, said: String::new(), layers: 0, restarts: 0 }
    }
}

impl Status {
    /// Reads what a run has written last.
    ///
    /// # Errors
    /// If there is none yet.
    pub fn load(path: &Path) -> Result<Self> {
        files::read_json(path, "ofa lab run")
    }

    /// For the terminal. `now` is in seconds since 1970.
    pub fn text(&self, now: i64) -> String {
        let mut lines = vec![match (self.ended, now - self.updated) {
            (true, _) => "the run has ended".to_string(),
            (false, age) if age > 10 => {
                format!("the run was stopped, or is stuck: no word for {age} s; the same command goes on")
            }
            _ => "the run goes on".into(),
        }];
        for kind in &self.kinds {
            lines.push(format!("{}: {}", kind.board, kind.progress()));
            for CopyStatus { name, state, said, layers, restarts } in &kind.copies {
                let came_back = if *restarts == 0 { String::new() } else { format!(", came back {restarts} times") };
                lines.push(format!("  {name:16} {state:10} {layers:>5} layers{came_back}  {said}").trim_end().into());
            }
            lines.extend(kind.suspicious.iter().map(|what| format!("  ! {what}")));
        }
        lines.join("\n")
    }
}

impl KindStatus {
    /// How far, and how long.
    pub(super) fn progress(&self) -> String {
        let left = match self.seconds_left {
            Some(0) => "done".into(),
            Some(seconds) if seconds < 120 => format!("{seconds} s to go"),
            Some(seconds) => format!("{} min to go", seconds.div_ceil(60)),
            None => "not yet known how long".into(),
        };
        format!("{} of {} layers, {left}", self.known, self.layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_each_does_and_what_is_suspicious() {
        let copy = |name: &str, state, said: &str, restarts| CopyStatus {
            state,
            said: said.into(),
            restarts,
            ..CopyStatus::new(name)
        };
        let status = Status {
            updated: 1000,
            ended: false,
            kinds: vec![KindStatus {
                board: "b".into(),
                unit: "cycles".into(),
                known_before: 0,
                known: 3,
                layers: 9,
                seconds_left: Some(300),
                suspicious: vec!["it drifts".into()],
                copies: vec![copy("left", State::Working, "conv 1", 0), copy("right", State::Gone, "no <answer>", 2)],
            }],
        };
        let text = status.text(1001);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["the run goes on", "b: 3 of 9 layers, 5 min to go"]);
        assert_eq!(lines[2], "  left             measures       0 layers  conv 1");
        assert_eq!(lines[3], "  right            gone           0 layers, came back 2 times  no <answer>");
        assert_eq!(lines[4], "  ! it drifts");
        assert!(status.text(1100).starts_with("the run was stopped, or is stuck: no word for 100 s"));
        let page = super::super::page(&status);
        assert!(page.contains("no &lt;answer&gt;") && page.contains("it drifts"), "{page}");
        assert!(page.starts_with("<!doctype html>") && !page.contains("://"), "{page}");
    }
}
