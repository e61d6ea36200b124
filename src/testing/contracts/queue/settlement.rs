//! How deliveries end, but for dead letters.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    CLOCK_STEP, Client, LONG_LEASE, PATIENCE, QueueFixture, SHORT_LEASE, assert_is, id_of, nothing_comes, outgoing,
    send, settle, take, take_one,
};
use crate::domain::settlement::Settlement;
use crate::ports::queue::QueueError;

/// What counts as soon.
const SOON: Duration = Duration::from_secs(10);

const AT_ONCE: Settlement = Settlement::HandBack { delay: Duration::ZERO };

/// A message that is done never comes again, not even when its lease would have ended.
pub async fn done_removes_the_message<F: QueueFixture>() {
    let fixture = F::fresh(SHORT_LEASE).await;
    let client = fixture.client().await;
    send(&client, &["a"]).await;
    let delivery = take_one(&client).await;
    settle(&client, &delivery, &Settlement::Done).await;
    nothing_comes(&client, SHORT_LEASE + SHORT_LEASE / 2, "the message is done").await;
    fixture.lose_leases(&client).await;
    nothing_comes(&client, Duration::from_millis(300), "the message is done").await;
}

/// A retry comes after its delay, not before, with the attempts it was given and a clean slate of unfinished deliveries.
pub async fn a_retry_counts_the_attempt_and_waits<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a"]).await;
    let mut delivery = take_one(&client).await;
    for attempts in 1..=3 {
        let delay = F::short_delay();
        settle(&client, &delivery, &Settlement::Retry { attempts, delay }).await;
        delivery = comes_after::<F>(&client, delay).await;
        assert_is(&delivery, &outgoing("a"));
        assert_eq!(delivery.attempts, attempts, "attempts are counted");
        assert_eq!(delivery.unfinished, 0, "a counted attempt is no unfinished delivery");
        assert!(!delivery.is_first());
    }
    settle(&client, &delivery, &Settlement::Retry { attempts: 4, delay: Duration::ZERO }).await;
    assert_eq!(take_one(&client).await.attempts, 4, "without a delay it comes at once");
}

async fn comes_after<F: QueueFixture>(client: &Client, delay: Duration) -> crate::ports::queue::Delivery {
    let settled_at = Instant::now();
    let delivery = take_one(client).await;
    let waited = settled_at.elapsed();
    // The settlement itself took a while before the clock was read here.
    assert!(waited + CLOCK_STEP + delay / 4 >= delay, "it came after {waited:?}, before its delay of {delay:?}");
    assert!(waited <= delay + F::delay_slack(), "it came after {waited:?}, long after its delay of {delay:?}");
    delivery
}

/// A message with a long delay stands in nobody's way: neither a visible message's nor one with a short delay.
pub async fn a_long_delay_holds_up_no_other_message<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["long", "short", "none"]).await;
    let deliveries = take(&client, 3).await;
    let by_id = |id: &str| deliveries.iter().find(|d| id_of(d) == id).expect("all three came");
    let retry = |delay| Settlement::Retry { attempts: 1, delay };
    settle(&client, by_id("id-long"), &retry(F::long_delay())).await;
    settle(&client, by_id("id-short"), &retry(F::short_delay())).await;
    let settled_at = Instant::now();
    settle(&client, by_id("id-none"), &AT_ONCE).await;
    assert_eq!(id_of(&take_one(&client).await), "id-none");
    assert_eq!(id_of(&take_one(&client).await), "id-short");
    assert!(settled_at.elapsed() <= F::short_delay() + F::delay_slack(), "the long delay held up the short one");
    nothing_comes(&client, Duration::from_millis(500), "only the long delay is left").await;
}

/// What waits long is not due soon; what is held, there or comes soon is.
pub async fn what_waits_long_is_not_due_soon<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    due_becomes(&client, 0).await;
    send(&client, &["long", "soon", "held"]).await;
    due_becomes(&client, 3).await;
    let deliveries = take(&client, 3).await;
    let by_id = |id: &str| deliveries.iter().find(|d| id_of(d) == id).expect("all three came");
    let retry = |delay| Settlement::Retry { attempts: 1, delay };
    settle(&client, by_id("id-long"), &retry(F::long_delay())).await;
    settle(&client, by_id("id-soon"), &retry(SOON / 2)).await;
    due_becomes(&client, 2).await;
    settle(&client, by_id("id-held"), &Settlement::Done).await;
    due_becomes(&client, 1).await;
    let soon = take_one(&client).await;
    assert_eq!(id_of(&soon), "id-soon");
    settle(&client, &soon, &Settlement::Done).await;
    due_becomes(&client, 0).await;
}

