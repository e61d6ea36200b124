//! Finds out what a refusal means by asking once more with the same token.
//!
//! Google answers 403 alike to those who may not read an object and to those who may not know whether there is one. Which of
//! the two it is, is claimed only where the bucket's list proves it; that its readers pay, only where the list says so too.
//! The question is paid for like any other request, and where it fails nothing is claimed.

use std::sync::Arc;

use reqwest::Response;
use serde_json::Value;

use super::GcsFetcher;
use super::ask::Asked;
use super::refusal::{Meaning, Refusal};
use crate::adapters::fetch::worded::WORDS_BYTES_MAX;
use crate::domain::access::Grant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;
use crate::ports::credentials::GcpToken;
use crate::ports::fetcher::{FetchRequest, Want};

/// What a look into the bucket's list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// The object is there.
    There,
    /// It is not.
    Missing,
    /// The bucket wants its readers to pay.
    Pays,
    /// We may not look, or the look failed.
    Unknown,
}

const PAYS: (Code, &str) = (Code::RequesterPays, "the bucket's readers pay, and no project of the team's does");

impl GcsFetcher {
    /// Returns the name of an object in the bucket, if there is any, for whoever checks a grant: that it can be read, a
    /// `HEAD` of it will tell.
    ///
    /// # Errors
    /// The fault of a list that is not given; a grant that reads but does not list is `access_denied`.
    pub async fn any_object(
        &self, team: &Arc<KnownTeam>, grant: &Grant, bucket: &str,
    ) -> Result<Option<String>, AttachmentFault> {
        let source = Source::Gcs { bucket: bucket.to_owned(), object: String::new(), pin: None };
        let request = FetchRequest { team: Arc::clone(team), source, grant: grant.clone(), want: Want::Head };
        let asked = Asked::of(&request)?;
        let token = self.credentials.token(asked.usage()).await?;
        let answer = self.send(&asked, &token, &asked.list(), &mut Vec::new()).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
        if status == 200 {
            let list: Value = serde_json::from_slice(&words).unwrap_or_default();
            return Ok(list["items"][0]["name"].as_str().map(str::to_owned));
        }
        let refusal = Refusal::new(status, headers, &words);
        let fault = |code, words| refusal.fault(bucket, code, words);
        Err(match refusal.meaning() {
            Meaning::Pays => fault(PAYS.0, PAYS.1),
            Meaning::Denied => fault(Code::AccessDenied, "the team's rights do not list the bucket"),
            Meaning::Gone(_) => fault(Code::NotFound, "there is no such bucket"),
            Meaning::TokenEnded => fault(Code::Unavailable, "the token was refused"),
            Meaning::Final(code, words) => fault(code, words),
        })
    }

    /// What stands behind a plain refusal, and what to say of it.
    pub(super) async fn prove_denied(&self, asked: &Asked, token: &GcpToken) -> (Code, &'static str) {
        match self.listed(asked, token).await {
            Listed::There => (Code::AccessDenied, "the object is there, and the team's rights do not read it"),
            // The list tells of names, not of generations.
            Listed::Missing if asked.pin.is_none() => (Code::NotFound, "there is no object of this name"),
            Listed::Pays => PAYS,
            Listed::Missing | Listed::Unknown => {
                let words = "access denied or object missing; grant storage.objects.list to tell them apart";
                (Code::AccessDeniedOrMissing, words)
            }
        }
    }

    /// Whether it is true that readers pay, and what to say if not.
    pub(super) async fn prove_pays(&self, asked: &Asked, token: &GcpToken) -> (Code, &'static str) {
        match self.listed(asked, token).await {
            Listed::Pays => PAYS,
            Listed::There | Listed::Missing | Listed::Unknown => {
                (Code::AccessDenied, "the bucket asks for a project that pays")
            }
        }
    }

    /// Whether the object is there in any generation.
    pub(super) async fn is_there(&self, asked: &Asked, token: &GcpToken) -> bool {
        let Ok(ask) = asked.object(&Want::Head) else {
            return false;
        };
        let answer = self.send(asked, token, &ask, &mut Vec::new()).await;
        answer.is_ok_and(|answer| answer.status().as_u16() == 200)
    }

    async fn listed(&self, asked: &Asked, token: &GcpToken) -> Listed {
        let Ok(answer) = self.send(asked, token, &asked.list(), &mut Vec::new()).await else {
            return Listed::Unknown;
        };
        match answer.status().as_u16() {
            200 => self.found(asked, answer).await,
            status => {
                let headers = answer.headers().clone();
                let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
                let pays = Refusal::new(status, headers, &words).meaning() == Meaning::Pays;
                if pays { Listed::Pays } else { Listed::Unknown }
            }
        }
    }

    async fn found(&self, asked: &Asked, answer: Response) -> Listed {
        let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
        let Ok(list) = serde_json::from_slice::<Value>(&words) else {
            return Listed::Unknown;
        };
        match list["items"][0]["name"].as_str() {
            Some(name) if name == asked.object => Listed::There,
            Some(_) => Listed::Missing,
            // An empty page that is not the last says nothing.
            None if list.is_object() && list["nextPageToken"].is_null() => Listed::Missing,
            None => Listed::Unknown,
        }
    }
}
