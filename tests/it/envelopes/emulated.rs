//! What an emulator of S3, SNS and EventBridge really delivers.

use std::time::Duration;

use aws_sdk_s3::types::{Event, EventBridgeConfiguration, NotificationConfiguration, QueueConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::place::Place;
use super::signer::GOOD;
use crate::bed;

/// Calls a service of the emulator as its account's root, whose signature it does not look at.
async fn call(service: &str, fields: &[(&str, &str)], content: &str) -> String {
    let address = bed::ministack_endpoint().strip_prefix("http://").unwrap();
    let scope = format!("111122223333/20260101/us-east-1/{service}/aws4_request");
    let mut head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x\r\n"
    );
    for (name, value) in fields {
        head = head + name + ": " + value + "\r\n";
    }
    let asked = format!("{head}Content-Length: {}\r\n\r\n{content}", content.len());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{service} {content}: {answer}");
    answer
}

async fn events(target: &str, body: &Value) {
    let target = format!("AWSEvents.{target}");
    let fields = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target.as_str())];
    call("events", &fields, &body.to_string()).await;
}

async fn sns(parameters: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let form = form.append_pair("Version", "2010-03-31").extend_pairs(parameters).finish();
    call("sns", &[("Content-Type", "application/x-www-form-urlencoded")], &form).await
}

/// The ARN of the task queue, which is open to the other services.
async fn open_queue(place: &Place) -> String {
    let asked = place.pair.sqs.get_queue_attributes().queue_url(&place.pair.task);
    let found = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = found.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let asked = place.pair.sqs.set_queue_attributes().queue_url(&place.pair.task);
    asked.attributes(QueueAttributeName::Policy, policy).send().await.unwrap();
    arn
}

async fn notify(place: &Place, bucket: &str, configuration: NotificationConfiguration) {
    let asked = place.s3.put_bucket_notification_configuration().bucket(bucket);
    asked.notification_configuration(configuration).send().await.unwrap();
}

#[tokio::test]
async fn a_buckets_own_notifications_become_tasks() {
    let place = Place::new().await;
    let arn = open_queue(&place).await;
    for bucket in [&place.raw, &place.versioned] {
        let queue = QueueConfiguration::builder().queue_arn(&arn).events(Event::from("s3:ObjectCreated:*"));
        let queue = queue.events(Event::from("s3:ObjectRemoved:*")).build().unwrap();
        let configuration = NotificationConfiguration::builder().queue_configurations(queue).build();
        notify(&place, bucket, configuration).await;
    }
    let keys = ["red flower.jpg", "ä+€/%41.txt", "plain"];
    for key in keys {
        place.put(&place.raw, key, key).await;
    }
    place.put(&place.versioned, "k", "first").await;
    place.put(&place.versioned, "k", "second").await;
    place.put(&place.raw, "removed", "removed").await;
    place.s3.delete_object().bucket(&place.raw).key("removed").send().await.unwrap();
    place.run().await;
    let folder = place.folder.path().join("store/acme/receipts");
    let mut contents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let receipt: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let attachment = &receipt["attachments"][0];
        let stored = attachment["object"]["uri"].as_str().and_then(|uri| uri.strip_prefix("file://"));
        let content = stored.map(|path| std::fs::read_to_string(path).unwrap());
        contents.push((attachment["url"].as_str().unwrap().to_owned(), content));
    }
    contents.sort();
    let (raw, versioned) = (&place.raw, &place.versioned);
    let mut expected: Vec<_> = keys.iter().map(|key| (format!("s3://{raw}/{key}"), Some((*key).to_owned()))).collect();
    expected.extend(["first", "second"].map(|content| (format!("s3://{versioned}/k"), Some(content.to_owned()))));
    expected.push((format!("s3://{raw}/removed"), None));
    expected.sort();
    assert_eq!(contents, expected, "each state of each object, and of the removed one that it is gone");
    place.check_dead(&[]).await;
}

#[tokio::test]
async fn eventbridges_own_events_become_tasks() {
    let place = Place::new().await;
    let arn = open_queue(&place).await;
    let rule = format!("rule-{}", place.raw);
    let pattern = json!({"source": ["aws.s3"], "detail": {"bucket": {"name": [place.raw]}}}).to_string();
    events("PutRule", &json!({"Name": rule, "EventPattern": pattern, "State": "ENABLED"})).await;
    events("PutTargets", &json!({"Rule": rule, "Targets": [{"Id": "1", "Arn": arn}]})).await;
    let bridge = EventBridgeConfiguration::builder().build();
    notify(&place, &place.raw, NotificationConfiguration::builder().event_bridge_configuration(bridge).build()).await;
    let key = "red flower+%2B ä.jpg";
    place.put(&place.raw, key, "the flower").await;
    place.run().await;
    events("RemoveTargets", &json!({"Rule": rule, "Ids": ["1"]})).await;
    events("DeleteRule", &json!({"Name": rule})).await;
    place.check_stored(&place.receipts("acme"), &format!("s3://{}/{key}", place.raw), b"the flower");
    place.check_dead(&[]).await;
}

#[tokio::test]
async fn an_envelope_of_the_emulators_sns_is_refused_unsigned_and_taken_once_it_is_signed() {
    let mut place = Place::new().await;
    let arn = open_queue(&place).await;
    let name = format!("topic-{}", uuid::Uuid::new_v4().simple());
    sns(&[("Action", "CreateTopic"), ("Name", &name)]).await;
    let topic = format!("arn:aws:sns:us-east-1:111122223333:{name}");
    sns(&[("Action", "Subscribe"), ("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &arn)]).await;
    let message = super::place::task("by-sns").to_string().replace(r#""team":"acme","#, "");
    let attribute = "MessageAttributes.entry.1";
    sns(&[
        ("Action", "Publish"),
        ("TopicArn", &topic),
        ("Message", &message),
        (&format!("{attribute}.Name"), "team"),
        (&format!("{attribute}.Value.DataType"), "String"),
        (&format!("{attribute}.Value.StringValue"), "acme"),
    ])
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    place.topics.push(topic.clone());
    place.run().await;
    assert!(place.receipts("acme").is_empty());
    let letters = place.dead().await;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert_eq!(letters[0].reason, "undecodable");
    assert!(letters[0].detail.contains("certificate"), "{letters:#?}");
    let mut envelope: Value = serde_json::from_str(&letters[0].body).unwrap();
    place.signer.sign(&mut envelope, GOOD);
    place.send(&envelope.to_string()).await;
    place.run().await;
    place.check_stored(&place.receipts("acme"), "by-sns", b"the text of by-sns");
    sns(&[("Action", "DeleteTopic"), ("TopicArn", &topic)]).await;
}
