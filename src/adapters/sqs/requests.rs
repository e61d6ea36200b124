//! The few requests that we make of one queue, each with its answer entry by entry.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName as System, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName, SendMessageBatchRequestEntry,
};

use super::letter::Letter;
use super::trouble::Trouble;

/// How many entries a batch has, and how many messages one poll brings.
pub(super) const BATCH_MAX: usize = 10;

/// What we want to know of each message.
const WANTED: [System; 7] = [
    System::ApproximateReceiveCount,
    System::ApproximateFirstReceiveTimestamp,
    System::SentTimestamp,
    System::MessageGroupId,
    System::MessageDeduplicationId,
    System::SequenceNumber,
    System::AwsTraceHeader,
];

/// A queue and how to ask it.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) fifo: bool,
}

/// A message to send.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) letter: Letter,
    /// For how long SQS itself holds it back; left out on FIFO queues, which know no such thing.
    pub(super) delay_secs: Option<i32>,
    /// Tells FIFO queues this send from every other.
    pub(super) deduplication_id: String,
}

/// What one entry of a batch came to; for sends with SQS's id of the message.
pub(super) type Outcome = Result<String, Trouble>;

impl Remote {
    /// Waits for up to `most` messages, and hides them for `hidden_secs`.
    pub(super) async fn receive(&self, most: i32, hidden_secs: i32, wait_secs: i32) -> Result<Vec<Message>, Trouble> {
        let asked = self.client.receive_message().queue_url(&self.url).max_number_of_messages(most);
        let asked = asked.visibility_timeout(hidden_secs).wait_time_seconds(wait_secs);
        let asked = asked.set_message_system_attribute_names(Some(WANTED.to_vec()));
        let answer = asked.message_attribute_names("All").send().await?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Sends messages.
    pub(super) async fn send(&self, posts: &[Post]) -> Vec<Outcome> {
        let entries = posts.iter().enumerate().map(|(number, post)| self.entry(number, post));
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(trouble) => return all(posts.len(), &trouble),
        };
        let asked = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match asked.send().await {
            Ok(answer) => {
                let sent = answer.successful.into_iter().map(|entry| (entry.id, entry.message_id)).collect();
                each(posts.len(), sent, answer.failed)
            }
            Err(error) => all(posts.len(), &error.into()),
        }
    }

    fn entry(&self, number: usize, post: &Post) -> Result<SendMessageBatchRequestEntry, Trouble> {
        let unwritable = |error| Trouble::Refused(format!("a message cannot be written: {error}"));
        let mut entry = SendMessageBatchRequestEntry::builder()
            .id(number.to_string())
            .message_body(&post.letter.body)
            .set_message_group_id(post.letter.group.clone());
        if self.fifo {
            entry = entry.message_deduplication_id(&post.deduplication_id);
        } else {
            entry = entry.set_delay_seconds(post.delay_secs);
        }
        for (name, value) in &post.letter.attributes {
            entry = entry.message_attributes(name, value.to_wire().map_err(unwritable)?);
        }
        if let Some(trace) = &post.letter.trace {
            let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace);
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            entry = entry.message_system_attributes(name, value.build().map_err(unwritable)?);
        }
        entry.build().map_err(unwritable)
    }

    /// Deletes messages for good.
    pub(super) async fn delete(&self, handles: &[String]) -> Vec<Outcome> {
        let entry = |(number, handle): (usize, &String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(handle).build().expect("id and handle are set")
        };
        let entries = handles.iter().enumerate().map(entry).collect();
        let asked = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match asked.send().await {
            Ok(answer) => {
                let deleted = answer.successful.into_iter().map(|entry| (entry.id, String::new())).collect();
                each(handles.len(), deleted, answer.failed)
            }
            Err(error) => all(handles.len(), &error.into()),
        }
    }

    /// Hides messages for some seconds from now; zero gives them back at once.
    pub(super) async fn hide(&self, handles: &[(String, i32)]) -> Vec<Outcome> {
        let entry = |(number, (handle, secs)): (usize, &(String, i32))| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            let entry = entry.receipt_handle(handle).visibility_timeout(*secs);
            entry.build().expect("id and handle are set")
        };
        let entries = handles.iter().enumerate().map(entry).collect();
        let asked = self.client.change_message_visibility_batch().queue_url(&self.url);
        match asked.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let hidden = answer.successful.into_iter().map(|entry| (entry.id, String::new())).collect();
                each(handles.len(), hidden, answer.failed)
            }
            Err(error) => all(handles.len(), &error.into()),
        }
    }

    /// Reads attributes of the queue itself, in the order they are asked for.
    pub(super) async fn attributes<const N: usize>(
        &self, names: [QueueAttributeName; N],
    ) -> Result<[Option<String>; N], Trouble> {
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = asked.set_attribute_names(Some(names.to_vec())).send().await?;
        let mut found = answer.attributes.unwrap_or_default();
        Ok(names.map(|name| found.remove(&name)))
    }
}

fn all(count: usize, trouble: &Trouble) -> Vec<Outcome> {
    vec![Err(trouble.clone()); count]
}

/// Puts the two lists of a batch's answer in the order of its entries. An entry that no list names may have been done.
fn each(count: usize, done: Vec<(String, String)>, failed: Vec<BatchResultErrorEntry>) -> Vec<Outcome> {
    let mut outcomes = all(count, &Trouble::Away("the answer does not say".to_owned()));
    let mut put = |id: &str, outcome: Outcome| {
        if let Some(place) = id.parse().ok().and_then(|number: usize| outcomes.get_mut(number)) {
            *place = outcome;
        }
    };
    for (id, message_id) in done {
        put(&id, Ok(message_id));
    }
    for entry in failed {
        put(&entry.id, Err(Trouble::from_code(&entry.code, entry.message.as_deref().unwrap_or(""))));
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_of_a_batch_has_its_own_outcome() {
        let failed = |id: &str, code: &str| {
            let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(true);
            entry.build().unwrap()
        };
        let done = vec![("2".to_owned(), "m".to_owned())];
        let outcomes = each(4, done, vec![failed("0", "ReceiptHandleIsInvalid"), failed("3", "InternalError")]);
        assert_eq!(outcomes[0], Err(Trouble::Lost));
        assert!(matches!(outcomes[1], Err(Trouble::Away(_))), "an entry without an answer may be repeated");
        assert_eq!(outcomes[2], Ok("m".to_owned()));
        assert!(matches!(outcomes[3], Err(Trouble::Away(_))));
    }
}
