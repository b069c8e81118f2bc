//! The emulated boards, from the host's side: one of them in depth, all of them in
//! breadth. These tests need QEMU and say aloud when it is missing.

#[path = "../schema/mod.rs"]
mod schema;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use latency_probe::Trial;
use runtime::{Activation, Block, Channel, Conv, Layer, Linear, Pool, Shape, Weights, regions};
use trainer::board::{Board, Link};
use trainer::dataset::Images;
use trainer::device::with_board;
use trainer::files::Header;
use trainer::firmware::{self, Binary};
use trainer::measure::selftest::selftest;
use trainer::measure::{Bench, Settings, measure, measure_layers};
use trainer::model::{self, Compiled, Scale};
use trainer::run::{RunReport, run};
use trainer::space::{Arch, Space};
use trainer::table::{LatencyTable, Outcome};

const BOARD: &str = "mps2-an386";

macro_rules! need_qemu {
    () => {
        need_qemu!(board())
    };
    ($board:expr) => {
        let Link::Qemu { program, package, .. } = $board.link else { panic!("it is not emulated") };
        if Command::new(&program).arg("--version").output().is_err() {
            // Past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is missing; apt-get install {package}");
            return;
        }
    };
}

mod examples;
mod real;
mod tiny;

fn board() -> Board {
    Board::load(BOARD).unwrap()
}

fn fashion() -> Space {
    Space::load("fashion").unwrap()
}

fn settings(seed: u64, boards: usize) -> Settings {
    Settings { seed, runs: 2, boards }
}

/// A net of these layers with any weights.
fn any_net(space: &Space, arch: &Arch, layers: &[Layer]) -> Compiled {
    let mut pool = (vec![Channel { bias: 0, multiplier: 0 }; 1 << 12], vec![0; 1 << 18]);
    latency_probe::fill(&mut pool.0, &mut pool.1);
    let weights = Weights { channels: &pool.0, taps: &pool.1 };
    let trials: Vec<_> = layers.iter().map(|layer| Trial::new(*layer, 5, weights).unwrap()).collect();
    Compiled {
        header: Header::new(model::FORMAT, &space.hash(), 0),
        arch: arch.clone(),
        steps: trials.iter().map(Trial::step).collect(),
        outputs: vec![Scale { scale: 1.0, zero: 0 }; layers.len()],
        channels: trials.iter().flat_map(|trial| trial.weights().channels.to_vec()).collect(),
        taps: trials.iter().flat_map(|trial| trial.weights().taps.to_vec()).collect(),
    }
}

