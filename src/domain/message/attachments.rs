//! The attachments of a task, in our own form and in those that labelling systems send.

use std::collections::HashSet;

use serde_json::Value;

use super::Problem;
use super::fields::Fields;
use crate::domain::digest::Sha256;
use crate::domain::id::AttachmentId;
use crate::domain::task::{ATTACHMENTS_MAX, Attachment, Content};

/// What a bare string means.
#[derive(Clone, Copy)]
enum Bare {
    Url,
    Text,
}

impl Bare {
    fn content(self, text: String) -> Content {
        match self {
            Self::Url => Content::Url(text),
            Self::Text => Content::Text(text),
        }
    }
}

/// Takes all attachments: `attachment` or `attachments`, then `context_attachments`, whose ids follow on.
pub(super) fn read(fields: &mut Fields) -> Result<Vec<Attachment>, Problem> {
    let bare = bare_meaning(fields)?;
    if fields.has("attachment") && fields.has("attachments") {
        return Err("attachment and attachments exclude each other".to_owned());
    }
    let mut all = Vec::new();
    if let Some(text) = fields.text("attachment")? {
        all.push(plain(0, bare.content(text))?);
    }
    if let Some(items) = fields.list("attachments")? {
        check_count(items.len())?;
        for (index, item) in items.into_iter().enumerate() {
            all.push(read_one(index, item, bare)?);
        }
    }
    for (index, item) in fields.list("context_attachments")?.into_iter().flatten().enumerate() {
        // Ids follow on; the bound keeps a hostile list from being read to its end.
        check_count(all.len() + 1)?;
        all.push(read_context(index, all.len(), item)?);
    }
    check_count(all.len())?;
    check_unique(&all)?;
    Ok(all)
}

/// Takes `attachment_type` where it changes what a string means; any other stays with what is unknown.
fn bare_meaning(fields: &mut Fields) -> Result<Bare, Problem> {
    let Some(kind) = fields.text("attachment_type")? else {
        return Ok(Bare::Url);
    };
    if kind == "text" {
        return Ok(Bare::Text);
    }
    fields.put_back("attachment_type", kind);
    Ok(Bare::Url)
}

fn check_count(count: usize) -> Result<(), Problem> {
    if (1..=ATTACHMENTS_MAX).contains(&count) { Ok(()) } else { Err("attachments must be 1 to 10000".to_owned()) }
}

fn check_unique(all: &[Attachment]) -> Result<(), Problem> {
    let mut seen = HashSet::with_capacity(all.len());
    match all.iter().position(|one| !seen.insert(&one.id)) {
        None => Ok(()),
        Some(index) => {
            Err(format!("attachments[{index}].id is the id of an earlier attachment (a missing id is the index)"))
        }
    }
}

fn plain(index: usize, content: Content) -> Result<Attachment, Problem> {
    Ok(Attachment {
        id: AttachmentId::new(index.to_string()).map_err(|bad| bad.to_string())?,
        content,
        media_type: None,
        sha256: None,
    })
}

fn read_one(index: usize, item: Value, bare: Bare) -> Result<Attachment, Problem> {
    let fields = match item {
        Value::String(text) => return plain(index, bare.content(text)),
        Value::Object(object) => Fields::below(object, format!("attachments[{index}].")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            return Err(format!("attachments[{index}] must be text or an object"));
        }
    };
    read_object(index, fields, bare)
}

fn read_object(index: usize, mut fields: Fields, bare: Bare) -> Result<Attachment, Problem> {
    let id = fields.text("id")?.unwrap_or_else(|| index.to_string());
    let id = AttachmentId::new(id).map_err(|bad| fields.problem("id", &bad.problem))?;
    let content = match (fields.text("url")?, fields.text("text")?, bare) {
        (Some(url), None, Bare::Url) => Content::Url(url),
        (None, Some(text), Bare::Url | Bare::Text) => Content::Text(text),
        (Some(_), None, Bare::Text) => {
            return Err(fields.problem("url", "contradicts attachment_type text"));
        }
        (Some(_), Some(_), _) => return Err(fields.problem("url", "and text exclude each other")),
        (None, None, _) => return Err(fields.problem("url", "or text is missing")),
    };
    let media_type = fields.text("media_type")?;
    let sha256 = match fields.text("sha256")?.map(|hex| Sha256::from_hex(&hex)) {
        Some(None) => return Err(fields.problem("sha256", "must be 64 hexadecimal digits")),
        Some(Some(digest)) => Some(digest),
        None => None,
    };
    Ok(Attachment { id, content, media_type, sha256 })
}

