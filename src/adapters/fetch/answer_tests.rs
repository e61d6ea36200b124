//! Heads as servers write them, and as they should not.

use super::*;
use reqwest::header::HeaderValue;

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn every_status_has_its_code() {
    let now = Timestamp::UNIX_EPOCH;
    for (status, code) in [
        (401, Code::AccessDenied),
        (403, Code::AccessDenied),
        (404, Code::NotFound),
        (410, Code::NotFound),
        (408, Code::Timeout),
        (429, Code::Throttled),
        (500, Code::Unavailable),
        (503, Code::Unavailable),
        (599, Code::Unavailable),
        (204, Code::HttpStatus),
        (206, Code::HttpStatus),
        (304, Code::HttpStatus),
        (400, Code::HttpStatus),
        (402, Code::HttpStatus),
        (416, Code::HttpStatus),
        (451, Code::HttpStatus),
    ] {
        let fault = refusal(status, &HeaderMap::new(), "h", now);
        assert_eq!((fault.code, fault.http_status), (code, Some(status)));
    }
}

#[test]
fn retry_after_is_read_in_both_forms_and_capped() {
    let now: Timestamp = "2026-11-06T08:49:37Z".parse().unwrap();
    for (field, seconds) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("99999999999999999999999", Some(900)),
        ("Fri, 06 Nov 2026 08:50:37 GMT", Some(60)),
        ("Fri, 06 Nov 2026 18:50:37 GMT", Some(900)),
        ("Fri, 06 Nov 2026 08:00:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
    ] {
        let headers = head(&[("retry-after", field)]);
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(refusal(503, &headers, "h", now).retry_after, expected, "{field}");
        assert_eq!(refusal(429, &headers, "h", now).retry_after, expected, "{field}");
        assert_eq!(refusal(500, &headers, "h", now).retry_after, None, "{field}");
    }
}

#[test]
fn only_strong_etags_name_a_version() {
    for (field, strong) in
        [("\"a\"", true), ("W/\"a\"", false), ("a", false), ("\"\"", false), ("\"", false), ("\"a\"b\"", false)]
    {
        let found = version(&head(&[("etag", field)]), "h").etag;
        assert_eq!(found.as_deref(), strong.then_some(field), "{field}");
    }
}

#[test]
fn version_ids_are_believed_of_object_hosts_only() {
    let headers = head(&[("x-amz-version-id", "v1"), ("x-goog-generation", "17")]);
    for (host, expected) in [
        ("b.s3.us-west-2.amazonaws.com", Some("v1")),
        ("s3.amazonaws.com", Some("v1")),
        ("s3-us-west-2.amazonaws.com", Some("v1")),
        ("b.s3.cn-north-1.amazonaws.com.cn", Some("v1")),
        ("x.execute-api.us-west-2.amazonaws.com", None),
        ("s3.elb.us-west-2.amazonaws.com", None),
        ("amazonaws.com.evil.com", None),
        ("b.storage.googleapis.com", Some("17")),
        ("storage.googleapis.com", Some("17")),
        ("h.com", None),
    ] {
        assert_eq!(version(&headers, host).version.as_deref(), expected, "{host}");
    }
    let unversioned = head(&[("x-amz-version-id", "null")]);
    assert_eq!(version(&unversioned, "s3.amazonaws.com").version, None);
}

#[test]
fn digests_are_read_in_the_new_and_in_the_old_form() {
    let digest = Sha256::of(b"x");
    let base64 = STANDARD.encode(digest.as_bytes());
    for fields in
        [("repr-digest", format!("sha-512=:AA==:, sha-256=:{base64}:")), ("digest", format!("SHA-256={base64}"))]
    {
        assert_eq!(announced(&head(&[(fields.0, &fields.1)])).sha256, Some(digest), "{fields:?}");
    }
    for bad in ["sha-256=:AA==:", "sha-256=AA", "sha-256", ":"] {
        assert_eq!(announced(&head(&[("repr-digest", bad)])).sha256, None, "{bad}");
    }
    let md5 = head(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]);
    assert_eq!(announced(&md5).md5, Some([0; 16]));
    assert_eq!(announced(&head(&[("content-md5", "AAAA")])).md5, None);
}

#[test]
fn a_single_known_coding_is_undone_and_no_other() {
    for (field, expected) in [
        ("identity", Some(Coding::Identity)),
        ("", Some(Coding::Identity)),
        ("GZIP", Some(Coding::Gzip)),
        ("x-gzip", Some(Coding::Gzip)),
        ("zstd", Some(Coding::Zstd)),
        ("identity, gzip", Some(Coding::Gzip)),
        ("gzip, gzip", None),
        ("br", None),
        ("deflate", None),
        ("gzip;q=1", None),
    ] {
        assert_eq!(coding(&head(&[("content-encoding", field)])), expected, "{field}");
    }
    let twice = head(&[("content-encoding", "gzip"), ("content-encoding", "zstd")]);
    assert_eq!(coding(&twice), None);
}

#[test]
fn content_ranges_are_read_strictly() {
    let range = |field: &str| content_range(&head(&[("content-range", field)]));
    assert_eq!(range("bytes 2-4/5"), Some(ContentRange { first: 2, last: 4, total: 5 }));
    for bad in
        ["bytes 2-5/5", "bytes 4-2/5", "bytes */5", "bytes 2-4/*", "2-4/5", "bytes +2-4/5", "bytes 2-4", "items 2-4/5"]
    {
        assert_eq!(range(bad), None, "{bad}");
    }
}
