//! Signs a request without body as AWS wants it: Signature Version 4, in the header.
//!
//! Every field that is given is signed, so that none can be changed on the way. See "Create a signed AWS API request" in the
//! IAM user guide and "Authenticating requests" in the S3 API reference; their examples are the tests below.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, InvalidHeaderValue};
use secrecy::ExposeSecret;
use url::Url;

use super::address::Located;
use crate::adapters::fetch::object_path::encoded_query;
use crate::domain::digest::Sha256;
use crate::ports::credentials::AwsKeys;

/// The SHA-256 of no bytes, which is what every request of ours holds.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is signed of a request beside its fields.
pub(super) struct Signing<'a> {
    pub(super) method: &'a str,
    pub(super) located: &'a Located,
    pub(super) region: &'a str,
    pub(super) at: Timestamp,
    pub(super) keys: &'a AwsKeys,
}

impl Signing<'_> {
    /// Adds to `fields` what makes S3 believe them.
    ///
    /// # Errors
    /// For keys that can stand in no header.
    pub(super) fn sign(&self, fields: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        fields.insert("x-amz-date", HeaderValue::from_str(&self.moment())?);
        fields.insert("x-amz-content-sha256", HeaderValue::from_static(NO_BODY));
        if let Some(token) = &self.keys.session_token {
            let mut token = HeaderValue::from_str(token.expose_secret())?;
            token.set_sensitive(true);
            fields.insert("x-amz-security-token", token);
        }
        let mut authorization = HeaderValue::from_str(&self.authorization("s3", fields))?;
        authorization.set_sensitive(true);
        fields.insert(AUTHORIZATION, authorization);
        Ok(())
    }

    /// The located URL with a signature in its query, good for so many seconds; for a target without parameters.
    pub(super) fn presigned(&self, seconds: u32) -> Url {
        let (moment, scope, seconds) = (self.moment(), self.scope("s3"), seconds.to_string());
        let credential = format!("{}/{scope}", self.keys.access_key_id);
        let token = self.keys.session_token.as_ref().map(ExposeSecret::expose_secret);
        // In the order of their names, as they are signed.
        let mut query = vec![
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &moment),
            ("X-Amz-Expires", &seconds),
        ];
        query.extend(token.map(|token| ("X-Amz-Security-Token", token)));
        query.push(("X-Amz-SignedHeaders", "host"));
        let query = encoded_query(&query);
        let (method, path, host) = (self.method, &self.located.signed_path, self.host());
        let canonical = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let signature = self.signature("s3", &canonical);
        let mut url = self.located.url.clone();
        url.set_query(Some(&format!("{query}&X-Amz-Signature={signature}")));
        url
    }

    fn authorization(&self, service: &str, fields: &HeaderMap) -> String {
        let (canonical, signed) = self.canonical(fields);
        let signature = self.signature(service, &canonical);
        let credential = format!("{}/{}", self.keys.access_key_id, self.scope(service));
        format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={signed},Signature={signature}")
    }

    fn scope(&self, service: &str) -> String {
        format!("{}/{}/{service}/aws4_request", &self.moment()[..8], self.region)
    }

    fn signature(&self, service: &str, canonical: &str) -> Sha256 {
        let (moment, scope, digest) = (self.moment(), self.scope(service), Sha256::of(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}");
        let secret = format!("AWS4{}", self.keys.secret_access_key.expose_secret());
        let key = scope.split('/').fold(secret.into_bytes(), |key, part| keyed(&key, part));
        Sha256::from_bytes(&keyed(&key, &text)).expect("an HMAC of SHA-256 has its length")
    }

    /// The canonical request, and the names of the fields in it.
    fn canonical(&self, fields: &HeaderMap) -> (String, String) {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        let mut signed: Vec<(String, String)> =
            fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        signed.push(("host".to_owned(), self.host()));
        signed.sort();
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let Located { signed_path: path, signed_query: query, .. } = self.located;
        (format!("{}\n{path}\n{query}\n{lines}\n{names}\n{NO_BODY}", self.method), names)
    }

    /// The host as the client sends it: with its port unless that is the scheme's own.
    fn host(&self) -> String {
        let url = &self.located.url;
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn moment(&self) -> String {
        let moment = self.at.to_zoned(TimeZone::UTC);
        moment.strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Example {
        secret: &'static str,
        access_key_id: &'static str,
        service: &'static str,
        at: &'static str,
        url: &'static str,
        fields: &'static [(&'static str, &'static str)],
    }

    fn check(example: &Example, signed: &str, signature: &str) {
        let url = Url::parse(example.url).unwrap();
        let located = Located {
            signed_path: url.path().to_owned(),
            signed_query: url.query().unwrap_or_default().to_owned(),
            url,
        };
        let keys = AwsKeys {
            access_key_id: example.access_key_id.to_owned(),
            secret_access_key: example.secret.into(),
            session_token: None,
        };
        let signing = Signing {
            method: "GET",
            located: &located,
            region: "us-east-1",
            at: example.at.parse().unwrap(),
            keys: &keys,
        };
        let mut fields = HeaderMap::new();
        for (name, value) in example.fields {
            fields.insert(*name, HeaderValue::from_static(value));
        }
        let found = signing.authorization(example.service, &fields);
        let expected = format!(",SignedHeaders={signed},Signature={signature}");
        assert!(found.ends_with(&expected), "{found}");
    }

    // Test `get-vanilla` of AWS's Signature Version 4 test suite.
    #[test]
    fn the_plainest_request_of_the_published_suite_is_signed_as_published() {
        let example = Example {
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            access_key_id: "AKIDEXAMPLE",
            service: "service",
            at: "2015-08-30T12:36:00Z",
            url: "https://example.amazonaws.com/",
            fields: &[("x-amz-date", "20150830T123600Z")],
        };
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check(&example, "host;x-amz-date", signature);
        // `get-vanilla-query-order-key-case` of the same.
        let ordered = Example { url: "https://example.amazonaws.com/?Param1=value1&Param2=value2", ..example };
        let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        check(&ordered, "host;x-amz-date", signature);
    }

    // "Examples: signature calculations" in the S3 API reference: GET Object, and List Objects.
    #[test]
    fn the_examples_of_the_s3_reference_are_signed_as_published() {
        let get = Example {
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            access_key_id: "AKIAIOSFODNN7EXAMPLE",
            service: "s3",
            at: "2013-05-24T00:00:00Z",
            url: "https://examplebucket.s3.amazonaws.com/test.txt",
            fields: &[("range", "bytes=0-9"), ("x-amz-content-sha256", NO_BODY), ("x-amz-date", "20130524T000000Z")],
        };
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        check(&get, "host;range;x-amz-content-sha256;x-amz-date", signature);
        let list = Example {
            url: "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
            fields: &[("x-amz-content-sha256", NO_BODY), ("x-amz-date", "20130524T000000Z")],
            ..get
        };
        let signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        check(&list, "host;x-amz-content-sha256;x-amz-date", signature);
    }

    // "Authenticating requests: using query parameters" in the S3 API reference.
    #[test]
    fn the_example_of_a_presigned_url_is_signed_as_published() {
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap();
        let located = Located { signed_path: "/test.txt".into(), signed_query: String::new(), url };
        let keys = AwsKeys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let at = "2013-05-24T00:00:00Z".parse().unwrap();
        let signing = Signing { method: "GET", located: &located, region: "us-east-1", at, keys: &keys };
        let url = signing.presigned(86_400);
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(url.as_str().ends_with(&format!("X-Amz-SignedHeaders=host&X-Amz-Signature={signature}")), "{url}");
        assert!(
            url.as_str().contains("X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request")
        );
    }

    #[test]
    fn temporary_keys_bring_their_token_signed() {
        let url = Url::parse("http://h:5600/b/k").unwrap();
        let located = Located { signed_path: "/b/k".into(), signed_query: String::new(), url };
        let keys = AwsKeys {
            access_key_id: "A".into(),
            secret_access_key: "s".into(),
            session_token: Some("the token".into()),
        };
        let mut fields = HeaderMap::new();
        let at = "2026-11-21T00:00:00Z".parse().unwrap();
        let signing = Signing { method: "GET", located: &located, region: "r", at, keys: &keys };
        signing.sign(&mut fields).unwrap();
        assert_eq!(fields["x-amz-security-token"], "the token");
        let authorization = fields["authorization"].to_str().unwrap();
        assert!(authorization.contains("x-amz-security-token"), "{authorization}");
        assert_eq!(signing.host(), "h:5600");
        assert!(!format!("{fields:?}").contains("the token"));
    }
}
