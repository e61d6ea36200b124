//! The broker is killed and restarted, under load and while messages wait for their retry.

mod kills {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::super::expect::Sent;
    use super::super::hits::{Hit, fetched_again};
    use super::super::tasks::Draw;
    use super::super::world::{Setup, World};
    use crate::bed;

    /// 120 tasks that can be done at once, and 30 that fail twice before.
    fn some_that_wait_in_tiers(draw: &mut Draw<'_>) -> Vec<Sent> {
        let mut some = draw.plain(120);
        some.extend((0..30).map(|_| draw.single(3_000, "&fail=2")));
        some
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_is_killed_and_restarted_loses_no_task_and_no_retry() {
        let mut world = World::new(Setup::AmqpS3).await;
        // One try in place, so that each passing failure waits in a tier; five attempts by default.
        world.set("RETRY__TRIES", "1");
        world.set("RETRY__MESSAGE_BASE", "1s");
        let mut draw = Draw::new(3, &world.origin);
        draw.slow_down("0.3");
        let mut sent = some_that_wait_in_tiers(&mut draw);
        world.send(&sent).await;
        // What was declared must be on the broker's disk before it is killed.
        sleep(Duration::from_millis(1_500)).await;
        let mut worker = world.worker_until_empty();
        let mut hits = Vec::new();
        for break_it in [bed::kill9, bed::restart] {
            let there = world.receipts().await;
            world.receipts_reach(there + 20, Duration::from_secs(60)).await;
            assert!(there + 75 < sent.len(), "too little is left for a load");
            break_it("rabbit");
            bed::start("rabbit");
            hits.push(Hit::now(&world).await);
            let more = some_that_wait_in_tiers(&mut draw);
            world.send(&more).await;
            sent.extend(more);
        }
        worker.ends_with(0, Duration::from_secs(200)).await;
        let (_, seen) = world.all_right("450 tasks, the broker killed once and restarted once", &sent).await;
        let again = fetched_again(&hits, &seen, &sent);
        assert_eq!(again, Vec::<String>::new(), "fetched although a copy was there");
        world.clear().await;
    }
}
