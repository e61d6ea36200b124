//! URLs that mean harm. What counts is not what the guard says but what the listener saw: nothing.

use std::process::Command;
use std::sync::{Arc, Mutex};

use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::http::HttpFetcher;
use longshore::domain::fault::Code;
use tokio::net::TcpListener;

use super::hostile_urls::{is_relative, names, urls};
use super::server::{Server, answer, redirect};
use super::{fetcher, fetcher_with, options, read};

pub(crate) fn guarded() -> HttpOptions {
    HttpOptions { allow_networks: vec!["127.0.0.2/32".parse().unwrap()], ..options() }
}

/// What nobody may reach: a server on loopback, on IPv6 too where the machine has it.
pub(crate) struct Secret {
    pub(crate) port: u16,
    v4: Server,
    v6: Option<Server>,
}

impl Secret {
    pub(crate) async fn start() -> Self {
        let v4 = Server::saying(answer(200, "", b"secret")).await;
        let port = v4.address.port();
        let free = TcpListener::bind(("::1", port)).await.is_ok();
        let v6 = match free {
            true => Some(Server::start_on(&format!("[::1]:{port}"), |_| answer(200, "", b"secret")).await),
            false => None,
        };
        Self { port, v4, v6 }
    }

    pub(crate) fn reached(&self) -> usize {
        self.v4.connections() + self.v6.as_ref().map_or(0, Server::connections)
    }
}

/// Asks for `url`, which must be refused as such or be `otherwise`.
pub(crate) async fn check(fetcher: &HttpFetcher, url: &str, otherwise: Code) {
    let found = read(fetcher, url).await;
    assert!(found == Err(Code::BlockedAddress) || found == Err(otherwise), "{url}: {found:?}");
}

#[tokio::test]
async fn the_listener_counts_what_an_open_door_lets_through() {
    let secret = Secret::start().await;
    let found = read(&fetcher(options()), &format!("http://127.1:{}/", secret.port)).await;
    assert_eq!((found.as_deref(), secret.reached()), (Ok(&b"secret"[..]), 1));
}

#[tokio::test]
async fn no_hostile_url_reaches_the_listener() {
    let secret = Secret::start().await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let urls = urls(secret.port);
    assert!(urls.len() >= 300, "{}", urls.len());
    for url in urls {
        // Some of the spellings are no URL at all.
        check(&fetcher, &url, Code::BadUrl).await;
    }
    assert_eq!(secret.reached(), 0);
}

#[tokio::test]
async fn no_redirect_reaches_the_listener() {
    let secret = Secret::start().await;
    let location = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&location);
    let open = Server::start_on("127.0.0.2:0", move |_| redirect(307, &told.lock().unwrap())).await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let own = format!("http://open.test:{}/", open.address.port());
    let mut asked = 0;
    for url in urls(secret.port) {
        if is_relative(&url) {
            continue;
        }
        // What no field can hold, a URL may not need.
        *location.lock().unwrap() = url.replace(['\t', '\n'], "");
        // A redirect to what is no URL leads nowhere.
        check(&fetcher, &own, Code::HttpStatus).await;
        asked += 1;
    }
    *location.lock().unwrap() = format!("//127.0.0.1:{}/", secret.port);
    check(&fetcher, &own, Code::BlockedAddress).await;
    assert_eq!(open.seen().len(), asked + 1);
    assert_eq!(secret.reached(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_checked_at_each_connection() {
    let secret = Secret::start().await;
    let open = Server::start_on(&format!("127.0.0.2:{}", secret.port), |_| answer(200, "", b"open")).await;
    let names = names();
    let fetcher = fetcher_with(guarded(), Arc::clone(&names), Arc::default());
    let url = format!("http://rebind.test:{}/", secret.port);
    assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    assert_eq!(read(&fetcher, &url).await, Err(Code::BlockedAddress));
    assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    // One look-up for each connection: what was checked is what was dialled.
    assert_eq!(names.asked.lock().unwrap().len(), 3);
    assert_eq!((open.connections(), secret.reached()), (2, 0));
}

#[tokio::test]
async fn a_checked_answer_is_kept_for_a_while() {
    let secret = Secret::start().await;
    let open = Server::start_on(&format!("127.0.0.2:{}", secret.port), |_| answer(200, "", b"open")).await;
    let keeping = HttpOptions { keep_names: HttpOptions::default().keep_names, ..guarded() };
    let fetcher = fetcher_with(keeping, names(), Arc::default());
    for _ in 0..3 {
        let url = format!("http://rebind.test:{}/", secret.port);
        assert_eq!(read(&fetcher, &url).await.unwrap(), b"open");
    }
    assert_eq!((open.connections(), secret.reached()), (3, 0));
}

#[tokio::test]
async fn a_loop_of_redirects_ends() {
    let open = Server::start_on("127.0.0.2:0", |_| redirect(302, "/")).await;
    let fetcher = fetcher_with(guarded(), names(), Arc::default());
    let url = format!("http://open.test:{}/", open.address.port());
    assert_eq!(read(&fetcher, &url).await, Err(Code::TooManyRedirects));
    assert_eq!(open.seen().len(), 6);
}

/// Runs itself once more with proxies in the environment, for a process may not safely change its own.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is told its part by the environment")]
async fn proxies_of_the_environment_are_ignored() {
    const CHILD: &str = "LONGSHORE_TEST_BEHIND_PROXIES";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::saying(answer(200, "", b"direct")).await;
        assert_eq!(read(&fetcher(options()), &server.url("/")).await.unwrap(), b"direct");
        return;
    }
    let proxy = Server::saying(answer(200, "", b"by proxy")).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "fetch::hostile::proxies_of_the_environment_are_ignored"]).env(CHILD, "1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url(""));
    }
    let status = tokio::task::spawn_blocking(move || child.output().unwrap().status).await.unwrap();
    assert!(status.success());
    assert_eq!(proxy.connections(), 0);
}
