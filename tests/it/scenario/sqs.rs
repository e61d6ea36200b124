//! The SQS side of a world: queues of its own in the bed's emulator, looked at without the program's adapter.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, QueueAttributeName};
use longshore::adapters::sqs::{SqsOptions, SqsQueue};
use longshore::ports::queue::{Outgoing, Queue};

use super::seen::{Dead, Event};
use crate::bed;
use crate::sqs::fixture::{Kind, attribute, create, identity};

/// How long what is taken is hidden until it is deleted.
const HIDDEN_SECS: i32 = 60;

/// The queues of one world: tasks, dead letters and events, all of one kind.
pub(crate) struct Sqs {
    client: Client,
    sender: SqsQueue,
    pub(crate) task: String,
    pub(crate) dead: String,
    pub(crate) events: String,
    /// Pending webhooks: always a standard queue.
    webhooks: String,
}

impl Sqs {
    /// Makes queues that are named after `name`.
    pub(crate) async fn new(name: &str, kind: Kind) -> Self {
        let sdk = identity().await;
        let client = Client::new(&sdk);
        let make = async |part: &str| create(&client, &format!("{name}-{part}"), kind, &[]).await;
        let (task, dead, events) = (make("tasks").await, make("dead").await, make("events").await);
        let webhooks = create(&client, &format!("{name}-webhooks"), Kind::Standard, &[]).await;
        let sender = SqsQueue::new(&SqsOptions::new(&task, &dead, sdk)).unwrap();
        Self { client, sender, task, dead, events, webhooks }
    }

    /// The configuration's part about queues.
    pub(crate) fn config(&self) -> String {
        let Self { task, dead, events, webhooks, .. } = self;
        format!(
            "[queue]\nurl = \"{task}\"\ndead_letter = \"{dead}\"\n[events]\nurl = \"{events}\"\n\
             [webhooks]\nqueue_url = \"{webhooks}\"\n[aws]\nregion = \"us-east-1\"\nsqs_endpoint_url = \"{}\"\n",
            bed::ministack_endpoint()
        )
    }

    /// Sends through the program's own adapter, past every way that a test may have cut.
    pub(crate) async fn send(&self, messages: &[Outgoing]) {
        self.sender.send(messages).await.unwrap();
    }

    /// Sends a body and nothing beside it, as another system might.
    pub(crate) async fn send_bare(&self, body: &str) {
        let mut sent = self.client.send_message().queue_url(&self.task).message_body(body);
        if self.task.ends_with(".fifo") {
            sent = sent.message_group_id("acme").message_deduplication_id(uuid::Uuid::new_v4().to_string());
        }
        sent.send().await.unwrap();
    }

    /// Takes all events off their queue.
    pub(crate) async fn take_events(&self) -> Vec<Event> {
        let event = |message: Message| Event {
            id: text(&message, "id"),
            kind: text(&message, "type"),
            team: text(&message, "team"),
            body: body(message),
        };
        self.take_all(&self.events).await.into_iter().map(event).collect()
    }

    /// Takes all dead letters.
    pub(crate) async fn take_dead(&self) -> Vec<Dead> {
        let dead = |message: Message| Dead {
            reason: text(&message, "longshore-reason"),
            detail: text(&message, "longshore-detail"),
            body: body(message),
        };
        self.take_all(&self.dead).await.into_iter().map(dead).collect()
    }

    async fn take_all(&self, url: &str) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let asked = self.client.receive_message().queue_url(url).max_number_of_messages(10);
            let asked = asked.message_attribute_names("All").visibility_timeout(HIDDEN_SECS).wait_time_seconds(1);
            let taken = asked.send().await.unwrap().messages.unwrap_or_default();
            if taken.is_empty() {
                return all;
            }
            for message in &taken {
                let handle = message.receipt_handle.as_deref().unwrap();
                self.client.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
            }
            all.extend(taken);
        }
    }

    /// How many messages the task queue has, of each sort.
    pub(crate) async fn left(&self) -> Vec<(String, u64)> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let asked = self.client.get_queue_attributes().queue_url(&self.task);
        let found = asked.set_attribute_names(Some(names.to_vec())).send().await.unwrap().attributes.unwrap();
        names.iter().map(|name| (name.to_string(), found[name].parse().unwrap())).collect()
    }

    /// Takes everything away.
    pub(crate) async fn clear(&self) {
        for url in [&self.task, &self.dead, &self.events, &self.webhooks] {
            self.client.delete_queue().queue_url(url).send().await.unwrap();
        }
    }
}

fn text(message: &Message, name: &str) -> String {
    attribute(message, name).unwrap_or_default().to_owned()
}

/// The body as it was sent: what SQS takes for no text stands in an attribute, and then "-" is the body.
fn body(message: Message) -> Vec<u8> {
    let elsewhere = message.message_attributes().and_then(|all| all.get("longshore-body"));
    match elsewhere.map(MessageAttributeValue::binary_value) {
        Some(Some(bytes)) => bytes.clone().into_inner(),
        Some(None) => Vec::new(),
        None => message.body.unwrap_or_default().into_bytes(),
    }
}
