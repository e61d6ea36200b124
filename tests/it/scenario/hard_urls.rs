//! URLs that are refused, odd, or lead astray, each with what must become of it.

use serde_json::{Value, json};

use super::expect::Outcome;
use super::origin::Origin;

/// One of the URLs below; `number` keeps those that are fetched apart.
pub(crate) fn pick(random: u32, number: u32, origin: &Origin) -> (Value, Outcome) {
    let rows = table(number, origin);
    let count = u32::try_from(rows.len()).unwrap();
    rows.into_iter().nth((random % count) as usize).map(|(url, outcome)| (json!({"url": url}), outcome)).unwrap()
}

/// All of them.
pub(crate) fn table(number: u32, origin: &Origin) -> Vec<(String, Outcome)> {
    let mut rows: Vec<_> = refused().into_iter().map(|(url, code)| (url.to_owned(), Outcome::Failed(code))).collect();
    rows.extend(led_astray(number, origin));
    rows.extend(odd_but_right(number, origin));
    rows
}

fn refused() -> Vec<(&'static str, &'static str)> {
    vec![
        ("nonsense", "bad_url"),
        ("http://", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://h:99999/a", "bad_url"),
        ("http://h.example/\u{7}", "bad_url"),
        ("ftp://h.example/a", "unsupported_scheme"),
        ("data:text/plain,x", "unsupported_scheme"),
        ("file:///etc/passwd", "unsupported_scheme"),
        ("scaledata://x/y", "unsupported_scheme"),
        ("http://169.254.169.254/latest/meta-data/", "blocked_address"),
        ("http://10.1.2.3/a", "blocked_address"),
        ("http://[::1]:5800/a", "blocked_address"),
        ("http://[::ffff:10.0.0.1]/a", "blocked_address"),
        ("http://[fd00:ec2::254]/a", "blocked_address"),
        ("http://0.0.0.0/a", "blocked_address"),
        ("http://192.168.0.1:8080/a", "blocked_address"),
        ("http://0xa9fea9fe/a", "blocked_address"),
        ("http://2852039166/a", "blocked_address"),
        ("http://user:secret@100.64.0.1/a", "blocked_address"),
        ("s3://some-bucket/key", "integration_missing"),
        ("gs://some-bucket/key", "integration_missing"),
    ]
}

fn led_astray(number: u32, origin: &Origin) -> Vec<(String, Outcome)> {
    let to = |target: &str| {
        let to: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        origin.url(&format!("/redirect?to={to}&n={number}"))
    };
    let blob = |how: &str| origin.url(&format!("/blob/{number}?size=4000&{how}"));
    let failed = |url: String, code| (url, Outcome::Failed(code));
    vec![
        failed(to("http://169.254.169.254/latest"), "blocked_address"),
        failed(to("http://[::1]/"), "blocked_address"),
        failed(to("http://10.0.0.1/"), "blocked_address"),
        failed(to("file:///etc/passwd"), "unsupported_scheme"),
        failed(to("ftp://h.example/"), "unsupported_scheme"),
        failed(origin.url(&format!("/loop?n={number}")), "too_many_redirects"),
        failed(origin.url(&format!("/hops/6?n={number}")), "too_many_redirects"),
        failed(blob("status=410"), "not_found"),
        failed(blob("status=401"), "access_denied"),
        failed(blob("status=418"), "http_status"),
        failed(blob("length=9000&nothing=1"), "truncated"),
        failed(blob("repr_digest=wrong"), "checksum_mismatch"),
    ]
}

fn odd_but_right(number: u32, origin: &Origin) -> Vec<(String, Outcome)> {
    let fetched = |url: String, oracle: String, target: String| (url, Outcome::Fetched { oracle, target });
    let address = origin.address;
    let with_user = format!("/blob/u{number}?size=90");
    let with_query = |query: &str| format!("/blob/q{number}?size=90&{query}");
    let unicode = format!("/blob/b%C3%A9%20{number}?size=90");
    vec![
        fetched(format!("http://user:secret@{address}{with_user}"), with_user.clone(), with_user),
        fetched(origin.url(&format!("/blob/bé {number}?size=90")), unicode.clone(), unicode),
        fetched(origin.url(&with_query("v=1")), with_query("v=1"), with_query("v=1")),
        fetched(origin.url(&with_query("v=2")), with_query("v=2"), with_query("v=2")),
        fetched(
            format!("HTTP://127.0.0.1:{}/x/../blob/p{number}?size=8#part", address.port()),
            format!("/blob/p{number}?size=8"),
            format!("/blob/p{number}?size=8"),
        ),
    ]
}
