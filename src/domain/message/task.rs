//! A task's own fields, in our form and in those that labelling systems send.

use serde_json::{Map, Value};

use super::Problem;
use super::attachments;
use super::fields::Fields;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::task::{Again, Task};

/// Metadata stands deeper in completions than in tasks, and JSON readers end at 128 levels.
const METADATA_LEVELS_MAX: usize = 100;

/// Reads a task; `team_attribute` is the team that stands beside the body.
pub(super) fn read(object: Map<String, Value>, team_attribute: Option<&str>) -> Result<Task, Problem> {
    let mut fields = Fields::of(object);
    Ok(Task {
        task_id: task_id(&mut fields)?,
        team: team(&mut fields, team_attribute)?,
        attachments: attachments::read(&mut fields)?,
        normalize: profile(&mut fields)?,
        callback_url: fields.text("callback_url")?,
        project: fields.short_text("project")?,
        batch: fields.short_text("batch")?,
        metadata: metadata(&mut fields)?,
        again: again(&mut fields)?,
        unknown: fields.left(),
    })
}

/// `unique_id` is the task's id only where there is no `task_id`; beside one it is just another unknown field.
fn task_id(fields: &mut Fields) -> Result<TaskId, Problem> {
    let name = if fields.has("task_id") { "task_id" } else { "unique_id" };
    let text = fields.text(name)?.ok_or_else(|| "task_id is missing".to_owned())?;
    TaskId::new(text).map_err(|bad| fields.problem(name, &bad.problem))
}

fn team(fields: &mut Fields, attribute: Option<&str>) -> Result<TeamId, Problem> {
    let text = match (fields.text("team")?, attribute) {
        (Some(body), Some(beside)) if body != beside => {
            return Err("team differs between the body and the attribute".to_owned());
        }
        (Some(body), _) => body,
        (None, Some(beside)) => beside.to_owned(),
        (None, None) => return Err("team is missing".to_owned()),
    };
    TeamId::new(text).map_err(|bad| bad.to_string())
}

/// Only the name's shape: whether there is such a profile is the deployment's matter.
fn profile(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let name = fields.text("normalize")?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let good = |name: &String| (1..=64).contains(&name.len()) && name.bytes().all(allowed);
    if name.as_ref().is_none_or(good) {
        Ok(name)
    } else {
        Err("normalize must be 1 to 64 characters of a-z, 0-9, _ and -".to_owned())
    }
}

fn metadata(fields: &mut Fields) -> Result<Option<Value>, Problem> {
    let metadata = fields.take("metadata");
    if metadata.as_ref().is_some_and(|value| levels(value) > METADATA_LEVELS_MAX) {
        return Err(format!("metadata has more than {METADATA_LEVELS_MAX} levels inside one another"));
    }
    Ok(metadata)
}

/// How many lists and objects are inside one another; the parser has bounded it.
fn levels(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(map) => map.values().map(levels).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + below.unwrap_or(0)
}

