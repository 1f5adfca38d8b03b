//! JSON Schema as far as the API description uses it. A keyword that is not known here fails the test: nothing passes
//! because it was overlooked.

use serde_json::{Map, Value};

/// Everything about `value` that `schema` does not allow, with the place.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    Check { document, faults: &mut faults }.any(schema, value, "$");
    faults
}

struct Check<'a> {
    document: &'a Value,
    faults: &'a mut Vec<String>,
}

impl Check<'_> {
    fn any(&mut self, schema: &Value, value: &Value, at: &str) {
        match schema {
            Value::Bool(true) => {}
            Value::Object(keywords) => {
                for (keyword, argument) in keywords {
                    self.keyword(keywords, keyword, argument, value, at);
                }
            }
            other => panic!("{at}: {other} is no schema"),
        }
    }

    fn keyword(
        &mut self,
        all: &Map<String, Value>,
        keyword: &str,
        argument: &Value,
        value: &Value,
        at: &str,
    ) {
        let is_fine = match keyword {
            "description" | "title" | "default" | "format" | "deprecated" => true,
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                let target =
                    self.document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
                self.any(&target.clone(), value, at);
                true
            }
            "type" => match argument {
                Value::Array(types) => types.iter().any(|t| is_of_type(value, t)),
                one => is_of_type(value, one),
            },
            "const" => argument == value,
            "enum" => argument.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|v| v >= argument.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= argument.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|v| v.len() as u64 >= argument.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= argument.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= argument.as_u64().unwrap()),
            "required" => match value.as_object() {
                Some(object) => argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|name| object.contains_key(name.as_str().unwrap())),
                None => true,
            },
            "properties" => {
                for (name, schema) in argument.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        self.any(schema, member, &format!("{at}.{name}"));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = all.get("properties").and_then(Value::as_object);
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    match argument {
                        Value::Bool(false) => self.faults.push(format!("{at}.{name} is not described")),
                        schema => self.any(schema, member, &format!("{at}.{name}")),
                    }
                }
                true
            }
            "prefixItems" => {
                for (n, (schema, item)) in argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .zip(value.as_array().into_iter().flatten())
                    .enumerate()
                {
                    self.any(schema, item, &format!("{at}[{n}]"));
                }
                true
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.any(argument, item, &format!("{at}[{n}]"));
                }
                true
            }
            "anyOf" => self.fitting(argument, value) >= 1,
            "oneOf" => self.fitting(argument, value) == 1,
            "allOf" => self.fitting(argument, value) == argument.as_array().unwrap().len(),
            unknown => panic!("{at}: the keyword {unknown} is not checked here"),
        };
        if !is_fine {
            self.faults.push(format!("{at}: {value} does not fit {keyword} {argument}"));
        }
    }

    fn fitting(&self, schemas: &Value, value: &Value) -> usize {
        let schemas = schemas.as_array().unwrap();
        schemas.iter().filter(|schema| faults(self.document, schema, value).is_empty()).count()
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}
