//! A message that kills whoever works on it goes alone, and goes alone to the dead letters.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::{MemoryFetcher, MemoryObject};
use longshore::domain::fault::AttachmentFault;
use longshore::domain::receipt::Status;
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::worker::{End, Worker};
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher};
use longshore::ports::queue::Queue;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::world::{LEASE, World, task};

const DEADLY: &str = "https://deadly/";

/// A source that kills who opens it: it rings, and answers nobody any more.
struct Deadly {
    inner: Arc<MemoryFetcher>,
    bell: Arc<Notify>,
    after: Duration,
}

#[async_trait]
impl Fetcher for Deadly {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        if request.source.name() == DEADLY {
            sleep(self.after).await;
            self.bell.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.open(request).await
    }
}

/// How a life of a worker ended.
#[derive(Debug, PartialEq, Eq)]
enum Life {
    /// Killed, with so many attachments in flight.
    Killed {
        in_flight: u64,
    },
    Ended(End),
}

/// One life of a worker, until it is killed or the queue is empty.
async fn live(world: &World) -> Life {
    live_until(world, Duration::ZERO).await
}

/// The same, where it takes so long to be killed.
async fn live_until(world: &World, after: Duration) -> Life {
    let bell = Arc::new(Notify::new());
    let mut ports = world.ports();
    ports.fetcher = Arc::new(Deadly { inner: Arc::clone(&world.fetcher), bell: Arc::clone(&bell), after });
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let life = tokio::select! {
        end = worker.run(Until::Empty) => Life::Ended(end),
        () = bell.notified() => Life::Killed { in_flight: worker.tally.in_flight.load(Relaxed) },
    };
    drop(worker);
    sleep(Duration::from_millis(1)).await;
    life
}

/// Lives until one life finds the queue empty, and tells how the others ended.
async fn lives(world: &World) -> Vec<u64> {
    lives_until(world, Duration::ZERO).await
}

async fn lives_until(world: &World, after: Duration) -> Vec<u64> {
    let mut deaths = Vec::new();
    for _ in 0..100 {
        match live_until(world, after).await {
            Life::Killed { in_flight } => deaths.push(in_flight),
            Life::Ended(end) => {
                assert_eq!(end, End::Drained);
                return deaths;
            }
        }
    }
    panic!("a hundred lives were not enough");
}

fn neighbours(world: &World, count: usize, head_delay: Duration) {
    for number in 0..count {
        let object = MemoryObject { head_delay, ..MemoryObject::new(format!("fine {number}")) };
        world.put(&format!("https://h/{number}"), object);
    }
}

