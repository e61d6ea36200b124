//! Fetches through real proxies, and from an address of our own. The proxy's own log says what it was asked for.

use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::fetch::http::HttpFetcher;
use longshore::adapters::fetch::{EgressProxy, HttpOptions, WayOut};
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::team::Team;
use longshore::ports::fetcher::{Fetcher, Want};

use super::hostile::{Secret, check, guarded};
use super::hostile_urls::{names, urls};
use super::server::{Server, Step, answer, redirect};
use super::tls::{roots, serving};
use super::{Ledger, Script, fetcher_with, open, options, read, request};
use crate::scenario::proxy::{Kind, PASSWORD, Proxy, USER};

const KINDS: [Kind; 2] = [Kind::Http, Kind::Socks];

fn through(url: &str, options: HttpOptions) -> HttpOptions {
    HttpOptions { way_out: WayOut::Proxy(EgressProxy::parse(&url.parse().unwrap()).unwrap()), ..options }
}

/// A fetcher that reaches 127.0.0.2 only, which stands for the public, through `proxy`.
fn behind(proxy: &Proxy, names: &Arc<Script>) -> HttpFetcher {
    fetcher_with(through(&proxy.url(), guarded()), Arc::clone(names), Arc::default())
}

async fn fault(fetcher: &HttpFetcher, url: &str) -> AttachmentFault {
    let fault = open(fetcher, url, Want::Body).await.expect_err("nobody is reached");
    assert!(!fault.message.contains(USER) && !fault.message.contains(PASSWORD), "{}", fault.message);
    fault
}

#[tokio::test]
async fn a_proxy_is_asked_for_addresses_and_the_host_hears_its_name() {
    for kind in KINDS {
        let proxy = Proxy::start(kind).await;
        let server = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"open")).await;
        let fetcher = behind(&proxy, &names());
        let (address, port) = (server.address.to_string(), server.address.port());
        let fetched = open(&fetcher, &format!("http://open.test:{port}/a?secret"), Want::Body).await.unwrap();
        assert_eq!(fetched.hops[0].address, Some(server.address.ip()), "of the host, not of the proxy");
        assert_eq!(read(&fetcher, &server.url("/b")).await.unwrap(), b"open");
        let seen: Vec<_> =
            server.seen().iter().map(|asked| (asked.target.clone(), asked.fields["host"].clone())).collect();
        assert_eq!(seen, [("/a?secret".into(), format!("open.test:{port}")), ("/b".into(), address.clone())]);
        assert_eq!(proxy.asked_for(), [address.clone(), address], "{kind:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_host_and_by_its_name() {
    for kind in KINDS {
        let proxy = Proxy::start(kind).await;
        let server = serving(answer(200, "", b"private")).await;
        let names = Script::new(&[("tls.test", &[&["127.0.0.1"]]), ("other.test", &[&["127.0.0.1"]])]);
        let fetcher =
            HttpFetcher::with(through(&proxy.url(), options()), Arc::<Ledger>::default(), names, roots()).unwrap();
        let url = |host: &str| format!("https://{host}:{}/?secret", server.port);
        assert_eq!(read(&fetcher, &url("tls.test")).await.unwrap(), b"private");
        assert_eq!(read(&fetcher, &url("other.test")).await, Err(Code::TlsInvalid));
        let address = format!("127.0.0.1:{}", server.port);
        assert_eq!(proxy.asked_for(), [address.clone(), address]);
    }
}

#[tokio::test]
async fn no_hostile_url_reaches_a_listener_behind_a_proxy() {
    for kind in KINDS {
        let (proxy, secret) = (Proxy::start(kind).await, Secret::start().await);
        let fetcher = behind(&proxy, &names());
        for url in urls(secret.port) {
            check(&fetcher, &url, Code::BadUrl).await;
        }
        assert_eq!((secret.reached(), proxy.asked_for()), (0, vec![]));
    }
}

