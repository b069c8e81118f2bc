//! The predictor's sampling, killed at any moment.

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fixture::{Fixture, Ran, command, done, ofa, tiny};
use crate::schema::valid;

const KILLS: usize = 5;
const SEED: u64 = 11;
/// Bytes that are let into the journal before a kill, at most: a few nets.
const GROWTH: u64 = 700;

fn arguments<'a>(supernet: &'a str, data: &'a str, out: &'a str) -> [&'a str; 9] {
    ["predictor", supernet, "--data", data, "--samples", "30", "--out", out, "--json"]
}

#[test]
fn a_sampling_that_is_killed_goes_on_and_ends_the_same() {
    let [data, supernet] = ["data", "supernet.safetensors"].map(|name| Fixture::get().text(name));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("temporary folders have plain names").to_string();
    let undisturbed = path("undisturbed.onnx");
    let report = done(&arguments(&supernet, &data, &undisturbed));
    valid("predictor-train", &report);

    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let killed = path("killed.onnx");
    let mut kills = 0;
    while kills < KILLS {
        let length = journal_length(folder.path()) + rng.random_range(0..GROWTH);
        let mut child = command(&arguments(&supernet, &data, &killed));
        child.stdout(std::process::Stdio::null());
        let mut child = child.spawn().expect("ofa starts");
        while journal_length(folder.path()) < length && child.try_wait().expect("it is ours").is_none() {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        child.kill().expect("it is ours");
        if child.wait().expect("it is ours").success() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 1, "the sampling was over before it was killed");
    assert_eq!(done(&arguments(&supernet, &data, &killed)), report);
    for extension in ["onnx", "json"] {
        let bytes = |path: &str| std::fs::read(Path::new(path).with_extension(extension)).expect("ofa wrote it");
        assert!(bytes(&undisturbed) == bytes(&killed), "predictor.{extension} differs after {kills} kills");
    }
}

#[test]
fn more_samples_add_to_those_judged_before() {
    let [data, supernet] = ["data", "supernet.safetensors"].map(|name| Fixture::get().text(name));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [grown, whole] = ["grown.onnx", "whole.onnx"].map(|name| folder.path().join(name));
    let run = |out: &Path, samples: &str| {
        let out = out.to_str().expect("temporary folders have plain names");
        done(&["predictor", &supernet, "--data", &data, "--samples", samples, "--out", out]);
    };
    run(&whole, "25");
    run(&grown, "12");
    let first = std::fs::read(journal(folder.path(), "grown").expect("ofa wrote it")).expect("it is ours");
    run(&grown, "25");
    let both = std::fs::read(journal(folder.path(), "grown").expect("ofa wrote it")).expect("it is ours");
    assert!(both.starts_with(&first) && both.len() > first.len());
    assert!(std::fs::read(grown).expect("ofa wrote it") == std::fs::read(whole).expect("ofa wrote it"));
}

#[test]
fn a_study_judges_the_nets_that_its_predictor_chooses() {
    let [data, supernet] = ["data", "supernet.safetensors"].map(|name| Fixture::get().text(name));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("temporary folders have plain names");
    let study = ["study", "predictor", &supernet, "--data", &data, "--samples", "15", "--chosen", "2", "--out", out];
    let printed = valid("study-predictor", &done(&[&study[..], &["--json"]].concat()));
    assert_eq!(printed["chosen"]["nets"], 2, "{printed}");
    let curve = std::fs::read_to_string(folder.path().join("curve.json")).expect("ofa wrote it");
    assert_eq!(valid("study-predictor", &curve), printed);
}

/// On a space with the three choices of everything that the built-in recipes open.
#[test]
fn a_study_compares_ways_of_training_and_trains_nothing_twice() {
    let data = Fixture::get().text("data");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("temporary folders have plain names").to_string();
    let space = std::fs::read_to_string(tiny("space.toml")).expect("it is in the repository");
    let choices = [("depth = [1, 2]", "depth = [1, 2, 3]"), ("[3, 5]", "[3, 5, 7]"), ("[2, 3]", "[2, 3, 4]")];
    let space = choices.iter().fold(space, |space, (two, three)| space.replace(two, three));
    std::fs::write(path("space.toml"), space).expect("the folder is ours");
    let (space, out) = (path("space.toml"), path("study"));
    let study = ["study", "shrinking", "--space", &space, "--data", &data, "--steps", "12", "--seeds", "2"];
    let study = [&study[..], &["--recipes", "random,full", "--nets", "middle", "--out", &out]].concat();
    let printed = valid("study-shrinking", &done(&[&study[..], &["--json"]].concat()));
    let ways = printed["rows"][0]["ways"].as_array().expect("a list");
    let recipes: Vec<_> = ways.iter().map(|way| way["recipe"].as_str().expect("a name")).collect();
    assert_eq!(recipes, ["random", "full", "independent"]);
    assert!(ways.iter().all(|way| way["accuracies"].as_array().is_some_and(|seeds| seeds.len() == 2)), "{printed}");
    assert_eq!(ways[0]["behind"], 0.0, "the first is what the others are measured against");
    let journal = std::fs::read(path("study/trainings.journal")).expect("ofa wrote it");
    assert!(done(&study).contains("| middle |"));
    assert!(std::fs::read(path("study/trainings.journal")).expect("ofa wrote it") == journal);
    let Ran { code, stderr, .. } = ofa(&[&study[..], &["--nets", "sharp"]].concat());
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
}

/// The journal beside this predictor.
fn journal(folder: &Path, predictor: &str) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("it is ours").map(|entry| entry.expect("it is ours").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(predictor)))
}

fn journal_length(folder: &Path) -> u64 {
    journal(folder, "killed").and_then(|path| path.metadata().ok()).map_or(0, |metadata| metadata.len())
}
