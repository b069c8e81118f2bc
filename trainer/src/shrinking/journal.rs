//! What the trainings of a study came to, each kept as soon as it is known.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files;

const MADE_BY: &str = "ofa study shrinking";

/// The file, whole after every training.
pub(super) struct Journal {
    path: PathBuf,
    content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// What all trainings depend on.
    study: Value,
    /// By what was trained: test accuracies.
    trainings: IndexMap<String, Vec<f64>>,
}

impl Journal {
    /// The one at `path`, or a new one.
    pub fn open(path: &Path, study: Value) -> Result<Self> {
        let content = if path.exists() {
            let content: Content = files::read_json(path, MADE_BY)?;
            ensure!(
                content.study == study,
                "{} is of another study (other steps, recipes, space or images); give --out a folder of its own",
                path.display()
            );
            content
        } else {
            Content { study, trainings: IndexMap::new() }
        };
        Ok(Self { path: path.into(), content })
    }

    /// The `count` accuracies that it has of `what`, or those that `train` finds.
    pub fn get_or(&mut self, what: &str, count: usize, train: impl FnOnce() -> Result<Vec<f64>>) -> Result<Vec<f64>> {
        if let Some(known) = self.content.trainings.get(what) {
            let plain = known.len() == count && known.iter().all(|share| (0.0..=1.0).contains(share));
            ensure!(plain, "{}: {what} is damaged; remove the file to begin again", self.path.display());
            return Ok(known.clone());
        }
        let found = train()?;
        self.content.trainings.insert(what.into(), found.clone());
        files::write_json(&self.path, &self.content)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_trained_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainings.json");
        let mut journal = Journal::open(&path, json!({ "steps": 5 })).unwrap();
        assert_eq!(journal.get_or("a", 2, || Ok(vec![0.25, 0.1])).unwrap(), [0.25, 0.1]);
        assert!(journal.get_or("b", 1, || bail!("the power is gone")).is_err());
        let mut again = Journal::open(&path, json!({ "steps": 5 })).unwrap();
        assert_eq!(again.get_or("a", 2, || bail!("it is known")).unwrap(), [0.25, 0.1]);
        assert_eq!(again.get_or("b", 1, || Ok(vec![0.5])).unwrap(), [0.5]);
        assert!(again.get_or("a", 1, || Ok(vec![])).unwrap_err().to_string().contains("damaged"));
        let other = Journal::open(&path, json!({ "steps": 6 })).err().unwrap();
        assert!(other.to_string().contains("another study"));
    }
}
