//! The examples for firmware engineers, in C and with RTIC, built and run: they compute what this host computes.

use std::path::PathBuf;
use std::sync::Mutex;

use object::{Object, ObjectSymbol};
use runtime::Prediction;

use super::*;

/// Rust's name of the board's machine.
const M4F: &str = "thumbv7em-none-eabihf";
const ARM_GCC: &str = "arm-none-eabi-gcc";

/// Whether Arm's GCC and newlib are here.
fn has_arm_gcc() -> bool {
    let newlib = Command::new(ARM_GCC).arg("-print-file-name=rdimon.specs").output();
    let found = newlib.is_ok_and(|output| output.stdout.starts_with(b"/"));
    if !found {
        // Past the test runner, which keeps what a passing test prints to itself.
        let packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {ARM_GCC} with newlib is missing; apt-get install {packages}");
    }
    found
}

/// What a program that must succeed prints.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds firmware with cargo in a folder of sources; the folder of what it made.
fn cargo_build(source: &str, target: &str, more: impl FnOnce(&mut Command) -> &mut Command) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(trainer::board::root().join(source))
        .args(["build", "--release", "--locked", "--quiet", "--target", target])
        .env("CARGO_TARGET_DIR", &folder)
        .env_remove("RUSTFLAGS");
    printed(more(&mut cargo));
    folder.join(target).join("release")
}

/// The example in C with that net, compiled by Arm's GCC against the library and its header.
fn example_in_c(net: &Compiled, folder: &Path) -> PathBuf {
    // Held until the library is linked: another net's would replace it.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let model = folder.join("model");
    net.save(&model).unwrap();
    let built = cargo_build("runtime/c", M4F, |cargo| cargo.env("OFA_MODEL", &model));
    let elf = folder.join("example.elf");
    printed(
        Command::new(ARM_GCC)
            .current_dir(trainer::board::root().join("runtime/c/example"))
            .args(["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2"])
            .args(["-Wall", "-Wextra", "-Werror", "-I"])
            .arg(&built)
            .args(["main.c", "start.c"])
            .arg(built.join("libofa.a"))
            .args(["--specs=rdimon.specs", "-Wl,--gc-sections", "-T", "mps2-an386.ld", "-o"])
            .arg(&elf),
    );
    elf
}

/// What a firmware prints over semihosting until it ends.
fn printed_in_qemu(board: Board, elf: &Path) -> String {
    let Link::Qemu { program, arguments, .. } = board.link else { panic!("no emulated board") };
    printed(Command::new(program).args(arguments).arg("-kernel").arg(elf))
}

/// What the host makes of the image of the examples: value i is 37 i + 11, modulo 256, as int8.
fn scores_of_examples(net: &Compiled) -> Vec<i8> {
    let image: Vec<u8> = (0..net.net().unwrap().input().len()).map(|i| (37 * i + 11) as u8 ^ 0x80).collect();
    net.scores(&image).unwrap()
}

#[test]
fn the_example_in_c_computes_what_this_host_computes() {
    need_qemu!();
    if !has_arm_gcc() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let space = fashion();
    let net = any_net(&space, &space.smallest(), &small_net());
    let printed = printed_in_qemu(board(), &example_in_c(&net, folder.path()));
    let scores: Vec<i8> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(scores, scores_of_examples(&net));
}

/// An interrupt takes lines while a task of a lower priority infers, image after image.
#[test]
fn the_example_with_rtic_computes_what_this_host_computes() {
    need_qemu!();
    let folder = tempfile::tempdir().unwrap();
    let space = fashion();
    let net = any_net(&space, &space.smallest(), &small_net());
    net.save(folder.path()).unwrap();
    let elf = cargo_build("boards/rtic-example", M4F, |cargo| cargo.env("OFA_MODEL", folder.path()));
    let scores = scores_of_examples(&net);
    let Prediction { class, score, ahead } = Prediction::of(&scores).unwrap();
    // Scores of any net stand for themselves.
    let logit = i32::from(score) * 65_536;
    let line = format!("class {class}, logit {logit} / 65536, {ahead} ahead: score {score} of {scores:?}\n");
    assert_eq!(printed_in_qemu(board(), &elf.join("rtic-example")), [&*line; 2].concat());
}

/// Of an Arm and of a RISC-V core.
#[test]
fn the_paint_shows_how_deep_the_stack_got() {
    for name in [BOARD, "riscv-virt"] {
        let board = Board::load(name).unwrap();
        need_qemu!(board.clone());
        let source = format!("boards/{name}");
        let built = cargo_build(&source, &board.target, |cargo| cargo.args(["--example", "deep"]));
        let printed = printed_in_qemu(board, &built.join("examples/deep"));
        let found: usize = printed.strip_suffix(" of 10000\n").unwrap_or_else(|| panic!("{printed}")).parse().unwrap();
        // The rest is what the call itself saves.
        assert!((10_000..10_100).contains(&found), "{name}: {found}");
    }
}

/// Whatever the image and the memory hold, nothing in the library can end the firmware.
#[test]
fn no_panic_is_linked_into_firmware_in_c() {
    if !has_arm_gcc() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let space = fashion();
    let net = any_net(&space, &space.smallest(), &small_net());
    let elf = fs::read(example_in_c(&net, folder.path())).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    let names: Vec<_> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(names.contains(&"ofa_infer"), "the symbols are there: {names:?}");
    let of_panics = ["panic", "index_fail", "unwrap_failed", "expect_failed", "begin_unwind"];
    let found: Vec<_> = names.iter().filter(|name| of_panics.iter().any(|part| name.contains(part))).collect();
    assert!(found.is_empty(), "{found:?}");
}
