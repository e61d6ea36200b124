//! A download that outlives the session that it began with.

mod long {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::super::customers::{Customers, Door};
    use super::super::judge::Judge;
    use super::super::tasks::Draw;
    use super::super::world::{Setup, World};

    const GIBIBYTE: usize = 1 << 30;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_gibibyte_goes_on_with_fresh_credentials_when_its_session_ends_in_the_middle() {
        let judge = Judge::start().await;
        let mut world = World::new(Setup::SqsS3).await;
        world.let_in(Customers::before(&judge, &[("delta", Door::Role)]).await);
        let customers = world.customers.as_ref().unwrap();
        let customer = customers.of("delta").unwrap();
        let content = judge.make_object(&customer.bucket, "large.bin", GIBIBYTE).await;
        let sent = vec![Draw::of(1, &world).task_of_object(customer, "large.bin", content)];
        world.send(&sent).await;

        let began = Instant::now();
        let mut worker = world.worker();
        while customers.s3.answered_bytes() < GIBIBYTE as u64 / 2 {
            assert!(began.elapsed() < Duration::from_secs(200), "half of it has not come:\n{}", worker.said());
            assert!(worker.is_running());
            sleep(Duration::from_millis(10)).await;
        }
        let role = customer.role_arn();
        assert_eq!(judge.end_sessions(&role).await, 1);
        customers.s3.break_all();
        world.announced(&sent, Duration::from_secs(300)).await;
        let took = began.elapsed();
        worker.ends_in_peace().await;

        world.all_right("a gibibyte whose session ended in the middle", &sent).await;
        let came = customers.s3.answered_bytes();
        eprintln!("   in {took:?}, {came} bytes of answers for {GIBIBYTE}");
        assert!(came < GIBIBYTE as u64 * 5 / 4, "{came} bytes came: it was begun anew");
        let asked: Vec<_> = judge.journal(&customer.bucket).await;
        let statuses: Vec<_> =
            asked.iter().filter(|entry| entry["method"] == "GET").map(|e| e["status"].clone()).collect();
        assert_eq!(statuses, [200, 400, 206], "the whole, a session that has ended, and the rest");
        assert_eq!(judge.assumed(&role).await.len(), 2);
        world.clear().await;
    }
}
