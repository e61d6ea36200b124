//! The way out, with the real program: plain URLs leave by the proxy, buckets do not, and a proxy that is away costs nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::customers::{self, Customers};
use super::proxy::{Kind, PASSWORD, Proxy, USER};
use super::seen::Seen;
use super::tasks::Draw;
use super::world::{Setup, World};
use crate::fetch::server::{Server, answer};

/// Neither the log of a worker nor anything in the store knows what the proxy knows us by.
fn assert_silent(said: &str, seen: &Seen) {
    let kept = seen.kept.values().filter_map(|kept| kept.document.as_deref());
    let kept = kept.map(|document| String::from_utf8_lossy(document).into_owned());
    for text in kept.chain([said.to_owned()]) {
        assert!(!text.contains(USER) && !text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_urls_leave_by_the_proxy_and_buckets_do_not() {
    let proxy = Proxy::start(Kind::Http).await;
    let mut world = World::new(Setup::LocalFile).await;
    world.let_in(Customers::in_the_emulator(&customers::ALL).await);
    world.set("SOURCES__HTTP__EGRESS_PROXY", &proxy.url());
    let mut draw = Draw::of(11, &world);
    let sent = draw.plain(40);
    world.put(&draw.objects()).await;
    world.send(&sent).await;
    let mut worker = world.worker_until_empty();
    worker.ends_with(0, Duration::from_secs(60)).await;
    let (_, seen) = world.all_right("through a proxy", &sent).await;
    assert_silent(&worker.said(), &seen);
    let asked: BTreeSet<_> = proxy.asked_for().into_iter().collect();
    assert_eq!(asked, BTreeSet::from([world.origin.address.to_string()]), "addresses of plain URLs and nothing else");
    assert!(!world.customers.as_ref().unwrap().s3.asked().is_empty(), "no bucket was read");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_goes_away_is_waited_for_and_no_attempt_is_used_up() {
    let mut proxy = Proxy::start(Kind::Http).await;
    proxy.go_away();
    let mut world = World::new(Setup::LocalFile).await;
    world.set("SOURCES__HTTP__EGRESS_PROXY", &proxy.url());
    world.set("QUEUE__MAX_ATTEMPTS", "1");
    world.set("RETRY__TRIES", "1");
    let sent = Draw::new(12, &world.origin).singles(30);
    world.send(&sent).await;
    let mut worker = world.worker_until_empty();
    let began = Instant::now();
    while !worker.said().contains("the way out is away") {
        assert!(worker.is_running() && began.elapsed() < Duration::from_secs(30), "{}", worker.said());
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!((world.receipts().await, world.origin.log("/blob").await.len()), (0, 0));
    proxy.come_back().await;
    worker.ends_with(0, Duration::from_secs(60)).await;
    let (_, seen) = world.all_right("the proxy away and back", &sent).await;
    let said = worker.said();
    assert_silent(&said, &seen);
    assert_eq!((said.matches("the way out is away").count(), said.matches("the way out is back").count()), (1, 1));
    assert!(said.contains("the egress proxy takes no connection"), "{said}");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_out_that_cannot_be_is_a_mistake_of_the_configuration() {
    let world = World::new(Setup::LocalFile).await;
    for (key, value, says) in [
        ("BIND_ADDRESS", "192.0.2.7", "sources.http.bind_address: 192.0.2.7 is no address of this machine"),
        ("EGRESS_PROXY", "socks5h://me:hush@p:1", "sources.http.egress_proxy: has the scheme \"socks5h\""),
        ("EGRESS_PROXY", "http://me:hush@p:1/x", "sources.http.egress_proxy: is followed by a path"),
    ] {
        let said = world.refuses(&["config", "check"], &format!("LONGSHORE__SOURCES__HTTP__{key}"), value).await;
        assert!(said.contains(says) && !said.contains("hush"), "{key}={value}: {said}");
    }
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_leave_from_the_address_that_was_set() {
    let server = Server::saying(answer(200, "", b"tomato")).await;
    let mut world = World::new(Setup::LocalFile).await;
    world.set("SOURCES__HTTP__BIND_ADDRESS", "127.0.0.77");
    let list = world.folder.path().join("list.csv");
    std::fs::write(&list, format!("url\n{}\n", server.url("/a.txt"))).unwrap();
    world.says(&["import", list.to_str().unwrap(), "--team", "acme"]).await;
    let from: Vec<_> = server.peers().iter().map(|peer| peer.ip().to_string()).collect();
    assert_eq!(from, ["127.0.0.77"]);
    world.clear().await;
}
