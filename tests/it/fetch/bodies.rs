//! Bodies that break, lie, drip, swell or go on for ever.

use std::time::Duration;

use async_compression::tokio::write::GzipEncoder;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use longshore::adapters::fetch::HttpOptions;
use longshore::domain::digest::Sha256;
use longshore::domain::facts::SourceVersion;
use longshore::domain::fault::Code;
use longshore::ports::fetcher::Want;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use super::server::{Server, Step, answer, head};
use super::{fetcher, open, options, read};

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

async fn check(steps: Vec<Step>, options: HttpOptions, expected: Result<&[u8], Code>) {
    let server = Server::saying(steps.clone()).await;
    let found = timeout(Duration::from_secs(20), read(&fetcher(options), &server.url("/?secret"))).await;
    let found = found.expect("every body ends in time");
    assert_eq!(found.as_deref(), expected.as_ref().map(|bytes| &**bytes));
}

#[tokio::test]
async fn a_body_that_ends_early_breaks_or_is_reset_is_truncated() {
    let length = head(200, "Content-Length: 100\r\n");
    let chunked = head(200, "Transfer-Encoding: chunked\r\n");
    for steps in [
        vec![length.clone(), send(b"some")],
        vec![length.clone()],
        vec![length, send(b"some"), Step::Wait(Duration::from_millis(50)), Step::Reset],
        vec![chunked.clone(), send(b"4\r\nsome\r\n")],
        vec![chunked.clone(), send(b"ff\r\nsome")],
        vec![chunked.clone(), send(b"4\r\nsome\r\nzz\r\n")],
        vec![chunked, send(b"ffffffffffffffffff\r\nsome")],
    ] {
        check(steps, options(), Err(Code::Truncated)).await;
    }
}

