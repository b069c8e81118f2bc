//! The YAML of the original's latency tables: keys, each with a mapping of numbers below it or behind it.
//!
//! ```yaml
//! Conv-input:224x224x3-output:112x112x24:
//!   count: 30
//!   mean: 1.25
//! Logits-input:1x1x1536-output:1000: {count: 30, mean: 0.5}
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};

/// What a table says of a layer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Figure {
    /// Milliseconds.
    pub mean: f64,
    /// How many measurements that is of.
    pub count: f64,
}

/// A layer as it is written.
struct Section {
    /// Of its first line.
    number: usize,
    key: String,
    fields: Vec<(String, f64)>,
}

/// The figures of a table, by key.
///
/// # Errors
/// One line with the number of the line at fault.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, Figure>> {
    let mut sections: Vec<Section> = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" || content == "..." {
            continue;
        }
        let at_line = || format!("line {number}");
        if line.starts_with(' ') {
            let section = sections.last_mut().context("a figure has no layer").with_context(at_line)?;
            section.fields.push(field(content).with_context(at_line)?);
        } else {
            let (key, fields) = entry(content).with_context(at_line)?;
            sections.push(Section { number, key, fields });
        }
    }
    ensure!(!sections.is_empty(), "it is empty");
    let mut figures = BTreeMap::new();
    for Section { number, key, fields } in sections {
        let figure = figure(&fields).with_context(|| format!("line {number}: {key}"))?;
        if figures.insert(key.clone(), figure).is_some() {
            bail!("line {number}: {key} is there twice");
        }
    }
    Ok(figures)
}

/// A layer's key, and the fields behind it, if they are there.
fn entry(line: &str) -> Result<(String, Vec<(String, f64)>)> {
    let (key, rest) = match line.strip_suffix(':') {
        Some(key) => (key, ""),
        None => line.split_once(": ").context("it is no `key:`")?,
    };
    let rest = rest.trim();
    let fields = match rest {
        "" => vec![],
        _ => {
            let inside = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let inside = inside.context("behind the key is no {mean: …, count: …}")?;
            inside.split(',').map(|part| field(part.trim())).collect::<Result<_>>()?
        }
    };
    Ok((unquoted(key.trim()).to_owned(), fields))
}

fn field(text: &str) -> Result<(String, f64)> {
    let (name, value) = text.split_once(':').context("it is no `name: number`")?;
    let number = value.trim().parse().map_err(|_| anyhow!("{:?} is no number", value.trim()))?;
    Ok((unquoted(name.trim()).to_owned(), number))
}

fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

fn figure(fields: &[(String, f64)]) -> Result<Figure> {
    let get = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
    let mean = get("mean").context("it has no mean")?;
    ensure!(mean > 0.0 && mean < 4000.0, "its mean, {mean}, is no time in milliseconds");
    let count = get("count").unwrap_or(1.0);
    ensure!((1.0..=1e9).contains(&count), "its count, {count}, is no number of measurements");
    Ok(Figure { mean, count })
}
