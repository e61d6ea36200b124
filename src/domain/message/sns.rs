//! SNS envelopes: what stands in one, what SNS has signed of it, and where the certificate must come from.
//!
//! Nothing is proven here: that the signature is good, and that the certificate is one of SNS's, is the matter of
//! [`crate::ports::envelopes`]. Its attributes are no part of what is signed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use url::Url;

use super::Problem;
use super::fields::Fields;

/// The longest signature, in bytes: that of an RSA key of 8192 bits.
const SIGNATURE_BYTES_MAX: usize = 1024;
/// The longest URL of a certificate.
const URL_BYTES_MAX: usize = 1024;

/// A message in its SNS envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The topic's ARN.
    pub topic: String,
    /// What was published.
    pub message: String,
    /// How it is signed.
    pub version: SignatureVersion,
    /// The signature of [`Self::signed_text`].
    pub signature: Vec<u8>,
    /// Where the certificate of the signing key is said to be: see [`Self::certificate_file`] and [`Self::certificate_url`].
    pub signing_cert_url: String,
    /// The text attributes that were published beside the message.
    pub attributes: BTreeMap<String, String>,
    message_id: String,
    subject: Option<String>,
    timestamp: String,
}

/// How SNS signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureVersion {
    /// RSA with SHA-1, the default of topics.
    V1,
    /// RSA with SHA-256.
    V2,
}

/// Whether an object is an SNS envelope.
pub(super) fn is_envelope(object: &Map<String, Value>) -> bool {
    let kind = object.get("Type").and_then(Value::as_str);
    let known = matches!(kind, Some("Notification" | "SubscriptionConfirmation" | "UnsubscribeConfirmation"));
    known && object.contains_key("TopicArn")
}

/// Reads an object that is an SNS envelope.
pub(super) fn read(object: Map<String, Value>) -> Result<Box<Notification>, Problem> {
    let mut fields = Fields::below(object, "the SNS envelope's ".to_owned());
    let kind = fields.text("Type")?.unwrap_or_default();
    if kind != "Notification" {
        return Err(format!(
            "an SNS {kind} is no message: where the queue's owner subscribes it, SNS asks nobody; \
             to confirm a subscription that another account has made, open its SubscribeURL once"
        ));
    }
    let attributes = attributes(&mut fields)?;
    let mut text = |name: &str| fields.text(name)?.ok_or_else(|| format!("the SNS envelope's {name} is missing"));
    let version = match text("SignatureVersion")?.as_str() {
        "1" => SignatureVersion::V1,
        "2" => SignatureVersion::V2,
        _ => return Err("the SNS envelope's SignatureVersion must be \"1\" or \"2\"".to_owned()),
    };
    let signature = STANDARD.decode(text("Signature")?).ok().filter(|bytes| bytes.len() <= SIGNATURE_BYTES_MAX);
    Ok(Box::new(Notification {
        topic: text("TopicArn")?,
        message: text("Message")?,
        version,
        signature: signature.ok_or("the SNS envelope's Signature is not base64")?,
        signing_cert_url: text("SigningCertURL")?,
        attributes,
        message_id: text("MessageId")?,
        timestamp: text("Timestamp")?,
        subject: fields.text("Subject")?,
    }))
}

/// The attributes whose type is `String`.
fn attributes(fields: &mut Fields) -> Result<BTreeMap<String, String>, Problem> {
    let all = match fields.take("MessageAttributes") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(all)) => all,
        Some(_) => return Err(fields.problem("MessageAttributes", "must be an object")),
    };
    let text = |one: &Value| {
        let is_text = one.get("Type").and_then(Value::as_str) == Some("String");
        one.get("Value").and_then(Value::as_str).filter(|_| is_text).map(str::to_owned)
    };
    Ok(all.iter().filter_map(|(name, one)| Some((name.clone(), text(one)?))).collect())
}

impl Notification {
    /// What SNS signs of a notification: names and values, a line each, in the order of the names.
    ///
    /// Source: the SNS developer guide, "Verifying the signatures of Amazon SNS messages".
    #[must_use]
    pub fn signed_text(&self) -> String {
        let subject = self.subject.as_ref().map(|subject| ("Subject", subject.as_str()));
        let lines = [("Message", self.message.as_str()), ("MessageId", &self.message_id)]
            .into_iter()
            .chain(subject)
            .chain([("Timestamp", self.timestamp.as_str()), ("TopicArn", &self.topic), ("Type", "Notification")]);
        lines.fold(String::new(), |text, (name, value)| text + name + "\n" + value + "\n")
    }

    /// The file name of the certificate: the last part of its URL, whatever stands before it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn certificate_file(&self) -> Result<&str, String> {
        let file = self.signing_cert_url.rsplit('/').next().unwrap_or_default();
        let stem = file.strip_suffix(".pem").unwrap_or_default();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if stem.is_empty() || stem.len() > 200 || !stem.bytes().all(allowed) {
            return Err("the SNS envelope's SigningCertURL names no .pem file".to_owned());
        }
        Ok(file)
    }

    /// The URL of the certificate, if SNS itself is there: `https://sns.REGION.amazonaws.com/….pem`, or the same with `.cn`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn certificate_url(&self) -> Result<Url, String> {
        self.certificate_file()?;
        let refused = || "the SNS envelope's SigningCertURL is not on https://sns.REGION.amazonaws.com".to_owned();
        if self.signing_cert_url.len() > URL_BYTES_MAX {
            return Err(refused());
        }
        let url = Url::parse(&self.signing_cert_url).map_err(|_| refused())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let is_sns = url.scheme() == "https" && plain && url.host_str().is_some_and(is_sns_host);
        if is_sns { Ok(url) } else { Err(refused()) }
    }
}

fn is_sns_host(host: &str) -> bool {
    let Some(rest) = host.strip_prefix("sns.") else { return false };
    let region = rest.strip_suffix(".amazonaws.com").filter(|region| !region.starts_with("cn-"));
    let region = region.or_else(|| rest.strip_suffix(".amazonaws.com.cn").filter(|region| region.starts_with("cn-")));
    region.is_some_and(is_region)
}

/// Whether it has a region's shape, as `eu-west-1` and `us-gov-west-1` have. `s3` and `s3-us-west-2` have not: a host such as
/// `sns.s3.amazonaws.com` is a bucket called `sns`, and anybody's.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let are_words = words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    is_number && are_words && (2..=4).contains(&words.len())
}

#[cfg(test)]
#[path = "sns_tests.rs"]
mod tests;
