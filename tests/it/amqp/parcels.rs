//! Messages that are put off together travel in parcels, and come back one by one, as they were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures::future::join_all;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray};
use longshore::adapters::amqp::{AmqpOptions, AmqpQueue};
use longshore::domain::id::TeamId;
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Delivery, Message, Outgoing, Queue, Room};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, becomes, outgoing, send, table, take, text};
use crate::bed;

const MANY: usize = 200;

fn wide(bench: &Bench) -> AmqpQueue {
    AmqpQueue::new(AmqpOptions { prefetch: 500, ..bench.options() }).unwrap()
}

fn names() -> Vec<String> {
    (0..MANY).map(|number| format!("m{number}")).collect()
}

async fn put_off(queue: &AmqpQueue, deliveries: &[Delivery], delay: Duration) {
    let settling = deliveries.iter().map(|one| async { queue.settle(&one.lease, &Settlement::PutOff { delay }).await });
    for settled in join_all(settling).await {
        settled.unwrap();
    }
}

fn by_id(deliveries: Vec<Delivery>) -> BTreeMap<String, (Message, u32, u32)> {
    let told = deliveries
        .into_iter()
        .map(|one| (one.message.id.clone().unwrap(), (one.message, one.attempts, one.unfinished)));
    told.collect()
}

#[tokio::test]
async fn many_wait_in_few_parcels_and_come_back_as_they_were() {
    let bench = Bench::new().await;
    let queue = wide(&bench);
    let names = names();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = take(&queue, MANY).await;
    put_off(&queue, &first, Duration::from_secs(1)).await;
    let depth = queue.depth().await.unwrap();
    assert!((1..=10).contains(&depth.total()), "{MANY} messages are {depth:?}");
    let again = take(&queue, MANY).await;
    assert_eq!(by_id(again.clone()), by_id(first));
    for one in &again {
        queue.settle(&one.lease, &Settlement::Done).await.unwrap();
    }
    becomes("nothing is left", || async { queue.depth().await.unwrap().total() == 0 }).await;
}

/// What is counted, and headers that are not text, go with a message into a parcel and out of it.
#[tokio::test]
async fn counts_and_headers_of_every_type_go_into_a_parcel() {
    let bench = Bench::new().await;
    let queue = wide(&bench);
    queue.depth().await.unwrap();
    for name in ["a", "b", "c"] {
        let headers = table(&[
            ("binary", AMQPValue::ByteArray(ByteArray::from(&[0xff, 0xfe][..]))),
            ("team", text("acme")),
            ("nested", AMQPValue::FieldTable(table(&[("deep", text("kept"))]))),
            ("fraction", AMQPValue::Double(1.0 / 3.0)),
            ("longshore-attempts", AMQPValue::LongLongInt(3)),
            ("longshore-unfinished", AMQPValue::LongLongInt(2)),
        ]);
        let sent = BasicProperties::default().with_message_id(name.into()).with_priority(4).with_headers(headers);
        bench.publish(sent.with_expiration("600000".into()), b"body").await;
    }
    let first = take(&queue, 3).await;
    put_off(&queue, &first, Duration::from_secs(1)).await;
    assert!(queue.depth().await.unwrap().total() < 3, "at least two went together");
    becomes("they are back", || async { queue.due(Duration::ZERO).await.unwrap() > 0 }).await;
    let again = take(&queue, 3).await;
    assert!(again.iter().all(|one| (one.attempts, one.unfinished) == (3, 2)), "{again:?}");
    assert_eq!(by_id(again.clone()), by_id(first));
    queue.close().await;
    drop(queue);
    becomes("they are given back", || async { bench.queue().depth().await.unwrap().visible == 3 }).await;
    for _ in 0..3 {
        let got = bench.get(&bench.name).await.expect("it is in the task queue");
        let headers = got.delivery.properties.headers().clone().unwrap();
        let binary = AMQPValue::ByteArray(ByteArray::from(&[0xff, 0xfe][..]));
        assert_eq!(headers.inner().get("binary"), Some(&binary));
        assert_eq!(headers.inner().get("fraction"), Some(&AMQPValue::Double(1.0 / 3.0)));
        assert!(matches!(headers.inner().get("nested"), Some(AMQPValue::FieldTable(_))));
        assert_eq!(got.delivery.properties.priority(), &Some(4));
        assert_eq!(got.delivery.properties.expiration(), &None, "a waiting message does not expire");
    }
}

