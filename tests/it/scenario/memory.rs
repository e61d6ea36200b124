//! Memory does not grow with the attachments' size or number.

mod long {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::super::expect::Sent;
    use super::super::tasks::Draw;
    use super::super::world::{self, Setup, World};

    const PEAK_MAX: u64 = 350 * 1024 * 1024;

    /// The whole sizes where a person asks for them (`make test-long`), a quarter of them otherwise: memory must not
    /// depend on either.
    fn sized(whole: u64) -> u64 {
        world::sized(whole, whole / 4)
    }

    /// Copies on the default limits into the folder store, and returns the most memory that the worker had.
    async fn copies(title: &str, draw: impl FnOnce(&World) -> Vec<Sent>, within: Duration) {
        let mut world = World::with_hosts(Setup::LocalFile, 2).await;
        world.with_default_limits();
        let sent = draw(&world);
        world.send(&sent).await;
        let mut worker = world.worker();
        let (began, mut peak) = (Instant::now(), 0);
        while world.receipts().await < sent.len() {
            peak = worker.peak_memory().unwrap_or(peak);
            assert!(began.elapsed() < within, "not done after {within:?}:\n{}", worker.said());
            sleep(Duration::from_millis(200)).await;
        }
        let took = began.elapsed();
        peak = worker.peak_memory().unwrap_or(peak);
        worker.terminate();
        worker.ends_with(0, Duration::from_secs(30)).await;
        world.all_right(title, &sent).await;
        eprintln!("   copied in {took:?}, at most {} MiB resident", peak >> 20);
        assert!(peak < PEAK_MAX, "{} MiB resident", peak >> 20);
        world.clear().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_attachment_of_gibibytes_takes_less_than_350_mib() {
        let draw = |world: &World| vec![Draw::new(4, &world.origin).single(sized(4 << 30), "")];
        copies("one attachment of gibibytes", draw, Duration::from_secs(300)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sixty_four_large_attachments_at_once_take_less_than_350_mib() {
        let draw = |world: &World| {
            let mut draw = Draw::new(64, &world.origin);
            (0..64).map(|number| draw.on_host(1 + number % 2).single(sized(256 << 20), "")).collect()
        };
        copies("64 large attachments", draw, Duration::from_secs(500)).await;
    }
}
