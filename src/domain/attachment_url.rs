//! What of a URL is a secret or a signature, and what is left when it is taken away.
//!
//! Three readers need three cuts: what is written anywhere ([`redacted`]), what two spellings of one task are compared by
//! ([`without_secrets`]), and what names an object ([`naming`]).

use url::Url;

/// Query parameters that sign a URL: S3 (both versions), GCS, Azure SAS and CloudFront. Closed lists, compared without case.
const SIGNATURE_PARAMETERS: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "awsaccesskeyid",
    "signature",
    "expires",
    "x-goog-algorithm",
    "x-goog-credential",
    "x-goog-date",
    "x-goog-expires",
    "x-goog-signature",
    "x-goog-signedheaders",
    "googleaccessid",
    "sig",
    "sv",
    "se",
    "st",
    "sp",
    "sr",
    "spr",
    "sip",
    "skoid",
    "sktid",
    "skt",
    "ske",
    "sks",
    "skv",
    "sdd",
    "saoid",
    "suoid",
    "scid",
    "ses",
    "policy",
    "key-pair-id",
    "hash-algorithm",
];

/// Hosts whose signature parameters are known to be no part of an object's identity.
const RECOGNISED_SUFFIXES: &[&str] = &[
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".cloudfront.net",
    ".googleapis.com",
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.usgovcloudapi.net",
];

/// Returns `text` fit to be written: without user-info, query and fragment. Of what is no URL, and so may hide a secret
/// anywhere, only the scheme is left, or what stands before anything that could begin a parameter.
#[must_use]
pub fn redacted(text: &str) -> String {
    if let Some(object) = redacted_object(text) {
        return object;
    }
    let Ok(mut url) = Url::parse(text.trim()) else { return redacted_text(text) };
    if url.cannot_be_a_base() {
        return redacted_text(text);
    }
    url.set_query(None);
    url.set_fragment(None);
    strip_user_info(&mut url);
    url.into()
}

/// A cloud object's address is no URL: its key is raw, so that an encoded one would name another object.
fn redacted_object(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let scheme = ["s3", "gs"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let (bucket, key) = rest.split_once('/')?;
    let bucket = bucket.rsplit('@').next().unwrap_or_default();
    let named = key.split('?').next().unwrap_or_default();
    let shown: String = format!("{bucket}/{named}").chars().filter(|c| !c.is_control()).collect();
    Some(format!("{scheme}://{shown}"))
}

fn redacted_text(text: &str) -> String {
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    match text.trim().split_once(':') {
        Some((scheme, _)) if is_scheme(scheme) && !text.contains('@') => format!("{scheme}:…"),
        Some(("http" | "https" | "s3" | "gs" | "file", _)) => {
            format!("{}:…", text.trim().split(':').next().unwrap_or_default())
        }
        Some(_) => "…".to_owned(),
        None if text.contains('@') => "…".to_owned(),
        None => text
            .split(['?', '#', ';', '&', '='])
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(256)
            .collect(),
    }
}

/// Returns `text` without user-info and signature parameters on any host: what two spellings of one task are compared by.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let Ok(mut url) = Url::parse(text.trim()) else {
        return text.to_owned();
    };
    strip_user_info(&mut url);
    strip_signature(&mut url);
    url.into()
}

/// Returns what names the object that is copied from `url`: the whole URL, less its signature where the host is a recognised
/// cloud's. A parameter that merely looks like a signature still tells two objects of another host apart.
#[must_use]
pub fn naming(url: &Url) -> String {
    let mut url = url.clone();
    if url.host_str().is_some_and(is_recognised) {
        strip_signature(&mut url);
    }
    url.set_fragment(None);
    url.into()
}

/// Whether the URL carries a signature of its own.
#[must_use]
pub fn is_signed(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| {
        matches!(name.to_ascii_lowercase().as_str(), "x-amz-signature" | "x-goog-signature" | "signature" | "sig")
    })
}

/// Whether a query parameter of this name, in lower case, signs URLs on some cloud.
#[must_use]
pub fn is_signature_parameter(name: &str) -> bool {
    SIGNATURE_PARAMETERS.contains(&name)
}

fn is_recognised(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    RECOGNISED_SUFFIXES.iter().any(|suffix| host.ends_with(suffix) || host == suffix[1..])
}

fn strip_user_info(url: &mut Url) {
    // Both setters refuse only URLs without a host, which have no user-info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

fn strip_signature(url: &mut Url) {
    let Some(query) = url.query() else { return };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_signature_pair(pair)).collect();
    let kept = (!kept.is_empty()).then(|| kept.join("&"));
    url.set_query(kept.as_deref());
}

fn is_signature_pair(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase().replace("%2d", "-");
    is_signature_parameter(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_holds_no_query_fragment_or_user_info() {
        for (input, expected) in [
            ("https://u:p@h.com/a?sig=x#f", "https://h.com/a"),
            ("https://h.com:8443/a%20b?x", "https://h.com:8443/a%20b"),
            ("s3://bucket/key?versionId=1", "s3://bucket/key"),
            ("s3://bucket/a b+c/ü%20#1.txt", "s3://bucket/a b+c/ü%20#1.txt"),
            ("GS://u:p@bucket/a", "gs://bucket/a"),
            ("not a url?secret", "not a url"),
            ("cdn.acme.com/a.jpg;token=secret", "cdn.acme.com/a.jpg"),
            ("cdn.acme.com/token=secret", "cdn.acme.com/token"),
            ("//u:p@h/x?y", "…"),
            ("u:p?a@h", "…"),
            ("http://[bad/x?token=1", "http:…"),
            ("https://user:pa#ss@host/x", "https:…"),
            ("https://user:pa?ss@host/x", "https:…"),
            ("data:text/plain,secret", "data:…"),
        ] {
            assert_eq!(redacted(input), expected, "{input}");
        }
    }

    #[test]
    fn a_signature_names_nothing_on_a_recognised_cloud_and_everything_elsewhere() {
        let name = |text: &str| naming(&Url::parse(text).expect("a URL"));
        assert_eq!(
            name("https://b.s3.us-west-2.amazonaws.com/k?versionId=7&X-Amz-Signature=a"),
            "https://b.s3.us-west-2.amazonaws.com/k?versionId=7"
        );
        assert_eq!(name("https://h.com/k?sig=1"), "https://h.com/k?sig=1");
        assert_eq!(name("https://amazonaws.com.evil.com/k?sig=1"), "https://amazonaws.com.evil.com/k?sig=1");
    }

    #[test]
    fn order_and_spelling_of_the_other_parameters_stay() {
        assert_eq!(without_secrets("https://h/k?b=2&sig=x&a=%20"), "https://h/k?b=2&a=%20");
        assert_eq!(without_secrets("https://h/k?sig=x"), "https://h/k");
    }
}
