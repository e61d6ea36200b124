//! Where a bucket's objects are asked for: the host, and the path as it is sent and as it is signed.
//!
//! How a key is spelled in a path is told in [`object_path`](super::super::object_path). Of a key that walks some servers check
//! the signature as it was sent, others as the key would have it: both are known here.

use url::Url;

use crate::adapters::fetch::object_path::{encoded, encoded_query, guarded, is_dots, path_of};
use crate::domain::fault::{AttachmentFault, Code};

/// How buckets are addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// At AWS: the bucket in the host's name where its own name allows, else in the path.
    Aws,
    /// At one endpoint of the operator's, the bucket in the path.
    Endpoint(Url),
    /// At one endpoint of the operator's, the bucket in the host's name before the endpoint's.
    VirtualHosts(Url),
}

/// A region's name that may stand in a host's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(String);

impl Region {
    /// Reads a region's name; `None` for anything that could lead a host's name astray.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=32).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-');
        good.then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn domain(&self) -> &'static str {
        match self.0.starts_with("cn-") {
            true => "amazonaws.com.cn",
            false => "amazonaws.com",
        }
    }
}

/// What is asked for at a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) bucket: &'a str,
    /// The object; without one the bucket itself.
    pub(super) key: Option<&'a str>,
    /// Parameters, in the order of their names.
    pub(super) query: &'a [(&'a str, &'a str)],
}

/// A target found: where the request goes, and what is signed of it.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) url: Url,
    pub(super) signed_path: String,
    pub(super) signed_query: String,
}

impl Addressing {
    /// Finds `target` in `region`.
    ///
    /// # Errors
    /// `bad_url` for a key that no URL can carry.
    pub(super) fn locate(&self, region: &Region, target: Target<'_>) -> Result<Located, AttachmentFault> {
        let Target { bucket, key, query } = target;
        let (base, in_host) = self.base(region, bucket);
        let prefix = if in_host { String::new() } else { format!("/{}", encoded(bucket)) };
        let object = key.map_or_else(String::new, |key| format!("/{}", encoded(key)));
        let sent_object = key.map_or_else(String::new, |key| format!("/{}", guarded(&encoded(key))));
        let sent_path = format!("{prefix}{sent_object}");
        let signed_query = encoded_query(query);
        let mark = if signed_query.is_empty() { "" } else { "?" };
        let unsendable = || {
            let message = format!("s3://{bucket}: this key cannot be carried by a URL");
            AttachmentFault::new(Code::BadUrl, message)
        };
        let url = Url::parse(&format!("{base}{sent_path}{mark}{signed_query}")).map_err(|_| unsendable())?;
        // Whatever the library made of the path, no other key than this one is ever asked for.
        let whole = format!("{}{sent_path}", path_of(&base));
        if url.path() != whole && !(whole.is_empty() && url.path() == "/") {
            return Err(unsendable());
        }
        let signed_path = format!("{}{prefix}{object}", path_of(&base));
        let signed_path = if signed_path.is_empty() { "/".to_owned() } else { signed_path };
        Ok(Located { url, signed_path, signed_query })
    }

    /// The URL before the path, without a slash at its end, and whether it names the bucket.
    fn base(&self, region: &Region, bucket: &str) -> (String, bool) {
        let in_host = fits_a_host(bucket);
        match self {
            Self::Aws => {
                let (region, domain) = (region.as_str(), region.domain());
                match in_host {
                    true => (format!("https://{bucket}.s3.{region}.{domain}"), true),
                    false => (format!("https://s3.{region}.{domain}"), false),
                }
            }
            Self::VirtualHosts(endpoint) if in_host => {
                let (scheme, rest) = endpoint.as_str().split_once("://").unwrap_or(("https", ""));
                (format!("{scheme}://{bucket}.{}", rest.trim_end_matches('/')), true)
            }
            Self::Endpoint(endpoint) | Self::VirtualHosts(endpoint) => {
                (endpoint.as_str().trim_end_matches('/').to_owned(), false)
            }
        }
    }

    /// Whether requests go to the operator's own endpoint.
    pub(super) fn is_own(&self) -> bool {
        match self {
            Self::Aws => false,
            Self::Endpoint(_) | Self::VirtualHosts(_) => true,
        }
    }
}

/// Whether a bucket's name may stand before the service's in a host's: a dot in it would leave the certificate's wildcard.
fn fits_a_host(bucket: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(allowed)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-')
}

/// Whether a key is sent otherwise than it is signed at first.
pub(super) fn walks(key: &str) -> bool {
    key.split('/').any(is_dots)
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
