//! The YAML of the original's latency tables: keys, each with a mapping of numbers.
//!
//! ```yaml
//! Conv-input:224x224x3-output:112x112x24:
//!   count: 30
//!   mean: 1.25
//! Logits-input:1x1x1536-output:1000: {count: 30, mean: 0.5}
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use granit_parser::{Event, Parser, StrInput};

/// Bytes of a name or a number that are read: what is longer would fill the message that names it.
const LONGEST: usize = 1024;

/// What a table says of a layer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Figure {
    /// Milliseconds.
    pub mean: f64,
    /// How many measurements that is of.
    pub count: f64,
}

/// The figures of a table, by key.
///
/// # Errors
/// One line with the number of the line at fault.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, Figure>> {
    let mut reader = Reader { parser: Parser::new_from_str(text), line: 1 };
    let figures = reader.stream();
    let figures = figures.with_context(|| format!("line {}", reader.line))?;
    ensure!(!figures.is_empty(), "it is empty");
    Ok(figures)
}

/// Takes a table's events one by one. The parser refuses what is nested hundreds deep, and aliases are refused here: so
/// what is read is no more than what is written.
struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Where the last key or value began.
    line: usize,
}

impl<'t> Reader<'t> {
    fn stream(&mut self) -> Result<BTreeMap<String, Figure>> {
        let mut figures = BTreeMap::new();
        loop {
            match self.event()? {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(figures),
                Event::MappingStart(..) => self.layers(&mut figures)?,
                _ => bail!("it is no mapping of layers"),
            }
        }
    }

    fn layers(&mut self, figures: &mut BTreeMap<String, Figure>) -> Result<()> {
        while let Some(key) = self.key()? {
            ensure!(!figures.contains_key(&key), "{key} is there twice");
            let figure = self.figure().with_context(|| key.clone())?;
            figures.insert(key, figure);
        }
        Ok(())
    }

    /// The mapping behind a layer's key. Fields other than mean and count may hold anything.
    fn figure(&mut self) -> Result<Figure> {
        ensure!(matches!(self.event()?, Event::MappingStart(..)), "behind the key is no {{mean: …, count: …}}");
        let (mut mean, mut count) = (None, None);
        while let Some(name) = self.key()? {
            let field = match &name[..] {
                "mean" => &mut mean,
                "count" => &mut count,
                _ => {
                    self.skip()?;
                    continue;
                }
            };
            ensure!(field.is_none(), "its {name} is there twice");
            *field = Some(self.number().with_context(|| format!("its {name}"))?);
        }
        let (mean, count) = (mean.context("it has no mean")?, count.unwrap_or(1.0));
        ensure!(mean > 0.0 && mean < 4000.0, "its mean, {mean}, is no time in milliseconds");
        ensure!((1.0..=1e9).contains(&count), "its count, {count}, is no number of measurements");
        Ok(Figure { mean, count })
    }

    /// The next key of a mapping, or none at its end.
    fn key(&mut self) -> Result<Option<String>> {
        match self.event()? {
            Event::MappingEnd => Ok(None),
            Event::Scalar(text, ..) => {
                let is_name = text.len() <= LONGEST && !text.contains(char::is_control);
                ensure!(is_name, "a key is no line of at most {LONGEST} bytes");
                Ok(Some(text.into_owned()))
            }
            _ => bail!("a key is no text"),
        }
    }

    fn number(&mut self) -> Result<f64> {
        let Event::Scalar(text, ..) = self.event()? else { bail!("a list or a mapping is no number") };
        ensure!(text.len() <= LONGEST, "it has more than {LONGEST} bytes");
        text.parse().with_context(|| format!("{text:?} is no number"))
    }

    /// Takes a value, whatever it holds.
    fn skip(&mut self) -> Result<()> {
        let mut depth = 0;
        loop {
            match self.event()? {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn event(&mut self) -> Result<Event<'t>> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                if matches!(
                    event,
                    Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..)
                ) {
                    self.line = span.start.line();
                }
                ensure!(!matches!(event, Event::Alias(_)), "it has an alias, which no table has");
                Ok(event)
            }
            Some(Err(error)) => {
                self.line = error.marker().line();
                bail!("it is no YAML: {}", error.info())
            }
            None => bail!("it is cut off"),
        }
    }
}
