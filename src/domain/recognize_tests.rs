use super::*;
use crate::domain::team::{AwsGrant, GcpGrant};

fn s3(text: &str) -> Option<String> {
    match s3_object(&Url::parse(text).expect("a URL"))? {
        Source::S3 { bucket, key, pin, region } => {
            let pin = pin.map_or_else(String::new, |pin| format!(" {pin:?}"));
            Some(format!("{bucket} {key} {}{pin}", region.as_deref().unwrap_or("-")))
        }
        other => panic!("{text} became {other:?}"),
    }
}

fn gcs(text: &str) -> Option<String> {
    match gcs_object(&Url::parse(text).expect("a URL"))? {
        Source::Gcs { bucket, object, pin } => {
            let pin = pin.map_or_else(String::new, |pin| format!(" {pin:?}"));
            Some(format!("{bucket} {object}{pin}"))
        }
        other => panic!("{text} became {other:?}"),
    }
}

#[test]
fn all_forms_of_s3s_object_urls_are_recognised() {
    for (url, expected) in [
        ("https://acme-raw.s3.us-west-2.amazonaws.com/a/b.jpg", "acme-raw a/b.jpg us-west-2"),
        ("https://s3.us-west-2.amazonaws.com/acme-raw/a/b.jpg", "acme-raw a/b.jpg us-west-2"),
        ("https://acme-raw.s3.amazonaws.com/k", "acme-raw k -"),
        ("https://s3.amazonaws.com/acme-raw/k", "acme-raw k -"),
        ("https://acme-raw.s3-eu-west-1.amazonaws.com/k", "acme-raw k eu-west-1"),
        ("https://s3-eu-west-1.amazonaws.com/acme-raw/k", "acme-raw k eu-west-1"),
        ("https://s3-external-1.amazonaws.com/acme-raw/k", "acme-raw k us-east-1"),
        ("https://acme-raw.s3.dualstack.eu-west-1.amazonaws.com/k", "acme-raw k eu-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/acme-raw/k", "acme-raw k eu-west-1"),
        ("https://s3-us-gov-west-1.amazonaws.com/acme-raw/k", "acme-raw k us-gov-west-1"),
        ("https://acme.s3.cn-north-1.amazonaws.com.cn/k", "acme k cn-north-1"),
        // Dotted buckets, even those that look like an endpoint.
        ("https://acme.raw.data.s3.us-west-2.amazonaws.com/k", "acme.raw.data k us-west-2"),
        ("https://acme.raw.s3.amazonaws.com/k", "acme.raw k -"),
        ("https://a.s3.b.s3.eu-west-1.amazonaws.com/k", "a.s3.b k eu-west-1"),
        ("https://s3.amazonaws.com/acme.raw/k", "acme.raw k -"),
        // Spellings of hosts and paths.
        ("HTTPS://ACME-RAW.S3.AMAZONAWS.COM.:443/K", "acme-raw K -"),
        ("https://s3.amazonaws.com/acme-raw/a%20b/%C3%A4%2Bc", "acme-raw a b/ä+c -"),
        ("https://s3.amazonaws.com/acme-raw/has+space.txt", "acme-raw has space.txt -"),
        ("https://s3.amazonaws.com/acme-raw/a//b/", "acme-raw a//b/ -"),
        ("https://s3.amazonaws.com/acme-raw/k#part", "acme-raw k -"),
        // Versions, and what changes nothing.
        ("https://acme-raw.s3.amazonaws.com/k?versionId=3%2Fx", "acme-raw k - Version(\"3/x\")"),
        ("https://acme-raw.s3.amazonaws.com/k?x-id=GetObject&v=7", "acme-raw k -"),
        ("https://acme-raw.s3.amazonaws.com/k?", "acme-raw k -"),
    ] {
        assert_eq!(s3(url).as_deref(), Some(expected), "{url}");
    }
}

