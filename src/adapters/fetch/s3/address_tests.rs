use super::*;

fn region(name: &str) -> Region {
    Region::parse(name).unwrap()
}

fn locate(addressing: &Addressing, bucket: &str, key: &str) -> Result<Located, AttachmentFault> {
    let target = Target { bucket, key: Some(key), query: &[] };
    addressing.locate(&region("eu-west-1"), target)
}

fn check(addressing: &Addressing, bucket: &str, key: &str, expected: &str) {
    let located = locate(addressing, bucket, key).unwrap();
    assert_eq!(located.url.as_str(), expected, "{bucket} {key}");
}

#[test]
fn buckets_stand_in_the_host_where_their_names_allow() {
    let host = "https://acme-raw.s3.eu-west-1.amazonaws.com";
    check(&Addressing::Aws, "acme-raw", "a/b.jpg", &format!("{host}/a/b.jpg"));
    for bucket in ["acme.raw", "Acme", "ab", "under_score", "-acme", "acme-"] {
        let path = format!("https://s3.eu-west-1.amazonaws.com/{bucket}/k");
        check(&Addressing::Aws, bucket, "k", &path);
    }
    let china =
        Addressing::Aws.locate(&region("cn-north-1"), Target { bucket: "acme", key: Some("k"), query: &[] }).unwrap();
    assert_eq!(china.url.host_str(), Some("acme.s3.cn-north-1.amazonaws.com.cn"));
}

#[test]
fn endpoints_of_ones_own_are_asked_by_path() {
    let endpoint = Addressing::Endpoint(Url::parse("http://127.0.0.1:5600").unwrap());
    check(&endpoint, "acme-raw", "a", "http://127.0.0.1:5600/acme-raw/a");
    let below = Addressing::Endpoint(Url::parse("http://h:1/s3/").unwrap());
    check(&below, "acme-raw", "a", "http://h:1/s3/acme-raw/a");
    let hosts = Addressing::VirtualHosts(Url::parse("http://s3.localhost:8333/").unwrap());
    check(&hosts, "acme-raw", "a", "http://acme-raw.s3.localhost:8333/a");
    check(&hosts, "acme.raw", "a", "http://s3.localhost:8333/acme.raw/a");
}

#[test]
fn keys_are_sent_as_they_are_and_never_walk() {
    let endpoint = Addressing::Endpoint(Url::parse("http://h").unwrap());
    for (key, sent, signed) in [
        ("a b+c%20d", "a%20b%2Bc%2520d", "a%20b%2Bc%2520d"),
        ("/lead//two/", "/lead//two/", "/lead//two/"),
        ("ä/€", "%C3%A4/%E2%82%AC", "%C3%A4/%E2%82%AC"),
        ("q?x=1&y#z", "q%3Fx%3D1%26y%23z", "q%3Fx%3D1%26y%23z"),
        ("!'()*~-_.", "%21%27%28%29%2A~-_.", "%21%27%28%29%2A~-_."),
        ("a/../b", "a%2F..%2Fb", "a/../b"),
        ("../b", "..%2Fb", "../b"),
        ("a/.", "a%2F.", "a/."),
        ("./../x/y", ".%2F..%2Fx/y", "./../x/y"),
        ("...", "...", "..."),
        ("a\\b", "a%5Cb", "a%5Cb"),
    ] {
        let located = locate(&endpoint, "b", key).unwrap();
        assert_eq!(located.url.path(), format!("/b/{sent}"), "{key}");
        assert_eq!(located.signed_path, format!("/b/{signed}"), "{key}");
    }
}

#[test]
fn a_key_of_nothing_but_dots_reaches_no_other_object() {
    let endpoint = Addressing::Endpoint(Url::parse("http://h").unwrap());
    for key in [".", ".."] {
        for (addressing, bucket) in [(&endpoint, "bucket"), (&Addressing::Aws, "bucket")] {
            assert_eq!(locate(addressing, bucket, key).unwrap_err().code, Code::BadUrl, "{key}");
        }
    }
}

#[test]
fn parameters_are_signed_as_they_are_sent() {
    let target = Target { bucket: "bucket", key: None, query: &[("list-type", "2"), ("prefix", "a b+/ä&=")] };
    let located = Addressing::Aws.locate(&region("us-east-1"), target).unwrap();
    assert_eq!(located.signed_query, "list-type=2&prefix=a%20b%2B%2F%C3%A4%26%3D");
    assert_eq!(located.url.query(), Some(located.signed_query.as_str()));
    assert_eq!((located.url.path(), located.signed_path.as_str()), ("/", "/"));
}

#[test]
fn regions_cannot_lead_a_host_astray() {
    for good in ["us-east-1", "eu-west-1", "us-gov-west-1", "auto", "garage"] {
        assert!(Region::parse(good).is_some(), "{good}");
    }
    for bad in ["", "evil.com/", "us-east-1.evil", "US-EAST-1", "-a", "a-", "a b", "1a", "a@b"] {
        assert!(Region::parse(bad).is_none(), "{bad}");
    }
}
