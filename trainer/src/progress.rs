//! Progress of work that is done piece by piece, on stderr: a bar on a terminal, elsewhere a line a minute.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// From one line to the next where there is no terminal. What is done before is silent.
const INTERVAL: Duration = Duration::from_secs(60);

/// Calls `work` with what it is to call after each piece.
///
/// ```
/// use trainer::progress::with_progress;
///
/// let sum: u32 = with_progress("add", 3, |done| (1..=3).inspect(|_| done()).sum());
/// assert_eq!(sum, 6);
/// ```
pub fn with_progress<R>(what: &str, pieces: usize, work: impl FnOnce(&(dyn Fn() + Sync)) -> R) -> R {
    let bar = ProgressBar::new(pieces as u64).with_prefix(what.to_string());
    let style = ProgressStyle::with_template("  {prefix:10} {bar:24} {pos}/{len}, {eta} left");
    bar.set_style(style.expect("the template is valid"));
    bar.tick();
    let lines = Lines::new(&bar);
    let result = work(&|| {
        bar.inc(1);
        lines.say(&bar);
    });
    bar.finish_and_clear();
    result
}

/// What is said of a bar that nobody sees.
pub(crate) struct Lines {
    begun: Instant,
    /// Pieces that were done then.
    before: u64,
    said: Mutex<Instant>,
}

impl Lines {
    /// Of work that begins now.
    pub fn new(bar: &ProgressBar) -> Self {
        let begun = Instant::now();
        Self { begun, before: bar.position(), said: Mutex::new(begun) }
    }

    /// Says how far the work has come, if there is no terminal and nothing was said for a minute.
    pub fn say(&self, bar: &ProgressBar) {
        if !bar.is_hidden() {
            return;
        }
        // Whoever finds it taken need not say it too.
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() < INTERVAL {
            return;
        }
        *said = Instant::now();
        let (done, all) = (bar.position(), bar.length().unwrap_or(0));
        let left = left(self.begun.elapsed(), done.saturating_sub(self.before), all.saturating_sub(done));
        let message = bar.message();
        let parted = if message.is_empty() { "" } else { ", " };
        eprintln!("{}: {done} of {all}{parted}{message}, about {left} left", bar.prefix());
    }
}

/// The time that so many pieces will take if each takes what those before took.
fn left(taken: Duration, done: u64, open: u64) -> String {
    let seconds = taken.as_secs_f64() / done.max(1) as f64 * open as f64;
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_seconds_minutes_or_hours() {
        let left = |open| left(Duration::from_secs(120), 60, open);
        assert_eq!([20, 60, 2900].map(left), ["40 s", "2 min", "1.6 h"]);
    }
}
