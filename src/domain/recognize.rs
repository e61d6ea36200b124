//! Recognises https URLs of objects in S3 and Google Cloud Storage, for teams that want these read as `s3://` and `gs://`.
//!
//! Closed tables of hosts: what is in none of them is no object URL, however much it looks like one, and stays a plain URL,
//! which is fetched without any credential. So do URLs with a signature or credential of their own, with a port or user-info,
//! over plain http, and those that ask for something else than an object's content. A version or generation in the query is
//! the pin. Even of a recognised URL the host is not used again: fetchers make their own from bucket and region.

use url::Url;

use super::attachment_url::is_signature_parameter;
use super::source::{Pin, Source, check_bucket_of_s3, check_object, form_decoded, percent_decoded};
use super::team::Team;

/// AWS's domains: the regions below the second begin with `cn-`, those below the first do not.
const AWS_DOMAINS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];
/// S3's first region has this second name, from before regions had any.
const EXTERNAL: &str = "s3-external-1";
const FIRST_REGION: &str = "us-east-1";
/// Google's hosts for paths of bucket and object: of the XML interface, of browsers, and an old name of the first.
const GCS_HOSTS: [&str; 3] = ["storage.googleapis.com", "storage.cloud.google.com", "commondatastorage.googleapis.com"];
/// Google's hosts that answer the JSON interface.
const JSON_HOSTS: [&str; 2] = ["storage.googleapis.com", "www.googleapis.com"];
/// What a download's path begins with there.
const JSON_PATHS: [&str; 2] = ["/storage/v1/b/", "/download/storage/v1/b/"];
/// Paths of interfaces, where `storage.googleapis.com` takes none for a bucket.
const INTERFACES: [&str; 4] = ["/storage/v1/", "/download/storage/v1/", "/upload/storage/v1/", "/batch/storage/v1"];

/// Parameters that make a URL ask for something else than the content, in S3's interface and in Google's XML interface; and
/// those that would change the answer's own fields. See "Actions" in the S3 API reference.
const OTHER_QUESTIONS: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "billing",
    "compose",
    "cors",
    "delete",
    "delimiter",
    "encryption",
    "encryptionconfig",
    "inventory",
    "legal-hold",
    "lifecycle",
    "list-type",
    "location",
    "logging",
    "marker",
    "max-keys",
    "metrics",
    "notification",
    "object-lock",
    "ownershipcontrols",
    "partnumber",
    "policy",
    "policystatus",
    "prefix",
    "publicaccessblock",
    "replication",
    "requestpayment",
    "response-content-encoding",
    "restore",
    "retention",
    "select",
    "session",
    "storageclass",
    "tagging",
    "torrent",
    "uploadid",
    "uploads",
    "versioning",
    "versions",
    "website",
    "websiteconfig",
];
/// Parameters that are credentials, or name who pays, beside the signatures.
const CREDENTIALS: &[&str] = &["access_token", "key", "oauth_token", "userproject"];

impl Source {
    /// What is read for `team` where this source is named: the object, where the team wants its https URLs recognised.
    #[must_use]
    pub fn recognized_for(self, team: &Team) -> Self {
        let Self::Http(url) = &self else { return self };
        let s3 = team.aws.as_ref().is_some_and(|grant| grant.recognize_https);
        let gcs = team.gcp.as_ref().is_some_and(|grant| grant.recognize_https || s3);
        let object = if s3 { s3_object(url) } else { None };
        let object = object.or_else(|| if gcs { gcs_object(url) } else { None });
        object.unwrap_or(self)
    }
}

/// The object in S3 that a URL names, if it is one of S3's object URLs.
#[must_use]
pub fn s3_object(url: &Url) -> Option<Source> {
    let host = plain_host(url)?;
    let query = Question::of(url)?;
    let place = s3_place(&host)?;
    // S3 reads a plus in a path as a space, and shows its own URLs so.
    let path = form_decoded(url.path().strip_prefix('/')?)?;
    let (bucket, key) = match place.bucket {
        Some(bucket) => (bucket, path),
        None => path.split_once('/').map(|(bucket, key)| (bucket.to_owned(), key.to_owned()))?,
    };
    check_object(&bucket, &key).and_then(|()| check_bucket_of_s3(&bucket)).ok()?;
    let pin = query.one("versionid").ok()?.map(Pin::Version);
    Some(Source::S3 { bucket, key, pin, region: place.region })
}

