//! The whole path on a tiny space: every file is made by one command and read by the next.

use serde_json::Value;

use crate::fixture::{Fixture, command, done, has_qemu, ofa, ran, tiny, write_photographs};
use crate::report;
use crate::schema::valid;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_steps_one_by_one() {
    if !has_qemu("the_steps_one_by_one") {
        return;
    }
    let fixture = Fixture::get();
    let space = tiny("space.toml");
    let [data, supernet, predictor, table, search, subnet, model] =
        ["data", "supernet.safetensors", "predictor.onnx", "table.json", "search", "subnet.onnx", "model"]
            .map(|name| fixture.text(name));
    let arch = format!("{search}/arch.json");
    let board = "mps2-an386";

    valid("measure", &done(&["measure", "--board", board, "--space", &space, "--out", &table, "--json"]));
    let limits = ["--limit", "sram=16k", "--limit", "macs=1M"];
    let find = ["search", "--space", &space, "--predictor", &predictor, "--table", &table, "--seed", "5"];
    done(&[&find[..], &limits, &["--out", &search]].concat());
    let first = std::fs::read(&arch).expect("search wrote it");
    done(&[&find[..], &limits, &["--out", &search]].concat());
    assert_eq!(first, std::fs::read(&arch).expect("search wrote it"), "the same for a seed");

    let nothing = ofa(&[&find[..], &["--limit", "latency=1", "--limit", "sram=16k", "--out", &search]].concat());
    let said = format!("{}{}", nothing.stdout, nothing.stderr);
    assert_eq!(nothing.code, Some(1), "{said}");
    assert!(said.contains("latency") && said.contains("nearest"), "{said}");

    let net = ["extract", &supernet, "--arch", &arch, "--data", &data, "--out", &subnet, "--json"];
    assert!(valid("extract", &done(&net))["macs"].as_u64() <= Some(1_000_000));
    done(&["compile", &subnet, "--data", &data, "--table", &table, "--out", &model]);
    let report = valid("compile", &std::fs::read_to_string(format!("{model}/report.json")).expect("compile wrote it"));
    let accuracy = &report["accuracy"];
    assert!(accuracy["float"].as_f64() > Some(0.9) && accuracy["int8"].as_f64() > Some(0.9), "{accuracy}");

    let sram = report["sram_bytes"].as_u64().expect("a number");
    let small = board_with_sram(sram - 1);
    let too_large = [model.as_str(), "-too-large"].concat();
    let mut compile = command(&["compile", &subnet, "--data", &data, "--board", "small", "--out", &too_large]);
    compile.env("OFA_ROOT", small.path());
    let refused = ran(compile);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let line = format!("error: the net misses small's SRAM by 1 bytes ({sram} of {})\n", sram - 1);
    assert_eq!((refused.stdout.as_str(), refused.stderr), ("", line));
    assert!(!std::path::Path::new(&too_large).exists());

    let run = ["run", "--board", board, &model, "--data", &data, "--images", "200", "--table", &table, "--json"];
    let ran = valid("run", &done(&run));
    assert_eq!(ran["logits_equal_host"], true, "{ran}");
    assert_eq!(ran["images"], 200);
    assert!(ran["accuracy_device"].as_f64() > Some(0.9), "{ran}");
    // A net of 57,000 instructions: what begins and ends a layer weighs more than in nets that one would ship.
    within("latency", &ran["latency"]["predicted"], &ran["latency"]["measured"], 0.1, 0.0);
    within("sram", &ran["sram_bytes"]["predicted"], &ran["sram_bytes"]["linked"], 0.05, 1024.0);
    within("flash", &ran["flash_bytes"]["predicted"], &ran["flash_bytes"]["linked"], 0.05, 1024.0);
    let golden = valid("run", &done(&["run", "--board", board, &model, "--json"]));
    assert_eq!((&golden["images"], &golden["logits_equal_host"]), (&4.into(), &true.into()), "{golden}");
    let bench = valid("bench-net", &done(&["bench", "net", &model, "--board", board, "--json"]));
    assert_eq!((&bench["exact"], &bench["unit"]), (&true.into(), &"instructions".into()), "{bench}");
}

