//! A training that is killed, stopped or starved of disk, and goes on.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{Fixture, command, done, ofa, ran, tiny};

/// SIGKILLs in the short form; `OFA_KILLS` asks for more.
const KILLS: usize = 4;

/// Long enough to be killed in each of its phases: the second has a frozen teacher and sorted channels.
const RECIPE: &str = r#"
batch = 32
momentum = 0.9
weight_decay = 1e-4
label_smoothing = 0.0
augment = { flip = true, shift = 1 }

[[phases]]
name = "full"
steps = 300
learning_rate = 0.1
open = { kernel = 1, depth = 1, expand = 1 }

[[phases]]
name = "all"
steps = 300
learning_rate = 0.1
nets = ["random", "smallest"]
distillation = { teacher = "frozen" }
"#;

struct Trainings {
    folder: TempDir,
}

impl Trainings {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("recipe.toml"), RECIPE).expect("the folder is ours");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a training of that name with a checkpoint as often as there may be one.
    fn arguments(&self, name: &str, more: &[&str]) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("temporary folders have plain names").to_string();
        let (recipe, out) = (text(self.path("recipe.toml")), text(self.path(&format!("{name}.safetensors"))));
        let (space, data) = (tiny("space.toml"), Fixture::get().text("data"));
        let fixed = ["train", "--space", &space, "--recipe", &recipe, "--data", &data, "--out", &out, "--seed", "5"];
        fixed.iter().chain(&["--checkpoint-every", "0"]).chain(more).map(ToString::to_string).collect()
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let arguments = self.arguments(name, more);
        command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start(&self, name: &str, more: &[&str]) -> Child {
        let mut command = self.command(name, more);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ofa starts")
    }

    fn finish(&self, name: &str, more: &[&str]) -> Vec<u8> {
        let arguments = self.arguments(name, more);
        done(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        self.weights(name)
    }

    fn weights(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(&format!("{name}.safetensors"))).expect("the training is done")
    }

    fn checkpoints(&self, name: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(&format!("{name}.training"))).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "safetensors")).collect();
        paths.sort();
        paths
    }

    /// Waits until the training has written a checkpoint after `step`.
    fn wait_for_checkpoint_after(&self, name: &str, step: u64) {
        let begun = Instant::now();
        let later = |path: &PathBuf| number(path) > step;
        while !self.checkpoints(name).iter().any(later) {
            assert!(begun.elapsed() < Duration::from_secs(300), "no checkpoint of {name} after step {step}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The step of a checkpoint.
fn number(path: &Path) -> u64 {
    let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
    name.trim_start_matches("checkpoint-").parse().expect("a number of steps")
}

/// Numbers between 0 and 1.
fn moments(mut state: u32) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    }
}

#[test]
fn a_training_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let trainings = Trainings::new();
    let begun = Instant::now();
    let expected = trainings.finish("undisturbed", &[]);
    let duration = begun.elapsed();
    let kills = std::env::var("OFA_KILLS").map_or(KILLS, |kills| kills.parse().expect("OFA_KILLS is a number"));
    let mut moment = moments(2);
    let mut last = 0;
    for _ in 0..kills {
        let mut training = trainings.start("killed", &["--resume"]);
        // One time in two while it begins or reads, else once it has gone on.
        if moment() < 0.5 {
            std::thread::sleep(duration.mul_f64(moment() / kills as f64));
        } else {
            trainings.wait_for_checkpoint_after("killed", last);
            std::thread::sleep(duration.mul_f64(moment() / kills as f64));
        }
        training.kill().expect("it can be killed");
        training.wait().expect("it ends");
        let checkpoints = trainings.checkpoints("killed");
        assert!(checkpoints.len() <= 2, "{checkpoints:?}");
        last = checkpoints.last().map_or(last, |path| number(path));
    }
    assert!(last > 0, "no kill came after a checkpoint");
    assert!(trainings.finish("killed", &["--resume"]) == expected, "other bytes than without kills");
    assert_eq!(trainings.checkpoints("killed"), [] as [PathBuf; 0], "done: no checkpoint is needed");
    let metrics = |name: &str| {
        let path = trainings.path(&format!("{name}.training/metrics.jsonl"));
        let text = std::fs::read_to_string(path).expect("it is there");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("lines are JSON"));
        let numbers = lines.map(|line| {
            let Value::Object(line) = line else { panic!("a line is an object") };
            let numbers = line.into_iter().filter(|(name, _)| name != "train/images_per_second");
            let rounded = |value: Value| value.as_f64().map_or(value.to_string(), |number| format!("{number:.9}"));
            numbers.map(|(name, value)| (name, rounded(value))).collect::<Vec<_>>()
        });
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(metrics("killed"), metrics("undisturbed"), "the same metrics but for the speed");
    // Resumed once more there is nothing to do, and begun anew nothing is in the way.
    let arguments = trainings.arguments("killed", &["--resume"]);
    let again = ofa(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(again.code == Some(0) && again.stderr.contains("was finished before"), "{}", again.stderr);
}

/// A process of its own for each number, as libtorch's threads are all of a process's. Steps of one net and the statistics
/// of a frozen teacher are left out: there it is layers that threads share.
#[test]
fn nets_side_by_side_have_the_same_bits_with_any_number_of_threads() {
    let trainings = Trainings::new();
    let recipe = r#"
batch = 16
momentum = 0.9
weight_decay = 1e-4
label_smoothing = 0.1

[[phases]]
name = "all"
steps = 60
learning_rate = 0.1
nets = ["largest", "smallest", "random"]
distillation = { teacher = "in-place" }
"#;
    std::fs::write(trainings.path("recipe.toml"), recipe).expect("the folder is ours");
    let with = |threads: &str| {
        let mut command = trainings.command(threads, &[]);
        command.env("OMP_NUM_THREADS", threads);
        let outcome = ran(command);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        trainings.weights(threads)
    };
    let alone = with("1");
    assert!(with("2") == alone, "two threads");
    assert!(with("3") == alone, "three threads");
}

#[test]
fn a_signal_leaves_a_checkpoint_that_the_training_goes_on_from() {
    let trainings = Trainings::new();
    let expected = trainings.finish("undisturbed", &[]);
    let mut last = 0;
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let training = trainings.command("stopped", &["--resume"]).stderr(Stdio::piped()).spawn().expect("ofa starts");
        trainings.wait_for_checkpoint_after("stopped", last);
        let kill =
            Command::new("kill").args(["-s", signal, &training.id().to_string()]).status().expect("kill is there");
        assert!(kill.success());
        let output = training.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.status.signal()), (Some(code), None), "{stderr}");
        let told = stderr.lines().last().expect("it says that it was stopped");
        last = trainings.checkpoints("stopped").last().map(|path| number(path)).expect("there is a checkpoint");
        assert_eq!(told, format!("stopped after step {last} of 600; go on with --resume"));
    }
    // Without a word of what to do with it, days of work are not thrown away.
    let refused = ran(trainings.command("stopped", &[]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--resume") && refused.stderr.contains("--restart"), "{}", refused.stderr);
    let other: Vec<_> = trainings.arguments("stopped", &["--resume"]);
    let other: Vec<_> = other.iter().map(|argument| if argument == "5" { "6" } else { argument }).collect();
    let refused = ofa(&other);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("differs in: seed;"), "{}", refused.stderr);
    assert!(trainings.finish("stopped", &["--resume"]) == expected);

    // Begun anew after its end and stopped again, it isn't finished.
    let mut training = trainings.start("stopped", &[]);
    trainings.wait_for_checkpoint_after("stopped", 0);
    training.kill().expect("it runs");
    training.wait().expect("it ends");
    let resumed = ran(trainings.command("stopped", &["--resume"]));
    assert!(resumed.code == Some(0) && !resumed.stderr.contains("was finished before"), "{}", resumed.stderr);
    assert!(trainings.weights("stopped") == expected && trainings.checkpoints("stopped").is_empty());
}

