//! Bad input: one line on stderr that says what to do, exit code 2, nothing written.

use std::path::Path;

use crate::fixture::{Fixture, Ran, command, ofa, ran, tiny, write_photographs};

/// Runs `ofa` on something wrong: exit code 2, and one line that holds each of `parts`.
fn refused(arguments: &[&str], parts: &[&str]) {
    expect_refusal(ofa(arguments), arguments, parts);
}

fn expect_refusal(Ran { code, stdout, stderr }: Ran, arguments: &[&str], parts: &[&str]) {
    assert_eq!(code, Some(2), "ofa {arguments:?}\n{stdout}\n{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "one line: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

/// A file with this content in a folder of its own.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("the folder is ours");
    let path = path.to_str().expect("temporary folders have plain names").to_string();
    (folder, path)
}

#[test]
fn a_missing_dataset() {
    refused(&["train", "--data", "/nowhere"], &["no dataset", "/nowhere is no folder", "--data"]);
}

#[test]
fn a_damaged_dataset() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = std::fs::read(Fixture::get().path("data/train-images-idx3-ubyte")).expect("the fixture has it");
    std::fs::write(folder.path().join("train-images-idx3-ubyte"), &good[..good.len() / 2]).expect("ours");
    let data = folder.path().to_str().expect("a plain name");
    refused(&["train", "--data", data], &["train-images-idx3-ubyte is damaged", "promises"]);
    std::fs::remove_file(folder.path().join("train-images-idx3-ubyte")).expect("ours");
    std::fs::write(folder.path().join("train-images-idx3-ubyte.gz"), b"\x1f\x8b no gzip").expect("ours");
    refused(&["train", "--data", data], &["train-images-idx3-ubyte.gz is damaged"]);
}

/// Photographs, three splits of them.
fn photographs() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for split in ["train", "validation", "test"] {
        write_photographs(&folder.path().join(split), 20);
    }
    let data = folder.path().to_str().expect("temporary folders have plain names").to_string();
    (folder, data)
}

#[test]
fn photographs_that_cannot_be_learned_from() {
    let (folder, data) = photographs();
    let train = ["train", "--data", &data, "--space", &tiny("photographs.toml"), "--recipe", &tiny("recipe.toml")];
    refused(&train, &["3 classes", "photographs has 10", "--space NAME:3"]);
    refused(&["train", "--data", &data, "--space", "fashion"], &["classes"]);
    refused(&["train", "--data", &data, "--space", "mcu:1"], &["mcu:1"]);

    std::fs::remove_dir_all(folder.path().join("validation/green")).expect("ours");
    refused(&train, &["validation lacks the class green"]);
    std::fs::remove_dir_all(folder.path().join("validation")).expect("ours");
    std::fs::remove_dir_all(folder.path().join("train/blue")).expect("ours");
    refused(&train, &["test has the class blue, which train lacks"]);
    std::fs::remove_dir_all(folder.path().join("train/green")).expect("ours");
    refused(&train, &["one class alone"]);
    std::fs::remove_dir_all(folder.path().join("train/red")).expect("ours");
    refused(&train, &["train holds no folders of images"]);
    std::fs::create_dir(folder.path().join("train/red")).expect("ours");
    refused(&train, &["red holds no images"]);
    std::fs::remove_dir_all(folder.path().join("train")).expect("ours");
    std::fs::remove_dir_all(folder.path().join("test")).expect("ours");
    refused(&train, &["no dataset", "CLASS/*.jpg"]);
}

#[test]
fn photographs_of_which_many_are_damaged() {
    let (folder, data) = photographs();
    let train = ["train", "--data", &data, "--space", &tiny("photographs.toml"), "--recipe", &tiny("recipe.toml")];
    for i in (0..20).step_by(4) {
        let path = folder.path().join(format!("train/red/{i}.jpg"));
        let bytes = std::fs::read(&path).expect("it is there");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("ours");
    }
    refused(&train, &["5 of 180 files cannot be decoded", "train/red/", ".jpg"]);
}

#[test]
fn a_dataset_of_another_space() {
    let data = Fixture::get().text("data");
    refused(&["train", "--data", &data, "--space", "fashion"], &["2 classes", "fashion has 10"]);
}

#[test]
fn a_space_with_an_empty_choice_or_a_kernel_of_4() {
    let good = std::fs::read_to_string(tiny("space.toml")).expect("it is in the repository");
    let (_folder, path) = file("space.toml", good.replace("kernel = [3, 5]", "kernel = []").as_bytes());
    refused(&["space", "show", &path], &["space.toml:19: stages[0].kernel: there must be at least one choice"]);
    let (_folder, path) = file("space.toml", good.replace("kernel = [3, 5]", "kernel = [3, 4]").as_bytes());
    refused(&["train", "--space", &path], &["space.toml:19: stages[0].kernel: kernel 4 is not an odd number"]);
    refused(&["space", "show", "fation"], &["there is no space fation", "fashion, mcu, mobilenetv3"]);
}

#[test]
fn a_recipe_that_does_not_fit() {
    let good = std::fs::read_to_string(tiny("recipe.toml")).expect("it is in the repository");
    let data = Fixture::get().text("data");
    let (_folder, path) = file("recipe.toml", good.replace("depth = 2", "depth = 3").as_bytes());
    let space = tiny("space.toml");
    refused(&["train", "--space", &space, "--data", &data, "--recipe", &path], &["opens 3 depths", "tiny has 2"]);
    let (_folder, path) = file("recipe.toml", good.replace("steps = 60", "steps = -1").as_bytes());
    refused(&["train", "--recipe", &path], &["recipe.toml:8: phases[0].steps"]);
}

