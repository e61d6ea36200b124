//! The fields of a JSON object, taken out one by one; what is left over was not known.

use serde_json::{Map, Value};

use super::Problem;

/// The longest `project` or `batch`.
const NAME_BYTES_MAX: usize = 4096;

/// The fields of a JSON object that were not taken yet. A field that is `null` counts as missing.
pub(super) struct Fields {
    left: Map<String, Value>,
    /// Stands before the names in what is said of them, as `attachments[3].`.
    path: String,
}

impl Fields {
    /// The fields of the message itself.
    pub(super) fn of(object: Map<String, Value>) -> Self {
        Self::below(object, String::new())
    }

    /// The fields of an object that stands at `path` in the message.
    pub(super) fn below(object: Map<String, Value>, path: String) -> Self {
        Self { left: object, path }
    }

    /// What was not taken, in the message's order.
    pub(super) fn left(self) -> Map<String, Value> {
        self.left
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes any JSON.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Takes text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(name, "must be text")),
        }
    }

    /// Takes a short text, such as a name: it comes back in the completion, whose size is bounded.
    pub(super) fn short_text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.text(name)? {
            Some(text) if text.len() > NAME_BYTES_MAX => Err(self.problem(name, "must be at most 4096 bytes long")),
            text => Ok(text),
        }
    }

    /// Takes `true` or `false`; missing is `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.problem(name, "must be true or false")),
        }
    }

    /// Takes a list.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.problem(name, "must be a list")),
        }
    }

    /// Leaves text that was taken among what was not known after all.
    pub(super) fn put_back(&mut self, name: &str, text: String) {
        self.left.insert(name.to_owned(), Value::String(text));
    }

    /// Says what is wrong with a field.
    pub(super) fn problem(&self, name: &str, problem: &str) -> Problem {
        format!("{}{name} {problem}", self.path)
    }
}
