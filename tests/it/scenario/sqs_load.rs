//! What a busy program costs on SQS: requests per message, those that keep leases among them.

use std::time::Duration;

use super::tasks::Draw;
use super::way::Way;
use super::world::{Setup, World};
use crate::bed;

const TASKS: usize = 1_000;
const OPERATIONS: [&str; 4] =
    ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch"];

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_program_needs_at_most_one_request_to_sqs_for_two_messages() {
    let mut world = World::new(Setup::SqsS3).await;
    let queues = Way::open(bed::ministack_endpoint()).await;
    world.set("AWS__SQS_ENDPOINT_URL", &queues.endpoint());
    // Short enough to be extended while a task is in hand.
    world.set("QUEUE__LEASE", "10s");
    let sent = Draw::of(4, &world).singles(TASKS);
    world.send(&sent).await;
    queues.keep_words();
    let worker = world.worker();
    world.announced(&sent, Duration::from_secs(100)).await;
    let asked = queues.asked();
    worker.ends_in_peace().await;
    world.all_right(&format!("{TASKS} small tasks"), &sent).await;
    let count = |operation: &str| asked.iter().filter(|asked| asked.operation == operation).count();
    for operation in OPERATIONS {
        eprintln!("   {operation:<36} {:>14}", count(operation));
    }
    // Messages that are moved behind others are sent too; events have a queue of their own.
    let events = format!("\"{}\"", world.queue.sqs().events);
    let of_tasks = asked.len() - queues.words().matches(&events).count();
    eprintln!("   {:<36} {of_tasks:>14}", "requests for tasks");
    assert!(of_tasks * 2 <= TASKS, "{of_tasks} requests for {TASKS} messages");
    world.clear().await;
}