/// The object in Google Cloud Storage that a URL names, if it is one of its object URLs.
#[must_use]
pub fn gcs_object(url: &Url) -> Option<Source> {
    let host = plain_host(url)?;
    let query = Question::of(url)?;
    let (bucket, object) = if JSON_HOSTS.contains(&host.as_str()) && is_interface(url.path()) {
        (query.one("alt").ok()?.as_deref() == Some("media")).then_some(())?;
        json_object(url.path())?
    } else {
        path_object(&host, url.path())?
    };
    check_object(&bucket, &object).ok()?;
    let generation = query.one("generation").ok()?;
    let is_number = |text: &String| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if !generation.as_ref().is_none_or(is_number) {
        return None;
    }
    Some(Source::Gcs { bucket, object, pin: generation.map(Pin::Version) })
}

/// The host of an https URL on its usual port and without user-info, in lower case.
fn plain_host(url: &Url) -> Option<String> {
    let is_plain = url.scheme() == "https" && url.port().is_none() && url.username().is_empty();
    let host = url.host_str().filter(|_| is_plain && url.password().is_none())?;
    // One dot behind it makes a name absolute, and no other.
    Some(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

/// A bucket in a host's name, and the region that it names.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    bucket: Option<String>,
    region: Option<String>,
}

/// Reads a host of S3's from its end: `[BUCKET.]ENDPOINT.DOMAIN`. Buckets may hold dots, and even what looks like an endpoint.
fn s3_place(host: &str) -> Option<Place> {
    let domain =
        AWS_DOMAINS.into_iter().find(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))?;
    let labels: Vec<&str> = host[..host.len() - domain.len() - 1].split('.').collect();
    let (bucket, region) = match labels.as_slice() {
        [bucket @ .., "s3", "dualstack", region] | [bucket @ .., "s3", region] if is_region(region) => {
            (bucket, Some(*region))
        }
        [bucket @ .., endpoint] if *endpoint == EXTERNAL => (bucket, Some(FIRST_REGION)),
        [bucket @ .., "s3"] => (bucket, None),
        [bucket @ .., endpoint] => {
            let region = endpoint.strip_prefix("s3-").filter(|region| is_region(region))?;
            (bucket, Some(region))
        }
        [] => return None,
    };
    let is_china = region.is_some_and(|region| region.starts_with("cn-"));
    if is_china != (domain == AWS_DOMAINS[1]) {
        return None;
    }
    let bucket = (!bucket.is_empty()).then(|| bucket.join("."));
    Some(Place { bucket, region: region.map(str::to_owned) })
}

/// Whether this is how AWS names regions, `eu-west-1` or `us-gov-east-1`: no other service's part of a name is like it.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [country, words @ .., number] = parts.as_slice() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    country.len() == 2
        && is_word(country)
        && !words.is_empty()
        && words.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_interface(path: &str) -> bool {
    INTERFACES.iter().any(|interface| path.starts_with(interface))
}

/// `…/b/BUCKET/o/OBJECT`, the object's name being one segment.
fn json_object(path: &str) -> Option<(String, String)> {
    let rest = JSON_PATHS.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        [bucket, "o", object] => Some((percent_decoded(bucket)?, percent_decoded(object)?)),
        _ => None,
    }
}

/// `BUCKET.HOST/OBJECT` or `HOST/BUCKET/OBJECT`.
fn path_object(host: &str, path: &str) -> Option<(String, String)> {
    let path = path.strip_prefix('/')?;
    if GCS_HOSTS.contains(&host) {
        let (bucket, object) = path.split_once('/')?;
        return Some((percent_decoded(bucket)?, percent_decoded(object)?));
    }
    // Browsers' host has no buckets in front of it.
    let bucket =
        [GCS_HOSTS[0], GCS_HOSTS[2]].into_iter().find_map(|known| host.strip_suffix(known)?.strip_suffix('.'))?;
    Some((bucket.to_owned(), percent_decoded(path)?))
}

/// A query that asks for an object's content and is signed by nobody.
struct Question(Vec<(String, String)>);

impl Question {
    fn of(url: &Url) -> Option<Self> {
        let pairs = url.query_pairs().map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()));
        let pairs: Vec<(String, String)> = pairs.collect();
        let is_other =
            |name: &str| is_signature_parameter(name) || OTHER_QUESTIONS.contains(&name) || CREDENTIALS.contains(&name);
        (!pairs.iter().any(|(name, _)| is_other(name))).then_some(Self(pairs))
    }

    /// The value of a parameter that may stand there once.
    fn one(&self, wanted: &str) -> Result<Option<String>, Twice> {
        let mut values = self.0.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) if !value.is_empty() => Ok(Some(value.clone())),
            (Some(_), _) => Err(Twice),
        }
    }
}

/// A parameter without a value, or with two: nobody knows which is meant.
struct Twice;

#[cfg(test)]
#[path = "recognize_tests.rs"]
mod tests;
