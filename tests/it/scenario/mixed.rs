//! Thousands of tasks of all kinds, good and bad.

mod long {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::tasks::Draw;
    use super::super::world::{Setup, World, sized};

    async fn mixed(setup: Setup, count: usize) {
        let mut world = World::usual(setup).await;
        world.hurry();
        world.set("RETRY__TRIES", "3");
        world.set("QUEUE__MAX_ATTEMPTS", "3");
        let mut draw = Draw::of(2_000, &world);
        let sent = draw.mixed(count);
        world.put(&draw.objects()).await;
        world.send(&sent).await;
        let began = Instant::now();
        world.run_until_empty(Duration::from_secs(400)).await;
        let took = began.elapsed();
        world.all_right(&format!("{count} mixed tasks"), &sent).await;
        eprintln!("   the worker took {took:?}");
        world.clear().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mixed_tasks_end_right_on_rabbitmq_and_s3() {
        mixed(Setup::AmqpS3, sized(2_000, 600)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mixed_tasks_end_right_on_sqs_with_customers_buckets() {
        mixed(Setup::SqsS3, sized(2_000, 600)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mixed_tasks_end_right_on_fifo_queues_with_customers_buckets() {
        mixed(Setup::FifoS3, sized(2_000, 250)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mixed_tasks_end_right_on_one_machine() {
        mixed(Setup::LocalFile, sized(2_000, 600)).await;
    }
}