#[test]
fn a_full_disk_is_one_line_and_leaves_the_last_good_checkpoint() {
    let trainings = Trainings::new();
    let expected = trainings.finish("undisturbed", &[]);
    // The teacher of the second phase makes its checkpoints larger than those of the first, in which it must be killed.
    let first = |path: &PathBuf| number(path) <= 300;
    let killed = (0..20).find_map(|_| {
        let _ = std::fs::remove_dir_all(trainings.path("starved.training"));
        let mut training = trainings.start("starved", &[]);
        trainings.wait_for_checkpoint_after("starved", 0);
        training.kill().expect("it can be killed");
        training.wait().expect("it ends");
        trainings.checkpoints("starved").pop().filter(first)
    });
    let killed = killed.expect("one of twenty trainings is killed in its first phase");
    let size = std::fs::metadata(killed).expect("it is there").len();
    // As on a full disk a write fails; the limit is in blocks of 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", size / 512 + 2);
    let plain = trainings.command("starved", &["--resume"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", &script, "sh"]).arg(plain.get_program()).args(plain.get_args());
    limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let starved = ran(limited);
    assert_eq!(starved.code, Some(2), "{}", starved.stderr);
    let lines: Vec<_> = starved.stderr.lines().filter(|line| line.contains("cannot write")).collect();
    assert_eq!(lines.len(), 1, "{}", starved.stderr);
    assert!(lines[0].contains("checkpoint-"), "{}", lines[0]);
    let left = trainings.checkpoints("starved");
    assert!(number(&left[left.len() - 1]) <= 300, "of the first phase: {left:?}");
    assert!(trainings.finish("starved", &["--resume"]) == expected, "and with room again it goes on");
}

/// TensorBoard's own reader, where `OFA_PYTHON` names a Python that has it.
#[test]
fn tensorboard_reads_what_a_training_and_its_resumption_wrote() {
    let python = std::env::var_os("OFA_PYTHON");
    let has = |python: &std::ffi::OsString| {
        Command::new(python)
            .args(["-c", "import tensorboard"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    };
    let Some(python) = python.filter(has) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: set OFA_PYTHON to a Python with tensorboard");
        return;
    };
    let trainings = Trainings::new();
    let mut training = trainings.start("seen", &[]);
    trainings.wait_for_checkpoint_after("seen", 60);
    training.kill().expect("it can be killed");
    training.wait().expect("it ends");
    trainings.finish("seen", &["--resume"]);
    let script = r#"
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    print(tag, *[event.step for event in events.Scalars(tag)])
"#;
    let output =
        Command::new(python).args(["-c", script]).arg(trainings.path("seen.training")).output().expect("it runs");
    let logged: String = (1..=12).map(|i| format!(" {}", i * 50)).collect();
    let train =
        ["accuracy", "images_per_second", "learning_rate", "loss"].map(|name| format!("train/{name}{logged}\n"));
    let validation = ["largest", "middle", "smallest"].map(|name| format!("validation/{name} 300 600\n"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, [train.concat(), validation.concat()].concat(), "{}", String::from_utf8_lossy(&output.stderr));
}
