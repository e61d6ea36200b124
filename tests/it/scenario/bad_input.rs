//! Each row of the tables of bad messages and hard URLs once, alone with its neighbours.

use std::time::Duration;

use serde_json::json;

use super::expect::{End, Part, Sent, Wanted};
use super::world::{Setup, World};
use super::{bad_messages, hard_urls};

async fn every_row(setup: Setup) {
    let mut world = World::new(setup).await;
    world.hurry();
    world.set("RETRY__TRIES", "2");
    world.set("QUEUE__MAX_ATTEMPTS", "2");
    let mut sent = bad_messages::all(&world.origin.address.to_string());
    for (number, (url, outcome)) in hard_urls::table(1, &world.origin).into_iter().enumerate() {
        let task = format!("url-{number}");
        let body = json!({"task_id": task, "team": "acme", "attachments": [url]});
        let parts = vec![Part { id: "0".into(), outcome }];
        sent.push(Sent::new(
            &task,
            body.to_string(),
            End::Receipt(Wanted { team: "acme".into(), task: task.clone(), parts }),
        ));
    }
    world.send(&sent).await;
    world.run_until_empty(Duration::from_secs(60)).await;
    world.all_right("every bad message and every hard URL", &sent).await;
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_message_and_hard_url_ends_as_promised_on_rabbitmq_and_s3() {
    every_row(Setup::AmqpS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_message_and_hard_url_ends_as_promised_on_one_machine() {
    every_row(Setup::LocalFile).await;
}