#[tokio::test]
async fn redirects_are_checked_behind_a_proxy_too() {
    let (proxy, secret) = (Proxy::start(Kind::Http).await, Secret::start().await);
    let to = format!("http://loop.test:{}/", secret.port);
    let open = Server::start_on("127.0.0.2:0", move |_| redirect(302, &to)).await;
    let fetcher = behind(&proxy, &names());
    assert_eq!(read(&fetcher, &open.url("/")).await, Err(Code::BlockedAddress));
    assert_eq!((open.seen().len(), secret.reached()), (1, 0));
    let record = Team { allowed_hosts: vec!["open.test".into()], ..Team::default() };
    let asked = request(&open.url("/"), Want::Body, record).unwrap();
    assert_eq!(fetcher.open(asked).await.expect_err("not listed").code, Code::BlockedAddress);
    assert_eq!(proxy.asked_for(), [open.address.to_string()]);
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_checked_at_each_connection_through_a_proxy() {
    for kind in KINDS {
        let (proxy, secret) = (Proxy::start(kind).await, Secret::start().await);
        let open = Server::start_on(&format!("127.0.0.2:{}", secret.port), |_| answer(200, "", b"open")).await;
        let names = names();
        let fetcher = behind(&proxy, &names);
        let url = format!("http://rebind.test:{}/", secret.port);
        assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
        assert_eq!(read(&fetcher, &url).await, Err(Code::BlockedAddress));
        assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
        assert_eq!(names.asked.lock().unwrap().len(), 3, "one look-up for each connection");
        assert_eq!((open.connections(), secret.reached()), (2, 0));
        let address = open.address.to_string();
        assert_eq!(proxy.asked_for(), [address.clone(), address]);
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_or_does_not_know_us_is_our_fault() {
    for kind in KINDS {
        let mut proxy = Proxy::start(kind).await;
        let server = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"open")).await;
        let stranger = through(&proxy.url_as("stranger:hush-4c90"), guarded());
        let stranger = fetcher_with(stranger, names(), Arc::default());
        let found = fault(&stranger, &server.url("/")).await;
        assert_eq!((found.code, found.is_of_our_way_out()), (Code::Internal, true), "{kind:?}: {}", found.message);
        proxy.go_away();
        let found = fault(&behind(&proxy, &names()), &server.url("/")).await;
        assert_eq!((found.code, found.is_of_our_way_out()), (Code::Internal, true), "{kind:?}: {}", found.message);
        assert_eq!(server.connections(), 0);
        proxy.come_back().await;
        assert_eq!(read(&behind(&proxy, &names()), &server.url("/")).await.unwrap(), b"open");
    }
}

#[tokio::test]
async fn a_proxy_whose_rules_refuse_an_address_is_neither_away_nor_the_customers_fault() {
    let proxy = Proxy::of_port_443_only().await;
    let server = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"open")).await;
    let found = fault(&behind(&proxy, &names()), &server.url("/")).await;
    assert_eq!((found.code, found.is_of_our_way_out()), (Code::Internal, false), "{}", found.message);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_host_that_the_proxy_does_not_reach_is_the_sources_fault() {
    for kind in KINDS {
        let proxy = Proxy::start(kind).await;
        let gone = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"")).await;
        let url = gone.url("/");
        drop(gone);
        let found = fault(&behind(&proxy, &names()), &url).await;
        assert_eq!((found.code, found.is_unreached), (Code::Unavailable, true), "{kind:?}: {}", found.message);
    }
}

#[tokio::test]
async fn a_host_that_the_proxy_waits_for_is_too_slow() {
    let waiting = Server::saying(vec![Step::Wait(Duration::from_secs(30))]).await;
    let fetcher = fetcher_with(through(&waiting.url(""), guarded()), names(), Arc::default());
    let found = fault(&fetcher, "http://open.test:1/").await;
    assert_eq!((found.code, found.is_of_our_way_out()), (Code::Timeout, false), "{}", found.message);
    assert_eq!(waiting.seen()[0].target, "127.0.0.2:1");
}

#[tokio::test]
async fn a_proxys_own_name_is_resolved_without_the_guard() {
    let proxy = Proxy::start(Kind::Http).await;
    let server = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"open")).await;
    let url = proxy.url().replace("127.0.0.1", "loop.test");
    let fetcher = fetcher_with(through(&url, guarded()), names(), Arc::default());
    assert_eq!(read(&fetcher, &server.url("/")).await.unwrap(), b"open");
    let nobody = fetcher_with(through("http://nobody.test:1", guarded()), names(), Arc::default());
    assert!(fault(&nobody, &server.url("/")).await.is_of_our_way_out());
}

#[tokio::test]
async fn an_address_of_our_own_is_connected_from_and_only_to_its_family() {
    let from = |address: &str| {
        let options = HttpOptions {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            way_out: WayOut::From(address.parse().unwrap()),
            ..options()
        };
        fetcher_with(
            options,
            Script::new(&[("six.test", &[&["::1"]]), ("four.test", &[&["127.0.0.1"]])]),
            Arc::default(),
        )
    };
    let four = Server::saying(answer(200, "", b"four")).await;
    let url = format!("http://four.test:{}/", four.address.port());
    for url in [four.url("/"), url] {
        assert_eq!(read(&from("127.0.0.5"), &url).await.unwrap(), b"four");
    }
    assert!(four.peers().iter().all(|peer| peer.ip().to_string() == "127.0.0.5"), "{:?}", four.peers());
    if let Ok(six) = tokio::net::TcpListener::bind("[::1]:0").await {
        let port = six.local_addr().unwrap().port();
        for url in [format!("http://six.test:{port}/"), format!("http://[::1]:{port}/")] {
            assert_eq!(fault(&from("127.0.0.5"), &url).await.code, Code::Network, "{url}");
        }
        let came = tokio::time::timeout(Duration::from_millis(100), six.accept()).await;
        assert!(came.is_err(), "connected from another address than was set");
    }
    let found = fault(&from("192.0.2.7"), &four.url("/")).await;
    assert!(found.is_of_our_way_out(), "{}: {}", found.code, found.message);
}
