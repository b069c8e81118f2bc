//! `latency-probe [NAME]`: the probe of a computer or a phone, over stdin and stdout, by the name of its board.

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "host".into());
    if name.starts_with('-') || name.len() > 16 {
        eprintln!("latency-probe [NAME]: measures layers, as a host asks over stdin; NAME has at most 16 bytes");
        return ExitCode::from(2);
    }
    match latency_probe::host::serve_stdio(&name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the link: {error}");
            ExitCode::from(2)
        }
    }
}
