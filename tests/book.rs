//! The book's tutorials as a reader tries them, from the first command to the last, with a tiny space in the place of
//! the real one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Fixture, command, done, has_qemu, ran, root, tiny, write_photographs};

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

#[test]
fn a_net_gets_into_a_firmware_in_c() {
    if !has_qemu("a_net_gets_into_a_firmware_in_c") {
        return;
    }
    let newlib = Command::new("arm-none-eabi-gcc").arg("-print-file-name=rdimon.specs").output();
    if !newlib.is_ok_and(|output| output.stdout.starts_with(b"/")) {
        // Past the test runner, which keeps what a passing test prints to itself.
        let missing = "arm-none-eabi-gcc with newlib is not installed";
        let _ = writeln!(std::io::stderr(), "SKIPPED a_net_gets_into_a_firmware_in_c: {missing}");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("temporary folders have plain names").to_string();
    let [supernet, data] = ["supernet.safetensors", "data"].map(|name| Fixture::get().text(name));
    let [subnet, model, elf] = ["subnet.onnx", "model", "example.elf"].map(path);
    done(&["extract", &supernet, "--arch", "smallest", "--data", &data, "--out", &subnet]);
    done(&["compile", &subnet, "--data", &data, "--out", &model]);
    let built = concat!(env!("CARGO_TARGET_TMPDIR"), "/c");
    let own = [
        ("/path/to/model", &*model),
        ("../../../target/c", built),
        ("../../target/c", built),
        ("example.elf", &elf),
        ("qemu-system-arm", "timeout 60 qemu-system-arm"),
    ];
    let page = page("firmware.md");
    let script = own.iter().fold(blocks(&page).collect::<Vec<_>>().join("\n"), |script, (theirs, own)| {
        assert!(script.contains(theirs), "the page says {theirs}");
        script.replace(theirs, own)
    });
    let mut bash = Command::new("bash");
    bash.args(["-euc", &script]).current_dir(root()).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    let outcome = ran(bash);
    assert_eq!(outcome.code, Some(0), "{script}: {}{}", outcome.stdout, outcome.stderr);
    let printed: Vec<&str> = outcome.stdout.lines().collect();
    assert!(printed.contains(&"libofa.a") && printed.contains(&"ofa.h"), "{printed:?}");
    let scores: Vec<i8> = printed.iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(scores.len(), 2, "a score for each class: {printed:?}");
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let source = root().join("trainer/book/src");
    let summary = page("SUMMARY.md");
    let listed: Vec<&str> = links(&summary).collect();
    let files = std::fs::read_dir(&source).expect("it is in the repository").map(|file| file.expect("a file").path());
    let pages: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    assert_eq!(listed.len() + 1, pages.len(), "the summary and the pages that it lists: {listed:?}");
    let mut found = 0;
    for path in pages {
        let name = path.file_name().and_then(|name| name.to_str()).expect("pages have plain names");
        for link in links(&page(name)).filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            assert!(!file.starts_with("..") && source.join(file).is_file(), "{name} links to {link}, not in the book");
            found += 1;
        }
    }
    assert!(found > listed.len(), "pages link to others");
}

#[test]
fn a_link_in_code_is_none() {
    let text = "[a](a.md) `[b](b.md)`\n```c\nx[c](c.md)\n```\n![d](d.png)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["a.md", "d.png"]);
}

/// A page as mdBook has it, with what it includes.
fn page(name: &str) -> String {
    let source = root().join("trainer/book/src");
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = read(&source.join(name));
    let mut parts = text.split("{{#include ");
    let mut page = parts.next().unwrap_or("").to_string();
    for part in parts {
        let (included, rest) = part.split_once("}}").expect("an include ends");
        let (path, range) = included.split_once(':').unwrap_or((included, ""));
        let text = read(&source.join(path));
        let numbers: Vec<usize> = range.split(':').filter_map(|number| number.parse().ok()).collect();
        match (range, &numbers[..]) {
            ("", _) => page += &text,
            (_, &[from, to]) => {
                page.extend(text.lines().skip(from - 1).take(to + 1 - from).flat_map(|line| [line, "\n"]))
            }
            (anchor, _) => {
                let marked = |mark: &str| format!("<!-- {mark}: {anchor} -->");
                let after = text.split_once(&marked("ANCHOR")).map(|(_, after)| after);
                let between = after.and_then(|after| after.split_once(&marked("ANCHOR_END")));
                page += between.unwrap_or_else(|| panic!("{path} has no {anchor}")).0;
            }
        }
        page += rest;
    }
    page
}

/// Where a page's links lead, those to pictures among them.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2).flat_map(|text| text.split('`').step_by(2));
    prose.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| rest.split(')').next())
}

/// The content of a page's `sh` blocks.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(""))
}

/// Runs each command in the page's `sh` blocks, in order, with `shorter` in the place of what takes long.
fn follow(page: &str, folder: &Path, shorter: &[(&str, String)]) {
    let text = std::fs::read_to_string(root().join("trainer/book/src").join(page)).expect("it is in the repository");
    let text = text.replace("\\\n", " ");
    let commands: Vec<&str> = blocks(&text).flat_map(str::lines).filter(|line| line.starts_with("ofa ")).collect();
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