async fn due_becomes(client: &Client, expected: u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let due = client.queue.due(SOON).await.expect("a queue counts");
        if due == expected {
            return;
        }
        assert!(Instant::now() < end, "{due} are due soon, not {expected}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A hand-back comes after its delay with as many attempts as before.
pub async fn a_hand_back_counts_no_attempt<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a"]).await;
    settle(&client, &take_one(&client).await, &AT_ONCE).await;
    let delivery = take_one(&client).await;
    assert_eq!(delivery.attempts, 0);
    if F::remembers_hand_backs() {
        assert!(!delivery.is_first(), "somebody has had this message before");
    }
    settle(&client, &delivery, &Settlement::Retry { attempts: 2, delay: Duration::ZERO }).await;
    let delay = F::short_delay();
    settle(&client, &take_one(&client).await, &Settlement::HandBack { delay }).await;
    let delivery = comes_after::<F>(&client, delay).await;
    assert_eq!(delivery.attempts, 2, "attempts stay as they were");
    assert_is(&delivery, &outgoing("a"));
}

/// However often a message is handed back, it does not become suspicious: a paused intake uses nothing up.
pub async fn hand_backs_never_add_up<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a"]).await;
    for _ in 0..6 {
        let delivery = take_one(&client).await;
        assert_eq!(delivery.attempts, 0);
        assert!(delivery.unfinished <= 1, "hand-backs add up to {} unfinished", delivery.unfinished);
        settle(&client, &delivery, &AT_ONCE).await;
    }
}

/// What was put off comes after its delay exactly as it came before: nobody has begun it.
pub async fn what_was_put_off_comes_as_it_came<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a"]).await;
    for _ in 0..4 {
        let delivery = take_one(&client).await;
        assert_is(&delivery, &outgoing("a"));
        assert!(delivery.is_first(), "nobody has begun it: {delivery:?}");
        settle(&client, &delivery, &Settlement::PutOff { delay: F::short_delay() }).await;
    }
    let delivery = comes_after::<F>(&client, F::short_delay()).await;
    settle(&client, &delivery, &Settlement::Retry { attempts: 2, delay: Duration::ZERO }).await;
    settle(&client, &take_one(&client).await, &Settlement::PutOff { delay: F::short_delay() }).await;
    let delivery = take_one(&client).await;
    assert_eq!((delivery.attempts, delivery.unfinished), (2, 0));
    assert_is(&delivery, &outgoing("a"));
}

/// Id, body and attributes are the same after a retry, a hand-back and a lost lease.
pub async fn content_survives_every_way_back<F: QueueFixture>() {
    let fixture = F::fresh(SHORT_LEASE).await;
    let client = fixture.client().await;
    send(&client, &["a"]).await;
    let first = take_one(&client).await;
    settle(&client, &first, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await;
    let second = take_one(&client).await;
    assert_is(&second, &outgoing("a"));
    settle(&client, &second, &AT_ONCE).await;
    assert_is(&take_one(&client).await, &outgoing("a"));
    fixture.lose_leases(&client).await;
    let last = take_one(&client).await;
    assert_is(&last, &outgoing("a"));
    assert_eq!(last.attempts, 1, "attempts survive a lost lease");
    if let (Some(first), Some(last)) = (first.sent_at, last.sent_at) {
        assert_eq!(first, last, "a message was first sent once");
    }
}

/// A second settlement of one delivery does nothing: it is answered with `Ok` or `LeaseLost`.
pub async fn settling_again_changes_nothing<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a"]).await;
    let delivery = take_one(&client).await;
    settle(&client, &delivery, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await;
    for settlement in [AT_ONCE, Settlement::Done, Settlement::Retry { attempts: 9, delay: Duration::ZERO }] {
        let settled = client.queue.settle(&delivery.lease, &settlement).await;
        assert!(matches!(settled, Ok(()) | Err(QueueError::LeaseLost)), "{settlement:?} again: {settled:?}");
    }
    let again = take_one(&client).await;
    assert_eq!(again.attempts, 1, "only the first settlement counts");
    settle(&client, &again, &Settlement::Done).await;
    nothing_comes(&client, Duration::from_millis(500), "there was one message").await;
}
