//! Blobs in Azure Storage, and the https URLs that name them.
//!
//! A URL is a blob's only on a host `ACCOUNT.SUFFIX` of a configured suffix, over https on its usual port, without user-info
//! and without a shared access signature. Anything else, however much it looks like one, stays a plain URL, which is fetched
//! without any credential. Even of a blob's URL the host is not used again: the fetcher makes its own of account and suffix.

use std::fmt::Write;

use url::Url;

use super::attachment_url::is_signed;
use super::fault::{AttachmentFault, Code};
use super::source::{Source, percent_decoded};
use super::team::Team;

/// The container of blobs whose URL names none.
const ROOT: &str = "$root";
/// Containers whose names begin with a dollar sign; see "Naming and referencing containers, blobs, and metadata".
const SYSTEM_CONTAINERS: [&str; 4] = [ROOT, "$web", "$logs", "$blobchangefeed"];
/// Longest name of a blob, in characters.
const BLOB_CHARS_MAX: usize = 1024;
/// Longest version or snapshot that is looked at; Azure's are times of 28 characters.
const STATE_BYTES_MAX: usize = 64;

/// A blob in Azure Storage. Names are raw, not percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureBlob {
    /// The storage account.
    pub account: String,
    /// What stands behind the account in its host.
    pub suffix: String,
    /// The container.
    pub container: String,
    /// The blob in it.
    pub blob: String,
    /// The very state of it that is meant, where the URL names one; else what is there now.
    pub state: Option<BlobState>,
}

/// What names one state of a blob for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobState {
    /// A version.
    Version(String),
    /// A snapshot.
    Snapshot(String),
}

impl BlobState {
    /// Name and value of the query's parameter.
    #[must_use]
    pub fn parameter(&self) -> (&'static str, &str) {
        match self {
            Self::Version(version) => ("versionid", version),
            Self::Snapshot(snapshot) => ("snapshot", snapshot),
        }
    }
}

/// What is read for `team` where `source` is named: the blob, for a team that has a tenant.
///
/// # Errors
/// `bad_url` for a URL of a storage account that names no blob: what such a team's URLs name is never fetched without its
/// rights.
pub fn recognized_for(team: &Team, source: Source, suffixes: &[String]) -> Result<Source, AttachmentFault> {
    match &source {
        Source::Http(url) if team.azure.is_some() => match AzureBlob::named_by(url, suffixes) {
            Some(named) => named.map(Source::AzureBlob),
            None => Ok(source),
        },
        Source::Http(_)
        | Source::S3 { .. }
        | Source::Gcs { .. }
        | Source::AzureBlob(_)
        | Source::File(_)
        | Source::Text(_) => Ok(source),
    }
}

impl AzureBlob {
    /// The blob that a URL names; `None` for what is no URL of a storage account, or is signed by itself.
    ///
    /// # Errors
    /// `bad_url` for a URL of a storage account that names no blob, or asks for something else than its content.
    #[must_use]
    pub fn named_by(url: &Url, suffixes: &[String]) -> Option<Result<Self, AttachmentFault>> {
        let is_plain = url.scheme() == "https" && url.port().is_none();
        let has_user_info = !url.username().is_empty() || url.password().is_some();
        if !is_plain || has_user_info || is_signed(url) {
            return None;
        }
        let (account, suffix) = account_in(url.host_str()?, suffixes)?;
        let account = account.to_owned();
        Some(container_and_blob(url.path()).and_then(|(container, blob)| {
            let state = state_in(url)?;
            Ok(Self { account, suffix: suffix.to_owned(), container, blob, state })
        }))
    }

    /// The account's host.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}", self.account, self.suffix)
    }

    /// Container and blob as a URL's path, percent-encoded.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = format!("/{}/", self.container);
        push_encoded(&mut path, &self.blob);
        path
    }

    /// The query that names the state, percent-encoded, without its question mark; empty where none is named.
    #[must_use]
    pub fn query(&self) -> String {
        let Some((name, value)) = self.state.as_ref().map(BlobState::parameter) else {
            return String::new();
        };
        let mut query = format!("{name}=");
        push_encoded(&mut query, value);
        query
    }

    /// The blob's URL, always the same for the same blob and state.
    #[must_use]
    pub fn url(&self) -> String {
        let query = self.query();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("https://{}{}{mark}{query}", self.host(), self.path())
    }
}

