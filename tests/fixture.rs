//! The binary, a tiny dataset, and what the steps before the one under test would have left.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::schema::valid;

/// What a run of `ofa` came to.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The `ofa` binary with the defaults of a user, but for the environment that tests must not share.
pub fn command(arguments: &[&str]) -> Command {
    let binary = std::env::var_os("OFA_BIN").expect("OFA_BIN names the ofa binary; run the tests by ./ofa test");
    let mut command = Command::new(binary);
    command.args(arguments).env("OFA_ROOT", root()).env("OMP_NUM_THREADS", "1");
    command
}

/// Runs `ofa` to its end.
pub fn ofa(arguments: &[&str]) -> Ran {
    ran(command(arguments))
}

/// Runs a command to its end.
pub fn ran(mut command: Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("ofa starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ofa prints UTF-8");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs `ofa`, which must end well; what it printed to stdout.
pub fn done(arguments: &[&str]) -> String {
    let Ran { code, stdout, stderr } = ofa(arguments);
    assert_eq!(code, Some(0), "ofa {arguments:?}: {stderr}");
    stdout
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file of the tiny space.
pub fn tiny(name: &str) -> String {
    format!("{}/tiny/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether this machine has the emulator; says aloud when a test is skipped for want of it.
pub fn has_qemu(test: &str) -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").output().is_ok();
    if !found {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: qemu-system-arm is not installed");
    }
    found
}

/// Files that several tests read; made once.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// The one of this process.
    pub fn get() -> &'static Self {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        write_dataset(&fixture.path("data"));
        let (space, recipe) = (tiny("space.toml"), tiny("recipe.toml"));
        let [data, supernet] = ["data", "supernet.safetensors"].map(|name| fixture.text(name));
        let train =
            ["train", "--space", &space, "--recipe", &recipe, "--data", &data, "--out", &supernet, "--seed", "3"];
        let trained = valid("train", &done(&[&train[..], &["--json"]].concat()));
        assert_eq!(trained["supernet"], supernet.as_str());
        let predictor = fixture.text("predictor.onnx");
        done(&["predictor", &supernet, "--data", &data, "--samples", "20", "--out", &predictor]);
        fixture
    }

    /// Where a file of it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary folders have plain names").into()
    }
}

/// IDX files of bright bars, upright or flat, in noise: 12×12 pixels, two classes.
fn write_dataset(folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder is new");
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for (set, count) in [("train", 600_u32), ("t10k", 200)] {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for i in 0..count {
            let (class, place) = ((i % 2) as u8, 2 + random() % 8);
            for y in 0..12 {
                for x in 0..12 {
                    let bar = if class == 0 { y } else { x } == place;
                    pixels.push(if bar { 200 } else { random() / 3 });
                }
            }
            labels.push(class);
        }
        let idx = |dimensions: &[u32], values: Vec<u8>| {
            let header = [0, 0, 8, dimensions.len() as u8].into_iter();
            header.chain(dimensions.iter().flat_map(|length| length.to_be_bytes())).chain(values).collect::<Vec<u8>>()
        };
        let write = |name: String, bytes| std::fs::write(folder.join(name), bytes).expect("the folder is ours");
        write(format!("{set}-images-idx3-ubyte"), idx(&[count, 12, 12], pixels));
        write(format!("{set}-labels-idx1-ubyte"), idx(&[count], labels));
    }
}

/// `count` images in each of three folders: a coloured bar in noise, of many sizes, as JPEG, PNG and WebP.
pub fn write_photographs(folder: &Path, count: u32) {
    let mut state = 7_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for (class, name) in ["blue", "green", "red"].into_iter().enumerate() {
        std::fs::create_dir_all(folder.join(name)).expect("the folder is ours");
        for i in 0..count {
            let (width, height) = (24 + random(20), 24 + random(20));
            let bar = width / 3 + random(width / 3);
            let image = image::RgbImage::from_fn(width, height, |x, _| {
                let mut pixel = [0; 3].map(|_: u8| random(90) as u8);
                if x.abs_diff(bar) < 3 {
                    pixel[2 - class] = 220;
                }
                image::Rgb(pixel)
            });
            let extension = ["jpg", "png", "webp", "JPEG"][i as usize % 4];
            image.save(folder.join(name).join(format!("{i}.{extension}"))).expect("the folder is ours");
        }
    }
}
