//! Where an attachment comes from, read out of its URL.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::attachment_url::{naming, redacted};
use super::azure_blob::AzureBlob;
use super::fault::{AttachmentFault, Code};

/// Longest URL that is looked at, in bytes.
pub const URL_BYTES_MAX: usize = 16 * 1024;

/// Where an attachment comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A plain `http` or `https` URL.
    Http(Url),
    /// An object in S3; the key is raw, not percent-encoded.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// The very state of it that is meant, where whoever asks knows it; else what is there now.
        pin: Option<Pin>,
        /// The region that its URL named, which is asked first; it is no part of what names the object.
        region: Option<String>,
    },
    /// An object in Google Cloud Storage; the name is raw.
    Gcs {
        /// The bucket's name.
        bucket: String,
        /// The object's name.
        object: String,
        /// The generation that is meant, where whoever asks knows it; else what is there now.
        pin: Option<Pin>,
    },
    /// A blob in Azure Storage.
    AzureBlob(AzureBlob),
    /// A file below one of the configured roots.
    File(PathBuf),
    /// The content itself.
    Text(String),
}

/// What names one state of an object for good. A state that is gone is `not_found`, never replaced by a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// A version id, or a generation.
    Version(String),
    /// An ETag, with or without its quotes.
    Etag(String),
}

impl Source {
    /// Reads a URL as it was sent.
    ///
    /// # Errors
    /// `bad_url` for what is none; `unsupported_scheme` for a scheme that is never fetched.
    pub fn parse(text: &str) -> Result<Self, AttachmentFault> {
        let text = text.trim();
        if text.len() > URL_BYTES_MAX {
            return Err(bad_url(format!("the URL is longer than {URL_BYTES_MAX} bytes")));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ') {
            return Err(bad_url("the URL holds control characters"));
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("s3") => {
                let (bucket, key) = bucket_and_key(text)?;
                check_bucket_of_s3(&bucket)?;
                Ok(Self::S3 { bucket, key, pin: None, region: None })
            }
            Some("gs") => bucket_and_key(text).map(|(bucket, object)| Self::Gcs { bucket, object, pin: None }),
            Some("http" | "https") => parse_http(text),
            Some("file") => parse_file(text),
            Some(_) | None => Err(other_scheme(text)),
        }
    }

    /// What names the object that is copied from here, apart from its version.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Http(url) => naming(url),
            Self::S3 { bucket, key, .. } => format!("s3://{bucket}/{key}"),
            Self::Gcs { bucket, object, .. } => format!("gs://{bucket}/{object}"),
            Self::AzureBlob(blob) => blob.url(),
            Self::File(path) => format!("file://{}", path.display()),
            Self::Text(text) => format!("text:{}", super::digest::Sha256::of(text.as_bytes())),
        }
    }

    /// The host, bucket or other place that limits are kept for.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            // A dot behind names the same host: it must not have a budget of its own.
            Self::Http(url) => {
                let host = url.host_str().unwrap_or_default();
                Place::Host(host.trim_end_matches('.').to_owned())
            }
            Self::S3 { bucket, .. } => Place::Bucket(format!("s3://{bucket}")),
            Self::Gcs { bucket, .. } => Place::Bucket(format!("gs://{bucket}")),
            Self::AzureBlob(blob) => Place::Bucket(format!("azure://{}", blob.account)),
            Self::File(_) | Self::Text(_) => Place::Local,
        }
    }

    /// Where it is asked for: what answers, tires and fails together.
    #[must_use]
    pub fn door(&self) -> Door {
        let port = match self {
            Self::Http(url) => url.port_or_known_default(),
            Self::S3 { .. } | Self::Gcs { .. } | Self::AzureBlob(_) | Self::File(_) | Self::Text(_) => None,
        };
        Door { place: self.place(), port }
    }
}

/// A place as it is connected to: a host may answer at one port and not at another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Door {
    /// What limits are kept for.
    pub place: Place,
    /// The port of a plain host.
    pub port: Option<u16>,
}

/// What limits are kept for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A plain host: its name without port.
    Host(String),
    /// A cloud bucket or storage account.
    Bucket(String),
    /// This machine: nobody else's limits.
    Local,
}

fn bad_url(message: impl Into<String>) -> AttachmentFault {
    AttachmentFault::new(Code::BadUrl, message)
}

fn parse_http(text: &str) -> Result<Source, AttachmentFault> {
    let url = Url::parse(text).map_err(|error| bad_url(format!("{} is no URL: {error}", redacted(text))))?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(Source::Http(url)),
        Some(_) | None => Err(bad_url(format!("{} names no host", redacted(text)))),
    }
}

fn parse_file(text: &str) -> Result<Source, AttachmentFault> {
    let url = Url::parse(text).map_err(|error| bad_url(format!("{} is no URL: {error}", redacted(text))))?;
    if url.host_str().is_some_and(|host| !host.is_empty() && host != "localhost") {
        return Err(AttachmentFault::new(Code::UnsupportedScheme, "a file URL that names another host is not fetched"));
    }
    let path = percent_decoded_path(&url).ok_or_else(|| bad_url("the file URL's path is no UTF-8 text"))?;
    Ok(Source::File(path))
}

