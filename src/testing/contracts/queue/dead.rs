//! Dead letters, as an operator works them.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Client, LONG_LEASE, QueueFixture, assert_is, assert_same_attributes, id_of, list, nothing_comes, outgoing, send,
    settle, take, take_one,
};
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::ports::queue::{Chosen, DeadMessage, Outgoing};

fn dead_letter(detail: &str, attempts: u32) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason: Reason::UnknownTeam, detail: detail.to_owned(), attempts })
}

/// Sends one message for each name and dead-letters it, in this order.
async fn bury(client: &Client, names: &[&str]) {
    for name in names {
        send(client, &[name]).await;
        let delivery = take_one(client).await;
        settle(client, &delivery, &dead_letter(name, 1)).await;
    }
}

fn named<'a>(letters: &'a [DeadMessage], detail: &str) -> &'a DeadMessage {
    letters
        .iter()
        .find(|letter| letter.detail == detail)
        .unwrap_or_else(|| panic!("no dead letter {detail:?} among {letters:?}"))
}

/// Body and attributes stay byte for byte, with reason, detail, attempts and time beside them.
pub async fn a_dead_letter_keeps_the_message_whole<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    let message = Outgoing { body: Bytes::from_static(b"\x00not json\xff\n"), ..outgoing("a") };
    client.queue.send(std::slice::from_ref(&message)).await.expect("a queue takes messages");
    let delivery = take_one(&client).await;
    settle(&client, &delivery, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await;
    let detail = "team: no directory knows \"größe\"";
    settle(&client, &take_one(&client).await, &dead_letter(detail, 2)).await;

    nothing_comes(&client, Duration::from_millis(300), "a dead letter is not a task").await;
    let letters = list(&client).await;
    assert_eq!(letters.len(), 1, "one dead letter: {letters:?}");
    let letter = &letters[0];
    assert_eq!((letter.reason.as_str(), letter.detail.as_str(), letter.attempts), ("unknown_team", detail, 2));
    assert!(letter.failed_at.is_some(), "a dead letter tells when it failed");
    assert_eq!(letter.body, message.body, "the body is unchanged");
    assert_same_attributes(&letter.attributes, &message.attributes);
    assert_eq!(client.queue.depth().await.expect("depth").total(), 0, "dead letters are not counted as tasks");
}

/// Dead letters are as durable as messages.
pub async fn dead_letters_survive_a_restart<F: QueueFixture>() {
    let mut fixture = F::fresh(LONG_LEASE).await;
    let client = fixture.client().await;
    bury(&client, &["a", "b"]).await;
    let before = list(&client).await;
    drop(client);
    let restarted = fixture.restart().await;
    let after = list(&fixture.client().await).await;
    assert_eq!(after, before, "a restart ({restarted}) or another client changes no dead letter");
}

/// Looking at dead letters, also by several at once, takes none of them away.
pub async fn listing_often_loses_nothing<F: QueueFixture>() {
    let fixture = F::fresh(LONG_LEASE).await;
    let (client, other) = (fixture.client().await, fixture.client().await);
    bury(&client, &["a", "b", "c"]).await;
    let ids = |letters: Vec<DeadMessage>| letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>();
    let first = ids(list(&client).await);
    assert_eq!(first.len(), 3);
    for _ in 0..5 {
        assert_eq!(ids(list(&other).await), first, "the same letters by the same ids in the same order");
    }
    let _together = tokio::join!(list(&client), list(&other));
    assert_eq!(ids(list(&client).await), first, "two lists at once lose nothing");
}

/// A list is cut at its limit and begins with the oldest letter.
pub async fn a_list_ends_at_its_limit_and_begins_with_the_oldest<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    assert_eq!(list(&client).await, []);
    bury(&client, &["a", "b", "c", "d"]).await;
    let letters = client.dead.list(2).await.expect("dead letters can be listed");
    let details: Vec<_> = letters.iter().map(|letter| letter.detail.as_str()).collect();
    assert_eq!(details, ["a", "b"]);
    assert_eq!(list(&client).await.len(), 4);
}

/// A replayed message is the original one: its id, body and attributes, nothing of ours, no attempts.
pub async fn replay_puts_the_original_back<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    bury(&client, &["a", "b"]).await;
    assert_eq!(client.dead.replay(&Chosen::All).await.expect("replay"), 2);
    assert_eq!(list(&client).await, [], "what was replayed is no dead letter any more");
    let taken = take(&client, 2).await;
    for name in ["a", "b"] {
        let sent = outgoing(name);
        let again = taken.iter().find(|delivery| id_of(delivery) == sent.id);
        let again = again.unwrap_or_else(|| panic!("{} comes again", sent.id));
        assert_is(again, &sent);
        assert_eq!((again.attempts, again.unfinished), (0, 0), "a replay starts anew");
    }
    settle(&client, &taken[0], &dead_letter("again", 0)).await;
    assert_eq!(named(&list(&client).await, "again").attempts, 0, "it can die again");
    assert_eq!(client.dead.replay(&Chosen::Ids(vec!["none such".to_owned()])).await.expect("replay"), 0);
}

/// A replay of named letters leaves the others where they are.
pub async fn replay_takes_only_the_chosen<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    bury(&client, &["a", "b", "c"]).await;
    let chosen = named(&list(&client).await, "b").id.clone();
    let replayed = client.dead.replay(&Chosen::Ids(vec![chosen])).await;
    assert_eq!(replayed.expect("replay"), 1);
    assert_eq!(id_of(&take_one(&client).await), "id-b");
    let left = list(&client).await;
    assert_eq!(left.len(), 2);
    assert!(!named(&left, "a").id.is_empty() && !named(&left, "c").id.is_empty());
}

/// Purged letters are gone, others stay, and none comes back as a task.
pub async fn purge_deletes_only_the_chosen<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    bury(&client, &["a", "b", "c"]).await;
    let chosen = named(&list(&client).await, "a").id.clone();
    let twice = Chosen::Ids(vec![chosen.clone(), "none such".to_owned(), chosen]);
    assert_eq!(client.dead.purge(&twice).await.expect("purge"), 1);
    assert_eq!(list(&client).await.len(), 2);
    assert_eq!(client.dead.purge(&Chosen::All).await.expect("purge"), 2);
    assert_eq!(list(&client).await, []);
    assert_eq!(client.dead.purge(&Chosen::All).await.expect("purge"), 0);
    nothing_comes(&client, Duration::from_millis(500), "what was purged is gone").await;
}
