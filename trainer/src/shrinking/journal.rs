//! What the trainings of a study came to, in a [journal](crate::journal): each is kept as soon as it is known.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{self, About};

/// The journal of a study.
pub(super) struct Journal {
    path: PathBuf,
    file: journal::Journal,
    trainings: Vec<Training>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    /// Which.
    what: String,
    /// On the test images.
    accuracies: Vec<f64>,
}

impl Journal {
    /// The one at `path`, or a new one. `study` is what all its trainings depend on.
    pub fn open(path: &Path, study: &Value) -> Result<Self> {
        let about = About {
            identity: study,
            other: "it is of another study (other steps, recipes, space or images)",
            remedy: "remove it, or give --out a folder of its own",
        };
        let (file, trainings) = journal::Journal::open(path, &about, Ok)?;
        Ok(Self { path: path.into(), file, trainings })
    }

    /// The `count` accuracies that it has of `what`, or those that `train` finds.
    pub fn get_or(&mut self, what: &str, count: usize, train: impl FnOnce() -> Result<Vec<f64>>) -> Result<Vec<f64>> {
        if let Some(Training { accuracies, .. }) = self.trainings.iter().find(|training| training.what == what) {
            let plain = accuracies.len() == count && accuracies.iter().all(|share| (0.0..=1.0).contains(share));
            ensure!(plain, "{}: {what} is damaged; remove the file to begin again", self.path.display());
            return Ok(accuracies.clone());
        }
        let accuracies = train()?;
        self.file.append(&Training { what: what.into(), accuracies: accuracies.clone() })?;
        Ok(accuracies)
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
        let path = folder.path().join("trainings.journal");
        let mut journal = Journal::open(&path, &json!({ "steps": 5 })).unwrap();
        assert_eq!(journal.get_or("a", 2, || Ok(vec![0.25, 0.1])).unwrap(), [0.25, 0.1]);
        assert!(journal.get_or("b", 1, || bail!("the power is gone")).is_err());
        drop(journal);
        let mut again = Journal::open(&path, &json!({ "steps": 5 })).unwrap();
        assert_eq!(again.get_or("a", 2, || bail!("it is known")).unwrap(), [0.25, 0.1]);
        assert_eq!(again.get_or("b", 1, || Ok(vec![0.5])).unwrap(), [0.5]);
        assert!(again.get_or("a", 1, || Ok(vec![])).unwrap_err().to_string().contains("damaged"));
        drop(again);
        let other = Journal::open(&path, &json!({ "steps": 6 })).err().unwrap();
        assert!(format!("{other:#}").contains("another study"));
    }
}
