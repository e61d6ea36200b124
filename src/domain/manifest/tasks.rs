//! A manifest of task bodies, and the way of the copies' addresses into those bodies.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::{Asks, BadRow, Record, Row, Rows, until_broken};
use crate::domain::id::TeamId;
use crate::domain::message::{Decoded, decode};
use crate::domain::task::Task;

/// The rows of task bodies.
pub(super) fn rows(content: impl BufRead + 'static, team: Option<TeamId>) -> Rows {
    let numbered = Lines::of(content).zip(1..);
    until_broken(numbered.map(move |(line, number)| line.map(|line| row(number, line, team.as_ref()))))
}

fn row(number: u64, line: Line, team: Option<&TeamId>) -> Row {
    let (record, asks) = match line {
        Err(bad) => (Record::Line(String::new()), Err(bad)),
        Ok(text) => {
            let asks = read(&text, team).map(|task| Asks::Task(Box::new(task)));
            let body = serde_json::from_str(&text).map(Record::Body);
            (body.unwrap_or(Record::Line(text)), asks)
        }
    };
    Row { number, record, asks }
}

fn read(text: &str, team: Option<&TeamId>) -> Result<Task, BadRow> {
    let named =
        serde_json::from_str::<Value>(text).is_ok_and(|body| body.get("team").is_some_and(|team| !team.is_null()));
    let beside = team.filter(|_| !named).map(|team| ("team".to_owned(), team.to_string()));
    let attributes: BTreeMap<String, String> = beside.into_iter().collect();
    let task = match decode(text.as_bytes(), &attributes) {
        Ok(Decoded::Task(task)) => *task,
        Ok(Decoded::Objects(_)) => return Err(BadRow::undecodable("the row is an S3 event, no task".to_owned())),
        Ok(Decoded::Ignored(what)) => return Err(BadRow::undecodable(format!("the row is {what}"))),
        Err(undecodable) => return Err(BadRow::undecodable(undecodable.detail)),
    };
    match team {
        Some(team) if *team != task.team => {
            Err(BadRow::undecodable(format!("the row is of team {}, not {team}", task.team)))
        }
        Some(_) | None => Ok(task),
    }
}

/// Returns a task's body with its URLs replaced: `copies` holds for each attachment, in the task's order, its copy's address
/// if there is one. The original stays beside it under the field's name with `_source`; for texts in the list `attachments`
/// that is the list `attachments_source`, with `null` where nothing was replaced.
#[must_use]
pub fn replace_urls(mut body: Value, copies: &[Option<String>]) -> Value {
    let mut copies = copies.iter().cloned();
    // A CloudEvent's task is its data.
    let task = match body.get("specversion") {
        Some(_) => body.get_mut("data"),
        None => Some(&mut body),
    };
    let Some(task) = task.and_then(Value::as_object_mut) else {
        return body;
    };
    let is_text = task.get("attachment_type").and_then(Value::as_str) == Some("text");
    if task.get("attachment").is_some_and(Value::is_string) {
        let copy = copies.next().flatten().filter(|_| !is_text);
        replace(task, "attachment", copy);
    }
    replace_list(task, &mut copies, is_text);
    if let Some(Value::Array(items)) = task.get_mut("context_attachments") {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            replace(item, "attachment", copies.next().flatten());
        }
    }
    body
}

fn replace(object: &mut Map<String, Value>, name: &str, copy: Option<String>) {
    if let Some(copy) = copy
        && let Some(original) = object.insert(name.to_owned(), Value::String(copy))
    {
        object.insert(format!("{name}_source"), original);
    }
}

fn replace_list(task: &mut Map<String, Value>, copies: &mut impl Iterator<Item = Option<String>>, is_text: bool) {
    let Some(Value::Array(items)) = task.get_mut("attachments") else {
        return;
    };
    let mut originals = vec![Value::Null; items.len()];
    for (item, original) in items.iter_mut().zip(&mut originals) {
        let copy = copies.next().flatten();
        match item {
            Value::Object(object) if object.contains_key("url") => replace(object, "url", copy),
            Value::String(_) if !is_text => {
                if let Some(copy) = copy {
                    *original = std::mem::replace(item, Value::String(copy));
                }
            }
            Value::Object(_) | Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            }
        }
    }
    if originals.iter().any(|original| !original.is_null()) {
        task.insert("attachments_source".to_owned(), Value::Array(originals));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Format;
    use super::super::tests::{read, shown};
    use super::*;

    fn check(text: &str, team: Option<&str>, expected: &[&str]) {
        let rows = read(Format::Tasks, text.as_bytes(), team).into_iter();
        let rows: Vec<String> = rows.map(|row| shown(&row.expect("a row"))).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn bodies_are_read_as_the_worker_reads_them_and_may_leave_out_the_team() {
        let text = r#"{"task_id":"a","team":"acme","attachments":["u"]}

{"unique_id":"b","attachment":"u"}
{"task_id":"c","team":"other","attachments":["u"]}
{"task_id":"d","attachments":[]}
nothing
"#;
        check(
            text,
            Some("acme"),
            &[
                "1 task a of acme",
                "2 task b of acme",
                "3 undecodable: the row is of team other, not acme",
                "4 undecodable: attachments must be 1 to 10000",
                "5 undecodable: the body is not JSON: expected ident at line 1 column 2",
            ],
        );
        check(r#"{"task_id":"b","attachment":"u"}"#, None, &["1 undecodable: team is missing"]);
    }

    #[test]
    fn urls_are_replaced_wherever_they_stand_and_originals_stay_beside() {
        let copies = |texts: &[&str]| -> Vec<Option<String>> {
            texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
        };
        let list = json!({"attachments": ["u0", {"id": "x", "url": "u1"}, {"id": "t", "text": "hi"}, "u3"]});
        assert_eq!(
            replace_urls(list, &copies(&["c0", "c1", "c2", ""])),
            json!({"attachments": ["c0", {"id": "x", "url": "c1", "url_source": "u1"}, {"id": "t", "text": "hi"}, "u3"],
                "attachments_source": ["u0", null, null, null]})
        );
        let form = json!({"attachment": "u0", "context_attachments": [{"attachment": "u1"}, {"attachment": "u2"}]});
        assert_eq!(
            replace_urls(form, &copies(&["c0", "", "c2"])),
            json!({"attachment": "c0", "context_attachments": [{"attachment": "u1"}, {"attachment": "c2",
                "attachment_source": "u2"}], "attachment_source": "u0"})
        );
        let text = json!({"attachment_type": "text", "attachment": "hello"});
        assert_eq!(replace_urls(text.clone(), &copies(&["c0"])), text);
        let event = json!({"specversion": "1.0", "data": {"attachment": "u"}});
        assert_eq!(replace_urls(event, &copies(&["c"]))["data"]["attachment"], "c");
    }
}
