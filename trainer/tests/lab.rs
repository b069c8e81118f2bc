//! What happens to a device lab: links that garble, boards that vanish, a host that is killed. The tests with emulated
//! boards need QEMU and say aloud when it is missing.

mod schema;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use latency_probe::{FRAME, Facts, Meter, NoPin, Pool, Probe, Timer, serve};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{Activation, Layer, Linear};
use serde_json::Value;
use trainer::board::{Board, Link};
use trainer::firmware::{self, Binary};
use trainer::link::{Port, Streams};
use trainer::measure::collect::{Collection, Plan};
use trainer::measure::drive::drive;
use trainer::measure::selftest;
use trainer::space::Space;
use trainer::table::{Entry, LatencyTable, Outcome};

use schema::valid;

const BOARD: &str = "mps2-an386";

macro_rules! need_qemu {
    () => {
        let Link::Qemu { program, package, .. } = Board::load(BOARD).unwrap().link else {
            panic!("it is not emulated")
        };
        if Command::new(&program).arg("--version").output().is_err() {
            // Past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is missing; apt-get install {package}");
            return;
        }
    };
}

static POOL: Pool<{ 64 << 10 }, 1024> = {
    #[allow(long_running_const_eval)]
    Pool::new()
};

const FACTS: Facts<'_> = Facts {
    board: "bad",
    core: "none",
    unit: "instructions",
    clock_hz: 1,
    flash_bytes: 1 << 20,
    ram_bytes: 1 << 20,
    version: latency_probe::VERSION,
    firmware: "0",
};

/// How often which fault befalls a byte, of a million.
#[derive(Clone, Copy)]
struct Rates {
    dropped: u32,
    doubled: u32,
    flipped: u32,
    delayed: u32,
    /// The stream ends there, in the midst of a frame, and the board starts anew when it is opened again.
    ended: u32,
}

/// A board behind a bad link.
struct Bad {
    rates: Rates,
    seed: Mutex<u64>,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bad link")
    }
}

impl Port for Bad {
    fn open(&self) -> anyhow::Result<Streams> {
        let mut seed = self.seed.lock().unwrap();
        *seed += 2;
        let ((device_input, to_device), (from_device, device_output)) = (pipe()?, pipe()?);
        thread::spawn(move || {
            let mut link = DeviceEnd { input: device_input, output: device_output };
            let mut probe = Probe::new(vec![0; 64 << 10].leak(), POOL.weights());
            let _ = serve(&mut link, &FACTS, &mut Meter { timer: Seven, pin: NoPin }, &mut probe, &mut [0; FRAME]);
        });
        // A wire each way, so that what is read and written is garbled between the two.
        Ok(Streams {
            input: Box::new(wire(from_device, self.rates, *seed)?),
            output: Box::new(sink(to_device, self.rates, *seed + 1)?),
            child: None,
            said: None,
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(150)
    }
}

/// What comes out of `from` after the faults.
fn wire(from: PipeReader, rates: Rates, seed: u64) -> std::io::Result<PipeReader> {
    let (output, input) = pipe()?;
    thread::spawn(move || garble(from, input, rates, seed));
    Ok(output)
}

/// What goes into it reaches `to` after the faults.
fn sink(to: PipeWriter, rates: Rates, seed: u64) -> std::io::Result<PipeWriter> {
    let (output, input) = pipe()?;
    thread::spawn(move || garble(output, to, rates, seed));
    Ok(input)
}

fn garble(mut from: PipeReader, mut to: PipeWriter, rates: Rates, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut byte = [0];
    while from.read(&mut byte).is_ok_and(|read| read == 1) {
        let mut befalls = |rate: u32| rng.random_range(0..1_000_000) < rate;
        if befalls(rates.ended) {
            return;
        }
        if befalls(rates.delayed) {
            thread::sleep(Duration::from_millis(200));
        }
        if befalls(rates.dropped) {
            continue;
        }
        let copies = if befalls(rates.doubled) { 2 } else { 1 };
        if befalls(rates.flipped) {
            byte[0] ^= 1 << rng.random_range(0..8);
        }
        if to.write_all(&[byte[0]; 2][..copies]).is_err() {
            return;
        }
    }
}

struct DeviceEnd {
    input: PipeReader,
    output: PipeWriter,
}

impl embedded_io::ErrorType for DeviceEnd {
    type Error = std::io::Error;
}

impl embedded_io::Read for DeviceEnd {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(buffer)
    }
}

impl embedded_io::Write for DeviceEnd {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every run takes seven ticks.
struct Seven;

impl Timer for Seven {
    fn now(&self) -> u32 {
        0
    }

