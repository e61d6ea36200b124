//! Where objects are asked for: by their path at the service's one host, or at an endpoint of the operator's.
//!
//! Objects are read by the XML API, whose answers to GET and HEAD hold all that is told of an object in their heads; lists come
//! from the JSON API, whose answers are read more easily.

use url::Url;

use crate::adapters::fetch::object_path::{encoded, encoded_query, guarded, path_of};
use crate::domain::fault::{AttachmentFault, Code};

/// Google's own.
const ENDPOINT: &str = "https://storage.googleapis.com";
/// First segments of paths that are not buckets.
const NO_BUCKETS: [&str; 4] = ["storage", "download", "upload", "batch"];

/// Where the service is.
#[derive(Debug, Clone)]
pub(super) struct Service {
    base: String,
}

/// What is asked for at a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// An object.
    Object(&'a str),
    /// The bucket's list.
    List,
}

impl Service {
    pub(super) fn new(endpoint: Option<Url>) -> Self {
        let base = endpoint.map_or_else(|| ENDPOINT.to_owned(), String::from);
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// Finds `target`.
    ///
    /// # Errors
    /// `bad_url` for a name that no URL can carry.
    pub(super) fn locate(
        &self, bucket: &str, target: Target<'_>, query: &[(&str, &str)],
    ) -> Result<Url, AttachmentFault> {
        let unsendable = |what: &str| {
            let message = format!("gs://{bucket}: {what}");
            AttachmentFault::new(Code::BadUrl, message)
        };
        let path = match target {
            Target::Object(_) if NO_BUCKETS.contains(&bucket) => {
                return Err(unsendable("this bucket's name cannot be told from the service's own paths"));
            }
            Target::Object(name) => format!("/{}/{}", encoded(bucket), guarded(&encoded(name))),
            Target::List => format!("/storage/v1/b/{}/o", encoded(bucket)),
        };
        let query = encoded_query(query);
        let mark = if query.is_empty() { "" } else { "?" };
        let unusable = || unsendable("this object's name cannot be carried by a URL");
        let url = Url::parse(&format!("{}{path}{mark}{query}", self.base)).map_err(|_| unusable())?;
        // Whatever the library made of the path, no other object than this one is ever asked for.
        let whole = format!("{}{path}", path_of(&self.base));
        if url.path() == whole { Ok(url) } else { Err(unusable()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: Option<&str>, bucket: &str, name: &str, expected: Result<&str, Code>) {
        let service = Service::new(endpoint.map(|endpoint| Url::parse(endpoint).expect("a URL")));
        let found = service.locate(bucket, Target::Object(name), &[]);
        let found = found.map(String::from).map_err(|fault| fault.code);
        assert_eq!(found, expected.map(str::to_owned), "{bucket} {name}");
    }

    #[test]
    fn objects_are_asked_for_by_their_path() {
        check(None, "acme-raw", "a/b.jpg", Ok("https://storage.googleapis.com/acme-raw/a/b.jpg"));
        check(None, "acme.com", "k", Ok("https://storage.googleapis.com/acme.com/k"));
        check(Some("http://127.0.0.1:5901"), "b", "k", Ok("http://127.0.0.1:5901/b/k"));
        check(Some("http://h/gcs/"), "b", "k", Ok("http://h/gcs/b/k"));
    }

    #[test]
    fn names_are_sent_as_they_are_and_never_walk() {
        for (name, sent) in [
            ("a b+c%20d", "a%20b%2Bc%2520d"),
            ("/lead//two/", "/lead//two/"),
            ("ä?x=1#z", "%C3%A4%3Fx%3D1%23z"),
            ("a/../b", "a%2F..%2Fb"),
            ("../b", "..%2Fb"),
            ("./../x/y", ".%2F..%2Fx/y"),
            ("a\\b", "a%5Cb"),
        ] {
            check(Some("http://h"), "b", name, Ok(&format!("http://h/b/{sent}")));
        }
        for name in [".", ".."] {
            check(None, "b", name, Err(Code::BadUrl));
        }
    }

    #[test]
    fn a_bucket_is_never_taken_for_the_services_own_paths() {
        for bucket in NO_BUCKETS {
            check(None, bucket, "v1/b/other/o/x", Err(Code::BadUrl));
        }
        let list = Service::new(None).locate("b", Target::List, &[("prefix", "a b/ä&=")]).expect("a list");
        assert_eq!(list.as_str(), "https://storage.googleapis.com/storage/v1/b/b/o?prefix=a%20b%2F%C3%A4%26%3D");
    }
}
