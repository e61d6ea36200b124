//! The contract of [`Webhook`], for endpoints in memory and over HTTP alike.
//!
//! [`webhook_contract!`](crate::webhook_contract) makes one test of each function.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::ports::webhook::{Answered, Post, PostError, Reach, Webhook};

/// What an endpoint does with whatever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Answers with this status and asks for a wait.
    Answers(u16, Option<Duration>),
    /// Never answers.
    Hangs,
    /// Takes no connection.
    Refuses,
}

/// A sender and endpoints that do as they are told.
#[async_trait]
pub trait WebhookFixture: Sized + Send + Sync + 'static {
    /// Makes a sender that gives a try up after a second or a few.
    async fn fresh() -> Self;

    /// The sender.
    fn sender(&self) -> Arc<dyn Webhook>;

    /// Makes an endpoint called `name` that does as it is told, and returns its URL.
    async fn endpoint(&self, name: &str, told: Told) -> String;

    /// The bodies that came to the endpoint called `name`.
    async fn bodies(&self, name: &str) -> Vec<Vec<u8>>;
}

/// Makes one test of each function of the webhook contract; the second argument is the attributes of each test.
#[macro_export]
macro_rules! webhook_contract {
    (@each $fixture:ty, $test:tt, $($name:ident)+) => {
        $($crate::webhook_contract!(@one $fixture, $test, $name);)+
    };
    (@one $fixture:ty, { $($test:tt)+ }, $name:ident) => {
        $($test)+
        async fn $name() {
            $crate::testing::contracts::webhook::$name::<$fixture>().await;
        }
    };
    ($fixture:ty, $($test:tt)+) => {
        $crate::webhook_contract! { @each $fixture, { $($test)+ },
            every_status_is_an_answer
            a_wish_to_wait_is_handed_on
            one_call_is_one_try
            who_never_answers_is_given_up
            who_takes_no_connection_is_unreachable
            one_that_hangs_holds_up_no_other
        }
    };
}

fn post(url: &str, body: &str) -> Post {
    Post {
        url: url.parse().expect("a fixture's URL"),
        fields: vec![("webhook-id", "evt_1".to_owned())],
        content_type: "application/json",
        body: body.to_owned().into_bytes().into(),
        reach: Reach::Public,
    }
}

async fn answered<F: WebhookFixture>(fixture: &F, told: Told) -> Result<Answered, PostError> {
    let url = fixture.endpoint("one", told).await;
    fixture.sender().post(post(&url, "{}")).await
}

/// Whatever the status, redirects too.
pub async fn every_status_is_an_answer<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    for status in [200, 204, 301, 302, 307, 400, 404, 410, 429, 500, 503] {
        let answered = answered(&fixture, Told::Answers(status, None)).await;
        assert_eq!(answered, Ok(Answered { status, retry_after: None }));
    }
}

/// As a span from now.
pub async fn a_wish_to_wait_is_handed_on<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    let wait = Some(Duration::from_secs(7));
    assert_eq!(answered(&fixture, Told::Answers(503, wait)).await, Ok(Answered { status: 503, retry_after: wait }));
}

/// Nothing is repeated, not even what failed, and the body comes as it was.
pub async fn one_call_is_one_try<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    let url = fixture.endpoint("one", Told::Answers(503, None)).await;
    for body in ["{\"a\":1}", "Größe"] {
        let answered = fixture.sender().post(post(&url, body)).await;
        assert!(answered.is_ok());
    }
    assert_eq!(fixture.bodies("one").await, ["{\"a\":1}".as_bytes(), "Größe".as_bytes()]);
}

/// What was sent may have arrived.
pub async fn who_never_answers_is_given_up<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    let began = Instant::now();
    let answered = answered(&fixture, Told::Hangs).await;
    assert!(matches!(answered, Err(PostError::TimedOut(_))), "{answered:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Nothing was sent.
pub async fn who_takes_no_connection_is_unreachable<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    let answered = answered(&fixture, Told::Refuses).await;
    assert!(matches!(answered, Err(PostError::Unreachable(_))), "{answered:?}");
    assert!(fixture.bodies("one").await.is_empty());
}

/// Tries run beside each other.
pub async fn one_that_hangs_holds_up_no_other<F: WebhookFixture>() {
    let fixture = F::fresh().await;
    let (hangs, quick) =
        (fixture.endpoint("hangs", Told::Hangs).await, fixture.endpoint("quick", Told::Answers(200, None)).await);
    let sender = fixture.sender();
    let hanging = (0..20).map(|_| sender.post(post(&hangs, "{}")));
    let mut hanging = std::pin::pin!(futures::future::join_all(hanging));
    let quick = sender.post(post(&quick, "{}"));
    tokio::select! {
        biased;
        _ = &mut hanging => panic!("those that hang ended first"),
        answered = quick => assert!(answered.is_ok(), "{answered:?}"),
    }
}