/// The URL's path as one of this machine's. `url::Url::to_file_path` reads the same, but is not to be had on every platform.
fn percent_decoded_path(url: &Url) -> Option<PathBuf> {
    percent_decoded(url.path()).filter(|text| !text.contains('\0')).map(PathBuf::from)
}

/// Takes `s3://BUCKET/KEY` apart; the key is everything behind the first slash, as it stands.
fn bucket_and_key(text: &str) -> Result<(String, String), AttachmentFault> {
    let shape = || bad_url("an object URL has the form SCHEME://BUCKET/KEY");
    let rest = text.split_once("://").ok_or_else(shape)?.1;
    let (bucket, key) = rest.split_once('/').ok_or_else(shape)?;
    if bucket.starts_with("arn:") {
        return Err(bad_url("access-point ARNs are not supported: name the bucket"));
    }
    check_object(bucket, key)?;
    Ok((bucket.to_owned(), key.to_owned()))
}

/// Reads a key as S3 writes it in its events and lists, as `application/x-www-form-urlencoded`; `None` for what is not encoded
/// so.
#[must_use]
pub fn form_decoded(text: &str) -> Option<String> {
    percent_decoded(&text.replace('+', " "))
}

/// Reads percent-encoded text; `None` for what is not encoded so.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
        let [Some(high), Some(low)] = digits else { return None };
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Whether this is the bucket's own name. Access points have aliases that stand where buckets' names do: with these the same
/// bucket would have several names, and a claim of one would not protect the others.
///
/// # Errors
/// `bad_url`, with what to do.
pub fn check_bucket_of_s3(bucket: &str) -> Result<(), AttachmentFault> {
    // See "Access point aliases", "Object Lambda Access Points" and "Directory bucket naming rules" in the S3 user guide.
    let is_alias = ["-s3alias", "--ol-s3", ".mrap"].iter().any(|ending| bucket.ends_with(ending));
    match (is_alias, bucket.ends_with("--x-s3")) {
        (true, _) => Err(bad_url("aliases of access points are not supported: name the bucket")),
        (_, true) => Err(bad_url("directory buckets (S3 Express One Zone) are not supported")),
        (false, false) => Ok(()),
    }
}

/// Whether bucket and key can name an object.
///
/// # Errors
/// `bad_url`, with what is wrong.
pub fn check_object(bucket: &str, key: &str) -> Result<(), AttachmentFault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || bucket.len() > 222 || !bucket.bytes().all(allowed) {
        return Err(bad_url("the bucket's name is not a legal one"));
    }
    if key.is_empty() || key.len() > 1024 {
        return Err(bad_url("the object's key must have 1 to 1024 bytes"));
    }
    Ok(())
}

fn other_scheme(text: &str) -> AttachmentFault {
    match text.split_once(':') {
        Some((scheme, _)) if is_scheme(scheme) => {
            AttachmentFault::new(Code::UnsupportedScheme, format!("scheme {scheme} is not fetched"))
        }
        Some(_) | None => bad_url("this is no URL: it names no scheme"),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, Code>) {
        let found = Source::parse(text).map(|source| source.name()).map_err(|fault| fault.code);
        assert_eq!(found, expected.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn urls_are_read_as_they_were_meant() {
        check("https://H.com/a b", Ok("https://h.com/a%20b"));
        check(" http://h ", Ok("http://h/"));
        check("http://münchen.de/ä", Ok("http://xn--mnchen-3ya.de/%C3%A4"));
        check("http://0x7f.1/", Ok("http://127.0.0.1/"));
        check("http://[::1]:80/x", Ok("http://[::1]/x"));
        check("s3://b.ucket/a/b%20c//d", Ok("s3://b.ucket/a/b%20c//d"));
        check("s3://bucket/a?b#c", Ok("s3://bucket/a?b#c"));
        check("gs://bucket/k", Ok("gs://bucket/k"));
        check("file:///tmp/a%20b", Ok("file:///tmp/a b"));
    }

    #[test]
    fn what_is_no_url_says_so() {
        for text in
            ["", "plain text", "http://", "http://[::1", "s3://bucket", "s3://bucket/", "s3:///key", "http://a\nb/"]
        {
            check(text, Err(Code::BadUrl));
        }
        check(&format!("http://h/{}", "x".repeat(URL_BYTES_MAX)), Err(Code::BadUrl));
        for bucket in [
            "arn:aws:s3:us-west-2:1:accesspoint",
            "arn:aws:s3-object-lambda:us-west-2:1:accesspoint",
            "acme-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias",
            "acme-hrzrlukc5m36ft7okagglf3gmwluqus--ol-s3",
            "mfzwi23gnjvgw.mrap",
            "acme--usw2-az1--x-s3",
        ] {
            check(&format!("s3://{bucket}/k"), Err(Code::BadUrl));
        }
    }

    #[test]
    fn other_schemes_are_never_fetched() {
        for text in
            ["ftp://h/x", "gopher://h", "data:text/plain,x", "scaledata://x", "javascript:alert(1)", "file://other/x"]
        {
            check(text, Err(Code::UnsupportedScheme));
        }
    }

    #[test]
    fn keys_are_read_as_s3_writes_them() {
        for (text, key) in [
            ("a/b.jpg", Some("a/b.jpg")),
            ("a+b%20c%2Bd", Some("a b c+d")),
            ("%C3%A4", Some("ä")),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(form_decoded(text).as_deref(), key, "{text}");
        }
    }
}