#[tokio::test]
async fn whole_bodies_come_with_and_without_a_length() {
    check(answer(200, "", b"some"), options(), Ok(b"some")).await;
    check(vec![head(200, ""), send(b"some")], options(), Ok(b"some")).await;
    let chunked = head(200, "Transfer-Encoding: chunked\r\n");
    check(vec![chunked, send(b"2\r\nso\r\n2\r\nme\r\n0\r\n\r\n")], options(), Ok(b"some")).await;
    // What follows the announced bytes is no part of the body.
    check(vec![head(200, "Content-Length: 4\r\n"), send(b"some more")], options(), Ok(b"some")).await;
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_too_slow() {
    let start = [head(200, "Content-Length: 100000\r\n"), send(b"some")];
    let quick = HttpOptions { idle_timeout: Duration::from_millis(200), ..options() };
    let stops = [start.to_vec(), vec![Step::Wait(Duration::from_secs(60))]].concat();
    check(stops, quick, Err(Code::Timeout)).await;
    let drip = [start.to_vec(), vec![Step::Forever(b"x".to_vec(), Duration::from_millis(20))]].concat();
    let paced = HttpOptions { min_rate: 1000, rate_window: Duration::from_millis(300), ..options() };
    check(drip.clone(), paced, Err(Code::Timeout)).await;
    let bounded = HttpOptions { total_timeout: Duration::from_millis(300), ..options() };
    check(drip, bounded, Err(Code::Timeout)).await;
}

#[tokio::test]
async fn a_slow_reader_is_not_timed_out() {
    let body = vec![7; 1 << 20];
    let server = Server::saying(answer(200, "", &body)).await;
    let strict = HttpOptions {
        idle_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_millis(900),
        min_rate: 1 << 20,
        rate_window: Duration::from_millis(200),
        ..options()
    };
    let mut fetched = open(&fetcher(strict), &server.url("/"), Want::Body).await.unwrap();
    let (mut bytes, started) = (0, Instant::now());
    while let Some(piece) = fetched.body.next().await {
        bytes += piece.expect("the source is quick").len();
        if started.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(600)).await;
        }
    }
    assert_eq!(bytes, body.len());
    assert!(started.elapsed() > Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_above_the_limit_is_too_large_by_its_head_or_on_its_way() {
    let small = HttpOptions { max_bytes: 1000, ..options() };
    let server = Server::saying(vec![head(200, "Content-Length: 1001\r\n")]).await;
    for want in [Want::Body, Want::Head] {
        let fault = open(&fetcher(small.clone()), &server.url("/"), want).await.expect_err("too large");
        assert_eq!(fault.code, Code::TooLarge);
    }
    check(answer(200, "", &[0; 1000]), small.clone(), Ok(&[0; 1000])).await;
    let endless = Step::Forever(vec![7; 4096], Duration::ZERO);
    check(vec![head(200, ""), endless], small, Err(Code::TooLarge)).await;
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn a_coding_that_came_unasked_is_undone_and_its_length_and_digest_forgotten() {
    let body = answer(
        200,
        "Content-Encoding: gzip\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        &gzip(b"plain words").await,
    );
    check(body.clone(), options(), Ok(b"plain words")).await;
    let server = Server::saying(body).await;
    let fetched = open(&fetcher(options()), &server.url("/"), Want::Body).await.unwrap();
    assert_eq!((fetched.length, fetched.resumable), (None, false));
    assert_eq!(fetched.announced, Default::default());
    check(answer(200, "Content-Encoding: br\r\n", b"x"), options(), Err(Code::UnsupportedMedia)).await;
    check(answer(200, "Content-Encoding: gzip\r\n", b""), options(), Ok(b"")).await;
    check(answer(200, "Content-Encoding: gzip\r\n", b"plain"), options(), Err(Code::Truncated)).await;
}

#[tokio::test]
async fn the_digest_of_an_encoded_body_is_compared_all_the_same() {
    let zipped = gzip(b"plain words").await;
    let right = STANDARD.encode(Sha256::of(&zipped).as_bytes());
    let of_the_plain = STANDARD.encode(Sha256::of(b"plain words").as_bytes());
    let digest = |value: &str| format!("Content-Encoding: gzip\r\nRepr-Digest: sha-256=:{value}:\r\n");
    check(answer(200, &digest(&right), &zipped), options(), Ok(b"plain words")).await;
    let wrong = answer(200, &digest(&of_the_plain), &zipped);
    check(wrong, options(), Err(Code::ChecksumMismatch)).await;
}

#[tokio::test]
async fn a_compressed_bomb_is_too_large() {
    let roomy = HttpOptions { max_bytes: 1 << 40, ..options() };
    let bomb = answer(200, "Content-Encoding: gzip\r\n", &gzip(&vec![0; 32 << 20]).await);
    check(bomb.clone(), roomy, Err(Code::TooLarge)).await;
    check(bomb, options(), Err(Code::TooLarge)).await;
}

/// Asks for the rest from byte 4 of version "a" and gets `status` with `fields`.
async fn rest(status: u16, fields: &str, expected: Result<&[u8], Code>) {
    let server = Server::saying(answer(status, fields, b"more")).await;
    let version = SourceVersion { etag: Some("\"a\"".into()), ..SourceVersion::default() };
    let opened = open(&fetcher(options()), &server.url("/"), Want::Rest { from: 4, version }).await;
    let asked = &server.seen()[0].fields;
    assert_eq!((asked["range"].as_str(), asked["if-match"].as_str()), ("bytes=4-", "\"a\""));
    let found = match opened {
        Ok(fetched) => Ok(fetched.body.map(Result::unwrap).collect::<Vec<_>>().await.concat()),
        Err(fault) => Err(fault.code),
    };
    assert_eq!(found.as_deref(), expected.as_ref().map(|bytes| &**bytes), "{status} {fields}");
}

#[tokio::test]
async fn only_the_very_rest_of_the_very_version_is_taken() {
    rest(206, "ETag: \"a\"\r\nContent-Range: bytes 4-7/8\r\n", Ok(b"more")).await;
    for range in ["0-7/8", "4-6/8", "3-6/7", "5-8/9", "4-7/*", "4-7/7", "4-8/9"] {
        let fields = format!("ETag: \"a\"\r\nContent-Range: bytes {range}\r\n");
        rest(206, &fields, Err(Code::Truncated)).await;
    }
    rest(206, "ETag: \"a\"\r\n", Err(Code::Truncated)).await;
    rest(206, "ETag: \"a\"\r\nContent-Encoding: gzip\r\nContent-Range: bytes 4-7/8\r\n", Err(Code::Truncated)).await;
    for etag in ["ETag: \"b\"\r\n", "ETag: W/\"a\"\r\n", ""] {
        let fields = format!("{etag}Content-Range: bytes 4-7/8\r\n");
        rest(206, &fields, Err(Code::ChecksumMismatch)).await;
    }
    rest(200, "ETag: \"a\"\r\n", Err(Code::Truncated)).await;
    rest(412, "", Err(Code::ChecksumMismatch)).await;
    rest(416, "Content-Range: bytes */3\r\n", Err(Code::ChecksumMismatch)).await;
    rest(404, "", Err(Code::NotFound)).await;
    rest(503, "", Err(Code::Unavailable)).await;
}
