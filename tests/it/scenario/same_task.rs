//! What counts as the same task: URLs without their signatures.

use std::time::Duration;

use serde_json::json;

use super::expect::{End, Outcome, Part, Sent, Wanted};
use super::world::{Setup, World};

const FIRST: &str =
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261121T000000Z&X-Amz-Expires=60&X-Amz-Signature=aaaa";
const FRESH: &str =
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261122T000000Z&X-Amz-Expires=60&X-Amz-Signature=bbbb";

fn message(world: &World, id: &str, task: &str, target: &str) -> Sent {
    let body = json!({"task_id": task, "team": "acme", "attachments": [world.origin.url(target)]});
    let outcome = Outcome::Fetched { oracle: target.to_owned(), target: target.to_owned() };
    let wanted = Wanted { team: "acme".into(), task: task.into(), parts: vec![Part { id: "0".into(), outcome }] };
    Sent::new(id, body.to_string(), End::Receipt(wanted))
}

async fn same_or_other(setup: Setup) {
    let world = World::new(setup).await;
    let first = message(&world, "m-1", "signed", &format!("/blob/s?size=900&{FIRST}"));
    let mut fresh = message(&world, "m-2", "signed", &format!("/blob/s?size=900&{FRESH}"));
    fresh.content.clone_from(&first.content);
    let plain = message(&world, "m-3", "queried", "/blob/q?size=900&v=1");
    let other = message(&world, "m-4", "queried", "/blob/q?size=900&v=2");
    let mut sent = Vec::new();
    for message in [first, fresh, plain, other] {
        sent.push(message);
        world.send(&sent[sent.len() - 1..]).await;
        world.run_until_empty(Duration::from_secs(30)).await;
    }
    let (_, seen) = world.all_right("a fresh signature, and another query", &sent).await;
    assert_eq!(seen.dead.len(), 1, "another query is other content, a fresh signature is not");
    let fetches = seen.log.iter().filter(|request| request.target.starts_with("/blob/s")).count();
    assert_eq!(fetches, 1, "a task that has ended is not fetched again");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_signature_is_the_same_task_and_another_query_is_not_on_rabbitmq_and_s3() {
    same_or_other(Setup::AmqpS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_signature_is_the_same_task_and_another_query_is_not_on_one_machine() {
    same_or_other(Setup::LocalFile).await;
}
