//! Progress of work that is done piece by piece: on stderr, and only on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

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
    let result = work(&|| bar.inc(1));
    bar.finish_and_clear();
    result
}