#[test]
fn the_demo_in_small() {
    if !has_qemu("the_demo_in_small") {
        return;
    }
    let data = Fixture::get().text("data");
    let (space, recipe) = (tiny("space.toml"), tiny("recipe.toml"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("a plain name");
    let arguments = [
        "demo",
        "--space",
        &space,
        "--recipe",
        &recipe,
        "--data",
        &data,
        "--samples",
        "20",
        "--images",
        "50",
        "--out",
        out,
        "--json",
    ];
    let demo = ran(command(&arguments));
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    assert!(demo.stderr.contains("every checksum equals the host's"), "{}", demo.stderr);
    let summary = json(&std::fs::read_to_string(folder.path().join("summary.json")).expect("the demo wrote it"));
    assert_eq!(valid("demo", &demo.stdout), summary);
    for key in ["train", "predictor", "measure", "search", "extract", "compile", "run"] {
        assert!(summary["seconds"][key].as_f64() > Some(0.0), "seconds.{key}: {summary}");
    }
    for key in ["float", "int8_host", "int8_device", "predicted"] {
        assert!(summary["accuracy"][key].as_f64() > Some(0.8), "accuracy.{key}: {summary}");
    }
    assert_eq!(summary["space"], "tiny");
    assert_eq!(summary["device"]["board"], "mps2-an386");
    assert_eq!(summary["device"]["images"], 50);
    assert_eq!(summary["device"]["logits_equal_host"], true);
    assert_eq!(summary["latency"]["unit"], "instructions");
    assert_eq!(summary["table"]["checksums_ok"], true);
    assert!(summary["latency"]["measured"].as_f64() <= summary["latency"]["limit"].as_f64(), "{summary}");
    report::check(folder.path());
}

#[test]
fn the_demo_on_photographs_in_small() {
    if !has_qemu("the_demo_on_photographs_in_small") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [data, out] = ["data", "out"].map(|name| folder.path().join(name));
    write_photographs(&data, 120);
    let recipe = std::fs::read_to_string(tiny("recipe.toml")).expect("it is in the repository");
    let varied = format!("augment = {{ crop = 0.7, flip = true, brightness = 0.2, erase = 0.1 }}\n{recipe}");
    std::fs::write(folder.path().join("recipe.toml"), varied).expect("the folder is ours");
    let path = |path: &std::path::Path| path.to_str().expect("a plain name").to_string();
    let (data, recipe) = (path(&data), path(&folder.path().join("recipe.toml")));
    let space = tiny("photographs.toml");
    let common = ["--data", &data, "--seed", "2", "--out"];
    let demo = ["demo", "--space", &space, "--recipe", &recipe, "--samples", "20", "--images", "40"];
    let printed = done(&[&demo[..], &common, &[&path(&out)]].concat());
    assert!(printed.contains("space photographs with 3 classes"), "{printed}");
    let summary = json(&std::fs::read_to_string(out.join("summary.json")).expect("the demo wrote it"));
    for key in ["float", "int8_host", "int8_device"] {
        assert!(summary["accuracy"][key].as_f64() > Some(0.8), "accuracy.{key}: {summary}");
    }
    assert_eq!(summary["device"]["logits_equal_host"], true);

    // Any step alone, on what the demo left; on the images that it was made for.
    let [supernet, arch, subnet] =
        ["supernet.safetensors", "arch.json", "subnet.onnx"].map(|name| path(&out.join(name)));
    let again = path(&folder.path().join("again.onnx"));
    done(&["extract", &supernet, "--arch", &arch, "--data", &data, "--out", &again]);
    let bytes = |path: &str| std::fs::read(path).expect("it was written");
    assert!(bytes(&subnet) == bytes(&again), "the same images, the same normalisation, the same net");
    std::fs::rename(folder.path().join("data/red"), folder.path().join("data/yellow")).expect("the folder is ours");
    let other = ofa(&["extract", &supernet, "--arch", &arch, "--data", &data, "--out", &again]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("learned the classes blue, green, red"), "{}", other.stderr);
}

/// A folder like the repository, with a board that has so much memory for variables.
fn board_with_sram(bytes: u64) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("boards/small");
    std::fs::create_dir_all(&folder).expect("the folder is ours");
    let text = format!(
        r#"name = "small"
core = "Cortex-M4F"
target = "thumbv7em-none-eabihf"
clock_hz = 1
unit = "instructions"
flash_bytes = 1_000_000
ram_bytes = {bytes}
tested = "never"

[link]
kind = "qemu"
program = "none"
package = "none"
arguments = []
"#
    );
    std::fs::write(folder.join("board.toml"), text).expect("the folder is ours");
    root
}

fn within(what: &str, predicted: &Value, measured: &Value, share: f64, bytes: f64) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{what} is {value}"));
    let (predicted, measured) = (number(predicted), number(measured));
    assert!((predicted - measured).abs() <= measured * share + bytes, "{what}: {predicted} against {measured}");
}
