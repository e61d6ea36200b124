//! Room first, then messages: takes no more than can be worked on, and pauses while something that every task needs is away.
//!
//! Where the queue does not choose by team it takes some more, only to look whose they are: what is a busy team's goes behind
//! at once, so that others' messages are found ([`super::ahead`]).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::ahead::Choice;
use super::hands::{Hand, Hands};
use super::isolation::Isolation;
use super::lease::{Held, Keeper};
use super::looking::{Looking, OfTeam};
use super::memory::{Grant, Pool};
use super::outage::{Gates, wait_after};
use super::pipeline::Pipeline;
use super::started::Started;
use super::stop::Stop;
use super::tally::{Counted, Tally};
use crate::domain::message::whose;
use crate::ports::queue::{Delivery, MESSAGE_BYTES_MAX, Queue};
use crate::ports::store::Store;

/// How often a paused intake asks whether the store is back.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes deliveries and starts work on them.
pub struct Intake {
    /// Where they come from.
    pub queue: Arc<dyn Queue>,
    /// Asked whether it is back while intake pauses.
    pub store: Arc<dyn Store>,
    /// What works on them.
    pub pipeline: Arc<Pipeline>,
    /// Keeps them ours.
    pub keeper: Arc<Keeper>,
    /// Memory for messages.
    pub messages: Pool,
    /// How many deliveries may be in hand.
    pub hands: Hands,
    /// Looks past busy teams' messages, where the queue does not choose by team.
    pub looking: Option<Arc<Looking>>,
    /// Nothing is taken while somebody must be alone.
    pub isolation: Isolation,
    /// Everything that was started; waited for by the worker.
    pub started: Started,
    /// When to end.
    pub stop: Stop,
    /// What was done so far.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
}

/// How long a delivery that was looked at waits for a place before it is put off.
const PLACE_WITHIN: Duration = Duration::from_secs(5);

/// What a delivery is received with.
enum Leave {
    /// A place: it begins.
    Begin(Hand),
    /// A look: what becomes of it is seen then.
    Look(Arc<Looking>, OwnedSemaphorePermit),
}

/// When intake ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Never: only by being stopped.
    Stopped,
    /// When the queue is empty and nothing is in hand.
    Empty,
}

impl Intake {
    /// Takes deliveries until stopped, or until there are none.
    pub async fn run(&self, until: Until) {
        let mut failures = 0;
        let mut empty_since: Option<Instant> = None;
        while !self.stop.has_begun() {
            let Some(room) = self.stop.unless_begun(self.room()).await else {
                break;
            };
            let Some(received) = self.stop.unless_begun(self.queue.receive(room.len())).await else {
                break;
            };
            match received {
                Ok(deliveries) => {
                    failures = 0;
                    self.gates.queue.came_back();
                    if !deliveries.is_empty() {
                        empty_since = None;
                        self.start(deliveries, room);
                        continue;
                    }
                }
                Err(error) => {
                    self.gates.queue.went_down(&error);
                    failures += 1;
                    let _ = self.stop.unless_begun(sleep(wait_after(failures))).await;
                    empty_since = None;
                    continue;
                }
            }
            drop(room);
            if until == Until::Empty && self.is_empty(&mut empty_since).await {
                break;
            }
        }
    }

    /// Waits for room: leave for at least one delivery, memory for its message, and everything it will need.
    async fn room(&self) -> Vec<(Leave, Grant)> {
        self.isolation.nobody_is_alone().await;
        let most = self.pause_while_away().await;
        let first = self.leave().await;
        let grant = self.messages.take(MESSAGE_BYTES_MAX).await.expect("the pool has room for one message");
        let mut room = vec![(first, grant)];
        while room.len() < most
            && let Some(leave) = self.leave_now()
            && let Some(grant) = self.messages.try_take(MESSAGE_BYTES_MAX)
        {
            room.push((leave, grant));
        }
        room
    }

    async fn leave(&self) -> Leave {
        match &self.looking {
            None => Leave::Begin(self.hands.take().await),
            Some(looking) => {
                let permit = looking.take_room().await;
                Leave::Look(Arc::clone(looking), permit)
            }
        }
    }

    fn leave_now(&self) -> Option<Leave> {
        match &self.looking {
            None => self.hands.try_take().map(Leave::Begin),
            Some(looking) => {
                let permit = looking.try_take_room()?;
                Some(Leave::Look(Arc::clone(looking), permit))
            }
        }
    }

