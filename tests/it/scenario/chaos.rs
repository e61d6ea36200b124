//! Everything at once, for minutes: workers are killed and frozen at random, the broker is killed and restarted, the store
//! refuses and breaks, sources break in the middle of bodies, endpoints fail. Afterwards all must be as if nothing had been.
//!
//! One seed makes every choice; `LONGSHORE_TEST_SEED` repeats them. When they fall is the machine's own.

mod kills {
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use serde_json::json;
    use tokio::time::{Instant, sleep};

    use super::super::expect::Sent;
    use super::super::faults::Faults;
    use super::super::process::Worker;
    use super::super::tasks::Draw;
    use super::super::world::{Setup, World, sized};
    use crate::{bed, proof};

    const WORKERS: usize = 3;
    /// Tries that each endpoint fails at first.
    const ENDPOINT_FAILS: u32 = 10;

    /// What was done to them.
    #[derive(Debug, Default)]
    struct Blows {
        kills: usize,
        freezes: usize,
        stops: usize,
        broker: usize,
        store: usize,
    }

    struct Chaos<'a> {
        world: &'a World,
        store: &'a Faults,
        workers: Vec<Worker>,
        dice: StdRng,
        blows: Blows,
    }

    #[expect(clippy::disallowed_methods, reason = "a person names a seed in the environment")]
    fn seed() -> u64 {
        let named = std::env::var("LONGSHORE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        named.unwrap_or_else(|| rand::rng().random_range(0..1_000_000))
    }

    async fn world(store: &Faults) -> World {
        let mut world = World::new(Setup::AmqpS3).await;
        world.hurry();
        world.tell_teams(ENDPOINT_FAILS);
        world.set("STORE__ENDPOINT_URL", &store.endpoint());
        world.set("QUEUE__LEASE", "5s");
        world.set("SHUTDOWN__GRACE", "3s");
        // A frozen worker and the one that has its message now may both bring a copy home.
        world.raced = true;
        world
    }

    impl Chaos<'_> {
        fn any_worker(&mut self) -> usize {
            self.dice.random_range(0..self.workers.len())
        }

        /// Replaces a worker by a new one.
        fn replace(&mut self, which: usize) -> Worker {
            let new = self.world.worker();
            std::mem::replace(&mut self.workers[which], new)
        }

        /// One blow, somewhere.
        async fn strike(&mut self) {
            match self.dice.random_range(0..100) {
                0..45 => {
                    let which = self.any_worker();
                    self.replace(which).kill();
                    self.world.has_killed();
                    self.blows.kills += 1;
                }
                45..55 => {
                    // Longer than a lease, now and then.
                    let (which, millis) = (self.any_worker(), self.dice.random_range(300..8_000));
                    self.workers[which].freeze();
                    sleep(Duration::from_millis(millis)).await;
                    self.workers[which].thaw();
                    self.blows.freezes += 1;
                }
                55..62 => {
                    let which = self.any_worker();
                    let mut old = self.replace(which);
                    old.terminate();
                    let status = old.ended(Duration::from_secs(40)).await;
                    assert!(matches!(status.code(), Some(0 | 75)), "a worker that was told to stop: {status}");
                    self.blows.stops += 1;
                }
                62..65 => {
                    if self.dice.random_bool(0.5) {
                        bed::kill9("rabbit");
                        bed::start("rabbit");
                    } else {
                        bed::restart("rabbit");
                    }
                    self.blows.broker += 1;
                }
                _ => self.strike_the_store().await,
            }
        }

        async fn strike_the_store(&mut self) {
            self.blows.store += 1;
            let times = self.dice.random_range(1..30);
            let method = ["PUT", "GET", "HEAD", "POST", "*"][self.dice.random_range(0..5)];
            let bytes = self.dice.random_range(1..40_000);
            let rule = match self.dice.random_range(0..6) {
                0 => json!({"method": method, "times": times, "status": 503}),
                1 => json!({"method": method, "times": times, "status": 500, "delay": 0.5}),
                2 => json!({"method": method, "times": times, "cut_after": bytes, "reset": true}),
                3 => json!({"method": method, "times": times, "cut_after": bytes}),
                4 => json!({"method": "PUT", "times": times, "cut_request_after": bytes}),
                _ => return self.store.sever().await,
            };
            self.store.add(&rule).await;
        }
    }

    /// Tasks of all kinds that end, some of which break in the middle of their bodies at first.
    fn some(draw: &mut Draw<'_>, count: usize) -> Vec<Sent> {
        let mut some = Vec::with_capacity(count);
        for number in 0..count {
            some.push(match number % 10 {
                0 => draw.single(30_000, "&truncate=9000&breaks=1"),
                1 => draw.single(30_000, "&truncate=20000&rst=1&breaks=2"),
                2 => draw.single(12_000, "&truncate=5000&rst=1&breaks=1&etag="),
                _ => draw.task(false),
            });
        }
        some
    }

    async fn chaos(span: Duration, tasks: usize) {
        let seed = seed();
        eprintln!("── chaos for {span:?} over {tasks} tasks: LONGSHORE_TEST_SEED={seed} repeats its choices");
        let store = Faults::before_the_store().await;
        let world = world(&store).await;
        let mut draw = Draw::new(seed, &world.origin);
        // So that every worker has some in hand whenever it is hit.
        draw.slow_down("0.6");
        let mut sent = some(&mut draw, tasks / 20);
        world.send(&sent).await;
        // What was declared must be on the broker's disk before it is killed.
        sleep(Duration::from_millis(1_500)).await;
        let workers = (0..WORKERS).map(|_| world.worker()).collect();
        let dice = StdRng::seed_from_u64(seed);
        let mut chaos = Chaos { world: &world, store: &store, workers, dice, blows: Blows::default() };
        let began = Instant::now();
        while began.elapsed() < span {
            // All have been sent when four fifths of the time are over.
            let gone = usize::try_from(began.elapsed().as_millis() * 5 / 4).unwrap();
            let due = (tasks * gone / usize::try_from(span.as_millis()).unwrap()).min(tasks);
            if due > sent.len() {
                let more = some(&mut draw, due - sent.len());
                world.send(&more).await;
                sent.extend(more);
            }
            let wait = chaos.dice.random_range(300..3_000);
            sleep(Duration::from_millis(wait)).await;
            chaos.strike().await;
        }
        let Chaos { workers, blows, .. } = chaos;
        store.clear().await;
        let done_in_time = world.receipts().await;
        world.receipts_reach(sent.len(), span + Duration::from_secs(60)).await;
        world.told(&sent, Duration::from_secs(150)).await;
        for worker in workers {
            worker.ends_in_peace().await;
        }
        world.run_until_empty(Duration::from_secs(150)).await;
        let seen = world.look(&sent).await;
        let report = super::super::check::check(&seen, &sent);
        let title = format!(
            "chaos for {span:?} over {} tasks, seed {seed}\n   {blows:?}\n   {done_in_time} were done before it ended",
            sent.len()
        );
        let table = report.table(&title);
        eprintln!("{table}");
        report.assert_right();
        assert!(blows.kills >= 3 && blows.freezes > 0 && blows.store > 0, "too little was done to them: {blows:?}");
        proof::keep("chaos", &table);
        world.clear().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_is_killed_frozen_cut_or_refused_every_task_ends_once() {
        chaos(Duration::from_secs(sized(600, 110)), sized(10_000, 1_500)).await;
    }
}
