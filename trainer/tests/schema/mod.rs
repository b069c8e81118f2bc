//! What `ofa` prints, beside the schemas of `trainer/schemas`.
//!
//! A schema validator would bring its features into the crates that the product is built from, down to how it reads
//! numbers. So these lines follow JSON Schema 2020-12 as far as the schemas go; a keyword that they do not know is an
//! error.

use std::path::Path;

use serde_json::{Map, Value};

/// The value that `text` holds, which must be as the schema of this name says.
#[track_caller]
pub fn valid(name: &str, text: &str) -> Value {
    let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    check(&load(name), &value).unwrap_or_else(|error| panic!("not as schemas/{name}.json says: {error}\n{value:#}"));
    value
}

fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/schemas").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether `value` is as `schema` says; a reference is to a file beside the schema.
///
/// # Errors
/// Where in the value it is not, and what was asked for.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = schema.as_object().ok_or_else(|| format!("{schema} is no schema"))?;
    keywords.iter().try_for_each(|(keyword, asked)| {
        let is = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" => true,
            "$ref" => return check(&load(asked.as_str().and_then(|file| file.strip_suffix(".json")).unwrap()), value),
            "type" => list(asked).iter().any(|kind| is_of(value, kind)),
            "enum" => list(asked).contains(value),
            "minimum" => value.as_f64() >= asked.as_f64() || !value.is_number(),
            "exclusiveMinimum" => value.as_f64() > asked.as_f64() || !value.is_number(),
            "maximum" => value.as_f64() <= asked.as_f64() || !value.is_number(),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= asked.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= asked.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|fields| has(fields, asked)),
            "dependentRequired" => value.as_object().is_none_or(|fields| {
                asked.as_object().unwrap().iter().all(|(name, needs)| !fields.contains_key(name) || has(fields, needs))
            }),
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                return items.try_for_each(|(i, item)| check(asked, item).map_err(|e| format!("[{i}]{e}")));
            }
            "properties" => {
                let known = |(name, field): (&String, &Value)| {
                    asked.get(name).map_or(Ok(()), |schema| check(schema, field).map_err(|e| format!(".{name}{e}")))
                };
                return value.as_object().into_iter().flatten().try_for_each(known);
            }
            "additionalProperties" => {
                let named = |name: &str| keywords.get("properties").is_some_and(|fields| fields.get(name).is_some());
                let others = |(name, field): (&String, &Value)| match (named(name), asked) {
                    (true, _) => Ok(()),
                    (false, Value::Bool(false)) => Err(format!(".{name} is not in the schema")),
                    (false, schema) => check(schema, field).map_err(|e| format!(".{name}{e}")),
                };
                return value.as_object().into_iter().flatten().try_for_each(others);
            }
            "anyOf" | "oneOf" => {
                let results: Vec<_> = list(asked).iter().map(|schema| check(schema, value)).collect();
                let fitting = results.iter().filter(|result| result.is_ok()).count();
                if fitting != 1 && (fitting == 0 || keyword == "oneOf") {
                    let causes: Vec<_> = results.into_iter().filter_map(Result::err).collect();
                    return Err(format!(": {fitting} of {keyword} fit: {}", causes.join("; ")));
                }
                true
            }
            _ => return Err(format!(": the keyword {keyword} is unknown here")),
        };
        if is { Ok(()) } else { Err(format!(": {keyword} {asked} does not hold for {value}")) }
    })
}

fn has(fields: &Map<String, Value>, names: &Value) -> bool {
    list(names).iter().all(|name| fields.contains_key(name.as_str().unwrap()))
}

/// The items of a list; of anything else itself.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("there is no type {other}"),
    }
}
