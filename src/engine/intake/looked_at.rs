//! What becomes of a delivery that was received only to be looked at.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::Intake;
use crate::domain::message::whose;
use crate::engine::lease::Held;
use crate::engine::line::{InLine, Turn};
use crate::engine::looking::{Looking, OfTeam, Seen};
use crate::engine::memory::Grant;
use crate::engine::pipeline::Pipeline;
use crate::ports::queue::Delivery;

/// How long a delivery that was looked at waits for a place before it is put off.
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// How long one waits in line, which was expected to wait for half of it at most.
const TURN_WITHIN: Duration = Duration::from_secs(2);

impl Intake {
    /// Looks whose a delivery is: it begins as soon as there is a place, waits in line, or goes behind.
    pub(super) fn look(
        &self, delivery: Delivery, held: Held, taken: (Grant, OwnedSemaphorePermit), looking: Arc<Looking>,
    ) {
        let team = whose(&delivery.message.body, &delivery.message.attributes);
        let Some(team) = team else { return self.begin_at_its_place(delivery, held, taken, None) };
        let moving = looking.try_take_move();
        match looking.choose(&team, moving.is_some()) {
            Seen::Begins(of_team) => self.begin_at_its_place(delivery, held, taken, Some(of_team)),
            Seen::Waits(in_line) => {
                self.say_short_of_places(&looking);
                let (grant, _looked_at) = taken;
                self.wait_in_line(delivery, held, grant, in_line, looking);
            }
            Seen::GoesBehind(delay) => {
                self.say_short_of_places(&looking);
                debug!(%team, ?delay, "putting a message off: its team has its share in hand");
                let (pipeline, (grant, looked_at)) = (Arc::clone(&self.pipeline), taken);
                self.spawn(async move {
                    let moving = move_soon(&pipeline, &looking, moving).await;
                    drop(looked_at);
                    go_behind(&pipeline, &held, delay, moving).await;
                    drop(grant);
                });
            }
        }
    }

    /// Waits in hand for the team's turn; goes behind when that takes long, and back when we are told to take no more.
    fn wait_in_line(&self, delivery: Delivery, held: Held, grant: Grant, in_line: InLine, looking: Arc<Looking>) {
        let pipeline = Arc::clone(&self.pipeline);
        self.spawn(async move {
            match pipeline.stop.unless_begun(in_line.turn(TURN_WITHIN)).await {
                Some(Turn::Begins(hand, of_team)) => {
                    pipeline.run(delivery, held.at(hand)).await;
                    drop((grant, of_team));
                    return;
                }
                Some(Turn::GoesBehind(delay)) => {
                    let moving = move_soon(&pipeline, &looking, None).await;
                    go_behind(&pipeline, &held, delay, moving).await;
                }
                None => pipeline.put_off(&held, Duration::ZERO).await,
            }
            drop(grant);
        });
    }

    /// Begins as soon as there is a place; a delivery that waits for it too long goes back.
    fn begin_at_its_place(
        &self, delivery: Delivery, held: Held, (grant, looked_at): (Grant, OwnedSemaphorePermit),
        of_team: Option<OfTeam>,
    ) {
        let (pipeline, hands) = (Arc::clone(&self.pipeline), self.hands.clone());
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
            drop((grant, of_team));
        });
    }

    /// Lets who comes forward slowly step aside where places are wanted.
    fn say_short_of_places(&self, looking: &Looking) {
        if looking.is_short_of_places() {
            self.hands.was_missed();
        }
    }
}

/// Leave to put one more delivery off; none within some seconds.
async fn move_soon(
    pipeline: &Pipeline, looking: &Looking, moving: Option<OwnedSemaphorePermit>,
) -> Option<OwnedSemaphorePermit> {
    match moving {
        Some(moving) => Some(moving),
        None => pipeline.stop.unless_cut(looking.take_move_within(PLACE_WITHIN)).await.flatten(),
    }
}

/// Puts a delivery off. Where others cannot be moved it goes back as it came, and may begin when it comes again.
async fn go_behind(pipeline: &Pipeline, held: &Held, delay: Duration, moving: Option<OwnedSemaphorePermit>) {
    let delay = if moving.is_some() { delay } else { Duration::ZERO };
    pipeline.put_off(held, delay).await;
    drop(moving);
}
