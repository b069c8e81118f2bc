//! `ofa search` and `ofa compile` as a user meets them, on files made without training.

mod schema;

use std::path::PathBuf;
use std::process::{Command, Output};

use runtime::{Activation, Layer};
use serde_json::Value;
use tempfile::TempDir;
use trainer::compile::Golden;
use trainer::files::{self, Header};
use trainer::model::Compiled;
use trainer::predictor::{self, Dense, features, write_mlp};
use trainer::search::{Choice, Front};
use trainer::space::Space;
use trainer::subnet::Subnet;
use trainer::table::{self, Entry, FirmwareCost, LatencyTable, Opening, Provenance};

use schema::valid;

const SPACE: &str = include_str!("../src/search/toy.toml");

/// A folder with everything that the two steps read.
struct Lab {
    folder: TempDir,
    space: Space,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap(), space: Space::parse(SPACE, "toy").unwrap() };
        std::fs::write(lab.path("toy.toml"), SPACE).unwrap();
        let inputs = features(&lab.space, &lab.space.smallest()).len();
        let weights = (0..inputs).map(|i| 0.01 * (i % 4) as f32).collect();
        let layers = [Dense { inputs, weights, bias: vec![0.5] }];
        let header = Header::new(predictor::FORMAT, &lab.space.hash(), 1);
        files::write(&lab.path("predictor.onnx"), &write_mlp(&layers, &header, &[])).unwrap();
        lab.table(|_| true, "instructions").save(&lab.path("table.json")).unwrap();
        Subnet::random(&lab.space, &lab.space.largest(), 1).save(&lab.path("subnet.onnx")).unwrap();
        lab.dataset(4);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn table(&self, has: impl Fn(&Layer) -> bool, unit: &str) -> LatencyTable {
        let text = String::from;
        LatencyTable {
            header: Header::new(table::FORMAT, &self.space.hash(), 0),
            provenance: Provenance {
                command: text("ofa measure --board made-up --space toy.toml"),
                board: text("made-up"),
                core: text("none"),
                clock_hz: 1,
                unit: text(unit),
                flash_bytes: 1 << 20,
                ram_bytes: 1 << 16,
                link: text("none"),
                probe: text("0"),
                sources: text("0"),
                runtime: text(latency_probe::VERSION),
                ofa: text("0"),
                date: text("2000-01-01"),
            },
            firmware: Some(FirmwareCost { code_bytes: 5000, static_bytes: 100 }),
            sentinel: None,
            layers: self
                .space
                .distinct_layers()
                .into_iter()
                .filter(has)
                .map(|layer| Entry::measured(layer, &[100 + layer.macs() as u32], 0))
                .collect(),
            openings: vec![],
        }
    }

    /// Images of one grey, a class for each of `classes` greys.
    fn dataset(&self, classes: u8) {
        for (set, count) in [("train", 60_u8), ("t10k", 20)] {
            let labels: Vec<u8> = (0..count).map(|i| i % classes).collect();
            let pixels = labels.iter().flat_map(|label| [*label * 50 + 20; 16 * 16]).collect();
            let idx = |dimensions: &[u8], values: Vec<u8>| {
                let lengths = dimensions.iter().flat_map(|&length| [0, 0, 0, length]);
                [0, 0, 8, dimensions.len() as u8].into_iter().chain(lengths).chain(values).collect::<Vec<u8>>()
            };
            std::fs::write(self.path(&format!("{set}-images-idx3-ubyte")), idx(&[count, 16, 16], pixels)).unwrap();
            std::fs::write(self.path(&format!("{set}-labels-idx1-ubyte")), idx(&[count], labels)).unwrap();
        }
    }

    /// Exit code, stdout and stderr of `ofa`, run in the folder.
    fn ofa(&self, arguments: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ofa"));
        command.args(arguments.split(' ')).current_dir(self.folder.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    fn done(&self, arguments: &str) -> String {
        let (code, stdout, stderr) = self.ofa(arguments);
        assert_eq!(code, Some(0), "ofa {arguments}: {stderr}");
        stdout
    }

    /// Exit code 2 and one line, which holds this.
    fn refused(&self, arguments: &str, parts: &[&str]) {
        let (code, stdout, stderr) = self.ofa(arguments);
        assert_eq!(code, Some(2), "ofa {arguments}: {stdout}{stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{part:?} is not in {stderr}");
        }
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

const SEARCH: &str = "search --space toy.toml --predictor predictor.onnx";

#[test]
fn a_search_writes_the_net_and_the_front() {
    let lab = Lab::new();
    let limits = "--table table.json --limit latency=150k --limit sram=4k --limit flash=20k --seed 3";
    let printed = lab.done(&format!("{SEARCH} {limits} --out found"));
    assert!(printed.contains("accuracy") && printed.contains("instructions"), "{printed}");
    let choice = Choice::load(&lab.path("found/arch.json"), &lab.space).unwrap();
    let latency = choice.latency.as_ref().unwrap();
    assert_eq!((latency.unit.as_str(), latency.limit), ("instructions", Some(150_000)));
    assert!(latency.predicted <= 150_000 && choice.sram_bytes <= 4096 && choice.flash_bytes <= 20_480, "{choice:?}");
    let layers = lab.space.layers(&choice.arch);
    assert_eq!(choice.flash_bytes, trainer::model::flash_bytes(&layers) as u64 + 5000);
    assert_eq!(latency.predicted, layers.iter().map(|layer| 100 + layer.macs()).sum::<u64>());
    let front: Front = files::read_json(&lab.path("found/front.json"), "").unwrap();
    assert!(front.nets.len() > 2);
    assert!(front.nets.iter().any(|net| net.arch == choice.arch), "the choice is on the front");

    let again = lab.done(&format!("{SEARCH} {limits} --out again --json"));
    assert_eq!(valid("search", &again), lab.json("found/arch.json"));
    for file in ["arch.json", "front.json"] {
        assert!(
            std::fs::read(lab.path("found").join(file)).unwrap()
                == std::fs::read(lab.path("again").join(file)).unwrap()
        );
    }
}

#[test]
fn nothing_that_fits_is_exit_code_1_and_writes_nothing() {
    let lab = Lab::new();
    let arguments = format!("{SEARCH} --table table.json --limit latency=1k --limit flash=1M --out found");
    let (code, stdout, stderr) = lab.ofa(&arguments);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    for part in ["latency=1000 alone excludes 100.0 %", "flash=1048576 alone excludes 0.0 %", "nearest", "it fits with"]
    {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
    assert!(!lab.path("found/arch.json").exists());
    let (code, stdout, _) = lab.ofa(&format!("{arguments} --json"));
    let said = valid("search-infeasible", &stdout);
    assert_eq!((code, &said["boards"][0]["excluded"][0]["limit"]), (Some(1), &Value::from("latency")));
    assert!(said["nearest"][0]["latency"].as_u64() > Some(1000), "{said}");
}

#[test]
fn bad_limits_and_tables_are_refused() {
    let lab = Lab::new();
    let with_table = format!("{SEARCH} --table table.json");
    lab.refused(&format!("{with_table} --limit sram=0"), &["--limit sram=0", "at least 1"]);
    lab.refused(&format!("{with_table} --limit latancy=5k"), &["no latancy to limit (did you mean latency?)"]);
    lab.refused("search --space fashoin", &["no space fashoin (did you mean fashion?)", "fashion, mcu"]);
    lab.refused(&format!("{with_table} --limit latency=5ms"), &["latency=5ms", "instructions", "k, M"]);
    lab.table(|_| true, "nanoseconds").save(&lab.path("time.json")).unwrap();
    lab.done(&format!("{SEARCH} --table time.json --limit latency=5ms"));
    lab.refused(&format!("{SEARCH} --limit latency=5k"), &["latency=5k", "--table", "ofa measure"]);
    lab.table(|layer| !matches!(layer, Layer::Pool(_)), "ns").save(&lab.path("holes.json")).unwrap();
    let measure = "run: ofa measure --board made-up --space toy.toml";
    lab.refused(&format!("{SEARCH} --table holes.json"), &["lacks pool", measure]);
    let other = SPACE.replace("resolutions = [16, 20]", "resolutions = [16, 24]");
    std::fs::write(lab.path("other.toml"), other).unwrap();
    let other = "search --space other.toml --predictor predictor.onnx";
    lab.refused(&format!("{other} --table table.json"), &["made for space", "ofa measure --board made-up"]);
    lab.refused(other, &["predictor.onnx was made for space", "ofa predictor"]);
    lab.refused(&format!("{SEARCH} --out /proc/nowhere"), &["cannot write /proc/nowhere"]);
}

#[test]
fn a_search_explains_fronts_and_takes_several_boards() {
    let lab = Lab::new();
    let mut other = lab.table(|_| true, "ns");
    other.provenance.board = "other".into();
    other.save(&lab.path("other.json")).unwrap();
    let table = "--table table.json --limit latency=150k";
    let said = valid("search", &lab.done(&format!("{SEARCH} {table} --explain --json")));
    let parts = said["explanation"]["parts"].as_array().unwrap();
    let ticks: u64 = parts.iter().map(|part| part["latency"].as_u64().unwrap()).sum();
    assert_eq!(Some(ticks), said["latency"]["predicted"].as_u64());
    assert_eq!(said["explanation"]["limits"][0]["limit"], "latency");
    assert!(lab.done(&format!("{SEARCH} {table} --explain")).contains(" bind"));

    let front = valid("search-front", &lab.done(&format!("{SEARCH} --table table.json --front --json")));
    let front: Front = serde_json::from_value(front).unwrap();
    assert!(front == files::read_json(&lab.path("front.json"), "").unwrap() && front.nets.len() > 3);

    let two = "--table table.json --table other.json --limit latency@made-up=150k --limit latency@other=0.2ms";
    let one = valid("search", &lab.done(&format!("{SEARCH} {two} --json")));
    assert!(one["latency"]["predicted"].as_u64() <= Some(150_000));
    let second = &one["others"][0];
    assert!(second["board"] == "other" && second["latency"]["predicted"].as_u64() <= Some(200_000), "{one}");
    let each = valid("search-boards", &lab.done(&format!("{SEARCH} {two} --all-boards --json")));
    assert_eq!((&each[1]["board"], &each[1]["found"]["latency"]["limit"]), (&"other".into(), &200_000.into()));
    assert!(each[1]["found"]["accuracy"].as_f64() >= one["accuracy"].as_f64());
    for board in ["made-up", "other"] {
        Choice::load(&lab.path(board).join("arch.json"), &lab.space).unwrap();
    }
    let fronts = valid("search-boards", &lab.done(&format!("{SEARCH} {two} --all-boards --front --json")));
    for (i, board) in ["made-up", "other"].into_iter().enumerate() {
        assert_eq!(fronts[i]["found"], lab.json(&format!("{board}/front.json")), "the front of {board}");
    }
    assert_eq!(fronts.as_array().map(Vec::len), Some(2));
    lab.refused(&format!("{SEARCH} {two} --front"), &["give one --table, or --all-boards"]);
    let (code, _, stderr) = lab.ofa(&format!("{SEARCH} {two} --all-boards --limit sram=4"));
    assert!(code == Some(1) && stderr.contains("made-up: no net fits"), "{stderr}");
    assert!(stderr.contains("other: no net fits"), "{stderr}");
    let too_fast = "--table table.json --table other.json --limit latency@other=1us --all-boards --json";
    let (code, stdout, _) = lab.ofa(&format!("{SEARCH} {too_fast}"));
    let said = valid("search-boards", &stdout);
    assert_eq!((code, &said[0]["board"], &said[1]["board"]), (Some(1), &"made-up".into(), &"other".into()), "{stdout}");
    assert!(said[0]["found"].is_object() && said[1]["infeasible"].is_object(), "{said}");
    lab.refused(&format!("{SEARCH} {table} --limit latency@nowhere=3"), &["no table of a board nowhere"]);
    lab.refused(&format!("{SEARCH} --table table.json --table table.json"), &["second table of the board made-up"]);
    lab.refused(&format!("{SEARCH} --objective latency"), &["--at-least"]);
    let fast = lab.done(&format!("{SEARCH} --table table.json --objective latency --at-least 50 --maximise lower"));
    assert!(fast.contains("latency"), "{fast}");
}

#[test]
fn a_search_is_timed() {
    let lab = Lab::new();
    let bench = "bench search --space toy.toml --predictor predictor.onnx --table table.json --evaluations 40 --json";
    let alone = valid("bench-search", &lab.done(bench));
    assert!(alone["evaluations"].as_u64() > Some(1) && alone["original"].is_null(), "{alone}");
    let both = valid("bench-search", &lab.done(&format!("{bench} --original")));
    assert_eq!(both["original"]["accuracies"].as_array().unwrap().len(), 3, "{both}");
}

#[test]
fn what_the_original_has_is_read_or_refused() {
    let lab = Lab::new();
    std::fs::write(lab.path("bad.pth"), b"PK\x03\x04 and no more").unwrap();
    lab.refused("predictor import bad.pth", &["bad.pth", "cut off or damaged"]);
    lab.refused("predictor import nowhere.pth", &["cannot read nowhere.pth"]);
    std::fs::write(lab.path("bad.yaml"), "Conv-input:224x224x3-output:112x112x24:\n  mean: soon\n").unwrap();
    lab.refused("table import bad.yaml --out t.json", &["bad.yaml: line 2", "\"soon\" is no number"]);
    std::fs::write(lab.path("hole.yaml"), "Conv-input:224x224x3-output:112x112x24:\n  mean: 3\n").unwrap();
    lab.refused("table import hole.yaml --out t.json", &["there is no ", "images of 224 pixels"]);
    std::fs::write(lab.path("latin.yaml"), b"caf\xe9:\n  mean: 3\n").unwrap();
    lab.refused("table import latin.yaml --out t.json", &["latin.yaml is no text in UTF-8"]);
    lab.refused("table import hole.yaml --out t.json --board ../escaped", &["no file can have: \"../escaped\""]);
    // No more than what a table or a predictor may have is read.
    for (file, most) in [("large.yaml", 1 << 26), ("large.pth", 1 << 30)] {
        std::fs::File::create(lab.path(file)).unwrap().set_len(most + 1).unwrap();
    }
    lab.refused("table import large.yaml --out t.json", &["large.yaml is longer than the 67108864 bytes"]);
    lab.refused("predictor import large.pth", &["large.pth is longer than the 1073741824 bytes"]);
    lab.refused("table import /dev/zero --out t.json", &["/dev/zero is no file and no pipe"]);
    lab.refused("predictor import /dev/zero", &["/dev/zero is no file and no pipe"]);
    assert!(!lab.path("t.json").exists() && !lab.path("predictor-import.onnx").exists());
}

#[test]
fn a_space_is_suggested_for_a_board() {
    let lab = Lab::new();
    let said = lab.done("space suggest --sram 64k --flash 512k --samples 20 --json --out suggested.toml");
    let said = valid("space-suggest", &said);
    let space = Space::load(lab.path("suggested.toml").to_str().unwrap()).unwrap();
    assert_eq!(said["space"]["name"], space.name);
    assert!(std::fs::read_to_string(lab.path("suggested.svg")).unwrap().starts_with("<svg"));
    lab.done("space suggest --board microbit --samples 5 --out micro.toml");
    let (code, stdout, stderr) = lab.ofa("space suggest --sram 100 --flash 1k --samples 5 --out none.toml --json");
    assert!(code == Some(1) && stderr.contains("100 bytes of SRAM"), "{stderr}");
    assert!(valid("space-suggest", &stdout)["space"].is_null(), "{stdout}");
    assert!(!lab.path("none.toml").exists());
    lab.refused("space suggest --board microbit --keep-sram 64k", &["nothing is left"]);
}

#[test]
fn a_compilation_is_whole_and_its_files_agree() {
    let lab = Lab::new();
    let layers = lab.space.layers(&lab.space.largest());
    let mut table = lab.table(|_| true, "instructions");
    let alone = table.latency(&layers).unwrap();
    let together = table.latency(&layers[..2]).unwrap() as u32 + 37;
    table.openings = vec![Opening::measured([layers[0], layers[1]], &[together], 0)];
    table.save(&lab.path("opened.json")).unwrap();
    let printed = lab.done("compile subnet.onnx --data . --calibration 40 --table opened.json --out model");
    assert!(printed.contains("accuracy on 20 test images") && printed.contains("instructions"), "{printed}");
    let mut names: Vec<_> =
        std::fs::read_dir(lab.path("model")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["golden.json", "model.json", "model.rs", "report.json", "weights.bin"]);

    let model = Compiled::load(&lab.path("model")).unwrap();
    let golden = Golden::load(&lab.path("model"), &model).unwrap();
    assert!(!golden.images.is_empty());
    let images = golden.images(model.net().unwrap().input());
    for (i, image) in golden.images.iter().enumerate() {
        assert_eq!(model.scores(images.image(i)).unwrap(), image.scores);
    }
    let report = valid("compile", &std::fs::read_to_string(lab.path("model/report.json")).unwrap());
    let sum = |field: &str| {
        report["layers"].as_array().unwrap().iter().map(|layer| layer[field].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(report["macs"], layers.iter().map(Layer::macs).sum::<u64>());
    assert_eq!(
        (sum("macs"), sum("flash_bytes")),
        (report["macs"].as_u64().unwrap(), report["flash_bytes"].as_u64().unwrap())
    );
    assert_eq!(report["latency"]["predicted"].as_u64(), Some(alone + 37));
    assert_eq!(sum("ticks"), alone + 37, "the block's hold what the two take beyond the stem");
    assert_eq!((report["accuracy"]["images"].as_u64(), report["calibration_images"].as_u64()), (Some(20), Some(40)));
    assert_eq!(report["header"]["space"], lab.space.hash());
    for layer in report["layers"].as_array().unwrap() {
        assert!(layer["snr_db"].as_f64() > Some(15.0), "{layer}");
    }

    let first = std::fs::read(lab.path("model/model.json")).unwrap();
    valid("compile", &lab.done("compile subnet.onnx --data . --calibration 40 --out model --json"));
    assert!(first == std::fs::read(lab.path("model/model.json")).unwrap(), "the same for a seed");
}

#[test]
fn what_cannot_be_compiled_is_refused_and_leaves_nothing() {
    let lab = Lab::new();
    lab.refused("compile nowhere.onnx --data .", &["cannot read nowhere.onnx", "ofa extract"]);
    let whole = std::fs::read(lab.path("subnet.onnx")).unwrap();
    std::fs::write(lab.path("half.onnx"), &whole[..whole.len() / 2]).unwrap();
    lab.refused("compile half.onnx --data . --out model", &["half.onnx is no subnet", "cut off", "ofa extract"]);
    lab.refused("compile predictor.onnx --data . --out model", &["ofa-predictor version 1, not ofa-subnet"]);
    lab.refused("compile subnet.onnx --data . --calibration 0 --out model", &["--calibration 0"]);
    lab.refused("compile subnet.onnx --data nowhere --out model", &["no dataset", "--data"]);
    lab.refused("compile subnet.onnx --data . --out /proc/nowhere", &["cannot write /proc/nowhere"]);
    lab.table(|layer| !matches!(layer, Layer::Pool(_)), "ns").save(&lab.path("holes.json")).unwrap();
    lab.refused("compile subnet.onnx --data . --table holes.json --out model", &["lacks pool", "ofa measure"]);
    lab.dataset(3);
    lab.refused("compile subnet.onnx --data . --out model", &["4 classes, the dataset has 1 and 3"]);
    assert!(!lab.path("model/report.json").exists() && !lab.path("model/weights.bin").exists());
}

#[test]
fn a_net_of_h_swish_and_squeeze_and_excite_is_close_to_float() {
    let lab = Lab::new();
    let mut space = lab.space.clone();
    for stage in &mut space.stages.0 {
        (stage.activation, stage.squeeze) = (Activation::HSwish, true);
    }
    Subnet::random(&space, &space.largest(), 1).save(&lab.path("swish.onnx")).unwrap();
    lab.done("compile swish.onnx --data . --calibration 40 --out model");
    for layer in lab.json("model/report.json")["layers"].as_array().unwrap() {
        assert!(layer["snr_db"].as_f64() > Some(15.0), "{layer}");
    }
}

#[test]
fn golden_images_that_are_not_the_models_are_not_run() {
    let lab = Lab::new();
    lab.done("compile subnet.onnx --data . --calibration 8 --out model");
    let golden = lab.json("model/golden.json");
    let refused = |pointer: &str, value: serde_json::Value, part: &str| {
        let mut wrong = golden.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        std::fs::write(lab.path("model/golden.json"), wrong.to_string()).unwrap();
        lab.refused("run model --board mps2-an386", &["model/golden.json", part]);
    };
    let score = golden["images"][1]["scores"][0].as_i64().unwrap();
    refused("/images/1/scores/0", (score ^ 1).into(), "image 1 is not one of this model");
    refused("/images/0/image", serde_json::json!([1, 2]), "image 0 is not one of this model");
    refused("/images/0/label", 10.into(), "image 0 is not one of this model");
    refused("/images", serde_json::json!([]), "holds no images");
    refused("/header/space", "other".into(), "made for space other");
    std::fs::remove_file(lab.path("model/golden.json")).unwrap();
    lab.refused("run model --board mps2-an386", &["model/golden.json", "ofa compile"]);
}

#[test]
fn a_write_that_fails_halfway_leaves_no_report() {
    let lab = Lab::new();
    lab.done("compile subnet.onnx --data . --calibration 8 --out model");
    // In the place of a file a folder that cannot be replaced.
    std::fs::remove_file(lab.path("model/golden.json")).unwrap();
    std::fs::create_dir(lab.path("model/golden.json")).unwrap();
    lab.refused("compile subnet.onnx --data . --calibration 9 --out model", &["cannot write model"]);
    let names = std::fs::read_dir(lab.path("model")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        names.map(|name| name.into_string().unwrap()).all(|name| name != "report.json" && !name.starts_with(".tmp"))
    );
}