    fn since(&self, _: u32) -> u32 {
        7
    }
}

/// Layers of the space, small and large, and those of every kind.
fn some_layers(every: usize) -> Vec<Layer> {
    let space = Space::load("fashion").unwrap();
    space.distinct_layers().into_iter().step_by(every).chain(selftest::layers()).collect()
}

/// What came of the layers, and how often the link was opened.
fn collect_over(rates: Rates) -> (Vec<Entry>, u64) {
    let many = Linear { inputs: 1 << 15, outputs: 64, activation: Activation::None };
    let layers = [&some_layers(9)[..], &[Layer::Linear(many)]].concat();
    let plan = Plan { layers, seed: 3, runs: 3, deterministic: true };
    let collection = Collection::new(plan, None, &|| ()).unwrap();
    let port = Bad { rates, seed: Mutex::new(11) };
    let mut failures = 0;
    while let Err(error) = drive(&collection, &port, "bad") {
        failures += 1;
        assert!(failures < 50, "{error:#}");
    }
    let opened = (*port.seed.lock().unwrap() - 11) / 2;
    (collection.entries("bad").unwrap(), opened)
}

/// A byte in about 700 is garbled, so every sixth request or answer or so, and the board is gone after some 100.
#[test]
fn a_bad_link_changes_nothing_in_a_table() {
    let none = Rates { dropped: 0, doubled: 0, flipped: 0, delayed: 0, ended: 0 };
    let (undisturbed, once) = collect_over(none);
    let bad = Rates { dropped: 400, doubled: 400, flipped: 400, delayed: 200, ended: 150 };
    let (disturbed, opened) = collect_over(bad);
    assert_eq!(disturbed, undisturbed);
    assert!(once == 1 && opened > 1, "the board has never started anew: {opened}");
    assert!(undisturbed.iter().any(|entry| matches!(entry.outcome, Outcome::Refused(_))), "none is too large");
    for Entry { outcome, text, .. } in &undisturbed {
        if let Outcome::Measured { ticks, runs, .. } = outcome {
            assert_eq!((*ticks, *runs), (7, 3), "{text}");
        }
    }
}

fn ofa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ofa")).args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = ofa(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
    stdout
}

fn layers_of(table: &Path) -> Vec<Entry> {
    LatencyTable::load(table, &Space::load("fashion").unwrap()).unwrap().layers
}

/// The layers in the journals of a folder whose names begin like that, a line each.
fn journalled(folder: &Path, name: &str) -> Vec<String> {
    let names =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let journals = names.filter(|file| file.starts_with(name) && file.ends_with(".journal"));
    // One may be gone by now.
    let text: String = journals.filter_map(|file| fs::read_to_string(folder.join(file)).ok()).collect();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let layers = whole.filter_map(|line| {
        let line: Value = serde_json::from_str(line.split_once(' ')?.1).ok()?;
        Some(line.get("runs").or(line.get("refused"))?["layer"].to_string())
    });
    layers.collect()
}

/// `OFA_KILLS` times, or five.
#[cfg(unix)]
#[test]
fn killed_at_any_moment_a_collection_goes_on() {
    need_qemu!();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("layers.json"), serde_json::to_string(&some_layers(4)).unwrap()).unwrap();
    let measure = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ofa"));
        command.args(["measure", "--board", BOARD, "--layers", &path("layers.json"), "--out", &path(out)]);
        command
    };
    let start = Instant::now();
    assert!(measure("undisturbed.json").stdout(Stdio::null()).status().unwrap().success());
    let whole = start.elapsed();

    fs::create_dir(path("killed")).unwrap();
    let kills = std::env::var("OFA_KILLS").map_or(5, |kills| kills.parse::<u64>().expect("OFA_KILLS is a number"));
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut before = HashSet::new();
    let mut gone_on = 0;
    for kill in 0..kills {
        // So that all of them together come to about the whole.
        let moment = whole.mul_f64(rng.random_range(0.1..1.0_f64.min(0.3 + 4.0 / kills as f64)));
        let mut ofa = measure("killed/table.json").stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(moment);
        ofa.kill().unwrap();
        let ended = ofa.wait().unwrap().success();
        let now = journalled(&folder.path().join("killed"), "table");
        // With the table written and the journal gone it had done all its work, though it may not have left yet.
        let table = path("killed/table.json");
        if ended || now.is_empty() && fs::exists(&table).unwrap() {
            // The next one begins anew.
            before.clear();
            fs::remove_file(&table).unwrap();
            continue;
        }
        let distinct: HashSet<_> = now.iter().cloned().collect();
        assert_eq!(now.len(), distinct.len(), "a layer was measured twice, after kill {kill}");
        assert!(before.is_subset(&distinct), "a layer was lost, after kill {kill}");
        gone_on += usize::from(distinct.len() > before.len());
        before = distinct;
    }
    assert!(measure("killed/table.json").stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(layers_of(Path::new(&path("killed/table.json"))), layers_of(Path::new(&path("undisturbed.json"))));
    assert!(journalled(&folder.path().join("killed"), "table").is_empty(), "the journal is left");
    eprintln!("{kills} kills, {gone_on} of which after some more layers; undisturbed {whole:?}");
}

