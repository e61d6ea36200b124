//! A worker that is killed or frozen exactly between two steps; another one finishes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::tasks::Draw;
use super::world::{Setup, World};

const GIBIBYTE: usize = 1 << 30;
/// Larger than a part, so that it is a multipart upload or grows in a temporary file.
const SOME_PARTS: usize = 50 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Freeze,
}

async fn hit(setup: Setup, point: &str, blow: Blow, size: usize) {
    let mut world = World::usual(setup).await;
    world.set("QUEUE__LEASE", if setup.is_sqs() { "3s" } else { "2s" });
    let mut draw = Draw::of(7, &world);
    // The emulator keeps objects in memory: what is large comes from the origin.
    let in_bucket = setup.is_sqs() && size < GIBIBYTE;
    let sent = vec![if in_bucket { draw.task_in_bucket("delta", 1, size) } else { draw.single(size as u64, "") }];
    world.put(&draw.objects()).await;
    world.send(&sent).await;
    let verb = if blow == Blow::Kill { "kill" } else { "freeze" };
    let mut first = world.worker_hit_at(&format!("{point}:{verb}:1"));
    let began = Instant::now();
    while first.is_running() && !first.is_frozen() {
        assert!(began.elapsed() < Duration::from_secs(100), "{point} was never passed:\n{}", first.said());
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(first.is_running(), blow == Blow::Freeze);
    let mut second = world.worker();
    second.works(Duration::from_secs(30)).await;
    // On RabbitMQ a frozen worker's message comes back when its heartbeats have been missed.
    world.announced(&sent, Duration::from_secs(100)).await;
    if blow == Blow::Freeze {
        first.thaw();
        first.terminate();
        first.ended(Duration::from_secs(40)).await;
    }
    second.terminate();
    second.ends_with(0, Duration::from_secs(40)).await;
    // Whoever was frozen may have put a copy of what it held back, as it may of any message: its task has ended.
    if !setup.is_sqs() || world.queue.is_busy().await {
        world.finish(&sent, Duration::from_secs(40)).await;
    }
    let (report, _) = world.all_right(&format!("{verb} at {point}, {size} bytes"), &sent).await;
    assert_eq!(report.most_fetches, 1, "whoever finishes adopts what is there");
    world.clear().await;
}

macro_rules! hits {
    ($($name:ident: $setup:ident $point:literal $blow:ident $size:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            hit(Setup::$setup, $point, Blow::$blow, $size).await;
        })*
    };
}

hits! {
    killed_between_receipt_and_event_another_worker_announces_it_on_rabbitmq: AmqpS3 "receipt-written" Kill 5_000;
    frozen_between_receipt_and_event_another_worker_announces_it_on_rabbitmq: AmqpS3 "receipt-written" Freeze 5_000;
    killed_between_receipt_and_event_another_worker_announces_it_on_one_machine: LocalFile "receipt-written" Kill 5_000;
    frozen_between_receipt_and_event_another_worker_announces_it_on_one_machine: LocalFile "receipt-written" Freeze 5_000;
    killed_between_receipt_and_event_another_worker_announces_it_on_sqs: SqsS3 "receipt-written" Kill 5_000;
    frozen_between_receipt_and_event_another_worker_announces_it_on_sqs: SqsS3 "receipt-written" Freeze 5_000;
    killed_between_receipt_and_event_another_worker_announces_it_on_fifo_queues: FifoS3 "receipt-written" Kill 5_000;
    frozen_between_receipt_and_event_another_worker_announces_it_on_fifo_queues: FifoS3 "receipt-written" Freeze 5_000;
    killed_between_event_and_settlement_the_event_keeps_its_bytes_on_rabbitmq: AmqpS3 "event-published" Kill 5_000;
    frozen_between_event_and_settlement_the_event_keeps_its_bytes_on_one_machine: LocalFile "event-published" Freeze 5_000;
    killed_between_event_and_settlement_the_event_keeps_its_bytes_on_sqs: SqsS3 "event-published" Kill 5_000;
    frozen_between_event_and_settlement_the_event_keeps_its_bytes_on_fifo_queues: FifoS3 "event-published" Freeze 5_000;
    killed_between_object_and_facts_another_worker_adopts_the_object_on_sqs: SqsS3 "object-stored" Kill SOME_PARTS;
    frozen_between_object_and_facts_another_worker_adopts_the_object_on_fifo_queues: FifoS3 "object-stored" Freeze SOME_PARTS;
    killed_between_facts_and_receipt_another_worker_adopts_the_object_on_fifo_queues: FifoS3 "facts-written" Kill SOME_PARTS;
    frozen_between_facts_and_receipt_another_worker_adopts_the_object_on_sqs: SqsS3 "facts-written" Freeze SOME_PARTS;
    killed_between_object_and_facts_another_worker_adopts_the_object_on_one_machine: LocalFile "object-stored" Kill SOME_PARTS;
    frozen_between_object_and_facts_another_worker_adopts_the_object_on_one_machine: LocalFile "object-stored" Freeze SOME_PARTS;
    killed_between_facts_and_receipt_another_worker_adopts_the_object_on_one_machine: LocalFile "facts-written" Kill SOME_PARTS;
    frozen_between_facts_and_receipt_another_worker_adopts_the_object_on_one_machine: LocalFile "facts-written" Freeze SOME_PARTS;
}

mod long {
    use super::{Blow, GIBIBYTE, Setup, hit};

    hits! {
        killed_after_completing_a_gibibyte_another_worker_adopts_it: AmqpS3 "object-stored" Kill GIBIBYTE;
        frozen_after_completing_a_gibibyte_another_worker_adopts_it: AmqpS3 "object-stored" Freeze GIBIBYTE;
        killed_between_a_gibibytes_facts_and_receipt_another_worker_adopts_it: AmqpS3 "facts-written" Kill GIBIBYTE;
        frozen_between_a_gibibytes_facts_and_receipt_another_worker_adopts_it: AmqpS3 "facts-written" Freeze GIBIBYTE;
        killed_after_completing_a_gibibyte_another_worker_adopts_it_on_sqs: SqsS3 "object-stored" Kill GIBIBYTE;
        frozen_after_completing_a_gibibyte_another_worker_adopts_it_on_sqs: SqsS3 "object-stored" Freeze GIBIBYTE;
        killed_after_completing_a_gibibyte_another_worker_adopts_it_on_fifo_queues: FifoS3 "object-stored" Kill GIBIBYTE;
        frozen_after_completing_a_gibibyte_another_worker_adopts_it_on_fifo_queues: FifoS3 "object-stored" Freeze GIBIBYTE;
    }
}