/// Makes the only message in the queue suspicious: it is taken and lost, again and again.
async fn raise_suspicion(world: &World) {
    for _ in 0..3 {
        assert_eq!(world.queue.receive(10).await.unwrap().len(), 1);
        sleep(LEASE + Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_not() {
    let world = World::new();
    neighbours(&world, 20, Duration::from_secs(2));
    for number in 0..10 {
        world.send(&task(&format!("t-{number}"), &[&format!("https://h/{number}")])).await;
    }
    let poison = task("poison", &[DEADLY]);
    world.send(&poison).await;
    for number in 10..20 {
        world.send(&task(&format!("t-{number}"), &[&format!("https://h/{number}")])).await;
    }
    let deaths = lives(&world).await;
    let dead = world.dead().await;
    let letters: Vec<_> = dead.iter().map(|dead| (dead.reason.as_str(), dead.body.as_ref(), dead.attempts)).collect();
    assert_eq!(letters, [("attempts_exhausted", poison.as_bytes(), 0)]);
    for number in 0..20 {
        let receipt = world.receipt(&format!("t-{number}"), 1).await.expect("a neighbour has its receipt");
        assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1));
    }
    assert!(world.receipt("poison", 1).await.is_none());
    assert!(deaths[0] > 1, "at first it takes others with it: {deaths:?}");
    let alone = world.settings.max_attempts as usize;
    assert!(deaths.len() >= 3 + alone, "{deaths:?}");
    assert!(deaths[deaths.len() - alone..].iter().all(|in_flight| *in_flight <= 1), "then it dies alone: {deaths:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replayed_message_begins_anew() {
    let world = World::new();
    world.send(&task("poison", &[DEADLY])).await;
    let first = lives(&world).await.len();
    use longshore::ports::queue::{Chosen, DeadLetters};
    assert_eq!(world.queue.replay(&Chosen::All).await.unwrap(), 1);
    let second = lives(&world).await.len();
    assert_eq!((first, second, world.dead().await.len()), (8, 8, 1));
}

#[tokio::test(start_paused = true)]
async fn a_suspect_that_ends_well_is_no_suspect_and_waits_for_the_others() {
    let mut world = World::new();
    world.settings.messages_in_hand = 30;
    neighbours(&world, 21, Duration::from_secs(20));
    world.send(&task("t-20", &["https://h/20"])).await;
    raise_suspicion(&world).await;
    for number in 0..20 {
        world.send(&task(&format!("t-{number}"), &[&format!("https://h/{number}")])).await;
    }
    let began = Instant::now();
    assert_eq!(world.work().await, End::Drained);
    for number in 0..21 {
        assert_eq!(world.receipt(&format!("t-{number}"), 1).await.unwrap().status, Status::Completed);
    }
    let took = began.elapsed().as_secs();
    // The others take two turns of twenty seconds, since not all fit in flight; the suspect, which looks before it fetches,
    // takes two of its own.
    assert!((80..90).contains(&took), "it ran beside others, or they ran one by one: {took} s");
    assert!(world.dead().await.is_empty());
}

/// What takes long is not what kills: after a minute others work beside it.
#[tokio::test(start_paused = true)]
async fn a_slow_suspect_holds_others_up_for_a_minute_and_no_longer() {
    let world = World::new();
    neighbours(&world, 20, Duration::ZERO);
    let slow = MemoryObject { head_delay: Duration::from_secs(250), ..MemoryObject::new("late") };
    world.put("https://slow/", slow);
    world.send(&task("slow", &["https://slow/"])).await;
    raise_suspicion(&world).await;
    let began = Instant::now();
    let others = async {
        sleep(Duration::from_secs(2)).await;
        for number in 0..20 {
            world.send(&task(&format!("t-{number}"), &[&format!("https://h/{number}")])).await;
        }
        for number in 0..20 {
            while world.receipt(&format!("t-{number}"), 1).await.is_none() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        began.elapsed()
    };
    let (end, others) = tokio::join!(world.work(), others);
    assert_eq!(end, End::Drained);
    assert!((60..75).contains(&others.as_secs()), "others were done after {others:?}");
    let receipt = world.receipt("slow", 1).await.unwrap();
    assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1), "it was not begun anew");
    assert!(began.elapsed() > Duration::from_secs(250));
}

/// Each asks the other to make way, and that must have an end.
#[tokio::test(start_paused = true)]
async fn two_slow_suspects_both_end() {
    let world = World::new();
    for name in ["a", "b"] {
        let url = format!("https://{name}/");
        world.put(&url, MemoryObject { head_delay: Duration::from_secs(100), ..MemoryObject::new("late") });
        world.send(&task(name, &[&url])).await;
    }
    for _ in 0..3 {
        let mut taken = 0;
        while taken < 2 {
            taken += world.queue.receive(10).await.unwrap().len();
        }
        sleep(LEASE + Duration::from_secs(1)).await;
    }
    let began = Instant::now();
    assert_eq!(world.work().await, End::Drained);
    for name in ["a", "b"] {
        let receipt = world.receipt(name, 1).await.unwrap();
        assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1));
    }
    assert!(began.elapsed() < Duration::from_secs(900), "{:?}", began.elapsed());
}

