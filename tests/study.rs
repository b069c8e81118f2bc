//! `ofa study search` on the tiny space: its figures agree with one another, and nothing is judged twice.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::fixture::{Fixture, done, ofa, tiny};
use crate::schema::valid;

/// The table of this machine, made once.
fn table() -> &'static str {
    static TABLE: OnceLock<String> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table = Fixture::get().text("host.json");
        done(&["measure", "--board", "host", "--space", &tiny("space.toml"), "--out", &table]);
        table
    })
}

fn arguments(more: &[&str]) -> Vec<String> {
    let [data, supernet, predictor] =
        ["data", "supernet.safetensors", "predictor.onnx"].map(|name| Fixture::get().text(name));
    let study = ["study", "search", &supernet, "--data", &data, "--predictor", &predictor, "--table", table()];
    study
        .iter()
        .chain(&["--front", "4", "--verify", "3", "--random", "6", "--even", "5"])
        .chain(more)
        .map(ToString::to_string)
        .collect()
}

fn study(more: &[&str]) -> String {
    let arguments = arguments(more);
    done(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_chosen_nets_stand_beside_those_of_other_ways() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("temporary folders have plain names");
    let limited = ["--limit", "sram=1400,macs=60k", "--limit", "macs=90k", "--out", out, "--json"];
    let text = study(&limited);
    let said = valid("study-search", &text);

    let front = said["front"].as_array().expect("a list");
    let latencies: Vec<u64> = front.iter().filter_map(|answer| answer["net"]["latency"].as_u64()).collect();
    assert!((1..=4).contains(&front.len()) && latencies.is_sorted() && latencies.len() == front.len(), "{said}");
    assert_eq!((&said["validation_images"], &said["test_images"]), (&front[0]["validation"]["images"], &200.into()));
    let errors = front.iter().map(|answer| number(&answer["net"]["accuracy"]) - number(&answer["test"]["accuracy"]));
    let bias = errors.sum::<f64>() / front.len() as f64;
    assert!((number(&said["errors"]["test"]["bias"]) - bias).abs() < 1e-6, "{said}");
    let lowered = number(&said["errors"]["test_less_splits"]["bias"]);
    assert!((bias - number(&said["splits"]["harder"]) - lowered).abs() < 1e-6, "{said}");
    assert_eq!(said["splits"]["nets"], 5);

    let rows = said["limits"].as_array().expect("a list");
    assert_eq!((rows.len(), &rows[0]["limits"]["sram"], &rows[1]["limits"]["sram"]), (2, &1400.into(), &Value::Null));
    for row in rows {
        let ways = row["ways"].as_array().expect("a list");
        assert!(ways.len() == 5 && (1..=6).contains(&row["random"].as_u64().expect("a count")), "{row}");
        for way in ways {
            assert!(way["net"]["macs"].as_u64() <= row["limits"]["macs"].as_u64(), "{way}");
            for (own, name) in ["gain", "verified_gain"].into_iter().enumerate() {
                let gain = number(&ways[own]["test"]["accuracy"]) - number(&way["test"]["accuracy"]);
                let paired = way[name]["points"].as_f64().unwrap_or(0.0);
                assert!((paired - gain).abs() < 1e-9, "{name}: {way}");
            }
        }
        let [searched, verified, _, random, _] = [0, 1, 2, 3, 4].map(|way| &ways[way]);
        assert!(searched["gain"].is_null() && searched["name"] == "searched");
        assert!(verified["verified_gain"].is_null() && verified["name"] == "searched and verified");
        assert!(number(&verified["validation"]["accuracy"]) >= number(&searched["validation"]["accuracy"]), "{row}");
        assert!(number(&searched["net"]["accuracy"]) >= number(&verified["net"]["accuracy"]), "{row}");
        assert!(number(&searched["net"]["accuracy"]) >= number(&random["net"]["accuracy"]), "a search looks further");
    }

    let [file, plot, table] = ["search.json", "search.svg", "search.md"]
        .map(|name| std::fs::read_to_string(folder.path().join(name)).expect("ofa wrote it"));
    assert_eq!(valid("study-search", &file), said);
    let points = plot.matches("<circle").count();
    assert!(points == 2 * front.len() + 10 && !plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    assert!(table.contains("within sram=1400 macs=60000") && table.contains("| largest net scaled down |"), "{table}");

    let journals = journals(folder.path());
    let whole: Vec<_> = journals.iter().map(|path| std::fs::read(path).expect("it is ours")).collect();
    assert_eq!(journals.len(), 2, "a journal for the validation images, one for the test images");
    for (path, bytes) in journals.iter().zip(&whole) {
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("it is ours");
    }
    assert_eq!(study(&limited), text, "what was cut off is judged again");
    let again: Vec<_> = journals.iter().map(|path| std::fs::read(path).expect("it is ours")).collect();
    assert!(again == whole, "each net is in the journal once");
}

#[test]
fn limits_are_set_between_the_ends_where_none_is_given() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("temporary folders have plain names");
    let said = valid("study-search", &study(&["--out", out, "--json"]));
    let rows = said["limits"].as_array().expect("a list");
    let limits: Vec<_> = rows.iter().filter_map(|row| row["limits"]["latency"].as_u64()).collect();
    assert!(limits.len() == 3 && limits.is_sorted_by(|a, b| a < b), "{limits:?}");
    for (row, limit) in rows.iter().zip(limits) {
        let ways = row["ways"].as_array().expect("a list");
        assert!(ways.iter().all(|way| way["net"]["latency"].as_u64() <= Some(limit)), "{row}");
    }

    let impossible = arguments(&["--limit", "macs=1", "--out", out]);
    let ran = ofa(&impossible.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((ran.code, ran.stderr.contains("no net fits")), (Some(1), true), "{}", ran.stderr);
}

fn journals(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("it is ours").map(|entry| entry.expect("it is ours").path());
    let mut journals: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect();
    journals.sort();
    journals
}
