//! The sender alone: the guard, redirects, slow and endless answers, and what an endpoint asks for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore::adapters::fetch::resolve::{Names, SystemNames};
use longshore::adapters::fetch::webhook::{HttpWebhook, WebhookOptions};
use longshore::adapters::fetch::{EgressProxy, WayOut, system_roots};
use longshore::ports::webhook::{Answered, Post, PostError, Reach, Webhook};
use longshore::testing::contracts::webhook::{Told, WebhookFixture};
use tokio::time::Instant;

use super::receiver::{Does, Receiver};
use crate::fetch::hostile::Secret;
use crate::fetch::hostile_urls::{names, urls};
use crate::scenario::proxy::{Kind, PASSWORD, Proxy};

const TIMEOUT: Duration = Duration::from_millis(700);

fn sender(allow: &[&str], names: Arc<dyn Names>) -> HttpWebhook {
    sender_by(WayOut::Direct, allow, names)
}

fn sender_by(way_out: WayOut, allow: &[&str], names: Arc<dyn Names>) -> HttpWebhook {
    let options = WebhookOptions {
        allow_networks: allow.iter().map(|network| network.parse().unwrap()).collect(),
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        way_out,
    };
    HttpWebhook::with(&options, names, system_roots()).unwrap()
}

fn post(url: &str) -> Post {
    Post {
        url: url.parse().unwrap(),
        fields: vec![("webhook-id", "evt_1".to_owned())],
        content_type: "application/json",
        body: "{}".into(),
        reach: Reach::Public,
    }
}

/// Names that lie.
struct Lying;

#[async_trait]
impl Names for Lying {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(match host {
            "inside.test" => vec!["127.0.0.1".parse().unwrap()],
            "mixed.test" => vec!["8.8.8.8".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            "mapped.test" => vec!["::ffff:127.0.0.1".parse().unwrap()],
            "metadata.test" => vec!["169.254.169.254".parse().unwrap()],
            "public.test" => vec!["8.8.8.8".parse().unwrap()],
            _ => return Err(io::Error::other("no such name")),
        })
    }
}

async fn check_blocked(sender: &HttpWebhook, url: &str, reach: Reach) {
    let answered = sender.post(Post { reach, ..post(url) }).await;
    assert!(matches!(answered, Err(PostError::Blocked(_))), "{url}: {answered:?}");
}

#[tokio::test]
async fn no_internal_address_is_reached_by_literal_or_by_name() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let sender = sender(&[], Arc::new(Lying));
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "inside.test",
        "mixed.test",
        "mapped.test",
        "metadata.test",
        "metadata.google.internal",
    ] {
        check_blocked(&sender, &format!("http://{host}:{port}/x"), Reach::Public).await;
    }
    assert!(receiver.received("/x").is_empty());
}

#[tokio::test]
async fn what_nobody_may_read_goes_to_allowed_networks_only() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let sender = sender(&["127.0.0.0/8"], Arc::new(Lying));
    for host in ["8.8.8.8", "public.test", "mixed.test", "metadata.test"] {
        check_blocked(&sender, &format!("http://{host}:{port}/x"), Reach::AllowedOnly).await;
    }
    for host in ["127.0.0.1", "inside.test"] {
        let url = format!("http://{host}:{port}/y");
        let answered = sender.post(Post { reach: Reach::AllowedOnly, ..post(&url) }).await;
        assert_eq!(answered, Ok(Answered { status: 200, retry_after: None }), "{host}");
    }
    assert!(receiver.received("/x").is_empty() && receiver.received("/y").len() == 2);
}