/// Whether `text` can name a storage account. Such names are unique in their cloud.
#[must_use]
pub fn is_account(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=24).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether `text` can stand behind accounts in hosts: no less than `blob.` and a domain's name, so that no mistake makes
/// strangers' hosts Azure's.
#[must_use]
pub fn is_suffix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let labels: Vec<&str> = text.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let blob_at = labels.iter().position(|label| *label == "blob");
    labels.iter().all(is_label) && blob_at.is_some_and(|at| labels.len() >= at + 3)
}

fn account_in<'a>(host: &'a str, suffixes: &'a [String]) -> Option<(&'a str, &'a str)> {
    // One dot behind it makes a name absolute, and no other.
    let host = host.strip_suffix('.').unwrap_or(host);
    let (account, rest) = host.split_once('.')?;
    let suffix = suffixes.iter().find(|suffix| *suffix == rest)?;
    is_account(account).then_some((account, suffix.as_str()))
}

/// Takes a path apart where it has a slash that is written as one.
fn container_and_blob(path: &str) -> Result<(String, String), AttachmentFault> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (container, blob) = path.split_once('/').unwrap_or((ROOT, path));
    let decoded = |text: &str| percent_decoded(text).ok_or_else(|| bad("its path is not percent-encoded UTF-8"));
    let (container, blob) = (decoded(container)?, decoded(blob)?);
    if !is_container(&container) {
        return Err(bad("it names no container"));
    }
    check_blob(&container, &blob)?;
    Ok((container, blob))
}

fn is_container(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_plain = (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    is_plain || SYSTEM_CONTAINERS.contains(&name)
}

fn check_blob(container: &str, blob: &str) -> Result<(), AttachmentFault> {
    if blob.is_empty() {
        return Err(bad("it names a container, or nothing, and no blob"));
    }
    if blob.chars().count() > BLOB_CHARS_MAX {
        return Err(bad("the blob's name is longer than 1024 characters"));
    }
    if blob.chars().any(char::is_control) {
        return Err(bad("the blob's name holds control characters"));
    }
    // Whoever takes these for ways up and down a tree would ask for another blob.
    if blob.split('/').any(|part| part == "." || part == "..") {
        return Err(bad("the blob's name has a part of nothing but dots"));
    }
    if container == ROOT && blob.contains('/') {
        return Err(bad("a blob of the root container has no slash in its name"));
    }
    Ok(())
}

/// The state that the query names. Other parameters mean nothing to Azure and name no other blob, but for those that ask for
/// something else than a blob's content.
fn state_in(url: &Url) -> Result<Option<BlobState>, AttachmentFault> {
    let mut state = None;
    for (name, value) in url.query_pairs() {
        let make = match name.to_ascii_lowercase().as_str() {
            "comp" | "restype" => return Err(bad("it asks for something else than a blob's content")),
            "versionid" => BlobState::Version,
            "snapshot" => BlobState::Snapshot,
            _ => continue,
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'+');
        if value.is_empty() || value.len() > STATE_BYTES_MAX || !value.bytes().all(allowed) {
            return Err(bad("it names a version or snapshot that is none"));
        }
        if state.replace(make(value.into_owned())).is_some() {
            return Err(bad("it names more than one version or snapshot"));
        }
    }
    Ok(state)
}

fn bad(what: &str) -> AttachmentFault {
    AttachmentFault::new(Code::BadUrl, format!("this URL of a storage account is no blob's: {what}"))
}

/// Percent-encodes everything but unreserved characters and slashes.
fn push_encoded(text: &mut String, raw: &str) {
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes what is written to it");
        }
    }
}

#[cfg(test)]
#[path = "azure_blob_tests.rs"]
mod tests;
