//! `longshore submit`: puts task messages on the task queue, all of a file or none.
//!
//! A file is read as a whole before anything is sent, each message by the very reading that the worker does.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::args::SubmitArgs;
use super::{Context, output};
use crate::domain::id::TeamId;
use crate::domain::message::{Decoded, Reading, Step, Trusted};
use crate::ports::queue::{Outgoing, QueueError};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Messages of one call of the queue.
const BATCH: usize = 500;
/// How long a broker may take to confirm a batch.
const CONFIRM_WITHIN: Duration = Duration::from_secs(60);
/// Wrong lines that are told, at most.
const TOLD_MAX: usize = 20;

/// Checks and sends a file's messages.
pub(super) async fn run(args: SubmitArgs, context: &Context) -> Outcome {
    let loaded = context.load_quietly()?;
    let name = args.file.display().to_string();
    let content = tokio::task::spawn_blocking(move || read(&args.file)).await;
    let content = content.map_err(|error| Failure::bad_input(format!("{name}: cannot be read: {error}")))??;
    let trusted = Arc::new(wiring::trusted(&loaded.config));
    let messages = messages(&name, &content, args.again, &trusted)?;
    let queue = wiring::task_queue(&loaded.config, None).await?;
    let mut sent = 0;
    for batch in messages.chunks(BATCH) {
        let error = match timeout(CONFIRM_WITHIN, queue.send(batch)).await {
            Ok(Ok(())) => {
                sent += batch.len();
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => QueueError::Unavailable("it does not answer".to_owned()),
        };
        let all = messages.len();
        let line = format!("queue.url: {error}; {sent} of {all} messages were sent for certain: submit the file again");
        return Err(Failure::unreachable(line));
    }
    if context.json {
        output::json(&json!({"sent": sent}))?;
    } else {
        output::line(format!("sent {sent}"))?;
    }
    Ok(Exit::Done)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file.as_os_str() == "-" {
        let mut content = Vec::new();
        std::io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::bad_input(format!("{}: cannot be read: {error}", file.display())))
}

/// The messages of a file, or all that is wrong with it.
fn messages(name: &str, content: &[u8], again: bool, trusted: &Arc<Trusted>) -> Result<Vec<Outgoing>, Failure> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (line, body) in bodies(content) {
        match message(body, again, trusted) {
            Ok(message) => good.push(message),
            Err(problem) => bad.push(format!("{name}: line {line}: {problem}; nothing was sent")),
        }
    }
    if bad.is_empty() && good.is_empty() {
        bad.push(format!("{name}: holds no message"));
    }
    if bad.is_empty() {
        return Ok(good);
    }
    let more = bad.len().saturating_sub(TOLD_MAX);
    bad.truncate(TOLD_MAX);
    if more > 0 {
        bad.push(format!("{name}: {more} more lines are wrong; nothing was sent"));
    }
    Err(Failure { exit: Exit::BadInput, lines: bad })
}

/// The documents of a file with the lines that they begin at: the whole file if it is one document, else its lines. A file
/// that is neither is told of as a whole if its first line is no document and the second is not the begin of one.
fn bodies(content: &[u8]) -> Vec<(usize, &[u8])> {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let lines: Vec<(usize, &[u8])> =
        lines.map(|(line, number)| (number, line)).filter(|(_, line)| !line.is_empty()).collect();
    let is_document = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let [(first, begin), second, ..] = lines.as_slice() else {
        return lines;
    };
    let is_spread = !is_document(begin) && !second.1.starts_with(b"{");
    if is_document(content) || is_spread {
        return vec![(*first, content.trim_ascii())];
    }
    lines
}

fn message(body: &[u8], again: bool, trusted: &Arc<Trusted>) -> Result<Outgoing, String> {
    let body = if again { told_again(body)? } else { Bytes::copy_from_slice(body) };
    let team = team_of(&body, BTreeMap::new(), again, trusted)?;
    let attributes: BTreeMap<_, _> = team.iter().map(|team| ("team".to_owned(), team.to_string())).collect();
    // With the attribute the message must still be within its bounds.
    team_of(&body, attributes.clone(), again, trusted)?;
    Ok(Outgoing { id: Uuid::now_v7().to_string(), body, attributes, group: team.map(String::from) })
}

/// Checks a message's shape, through its envelopes as far as they can be opened here, and returns its team where it names one.
///
/// Only the worker proves an SNS envelope's signature and looks where a pointer points; that topic and bucket are ones it takes
/// is checked here. Whose an S3 event's objects are is known to the worker's store and directory.
fn team_of(
    body: &Bytes, attributes: BTreeMap<String, String>, again: bool, trusted: &Arc<Trusted>,
) -> Result<Option<TeamId>, String> {
    let not_again = || Err("--again is for tasks, and cannot be said in an envelope".to_owned());
    let (mut reading, mut body) = (Reading::new(attributes, Arc::clone(trusted)), body.clone());
    loop {
        match reading.read(&body).map_err(|undecodable| undecodable.detail)? {
            Step::Decoded(Decoded::Task(task)) => return Ok(Some(task.team)),
            Step::Decoded(Decoded::Ignored(what)) => return Err(format!("{what} is no work")),
            _ if again => return not_again(),
            Step::Decoded(Decoded::Objects(objects)) => {
                return objects.into_iter().try_for_each(|object| object.map(drop)).map(|()| None);
            }
            Step::Elsewhere(_) => return Ok(None),
            Step::Unproven(notification) => body = Bytes::from(notification.message),
        }
    }
}

