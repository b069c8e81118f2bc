//! The book's tutorials as a reader tries them, from the first command to the last, with a tiny space in the place of
//! the real one.

use std::path::Path;

use crate::fixture::{command, has_qemu, ran, root, tiny, write_photographs};

#[test]
fn own_photographs_get_to_a_board() {
    if !has_qemu("own_photographs_get_to_a_board") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_photographs(&folder.path().join("photos"), 90);
    let space = std::fs::read_to_string(tiny("photographs.toml")).expect("it is in the repository");
    let space = space.replace("classes = 10", "classes = 3");
    std::fs::write(folder.path().join("three.toml"), space).expect("the folder is ours");
    let shorter = [
        ("mcu:3", "three.toml".into()),
        ("--recipe mcu", format!("--recipe {}", tiny("recipe.toml"))),
        ("--samples 200", "--samples 20".into()),
        ("--random 20", "--random 3".into()),
    ];
    follow("host.md", folder.path(), &shorter);
    for file in ["photos.safetensors", "predictor.onnx", "arch.json", "subnet.onnx", "model/model.rs"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_board_gets_its_table() {
    if !has_qemu("a_board_gets_its_table") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shorter =
        [("--space fashion", format!("--space {}", tiny("space.toml"))), ("--validate 30", "--validate 3".into())];
    follow("lab.md", folder.path(), &shorter);
    assert!(folder.path().join("latency/mps2-an386.json").exists());
}

/// Runs each command in the page's `sh` blocks, in order, with `shorter` in the place of what takes long.
fn follow(page: &str, folder: &Path, shorter: &[(&str, String)]) {
    let text = std::fs::read_to_string(root().join("trainer/book/src").join(page)).expect("it is in the repository");
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(""));
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter(|line| line.starts_with("ofa ")).collect();
    assert!(commands.len() > 4, "{page} has commands: {commands:?}");
    for (long, _) in shorter {
        assert!(commands.iter().any(|line| line.contains(long)), "{page} says {long}");
    }
    for line in commands {
        let short = shorter.iter().fold(line.to_string(), |line, (long, short)| line.replace(long, short));
        let arguments: Vec<&str> = short.split_whitespace().skip(1).collect();
        let mut command = command(&arguments);
        command.current_dir(folder);
        let outcome = ran(command);
        assert_eq!(outcome.code, Some(0), "{page}: {line}, as {short}: {}{}", outcome.stdout, outcome.stderr);
    }
}