fn again(fields: &mut Fields) -> Result<Again, Problem> {
    let (always, after_failure) = (fields.flag("again")?, fields.flag("clear_unique_id_on_error")?);
    Ok(if always {
        Again::Always
    } else if after_failure {
        Again::AfterFailure
    } else {
        Again::No
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, decode};
    use super::*;
    use crate::domain::digest::Sha256;
    use crate::domain::task::Content;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn read_with(body: &Value, team: Option<&str>) -> Result<Task, Problem> {
        let attributes: BTreeMap<_, _> = team.map(|team| ("team".to_owned(), team.to_owned())).into_iter().collect();
        match decode(body.to_string().as_bytes(), &attributes) {
            Ok(Decoded::Task(task)) => Ok(*task),
            Ok(Decoded::Objects(objects)) => panic!("objects: {objects:?}"),
            Ok(Decoded::Ignored(why)) => panic!("ignored: {why}"),
            Err(error) => Err(error.detail),
        }
    }

    /// A good task with one field changed; `null` takes it away.
    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({"task_id": "t-1", "team": "acme", "attachments": ["u"]});
        body[field] = value;
        body
    }

    fn check_refused(field: &str, value: Value, says: &str) {
        let detail = read_with(&with(field, value.clone()), None).expect_err("refused");
        assert!(detail.contains(says), "{field} {value}: {detail:?} does not say {says:?}");
    }

    #[test]
    fn the_interfaces_example_is_read_whole() {
        let hex = "ab".repeat(32);
        let body = json!({"task_id": "t-123", "team": "acme",
            "attachments": ["https://cdn.acme.com/a.jpg",
                {"id": "lidar", "url": "s3://acme-raw/b.pcd", "media_type": "application/octet-stream", "sha256": hex}],
            "normalize": "standard", "callback_url": "https://acme.com/hooks", "project": "p", "batch": "b",
            "metadata": {"any": "thing"}});
        let task = read_with(&body, None).expect("a task");
        assert_eq!((task.task_id.as_str(), task.team.as_str()), ("t-123", "acme"));
        assert_eq!(task.attachments[1].id.as_str(), "lidar");
        assert_eq!(task.attachments[1].content, Content::Url("s3://acme-raw/b.pcd".into()));
        assert_eq!(task.attachments[1].media_type.as_deref(), Some("application/octet-stream"));
        assert_eq!(task.attachments[1].sha256, Sha256::from_hex(&hex));
        assert_eq!(task.normalize.as_deref(), Some("standard"));
        assert_eq!(task.callback_url.as_deref(), Some("https://acme.com/hooks"));
        assert_eq!((task.project.as_deref(), task.batch.as_deref()), (Some("p"), Some("b")));
        assert_eq!(task.metadata, Some(json!({"any": "thing"})));
        assert_eq!(task.again, Again::No);
        assert!(task.unknown.is_empty());
    }

    #[test]
    fn what_breaks_a_rule_names_its_field() {
        for (field, value, says) in [
            ("task_id", json!(null), "task_id is missing"),
            ("task_id", json!(7), "task_id must be text"),
            ("task_id", json!("a/b"), "task_id must be 1 to 128"),
            ("task_id", json!(".."), "task_id must not be"),
            ("team", json!(null), "team is missing"),
            ("team", json!(["acme"]), "team must be text"),
            ("team", json!("Acme"), "team must be 1 to 64"),
            ("team", json!("_claims"), "team must not begin"),
            ("normalize", json!("Standard"), "normalize must be"),
            ("normalize", json!(""), "normalize must be"),
            ("normalize", json!("x".repeat(65)), "normalize must be"),
            ("normalize", json!(1), "normalize must be text"),
            ("callback_url", json!({}), "callback_url must be text"),
            ("project", json!(5), "project must be text"),
            ("project", json!("x".repeat(4097)), "project must be at most 4096 bytes long"),
            ("batch", json!(5), "batch must be text"),
            ("again", json!("true"), "again must be true or false"),
            ("clear_unique_id_on_error", json!(1), "clear_unique_id_on_error must be"),
        ] {
            check_refused(field, value, says);
        }
    }

    #[test]
    fn the_team_may_stand_beside_the_body_but_not_differ() {
        let bare = with("team", json!(null));
        let team = |body: &Value, beside| read_with(body, beside).map(|task| task.team.to_string());
        assert_eq!(team(&bare, Some("acme")), Ok("acme".into()));
        assert_eq!(team(&with("team", json!("acme")), Some("acme")), Ok("acme".into()));
        let detail = team(&with("team", json!("acme")), Some("other")).expect_err("differs");
        assert!(detail.starts_with("team differs"), "{detail}");
        assert!(team(&bare, Some("Bad Team")).is_err());
    }

    #[test]
    fn a_unique_id_is_the_task_id_only_where_there_is_none() {
        let mut body = with("unique_id", json!("u/1"));
        let task = read_with(&body, None).expect("task_id wins");
        assert_eq!(task.task_id.as_str(), "t-1");
        assert_eq!(task.unknown.get("unique_id"), Some(&json!("u/1")));
        body["task_id"] = json!(null);
        let detail = read_with(&body, None).expect_err("a bad id");
        assert!(detail.starts_with("unique_id must be"), "{detail}");
        body["unique_id"] = json!("u-1");
        let task = read_with(&body, None).expect("a task");
        assert_eq!(task.task_id.as_str(), "u-1");
        assert!(!task.unknown.contains_key("unique_id"));
    }

    #[test]
    fn again_stands_above_clearing_after_an_error() {
        for (again, clear, expected) in [
            (true, true, Again::Always),
            (true, false, Again::Always),
            (false, true, Again::AfterFailure),
            (false, false, Again::No),
        ] {
            let mut body = with("again", json!(again));
            body["clear_unique_id_on_error"] = json!(clear);
            assert_eq!(read_with(&body, None).map(|task| task.again), Ok(expected));
        }
    }

    #[test]
    fn metadata_is_any_json_of_up_to_100_levels() {
        let nested = |levels: usize| (0..levels).fold(json!(null), |inner, _| json!([inner]));
        for good in [json!(1), json!("x"), json!(false), json!({"a": [1]}), nested(100)] {
            let task = read_with(&with("metadata", good.clone()), None).expect("a task");
            assert_eq!(task.metadata, Some(good));
        }
        check_refused("metadata", nested(101), "metadata has more than 100 levels");
    }

    #[test]
    fn unknown_fields_are_kept_in_their_order() {
        let body = r#"{"z":1,"task_id":"t","priority":30,"team":"acme","attachment":"u","attachment_type":"image","a":null,"type":"annotation"}"#;
        let Ok(Decoded::Task(task)) = decode(body.as_bytes(), &BTreeMap::new()) else {
            panic!("a task");
        };
        let kept = json!(task.unknown).to_string();
        assert_eq!(kept, r#"{"z":1,"priority":30,"a":null,"type":"annotation","attachment_type":"image"}"#);
    }

    #[test]
    fn an_email_as_callback_is_not_refused_here() {
        let task = read_with(&with("callback_url", json!("me@acme.com")), None).expect("a task");
        assert_eq!(task.callback_url.as_deref(), Some("me@acme.com"));
    }
}