#[test]
fn what_only_looks_like_s3_stays_plain() {
    for url in [
        // Hosts of others.
        "https://s3.amazonaws.com.evil.com/acme-raw/k",
        "https://acme-raw.s3.amazonaws.com.evil.com/k",
        "https://s3.amazonaws.com.cn.evil/acme-raw/k",
        "https://evil-s3.amazonaws.com/acme-raw/k",
        "https://xs3.us-west-2.amazonaws.com/acme-raw/k",
        "https://s3.us-west-2.amazonaws.co/acme-raw/k",
        "https://s3.us-west-2.amazonaws.com../acme-raw/k",
        "https://s3amazonaws.com/acme-raw/k",
        "https://amazonaws.com/acme-raw/k",
        "https://evil.com/s3.amazonaws.com/k",
        "https://s3.amazonaws.com@evil.com/acme-raw/k",
        "https://evil.com#s3.amazonaws.com/acme-raw/k",
        // Machines that anybody rents below AWS's domain.
        "https://s3.ec2-1-2-3-4.compute-1.amazonaws.com/acme-raw/k",
        "https://s3.us-west-2.elb.amazonaws.com/acme-raw/k",
        "https://s3.evil.us-west-2.amazonaws.com/acme-raw/k",
        "https://abc.execute-api.us-west-2.amazonaws.com/acme-raw/k",
        "https://bucket.s3.evil.amazonaws.com/k",
        // Other doors of S3's own.
        "https://acme-raw.s3-website-us-west-2.amazonaws.com/k",
        "https://acme-raw.s3-website.eu-central-1.amazonaws.com/k",
        "https://acme-raw.s3-accelerate.amazonaws.com/k",
        "https://acme-raw.s3-accelerate.dualstack.amazonaws.com/k",
        "https://acme-raw.s3-fips.us-east-1.amazonaws.com/k",
        "https://point-111122223333.s3-accesspoint.us-west-2.amazonaws.com/k",
        "https://acme-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias.s3.us-west-2.amazonaws.com/k",
        "https://111122223333.s3-control.us-west-2.amazonaws.com/k",
        "https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com/k",
        // A domain's regions are its own.
        "https://s3.us-west-2.amazonaws.com.cn/acme-raw/k",
        "https://s3.cn-north-1.amazonaws.com/acme-raw/k",
        "https://s3.amazonaws.com.cn/acme-raw/k",
        // No object, or not only its content.
        "https://acme-raw.s3.amazonaws.com/",
        "https://s3.amazonaws.com/acme-raw",
        "https://s3.amazonaws.com/acme-raw/",
        "https://s3.amazonaws.com//k",
        "https://acme-raw.s3.amazonaws.com/k?acl",
        "https://acme-raw.s3.amazonaws.com/k?partNumber=1",
        "https://acme-raw.s3.amazonaws.com/k?versionId=",
        "https://acme-raw.s3.amazonaws.com/k?versionId=1&versionId=2",
        "https://s3.amazonaws.com/acme-raw/%FF",
        // Ports, user-info and plain http.
        "https://s3.amazonaws.com:8443/acme-raw/k",
        "https://user:word@s3.amazonaws.com/acme-raw/k",
        "https://user@s3.amazonaws.com/acme-raw/k",
        "http://s3.amazonaws.com/acme-raw/k",
    ] {
        assert_eq!(s3(url), None, "{url}");
        assert_eq!(gcs(url), None, "{url}");
    }
}

#[test]
fn a_url_with_a_signature_of_its_own_stays_plain() {
    let hosts = ["https://acme.s3.us-west-2.amazonaws.com/k", "https://storage.googleapis.com/acme/k"];
    for signed in [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Signature=s",
        "X-Amz-Signature=s",
        "x-amz-signature=s",
        "%58-Amz-Signature=s",
        "X%2DAmz%2DSecurity%2DToken=t",
        "AWSAccessKeyId=a&Expires=1&Signature=s",
        "versionId=1&Signature=s",
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=s",
        "GoogleAccessId=a&Expires=1&Signature=s",
        "access_token=t",
    ] {
        for host in hosts {
            let url = format!("{host}?{signed}");
            assert_eq!((s3(&url), gcs(&url)), (None, None), "{url}");
        }
    }
}

#[test]
fn all_forms_of_googles_object_urls_are_recognised() {
    for (url, expected) in [
        ("https://storage.googleapis.com/acme-gcs/a/b.jpg", "acme-gcs a/b.jpg"),
        ("https://acme-gcs.storage.googleapis.com/a/b.jpg", "acme-gcs a/b.jpg"),
        ("https://acme.example.com.storage.googleapis.com/k", "acme.example.com k"),
        ("https://storage.cloud.google.com/acme-gcs/a%20b", "acme-gcs a b"),
        ("https://commondatastorage.googleapis.com/acme-gcs/k", "acme-gcs k"),
        ("https://storage.googleapis.com/acme-gcs/a+b", "acme-gcs a+b"),
        ("https://storage.googleapis.com/storage/v1/b/acme-gcs/o/a%2Fb.jpg?alt=media", "acme-gcs a/b.jpg"),
        ("https://www.googleapis.com/storage/v1/b/acme-gcs/o/k?alt=media", "acme-gcs k"),
        (
            "https://storage.googleapis.com/download/storage/v1/b/acme-gcs/o/a%2Fb?generation=17&alt=media",
            "acme-gcs a/b Version(\"17\")",
        ),
        (
            "https://storage.googleapis.com/acme-gcs/k?generation=1700000000000000",
            "acme-gcs k Version(\"1700000000000000\")",
        ),
        ("https://storage.cloud.google.com/acme-gcs/k?authuser=1", "acme-gcs k"),
    ] {
        assert_eq!(gcs(url).as_deref(), Some(expected), "{url}");
        assert_eq!(s3(url), None, "{url}");
    }
}

