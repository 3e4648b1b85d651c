//! JSON of an archived run with one line for each list, so that a diff is readable.

use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Serializes `value` as JSON with one line for each field of the outer objects.
///
/// # Errors
/// Returns the error of `serde_json` if `value` cannot be JSON.
pub(super) fn to_json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = String::new();
    match serde_json::to_value(value)? {
        Value::Object(fields) => object(&mut text, &fields, 1),
        other => text += &other.to_string(),
    }
    Ok(text + "\n")
}

fn object(text: &mut String, fields: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth);
    text.push('{');
    for (place, (name, value)) in fields.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(text, "{comma}\n{indent}\"{name}\": ").expect("a string takes all");
        match value {
            Value::Object(fields) if depth < 3 && !fields.is_empty() => object(text, fields, depth + 1),
            other => *text += &other.to_string(),
        }
    }
    write!(text, "\n{}}}", "  ".repeat(depth - 1)).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_take_a_line() {
        let text = to_json(&json!({"a": {"b": [1, 2.5], "c": "x\"y"}, "d": null})).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": {\n    \"b\": [1,2.5],\n    \"c\": \"x\\\"y\"\n  },\n  \"d\": null\n}\n"
        );
    }

    #[test]
    fn it_reads_back() {
        let value = json!({"a": {"b": {"c": {"d": {"e": [1]}}}}, "f": {}});
        let text = to_json(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
