//! Thousands of tasks of all kinds, good and bad.

mod long {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::tasks::Draw;
    use super::super::world::{Setup, World};

    async fn two_thousand(setup: Setup) {
        let mut world = World::new(setup).await;
        world.hurry();
        world.set("RETRY__TRIES", "3");
        world.set("QUEUE__MAX_ATTEMPTS", "3");
        let sent = Draw::new(2_000, &world.origin).mixed(2_000);
        world.send(&sent).await;
        let began = Instant::now();
        world.run_until_empty(Duration::from_secs(400)).await;
        let took = began.elapsed();
        world.all_right("2,000 mixed tasks", &sent).await;
        eprintln!("   the worker took {took:?}");
        world.clear().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_thousand_mixed_tasks_end_right_on_rabbitmq_and_s3() {
        two_thousand(Setup::AmqpS3).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_thousand_mixed_tasks_end_right_on_one_machine() {
        two_thousand(Setup::LocalFile).await;
    }
}
