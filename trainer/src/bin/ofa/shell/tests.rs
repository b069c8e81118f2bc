//! What the command line says of itself, and what the documents say of it.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use snapbox::{assert_data_eq, file};
use trainer::board::root;

use super::collect;
use crate::Ofa;

/// Commands of the script `./ofa`, which is the program's door in this repository.
const OF_THE_SCRIPT: [&str; 3] = ["setup", "test", "doctor"];

/// Where documents are.
const FOLDERS: [&str; 6] = ["", "trainer", "trainer/book/src", "runtime", "latency-probe", "boards"];

/// `SNAPSHOTS=overwrite cargo test -p trainer --bin ofa` writes what is said now.
#[test]
fn help_is_what_was_read_and_approved() {
    assert_data_eq!(help(), file!["help.txt"].raw());
}

/// Every `ofa …` in the code of a document and in the examples of help: a renamed option shows.
#[test]
fn documented_commands_are_understood() {
    let mut texts = vec![help()];
    for folder in FOLDERS {
        let paths = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let documents = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        texts.extend(documents.map(|path| std::fs::read_to_string(path).unwrap()));
    }
    let commands: Vec<_> = texts.iter().flat_map(|text| commands(text)).collect();
    assert!(commands.len() > 100, "only {} commands were found", commands.len());
    let refused: Vec<_> = commands.iter().filter_map(|command| refusal(command)).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn a_wrong_option_in_a_document_is_seen() {
    let found = commands("Run `ofa train --recipes full`, or\n\n  ofa search --limit sram=1k # now\n");
    assert_eq!(found, ["ofa train --recipes full", "ofa search --limit sram=1k # now"]);
    assert!(refusal(&found[0]).unwrap().contains("unexpected argument '--recipes'"));
    assert_eq!(refusal(&found[1]), None);
}

/// The pages of all commands, one after another.
fn help() -> String {
    let mut ofa = Ofa::command().disable_help_subcommand(true).term_width(100);
    ofa.build();
    let mut pages = vec![];
    collect(&ofa, "ofa", &mut pages);
    let pages = pages.into_iter().filter(|(_, command)| !command.is_hide_set());
    pages.map(|(name, mut command)| format!("=== {name}\n\n{}\n", command.render_long_help())).collect()
}

/// The commands in lines that begin with one, and between backticks.
fn commands(text: &str) -> Vec<String> {
    let code = text.lines().flat_map(|line| [line.trim()].into_iter().chain(line.split('`').skip(1).step_by(2)));
    let commands = code.map(|code| code.strip_prefix("./").unwrap_or(code)).filter(|code| code.starts_with("ofa "));
    // Not lists, pictures and what a command printed.
    let whole = commands.filter(|command| !command.contains(['|', '…', '▶']) && !command.contains(": "));
    let whole = whole.filter(|command| !command.starts_with("ofa COMMAND"));
    whole.map(String::from).collect()
}

/// Why the command is not understood. One that is only named, without all that it needs, is understood; a word in
/// capitals stands for a value.
fn refusal(command: &str) -> Option<String> {
    let first = command.split("&&").next().unwrap_or(command);
    let words: Vec<_> = shlex::split(first)?.into_iter().take_while(|word| word != ">").collect();
    if words.get(1).is_none_or(|word| OF_THE_SCRIPT.contains(&&**word)) {
        return None;
    }
    let placeholders = words.iter().any(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
    let option_is_last = words.last().is_some_and(|word| word.starts_with("--"));
    let error = Ofa::try_parse_from(words).err()?;
    let refused = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => true,
        ErrorKind::ValueValidation => !placeholders,
        ErrorKind::InvalidValue => !placeholders && !option_is_last,
        _ => false,
    };
    refused.then(|| format!("{command}: {error}"))
}
