//! `/openapi.json`: the description of all pages, made from the table of routes and from the types themselves.

use std::sync::OnceLock;

use schemars::generate::{Contract, SchemaSettings};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes::{Gives, Parameter, ROUTES, Route, Values};
use super::{Api, Call};
use crate::access::Need;
use crate::answer::Answer;
use crate::events::Kind;
use crate::problem::{PROBLEM_JSON, Problem};

/// The whole description.
pub(super) type Description = Map<String, Value>;

pub(super) fn answer(_: &Api, call: &Call) -> Answer {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = TEXT.get_or_init(|| serde_json::to_vec(&description()).unwrap_or_default());
    Answer::new(200, "application/json", text.clone()).conditional(call.request)
}

fn description() -> Value {
    let generator = |contract| {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.contract = contract;
            settings.meta_schema = None;
        });
        settings.into_generator()
    };
    let (mut given, mut taken) = (generator(Contract::Serialize), generator(Contract::Deserialize));
    let problem = given.subschema_for::<Problem>();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route, &mut given, &mut taken);
    }
    // A stream tells events that no page's type mentions.
    given.subschema_for::<crate::events::Event>();
    let mut schemas = given.take_definitions(true);
    schemas.extend(taken.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Adit",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": "Operators' side of the Adit mining proxy. Moments ending in _ms are Unix time in \
                milliseconds. Pages of GET may be asked for with HEAD, too. Every refusal is a problem (RFC 9457).",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of role viewer reads, one of role operator also commands. Where none is \
                        configured, this machine reads without one and nobody commands.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "Refused: why, and what to do about it.",
                    "content": { PROBLEM_JSON: { "schema": problem } },
                },
            },
        },
    })
}

fn operation(route: &Route, given: &mut SchemaGenerator, taken: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<_> = route.parameters.iter().map(parameter).collect();
    if route.path.contains("{name}") {
        parameters.insert(
            0,
            json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }),
        );
    }
    let mut answers: Map<_, _> =
        route.gives.iter().map(|(status, gives)| (status.to_string(), answer_of(gives, given))).collect();
    answers.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    let security = match route.need {
        Need::Probe | Need::Page => json!([]),
        Need::Read => json!([{ "token": [] }, {}]),
        Need::Command => json!([{ "token": [] }]),
    };
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": answers,
        "security": security,
    });
    if let Some(schema) = route.takes {
        let schema = schema(taken);
        // Where every field may be left out, so may the body.
        let is_required = fields_required(&schema, taken) > 0;
        operation["requestBody"] =
            json!({ "required": is_required, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// How many fields of a body must be there.
fn fields_required(schema: &Schema, generator: &SchemaGenerator) -> usize {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let fields = match name {
        Some(name) => generator.definitions().get(name).and_then(|schema| schema.get("required")),
        None => schema.get("required"),
    };
    fields.and_then(Value::as_array).map_or(0, Vec::len)
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter { name, about, values } = parameter;
    let mut described = json!({ "name": name, "in": "query", "description": about });
    described["schema"] = match values {
        Values::Text => json!({ "type": "string" }),
        Values::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Values::Words(words) => json!({ "type": "string", "enum": words }),
        Values::Kinds => {
            let kinds = Kind::ALL.map(Kind::label);
            described["style"] = json!("form");
            described["explode"] = json!(false);
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": kinds } })
        }
    };
    described
}

fn answer_of(gives: &Gives, generator: &mut SchemaGenerator) -> Value {
    let described = |content: Value| json!({ "description": "As asked.", "content": content });
    match gives {
        Gives::Json(schema) => described(json!({ "application/json": { "schema": schema(generator) } })),
        Gives::JsonOrEvents(schema) => described(json!({
            "application/json": { "schema": schema(generator) },
            "text/event-stream": { "schema": { "type": "string" } },
        })),
        Gives::Text(media_type) => described(json!({ *media_type: { "schema": { "type": "string" } } })),
        Gives::Nothing(about) => json!({ "description": about }),
    }
}
