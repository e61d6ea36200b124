//! SNS envelopes.

use serde_json::{Value, json};

use super::place::{ACMES, Place, TOPIC, task};
use super::signer::{EXPIRED, Envelope, GOOD};

#[tokio::test]
async fn a_signed_envelope_of_a_listed_topic_is_taken_and_every_other_is_dead_lettered_unchanged() {
    let place = Place::new().await;
    let sign = |id: &str, given: Envelope<'_>| place.signer.envelope(&task(id).to_string(), &given);
    let mut teamless = task("by-attribute");
    teamless.as_object_mut().unwrap().remove("team");
    let attributes = json!({"team": {"Type": "String", "Value": "acme"}});
    let taken = [
        sign("sha-256", good()),
        sign("sha-1", Envelope { version: "1", ..good() }),
        sign("acmes-own", Envelope { topic: ACMES, ..good() }),
        place.signer.envelope(&teamless.to_string(), &Envelope { attributes, ..good() }),
    ];
    for envelope in &taken {
        place.send(&envelope.to_string()).await;
    }
    let mut forged = sign("forged", good());
    forged["Signature"] = sign("other", good())["Signature"].clone();
    let mut changed = sign("changed", good());
    changed["Message"] = json!(task("another-task").to_string());
    let mut moved = sign("moved", good());
    moved["TopicArn"] = json!(ACMES);
    let others = task("others").to_string().replace("acme", "beta");
    let confirmation = json!({"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "Token": "t", "Message": "You have…",
        "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription", "MessageId": "m",
        "Timestamp": "t", "SignatureVersion": "1", "Signature": "", "SigningCertURL": ""});
    let refused = [
        (forged, "signature is not that"),
        (changed, "signature is not that"),
        (moved, "signature is not that"),
        (
            sign("unlisted", Envelope { topic: "arn:aws:sns:us-east-1:111122223333:other", ..good() }),
            "not in queue.sns_topics",
        ),
        (sign("expired", Envelope { certificate: EXPIRED, ..good() }), "certificate has expired"),
        (sign("unknown", Envelope { certificate: "unknown.pem", ..good() }), "is not in queue.sns_certificates"),
        (place.signer.envelope(&others, &Envelope { topic: ACMES, ..good() }), "team"),
        (confirmation, "SubscribeURL"),
    ];
    let refused = refused.map(|(envelope, says)| (envelope.to_string(), says));
    for (body, _) in &refused {
        place.send(body).await;
    }
    place.run().await;
    let receipts = place.receipts("acme");
    for id in ["sha-256", "sha-1", "acmes-own", "by-attribute"] {
        place.check_stored(&receipts, id, format!("the text of {id}").as_bytes());
    }
    assert_eq!(receipts.len(), taken.len(), "nothing of what was refused: {:?}", receipts.keys());
    assert!(place.receipts("beta").is_empty());
    let refused: Vec<_> = refused.iter().map(|(body, says)| (body.as_str(), "undecodable", *says)).collect();
    place.check_dead(&refused).await;
}

fn good() -> Envelope<'static> {
    Envelope { topic: TOPIC, version: "2", certificate: GOOD, attributes: Value::Null }
}