fn any_images(count: usize, side: u16) -> Images {
    let len = usize::from(side) * usize::from(side);
    let pixels = (0..count * len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    Images { side, channels: 1, pixels, labels: (0..count).map(|i| (i % 10) as u16).collect() }
}

/// A net of the space whose blocks differ, with its table and its report.
fn run_a_net() -> (LatencyTable, RunReport) {
    let (board, space) = (board(), fashion());
    let mut arch = space.smallest();
    let [kernel, expand] = [5, 3];
    arch.stages[1].push(trainer::space::BlockArch { kernel, expand });
    arch.resolution = 24;
    space.check(&arch).unwrap();
    let layers = space.layers(&arch);
    let table = measure(&board, &space, &layers, settings(1, 0), &|| ()).unwrap();
    let net = any_net(&space, &arch, &layers);
    let report = run(&board, &net, &any_images(6, 24), Some(&table), 0, &|| ()).unwrap();
    (table, report)
}

#[test]
fn a_net_computes_and_costs_what_was_predicted() {
    need_qemu!();
    let (table, report) = run_a_net();
    assert_eq!((report.logits_equal_host, report.first_difference), (true, None));
    assert_eq!((report.board.as_str(), report.images), (BOARD, 6));
    let latency = &report.latency;
    assert_eq!((latency.unit.as_str(), latency.min), ("instructions", latency.max));
    let predicted = latency.predicted.unwrap() as f64;
    assert!((f64::from(latency.measured) / predicted - 1.0).abs() < 0.02, "{latency:?}");
    for bytes in [report.sram_bytes, report.flash_bytes] {
        let allowed = bytes.linked as f64 * 0.05 + 1024.0;
        assert!((bytes.predicted.unwrap() as f64 - bytes.linked as f64).abs() <= allowed, "{bytes:?}");
    }
    assert!(table.firmware.unwrap().static_bytes < 900, "{:?}", table.firmware);
    let code =
        |of: &str| report.code.iter().filter(|code| code.of.starts_with(of)).map(|code| code.bytes).sum::<usize>();
    let net: usize = report.layers.iter().map(|layer| layer.flash_bytes).sum();
    assert!(code("") + net < report.flash_bytes.linked, "{report:?}");
    assert!(code("runtime::") > code("") / 4 && code("latency_probe::") > 0 && code("core") > 0, "{:?}", report.code);
    assert!(code("other") < code("") / 50, "all but a few instructions are known: {:?}", report.code);
    // More than the registers that every call saves, and all that is known beforehand of so small a net's frames.
    assert!((200..4096).contains(&report.stack_bytes), "{}", report.stack_bytes);
}

/// Layers of every kind that fit the smallest board: odd sizes, channels that no vector divides, maps that are smaller
/// than their window.
fn small_layers() -> Vec<Layer> {
    let conv = Conv { input: Shape::new(8, 8, 4), channels: 8, kernel: 3, stride: 1, activation: Activation::Relu6 };
    let block = Block {
        input: Shape::new(6, 6, 8),
        expanded: 24,
        kernel: 3,
        stride: 1,
        squeeze: 0,
        channels: 8,
        residual: true,
        activation: Activation::Relu6,
    };
    let onto = |block: Block, channels| Block { channels, residual: false, ..block };
    let linear = Linear { inputs: 64, outputs: 10, activation: Activation::None };
    [
        conv,
        Conv { stride: 2, ..conv },
        Conv { input: Shape::new(17, 13, 3), channels: 7, stride: 2, ..conv },
        Conv { input: Shape::new(20, 20, 1), channels: 16, stride: 2, activation: Activation::Relu, ..conv },
        Conv { input: Shape::new(5, 9, 5), kernel: 5, channels: 3, activation: Activation::None, ..conv },
        Conv { input: Shape::new(9, 5, 2), kernel: 7, stride: 2, channels: 6, ..conv },
        Conv { input: Shape::new(7, 7, 32), kernel: 1, channels: 96, ..conv },
        Conv { input: Shape::new(3, 5, 13), kernel: 1, channels: 9, ..conv },
        Conv { input: Shape::new(1, 1, 1), kernel: 1, channels: 1, ..conv },
    ]
    .map(Layer::Conv)
    .into_iter()
    .chain(
        [
            block,
            Block { kernel: 5, ..block },
            Block { kernel: 7, ..block },
            Block { kernel: 5, activation: Activation::Relu, ..onto(block, 12) },
            Block { stride: 2, ..onto(block, 16) },
            Block { stride: 2, kernel: 5, input: Shape::new(7, 9, 6), ..onto(block, 10) },
            Block { stride: 2, kernel: 7, input: Shape::new(5, 3, 8), ..onto(block, 5) },
            Block { expanded: 8, ..block },
            Block { expanded: 8, stride: 2, ..onto(block, 16) },
            Block { input: Shape::new(5, 7, 3), channels: 3, expanded: 13, ..block },
            Block { input: Shape::new(1, 4, 8), ..block },
            Block { input: Shape::new(2, 1, 8), kernel: 7, ..block },
        ]
        .map(Layer::Block),
    )
    .chain([Shape::new(7, 7, 48), Shape::new(3, 5, 7), Shape::new(1, 1, 16)].map(|input| Layer::Pool(Pool { input })))
    .chain(
        [
            linear,
            Linear { inputs: 129, outputs: 7, activation: Activation::Relu },
            Linear { inputs: 3, outputs: 1, ..linear },
        ]
        .map(Layer::Linear),
    )
    .collect()
}

/// A net of ten classes that fits the smallest board. Its first two layers run as one.
fn small_net() -> [Layer; 5] {
    let [stem, head] = [(Shape::new(13, 13, 1), 8, 3, 2), (Shape::new(4, 4, 12), 24, 1, 1)].map(
        |(input, channels, kernel, stride)| {
            Layer::Conv(Conv { input, channels, kernel, stride, activation: Activation::Relu6 })
        },
    );
    let block = Block {
        input: Shape::new(7, 7, 8),
        expanded: 24,
        kernel: 5,
        stride: 2,
        squeeze: 0,
        channels: 12,
        residual: false,
        activation: Activation::Relu6,
    };
    let classifier = Linear { inputs: 24, outputs: 10, activation: Activation::None };
    let pool = Pool { input: Shape::new(4, 4, 24) };
    [stem, Layer::Block(block), head, Layer::Pool(pool), Layer::Linear(classifier)]
}

#[test]
fn every_board_computes_what_this_host_computes() {
    thread::scope(|scope| {
        let emulated = |name: &String| Board::load(name).unwrap().is_emulated();
        for name in Board::names().unwrap().into_iter().filter(emulated) {
            thread::Builder::new().name(name.clone()).spawn_scoped(scope, || try_board(name)).unwrap();
        }
    });
}

/// It says what its description says, and is exact in every layer, in a refusal and in a whole net.
fn try_board(name: String) {
    let board = Board::load(&name).unwrap();
    need_qemu!(board.clone());
    let probe = firmware::build(&board, Binary::Probe).unwrap();
    with_board(&board, &probe, |link| {
        let (facts, capacity) = link.hello().unwrap();
        assert_eq!((facts.board, facts.core, facts.unit), (&*board.name, &*board.core, &*board.unit));
        assert_eq!(facts.clock_hz, board.clock_hz);
        assert_eq!((facts.flash_bytes, facts.ram_bytes), (board.flash_bytes, board.ram_bytes));
        assert!(capacity.arena_bytes < board.ram_bytes && capacity.pool_taps < board.flash_bytes, "{capacity:?}");
        Ok(())
    })
    .unwrap();

    let bench = Bench::new(&board, None).unwrap();
    for (what, outcome) in selftest(&board, &*bench.port).unwrap() {
        outcome.unwrap_or_else(|error| panic!("{name}: {what}: {error:#}"));
    }

    let layers = small_layers();
    // Only its size is wrong.
    let huge = Layer::Pool(Pool { input: Shape::new(2000, 1000, 8) });
    let entries = measure_layers(&board, &probe, &[&layers[..], &[huge]].concat(), settings(3, 1), &|| ()).unwrap();
    let (refused, measured) = entries.split_last().unwrap();
    assert_eq!(measured.len(), layers.len());
    for entry in measured {
        assert!(matches!(entry.outcome, Outcome::Measured { ticks: 1.., mad: 0, .. }), "{name}: {entry:?}");
    }
    assert!(matches!(refused.outcome, Outcome::Refused(_)), "{name}: {refused:?}");

    // The same net without a build, and what its layers foretell.
    let space = fashion();
    let net_layers = small_net();
    let entries = measure_layers(&board, &probe, &net_layers, settings(3, 1), &|| ()).unwrap();
    let sum: u32 = entries.iter().map(|entry| entry.ticks().unwrap()).sum();
    let chain = with_board(&board, &probe, |link| Ok(link.measure_chain(&net_layers, 3, 2)?)).unwrap();
    assert!(chain.ticks[0] == chain.ticks[1] && chain.ticks[0].abs_diff(sum) < sum / 50, "{name}: {chain:?}, {sum}");

    let net = any_net(&space, &space.smallest(), &net_layers);
    let regions: Vec<_> = regions(&net.steps).collect();
    assert!(regions[0] == regions[1] && regions[1] != regions[2], "{regions:?}");
    let report = run(&board, &net, &any_images(3, 13), None, 1, &|| ()).unwrap();
    assert!(report.logits_equal_host, "{name}: {:?}", report.first_difference);
    assert!((200..4096).contains(&report.stack_bytes), "{name}: {}", report.stack_bytes);
}

/// In instructions, which an emulator counts alike on any machine. The compiler lays code out by the name of the folder, too,
/// which is worth a thousandth.
#[test]
fn kernels_keep_to_what_they_may_take() {
    need_qemu!();
    let most = [0.90, 0.85, 1.05, 1.6, 1.2, 1.0, 1.1, 1.1];
    let layers = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/benches/layers.json");
    let output = ofa(&["bench", "kernels", "--board", BOARD, "--layers", layers, "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), most.len());
    for (row, most) in rows.iter().zip(most) {
        let [ticks, macs] = ["ticks", "macs"].map(|field| row[field].as_f64().unwrap());
        assert!(ticks / macs <= 1.001 * most, "{most} at most: {row}");
        assert_eq!((&row["unit"], &row["exact"]), (&"instructions".into(), &true.into()));
    }
    assert!(rows[7]["arena_bytes"].as_u64().unwrap() <= 21_500, "{}", rows[7]);
}

/// What two layers take as one is what they take in a net; `ofa bench net` says so beside the two alone.
#[test]
fn an_opening_takes_what_it_takes_in_a_net() {
    need_qemu!();
    let (board, space) = (board(), Space::load("mcu").unwrap());
    let arch = space.smallest();
    let layers = space.layers(&arch);
    let table = measure(&board, &space, &layers, settings(3, 0), &|| ()).unwrap();
    let [opening] = &table.openings[..] else { panic!("{:?}", table.openings) };
    assert_eq!(opening.layers, layers[..2]);
    let Outcome::Measured { ticks: together, mad: 0, runs: 2, .. } = opening.outcome else { panic!("{opening:?}") };
    let probe = firmware::build(&board, Binary::Probe).unwrap();
    let chain = with_board(&board, &probe, |link| Ok(link.measure_chain(&layers, 3, 1)?)).unwrap().ticks[0];
    let sum = table.latency(&layers).unwrap();
    assert!((f64::from(chain) / sum as f64 - 1.0).abs() < 0.01, "{chain}, {sum}");

    let folder = tempfile::tempdir().unwrap();
    any_net(&space, &arch, &layers).save(folder.path()).unwrap();
    let output = ofa(&["bench", "net", folder.path().to_str().unwrap(), "--board", BOARD, "--json"]);
    let bench = schema::valid("bench-net", &String::from_utf8(output.stdout).unwrap());
    assert_eq!(bench["opening"]["ticks"], together);
    assert_eq!(bench["opening"]["arena_bytes"], model::arena_bytes(&layers[..2]));
    assert_eq!((&bench["layers"].as_array().unwrap().len(), &bench["sum_of_layers"]), (&layers.len(), &sum.into()));
}

#[test]
fn ticks_depend_neither_on_the_data_nor_on_how_many_boards_measure() {
    need_qemu!();
    let space = fashion();
    let layers: Vec<_> = space.distinct_layers().into_iter().step_by(9).collect();
    let measure = |settings| measure(&board(), &space, &layers, settings, &|| ()).unwrap().layers;
    let one = measure(settings(1, 1));
    assert_eq!(one, measure(settings(1, 3)));
    let other = measure(settings(2, 2));
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one.ticks(), other.ticks(), "{}", one.text);
        assert_ne!(one.outcome, other.outcome, "another seed has another output: {}", one.text);
        assert!(matches!(one.outcome, Outcome::Measured { mad: 0, runs: 2, .. }), "{one:?}");
    }
}

/// A board that computes something else: here one whose pool of weights has other bytes.
#[test]
fn layers_whose_output_is_not_the_hosts_are_named() {
    need_qemu!();
    let board = board();
    let sound = firmware::build(&board, Binary::Probe).unwrap();
    let mut elf = fs::read(&sound.elf).unwrap();
    let mut pool = vec![0; 1 << 12];
    latency_probe::fill(&mut [], &mut pool);
    let pool = elf.windows(pool.len()).position(|window| window == pool).expect("the probe holds the pool");
    elf[pool..pool + (512 << 10)].iter_mut().step_by(7).for_each(|tap| *tap ^= 0x55);
    let folder = tempfile::tempdir().unwrap();
    let wrong = firmware::Firmware { elf: folder.path().join("wrong.elf"), ..sound };
    fs::write(&wrong.elf, elf).unwrap();

    let space = fashion();
    let layers = space.layers(&space.smallest());
    let error = measure_layers(&board, &wrong, &layers, settings(1, 1), &|| ()).unwrap_err().to_string();
    let first = format!("mps2-an386 does not compute what this host computes: {} has checksum ", layers[0]);
    assert!(error.starts_with(&first), "{error}");
    // All but the pooling, which has no taps.
    assert!(error.ends_with(&format!("(and {} more layers)", layers.len() - 2)), "{error}");
}

#[test]
fn layers_that_the_board_cannot_run_are_refused_with_their_cause() {
    need_qemu!();
    let huge =
        Conv { input: Shape::new(2000, 1000, 1), channels: 2, kernel: 1, stride: 1, activation: Activation::None };
    let many = Linear { inputs: 1 << 15, outputs: 64, activation: Activation::None };
    let layers = [Layer::Linear(many), Layer::Conv(huge)];
    let table = measure(&board(), &fashion(), &layers, settings(1, 0), &|| ()).unwrap();
    let cause = |layer: &Layer| {
        let entry = table.layers.iter().find(|entry| entry.layer == *layer).unwrap();
        assert_eq!(table.ticks(layer), None);
        match &entry.outcome {
            Outcome::Refused(cause) => cause.clone(),
            Outcome::Measured { .. } | Outcome::Predicted { .. } => panic!("{entry:?}"),
        }
    };
    assert_eq!(
        cause(&layers[0]),
        format!("it needs {} bytes more than the pool of weights has", (1 << 21) - (1 << 19))
    );
    let lack = layers[1].arena_bytes() - (3 << 20);
    assert_eq!(cause(&layers[1]), format!("it needs {lack} bytes more than the arena has"));
    let error = table.latency(&layers[..1]).unwrap_err().to_string();
    assert!(error.contains("refuses linear 32768 -> 64"), "{error}");
}

#[test]
fn a_net_that_misses_the_board_is_a_build_error_in_bytes() {
    need_qemu!();
    let space = fashion();
    let conv =
        Conv { input: Shape::new(1500, 1500, 1), channels: 2, kernel: 1, stride: 1, activation: Activation::None };
    let net = any_net(&space, &space.smallest(), &[Layer::Conv(conv)]);
    let error = firmware::build(&board(), Binary::Runner(&net)).unwrap_err().to_string();
    let missing = Layer::Conv(conv).arena_bytes() + latency_probe::FRAME - (4 << 20);
    assert!(error.contains(&format!("the net misses the board's SRAM by bytes: {missing}")), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[cfg(unix)]
#[test]
fn a_board_that_breaks_down_is_reported_with_its_last_words() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("emulator");
    fs::write(&program, "#!/bin/sh\n[ $1 = --version ] && echo version 1 || echo it burns >&2\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let link = Link::Qemu { program: program.to_str().unwrap().into(), package: String::new(), arguments: vec![] };
    let space = fashion();
    let layers = space.layers(&space.smallest());
    let error = measure(&Board { link, ..board() }, &space, &layers, settings(1, 1), &|| ()).unwrap_err();
    assert_eq!(format!("{error:#}"), "mps2-an386: it burns: the board has closed the link");
}

#[test]
fn a_missing_emulator_is_named_with_what_to_install() {
    let link = Link::Qemu { program: "qemu-system-none".into(), package: "qemu-none".into(), arguments: vec![] };
    let board = Board { link, ..board() };
    let space = fashion();
    let layers = space.layers(&space.smallest());
    let error = measure(&board, &space, &layers, settings(1, 1), &|| ()).unwrap_err().to_string();
    assert_eq!(error, "qemu-system-none, which emulates mps2-an386, is missing; install it: apt-get install qemu-none");
}

fn ofa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ofa")).args(arguments).output().unwrap()
}

/// Fails with exit code 2 and one line that holds each of the parts.
fn fails(arguments: &[&str], parts: &[&str]) {
    let output = ofa(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part} is not in: {stderr}");
    }
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("broken.json"), "[{\"conv\": 3}]").unwrap();
    fs::write(path("empty.json"), "[]").unwrap();
    fs::write(path("kinds.json"), "[{\"kind\": \"pooling\", \"input\": [1, 2, 3]}]").unwrap();
    fs::write(path("file"), "").unwrap();

    let known = "there is no board esp32; there are: microbit, mps2-an385, mps2-an386";
    fails(&["measure", "--board", "esp32", "--out", &path("table")], &[known]);
    fails(&["run", "--board", "esp32", "model"], &[known]);
    fails(&["bench", "kernels", "--board", "esp32", "--layers", &path("empty.json")], &[known]);
    fails(&["measure", "--board", BOARD, "--space", "nowhere"], &["there is no space nowhere"]);
    fails(&["measure", "--board", BOARD, "--layers", &path("missing.json")], &["missing.json"]);
    fails(&["measure", "--board", BOARD, "--layers", &path("broken.json")], &["broken.json", "[0]"]);
    fails(&["measure", "--board", BOARD, "--layers", &path("empty.json")], &["there are no layers to measure"]);
    fails(&["measure", "--board", BOARD, "--out", &path("file/table.json")], &["cannot write", "file/table.json"]);
    fails(&["run", "--board", BOARD, &path("nothing")], &["nothing/model.json", "ofa compile"]);
    fails(&["bench", "kernels", "--layers", &path("kinds.json")], &["pooling", "kind"]);
    assert!(!folder.path().join("table").exists());
}

