//! Slots out of a real Redis: what its script decides, and which trouble the connection survives.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use longshore::adapters::budget::RedisSlots;
use longshore::ports::budget::{Answer, Ask, Row, SharedSlots};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::scenario::redis::Redis;

fn row(key: &str, interval_millis: u64) -> Row {
    let interval = Duration::from_millis(interval_millis);
    Row { key: key.to_owned(), interval, slack: interval / 4 }
}

fn ask(rows: &[&Row]) -> Ask {
    Ask { rows: rows.iter().copied().cloned().collect(), number: 1 }
}

/// Asks the Redis's own tool, which must be content.
fn redis_cli(redis: &Redis, words: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-u", &redis.url()]).args(words).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("ERR"), "{words:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_taken_of_all_rows_or_of_none() {
    let redis = Redis::start().await;
    let slots = RedisSlots::open(&redis.url()).await.unwrap();
    let (team, host, other) = (row("team", 60_000), row("host", 10), row("other", 10));
    let both = |place: &Row| ask(&[&team, place]);
    let answers = slots.take(&[both(&host), both(&other), ask(&[&host]), ask(&[&host])]).await.unwrap();
    assert_eq!(answers[0], Answer::Taken(Duration::ZERO));
    let Answer::Full { by: 0, again } = answers[1] else { panic!("{answers:?}") };
    // As far as no slot of the other row is given ahead.
    let expected = Duration::from_millis(60_000) - other.slack;
    assert!(again <= expected && again > expected - Duration::from_secs(1), "{again:?}");
    let Answer::Full { by: 0, again } = answers[2] else { panic!("one of the host is taken: {answers:?}") };
    assert!(again <= Duration::from_millis(8), "{again:?}");
    sleep(Duration::from_millis(20)).await;
    assert_eq!(
        slots.take(&[ask(&[&other])]).await.unwrap(),
        [Answer::Taken(Duration::ZERO)],
        "nothing of it was taken"
    );
    assert_eq!(slots.take(&[ask(&[&host])]).await.unwrap(), [Answer::Taken(Duration::ZERO)]);
    assert_eq!(slots.take(&[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_clock_left_there_is_forgotten() {
    let redis = Redis::start().await;
    let slots = RedisSlots::open(&redis.url()).await.unwrap();
    let host = row("host", 10);
    slots.take(&[ask(&[&host])]).await.unwrap();
    let keys = redis_cli(&redis, &["keys", "*slots*host"]);
    redis_cli(&redis, &["set", keys.trim(), "9000000000000000.000"]);
    assert_eq!(slots.take(&[ask(&[&host])]).await.unwrap(), [Answer::Taken(Duration::ZERO)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_in_cluster_mode_does_too() {
    let redis = Redis::start_as_a_cluster_of_one().await;
    redis_cli(&redis, &["cluster", "addslotsrange", "0", "16383"]);
    let began = Instant::now();
    while !redis_cli(&redis, &["cluster", "info"]).contains("cluster_state:ok") {
        assert!(began.elapsed() < Duration::from_secs(20), "the cluster is not there");
        sleep(Duration::from_millis(50)).await;
    }
    let slots = RedisSlots::open(&redis.url()).await.unwrap();
    let answers = slots.take(&[ask(&[&row("team", 10), &row("host", 10)])]).await;
    assert_eq!(answers.unwrap(), [Answer::Taken(Duration::ZERO)]);
}

/// A way to a Redis whose open connections can be made to hang, as when its machine is gone; new ones lead to it again.
struct Way {
    port: u16,
    hangs: Arc<AtomicBool>,
}

impl Way {
    async fn to(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, hangs) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let (target, hanging) = (redis.port(), Arc::clone(&hangs));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let hanging = Arc::clone(&hanging);
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    tokio::select! {
                        _ended = copy_bidirectional(&mut near, &mut far) => {}
                        () = is_set(&hanging) => sleep(Duration::from_secs(60)).await,
                    }
                });
            }
        });
        Self { port, hangs }
    }
}

async fn is_set(flag: &AtomicBool) {
    while !flag.load(SeqCst) {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_is_made_anew() {
    let redis = Redis::start().await;
    let way = Way::to(&redis).await;
    let slots = RedisSlots::open(&format!("redis://127.0.0.1:{}", way.port)).await.unwrap();
    slots.take(&[]).await.unwrap();
    way.hangs.store(true, SeqCst);
    sleep(Duration::from_millis(50)).await;
    let hung = timeout(Duration::from_secs(2), slots.take(&[])).await.expect("it answers within a second");
    assert!(hung.is_err(), "{hung:?}");
    way.hangs.store(false, SeqCst);
    let again = timeout(Duration::from_secs(2), slots.take(&[])).await.expect("it answers within a second");
    assert!(again.is_ok(), "{again:?}");
}