#[test]
fn a_device_that_is_not_there() {
    refused(&["train", "--device", "cuda:7"], &["there is no device cuda:7"]);
    refused(&["train", "--device", "tpu"], &["no device is called tpu"]);
}

#[test]
fn a_truncated_supernet() {
    let good = std::fs::read(Fixture::get().path("supernet.safetensors")).expect("the fixture has it");
    for length in [0, 7, 300, good.len() - 1] {
        let (_folder, path) = file("supernet.safetensors", &good[..length]);
        refused(&["predictor", &path], &["supernet.safetensors is damaged", "ofa train"]);
    }
    refused(&["extract", "/nowhere.safetensors"], &["/nowhere.safetensors", "ofa train"]);
}

#[test]
fn nets_that_cannot_be_judged() {
    let [supernet, data] = ["supernet.safetensors", "data"].map(|name| Fixture::get().text(name));
    refused(&["evaluate", &supernet, "--data", &data, "--random", "0"], &["--random 0"]);
    refused(&["evaluate", &supernet, "--data", &data, "--arch", "/nowhere.json"], &["/nowhere.json", "ofa search"]);
    refused(&["evaluate", "/nowhere.safetensors"], &["/nowhere.safetensors", "ofa train"]);
    refused(&["study", "predictor", &supernet, "--data", &data, "--chosen", "0"], &["--chosen 0"]);
    refused(&["predictor", &supernet, "--data", &data, "--images", "0"], &["no validation images"]);
    let out = "/proc/nothing/predictor.onnx";
    refused(&["predictor", &supernet, "--data", &data, "--out", out], &["cannot write", out]);
}

#[test]
fn a_damaged_journal() {
    let [supernet, data] = ["supernet.safetensors", "data"].map(|name| Fixture::get().text(name));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("predictor.onnx");
    let arguments = ["predictor", &supernet, "--data", &data, "--samples", "10", "--out", out.to_str().expect("plain")];
    assert_eq!(ofa(&arguments).code, Some(0));
    let mut files = std::fs::read_dir(folder.path()).expect("ours").map(|entry| entry.expect("ours").path());
    let journal = files.find(|path| path.extension().is_some_and(|extension| extension == "journal"));
    let journal = journal.expect("ofa wrote it");
    let text = std::fs::read_to_string(&journal).expect("ofa wrote it");
    std::fs::write(&journal, text.replacen("kernel", "colonel", 1)).expect("ours");
    std::fs::remove_file(&out).expect("ofa wrote it");
    refused(&arguments, &[".journal is damaged", "remove it", "line 2", "checksum"]);
    assert!(!out.exists());
}

#[test]
fn a_table_is_not_written_over_by_that_of_another_space() {
    let space = std::fs::read_to_string(tiny("space.toml")).expect("it is in the repository");
    let (folder, other) = file("space.toml", space.replace("width = 8", "width = 16").as_bytes());
    let out = folder.path().join("host.json");
    let measure = |space: &str| {
        let out = out.to_str().expect("temporary folders have plain names");
        ["measure", "--board", "host", "--space", space, "--out", out].map(String::from)
    };
    let [first, second] = [tiny("space.toml"), other].map(|space| measure(&space));
    let [first, second] = [&first, &second].map(|arguments| arguments.each_ref().map(String::as_str));
    assert_eq!(ofa(&first).code, Some(0));
    let table = std::fs::read(&out).expect("ofa wrote it");
    refused(&second, &["host.json", "another space", "--out"]);
    assert!(std::fs::read(&out).expect("ofa wrote it") == table);
    assert_eq!(ofa(&first).code, Some(0), "its own is measured anew");
}

#[test]
fn a_truncated_onnx() {
    let good = std::fs::read(Fixture::get().path("predictor.onnx")).expect("the fixture has it");
    let (_folder, path) = file("predictor.onnx", &good[..good.len() / 2]);
    refused(&["search", "--space", &tiny("space.toml"), "--predictor", &path], &["predictor.onnx"]);
    refused(&["compile", &path], &["predictor.onnx"]);
}

#[test]
fn a_predictor_of_another_space() {
    let predictor = Fixture::get().text("predictor.onnx");
    refused(&["search", "--space", "fashion", "--predictor", &predictor], &["was made for space", "ofa predictor"]);
}

#[test]
fn an_unknown_board() {
    refused(&["measure", "--board", "toaster"], &["toaster", "mps2-an386"]);
}

#[test]
fn a_limit_of_zero_or_of_nothing() {
    let predictor = Fixture::get().text("predictor.onnx");
    let space = tiny("space.toml");
    for limit in ["sram=0", "sram=", "sram=64q", "beauty=3", "latency"] {
        refused(&["search", "--space", &space, "--predictor", &predictor, "--limit", limit], &[limit]);
    }
}

#[test]
fn a_machine_without_the_emulator() {
    let arguments = ["measure", "--board", "mps2-an386", "--space", &tiny("space.toml")];
    let mut command = command(&arguments);
    command.env("PATH", "/nowhere");
    expect_refusal(ran(command), &arguments, &["qemu-system-arm"]);
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let data = Fixture::get().text("data");
    let (space, recipe) = (tiny("space.toml"), tiny("recipe.toml"));
    let out = "/proc/nothing/supernet.safetensors";
    refused(&["train", "--space", &space, "--recipe", &recipe, "--data", &data, "--out", out], &["cannot write", out]);
    assert!(!Path::new(out).exists());
}
