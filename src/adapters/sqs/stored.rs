//! Messages that no longer fit into SQS beside what we write: kept in our store, with a message that points there.
//!
//! Body and attributes lie at `_dead/DIGEST.json`: `{"body":TEXT,"attributes":{…}}`, or `body_base64` for bytes that are no
//! text; the attributes as in `longshore-attributes`. The message's attribute `longshore-stored` is that key, its body names
//! the address for a person. Nothing is ever deleted there: by its digest, the same message is stored once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::letter::Letter;
use super::overflow;
use super::parcel::Parcel;
use super::trouble::Trouble;
use crate::domain::digest::Sha256;
use crate::domain::object_key::Key;
use crate::ports::queue::MESSAGE_BYTES_MAX;
use crate::ports::store::{ObjectMeta, Store};

/// The largest document: a message's bytes, each escaped or in base64, with room for names.
const DOCUMENT_BYTES_MAX: usize = 8 * MESSAGE_BYTES_MAX;

/// Writes and reads letters, by way of the store where they are too large.
#[derive(Clone)]
pub(super) struct Stored(pub(super) Option<Arc<dyn Store>>);

impl Stored {
    /// Writes a parcel as a letter that SQS takes.
    pub(super) async fn letter(&self, parcel: &Parcel) -> Result<Letter, Trouble> {
        let letter = Letter::of(parcel);
        if letter.fits() {
            return Ok(letter);
        }
        let Some(store) = &self.0 else {
            return Err(Trouble::Refused(format!(
                "message {} is above {MESSAGE_BYTES_MAX} bytes with its attributes, and there is no store to keep it in",
                parcel.id
            )));
        };
        let document = Bytes::from(written(parcel).to_string());
        let key = Key::new(format!("_dead/{}.json", Sha256::of_parts(&[&document])));
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        store.put_if_absent(&key, document, meta).await?;
        Ok(Letter::pointing(parcel, key.as_str(), &store.uri(&key)))
    }

    /// Puts back into a parcel what lies in the store. What is not there, or not ours, leaves the parcel as it came.
    pub(super) async fn fetched(&self, mut parcel: Parcel) -> Result<Parcel, Trouble> {
        let (Some(store), Some(name)) = (&self.0, parcel.stored.take()) else {
            return Ok(parcel);
        };
        if !is_ours(&name) {
            return Ok(parcel);
        }
        let Some(document) = store.get(&Key::new(name), DOCUMENT_BYTES_MAX).await? else {
            return Ok(parcel);
        };
        if let Some((body, attributes)) = read(&document) {
            parcel.body = body;
            parcel.attributes = attributes;
        }
        Ok(parcel)
    }
}

/// Whether a key is one that [`Stored::letter`] makes: whoever may send messages must not choose what we read.
fn is_ours(name: &str) -> bool {
    let digest = name.strip_prefix("_dead/").and_then(|name| name.strip_suffix(".json"));
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn written(parcel: &Parcel) -> Json {
    let attributes = overflow::to_json(&parcel.attributes);
    match std::str::from_utf8(&parcel.body) {
        Ok(text) => json!({"body": text, "attributes": attributes}),
        Err(_) => json!({"body_base64": STANDARD.encode(&parcel.body), "attributes": attributes}),
    }
}

fn read(document: &[u8]) -> Option<(Bytes, overflow::Values)> {
    let json: Json = serde_json::from_slice(document).ok()?;
    let body = match json.get("body") {
        Some(text) => Bytes::from(text.as_str()?.to_owned()),
        None => STANDARD.decode(json.get("body_base64")?.as_str()?).ok()?.into(),
    };
    Some((body, overflow::from_json(json.get("attributes")?)))
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Value;
    use super::*;

    #[test]
    fn bodies_of_any_kind_come_back_from_the_document() {
        for body in [&b"text \0 \""[..], b"\xff\x00", b""] {
            let parcel = Parcel {
                body: Bytes::copy_from_slice(body),
                attributes: [("a".to_owned(), Value::number(1))].into(),
                ..Parcel::default()
            };
            let document = written(&parcel).to_string();
            assert_eq!(read(document.as_bytes()).unwrap(), (parcel.body, parcel.attributes));
        }
    }

    #[test]
    fn only_our_own_keys_are_read() {
        let digest = "a".repeat(64);
        assert!(is_ours(&format!("_dead/{digest}.json")));
        for name in [format!("{digest}.json"), format!("_dead/../{digest}.json"), "_dead/x.json".to_owned()] {
            assert!(!is_ours(&name), "{name}");
        }
    }
}
