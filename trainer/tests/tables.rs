//! `ofa table` on files: what it prints, and what it refuses.

mod schema;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use latency_probe::VERSION;
use runtime::Layer;
use trainer::estimate::Estimate;
use trainer::files::Header;
use trainer::space::Space;
use trainer::table::{Entry, FORMAT, LatencyTable, Opening, Outcome, Provenance};

/// All layers of a space, whose ticks are thirty and two for each multiplication.
fn table() -> LatencyTable {
    let space = Space::load("fashion").unwrap();
    let layers = space.distinct_layers();
    let entry = |(i, layer): (usize, &Layer)| Entry::measured(*layer, &[30 + 2 * layer.macs() as u32], i as u32);
    LatencyTable {
        header: Header::new(FORMAT, &space.hash(), 0),
        provenance: Provenance {
            command: "ofa measure --board b --space fashion".into(),
            board: "b".into(),
            core: "Cortex-M4F".into(),
            clock_hz: 64_000_000,
            unit: "cycles".into(),
            flash_bytes: 1 << 20,
            ram_bytes: 1 << 18,
            link: "none".into(),
            probe: "00".into(),
            sources: "11".into(),
            runtime: VERSION.into(),
            ofa: VERSION.into(),
            date: "2026-01-01".into(),
        },
        firmware: None,
        sentinel: None,
        layers: layers.iter().enumerate().map(entry).collect(),
        openings: vec![],
    }
}

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn save(&self, name: &str, change: impl FnOnce(&mut LatencyTable)) -> &Self {
        let mut table = table();
        change(&mut table);
        table.save(&self.path(name)).unwrap();
        self
    }

    fn ofa(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ofa")).args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.ofa(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As the schema of this name says.
    fn prints_json(&self, schema: &str, arguments: &[&str]) -> serde_json::Value {
        schema::valid(schema, &self.prints(&[arguments, &["--json"]].concat()))
    }

    fn fails(&self, arguments: &[&str], part: &str) {
        let output = self.ofa(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{part} is not in: {stderr}");
    }
}

#[test]
fn milliseconds_stand_where_the_unit_is_one_of_time() {
    let lab = Lab::new();
    lab.save("a.json", |_| ()).save("b.json", |table| {
        table.provenance.unit = "instructions".into();
        table.layers[3].outcome = Outcome::Refused("it is too large".into());
        table.layers[4].outcome = Outcome::Predicted { ticks: 9, low: 8, high: 10 };
    });
    let cycles = lab.prints(&["table", "show", "a.json", "--sort", "ticks", "--limit", "1"]);
    assert!(cycles.contains(" ms ") && cycles.contains("block "), "{cycles}");
    let instructions = lab.prints(&["table", "show", "b.json"]);
    assert!(!instructions.contains(" ms "), "{instructions}");
    let first = |name: &str| lab.prints_json("table-show", &["table", "show", name])["layers"][0].clone();
    let ticks = first("a.json")["outcome"]["measured"]["ticks"].as_f64().unwrap();
    assert_eq!(first("a.json")["milliseconds"], ticks / 64_000.0);
    assert!(first("b.json")["milliseconds"].is_null());
}

#[test]
fn openings_are_shown_behind_the_layers() {
    let lab = Lab::new();
    let space = Space::load("mcu").unwrap();
    lab.save("a.json", |table| {
        table.header.space = space.hash();
        table.openings = space.openings().into_iter().map(|pair| Opening::measured(pair, &[64_000], 5)).collect();
    });
    let text = lab.prints(&["table", "show", "a.json", "--limit", "1"]);
    let [.., head, first] = &text.lines().collect::<Vec<_>>()[..text.lines().count() - 5] else { panic!("{text}") };
    assert_eq!(*head, "stems and first blocks, which run as one:", "{text}");
    assert!(first.contains("64000") && first.contains(" 1.000 ") && first.contains(" + block "), "{text}");
    let shown = lab.prints_json("table-show", &["table", "show", "a.json"]);
    assert_eq!((shown["openings"].as_array().unwrap().len(), &shown["openings"][0]["kind"]), (6, &"opening".into()));
}

#[test]
fn two_tables_are_compared_layer_by_layer() {
    let lab = Lab::new();
    lab.save("a.json", |_| ()).save("b.json", |table| {
        let Entry { layer, .. } = table.layers[3];
        table.layers[3] = Entry::measured(layer, &[7], 3);
        let Entry { layer, .. } = table.layers[4];
        table.layers[4] = Entry::predicted(layer, Estimate { ticks: 9, low: 8, high: 10 });
    });
    let text = lab.prints(&["table", "diff", "a.json", "b.json"]);
    assert!(text.contains("1 layers significantly faster, 0 slower"), "{text}");
    let json = lab.prints_json("table-diff", &["table", "diff", "a.json", "b.json"]);
    assert_eq!((&json["faster"], &json["predicted"]["layers"]), (&1.into(), &1.into()), "{json:#}");
    assert_eq!(json["layers"].as_array().unwrap().len(), table().layers.len());
}

#[test]
fn what_must_not_mix_is_not_merged() {
    let lab = Lab::new();
    let all = table().layers.len();
    lab.save("a.json", |table| table.layers.truncate(40)).save("b.json", |table| drop(table.layers.drain(..30)));
    let said = lab.prints_json("table-merge", &["table", "merge", "a.json", "b.json", "--out", "merged.json"]);
    assert_eq!(said["layers"], all);
    assert_eq!(LatencyTable::open(&lab.path("merged.json")).unwrap().layers, table().layers);
    lab.save("c.json", |table| table.provenance.runtime = "9.9.9".into());
    lab.fails(
        &["table", "merge", "a.json", "c.json", "--out", "no.json"],
        &format!("different runtime do not mix: {VERSION} and 9.9.9"),
    );
    assert!(!lab.path("no.json").exists());
}

#[test]
fn a_check_finds_what_a_lab_should_look_at() {
    let lab = Lab::new();
    lab.save("sound.json", |_| ());
    assert_eq!(lab.prints_json("table-check", &["table", "check", "sound.json"])["findings"], serde_json::json!([]));
    lab.save("hole.json", |table| drop(table.layers.remove(5)));
    let output = lab.ofa(&["table", "check", "hole.json"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains(&format!("{}: is missing", table().layers[5].text)), "{stdout}");
    let json = lab.ofa(&["table", "check", "hole.json", "--json"]);
    let json = schema::valid("table-check", &String::from_utf8(json.stdout).unwrap());
    assert_eq!(json["findings"][0]["what"], "is missing");
    lab.fails(&["table", "check", "sound.json", "--space", "mcu"], "sound.json was made for space");
}

#[test]
fn a_plot_needs_no_other_file() {
    let lab = Lab::new();
    lab.save("a.json", |_| ());
    assert_eq!(lab.prints(&["table", "plot", "a.json"]), "a.svg\n");
    assert_eq!(lab.prints_json("table-plot", &["table", "plot", "a.json"])["plot"], "a.svg");
    let svg = fs::read_to_string(lab.path("a.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("href"), "{svg}");
}

#[test]
fn bad_files_are_one_line_and_exit_code_2() {
    let lab = Lab::new();
    lab.save("a.json", |_| ());
    let text = fs::read_to_string(lab.path("a.json")).unwrap();
    fs::write(lab.path("cut.json"), &text[..text.len() / 2]).unwrap();
    fs::write(lab.path("other.json"), text.replace(FORMAT, "ofa-else")).unwrap();
    for command in [&["show"][..], &["check"], &["plot"]] {
        for (file, part) in [("none.json", "cannot read none.json"), ("cut.json", "EOF"), ("other.json", "is ofa-else")]
        {
            lab.fails(&[&["table"], command, &[file]].concat(), part);
        }
    }
    lab.fails(&["table", "diff", "a.json", "cut.json"], "cut.json");
    assert!(!Path::new(&lab.path("cut.svg")).exists());
}
