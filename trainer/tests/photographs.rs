//! Real photographs, where they are: `../shared/data/clothing128` beside the repository.

use std::io::Write;
use std::path::PathBuf;

use trainer::dataset::Dataset;
use trainer::loader::{Augment, Loader, LoaderSettings};

/// The folder; says aloud when a test is skipped for want of it.
fn clothing(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/clothing128"));
    if folder.is_dir() {
        return Some(folder);
    }
    // Past the test runner, which keeps what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {} is not there", folder.display());
    None
}

#[test]
fn all_are_read_and_batches_depend_on_seed_and_step_alone() {
    let Some(folder) = clothing("all_are_read_and_batches_depend_on_seed_and_step_alone") else { return };
    let dataset = Dataset::load(&folder).unwrap();
    let facts = dataset.facts();
    assert_eq!((facts.train, facts.validation, facts.test, facts.classes.len()), (3068, 341, 372, 10));
    assert_eq!(facts.classes[..3], ["dress", "hat", "longsleeve"]);
    let normalisation = dataset.train.normalisation().unwrap();
    assert!(normalisation.mean.iter().all(|mean| (100.0..220.0).contains(mean)), "{normalisation:?}");
    assert!(normalisation.deviation.iter().all(|deviation| (40.0..90.0).contains(deviation)), "{normalisation:?}");

    let augment = Augment { crop: 0.4, flip: true, saturation: 0.3, erase: 0.25, ..Augment::default() };
    let batches = |workers, first_step| {
        let settings = LoaderSettings { batch: 64, augment, seed: 5, workers };
        let resolution = |step: usize| [48, 64, 80, 96, 112, 128][step % 6];
        let mut loader = Loader::new(&dataset.train, settings, resolution, first_step).unwrap();
        (0..4).map(|_| loader.next().unwrap()).collect::<Vec<_>>()
    };
    let alone = batches(1, 45);
    assert!(alone == batches(3, 45));
    assert!(alone[2..] == batches(2, 47)[..2], "resumed in the middle of an epoch");
    assert!(alone.iter().any(|images| images.side != alone[0].side));
}
