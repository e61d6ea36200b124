//! Redirects: which are followed, who pays, who gets the password.

use std::sync::Arc;

use longshore::domain::fault::Code;
use longshore::domain::source::Place;
use longshore::domain::team::Team;
use longshore::ports::fetcher::{Fetcher, Want};

use super::server::{Server, answer, redirect};
use super::{Ledger, Script, fetcher, fetcher_with, open, options, read, request};

/// Redirects `/N` to `/N-1`, and gives a body at `/0`.
async fn stairs() -> Server {
    Server::start(|asked| match asked.target[1..].parse::<u32>() {
        Ok(0) => answer(200, "", b"down"),
        Ok(n) => redirect([301, 302, 303, 307, 308][n as usize % 5], &format!("/{}", n - 1)),
        Err(_) => answer(404, "", b""),
    })
    .await
}

#[tokio::test]
async fn five_redirects_are_followed_and_the_sixth_is_too_many() {
    let (server, ledger) = (stairs().await, Arc::<Ledger>::default());
    let fetcher = fetcher_with(options(), Script::new(&[]), Arc::clone(&ledger));
    assert_eq!(read(&fetcher, &server.url("/5")).await.unwrap(), b"down");
    assert_eq!(ledger.requests.lock().unwrap().len(), 6);
    assert_eq!(*ledger.bytes.lock().unwrap(), 4);
    assert_eq!(read(&fetcher, &server.url("/6")).await, Err(Code::TooManyRedirects));
    assert_eq!(server.seen().len(), 12);
    let none = longshore::adapters::fetch::HttpOptions { max_redirects: 0, ..options() };
    assert_eq!(read(&super::fetcher(none), &server.url("/1")).await, Err(Code::TooManyRedirects));
}

#[tokio::test]
async fn the_story_names_each_hop_without_its_secrets_and_each_host_pays_its_own() {
    let last = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"x")).await;
    let to = last.url("/end?secret#part");
    let first = Server::start(move |_| redirect(302, &to)).await;
    let ledger = Arc::<Ledger>::default();
    let fetcher = fetcher_with(options(), Script::new(&[]), Arc::clone(&ledger));
    let fetched = open(&fetcher, &first.url("/start?secret"), Want::Body).await.unwrap();
    let told: Vec<_> = fetched.hops.iter().map(|hop| (hop.url.clone(), hop.status)).collect();
    assert_eq!(told, [(first.url("/start"), Some(302)), (last.url("/end"), Some(200))]);
    assert_eq!(fetched.hops[1].address, Some("127.0.0.2".parse().unwrap()));
    let places = ["127.0.0.1", "127.0.0.2"].map(|host| Place::Host(host.into()));
    assert_eq!(*ledger.requests.lock().unwrap(), places);
    assert_eq!(last.seen()[0].target, "/end?secret");
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_a_status_and_one_to_another_scheme_is_not_followed() {
    for (location, code) in [
        ("", Code::HttpStatus),
        ("http://", Code::HttpStatus),
        ("http://[::1", Code::HttpStatus),
        ("file:///etc/passwd", Code::UnsupportedScheme),
        ("FILE:///etc/passwd", Code::UnsupportedScheme),
        ("gopher://127.0.0.1:70/", Code::UnsupportedScheme),
        ("ftp://127.0.0.1/", Code::UnsupportedScheme),
        ("dict://127.0.0.1/", Code::UnsupportedScheme),
        ("data:text/plain,x", Code::UnsupportedScheme),
        ("javascript:alert(1)", Code::UnsupportedScheme),
        ("s3://bucket/key", Code::UnsupportedScheme),
    ] {
        // An empty reference would lead to the same URL again: here the field is left out.
        let server = Server::start(move |_| match location {
            "" => answer(302, "", b"secret"),
            _ => redirect(302, location),
        })
        .await;
        assert_eq!(read(&fetcher(options()), &server.url("/?secret")).await, Err(code), "{location}");
        assert_eq!(server.seen().len(), 1, "{location}");
    }
    let long = Server::start(|_| redirect(302, &format!("/{}", "x".repeat(17_000)))).await;
    assert_eq!(read(&fetcher(options()), &long.url("/")).await, Err(Code::HttpStatus));
}

/// Its lane would be taken for dead, and what stands at the first host with it.
#[tokio::test]
async fn a_redirect_to_where_nobody_is_says_nothing_of_the_host_that_was_asked() {
    let gone = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"")).await;
    let nobody = gone.url("/");
    drop(gone);
    let to = nobody.clone();
    let first = Server::start(move |_| redirect(302, &to)).await;
    let fetcher = fetcher(options());
    for (url, is_unreached) in [(nobody, true), (first.url("/"), false)] {
        let fault = open(&fetcher, &url, Want::Body).await.map(|_| ()).unwrap_err();
        assert_eq!((fault.is_unreached, fault.is_elsewhere), (is_unreached, !is_unreached), "{url}: {fault:?}");
    }
}

#[tokio::test]
async fn user_info_goes_to_its_own_host_and_over_no_redirect() {
    let last = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"x")).await;
    let with_more = format!("http://eve:more@{}/", last.address);
    let first = Server::start(move |asked| match asked.target.as_str() {
        "/" => redirect(302, "/again"),
        _ => redirect(302, &with_more),
    })
    .await;
    let url = format!("http://us%40er:secret%3a@{}/", first.address);
    let fetched = open(&fetcher(options()), &url, Want::Body).await.unwrap();
    assert!(fetched.hops.iter().all(|hop| !hop.url.contains('@')), "{:?}", fetched.hops);
    // "us@er:secret:" in base64.
    assert_eq!(first.seen()[0].fields["authorization"], "Basic dXNAZXI6c2VjcmV0Og==");
    assert!(!first.seen()[1].fields.contains_key("authorization"));
    assert!(!last.seen()[0].fields.contains_key("authorization"));
}

#[tokio::test]
async fn a_host_that_the_team_does_not_list_is_blocked_on_every_hop() {
    let other = Server::start_on("127.0.0.2:0", |_| answer(200, "", b"x")).await;
    let to = other.url("/");
    let listed = Server::start(move |_| redirect(302, &to)).await;
    let record = Team { allowed_hosts: vec!["127.0.0.1".into()], ..Team::default() };
    for url in [listed.url("/"), other.url("/")] {
        let request = request(&url, Want::Body, record.clone()).unwrap();
        let fault = fetcher(options()).open(request).await.expect_err("not listed");
        assert_eq!(fault.code, Code::BlockedAddress);
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn plain_http_can_be_forbidden() {
    let server = stairs().await;
    let strict = longshore::adapters::fetch::HttpOptions { allow_plain: false, ..options() };
    assert_eq!(read(&fetcher(strict), &server.url("/0")).await, Err(Code::UnsupportedScheme));
    assert_eq!(server.connections(), 0);
}