/// While many are put off, more are taken at once; and no longer than that.
#[tokio::test]
async fn a_crowd_widens_the_prefetch_for_as_long_as_it_is_one() {
    let bench = Bench::new().await;
    let queue = AmqpQueue::new(AmqpOptions { prefetch: 50, prefetch_in_a_crowd: 120, ..bench.options() }).unwrap();
    let names: Vec<_> = (0..400).map(|number| format!("m{number}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = take(&queue, 50).await;
    assert_eq!(queue.receive(100).await.unwrap(), [], "fifty are in hand");
    put_off(&queue, &first, Duration::from_secs(900)).await;
    let more = take(&queue, 120).await;
    // Those that were sent ahead to the consumer before it are of the fifty.
    let rest = take_what_comes(&queue).await;
    assert!(rest.len() <= 50, "{} beside 120", rest.len());
    for one in more.iter().chain(&rest) {
        queue.settle(&one.lease, &Settlement::Done).await.unwrap();
    }
    // It is over: fifty again, and those that were sent ahead to the wide consumer before it ended.
    let mut sizes = Vec::new();
    for _ in 0..2 {
        sleep(Duration::from_millis(2_200)).await;
        let taken = take_what_comes(&queue).await;
        for one in &taken {
            queue.settle(&one.lease, &Settlement::Done).await.unwrap();
        }
        sizes.push(taken.len());
    }
    assert_eq!(sizes[1], 50, "{sizes:?}");
}

/// The broker counts messages, not bytes.
#[tokio::test]
async fn beside_large_messages_a_crowd_does_not_widen_the_prefetch() {
    let bench = Bench::new().await;
    let queue = AmqpQueue::new(AmqpOptions { prefetch: 110, prefetch_in_a_crowd: 500, ..bench.options() }).unwrap();
    let large =
        (0..70).map(|number| Outgoing { body: vec![b'x'; 256 << 10].into(), ..outgoing(&format!("large{number}")) });
    queue.send(&large.collect::<Vec<_>>()).await.unwrap();
    let names: Vec<_> = (0..340).map(|number| format!("m{number}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = take(&queue, 110).await;
    let (large, small): (Vec<_>, Vec<_>) = first.into_iter().partition(|one| one.message.body.len() > 1000);
    put_off(&queue, &small, Duration::from_secs(900)).await;
    assert_eq!(take_what_comes(&queue).await.len(), 40);
    for one in &large {
        queue.settle(&one.lease, &Settlement::Done).await.unwrap();
    }
}

async fn take_what_comes(queue: &AmqpQueue) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let some = queue.receive(1000).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

/// What says that it is a parcel and is none is handed out as it is: it ends as any message that cannot be read.
#[tokio::test]
async fn what_cannot_be_unpacked_is_handed_out() {
    let bench = Bench::new().await;
    let queue = wide(&bench);
    queue.depth().await.unwrap();
    let no_properties_and_no_body = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    let bodies: [&[u8]; 3] = [b"\0\0\0\x02\0\0\0\0\0\x09short", b"{}", &no_properties_and_no_body.repeat(100_000)];
    for body in bodies {
        let headers = table(&[("longshore-parcel", AMQPValue::LongLongInt(2))]);
        bench.publish(BasicProperties::default().with_headers(headers), body).await;
        assert_eq!(&take(&queue, 1).await[0].message.body[..], body);
    }
}

/// Refuses what the engine has no room for, so many times.
struct Busy(AtomicUsize);

impl Room for Busy {
    fn wait(&self, team: &TeamId, count: usize) -> Duration {
        assert_eq!((team.as_str(), count), ("acme", 32));
        let is_busy = self.0.try_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        Duration::from_secs(u64::from(is_busy))
    }
}

/// A parcel whose messages would not begin travels on, and counts nothing by it.
#[tokio::test]
async fn a_parcel_waits_until_there_is_room_for_its_team() {
    let bench = Bench::new().await;
    let queue = wide(&bench);
    queue.ask(Arc::new(Busy(AtomicUsize::new(2))));
    let names: Vec<_> = (0..32).map(|number| format!("m{number}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = take(&queue, 32).await;
    let began = Instant::now();
    put_off(&queue, &first, Duration::from_secs(1)).await;
    let again = take(&queue, 32).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}: its own second and two more", began.elapsed());
    assert_eq!(by_id(again), by_id(first));
}

/// Parcels for which the task queue has no room do not keep others from taking from it.
#[tokio::test]
async fn a_full_queue_is_emptied_though_parcels_wait_for_it() {
    let bench = Bench::new().await;
    let queue = AmqpQueue::new(AmqpOptions { prefetch: 64, ..bench.options() }).unwrap();
    let names: Vec<_> = (0..64).map(|number| format!("m{number}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    put_off(&queue, &take(&queue, 64).await, Duration::from_secs(1)).await;
    queue.close().await;
    let policy = format!("/api/policies/%2f/{}", bench.name);
    let few = format!(r#"{{"pattern":"^{}$","definition":{{"max-length":6}},"apply-to":"queues"}}"#, bench.name);
    bed::manage_rabbit("PUT", &policy, &few).await;
    // One that is kept in hand would be all that this one ever takes.
    let narrow = AmqpQueue::new(AmqpOptions { prefetch: 1, prefetch_in_a_crowd: 1, ..bench.options() }).unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 64 {
        let taken = take(&narrow, 1).await;
        for one in &taken {
            narrow.settle(&one.lease, &Settlement::Done).await.unwrap();
        }
        seen.extend(by_id(taken));
    }
    bed::manage_rabbit("DELETE", &policy, "").await;
}

/// A client that breaks off leaves a parcel to the next; what it had unpacked by then may be there twice.
#[tokio::test]
async fn a_parcel_outlives_who_unpacks_it() {
    let bench = Bench::new().await;
    let (sender, names) = (wide(&bench), names());
    send(&sender, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = take(&sender, MANY).await;
    put_off(&sender, &first, Duration::from_secs(1)).await;
    sender.close().await;
    drop(sender);
    for delay in [3, 10, 30, 100] {
        let (breaking, relay) = bench.relayed(Duration::from_millis(delay)).await;
        let _received = breaking.receive(1).await;
        relay.break_all();
        drop(breaking);
    }
    let last = wide(&bench);
    let mut seen = BTreeMap::new();
    while seen.len() < MANY {
        let taken = take(&last, 1).await;
        for one in &taken {
            last.settle(&one.lease, &Settlement::Done).await.unwrap();
        }
        seen.extend(by_id(taken));
    }
    let told =
        |all: BTreeMap<String, (Message, u32, u32)>| -> Vec<_> { all.into_values().map(|(m, a, _)| (m, a)).collect() };
    assert_eq!(told(seen), told(by_id(first)));
}