/// It outlives its minute alone and kills its process then: the next runs are alone to their end, and count.
#[tokio::test(start_paused = true)]
async fn what_kills_its_process_late_is_given_up_too() {
    let world = World::new();
    world.send(&task("poison", &[DEADLY])).await;
    let deaths = lives_until(&world, Duration::from_secs(70)).await.len();
    let reasons: Vec<_> = world.dead().await.iter().map(|dead| dead.reason.clone()).collect();
    assert_eq!(reasons, ["attempts_exhausted"]);
    assert_eq!(deaths, 3 + 1 + world.settings.max_attempts as usize, "one more: the run that was shared at last");
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_makes_way_for_a_suspect_and_goes_back_uncounted() {
    let world = World::new();
    neighbours(&world, 1, Duration::ZERO);
    world.send(&task("t-0", &["https://h/0"])).await;
    raise_suspicion(&world).await;
    let suspect = world.queue.receive(1).await.unwrap();
    let slow = MemoryObject { head_delay: Duration::from_secs(400), ..MemoryObject::new("late") };
    world.put("https://slow/", slow);
    world.send(&task("slow", &["https://slow/"])).await;
    let began = Instant::now();
    let giving_back = async {
        sleep(Duration::from_secs(10)).await;
        let back = longshore::domain::settlement::Settlement::HandBack { delay: Duration::ZERO };
        // The lease ends meanwhile where it was not given back.
        world.queue.settle(&suspect[0].lease, &back).await.unwrap();
    };
    let (end, ()) = tokio::join!(world.work(), giving_back);
    assert_eq!(end, End::Drained);
    let (quick, slow) = (world.receipt("t-0", 1).await.unwrap(), world.receipt("slow", 1).await.unwrap());
    let waited = quick.finished_at.duration_since(slow.finished_at);
    assert!(waited.is_negative(), "the slow one was asked to make way");
    assert_eq!((slow.status, slow.attempt), (Status::Completed, 1), "and nothing was counted");
    assert!(began.elapsed() < Duration::from_secs(1100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn drains_never_dead_letter_however_often_a_suspect_is_cut() {
    let mut world = World::new();
    world.settings.grace = Duration::from_secs(1);
    let slow = MemoryObject { head_delay: Duration::from_secs(100), ..MemoryObject::new("late") };
    world.put("https://slow/", slow);
    world.send(&task("slow", &["https://slow/"])).await;
    raise_suspicion(&world).await;
    for _ in 0..12 {
        assert_eq!(world.work_for(Duration::from_secs(10)).await, End::HandedBack);
    }
    assert!(world.dead().await.is_empty());
    assert_eq!(world.work().await, End::Drained);
    let receipt = world.receipt("slow", 1).await.expect("it ends at last");
    assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1));
}

#[tokio::test(start_paused = true)]
async fn before_a_message_is_given_up_its_receipt_is_looked_for() {
    let world = World::new();
    world.send_as("m-1", &task("poison", &[DEADLY])).await;
    let mut deaths = 0;
    // All runs alone but the one that looks.
    while deaths < 8 {
        assert!(matches!(live(&world).await, Life::Killed { .. }));
        deaths += 1;
    }
    let held = loop {
        let received = world.queue.receive(1).await.unwrap();
        if let Some(delivery) = received.into_iter().next() {
            break delivery;
        }
    };
    // Another process, with another way to the source, has the task's second message.
    world.put(DEADLY, MemoryObject::new("harmless there"));
    world.send_as("m-2", &task("poison", &[DEADLY])).await;
    world.work_for(Duration::from_secs(5)).await;
    assert!(world.receipt("poison", 1).await.is_some());
    drop(held);
    assert_eq!(lives(&world).await, Vec::<u64>::new());
    assert!(world.dead().await.is_empty(), "it had its receipt");
    assert_eq!(world.events.distinct().len(), 1);
}
