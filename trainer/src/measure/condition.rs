//! How warm a computer or a phone was, and by which governor it ran: said with its core, before a collection and after.

/// Degrees that make a difference.
const WARMER: i32 = 10;

/// Parts of what [`latency_probe::host`] says of its core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Condition<'a> {
    governor: Option<&'a str>,
    degrees: Option<i32>,
}

impl<'a> Condition<'a> {
    fn of(core: &'a str) -> Self {
        let mut parts = core.split(", ").skip(1);
        let governor = parts.clone().find_map(|part| part.strip_prefix("governor "));
        Self { governor, degrees: parts.find_map(|part| part.strip_suffix(" degrees")?.parse().ok()) }
    }
}

/// What is to be said of the core: what it said after the collection and, where it had another governor or another
/// temperature before, that.
pub(super) fn core(before: &str, after: &str) -> String {
    let (then, now) = (Condition::of(before), Condition::of(after));
    let mut changes = Vec::new();
    if then.governor != now.governor {
        changes.push(format!("governor {}", then.governor.unwrap_or("unknown")));
    }
    if let (Some(then), Some(now)) = (then.degrees, now.degrees)
        && then.abs_diff(now) >= WARMER as u32
    {
        changes.push(format!("{then} degrees"));
    }
    if changes.is_empty() { after.into() } else { format!("{after}; {BEFORE}{}", changes.join(", ")) }
}

const BEFORE: &str = "before: ";

/// What of the condition has changed while it was measured, from what is said of the core.
///
/// ```
/// use trainer::measure::change_of_condition;
///
/// let core = "ARM, core 7, 61 degrees; before: 31 degrees";
/// let change = change_of_condition(core).expect("it was cooler before");
/// assert_eq!(change, "31 degrees before it was measured, 61 degrees after");
/// assert_eq!(change_of_condition("ARM, core 7, 61 degrees"), None);
/// ```
pub fn change(core: &str) -> Option<String> {
    let (after, before) = core.split_once("; ")?;
    let before = before.strip_prefix(BEFORE)?;
    let Condition { governor, degrees } = Condition::of(after);
    let governor = governor.map(|governor| format!("governor {governor}"));
    let after: Vec<_> = governor.into_iter().chain(degrees.map(|degrees| format!("{degrees} degrees"))).collect();
    Some(format!("{before} before it was measured, {} after", after.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_condition_is_said_and_a_small_one_is_not() {
        let check = |before: &str, after: &str, said: &str, changed: Option<&str>| {
            let core = core(before, after);
            assert_eq!((core.as_str(), change(&core).as_deref()), (said, changed));
        };
        check("Cortex-M4F", "Cortex-M4F", "Cortex-M4F", None);
        let cool = "ARM, 8 of them, core 7, governor performance, 31 degrees";
        let warm = "ARM, 8 of them, core 7, governor performance, 40 degrees";
        check(cool, warm, warm, None);
        let hot = "ARM, 8 of them, core 7, governor powersave, 41 degrees";
        check(
            cool,
            hot,
            "ARM, 8 of them, core 7, governor powersave, 41 degrees; before: governor performance, 31 degrees",
            Some("governor performance, 31 degrees before it was measured, governor powersave, 41 degrees after"),
        );
        check("x, core 0", "x, core 0, 50 degrees", "x, core 0, 50 degrees", None);
    }
}
