//! When `ofa` ends, by whatever cause, what it started ends too.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{command, has_qemu};

/// Pids of a process's children.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(300);
    while Instant::now() < end {
        if let Some(value) = found() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not come");
}

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn no_emulator_outlives_a_signal() {
    if !has_qemu("no_emulator_outlives_a_signal") {
        return;
    }
    for signal in ["INT", "TERM", "KILL"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("table.json");
        let out = out.to_str().expect("a plain name");
        let mut command = command(&["measure", "--board", "mps2-an386", "--space", "fashion", "--out", out]);
        let mut ofa: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ofa starts");
        let emulators = wait_for("an emulator", || {
            let emulators: Vec<_> = children(ofa.id()).into_iter().filter(|&pid| name(pid).contains("qemu")).collect();
            (!emulators.is_empty()).then_some(emulators)
        });
        let killed = Command::new("kill").args([&format!("-{signal}"), &ofa.id().to_string()]).status();
        assert!(killed.expect("kill is everywhere").success());
        ofa.wait().expect("it is our child");
        wait_for("the emulators' end", || emulators.iter().all(|&pid| !name(pid).contains("qemu")).then_some(()));
        assert!(!Path::new(out).exists(), "nothing half-written after SIG{signal}");
    }
}
