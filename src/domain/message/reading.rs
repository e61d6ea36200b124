//! Opens a message's envelopes one after the other, and stops where something is needed that stands not in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::envelope::{self, Layer};
use super::{
    Decoded, ENVELOPES_MAX, MESSAGE_BYTES_MAX, Notification, POINTED_BYTES_MAX, Pointer, Problem, Trusted, Undecodable,
    parse, shown, shown_text, size, task,
};
use crate::domain::id::TeamId;

/// Attributes that an SNS envelope carries for a message that has them not itself.
const CARRIED: [&str; 3] = ["team", "traceparent", "tracestate"];

/// More values than this are not parsed: each takes some eighty bytes of memory, however short it is in the text.
const VALUES_MAX: usize = 1_000_000;

/// A message that is being read. One reading goes with one delivery, from its body inwards.
#[derive(Debug, Clone)]
pub struct Reading {
    attributes: BTreeMap<String, String>,
    trusted: Arc<Trusted>,
    envelopes: usize,
    topic_team: Option<TeamId>,
    innermost: Map<String, Value>,
}

/// What reading came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The end.
    Decoded(Decoded),
    /// The body lies elsewhere: [`Reading::read`] goes on with it.
    Elsewhere(Pointer),
    /// Its signature is to be proven before [`Reading::read`] goes on with its message.
    Unproven(Box<Notification>),
}

impl Reading {
    /// Begins with a message that came with these text attributes.
    #[must_use]
    pub fn new(attributes: BTreeMap<String, String>, trusted: Arc<Trusted>) -> Self {
        Self { attributes, trusted, envelopes: 0, topic_team: None, innermost: Map::new() }
    }

    /// The message's attributes, with those that an envelope carried for it.
    #[must_use]
    pub fn into_attributes(self) -> BTreeMap<String, String> {
        self.attributes
    }

    /// The only team that this message may be work of, if an envelope came by a customer's own topic.
    #[must_use]
    pub fn topic_team(&self) -> Option<&TeamId> {
        self.topic_team.as_ref()
    }

    /// Reads the message's body; after a [`Step`] that asked for something, what was asked for.
    ///
    /// # Errors
    /// [`Undecodable`] says which rule of the interface the message breaks.
    pub fn read(&mut self, body: &[u8]) -> Result<Step, Undecodable> {
        self.step(body).map_err(|detail| Undecodable {
            detail,
            team: shown(self.innermost.get("team"))
                .or_else(|| self.attributes.get("team").and_then(|team| shown_text(team))),
            task_id: shown(self.innermost.get("task_id")).or_else(|| shown(self.innermost.get("unique_id"))),
        })
    }

    fn step(&mut self, body: &[u8]) -> Result<Step, Problem> {
        if self.envelopes == 0 && size(body, &self.attributes) > MESSAGE_BYTES_MAX {
            return Err("the message is larger than 1 MiB with its attributes".to_owned());
        }
        if body.len() > POINTED_BYTES_MAX {
            return Err("the pointer's body is larger than 16 MiB".to_owned());
        }
        if body.len() > MESSAGE_BYTES_MAX && values(body) > VALUES_MAX {
            return Err(format!("the pointer's body holds more than {VALUES_MAX} JSON values"));
        }
        let mut layer = envelope::open(parse(body, "the body")?)?;
        loop {
            layer = match layer {
                Layer::Event(inner) => {
                    self.count_envelope()?;
                    envelope::open(inner)?
                }
                Layer::Pointer(pointer) => return self.follow(pointer),
                Layer::Sns(notification) => return self.take(notification),
                Layer::Objects(objects) => return Ok(Step::Decoded(Decoded::Objects(objects))),
                Layer::Ignored(why) => return Ok(Step::Decoded(Decoded::Ignored(why))),
                Layer::Plain(object) => return self.read_plain(object).map(Step::Decoded),
            };
        }
    }

    fn count_envelope(&mut self) -> Result<(), Problem> {
        self.envelopes += 1;
        if self.envelopes > ENVELOPES_MAX {
            return Err(format!("the message has more than {ENVELOPES_MAX} envelopes inside one another"));
        }
        Ok(())
    }

    fn follow(&mut self, pointer: Pointer) -> Result<Step, Problem> {
        self.count_envelope()?;
        // A customer that may name objects here would read other teams' messages with the worker's own rights.
        if self.topic_team.is_some() {
            return Err("a pointer that came by a customer's SNS topic is not followed".to_owned());
        }
        if !self.trusted.pointer_buckets.contains(&pointer.bucket) {
            return Err(format!("bucket {} of the pointer is not in queue.pointer_buckets", pointer.bucket));
        }
        Ok(Step::Elsewhere(pointer))
    }

    fn take(&mut self, notification: Box<Notification>) -> Result<Step, Problem> {
        self.count_envelope()?;
        let mut topics = self.trusted.topics.iter();
        let Some(topic) = topics.find(|topic| topic.arn == notification.topic) else {
            let arn = shown_text(&notification.topic).unwrap_or_default();
            return Err(format!("SNS topic {arn} is not in queue.sns_topics"));
        };
        match (&self.topic_team, &topic.team) {
            (Some(outer), Some(inner)) if outer != inner => {
                return Err("the SNS topics that the message came by are different teams'".to_owned());
            }
            (_, None) => {}
            (_, Some(team)) => self.topic_team = Some(team.clone()),
        }
        for name in CARRIED {
            if let Some(text) = notification.attributes.get(name) {
                self.attributes.entry(name.to_owned()).or_insert_with(|| text.clone());
            }
        }
        Ok(Step::Unproven(notification))
    }

    fn read_plain(&mut self, object: Map<String, Value>) -> Result<Decoded, Problem> {
        for name in ["team", "task_id", "unique_id"] {
            if let Some(value) = object.get(name) {
                self.innermost.insert(name.to_owned(), value.clone());
            }
        }
        if object.get("type").and_then(Value::as_str) == Some("import") {
            return Err("imports are not supported yet".to_owned());
        }
        let beside = self.attributes.get("team").map(String::as_str);
        // A customer's topic says whose its messages are; nobody else has to.
        let beside = beside.or_else(|| self.topic_team.as_ref().map(TeamId::as_str));
        let task = task::read(object, beside)?;
        match &self.topic_team {
            Some(team) if *team != task.team => Err("team is not the team of the SNS topic".to_owned()),
            Some(_) | None => Ok(Decoded::Task(Box::new(task))),
        }
    }
}

/// How many values a JSON text holds at most: one before each comma, and what each bracket opens.
fn values(text: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