/// Processes other than this one that carry a mark in their environment and are called like that.
#[cfg(target_os = "linux")]
fn marked(mark: &str, name: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |id: &u32| {
        fs::read(format!("/proc/{id}/environ")).is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(mark))
            && fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.starts_with(name))
    };
    ids.filter(is_it).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_lab_ends_with_whole_tables_though_a_board_is_unplugged() {
    need_qemu!();
    for board in [BOARD, "mps2-an385"] {
        firmware::build(&Board::load(board).unwrap(), Binary::Probe).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let layers: BTreeSet<_> = some_layers(3).into_iter().collect();
    fs::write(path("layers.json"), serde_json::to_string(&layers).unwrap()).unwrap();
    let lab = |out: &str, boards: &[(&str, &str)]| {
        let mut text = format!("out = {out:?}\n");
        for (name, board) in boards {
            text += &format!("[[boards]]\nname = {name:?}\nboard = {board:?}\n");
        }
        text
    };
    let boards = [("left", BOARD), ("middle", BOARD), ("right", BOARD), ("other", "mps2-an385")];
    fs::write(path("lab.toml"), lab(&path("tables"), &boards)).unwrap();
    fs::write(path("alone.toml"), lab(&path("alone"), &boards[..1])).unwrap();

    let mark = format!("OFA_TEST_MARK=lab-{}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let start = Instant::now();
    let run = Command::new(env!("CARGO_BIN_EXE_ofa"))
        .args(["lab", "run", "--lab", &path("lab.toml"), "--layers", &path("layers.json"), "--json"])
        .env(name, value)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = || -> Option<Value> {
        let text = fs::read_to_string(path("tables/status.json")).ok()?;
        serde_json::from_str(&text).ok()
    };
    let machine = |id: &u32| fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let is_of_the_kind = |id: &u32| machine(id).windows(BOARD.len()).any(|part| part == BOARD.as_bytes());
    // In the midst of the work of the kind that has copies: something is measured, and not all.
    let victim = || {
        let begun = !journalled(&folder.path().join("tables"), BOARD).is_empty();
        marked(&mark, "qemu").into_iter().find(is_of_the_kind).filter(|_| begun)
    };
    let victim = (0..12_000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        victim()
    });
    let victim = victim.expect("a board of the kind is at work");
    assert!(Command::new("kill").args(["-s", "KILL", &victim.to_string()]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    let together = start.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let status = status().unwrap();
    let ended = valid("lab-run", std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!((&ended["status"], ended["tables"].as_array().unwrap().len()), (&status, 2));
    let restarts = |kind: &Value| -> u64 {
        kind["copies"].as_array().unwrap().iter().map(|copy| copy["restarts"].as_u64().unwrap()).sum()
    };
    assert_eq!(
        (status["kinds"][0]["board"].as_str(), status["kinds"][1]["board"].as_str()),
        (Some("mps2-an385"), Some(BOARD))
    );
    assert!(restarts(&status["kinds"][1]) <= 1, "{status}");
    for (board, kind) in ["mps2-an385", BOARD].iter().zip(status["kinds"].as_array().unwrap()) {
        assert_eq!(kind["known"], layers.len(), "{status}");
        let table = layers_of(&folder.path().join(format!("tables/{board}.json")));
        assert!(table.iter().map(|entry| entry.layer).eq(layers.iter().copied()), "{board}");
    }
    // Nothing else is left, and what the boards together say one alone says, too.
    assert!(journalled(&folder.path().join("tables"), "").is_empty());
    let start = Instant::now();
    succeeds(&["lab", "run", "--lab", &path("alone.toml"), "--layers", &path("layers.json")]);
    let alone = start.elapsed();
    let table = |folder_name: &str| layers_of(&folder.path().join(format!("{folder_name}/{BOARD}.json")));
    assert_eq!(table("tables"), table("alone"));
    eprintln!("{} layers: three boards and one of another kind {together:?}, one alone {alone:?}", layers.len());

    let text = succeeds(&["lab", "status", "--lab", &path("lab.toml"), "--html", &path("page.html")]);
    assert!(text.starts_with("the run has ended") && text.contains("middle"), "{text}");
    assert!(fs::read_to_string(path("page.html")).unwrap().contains("mps2-an385"));
    let json = succeeds(&["lab", "status", "--lab", &path("lab.toml"), "--json"]);
    assert_eq!(valid("lab-status", &json), status);
}

#[test]
fn a_lab_that_is_described_wrongly_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    let check = |text: &str, part: &str| {
        fs::write(&path, text).unwrap();
        let output = ofa(&["lab", "run", "--lab", path.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{stderr}");
    };
    check("boards = []", "there are no boards");
    check("board = []", "lab.toml:1: board");
    let two = |a: &str, b: &str| format!("[[boards]]\n{a}\nboard = \"host\"\n[[boards]]\n{b}\nboard = \"host\"");
    check(&two("name = \"a\"", "name = \"a\""), "two boards are called a");
    check(&two("name = \"a\"\nlink = \"tcp:x:1\"", "name = \"b\"\nlink = \"tcp:x:1\""), "a and b have the same link");
    let out = folder.path().join("out");
    let nowhere = format!("out = {out:?}\n[[boards]]\nname = \"a\"\nboard = \"nowhere\"");
    check(&nowhere, "there is no board nowhere; there are: microbit");
    check(
        &nowhere.replace("nowhere", "host").replace("\"host\"", "\"host\"\nlink = \"tcp:127.0.0.1:1\""),
        "no host answers (a)",
    );
    let output = ofa(&["lab", "status", "--lab", "missing.toml"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Over a program's stdin and stdout, and over a socket: this machine is the board.
#[test]
fn this_machine_is_measured_over_any_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("layers.json"), serde_json::to_string(&selftest::layers()).unwrap()).unwrap();
    let program = env!("CARGO_BIN_EXE_ofa");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = format!("tcp:{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
            let mut probe =
                Command::new(program).arg("probe").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (mut stdin, mut stdout) = (probe.stdin.take().unwrap(), probe.stdout.take().unwrap());
            thread::spawn(move || std::io::copy(&mut stdout, &mut to));
            thread::spawn(move || {
                let mut bytes = [0; 512];
                while let Ok(read @ 1..) = from.read(&mut bytes) {
                    if stdin.write_all(&bytes[..read]).and_then(|()| stdin.flush()).is_err() {
                        break;
                    }
                }
                drop(stdin);
                let _ = probe.wait();
            });
        }
    });
    let exec = format!("exec:'{program}' probe");
    for link in [exec.as_str(), &tcp] {
        let measure = ["measure", "--board", "host", "--link", link];
        let text = succeeds(&[&measure[..], &["--selftest"]].concat());
        assert!(text.ends_with("host is fit to measure\n"), "{text}");
        let out = path("table.json");
        let json = succeeds(&[&measure[..], &["--layers", &path("layers.json"), "--out", &out, "--json"]].concat());
        assert_eq!(valid("measure", &json)["measured"], selftest::layers().len());
        let table = LatencyTable::load(Path::new(&out), &Space::load("fashion").unwrap()).unwrap();
        assert_eq!((table.provenance.unit.as_str(), table.provenance.link.as_str()), ("nanoseconds", link));
        assert_eq!(table.layers.len(), selftest::layers().len());
        assert!(table.layers.iter().all(|entry| entry.ticks().is_some()));
    }
    let output = ofa(&["measure", "--board", "host", "--link", "exec:false", "--selftest"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.contains("the board has closed the link")), (Some(2), true), "{stderr}");
}

/// The program for phones, where its target and an emulator of its core are installed.
#[test]
fn the_program_for_phones_is_exact() {
    let target = "aarch64-unknown-linux-musl";
    let root = trainer::board::root();
    let installed = Command::new("qemu-aarch64").arg("--version").output().is_ok();
    let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let has_target = sysroot.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !installed || !has_target {
        let _ = writeln!(std::io::stderr(), "SKIPPED: qemu-aarch64 or Rust's {target} is missing");
        return;
    }
    let build = Command::new("cargo")
        .args(["build", "--quiet", "-p", "latency-probe", "--features", "std", "--target", target])
        .args(["--message-format=json"])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
        .env_remove("RUSTFLAGS")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(build.status.success());
    let messages = String::from_utf8(build.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let program =
        messages.filter_map(|message| message["executable"].as_str().map(str::to_string)).next_back().unwrap();
    let link = format!("exec:qemu-aarch64 '{program}' host:phone");
    let text = succeeds(&["measure", "--board", "host:phone", "--link", &link, "--selftest"]);
    assert!(text.contains("kernels  ok") && text.ends_with("host:phone is fit to measure\n"), "{text}");
    let output = ofa(&["measure", "--board", "host:tablet", "--link", &link, "--selftest"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("this board says it is host:phone"), "{stderr}");
}

#[test]
fn random_nets_are_compared_with_the_tables_sums() {
    need_qemu!();
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.json");
    let validate = |board: &str| -> Value {
        let arguments = ["measure", "--board", board, "--validate", "3", "--seed", "5", "--json", "--table"];
        valid("measure-validate", &succeeds(&[&arguments[..], &[table.to_str().unwrap()]].concat()))
    };
    let report = validate(BOARD);
    assert_eq!((report["unit"].as_str(), report["nets"].as_u64()), (Some("instructions"), Some(3)));
    assert!(report["mape"].as_f64().unwrap() < 1.0, "{report}");
    assert_eq!((report["within_5_percent"].as_f64(), report["spearman"].as_f64()), (Some(100.0), Some(1.0)));
    assert!(report["macs_only"]["mape"].as_f64().unwrap() > report["mape"].as_f64().unwrap(), "{report}");
    // From the table that it has left, with a layer less.
    let mut whole = LatencyTable::load(&table, &Space::load("fashion").unwrap()).unwrap();
    let all = whole.layers.clone();
    whole.layers.remove(1);
    whole.save(&table).unwrap();
    assert_eq!(validate(BOARD), report);
    assert_eq!(layers_of(&table), all);
    // Another board's.
    let output = ofa(&["measure", "--board", "host", "--validate", "3", "--table", table.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("is a table of mps2-an386, not of host"), "{stderr}");
    fs::remove_file(&table).unwrap();
    let report = validate("host");
    assert_eq!((report["unit"].as_str(), report["nets"].as_u64()), (Some("nanoseconds"), Some(3)));
}