/// The body that starts a new round; of a CloudEvent that is said in its data.
fn told_again(body: &[u8]) -> Result<Bytes, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let task = match value.get("specversion") {
        Some(_) => value.get_mut("data"),
        None => Some(&mut value),
    };
    let task = task.and_then(Value::as_object_mut);
    let task = task.ok_or("--again cannot be said in it: it is no JSON object, nor a CloudEvent around one")?;
    task.insert("again".to_owned(), Value::Bool(true));
    Ok(Bytes::from(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Topic;

    const TASK: &str = r#"{"task_id":"a","team":"acme","attachments":["https://h/a"]}"#;

    const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:t";

    fn trusted() -> Arc<Trusted> {
        let topics = vec![Topic { arn: TOPIC.to_owned(), team: None }];
        Arc::new(Trusted { topics, pointer_buckets: vec!["bodies".to_owned()] })
    }

    fn check(content: &str, expected: Result<usize, &[&str]>) {
        match (messages("f", content.as_bytes(), false, &trusted()), expected) {
            (Ok(messages), Ok(number)) => assert_eq!(messages.len(), number, "{content}"),
            (Err(failure), Err(lines)) => assert_eq!(failure.lines, lines, "{content}"),
            (found, wanted) => panic!("{content}: {found:?}, expected {wanted:?}"),
        }
    }

    #[test]
    fn a_file_is_one_document_or_lines_and_a_wrong_line_is_named() {
        check(TASK, Ok(1));
        check(&format!("\u{feff}{TASK}\r\n\n{TASK}\n"), Ok(2));
        check(&TASK.replace(',', ",\n  ").replace('{', "{\n"), Ok(1));
        check("", Err(&["f: holds no message"]));
        check(&format!("{TASK}\n{{}}\n"), Err(&["f: line 2: task_id is missing; nothing was sent"]));
        check(
            &format!("{{\"a\":\n{TASK}\n"),
            Err(&["f: line 1: the body is not JSON: EOF while parsing a value at line 1 column 5; nothing was sent"]),
        );
        check(
            "{\n\"task_id\": }\n",
            Err(&["f: line 1: the body is not JSON: expected value at line 2 column 12; nothing was sent"]),
        );
    }

    #[test]
    fn again_is_said_in_the_body_or_in_the_events_data() {
        let again = |text: &str| told_again(text.as_bytes()).map(|body| String::from_utf8(body.to_vec()).unwrap());
        assert_eq!(again(r#"{"a":1}"#).unwrap(), r#"{"a":1,"again":true}"#);
        let event = r#"{"specversion":"1.0","data":{"again":false}}"#;
        assert_eq!(again(event).unwrap(), r#"{"specversion":"1.0","data":{"again":true}}"#);
        assert!(again(r#"{"specversion":"1.0","data_base64":"e30="}"#).is_err());
    }

    #[test]
    fn messages_carry_team_group_and_an_id_of_their_own() {
        let sent = messages("f", format!("{TASK}\n{TASK}").as_bytes(), false, &trusted()).unwrap();
        assert_ne!(sent[0].id, sent[1].id);
        assert_eq!(sent[0].group.as_deref(), Some("acme"));
        assert_eq!(sent[0].attributes["team"], "acme");
        assert_eq!(sent[0].body, TASK.as_bytes());
    }

    #[test]
    fn envelopes_are_sent_as_far_as_they_can_be_checked_here() {
        let sns = |topic: &str, message: &str| {
            json!({"Type": "Notification", "TopicArn": topic, "Message": message, "MessageId": "m", "Timestamp": "t",
                "SignatureVersion": "1", "Signature": "", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem"})
            .to_string()
        };
        let pointer = |bucket: &str| {
            json!(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": bucket, "s3Key": "k"}])
                .to_string()
        };
        let event = |key: &str| {
            json!({"Records": [{"eventVersion": "2.1", "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "b"}, "object": {"key": key, "eTag": "e"}}}]})
            .to_string()
        };
        for (body, team, says) in [
            (sns(TOPIC, TASK), Some("acme"), ""),
            (sns("arn:aws:sns:us-east-1:1:other", TASK), None, "not in queue.sns_topics"),
            (sns(TOPIC, "{}"), None, "task_id is missing"),
            (pointer("bodies"), None, ""),
            (pointer("others"), None, "not in queue.pointer_buckets"),
            (event("a+b"), None, ""),
            (event("%"), None, "is not form-encoded"),
        ] {
            match message(body.as_bytes(), false, &trusted()) {
                Ok(sent) => assert_eq!((sent.group.as_deref(), says), (team, ""), "{body}"),
                Err(problem) => assert!(!says.is_empty() && problem.contains(says), "{body}: {problem}"),
            }
        }
        for body in [sns(TOPIC, TASK), pointer("bodies"), event("a")] {
            assert!(message(body.as_bytes(), true, &trusted()).is_err(), "--again: {body}");
        }
    }
}
