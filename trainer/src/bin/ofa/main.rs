//! The command line. Results go to stdout, progress to stderr; exit code 0 done, 1 nothing fits, 2 error.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trainer::search::Infeasible;
use trainer::suggest::NothingFits;

mod bench;
mod board;
mod compile;
#[cfg(feature = "torch")]
mod demo;
#[cfg(feature = "torch")]
mod evaluate;
#[cfg(feature = "torch")]
mod extract;
mod lab;
mod measure;
mod predictor;
mod probe;
mod report;
mod run;
mod search;
mod shell;
mod space;
#[cfg(feature = "torch")]
mod study;
mod table;
#[cfg(feature = "torch")]
mod torch;
#[cfg(feature = "torch")]
mod train;

/// Once-for-all networks: train one supernet, search, compile and run the best subnet for each device.
#[derive(Parser)]
#[command(name = "ofa", version, max_term_width = 100)]
struct Ofa {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Space(space::Cmd),
    #[cfg(feature = "torch")]
    Train(train::Cmd),
    #[cfg(feature = "torch")]
    Evaluate(evaluate::Cmd),
    Predictor(predictor::Cmd),
    Board(board::Cmd),
    Measure(measure::Cmd),
    Lab(lab::Cmd),
    #[command(hide = true)]
    Probe(probe::Cmd),
    Table(table::Cmd),
    Search(search::Cmd),
    #[cfg(feature = "torch")]
    Extract(extract::Cmd),
    Compile(compile::Cmd),
    Run(run::Cmd),
    Report(report::Cmd),
    #[cfg(feature = "torch")]
    Study(study::Cmd),
    Bench(bench::Cmd),
    #[cfg(feature = "torch")]
    Demo(demo::Cmd),
    Completions(shell::Completions),
    #[command(name = "man")]
    Manual(shell::Manual),
}

fn main() -> ExitCode {
    let done = match Ofa::parse().command {
        Command::Space(cmd) => cmd.run(),
        #[cfg(feature = "torch")]
        Command::Train(cmd) => cmd.run(),
        #[cfg(feature = "torch")]
        Command::Evaluate(cmd) => cmd.run(),
        Command::Predictor(cmd) => cmd.run(),
        Command::Board(cmd) => cmd.run(),
        Command::Measure(cmd) => cmd.run(),
        Command::Lab(cmd) => cmd.run(),
        Command::Probe(cmd) => cmd.run(),
        Command::Table(cmd) => cmd.run(),
        Command::Search(cmd) => cmd.run(),
        #[cfg(feature = "torch")]
        Command::Extract(cmd) => cmd.run(),
        Command::Compile(cmd) => cmd.run(),
        Command::Run(cmd) => cmd.run(),
        Command::Report(cmd) => cmd.run(),
        #[cfg(feature = "torch")]
        Command::Study(cmd) => cmd.run(),
        Command::Bench(cmd) => cmd.run(),
        #[cfg(feature = "torch")]
        Command::Demo(cmd) => cmd.run(),
        Command::Completions(cmd) => cmd.run(),
        Command::Manual(cmd) => cmd.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One line on stderr, and the exit code. A reader that has gone away is no error.
fn fail(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    #[cfg(feature = "torch")]
    if let Some(stopped) = error.downcast_ref::<trainer::train::Stopped>() {
        eprintln!("{stopped}");
        return ExitCode::from(128 + stopped.signal as u8);
    }
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    let nothing_fits = error.is::<Infeasible>() || error.is::<NothingFits>() || error.is::<compile::Misses>();
    ExitCode::from(if nothing_fits || error.is::<table::Suspicious>() { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Ofa::command().debug_assert();
    }
}
