//! Each status and each way of not answering has its code.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use longshore::domain::fault::Code;
use longshore::ports::fetcher::Want;
use tokio::net::TcpListener;

use super::server::{Server, Step, answer, head};
use super::{Script, fetcher, fetcher_with, open, options, read};

#[tokio::test]
async fn every_status_but_200_is_a_fault_with_its_code() {
    let server = Server::start(|asked| {
        let status = asked.target[1..4].parse().unwrap();
        answer(status, "Retry-After: 7\r\nETag: \"x\"\r\n", b"secret words of the server")
    })
    .await;
    let fetcher = fetcher(options());
    for (status, code) in [
        (401, Code::AccessDenied),
        (403, Code::AccessDenied),
        (404, Code::NotFound),
        (410, Code::NotFound),
        (408, Code::Timeout),
        (429, Code::Throttled),
        (500, Code::Unavailable),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (529, Code::Unavailable),
        (201, Code::HttpStatus),
        (203, Code::HttpStatus),
        (206, Code::HttpStatus),
        (300, Code::HttpStatus),
        (400, Code::HttpStatus),
        (405, Code::HttpStatus),
        (412, Code::HttpStatus),
        (416, Code::HttpStatus),
        (451, Code::HttpStatus),
    ] {
        for want in [Want::Body, Want::Head] {
            let url = server.url(&format!("/{status}?secret"));
            let fault = open(&fetcher, &url, want).await.expect_err("no success");
            assert_eq!((fault.code, fault.http_status), (code, Some(status)));
            let wait = matches!(status, 429 | 503).then_some(Duration::from_secs(7));
            assert_eq!(fault.retry_after, wait, "{status}");
        }
    }
}

#[tokio::test]
async fn a_request_says_who_asks_and_for_plain_bytes() {
    let server = Server::saying(answer(200, "", b"x")).await;
    read(&fetcher(options()), &server.url("/a%20b?c=d")).await.unwrap();
    let asked = &server.seen()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/a%20b?c=d"));
    assert_eq!(asked.fields["accept-encoding"], "identity");
    assert_eq!(asked.fields["user-agent"], concat!("longshore/", env!("CARGO_PKG_VERSION")));
    for absent in ["authorization", "cookie", "referer", "range"] {
        assert!(!asked.fields.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn whoever_does_not_answer_is_unavailable_or_too_slow() {
    let impatient = fetcher(longshore::adapters::fetch::HttpOptions {
        connect_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(200),
        ..options()
    });
    let hang = Step::Wait(Duration::from_secs(60));
    for (steps, code) in [
        (vec![], Code::Unavailable),
        (vec![Step::Reset], Code::Unavailable),
        (vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())], Code::Unavailable),
        (vec![Step::Send(b"220 smtp.test ready\r\n\r\n".to_vec())], Code::Unavailable),
        (vec![head(200, &"X: y\r\n".repeat(101))], Code::Unavailable),
        (vec![head(200, "Content-Length: 1\r\nContent-Length: 2\r\n")], Code::Unavailable),
        (vec![hang.clone()], Code::Timeout),
        (vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), hang], Code::Timeout),
    ] {
        let server = Server::saying(steps.clone()).await;
        let found = read(&impatient, &server.url("/?secret")).await;
        assert_eq!(found, Err(code), "{steps:?}");
    }
    let gone = Server::saying(vec![]).await.url("/");
    assert_eq!(read(&impatient, &gone).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_network_trouble_and_one_that_hangs_a_timeout() {
    let impatient =
        longshore::adapters::fetch::HttpOptions { connect_timeout: Duration::from_millis(100), ..options() };
    let fetcher = fetcher_with(impatient, Script::new(&[("empty.test", &[&[]])]), Default::default());
    for (host, code) in [("nowhere.test", Code::Network), ("empty.test", Code::Network), ("hangs.test", Code::Timeout)]
    {
        assert_eq!(read(&fetcher, &format!("http://{host}/?secret")).await, Err(code), "{host}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_its_peer_still_known() {
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() };
    let service = Router::new().route("/", get(peer)).into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, service).into_future());
    let fetcher = fetcher(options());
    let first = read(&fetcher, &url).await.unwrap();
    // The connection goes back to the pool once its task has seen the body's end.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(read(&fetcher, &url).await.unwrap(), first);
    server.abort();
}