#[test]
fn the_commands_work_on_files() {
    need_qemu!();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let space = fashion();
    let arch = space.smallest();
    let layers = space.layers(&arch);
    any_net(&space, &arch, &layers).save(&folder.path().join("model")).unwrap();
    fs::write(path("layers.json"), serde_json::to_string(&layers).unwrap()).unwrap();
    write_idx(&folder.path().join("data"), 28, 40);

    let output = ofa(&["measure", "--board", BOARD, "--layers", &path("layers.json"), "--out", &path("table.json")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("7 layers") && stdout.contains("7 checksums equal this host's"), "{stdout}");
    assert_eq!(output.stderr, b"");
    let table = LatencyTable::load(&folder.path().join("table.json"), &space).unwrap();
    assert!(table.latency(&layers).unwrap() > 0);

    let run = [
        "run",
        "--board",
        BOARD,
        &path("model"),
        "--images",
        "3",
        "--data",
        &path("data"),
        "--table",
        &path("table.json"),
    ];
    let output = ofa(&run);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("3 images") && stdout.contains("logits equal: yes"), "{stdout}");
    let output = ofa(&[&run[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["logits_equal_host"], true);
    assert_eq!(report["latency"]["predicted"], table.latency(&layers).unwrap());

    // Made for another space.
    let text = fs::read_to_string(path("table.json")).unwrap();
    fs::write(path("table.json"), text.replace(&space.hash(), "0123456789abcdef")).unwrap();
    fails(&run, &["was made for space 0123456789abcdef", "run: ofa measure --board mps2-an386"]);
    // Cut off.
    fs::write(path("table.json"), &text[..text.len() / 2]).unwrap();
    fails(&run, &["table.json", "EOF"]);
}

/// A fifth of a space, of which the search then knows every layer.
#[test]
fn a_part_of_a_space_is_measured_and_the_rest_predicted() {
    need_qemu!();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let measure = |arguments: &[&str]| {
        let output = ofa(&[&["measure", "--board", BOARD, "--runs", "1", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let said = measure(&["--budget", "24", "--out", &path("some.json")]);
    let all = fashion().distinct_layers().len();
    assert_eq!((&said["measured"], &said["predicted"]), (&24.into(), &(all - 24).into()), "{said:#}");
    assert!(said["held_out"]["median_error"].as_f64().unwrap() < 0.15, "{said:#}");
    let table = LatencyTable::load(Path::new(&path("some.json")), &fashion()).unwrap();
    assert!(table.provenance.command.ends_with("--budget 24"), "{}", table.provenance.command);
    trainer::search::Costs::from_table(&fashion(), &table).unwrap();

    // A board of the same kind: its own table foretells it.
    let said = measure(&["--budget", "20", "--transfer-from", &path("some.json"), "--out", &path("other.json")]);
    assert_eq!(said["held_out"]["layers"], 20, "{said:#}");
    let few = ["measure", "--board", BOARD, "--budget", "5"];
    assert_eq!(ofa(&few).status.code(), Some(2));
}

/// The four files of a data set of grey noise.
fn write_idx(folder: &Path, side: u16, count: usize) {
    fs::create_dir_all(folder).unwrap();
    let images = any_images(count, side);
    let number = |number: usize| (number as u32).to_be_bytes();
    for set in ["train", "t10k"] {
        let side = usize::from(side);
        let head = [&[0, 0, 8, 3][..], &number(count), &number(side), &number(side)].concat();
        fs::write(folder.join(format!("{set}-images-idx3-ubyte")), [head, images.pixels.clone()].concat()).unwrap();
        let head = [&[0, 0, 8, 1][..], &number(count)].concat();
        fs::write(
            folder.join(format!("{set}-labels-idx1-ubyte")),
            [head, images.labels.iter().map(|&label| label as u8).collect()].concat(),
        )
        .unwrap();
    }
}

/// Processes other than this one that carry a mark in their environment.
#[cfg(target_os = "linux")]
fn marked(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let has_mark = |id: &u32| {
        fs::read(format!("/proc/{id}/environ")).is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(mark))
    };
    ids.filter(has_mark).map(|id| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default()).collect()
}

/// However `ofa` is ended, its emulators end too.
#[cfg(target_os = "linux")]
#[test]
fn no_emulator_outlives_ofa() {
    need_qemu!();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..6_000 {
            if holds() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("waited two minutes until {what}");
    };
    // Built beforehand, so that what is interrupted is the measurement.
    firmware::build(&board(), Binary::Probe).unwrap();
    for signal in ["INT", "TERM", "KILL"] {
        // Each begins anew: what an ended one left in its journal would make the next too short to be interrupted.
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("OFA_TEST_MARK={}-{signal}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        // Tests that run in the background are begun with interrupts ignored, and all that they begin is, too.
        let mut ofa = Command::new("env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_ofa")])
            .args(["measure", "--board", BOARD, "--space", "mcu", "--runs", "64", "--out"])
            .arg(folder.path().join("table.json"))
            .env(name, value)
            .spawn()
            .unwrap();
        until("QEMU runs", &|| marked(&mark).iter().any(|name| name.starts_with("qemu")));
        let kill = Command::new("kill").args(["-s", signal, &ofa.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert!(!ofa.wait().unwrap().success());
        until("all its children are gone", &|| marked(&mark).is_empty());
        assert!(!folder.path().join("table.json").exists());
    }
}
