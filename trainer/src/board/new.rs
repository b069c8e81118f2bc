//! A new board from one that there is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::{Board, root};
use crate::files;

/// Makes the folder of a board as a copy of another's, which builds at once, and adds it to the workspace of the
/// boards. What is then to be changed, `boards/NEW_BOARD.md` says.
///
/// ```no_run
/// let folder = trainer::board::create("my-board", "nrf52840-dk")?;
/// assert!(folder.join("board.toml").is_file());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the name is taken or none for a board, or the sources cannot be written.
pub fn create(name: &str, from: &str) -> Result<PathBuf> {
    let from = Board::load(from)?;
    let boards = root().join("boards");
    ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && name.len() <= 32,
        "{name} is no name for a board: take up to 32 small letters, digits and hyphens, a letter first"
    );
    let folder = boards.join(name);
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let [manifest, lock] = ["Cargo.toml", "Cargo.lock"].map(|file| boards.join(file));
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let workspace = with_member(&read(&manifest)?, name, &from.name)
        .with_context(|| format!("{}: {} is no line of its members", manifest.display(), from.name))?;
    let packages = with_package(&read(&lock)?, name, &from.name)
        .with_context(|| format!("{}: there is no package {}", lock.display(), from.name))?;

    // Whole or not at all.
    let temporary = tempfile::tempdir_in(&boards).with_context(|| format!("cannot write {}", boards.display()))?;
    copy(&from.folder, temporary.path())?;
    let change = |file: &str, keys: &[(&str, String)]| -> Result<()> {
        let path = temporary.path().join(file);
        let mut text = read(&path)?;
        for (key, value) in keys {
            let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).map(str::to_string);
            let line = line.with_context(|| format!("{} has no {key}", from.folder.join(file).display()))?;
            text = text.replacen(&line, &format!("{key} = {}", Value::from(value.clone())), 1);
        }
        files::write(&path, text.as_bytes())
    };
    let begun = format!("begun as a copy of {}; not tried yet", from.name);
    change("board.toml", &[("name", name.into()), ("tested", begun)])?;
    change("Cargo.toml", &[("name", name.into()), ("description", format!("Firmware for {name}"))])?;
    fs::rename(temporary.keep(), &folder).with_context(|| format!("cannot write {}", folder.display()))?;
    files::write(&lock, packages.as_bytes())?;
    files::write(&manifest, workspace.as_bytes())?;
    Ok(folder)
}

/// Without what git ignores and what builds leave.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let list = || fs::read_dir(from)?.collect::<std::io::Result<Vec<_>>>();
    for entry in list().with_context(|| format!("cannot read {}", from.display()))? {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() && entry.file_name() != "target" {
            fs::create_dir(&to).with_context(|| format!("cannot write {}", to.display()))?;
            copy(&path, &to)?;
        } else if path.is_file() {
            fs::copy(&path, &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    Ok(())
}

/// The workspace's manifest, with `name` in the line behind that of `from`.
fn with_member(manifest: &str, name: &str, from: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.trim() == format!("{from:?},"))?;
    Some(manifest.replacen(line, &format!("{line}\n{}", line.replace(from, name)), 1))
}

/// The lock file, with a package that has the dependencies of `from`, where cargo would put it.
fn with_package(lock: &str, name: &str, from: &str) -> Option<String> {
    const START: &str = "[[package]]\n";
    let mut parts: Vec<String> = lock.split(START).map(|part| part.trim_end().to_string()).collect();
    let named = |part: &str| -> Option<String> { Some(part.parse::<Table>().ok()?.get("name")?.as_str()?.to_string()) };
    let own = parts.iter().skip(1).find(|part| named(part).as_deref() == Some(from))?;
    let own = own.replacen(&format!("{from:?}"), &format!("{name:?}"), 1);
    let place = parts.iter().skip(1).position(|part| named(part).is_some_and(|other| *other > *name));
    parts.insert(place.map_or(parts.len(), |i| i + 1), own);
    Some(parts.join(&format!("\n\n{START}")) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_comes_behind_the_one_that_it_is_like() {
        let manifest = "[workspace]\nmembers = [\n    \"a\",\n    \"b\",\n]\n";
        let expected = "[workspace]\nmembers = [\n    \"a\",\n    \"new\",\n    \"b\",\n]\n";
        assert_eq!(with_member(manifest, "new", "a").as_deref(), Some(expected));
        assert_eq!(with_member(manifest, "new", "c"), None);
    }

    #[test]
    fn a_package_is_locked_like_the_one_that_it_is_like_and_in_order() {
        let package =
            |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\ndependencies = [\n \"x\",\n]\n");
        let lock = |names: &[&str]| {
            let packages: Vec<_> = names.iter().map(|name| package(name)).collect();
            format!("# Generated\nversion = 4\n\n{}", packages.join("\n"))
        };
        assert_eq!(with_package(&lock(&["a", "c"]), "b", "a"), Some(lock(&["a", "b", "c"])));
        assert_eq!(with_package(&lock(&["a", "c"]), "d", "a"), Some(lock(&["a", "c", "d"])));
        assert_eq!(with_package(&lock(&["a", "c"]), "b", "e"), None);
    }
}
