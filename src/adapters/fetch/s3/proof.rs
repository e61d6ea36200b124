//! Finds out what a refusal means by asking once more with the same keys.
//!
//! S3 answers 403 alike to those who may not read an object, to those who may not know whether there is one, to those who
//! expected another owner and to those who will not pay where readers do. Each of these is claimed only where a second answer
//! proves it. The questions are paid for like any other request, and where they fail nothing is claimed.

use reqwest::header::HeaderValue;
use reqwest::{Method, Response};

use super::S3Fetcher;
use super::ask::{Asked, EXPECTED_OWNER, REQUEST_PAYER, Way};
use crate::adapters::fetch::worded::{WORDS_BYTES_MAX, element};
use crate::domain::fault::Code;
use crate::domain::source::{Pin, form_decoded};
use crate::ports::fetcher::Want;

/// What a look into the bucket's list shows.
enum Listed {
    /// The object is there.
    There,
    /// It is not.
    Missing,
    /// We may not look.
    Refused,
    /// The look failed.
    Unknown,
}

impl S3Fetcher {
    /// What stands behind a plain refusal, and what to say of it.
    pub(super) async fn prove(&self, asked: &Asked, way: &Way) -> (Code, &'static str) {
        if self.is_other_owners(asked, way).await {
            let words = "the bucket belongs to another account than the team says";
            return (Code::WrongOwner, words);
        }
        if self.wants_readers_to_pay(asked, way).await {
            let words = "the bucket's readers pay, and the team has not agreed; set requester_pays = true to agree";
            return (Code::RequesterPays, words);
        }
        match self.listed(asked, way).await {
            Listed::There => (Code::AccessDenied, "the object is there, and the team's rights do not read it"),
            // The list tells of keys, not of versions.
            Listed::Missing if !matches!(asked.pin, Some(Pin::Version(_))) => {
                (Code::NotFound, "there is no object of this key")
            }
            Listed::Missing | Listed::Refused | Listed::Unknown => {
                let words = "access denied or object missing; grant s3:ListBucket to tell them apart";
                (Code::AccessDeniedOrMissing, words)
            }
        }
    }

    /// Whether the expected owner alone stood between us and the object.
    async fn is_other_owners(&self, asked: &Asked, way: &Way) -> bool {
        if asked.reading.expected_owner.is_none() {
            return false;
        }
        let Ok(mut ask) = asked.object(&Want::Head) else {
            return false;
        };
        ask.fields.remove(EXPECTED_OWNER);
        let answer = self.send(asked, way, &ask, &mut Vec::new()).await;
        // Whoever hears that the key is missing has been let in, too.
        answer.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 404))
    }

    /// Whether the word that we pay alone stood between us and the object. Finding out costs its reader the price of one `HEAD`.
    async fn wants_readers_to_pay(&self, asked: &Asked, way: &Way) -> bool {
        if asked.reading.requester_pays {
            return false;
        }
        let Ok(mut ask) = asked.object(&Want::Head) else {
            return false;
        };
        ask.fields.insert(REQUEST_PAYER, HeaderValue::from_static("requester"));
        let answer = self.send(asked, way, &ask, &mut Vec::new()).await;
        answer.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 404))
    }

    async fn listed(&self, asked: &Asked, way: &Way) -> Listed {
        let mut ask = asked.bucket_itself(Method::GET);
        // Of all keys that begin with this one it is the first itself.
        ask.query =
            vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", "1"), ("prefix", asked.key.as_str())];
        let Ok(answer) = self.send(asked, way, &ask, &mut Vec::new()).await else {
            return Listed::Unknown;
        };
        match answer.status().as_u16() {
            200 => self.found(asked, answer).await,
            401 | 403 => Listed::Refused,
            _ => Listed::Unknown,
        }
    }

    async fn found(&self, asked: &Asked, answer: Response) -> Listed {
        let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
        let words = String::from_utf8_lossy(&words);
        if !words.contains("</ListBucketResult>") {
            return Listed::Unknown;
        }
        let first = element(&words, "Contents").and_then(|contents| element(contents, "Key"));
        match first.and_then(form_decoded) {
            Some(key) if key == asked.key => Listed::There,
            Some(_) => Listed::Missing,
            None if first.is_none() => Listed::Missing,
            None => Listed::Unknown,
        }
    }
}