#[tokio::test]
async fn every_status_is_an_answer_and_a_redirect_too() {
    let receiver = Receiver::start().await;
    let sender = sender(&["127.0.0.0/8"], Arc::new(SystemNames::default()));
    for status in [200, 204, 304, 400, 410, 429, 500, 599] {
        receiver.script("/x", &[Does::Answers(status, "")]);
        let answered = sender.post(post(&receiver.url("/x"))).await;
        assert_eq!(answered.map(|answered| answered.status), Ok(status));
    }
    receiver.script("/x", &[Does::Redirects(receiver.url("/y"))]);
    assert_eq!(sender.post(post(&receiver.url("/x"))).await.map(|answered| answered.status), Ok(302));
    assert!(receiver.received("/y").is_empty());
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms_and_has_an_end() {
    let receiver = Receiver::start().await;
    let sender = sender(&["127.0.0.0/8"], Arc::new(SystemNames::default()));
    for (line, expected) in [
        ("Retry-After: 7\r\n", Some(7)),
        ("Retry-After: 0\r\n", Some(0)),
        ("Retry-After: 999999999999999999999\r\n", Some(86_400)),
        ("Retry-After: Mon, 01 Jan 2024 00:00:00 GMT\r\n", Some(0)),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: -5\r\n", None),
        ("", None),
    ] {
        receiver.script("/x", &[Does::Answers(503, line)]);
        let answered = sender.post(post(&receiver.url("/x"))).await.unwrap();
        assert_eq!(answered.retry_after, expected.map(Duration::from_secs), "{line:?}");
    }
}

#[tokio::test]
async fn who_never_answers_is_given_up_in_time() {
    let receiver = Receiver::start().await;
    receiver.script("/x", &[Does::Hangs]);
    let sender = sender(&["127.0.0.0/8"], Arc::new(SystemNames::default()));
    let began = Instant::now();
    let answered = sender.post(post(&receiver.url("/x"))).await;
    assert!(matches!(answered, Err(PostError::TimedOut(_))), "{answered:?}");
    assert!(began.elapsed() < TIMEOUT * 4);
    receiver.goes_down();
    let answered = sender.post(post(&receiver.url("/x"))).await;
    assert!(matches!(answered, Err(PostError::Unreachable(_))), "{answered:?}");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_an_answer_all_the_same() {
    let receiver = Receiver::start().await;
    receiver.script("/x", &[Does::Drips]);
    let sender = sender(&["127.0.0.0/8"], Arc::new(SystemNames::default()));
    let began = Instant::now();
    assert_eq!(sender.post(post(&receiver.url("/x"))).await.map(|answered| answered.status), Ok(200));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn the_request_says_what_it_must_and_errors_quote_no_query() {
    let receiver = Receiver::start().await;
    let sender = sender(&["127.0.0.0/8"], Arc::new(SystemNames::default()));
    sender.post(post(&receiver.url("/x?token=hush"))).await.unwrap();
    let received = receiver.received("/x").remove(0);
    assert_eq!((received.method.as_str(), received.body.as_slice()), ("POST", &b"{}"[..]));
    assert_eq!((received.header("webhook-id"), received.header("content-type")), ("evt_1", "application/json"));
    assert!(received.header("user-agent").starts_with("longshore/"));
    for name in ["referer", "cookie", "traceparent", "authorization"] {
        assert_eq!(received.header(name), "", "{name}");
    }
    receiver.goes_down();
    let error = sender.post(post(&receiver.url("/x?token=hush"))).await.unwrap_err();
    assert!(!error.to_string().contains("hush"), "{error}");
}

/// The sender and a server of the test's own.
struct OverHttp {
    sender: Arc<HttpWebhook>,
    receiver: Receiver,
}

#[async_trait]
impl WebhookFixture for OverHttp {
    async fn fresh() -> Self {
        let sender = Arc::new(sender(&["127.0.0.0/8"], Arc::new(SystemNames::default())));
        Self { sender, receiver: Receiver::start().await }
    }

    fn sender(&self) -> Arc<dyn Webhook> {
        Arc::clone(&self.sender) as _
    }

    async fn endpoint(&self, name: &str, told: Told) -> String {
        let does = match told {
            Told::Answers(status, None) => Does::Answers(status, ""),
            Told::Answers(status, Some(_)) => Does::Answers(status, "Retry-After: 7\r\n"),
            Told::Hangs => Does::Hangs,
            // Port 1 is nobody's.
            Told::Refuses => return format!("http://127.0.0.1:1/{name}"),
        };
        self.receiver.script(&format!("/{name}"), &[does]);
        self.receiver.url(&format!("/{name}"))
    }

    async fn bodies(&self, name: &str) -> Vec<Vec<u8>> {
        self.receiver.received(&format!("/{name}")).into_iter().map(|received| received.body).collect()
    }
}

longshore::webhook_contract!(OverHttp, #[tokio::test]);

#[tokio::test]
async fn no_hostile_url_gets_a_webhook() {
    let secret = Secret::start().await;
    let sender = sender(&["127.0.0.2/32"], names());
    let hostile: Vec<String> = urls(secret.port).into_iter().filter(|url| url::Url::parse(url).is_ok()).collect();
    assert!(hostile.len() >= 300, "{}", hostile.len());
    for reach in [Reach::Public, Reach::AllowedOnly] {
        for url in &hostile {
            check_blocked(&sender, url, reach).await;
        }
    }
    assert_eq!(secret.reached(), 0);
}

#[tokio::test]
async fn webhooks_leave_by_the_proxy_and_the_guard_holds_behind_it() {
    let (mut proxy, receiver) = (Proxy::start(Kind::Http).await, Receiver::start().await);
    let way_out = WayOut::Proxy(EgressProxy::parse(&proxy.url().parse().unwrap()).unwrap());
    let sender = sender_by(way_out, &["127.0.0.0/8"], Arc::new(Lying));
    let url = receiver.url("/hook");
    for reach in [Reach::Public, Reach::AllowedOnly] {
        assert_eq!(sender.post(Post { reach, ..post(&url) }).await.unwrap().status, 200);
    }
    for url in ["http://metadata.test/", "http://[fd00::1]/", "http://10.0.0.1/"] {
        check_blocked(&sender, url, Reach::Public).await;
    }
    check_blocked(&sender, "http://public.test/", Reach::AllowedOnly).await;
    let address = url.parse::<url::Url>().unwrap().socket_addrs(|| None).unwrap()[0].to_string();
    assert!(proxy.asked_for().iter().all(|asked| *asked == address), "{:?}", proxy.asked_for());
    proxy.go_away();
    // Another host, so that no connection is there already.
    let answered = sender.post(post("http://inside.test:1/hook")).await;
    assert!(matches!(&answered, Err(PostError::NoWayOut(why)) if !why.contains(PASSWORD)), "{answered:?}");
}
