//! The schemas of what `ofa` prints as JSON: sound, complete, and used.

mod schema;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use schema::{check, valid};
use serde_json::{Value, json};

/// Commands whose output no test looks at, and why.
const NOT_RUN: [(&str, &str); 2] = [
    ("predictor-import", "the repository holds no predictor of the original's"),
    ("table-import", "the repository holds no latency table of the original's"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// Name and content of each schema.
fn schemas() -> Vec<(String, Value)> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let schema = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        let schema = schema.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, schema)
    };
    paths.map(read).collect()
}

/// What `ofa` prints; it must end well.
fn ofa(arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ofa"));
    let output = command.args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ofa {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each keyword has a value of its form, each object with named fields is closed, each field is described.
fn assert_sound(at: &str, schema: &Value) {
    let keywords = schema.as_object().unwrap_or_else(|| panic!("{at} is no object"));
    for (keyword, value) in keywords {
        let at = format!("{at}.{keyword}");
        match keyword.as_str() {
            "$schema" => assert_eq!(value, "https://json-schema.org/draft/2020-12/schema", "{at}"),
            "$id" | "title" | "description" => assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{at}"),
            "$ref" => assert!(folder().join(value.as_str().unwrap()).is_file(), "{at}: {value}"),
            "type" => {
                let types = value.as_array().map_or(vec![value.clone()], Clone::clone);
                let known = ["object", "array", "string", "boolean", "null", "number", "integer"];
                assert!(types.iter().all(|kind| known.contains(&kind.as_str().unwrap())), "{at}: {value}");
            }
            "enum" => assert!(value.as_array().is_some_and(|values| values.len() > 1), "{at}"),
            "minimum" | "maximum" | "exclusiveMinimum" => assert!(value.is_number(), "{at}"),
            "minItems" | "maxItems" => assert!(value.is_u64(), "{at}"),
            "items" => assert_sound(&at, value),
            "anyOf" | "oneOf" => {
                let schemas = value.as_array().unwrap();
                schemas.iter().enumerate().for_each(|(i, schema)| assert_sound(&format!("{at}[{i}]"), schema));
            }
            "required" => {
                let named = |name: &Value| keywords["properties"].get(name.as_str().unwrap()).is_some();
                assert!(value.as_array().unwrap().iter().all(named), "{at} names a field that there is not");
            }
            "dependentRequired" => assert!(value.is_object(), "{at}"),
            "properties" => {
                assert_eq!(keywords.get("additionalProperties"), Some(&Value::Bool(false)), "{at}: not closed");
                assert!(keywords.contains_key("required"), "{at}: nothing is required");
                for (name, field) in value.as_object().unwrap() {
                    assert!(field.get("description").is_some(), "{at}.{name}: not described");
                    assert_sound(&format!("{at}.{name}"), field);
                }
            }
            "additionalProperties" if value == false => assert!(keywords.contains_key("properties"), "{at}"),
            "additionalProperties" => assert_sound(&at, value),
            _ => panic!("{at}: the keyword is not known"),
        }
    }
}

#[test]
fn every_schema_is_sound() {
    for (name, schema) in schemas() {
        assert_sound(&name, &schema);
        assert_eq!(schema["$id"], format!("{name}.json"));
        for keyword in ["$schema", "title", "description"] {
            assert!(schema.get(keyword).is_some(), "{name} has no {keyword}");
        }
    }
}

/// By a test that holds what a command prints against it, or by another schema.
#[test]
fn every_schema_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["tests", "tests/boards", "../tests"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let sources = sources.into_iter().flatten().map(|entry| entry.unwrap().path());
    let tests: Vec<_> = sources.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect();
    let tests: String = tests.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let book = fs::read_to_string(root.join("book/src/formats.md")).unwrap();
    let schemas = schemas();
    let texts: String = schemas.iter().map(|(_, schema)| schema.to_string()).collect();
    for (name, schema) in &schemas {
        let called = |function: &str| tests.contains(&format!("{function}(\"{name}\""));
        let tested = ["valid", "prints_json", "json"].into_iter().any(called);
        let part = texts.contains(&format!("\"$ref\":\"{name}.json\""));
        let why = NOT_RUN.iter().find(|(not_run, _)| not_run == name);
        if let Some((_, why)) = why {
            // Past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "NOT RUN: {}, as {why}", schema["title"].as_str().unwrap());
        }
        assert_eq!(usize::from(tested || part) + usize::from(why.is_some()), 1, "{name} is used by no test, or listed");
        if schema["title"].as_str().unwrap().starts_with("ofa ") {
            assert!(book.contains(&format!("`{name}.json`")), "{name}.json is not in book/src/formats.md");
        }
    }
}

/// The schemas of commands that print quickly, and for which nothing has to be made before.
#[test]
fn what_is_printed_is_as_the_schemas_say() {
    for space in ["fashion", "mcu", "mobilenetv3"] {
        assert_eq!(valid("space-show", &ofa(&format!("space show {space} --json")))["name"], space);
    }
    let space = valid("space-show", &ofa("space show mcu --random 20 --json"));
    let [lowest, median, highest] = ["lowest", "median", "highest"].map(|of| space["random"]["sram"][of].as_f64());
    assert!(lowest < median && median < highest, "{space:#}");
    let boards = valid("board-list", &ofa("board list --json"));
    assert!(boards.as_array().unwrap().iter().any(|board| board["name"] == "mps2-an386"), "{boards}");
}

/// A layer that runs, and one that is too large for any board.
#[test]
fn layers_are_timed_as_the_schemas_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layers.json");
    let layers = json!([
        {"kind": "block", "input": [4, 4, 8], "out": 8, "kernel": 3, "expand": 16, "residual": true},
        {"kind": "conv", "input": [4, 4, 8], "out": 8, "kernel": 4},
    ]);
    fs::write(&path, layers.to_string()).unwrap();
    let rows = valid("bench-kernels", &ofa(&format!("bench kernels --board host --json --layers {}", path.display())));
    assert_eq!((&rows[0]["exact"], rows[1].get("unsupported").is_some()), (&Value::Bool(true), true), "{rows}");
}

/// Values and schemas that they are not like, each for another keyword.
#[test]
fn what_is_not_as_a_schema_says_is_found() {
    let closed = json!({"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"$ref": "limits.json"}}});
    let choice = json!({"oneOf": [{"minimum": 3}, {"maximum": 5}]});
    let cases = [
        (&closed, json!({"a": 1}), ""),
        (&closed, json!({"a": null}), ""),
        (&closed, json!([]), "type"),
        (&closed, json!({}), "required"),
        (&closed, json!({"a": 1.5}), ".a: type"),
        (&closed, json!({"a": "1"}), ".a: type"),
        (&closed, json!({"a": 1, "c": 1}), ".c is not in the schema"),
        (&closed, json!({"a": 1, "b": {"latency": 1, "sram": 1, "flash": 1}}), ".b: required"),
        (&closed, json!({"a": 1, "b": {"latency": -1, "sram": 1, "flash": 1, "macs": 1}}), ".b.latency: minimum"),
        (&choice, json!(2), ""),
        (&choice, json!(4), "2 of oneOf fit"),
        (&json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), json!(1), "0 of anyOf fit"),
        (&json!({"items": {"enum": ["a", "b"]}}), json!(["a", "c"]), "[1]: enum"),
        (&json!({"minItems": 1}), json!([]), "minItems"),
        (&json!({"maxItems": 1}), json!([1, 2]), "maxItems"),
        (&json!({"exclusiveMinimum": 0}), json!(0), "exclusiveMinimum"),
        (&json!({"maximum": 1}), json!(1.01), "maximum"),
        (&json!({"additionalProperties": {"type": "string"}}), json!({"x": 1}), ".x: type"),
        (&json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1}), "dependentRequired"),
        (&json!({"pattern": "a"}), json!("a"), "pattern is unknown"),
    ];
    for (schema, value, part) in cases {
        let result = check(schema, &value);
        assert_eq!(result.is_ok(), part.is_empty(), "{value}: {result:?}");
        assert!(result.err().unwrap_or_default().contains(part), "{value} against {schema}");
    }
}
