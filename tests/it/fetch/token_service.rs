//! Questions to token services: asked as they are, bounded, and told without what they held.

use std::net::TcpListener;

use longshore::adapters::fetch::token_service::HttpTokenService;
use longshore::ports::token_service::{ANSWER_BYTES_MAX, NoAnswer, TokenAnswer, TokenBody, TokenRequest, TokenService};
use rustls::RootCertStore;

use super::server::{Server, Step, answer, head, redirect};

async fn ask(url: &str, fields: &[(&str, &str)], body: TokenBody) -> Result<TokenAnswer, NoAnswer> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let service = HttpTokenService::with(RootCertStore::empty()).unwrap();
    service.ask(TokenRequest { url: url.parse().unwrap(), fields, body }).await
}

#[tokio::test]
async fn a_question_is_asked_once_with_its_fields_and_answered_whatever_the_status() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => answer(200, "", b"got"),
        _ => answer(429, "Retry-After: 7\r\n", b"later"),
    })
    .await;
    let got = ask(&server.url("/t?a=b"), &[("Metadata-Flavor", "Google")], TokenBody::None).await.unwrap();
    assert_eq!((got.status, got.body.as_slice(), got.retry_after), (200, &b"got"[..], None));
    let form = TokenBody::Form(vec![("assertion", "a b&c".into())]);
    let later = ask(&server.url("/t"), &[], form).await.unwrap();
    assert_eq!((later.status, later.retry_after.map(|wait| wait.as_secs())), (429, Some(7)));
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].target.as_str()), (2, "/t?a=b"));
    assert_eq!(seen[0].fields["metadata-flavor"], "Google");
    assert_eq!(seen[1].fields["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(seen[1].fields["content-length"], "assertion=a+b%26c".len().to_string());
    assert!(!format!("{later:?}").contains("later"), "an answer may hold a token");
}

#[tokio::test]
async fn redirects_are_answers_and_long_answers_are_cut() {
    let elsewhere = Server::saying(answer(200, "", b"x")).await;
    let location = elsewhere.url("/");
    let server = Server::start(move |asked| match asked.target.as_str() {
        "/moved" => redirect(302, &location),
        _ => vec![head(200, ""), Step::Send(vec![7; ANSWER_BYTES_MAX + 1000])],
    })
    .await;
    assert_eq!(ask(&server.url("/moved"), &[], TokenBody::None).await.unwrap().status, 302);
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(ask(&server.url("/long"), &[], TokenBody::None).await.unwrap().body.len(), ANSWER_BYTES_MAX);
}

#[tokio::test]
async fn whoever_is_not_reached_is_named_and_nothing_else_is() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/hush?hush=hush");
    for (fields, expected) in [(&[][..], "127.0.0.1: "), (&[("authorization", "hush\n")][..], "no header field can")] {
        let told = ask(&url, fields, TokenBody::Json(serde_json::json!({"hush": 1}))).await.unwrap_err();
        assert!(told.to_string().contains(expected) && !told.to_string().contains("hush"), "{told}");
    }
}
