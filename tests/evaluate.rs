//! `ofa evaluate` as people and programs read it.

use serde_json::Value;

use crate::fixture::{Fixture, done, tiny};
use crate::schema::valid;

fn evaluate(more: &[&str]) -> String {
    let [supernet, data] = ["supernet.safetensors", "data"].map(|name| Fixture::get().text(name));
    done(&[&["evaluate", &supernet, "--data", &data][..], more].concat())
}

/// As the schema of this name says.
fn json(schema: &str, more: &[&str]) -> Value {
    valid(schema, &evaluate(&[more, &["--json"]].concat()))
}

#[test]
fn one_net_class_by_class() {
    let report = json("evaluate-net", &[]);
    let net = &report["net"];
    assert_eq!((&report["split"], &net["images"]), (&Value::from("test"), &Value::from(200)), "{report}");
    let accuracy = net["accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.9, "{report}");
    let error = (accuracy * (1.0 - accuracy) / 200.0).sqrt();
    assert!((net["standard_error"].as_f64().expect("a number") - error).abs() < 1e-12);
    let count = |row: usize, column: usize| net["confusion"][row][column].as_u64().expect("a count");
    assert_eq!((count(0, 0) + count(0, 1), count(1, 0) + count(1, 1)), (100, 100));
    assert_eq!((count(0, 0) + count(1, 1)) as f64 / 200.0, accuracy);
    assert_eq!(net["classes"][0]["accuracy"].as_f64(), Some(count(0, 0) as f64 / 100.0));
    assert!(net["macs"].as_u64() > Some(0) && net["parameters"].as_u64() > Some(0));

    let smallest = json("evaluate-net", &["--arch", "smallest", "--split", "validation"]);
    assert!(smallest["net"]["macs"].as_u64() < net["macs"].as_u64());
    assert_eq!(smallest["split"], "validation");
    let text = evaluate(&[]);
    for part in [&format!("accuracy {:.2} %", 100.0 * accuracy), "of 200 images", "parameters", "class", "answered"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn random_nets_of_a_seed() {
    let report = json("evaluate-random", &["--random", "6", "--seed", "4"]);
    let random = &report["random"];
    let accuracies: Vec<f64> =
        random["nets"].as_array().expect("a list").iter().map(|net| net["accuracy"].as_f64().expect("one")).collect();
    assert_eq!(accuracies.len(), 6);
    assert!(accuracies.is_sorted_by(|a, b| a >= b), "{accuracies:?}");
    assert_eq!((random["max"].as_f64(), random["min"].as_f64()), (Some(accuracies[0]), Some(accuracies[5])));
    let mean = accuracies.iter().sum::<f64>() / 6.0;
    assert!((random["mean"].as_f64().expect("a number") - mean).abs() < 1e-9);
    assert_eq!(json("evaluate-random", &["--random", "6", "--seed", "4"]), report, "the same for a seed");
    assert!(evaluate(&["--random", "6", "--seed", "4"]).contains("6 random nets of seed 4"));
}

#[test]
fn the_best_nets_of_a_search_are_judged() {
    let fixture = Fixture::get();
    let [supernet, data, predictor] = ["supernet.safetensors", "data", "predictor.onnx"].map(|name| fixture.text(name));
    let space = tiny("space.toml");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("temporary folders have plain names");
    let search = ["search", "--space", &space, "--predictor", &predictor, "--verify", "3", "--supernet", &supernet];
    let found = valid("search", &done(&[&search[..], &["--data", &data, "--out", out, "--json"]].concat()));
    let nets = found["verified"]["nets"].as_array().expect("a list");
    let chosen = &nets[found["verified"]["chosen"].as_u64().expect("a position") as usize];
    assert_eq!(chosen["arch"], found["arch"]);
    assert_eq!(chosen["measured"], found["measured"]["accuracy"]);
    let [low, high] = [0, 1].map(|end| found["accuracy_interval"][end].as_f64().expect("a number"));
    let own = 2.0 * found["deviation"].as_f64().expect("a number");
    assert!(high - low >= 2.0 * own || high == 1.0, "{found}");
    let written = std::fs::read_to_string(folder.path().join("arch.json")).expect("the file is there");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!((&written["measured"], &written["accuracy"]), (&found["measured"], &chosen["predicted"]));
    assert!(nets.len() == 3 && nets.iter().all(|net| net["measured"].as_f64() <= chosen["measured"].as_f64()));
}

#[test]
fn training_steps_are_timed() {
    let space = tiny("space.toml");
    let bench = ["bench", "train", "--space", &space, "--resolution", "12", "--batch", "2", "--steps", "5", "--json"];
    assert_eq!(valid("bench-train", &done(&bench))["steps"], 5);
}
