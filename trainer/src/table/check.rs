//! What is suspicious about a table.

use std::collections::HashMap;

use runtime::Layer;
use serde::Serialize;

use super::{LatencyTable, Opening, Outcome};
use crate::estimate::{Estimator, FEWEST, Prior};

/// Spread above which a median says little, as a share of it.
const NOISY: f64 = 0.05;

/// Something that a lab should look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The layer, or the two that run as one, for people.
    pub layer: String,
    /// What is wrong with it.
    pub what: String,
}

/// What is suspicious, in the order of the layers, openings last. `wanted` are the layers that the table should have.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::table::{Entry, can_tell, check};
///
/// let space = made_up::space();
/// let mut table = made_up::table(&space);
/// for (i, entry) in table.layers.iter_mut().enumerate() {
///     *entry = Entry::measured(entry.layer, &[entry.ticks().unwrap_or(1)], i as u32);
/// }
/// assert!(can_tell(&table) && check(&table, None).is_empty());
/// let gone = table.layers.remove(5);
/// let findings = check(&table, Some(&space.distinct_layers()));
/// assert_eq!((&findings[0].layer, &findings[0].what[..]), (&gone.text, "is missing"));
/// ```
pub fn check(table: &LatencyTable, wanted: Option<&[Layer]>) -> Vec<Finding> {
    let mut findings: Vec<(Layer, String)> = Vec::new();
    for layer in wanted.into_iter().flatten().filter(|layer| table.entry(layer).is_none()) {
        findings.push((*layer, "is missing".into()));
    }
    let mut seen: HashMap<(&str, usize), &str> = HashMap::new();
    for entry in &table.layers {
        findings.extend(strange(&entry.outcome).into_iter().map(|what| (entry.layer, what)));
        let Outcome::Measured { checksum, .. } = &entry.outcome else { continue };
        if is_checksum(checksum)
            && let Some(other) = seen.insert((checksum, entry.layer.output().len()), &entry.text)
        {
            findings.push((entry.layer, format!("its output is that of {other}")));
        }
    }
    let measured = table.measured();
    let layers: Vec<_> = measured.iter().map(|(layer, _)| *layer).collect();
    if let Ok(estimator) = Estimator::fit(&layers, &measured, Prior::Macs) {
        for (i, foretold) in estimator.implausible() {
            let (layer, ticks) = measured[i];
            findings.push((layer, format!("it takes {ticks} ticks, where the others foretell {foretold}")));
        }
    }
    findings.sort_by_key(|(layer, _)| *layer);
    let of_openings = table.openings.iter().flat_map(|Opening { text, outcome, .. }| {
        strange(outcome).into_iter().map(move |what| Finding { layer: text.clone(), what })
    });
    let of_layers = findings.into_iter().map(|(layer, what)| Finding { layer: layer.to_string(), what });
    of_layers.chain(of_openings).collect()
}

/// What is suspicious about a measurement, whatever the others are.
fn strange(outcome: &Outcome) -> Vec<String> {
    let mut found = vec![];
    if let Outcome::Measured { ticks, mad, checksum, .. } = outcome {
        // Imported figures have none.
        if !checksum.is_empty() && !is_checksum(checksum) {
            found.push(format!("its checksum is no eight hexadecimal digits: {checksum}"));
        }
        let spread = f64::from(*mad) / f64::from(*ticks);
        if spread > NOISY {
            found.push(format!("its runs spread by {:.1} %", 100.0 * spread));
        }
    }
    found
}

fn is_checksum(text: &str) -> bool {
    text.len() == 8 && u32::from_str_radix(text, 16).is_ok()
}

/// Whether the table has layers enough for [`check()`] to tell which of them are implausible.
pub fn can_tell(table: &LatencyTable) -> bool {
    table.measured().len() >= FEWEST
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::super::tests::{linear, openings, table};
    use super::*;

    fn found(table: &LatencyTable, wanted: Option<&[Layer]>) -> Vec<(String, String)> {
        check(table, wanted).into_iter().map(|finding| (finding.layer, finding.what)).collect()
    }

    #[test]
    fn holes_noise_and_strange_checksums_are_found() {
        let mut table = table(vec![
            Entry::measured(linear(3), &[100, 110, 120], 1),
            Entry::measured(linear(4), &[100], 1),
            Entry::measured(linear(5), &[100], 7),
        ]);
        let Outcome::Measured { checksum, .. } = &mut table.layers[2].outcome else { unreachable!() };
        *checksum = "soon".into();
        let finding = |layer: u16, what: &str| (linear(layer).to_string(), what.to_string());
        assert_eq!(
            found(&table, Some(&[linear(3), linear(9)])),
            [
                finding(3, "its runs spread by 9.1 %"),
                finding(5, "its checksum is no eight hexadecimal digits: soon"),
                finding(9, "is missing"),
            ]
        );
        assert!(!can_tell(&table));
        table.openings.push(Opening::measured(openings()[0], &[100, 110, 120], 1));
        let last = found(&table, None).pop().unwrap();
        assert_eq!(last, (table.openings[0].text.clone(), "its runs spread by 9.1 %".into()));
    }

    #[test]
    fn the_same_output_of_two_layers_is_strange() {
        let entry = |ticks| Entry::measured(linear(6), &[ticks], 1);
        let other = Layer::Linear(runtime::Linear { inputs: 9, outputs: 6, activation: runtime::Activation::None });
        let table = table(vec![entry(5), Entry::measured(other, &[6], 1)]);
        assert_eq!(found(&table, None), [(other.to_string(), format!("its output is that of {}", linear(6)))]);
    }

    #[test]
    fn ticks_that_the_others_do_not_explain_are_found() {
        let ticks = |outputs: u16| 500 + 30 * u32::from(outputs);
        let entries = |wrong: u16| {
            let ticks = |outputs| if outputs == wrong { 3 * ticks(outputs) } else { ticks(outputs) };
            (10..60).map(|outputs| Entry::measured(linear(outputs), &[ticks(outputs)], outputs.into())).collect()
        };
        assert_eq!(found(&table(entries(0)), None), []);
        let found = found(&table(entries(33)), None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, linear(33).to_string());
        assert!(found[0].1.starts_with("it takes 4470 ticks, where the others foretell 14"), "{found:?}");
    }
}
