//! Boards that no host emulates: what can be known of them without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trainer::board::root;

use super::*;
use crate::schema::valid;

/// What a firmware takes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Sizes {
    probe_flash: usize,
    probe_ram: usize,
    runner_flash: usize,
    runner_ram: usize,
}

/// The compiler names functions by the folder that they are built in, and orders and inlines them by name.
const FLASH_OF_A_FOLDER: usize = 128;

impl Sizes {
    /// To the byte in RAM, and in flash but for what another folder makes of it.
    fn is_like(&self, other: &Self) -> bool {
        let flash = |a: usize, b: usize| a.abs_diff(b) <= FLASH_OF_A_FOLDER;
        (self.probe_ram, self.runner_ram) == (other.probe_ram, other.runner_ram)
            && flash(self.probe_flash, other.probe_flash)
            && flash(self.runner_flash, other.runner_flash)
    }
}

/// They build, they fit, and their firmware takes what `boards/sizes.toml` says. `OFA_BLESS=1` writes that file.
#[test]
fn real_boards_build_and_take_the_memory_that_is_known() {
    let space = fashion();
    let net = any_net(&space, &space.smallest(), &small_net());
    let mut sizes = BTreeMap::new();
    for board in Board::names().unwrap().iter().map(|name| Board::load(name).unwrap()) {
        if board.is_emulated() {
            continue;
        }
        assert_eq!(board.unit, "cycles", "{}", board.name);
        assert!(board.tested.contains("not run on hardware"), "{}: {}", board.name, board.tested);
        let [probe, runner] =
            [Binary::Probe, Binary::Runner(&net)].map(|binary| firmware::build(&board, binary).unwrap().size);
        for size in [probe, runner] {
            assert!(size.flash_bytes < board.flash_bytes as usize, "{}: {size:?}", board.name);
            // With a stack.
            assert!(size.sram_bytes + 8192 < board.ram_bytes as usize, "{}: {size:?}", board.name);
        }
        let own = Sizes {
            probe_flash: probe.flash_bytes,
            probe_ram: probe.sram_bytes,
            runner_flash: runner.flash_bytes,
            runner_ram: runner.sram_bytes,
        };
        sizes.insert(board.name, own);
    }
    let path = root().join("boards/sizes.toml");
    let text = format!(
        "# Bytes of the firmware of the real boards, the runner with a net of five layers. Written by:\n\
         # OFA_BLESS=1 cargo test -p trainer --test boards real_boards\n\n{}",
        toml::to_string(&sizes).unwrap()
    );
    if std::env::var_os("OFA_BLESS").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let known: BTreeMap<String, Sizes> = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(known.keys().eq(sizes.keys()), "OFA_BLESS=1 writes {}", path.display());
    for (board, own) in &sizes {
        let known = &known[board];
        assert!(known.is_like(own), "{board}: {own:?}, {known:?} is known; OFA_BLESS=1 writes {}", path.display());
    }
}

#[test]
fn a_real_board_without_a_probe_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.json");
    let table = table.to_str().unwrap();
    // One that is not attached, whatever is.
    let line = match cfg!(feature = "probe-rs") {
        true => "no debug probe no-such-serial is attached",
        false => "nrf52840-dk is reached through a debug probe, which this ofa was built without",
    };
    let [measure, link] = [["measure", "--board", "nrf52840-dk"], ["--link", "rtt:no-such-serial", "--out"]];
    fails(&[&measure[..], &link, &[table]].concat(), &[line]);
    assert!(!Path::new(table).exists());
    let lab = folder.path().join("lab.toml");
    let text = "[[boards]]\nname = \"one\"\nboard = \"nrf52840-dk\"\nlink = \"rtt:no-such-serial\"\n";
    fs::write(&lab, format!("out = {:?}\n{text}", folder.path())).unwrap();
    fails(&["lab", "run", "--lab", lab.to_str().unwrap()], &[line]);
    // An emulated board has no such link.
    fails(&["measure", "--board", BOARD, "--link", "rtt:1", "--out", table], &["kind = \"rtt\""]);
}

#[test]
fn the_list_names_every_board() {
    let output = ofa(&["board", "list", "--json"]);
    let boards: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = boards.iter().map(|board| board["name"].as_str().unwrap()).collect();
    assert_eq!(names, Board::names().unwrap());
    let text = String::from_utf8(ofa(&["board", "list"]).stdout).unwrap();
    for board in &boards {
        assert!(text.contains(board["tested"].as_str().unwrap()), "{text}");
    }
    // So does the table for people.
    let readme = fs::read_to_string(root().join("boards/README.md")).unwrap();
    for name in names {
        assert!(readme.contains(&format!("[`{name}`]({name})")), "{name} is not in boards/README.md");
    }
}

/// In a copy of the sources: a new board builds at once, runs where its model is an emulated one, and says its own name.
#[test]
fn a_new_board_builds_at_once() {
    need_qemu!();
    let copy = tempfile::tempdir().unwrap();
    for part in ["Cargo.toml", "Cargo.lock", "boards", "runtime", "latency-probe", "trainer", "tests"] {
        copy_all(&root().join(part), &copy.path().join(part));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
    let ofa = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ofa"));
        command.args(arguments).env("OFA_ROOT", copy.path()).env("CARGO_TARGET_DIR", &target);
        command.output().unwrap()
    };
    let output = ofa(&["board", "new", "my-board", "--from", BOARD, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let begun = valid("board-new", std::str::from_utf8(&output.stdout).unwrap());
    assert!(begun["folder"].as_str().unwrap().ends_with("my-board"), "{begun}");
    let list = String::from_utf8(ofa(&["board", "list"]).stdout).unwrap();
    assert!(list.contains("my-board") && list.contains("begun as a copy of mps2-an386"), "{list}");

    let (layers, table) = (copy.path().join("layers.json"), copy.path().join("table.json"));
    fs::write(&layers, serde_json::to_string(&small_net()).unwrap()).unwrap();
    let [layers, table] = [&layers, &table].map(|path| path.to_str().unwrap());
    let output = ofa(&["measure", "--board", "my-board", "--layers", layers, "--out", table]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(LatencyTable::open(Path::new(table)).unwrap().provenance.board, "my-board");

    let refused = |arguments: &[&str], part: &str| {
        let output = ofa(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    };
    refused(&["board", "new", "my-board", "--from", BOARD], "my-board is there already");
    refused(&["board", "new", "My Board", "--from", BOARD], "My Board is no name for a board");
    refused(&["board", "new", "other", "--from", "nothing"], "there is no board nothing; there are: ");
}

fn copy_all(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_name() != "target" {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    }
}
