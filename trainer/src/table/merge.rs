//! One table from several of the same board.

use anyhow::{Result, bail, ensure};

use super::{LatencyTable, Outcome};

/// All layers and openings of the tables. Of what several have, a measurement is taken before a prediction, and of two
/// measurements that of more runs.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::table::merge;
///
/// let whole = made_up::table(&made_up::space());
/// let (mut first, mut second) = (whole.clone(), whole.clone());
/// first.layers.truncate(20);
/// second.layers.drain(..10);
/// assert_eq!(merge(&[first.clone(), second.clone()])?.layers, whole.layers);
/// second.provenance.unit = "instructions".into();
/// assert!(merge(&[first, second]).is_err(), "cycles and instructions do not mix");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// Says what the tables differ in that must not mix, or of which layer they say what cannot both be.
pub fn merge(tables: &[LatencyTable]) -> Result<LatencyTable> {
    let Some((first, others)) = tables.split_first() else { bail!("there is no table to merge") };
    let mut merged = first.clone();
    for other in others {
        check(first, other)?;
        add(&mut merged.layers, &other.layers, |own| own.layer, |own| (&own.text, &own.outcome))?;
        add(&mut merged.openings, &other.openings, |own| own.layers, |own| (&own.text, &own.outcome))?;
        let (own, new) = (&mut merged.provenance, &other.provenance);
        if !own.command.split(" && ").any(|command| command == new.command) {
            own.command += &format!(" && {}", new.command);
        }
        own.date = own.date.clone().max(new.date.clone());
        merged.firmware = merged.firmware.or(other.firmware);
    }
    Ok(merged)
}

fn check(first: &LatencyTable, other: &LatencyTable) -> Result<()> {
    let (a, b) = (&first.provenance, &other.provenance);
    let clocks = [a, b].map(|provenance| provenance.clock_hz.to_string());
    let seeds = [first, other].map(|table| table.header.seed.to_string());
    for (what, a, b) in [
        ("board", &a.board, &b.board),
        ("unit", &a.unit, &b.unit),
        ("runtime", &a.runtime, &b.runtime),
        ("core", &a.core, &b.core),
        ("clock in Hz", &clocks[0], &clocks[1]),
        ("space", &first.header.space, &other.header.space),
        ("seed", &seeds[0], &seeds[1]),
    ] {
        ensure!(a == b, "tables of different {what} do not mix: {a} and {b}; measure both alike");
    }
    Ok(())
}

/// Adds new ones to those that are there, both sorted by `key`, or takes the better of two; `of` is what an entry says, and
/// of what.
fn add<T: Clone, K: Ord>(own: &mut Vec<T>, new: &[T], key: fn(&T) -> K, of: fn(&T) -> (&str, &Outcome)) -> Result<()> {
    for entry in new {
        match own.binary_search_by_key(&key(entry), key) {
            Ok(i) => {
                let ((text, outcome), (_, before)) = (of(entry), of(&own[i]));
                if is_better(text, before, outcome)? {
                    own[i] = entry.clone();
                }
            }
            Err(i) => own.insert(i, entry.clone()),
        }
    }
    Ok(())
}

/// Whether the new outcome of what the text names takes the own one's place.
fn is_better(text: &str, own: &Outcome, new: &Outcome) -> Result<bool> {
    Ok(match (own, new) {
        (
            Outcome::Measured { runs, checksum, .. },
            Outcome::Measured { runs: new_runs, checksum: new_checksum, .. },
        ) => {
            ensure!(
                checksum == new_checksum,
                "the tables do not agree on what {text} computes: {checksum} and {new_checksum}; measure it again"
            );
            new_runs > runs
        }
        (Outcome::Refused(cause), Outcome::Measured { .. }) | (Outcome::Measured { .. }, Outcome::Refused(cause)) => {
            bail!("one table has ticks of {text}, another says: {cause}; measure it again")
        }
        (Outcome::Predicted { .. }, Outcome::Measured { .. } | Outcome::Refused(_)) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{linear, openings, table};
    use super::super::{Entry, Opening};
    use super::*;
    use crate::estimate::Estimate;

    fn predicted(outputs: u16) -> Entry {
        Entry::predicted(linear(outputs), Estimate { ticks: 5, low: 4, high: 6 })
    }

    #[test]
    fn what_was_measured_more_often_wins() {
        let (few, many) = (Entry::measured(linear(2), &[7], 1), Entry::measured(linear(2), &[8, 8, 8], 1));
        let a = table(vec![predicted(1), few, predicted(3)]);
        let mut b = table(vec![Entry::measured(linear(1), &[9], 2), many.clone(), Entry::refused(linear(4), "no")]);
        b.provenance.command = "ofa again".into();
        b.provenance.date = "2001-01-01".into();
        let merged = merge(&[a.clone(), b.clone(), a.clone()]).unwrap();
        let expected = [b.layers[0].clone(), many, predicted(3), b.layers[2].clone()];
        assert_eq!(merged.layers, expected);
        assert_eq!(merged.provenance.command, format!("{} && ofa again", a.provenance.command));
        assert_eq!(merged.provenance.date, "2001-01-01");
    }

    #[test]
    fn openings_are_merged_as_layers_are() {
        let [first, second, third] = openings();
        let with = |openings| LatencyTable { openings, ..table(vec![Entry::measured(linear(1), &[3], 1)]) };
        let (few, many) = (Opening::measured(second, &[7], 2), Opening::measured(second, &[8, 8], 2));
        let [low, high] = [first, third].map(|pair| Opening::measured(pair, &[9], 1));
        let (a, b) = (with(vec![low.clone(), few]), with(vec![many.clone(), high.clone()]));
        for tables in [[a.clone(), b.clone()], [b.clone(), a]] {
            assert_eq!(merge(&tables).unwrap().openings, [low.clone(), many.clone(), high.clone()]);
        }
        let error = merge(&[b, with(vec![Opening::measured(second, &[7], 3)])]).unwrap_err().to_string();
        assert!(error.contains("do not agree on what conv ") && error.contains(" + block "), "{error}");
    }

    #[test]
    fn what_must_not_mix_is_named() {
        let check = |change: fn(&mut LatencyTable), part: &str| {
            let own = table(vec![Entry::measured(linear(1), &[3], 1)]);
            let mut other = own.clone();
            change(&mut other);
            let error = merge(&[own, other]).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        };
        check(|table| table.provenance.board = "d".into(), "different board do not mix: b and d");
        check(
            |table| table.provenance.unit = "instructions".into(),
            "different unit do not mix: cycles and instructions",
        );
        check(|table| table.provenance.runtime = "9".into(), "and 9; measure both alike");
        check(|table| table.provenance.clock_hz = 7, "different clock in Hz do not mix: 1 and 7");
        check(|table| table.header.space = "x".into(), "different space");
        check(|table| table.header.seed = 4, "different seed do not mix: 3 and 4");
        check(
            |table| table.layers[0] = Entry::measured(linear(1), &[3], 2),
            "agree on what linear 8 -> 1 none computes",
        );
        check(|table| table.layers[0] = Entry::refused(linear(1), "it is full"), "another says: it is full");
    }
}