    /// Waits while something is away and returns how many deliveries may be taken then.
    async fn pause_while_away(&self) -> usize {
        while self.is_short_of_something() {
            if self.gates.store.is_down() && self.store.check().await.is_ok() {
                self.gates.store.came_back();
                continue;
            }
            // The broker's and the directory's gates are opened by the work in hand that waits for them; with none in hand
            // nobody would ask, so one delivery is let through to find out.
            if !self.gates.store.is_down() && self.tally.in_hand.load(Relaxed) == 0 {
                return 1;
            }
            sleep(PAUSE).await;
        }
        usize::MAX
    }

    /// Whether something is away that every task needs. The queue's own absence shows in `receive`.
    fn is_short_of_something(&self) -> bool {
        let Gates { queue: _, way_out: _, store, teams, events, webhooks } = &self.gates;
        [store, teams, events, webhooks].into_iter().any(|gate| gate.is_down())
    }

    fn start(&self, deliveries: Vec<Delivery>, room: Vec<(Leave, Grant)>) {
        debug_assert!(deliveries.len() <= room.len(), "a queue never gives more than there is room for");
        for (delivery, (leave, mut grant)) in deliveries.into_iter().zip(room) {
            grant.shrink_to(delivery.message.body.len());
            let held = self.keeper.hold(delivery.lease.clone());
            match leave {
                Leave::Begin(hand) => self.begin(delivery, held.at(hand), grant),
                Leave::Look(looking, permit) => self.look(delivery, held, (grant, permit), looking),
            }
        }
    }

    fn begin(&self, delivery: Delivery, held: Held, grant: Grant) {
        let pipeline = Arc::clone(&self.pipeline);
        self.spawn(async move {
            pipeline.run(delivery, held).await;
            drop(grant);
        });
    }

    /// Looks whose a delivery is: it begins as soon as there is a place, or goes behind.
    fn look(&self, delivery: Delivery, held: Held, taken: (Grant, OwnedSemaphorePermit), looking: Arc<Looking>) {
        let team = whose(&delivery.message.body, &delivery.message.attributes);
        let Some(team) = team else { return self.begin_at_its_place(delivery, held, taken, None) };
        let moving = looking.try_take_move();
        let Choice::PutOff(delay) = looking.choose(&team, moving.is_some()) else {
            return self.begin_at_its_place(delivery, held, taken, Some(looking.of_team(team)));
        };
        debug!(%team, ?delay, "putting a message off: its team has its share in hand");
        if looking.is_short_of_places() {
            self.hands.was_missed();
        }
        let ((grant, looked_at), pipeline) = (taken, Arc::clone(&self.pipeline));
        self.spawn(async move {
            let moving = match moving {
                Some(moving) => Some(moving),
                None => pipeline.stop.unless_cut(looking.take_move_within(PLACE_WITHIN)).await.flatten(),
            };
            drop(looked_at);
            // Where others cannot be moved it goes back as it came, and may begin when it comes again.
            let delay = if moving.is_some() { delay } else { Duration::ZERO };
            pipeline.put_off(&held, delay).await;
            drop((grant, moving));
        });
    }

    /// Begins as soon as there is a place; a delivery that waits for it too long goes back.
    fn begin_at_its_place(
        &self, delivery: Delivery, held: Held, (grant, looked_at): (Grant, OwnedSemaphorePermit),
        of_team: Option<OfTeam>,
    ) {
        let (pipeline, hands) = (Arc::clone(&self.pipeline), self.hands.clone());
        let held = held.counted_by(of_team);
        // Taken here, so that the next delivery that is looked at sees it taken.
        let hand = self.hands.try_take();
        self.spawn(async move {
            let hand = match hand {
                Some(hand) => Ok(hand),
                None => timeout(PLACE_WITHIN, hands.take()).await,
            };
            match hand {
                Ok(hand) => {
                    drop(looked_at);
                    pipeline.run(delivery, held.at(hand)).await;
                }
                Err(_) => pipeline.put_off(&held, Duration::ZERO).await,
            }
            drop(grant);
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let tally = Arc::clone(&self.tally);
        self.started.spawn(async move {
            let _counted = Counted::one(&tally.in_hand);
            work.await;
        });
    }

    /// Whether the queue has been empty, with nothing in hand, for as long as its counts may lag behind.
    async fn is_empty(&self, empty_since: &mut Option<Instant>) -> bool {
        let seen = match self.queue.depth().await {
            Ok(depth) => depth.total() == 0 && self.started.is_empty(),
            Err(error) => {
                debug!(%error, "the queue could not be counted");
                false
            }
        };
        if !seen {
            *empty_since = None;
            let _ = self.stop.unless_begun(sleep(Duration::from_millis(20))).await;
            return false;
        }
        empty_since.get_or_insert_with(Instant::now).elapsed() >= self.queue.count_lag()
    }
}