fn read_context(index: usize, id: usize, item: Value) -> Result<Attachment, Problem> {
    let path = format!("context_attachments[{index}]");
    let Value::Object(object) = item else {
        return Err(format!("{path} must be an object"));
    };
    let mut fields = Fields::below(object, format!("{path}."));
    match fields.text("attachment")? {
        Some(url) => plain(id, Content::Url(url)),
        None => Err(fields.problem("attachment", "is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, decode};
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn read_task(mut body: Value) -> Result<Vec<(String, Content)>, Problem> {
        body["task_id"] = json!("t-1");
        body["team"] = json!("acme");
        match decode(body.to_string().as_bytes(), &BTreeMap::new()) {
            Ok(Decoded::Task(task)) => {
                Ok(task.attachments.into_iter().map(|one| (one.id.to_string(), one.content)).collect())
            }
            Ok(Decoded::Objects(objects)) => panic!("objects: {objects:?}"),
            Ok(Decoded::Ignored(why)) => panic!("ignored: {why}"),
            Err(error) => Err(error.detail),
        }
    }

    fn check(body: Value, expected: &[(&str, Content)]) {
        let expected: Vec<_> = expected.iter().map(|(id, content)| ((*id).to_owned(), content.clone())).collect();
        assert_eq!(read_task(body.clone()), Ok(expected), "{body}");
    }

    fn check_refused(body: Value, says: &str) {
        let detail = read_task(body.clone()).expect_err("refused");
        assert!(detail.contains(says), "{body}: {detail:?} does not say {says:?}");
    }

    fn url(text: &str) -> Content {
        Content::Url(text.to_owned())
    }

    fn text(text: &str) -> Content {
        Content::Text(text.to_owned())
    }

    #[test]
    fn attachments_are_strings_or_objects_and_a_missing_id_is_the_index() {
        check(
            json!({"attachments": ["u0", {"id": "lidar", "url": "u1"}, {"text": "hello"}, {"url": "u3", "id": null}]}),
            &[("0", url("u0")), ("lidar", url("u1")), ("2", text("hello")), ("3", url("u3"))],
        );
        // What is wrong with one URL is that attachment's failure.
        check(json!({"attachments": [""]}), &[("0", url(""))]);
    }

    #[test]
    fn what_is_wrong_with_an_attachment_names_its_place() {
        for (item, says) in [
            (json!(7), "attachments[1] must be text or an object"),
            (json!([]), "attachments[1] must be text"),
            (json!({}), "attachments[1].url or text is missing"),
            (json!({"url": "u", "text": "t"}), "attachments[1].url and text exclude"),
            (json!({"url": 7}), "attachments[1].url must be text"),
            (json!({"url": "u", "id": 7}), "attachments[1].id must be text"),
            (json!({"url": "u", "id": ""}), "attachments[1].id must be 1 to 256"),
            (json!({"url": "u", "media_type": 7}), "attachments[1].media_type"),
            (json!({"url": "u", "sha256": "ab"}), "attachments[1].sha256 must be 64"),
            (json!({"url": "u", "id": "0"}), "attachments[1].id is the id of an earlier"),
        ] {
            check_refused(json!({"attachments": ["u", item]}), says);
        }
    }

    #[test]
    fn an_id_that_is_anothers_index_is_a_duplicate() {
        check_refused(json!({"attachments": [{"url": "u", "id": "1"}, "u"]}), "attachments[1].id");
        check_refused(
            json!({"attachments": [{"url": "u", "id": "1"}], "context_attachments": [{"attachment": "c"}]}),
            "attachments[1].id",
        );
    }

    #[test]
    fn a_task_has_1_to_10000_attachments() {
        assert_eq!(read_task(json!({"attachments": vec!["u"; 10_000]})).map(|all| all.len()), Ok(10_000));
        check_refused(json!({"attachments": vec!["u"; 10_001]}), "attachments must be 1 to 10000");
        check_refused(
            json!({"attachments": vec!["u"; 10_000], "context_attachments": [{"attachment": "c"}]}),
            "attachments must be 1 to 10000",
        );
        for none in [json!({}), json!({"attachments": []}), json!({"attachments": null})] {
            check_refused(none, "attachments must be 1 to 10000");
        }
        check_refused(json!({"attachments": "u"}), "attachments must be a list");
    }

    #[test]
    fn labelling_systems_forms_are_understood() {
        let context = json!([{"attachment": "c1"}, {"attachment": "c2"}]);
        check(
            json!({"attachment": "u", "attachment_type": "image", "context_attachments": context}),
            &[("0", url("u")), ("1", url("c1")), ("2", url("c2"))],
        );
        check(
            json!({"attachments": ["u", "v"], "context_attachments": context}),
            &[("0", url("u")), ("1", url("v")), ("2", url("c1")), ("3", url("c2"))],
        );
        check(json!({"context_attachments": context}), &[("0", url("c1")), ("1", url("c2"))]);
    }

    #[test]
    fn a_text_attachment_is_the_content_and_never_a_url() {
        check(
            json!({"attachment": "https://h/a", "attachment_type": "text", "context_attachments": [{"attachment": "c"}]}),
            &[("0", text("https://h/a")), ("1", url("c"))],
        );
        check(
            json!({"attachments": ["tomato", {"text": "x"}], "attachment_type": "text"}),
            &[("0", text("tomato")), ("1", text("x"))],
        );
        check_refused(
            json!({"attachments": [{"url": "u"}], "attachment_type": "text"}),
            "attachments[0].url contradicts attachment_type",
        );
    }

    #[test]
    fn forms_that_contradict_each_other_are_refused() {
        check_refused(json!({"attachment": "u", "attachments": ["u"]}), "attachment and attachments");
        check_refused(json!({"attachment": ["u"]}), "attachment must be text");
        check_refused(json!({"attachment": "u", "attachment_type": 1}), "attachment_type");
        check_refused(json!({"attachment": "u", "context_attachments": {}}), "context_attachments must be a list");
        for (item, says) in [
            (json!("u"), "context_attachments[0] must be an object"),
            (json!({}), "context_attachments[0].attachment is missing"),
            (json!({"attachment": 1}), "context_attachments[0].attachment must be text"),
        ] {
            check_refused(json!({"attachment": "u", "context_attachments": [item]}), says);
        }
    }
}