#[test]
fn what_only_looks_like_googles_stays_plain() {
    for url in [
        "https://storage.googleapis.com.evil.com/acme-gcs/k",
        "https://storage.googleapis.com@evil.com/acme-gcs/k",
        "https://evilstorage.googleapis.com/acme-gcs/k",
        "https://xstorage.cloud.google.com/acme-gcs/k",
        "https://acme-gcs.storage.cloud.google.com/k",
        "https://firebasestorage.googleapis.com/v0/b/acme-gcs/o/k?alt=media",
        "https://www.googleapis.com/acme-gcs/k",
        "https://storage.googleapis.com/acme-gcs",
        "https://storage.googleapis.com/acme-gcs/",
        "https://storage.googleapis.com/acme-gcs/k?acl",
        "https://storage.googleapis.com/acme-gcs/k?generation=x",
        "https://storage.googleapis.com/acme-gcs/k?generation=",
        "https://storage.googleapis.com/acme-gcs/k?userProject=p",
        // The JSON interface tells of an object unless it is asked for its content.
        "https://storage.googleapis.com/storage/v1/b/acme-gcs/o/k",
        "https://storage.googleapis.com/storage/v1/b/acme-gcs/o/k?alt=json",
        "https://storage.googleapis.com/storage/v1/b/acme-gcs/o/a/b?alt=media",
        "https://storage.googleapis.com/storage/v1/b/acme-gcs/o?alt=media",
        "https://storage.googleapis.com/upload/storage/v1/b/acme-gcs/o/k?alt=media",
        "https://storage.googleapis.com/storage/v1/b/acme-gcs/o/k?alt=media&key=k",
        "http://storage.googleapis.com/acme-gcs/k",
        "https://storage.googleapis.com:444/acme-gcs/k",
    ] {
        assert_eq!((s3(url), gcs(url)), (None, None), "{url}");
    }
}

#[test]
fn only_a_team_that_wants_it_has_its_urls_recognised() {
    let aws = |recognize_https| Some(AwsGrant { recognize_https, ..AwsGrant::default() });
    let gcp = |recognize_https| Some(GcpGrant { recognize_https, ..GcpGrant::default() });
    let team = |aws, gcp| Team { aws, gcp, ..Team::default() };
    for (team, expected) in [
        (team(None, None), [false, false]),
        (team(aws(false), gcp(false)), [false, false]),
        (team(aws(true), None), [true, false]),
        (team(aws(true), gcp(false)), [true, true]),
        (team(None, gcp(true)), [false, true]),
        (team(aws(false), gcp(true)), [false, true]),
    ] {
        let is_object = |url: &str| {
            let source = Source::parse(url).expect("a URL").recognized_for(&team);
            !matches!(source, Source::Http(_))
        };
        let found = ["https://acme.s3.amazonaws.com/k", "https://storage.googleapis.com/acme/k"].map(is_object);
        assert_eq!(found, expected, "{team:?}");
        assert!(!is_object("https://example.com/acme/k"));
    }
}

proptest::proptest! {
    /// Whatever a host is, it is S3's only below AWS's domain with an endpoint of S3's at its end.
    #[test]
    fn no_other_host_is_taken_for_s3s(host in "([a-z0-9-]{1,8}\\.){1,5}[a-z]{2,6}", end in "(s3|s3-|s3\\.)?[a-z0-9-]{0,12}") {
        for host in [host.clone(), format!("s3.amazonaws.com.{host}"), format!("{host}.{end}.amazonaws.org"), format!("{host}-s3.amazonaws.com")] {
            let Ok(url) = Url::parse(&format!("https://{host}/bucket/key")) else { continue };
            if let Some(Source::S3 { bucket, .. }) = s3_object(&url) {
                proptest::prop_assert!(host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"), "{host} {bucket}");
                proptest::prop_assert!(host.contains(".s3") || host.starts_with("s3"), "{host} {bucket}");
            }
        }
    }
}
