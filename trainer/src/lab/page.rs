//! The status as one HTML file that needs nothing else, and shows itself anew while the run goes on.

use super::status::{CopyStatus, KindStatus, State, Status};

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em;max-width:60em}\
    table{border-collapse:collapse;width:100%}td{padding:.2em .8em .2em 0;border-top:1px solid #8884;vertical-align:top}\
    progress{width:100%}.bad{color:#b00020}.name{font-weight:600}";

/// The page.
pub fn page(status: &Status) -> String {
    let refresh = if status.ended { "" } else { "<meta http-equiv=\"refresh\" content=\"2\">" };
    let state = if status.ended { "the run has ended" } else { "the run goes on" };
    let kinds: String = status.kinds.iter().map(kind).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">{refresh}<title>ofa lab</title>\
         <style>{STYLE}</style><h1>ofa lab</h1><p>{state}; written at second {} of Unix time</p>{kinds}</html>\n",
        status.updated
    )
}

fn kind(kind: &KindStatus) -> String {
    let copies: String = kind.copies.iter().map(copy).collect();
    let suspicious: String =
        kind.suspicious.iter().map(|what| format!("<p class=\"bad\">{}</p>", escape(what))).collect();
    format!(
        "<h2>{}</h2><p>{}, in {}</p><progress max=\"{}\" value=\"{}\"></progress>{suspicious}<table>{copies}</table>",
        escape(&kind.board),
        escape(&kind.progress()),
        escape(&kind.unit),
        kind.layers,
        kind.known
    )
}

fn copy(CopyStatus { name, state, said, layers, restarts }: &CopyStatus) -> String {
    let class = if matches!(state, State::Gone | State::GivenUp | State::Refused) { " class=\"bad\"" } else { "" };
    format!(
        "<tr><td class=\"name\">{}<td{class}>{state}<td>{layers} layers<td>came back {restarts} times<td>{}",
        escape(name),
        escape(said)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
