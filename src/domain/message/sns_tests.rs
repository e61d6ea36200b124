//! SNS envelopes, read.

use serde_json::json;

use super::*;

/// An envelope with one field changed; `null` takes it away.
fn envelope(field: &str, value: Value) -> Value {
    let mut envelope = json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:us-east-1:111122223333:t",
        "Message": "{\"a\":\"line\nline\"}", "Subject": "hello", "Timestamp": "2026-11-22T00:00:00.000Z",
        "SignatureVersion": "2", "Signature": "c2lnbmVk",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    });
    envelope[field] = value;
    envelope
}

fn read_from(envelope: Value) -> Result<Notification, Problem> {
    match envelope {
        Value::Object(object) => read(object).map(|notification| *notification),
        other => panic!("{other} is no object"),
    }
}

fn good(field: &str, value: Value) -> Notification {
    read_from(envelope(field, value)).expect("an envelope")
}

#[test]
fn what_is_signed_are_names_and_values_a_line_each_in_the_order_of_the_names() {
    let with_subject = "Message\n{\"a\":\"line\nline\"}\nMessageId\nm-1\nSubject\nhello\n\
        Timestamp\n2026-11-22T00:00:00.000Z\nTopicArn\narn:aws:sns:us-east-1:111122223333:t\nType\nNotification\n";
    assert_eq!(good("x", json!(1)).signed_text(), with_subject);
    let without = with_subject.replace("Subject\nhello\n", "");
    assert_eq!(good("Subject", Value::Null).signed_text(), without);
    let empty = with_subject.replace("hello", "");
    assert_eq!(good("Subject", json!("")).signed_text(), empty);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (field, value, says) in [
        ("Message", Value::Null, "Message is missing"),
        ("Message", json!({}), "Message must be text"),
        ("MessageId", Value::Null, "MessageId is missing"),
        ("Timestamp", Value::Null, "Timestamp is missing"),
        ("Signature", json!("%"), "Signature is not base64"),
        ("Signature", json!("AAAA".repeat(400)), "Signature is not base64"),
        ("SignatureVersion", json!("3"), "SignatureVersion must be"),
        ("SignatureVersion", Value::Null, "SignatureVersion is missing"),
        ("SigningCertURL", Value::Null, "SigningCertURL is missing"),
        ("MessageAttributes", json!([]), "MessageAttributes must be an object"),
        ("Type", json!("SubscriptionConfirmation"), "open its SubscribeURL"),
        ("Type", json!("UnsubscribeConfirmation"), "is no message"),
    ] {
        let problem = read_from(envelope(field, value.clone())).expect_err("refused");
        assert!(problem.contains(says), "{field} {value}: {problem}");
    }
}

#[test]
fn only_text_attributes_are_carried() {
    let attributes = json!({
        "team": {"Type": "String", "Value": "acme"}, "number": {"Type": "Number", "Value": "1"},
        "bytes": {"Type": "Binary", "Value": "AA=="}, "odd": 7, "none": {"Type": "String"},
    });
    let found = good("MessageAttributes", attributes).attributes;
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "acme".to_owned())]);
}

#[test]
fn certificates_come_from_sns_and_nobody_else() {
    let check = |url: &str, expected: bool| {
        let notification = good("SigningCertURL", json!(url));
        assert_eq!(notification.certificate_url().is_ok(), expected, "{url}");
    };
    for host in ["sns.us-east-1.amazonaws.com", "sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn"] {
        check(&format!("https://{host}/a-1.pem"), true);
        check(&format!("https://{host}:443/a.pem"), true);
        for bad in [
            format!("http://{host}/a.pem"),
            format!("https://{host}:8443/a.pem"),
            format!("https://u@{host}/a.pem"),
            format!("https://{host}/a.pem?x"),
            format!("https://{host}/a.pem#.pem"),
            format!("https://{host}/a.crt"),
            format!("https://{host}/.pem"),
            format!("https://{host}/?a=b.pem"),
            format!("https://{host}.evil.com/a.pem"),
            format!("https://evil.com/{host}/a.pem"),
            format!("https://evil.com\\@{host}/a.pem"),
        ] {
            check(&bad, false);
        }
    }
    for host in [
        "sns.s3.amazonaws.com",
        "sns.s3-us-west-2.amazonaws.com",
        "sns.us-east-1.amazonaws.com.cn",
        "sns.amazonaws.com",
        "sns..amazonaws.com",
        "sns.a.b.amazonaws.com",
        "evilsns.us-east-1.amazonaws.com",
    ] {
        check(&format!("https://{host}/a.pem"), false);
    }
    check("https://sns.us-east-1.amazonaws.com.cn.evil.com/a.pem", false);
    check("https://s3.us-east-1.amazonaws.com/bucket/a.pem", false);
    check(&format!("https://sns.us-east-1.amazonaws.com/{}.pem", "a".repeat(2000)), false);
}

#[test]
fn a_certificates_file_is_a_plain_name() {
    let file = |url: &str| good("SigningCertURL", json!(url)).certificate_file().map(str::to_owned).ok();
    assert_eq!(
        file("http://localhost:4566/x/SimpleNotificationService-0a.pem").as_deref(),
        Some("SimpleNotificationService-0a.pem")
    );
    for bad in ["http://h/..", "http://h/..pem", "http://h/a%2Fb.pem", "http://h/a b.pem", "http://h/", "", "a\\b.pem"]
    {
        assert_eq!(file(bad), None, "{bad}");
    }
}
