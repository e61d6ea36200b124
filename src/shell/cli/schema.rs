//! `longshore schema`: what others may send and will get, as JSON Schema, and all messages together as AsyncAPI 3.
//!
//! What we write is derived from the types that write it; what we read is written by hand, since it is read by hand too.

use serde_json::{Map, Value, json};

use super::args::SchemaOf;
use super::output;
use crate::domain::receipt::Receipt;
use crate::shell::config::Config;
use crate::shell::exit::{Exit, Outcome};

/// Prints a schema.
pub(super) fn run(what: SchemaOf) -> Outcome {
    output::pretty(&document(what))?;
    Ok(Exit::Done)
}

fn document(what: SchemaOf) -> Value {
    match what {
        SchemaOf::Task => written(include_str!("schemas/task.json")),
        SchemaOf::Import => written(include_str!("schemas/import.json")),
        SchemaOf::Completion => completion(),
        SchemaOf::Receipt => schemars::schema_for!(Receipt).to_value(),
        SchemaOf::Config => Config::schema(),
        SchemaOf::Teams => written(include_str!("schemas/teams.json")),
        SchemaOf::Asyncapi => asyncapi(),
    }
}

fn written(text: &str) -> Value {
    serde_json::from_str(text).expect("a test reads every schema")
}

/// The completion: type and time around a receipt's own fields, less what only receipts have.
fn completion() -> Value {
    let receipt = schemars::schema_for!(Receipt).to_value();
    let own = ["event_id", "round", "task_digest", "began_by"];
    let mut data: Map<String, Value> = receipt.as_object().cloned().unwrap_or_default();
    let shared = data.shift_remove("$defs").unwrap_or_default();
    data.shift_remove("$schema");
    data.insert("title".to_owned(), json!("Data"));
    if let Some(Value::Object(fields)) = data.get_mut("properties") {
        fields.retain(|name, _| !own.contains(&name.as_str()));
        let uri = json!({"description": "The receipt's URI: stands for the field in a body above 20,000 bytes.", "type": "string"});
        fields.insert("attachments_uri".to_owned(), uri.clone());
        fields.insert("metadata_uri".to_owned(), uri);
        let link = "Webhooks only, beside attachments_uri where the store can sign: opens the receipt. A credential.";
        fields.insert("attachments_url".to_owned(), json!({"description": link, "type": "string"}));
        let ends = json!({"description": "When attachments_url opens nothing any more.", "type": "string", "format": "date-time"});
        fields.insert("attachments_url_expires_at".to_owned(), ends);
    }
    if let Some(Value::Array(required)) = data.get_mut("required") {
        required.retain(|name| name != "attachments" && !own.iter().any(|own| name == own));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Completion",
        "description": "What became of a task, in the shape of Standard Webhooks.",
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"enum": ["task.completed", "task.partial", "task.failed"]},
            "timestamp": {"description": "The receipt's finished_at.", "type": "string", "format": "date-time"},
            "data": data,
        },
        "$defs": shared,
    })
}

fn asyncapi() -> Value {
    let mut document = written(include_str!("schemas/asyncapi.json"));
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    for (name, what) in [("task", SchemaOf::Task), ("import", SchemaOf::Import), ("completion", SchemaOf::Completion)] {
        // Named as JSON Schema: its references stay within it.
        document["components"]["messages"][name]["payload"] =
            json!({"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": self::document(what)});
    }
    document
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_schema_is_a_document_whose_local_references_lead_somewhere() {
        for what in SchemaOf::value_variants() {
            let document = document(*what);
            assert!(document.is_object());
            if *what != SchemaOf::Asyncapi {
                check_references(&document, &document);
            }
        }
    }

    fn check_references(value: &Value, root: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                object.values().for_each(|value| check_references(value, root));
            }
            Value::Array(items) => items.iter().for_each(|value| check_references(value, root)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_completions_schema_names_exactly_the_fields_of_its_data() {
        let schema = completion();
        let fields = schema["properties"]["data"]["properties"].as_object().unwrap();
        assert!(fields.contains_key("attachments") && fields.contains_key("attachments_uri"));
        assert!(fields.contains_key("attachments_url") && fields.contains_key("attachments_url_expires_at"));
        assert!(!fields.contains_key("event_id"));
    }
}
